//! The typed proxy, and `proxy.greeter()`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, Path, Type};

use crate::model::{Method, Param, Passing, Service};

use super::{
    at,
    dispatch::{Callee, invoke, value_names},
    forms::result_form,
    params::{forms, types},
    place::Places,
    stream::{StreamTypes, fed},
    text,
};

/// The proxy's type and its extension trait: what users name.
pub(super) fn proxy(service: &Service, type_name: &Ident, root: &Path) -> TokenStream {
    let names = &service.names;
    let (proxy, extension, accessor) = (&names.proxy, &names.extension, &names.accessor);
    let proxy_doc = text(&format!(
        "Calls the service `{}` ([`{type_name}`]), wherever it is hosted. Without a target a call goes here if the service is \
         hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.",
        names.service
    ));
    let extension_doc = text(&format!("Gives every proxy a method that makes a [`{proxy}`]."));
    let accessor_doc = text(&format!("Calls to the service `{}`.", names.service));
    // Public also for a service that is not: how far it can be named is for the module that it stands in to say.
    quote! {
        #[doc = #proxy_doc]
        #[allow(unreachable_pub)]
        #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
        pub struct #proxy<K = #root::Anywhere> {
            core: #root::ProxyCore<K>,
        }

        #[doc = #extension_doc]
        #[allow(unreachable_pub)]
        pub trait #extension {
            #[doc = #accessor_doc]
            fn #accessor(&self) -> #proxy;
        }
    }
}

/// The proxy of a service with a mistake: code that names it is not to complain as well.
pub(super) fn without_methods(service: &Service, type_name: &Ident, root: &Path) -> TokenStream {
    let (proxy, targets) = (proxy(service, type_name, root), targets(service, root));
    quote!(#proxy #targets)
}

/// The proxy's methods, and the implementation of its extension trait.
pub(super) fn methods(service: &Service, object: &Type, callee: Callee, root: &Path) -> TokenStream {
    let (proxy, targets, places) = (&service.names.proxy, targets(service, root), Places::of(service));
    let methods = service.methods.iter().enumerate();
    let methods = methods.map(|(index, method)| call(&places.place(index, &method.ident), method, object, callee, root));
    quote! {
        #targets

        // A service's types are as visible as its users made them; its proxy can be named wherever they can.
        #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
        #[automatically_derived]
        impl<__K: #root::TargetKind> #proxy<__K> {
            #(#methods)*
        }
    }
}

/// How the proxy is made, and aimed.
fn targets(service: &Service, root: &Path) -> TokenStream {
    let names = &service.names;
    let (proxy, extension, accessor) = (&names.proxy, &names.extension, &names.accessor);
    quote! {
        #[automatically_derived]
        impl #extension for #root::Proxy {
            fn #accessor(&self) -> #proxy {
                #proxy { core: #root::ProxyCore::new(self) }
            }
        }

        #[allow(unreachable_pub)]
        #[automatically_derived]
        impl #proxy {
            /// The same service on one node of choice: a node id, a role, a capability.
            pub fn on(&self, target: impl ::core::convert::Into<#root::One>) -> #proxy<#root::OnOne> {
                #proxy { core: self.core.on(target) }
            }

            /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
            pub fn on_all(&self, target: impl ::core::convert::Into<#root::Many>) -> #proxy<#root::OnMany> {
                #proxy { core: self.core.on_all(target) }
            }
        }
    }
}

fn call(index: &TokenStream, method: &Method, object: &Type, callee: Callee, root: &Path) -> TokenStream {
    let Method { ident, conditions, docs, params, .. } = method;
    let values = value_names(method);
    let inputs = params.iter().map(|param| input(param, root));
    let owned = params.iter().map(|param| into_owned(param, root));
    let (types, forms) = (types(method, root), forms(method));
    let Answer { begin, reply, condition, generics, form, local } = match &method.items {
        None => one_result(method, callee, object, &values, root),
        Some(items) => stream(&StreamTypes::of(method, items, root), method, callee, object, &values, root),
    };
    quote_spanned! {at(ident)=>
        #(#conditions)*
        #(#docs)*
        pub fn #ident(&self, #(#inputs),*) -> #reply #condition {
            self.core.#begin::<#object, #types, #generics, _, _>(
                &__METHODS[#index],
                (#(#owned,)*),
                #root::Codec {
                    encode: |params, out| #root::ParamForms::write(#forms, params, out),
                    decode: |json| #form.decode(json),
                },
                #local,
            )
        }
    }
}

