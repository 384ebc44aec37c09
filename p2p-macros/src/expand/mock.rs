//! The mock: answers in the place of the service as a test says.
//!
//! It stands inside of a `macro_rules!` of p2p-client that lets it through where that crate's feature `testing` is on. `#[cfg]` could
//! not tell: in generated code it asks for features of the crate that is being written.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, Path, ext::IdentExt};

use crate::model::{Method, Service};

use super::{
    at,
    dispatch::value_names,
    params::{forms, owned_type},
    place::Places,
    stream::StreamTypes,
    text,
};

/// The mock's type: what users name.
pub(super) fn mock(service: &Service, type_name: &Ident, root: &Path) -> TokenStream {
    let mock = &service.names.mock;
    let doc = text(&format!(
        "Stands in for the service `{}` ([`{type_name}`]) in tests: answers as its `on_…` methods were told, and notes what it was \
         asked. Clones are the same mock.",
        service.names.service
    ));
    quote! {
        #root::mocks! {
            #[doc = #doc]
            #[allow(unreachable_pub, dead_code)]
            #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
            pub struct #mock {
                mock: #root::ServiceMock,
            }
        }
    }
}

/// How its answers are said.
pub(super) fn methods(service: &Service, root: &Path) -> TokenStream {
    let mock = &service.names.mock;
    let name = text(&mock.to_string());
    let places = Places::of(service);
    let lines = service.methods.iter().map(|method| {
        let (conditions, line) = (&method.conditions, text(&line(method)));
        quote!(#(#conditions)* #line)
    });
    let methods = service.methods.iter().enumerate();
    let methods = methods.map(|(index, method)| on(&places.place(index, &method.ident), method, root));
    quote! {
        #root::mocks! {
            #[automatically_derived]
            impl ::core::default::Default for #mock {
                fn default() -> Self {
                    Self::new()
                }
            }

            #[automatically_derived]
            impl ::core::ops::Deref for #mock {
                type Target = #root::ServiceMock;

                fn deref(&self) -> &Self::Target {
                    &self.mock
                }
            }

            #[allow(unreachable_pub, dead_code, private_interfaces, private_bounds)]
            #[automatically_derived]
            impl #mock {
                /// A mock that knows no answer yet.
                pub fn new() -> Self {
                    Self { mock: #root::ServiceMock::new(&__SERVICE, #name, &[#(#lines),*]) }
                }

                #(#methods)*
            }
        }
    }
}

/// `on_greet`: says how a method answers.
fn on(index: &TokenStream, method: &Method, root: &Path) -> TokenStream {
    let on = on_name(method);
    let conditions = &method.conditions;
    let (answer, what) = match &method.items {
        None => {
            let outcome = &method.outcome;
            (quote!(#root::Answer::<#outcome, __M>), "answers")
        }
        Some(items) => {
            let StreamTypes { kind, outcome, .. } = StreamTypes::of(method, items, root);
            (quote!(#root::StreamAnswer::<#kind, #outcome, __M>), "streams")
        }
    };
    let doc = text(&format!("Says what `{}` {what}: the closure gets the call, then its params.", method.ident.unraw()));
    let names = value_names(method);
    let types = method.params.iter().map(|param| owned_type(param, root));
    let forms = forms(method);
    quote_spanned! {at(&method.ident)=>
        #(#conditions)*
        #[doc = #doc]
        pub fn #on<__A, __M>(
            &self,
            mut __answer: impl ::core::ops::FnMut(#root::MockCall, #(#types),*) -> __A + ::core::marker::Send + 'static,
        ) -> #root::Expectation
        where
            __A: #answer,
        {
            self.mock.expect(#index, move |__call, __params| {
                let (#(#names,)*) = #root::read(#forms, __params, &__METHODS[#index])?;
                ::core::result::Result::Ok(#answer::begin(__answer(__call, #(#names),*)))
            })
        }
    }
}

fn on_name(method: &Method) -> Ident {
    Ident::new(&format!("on_{}", method.ident.unraw()), method.ident.span())
}

/// What a test has to write so that the method answers, less the mock's name.
fn line(method: &Method) -> String {
    let params = method.params.iter().map(|param| param.ident.to_string());
    let arguments: Vec<String> = std::iter::once("call".to_owned()).chain(params).collect();
    format!("{}(|{}| Ok(…))", on_name(method), arguments.join(", "))
}
