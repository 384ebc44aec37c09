//! How the parameters of each method travel, written once: the host reads by it, the proxy writes, and the mock reads.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, LitStr, Path, Type, ext::IdentExt};

use crate::model::{Method, Param, Passing, Service};

use super::{at, defaults, forms::form, json::escaped, text};

/// A function for each method that takes parameters. It gives their forms; what they are like is for the compiler to know.
pub(super) fn params(service: &Service, object: &Type, root: &Path) -> TokenStream {
    let taking = service.methods.iter().filter(|method| !method.params.is_empty());
    let functions = taking.map(|method| {
        let (conditions, name) = (&method.conditions, name(method));
        let types = types(method, root);
        let forms = method.params.iter().enumerate().map(|(place, param)| param_form(method, place, param, object, root));
        quote_spanned! {at(&method.ident)=>
            #(#conditions)*
            fn #name() -> impl #root::ParamForms<#types> {
                (#(#forms,)*)
            }
        }
    });
    quote!(#(#functions)*)
}

/// The expression that gives them.
pub(super) fn forms(method: &Method) -> TokenStream {
    if method.params.is_empty() {
        return quote!(());
    }
    let name = name(method);
    quote!(#name())
}

/// Their types, as a tuple.
pub(super) fn types(method: &Method, root: &Path) -> TokenStream {
    let types = method.params.iter().map(|param| owned_type(param, root));
    quote!((#(#types,)*))
}

fn param_form(method: &Method, place: usize, param: &Param, object: &Type, root: &Path) -> TokenStream {
    let (form, key) = (form(&owned_type(param, root), root), key(param));
    if param.default.is_none() {
        return quote_spanned!(at(&param.written)=> #root::NoDefault(#form, #key));
    }
    let default = defaults::function(object, method, place);
    quote_spanned! {at(&param.written)=>
        #root::WithDefault(#form, #key, #default, {
            static __DEFAULT: #root::DefaultJson = #root::DefaultJson::new();
            &__DEFAULT
        })
    }
}

/// The type that a parameter has on its way: what it is, or what a borrowed one is borrowed from.
pub(super) fn owned_type(param: &Param, root: &Path) -> TokenStream {
    match &param.passing {
        Passing::Text | Passing::Owned => {
            let written = &param.written;
            quote!(#written)
        }
        Passing::Borrowed(inner) => quote_spanned!(at(inner)=> <#inner as #root::ToOwned>::Owned),
    }
}

fn name(method: &Method) -> Ident {
    format_ident!("__params_of_{}", method.ident.unraw())
}

/// A parameter's key, with the comma before it.
fn key(param: &Param) -> LitStr {
    text(&format!(",{}:", escaped(&param.wire_name)))
}