/// What differs in a proxy's method by how the service's method answers.
struct Answer {
    /// The method of `ProxyCore` that makes the call.
    begin: TokenStream,
    /// What the proxy's method returns.
    reply: TokenStream,
    /// On which proxies it can be called.
    condition: TokenStream,
    /// The types by which the answer is known.
    generics: TokenStream,
    /// How it is read.
    form: TokenStream,
    /// How the method runs on the object itself.
    local: TokenStream,
}

fn one_result(method: &Method, callee: Callee, object: &Type, values: &[Ident], root: &Path) -> Answer {
    let Method { ident, outcome, .. } = method;
    let invoked = invoke(method, callee, &quote!(here.object()), &quote!(&cx), values, root);
    // Made only for who takes it: most methods do not.
    let takes_context = method.context_at.is_some() || matches!(callee, Callee::Contract);
    let context = takes_context.then(|| quote!(let cx = here.context();));
    let run = if takes_context { quote!(run_with) } else { quote!(run) };
    let told = takes_context.then(|| quote!(&cx,));
    let (ok, err) = (
        quote_spanned!(at(outcome)=> <#outcome as #root::Outcome>::Ok),
        quote_spanned!(at(outcome)=> <#outcome as #root::Outcome>::Err),
    );
    Answer {
        begin: quote_spanned!(at(ident)=> call),
        reply: quote_spanned!(at(ident)=> __K::Reply<#ok, #err>),
        condition: TokenStream::new(),
        generics: quote!(#outcome),
        form: result_form(outcome, root),
        // At the method's own span, so that "future cannot be sent between threads" points there.
        local: quote_spanned! {at(ident)=>
            |here: #root::Here<#object>, (#(#values,)*)| async move {
                #context
                here.#run::<#outcome>(#told #invoked).await
            }
        },
    }
}

fn stream(types: &StreamTypes, method: &Method, callee: Callee, object: &Type, values: &[Ident], root: &Path) -> Answer {
    let ident = &method.ident;
    let StreamTypes { kind, outcome, value, error } = types;
    let fed = fed(method, types, callee, (&quote!(here.object()), &quote!(&cx), &quote!(&*items)), values, root);
    Answer {
        begin: quote_spanned!(at(ident)=> open),
        reply: quote_spanned!(at(ident)=> #root::Call<#root::Streaming<#value, #error>, #error>),
        condition: quote_spanned!(at(ident)=> where __K: #root::OneTarget),
        generics: quote_spanned!(at(outcome)=> #kind, #outcome),
        form: types.form(root),
        local: quote_spanned! {at(ident)=>
            |here: #root::Here<#object>, (#(#values,)*)| {
                let (items, stream) = here.stream::<#kind, #outcome>();
                stream.run(async move {
                    let cx = here.context();
                    here.run_stream(&cx, #fed).await
                })
            }
        },
    }
}

/// A parameter as the proxy's method takes it.
fn input(param: &Param, root: &Path) -> TokenStream {
    let Param { ident, written, passing, .. } = param;
    match passing {
        Passing::Text => quote!(#ident: impl ::core::convert::Into<#root::String>),
        Passing::Owned | Passing::Borrowed(_) => quote!(#ident: #written),
    }
}

fn into_owned(param: &Param, root: &Path) -> TokenStream {
    let ident = &param.ident;
    match &param.passing {
        Passing::Text => quote!(::core::convert::Into::into(#ident)),
        Passing::Owned => quote!(#ident),
        Passing::Borrowed(inner) => {
            quote_spanned!(at(inner)=> <#inner as #root::ToOwned>::to_owned(#ident))
        }
    }
}
