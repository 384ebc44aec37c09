//! `#[service] trait Kv`: a contract, its proxy, and the object form by which a node holds any host of it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, Path, ext::IdentExt, spanned::Spanned};

use crate::{
    errors::Errors,
    model::{Method, Service},
    parse::{Item, Kind, Unreadable},
};

use super::{
    Expansion, at, block, definition,
    descriptor::access,
    dispatch::{Callee, arguments, value_names},
    mock,
    params::types,
    proxy,
    stream::{self, StreamTypes},
    text,
};

pub(super) fn contract(item: &Item, service: &Service, name: &Ident, root: &Path, errors: &mut Errors) -> Expansion {
    if let Some(parameter) = item.generics.params.first() {
        errors.at(parameter, "a contract cannot be generic, as its name on the wire stands for one set of types");
        let users = item.without_ours_but_with(&hidden_of_generic(root));
        return Expansion { users, generated: proxy::without_methods(service, name, root) };
    }
    let users = trait_item(item, service, root);
    let proxy = proxy::proxy(service, name, root);
    let mock = mock::mock(service, name, root);
    let block = block(root, |root| {
        let object = object(service, name, root);
        let definition = definition(service, &syn::parse_quote!(dyn __Object), Callee::Contract, root);
        let contract = held(service, name, root);
        quote!(#object #definition #contract)
    });
    Expansion { users, generated: quote!(#proxy #mock #block) }
}

/// How a host of the contract is held.
fn held(service: &Service, name: &Ident, root: &Path) -> TokenStream {
    let proxy = &service.names.proxy;
    quote! {
        #[automatically_derived]
        impl<__Host: #name> #root::Contract<__Host> for #proxy {
            fn spec() -> &'static #root::ServiceSpec {
                &__SERVICE
            }

            fn local(
                host: ::std::sync::Arc<__Host>,
                spec: &'static #root::ServiceSpec,
            ) -> ::std::sync::Arc<dyn #root::HostedService> {
                let object: ::std::sync::Arc<dyn __Object> = host;
                ::std::sync::Arc::new(#root::Local::<dyn __Object>::by(object, spec))
            }
        }
    }
}

/// The user's trait, whose futures can cross threads, and by which a host reaches its contract's tables. A method of which no code is made
/// stays as it was written.
fn trait_item(item: &Item, service: &Service, root: &Path) -> TokenStream {
    let Kind::Contract { visibility, keyword, name, supertraits } = &item.kind else { return TokenStream::new() };
    let attributes = &item.attributes;
    let others = &item.block.others;
    let methods = item.block.functions.iter().map(|function| {
        if !service.has(function) {
            return function.without_ours();
        }
        let attributes = function.attributes.iter().filter(|a| !crate::parse::last_segment_is(a.path(), "service_method"));
        let mut signature = function.signature.clone();
        signature.asyncness = None;
        for input in &mut signature.inputs {
            if let syn::FnArg::Typed(argument) = input {
                argument.attrs.retain(|attribute| !crate::parse::last_segment_is(attribute.path(), "arg"));
            }
        }
        if let syn::ReturnType::Type(_, outcome) = &function.signature.output {
            let outcome = stream::sendable(outcome);
            signature.output = syn::parse_quote_spanned! {outcome.span()=>
                -> impl ::core::future::Future<Output = #outcome> + ::core::marker::Send
            };
        }
        quote!(#(#attributes)* #signature;)
    });
    let unreadable = item.block.unreadable.iter().map(Unreadable::without_ours);
    let access = access_list(service, root);
    let plus = (!supertraits.is_empty()).then(|| quote!(+));
    let where_clause = &item.generics.where_clause;
    let proxy = &service.names.proxy;
    quote! {
        #(#attributes)*
        #visibility #keyword #name: #supertraits #plus ::core::marker::Send + ::core::marker::Sync + 'static #where_clause {
            #(#others)*
            #(#methods)*
            #(#unreadable)*

            #[doc(hidden)]
            const __P2P_ACCESS: &'static [(&'static str, #root::Access)] = &[#access];

            #[doc(hidden)]
            fn __put_service_on_this_trait() -> &'static #root::ServiceSpec
            where
                Self: ::core::marker::Sized,
            {
                <#proxy as #root::Contract<Self>>::spec()
            }

            #[doc(hidden)]
            fn __p2p_contract_local(
                self: ::std::sync::Arc<Self>,
                spec: &'static #root::ServiceSpec,
            ) -> ::std::sync::Arc<dyn #root::HostedService>
            where
                Self: ::core::marker::Sized,
            {
                <#proxy as #root::Contract<Self>>::local(self, spec)
            }
        }
    }
}

/// Who may call each method, by the method's name in Rust, in the order of the tables: what a host that narrows it is held against.
fn access_list(service: &Service, root: &Path) -> TokenStream {
    let each = service.methods.iter().map(|method| {
        let (conditions, name, access) =
            (&method.conditions, text(&method.ident.unraw().to_string()), access(&method.access, root));
        quote!(#(#conditions)* (#name, #access))
    });
    quote!(#(#each),*)
}

/// What hosts of a generic contract, which is a mistake, ask for all the same, so that they do not complain of its absence. It is never
/// compiled to more than types: the mistake ends the build.
fn hidden_of_generic(root: &Path) -> TokenStream {
    quote! {
        #[doc(hidden)]
        const __P2P_ACCESS: &'static [(&'static str, #root::Access)] = &[];

        #[doc(hidden)]
        fn __put_service_on_this_trait() -> &'static #root::ServiceSpec
        where
            Self: ::core::marker::Sized,
        {
            ::core::unreachable!()
        }

        #[doc(hidden)]
        fn __p2p_contract_local(
            self: ::std::sync::Arc<Self>,
            _: &'static #root::ServiceSpec,
        ) -> ::std::sync::Arc<dyn #root::HostedService>
        where
            Self: ::core::marker::Sized,
        {
            ::core::unreachable!()
        }
    }
}

/// The contract as an object: boxed futures, owned values.
fn object(service: &Service, name: &Ident, root: &Path) -> TokenStream {
    let signatures: Vec<_> = service.methods.iter().map(|method| object_signature(method, root)).collect();
    let bodies = service.methods.iter().zip(&signatures).map(|(method, signature)| {
        let ident = &method.ident;
        let values = value_names(method);
        let arguments = arguments(method, &quote!(cx), &values, root);
        let context = method.context_at.is_none().then(|| quote!(let _ = cx;));
        let taken = if values.is_empty() { quote!(let _ = values;) } else { quote!(let (#(#values,)*) = values;) };
        let called = quote_spanned!(at(ident)=> <__Host as #name>::#ident(self, #(#arguments),*));
        let (context, called) = match &method.items {
            None => (context, called),
            Some(items) => {
                let kind = StreamTypes::of(method, items, root).kind;
                (None, quote_spanned!(at(ident)=> #root::feed::<#kind, _>(cx, items, #called)))
            }
        };
        quote_spanned! {at(ident)=>
            // Its condition comes with the signature.
            #signature {
                ::std::boxed::Box::pin(async move {
                    #context
                    #taken
                    #called.await
                })
            }
        }
    });
    quote! {
        pub trait __Object: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#signatures;)*
        }

        #[allow(deprecated)]
        #[automatically_derived]
        impl<__Host: #name> __Object for __Host {
            #(#bodies)*
        }
    }
}

fn object_signature(method: &Method, root: &Path) -> TokenStream {
    let Method { ident, conditions, outcome, .. } = method;
    let types = types(method, root);
    let (items, outcome) = match &method.items {
        None => (None, quote!(#outcome)),
        Some(items) => {
            let StreamTypes { value, error, .. } = StreamTypes::of(method, items, root);
            let taker = quote_spanned!(at(&items.written)=> items: &'a dyn #root::TakeItems<#value>);
            (Some(taker), quote!(::core::result::Result<(), #root::Failed<#error>>))
        }
    };
    quote_spanned! {at(ident)=>
        #(#conditions)*
        fn #ident<'a>(
            &'a self,
            cx: &'a #root::CallContext,
            values: #types,
            #items
        ) -> ::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = #outcome> + ::core::marker::Send + 'a>>
    }
}
