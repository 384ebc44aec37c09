//! The constant tables of a service, and the function that describes it in full.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Path, Type};

use crate::model::{Access, Method, RoleWord, Service};

use super::{at, defaults, params::owned_type, place::Places, stream::StreamTypes, text};

/// `__METHODS`, `__SERVICE` and `__DESCRIPTOR`; `object` is whose `Definition` describes the service.
pub(super) fn tables(service: &Service, object: &Type, root: &Path) -> TokenStream {
    let name = text(&service.names.service);
    let version = match &service.version {
        Some(version) => {
            let version = text(version);
            quote!(#version)
        }
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let roles = service.roles.iter().map(|role| role_path(role, root));
    let places = Places::of(service);
    let methods = service.methods.iter().enumerate().map(|(index, method)| {
        let (conditions, spec) = (&method.conditions, method_spec(service, &places.place(index, &method.ident), method, root));
        quote!(#(#conditions)* #spec)
    });
    let (counted, count) = (places.items(service), places.count(service));
    // The methods name it: without any, all of them being mistakes, nothing does.
    let unnamed = service.methods.is_empty().then(|| quote!(#[allow(dead_code)]));
    quote! {
        #counted
        #unnamed
        static __DESCRIPTOR: #root::LazyDescriptor =
            #root::LazyDescriptor::new(<#object as #root::Definition>::describe);
        static __METHODS: [#root::MethodSpec; #count] = [#(#methods),*];
        static __SERVICE: #root::ServiceSpec = #root::ServiceSpec {
            name: #root::Cow::Borrowed(#name),
            version: #root::Cow::Borrowed(#version),
            methods: #root::Cow::Borrowed(&__METHODS),
            roles: #root::Cow::Borrowed(&[#(#roles),*]),
        };
    }
}

/// `fn describe()`: the full description, made when it is asked for.
pub(super) fn describe(service: &Service, object: &Type, root: &Path) -> TokenStream {
    let description = text(&service.description);
    let places = Places::of(service);
    let methods = service.methods.iter().enumerate().map(|(index, method)| {
        let described = describe_method(&places.place(index, &method.ident), method, object, root);
        match &method.conditions[..] {
            [] => described,
            conditions => quote!(#(#conditions)* { #described }),
        }
    });
    quote! {
        fn describe() -> #root::ServiceDescriptor {
            let mut __service = #root::Describe::new(&__SERVICE, #description);
            #(#methods)*
            __service.finish()
        }
    }
}

fn method_spec(service: &Service, index: &TokenStream, method: &Method, root: &Path) -> TokenStream {
    let (service_name, name) = (text(&service.names.service), text(&method.wire_name));
    let path = text(&format!("{}/{}", service.names.service, method.wire_name));
    let params = method.params.iter().map(|param| {
        let name = text(&param.wire_name);
        quote!(#root::ParamSpec { name: #root::Cow::Borrowed(#name) })
    });
    let access = access(&method.access, root);
    let Method { idempotent, read_only, detached, track_metrics, .. } = method;
    let streams = method.items.is_some();
    let timeout = match method.timeout {
        Some(timeout) => {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            quote!(::core::option::Option::Some(::core::time::Duration::from_millis(#millis)))
        }
        None => quote!(::core::option::Option::None),
    };
    quote! {
        #root::MethodSpec {
            service: #root::Cow::Borrowed(#service_name),
            name: #root::Cow::Borrowed(#name),
            path: #root::Cow::Borrowed(#path),
            index: #index,
            params: #root::Cow::Borrowed(&[#(#params),*]),
            access: #access,
            idempotent: #idempotent,
            read_only: #read_only,
            detached: #detached,
            track_metrics: #track_metrics,
            streams: #streams,
            timeout: #timeout,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        }
    }
}

/// Who may call, as an expression that is a constant.
pub(super) fn access(access: &Access, root: &Path) -> TokenStream {
    match access {
        Access::Nodes => quote!(#root::Access::Nodes),
        Access::Public => quote!(#root::Access::Public),
        Access::Anonymous => quote!(#root::Access::Anonymous),
        Access::Scope(scope) => {
            let scope = text(scope);
            quote!(#root::Access::Scope(#root::Cow::Borrowed(#scope)))
        }
        Access::Role(role) => {
            let role = role_path(role, root);
            quote!(#root::Access::Role(#role))
        }
    }
}

pub(super) fn role_path(role: &RoleWord, root: &Path) -> TokenStream {
    let word = &role.0;
    quote!(#root::Role::#word)
}

fn describe_method(index: &TokenStream, method: &Method, object: &Type, root: &Path) -> TokenStream {
    let description = text(&method.description);
    let described = match &method.items {
        None => {
            let outcome = &method.outcome;
            quote_spanned!(at(outcome)=> method::<#outcome>)
        }
        Some(items) => {
            let StreamTypes { kind, outcome, .. } = StreamTypes::of(method, items, root);
            quote_spanned!(at(&items.written)=> stream::<#kind, #outcome>)
        }
    };
    let params = method.params.iter().enumerate().map(|(place, param)| {
        let (name, owned) = (text(&param.wire_name), owned_type(param, root));
        let default = match &param.default {
            Some(_) => {
                let default = defaults::function(object, method, place);
                quote!(#root::to_value(&#default()))
            }
            None => quote!(::core::option::Option::None),
        };
        // At the type's own span, so that the compiler's complaint about it stands there.
        quote_spanned!(at(&param.written)=> __service.param::<#owned>(#name, #default);)
    });
    quote_spanned! {at(&method.outcome)=>
        __service.#described(&__METHODS[#index], #description);
        #(#params)*
    }
}
