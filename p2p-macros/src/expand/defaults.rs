//! The defaults of parameters, each written once: the description, the host and the proxy call the same function.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Path, Type};

use crate::model::{Method, Service};

use super::{at, params::owned_type};

/// `trait __Defaults`, on the service's own type, as a default may say `Self`. Nothing where there are no defaults.
pub(super) fn defaults(service: &Service, object: &Type, root: &Path) -> TokenStream {
    let (mut signatures, mut bodies) = (Vec::new(), Vec::new());
    for method in &service.methods {
        for (place, param) in method.params.iter().enumerate() {
            let Some(default) = &param.default else { continue };
            let (name, owned, conditions) = (name(method, place), owned_type(param, root), &method.conditions);
            signatures.push(quote_spanned!(at(&param.written)=> #(#conditions)* fn #name() -> #owned;));
            bodies.push(quote_spanned!(at(&param.written)=> #(#conditions)* fn #name() -> #owned { #default }));
        }
    }
    if signatures.is_empty() {
        return TokenStream::new();
    }
    quote! {
        trait __Defaults { #(#signatures)* }

        #[allow(deprecated)]
        #[automatically_derived]
        impl __Defaults for #object { #(#bodies)* }
    }
}

/// The function that makes the default of a parameter; `object` is what [`defaults`] was given.
pub(super) fn function(object: &Type, method: &Method, place: usize) -> TokenStream {
    let name = name(method, place);
    quote!(<#object as __Defaults>::#name)
}

fn name(method: &Method, place: usize) -> Ident {
    format_ident!("__default_{}_{place}", method.ident)
}
