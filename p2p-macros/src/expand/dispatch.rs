//! Serving methods from JSON, and calling them with Rust values.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Path, Type, ext::IdentExt};

use crate::model::{Items, Method, Passing, Service};

use super::{
    at, defaults, descriptor,
    forms::{located, result_form},
    params::forms,
    place::Places,
    stream::{StreamTypes, fed},
    text,
};

/// What a method is called on.
#[derive(Clone, Copy)]
pub(super) enum Callee {
    /// The user's own type.
    Own,
    /// A contract's `dyn __Object`, whose methods take the context and owned values.
    Contract,
}

/// `impl Definition for Greeter`, and a function for each method: what is compiled again after a change of one are not all of them.
///
/// Its local names begin with `__`, as the users' defaults are written among them.
pub(super) fn definition(service: &Service, object: &Type, callee: Callee, root: &Path) -> TokenStream {
    let places = Places::of(service);
    let methods = service.methods.iter().enumerate();
    let functions = methods.clone().map(|(index, method)| served(places, index, method, object, callee, root));
    let arms = methods.map(|(index, method)| {
        let (conditions, name) = (&method.conditions, serve_name(method));
        let pattern = places.pattern(index, &method.ident);
        quote!(#(#conditions)* #pattern => #name(self, __cx, __params),)
    });
    let describe = descriptor::describe(service, object, root);
    let defaults = defaults::defaults(service, object, root);
    let none = text(&service.names.service);
    quote! {
        #defaults
        #(#functions)*

        #[automatically_derived]
        impl #root::Definition for #object {
            const SPEC: &'static #root::ServiceSpec = &__SERVICE;

            #describe

            fn serve<'a>(
                &'a self,
                __index: usize,
                __cx: &'a #root::CallContext,
                __params: #root::Params<'a>,
            ) -> #root::ServeFuture<'a> {
                match __index {
                    #(#arms)*
                    _ => #root::no_such_method(#none, __cx, __params),
                }
            }
        }
    }
}

/// The function that serves one method.
fn served(places: Places, index: usize, method: &Method, object: &Type, callee: Callee, root: &Path) -> TokenStream {
    let index = places.place(index, &method.ident);
    let (conditions, name, names, forms) = (&method.conditions, serve_name(method), value_names(method), forms(method));
    let encoded = match &method.items {
        None => encoded_result(method, callee, &names, root),
        Some(items) => encoded_items(method, items, callee, &names, root),
    };
    let located = located(root, at(&method.ident));
    quote_spanned! {at(&method.ident)=>
        #(#conditions)*
        #[allow(deprecated)]
        fn #name<'a>(__object: &'a #object, __cx: &'a #root::CallContext, __params: #root::Params<'a>) -> #root::ServeFuture<'a> {
            ::std::boxed::Box::pin(async move {
                let (#(#names,)*) = #located::read(#forms, __params, &__METHODS[#index])?;
                #encoded
            })
        }
    }
}

fn serve_name(method: &Method) -> Ident {
    format_ident!("__serve_{}", method.ident.unraw())
}

/// The result's JSON.
fn encoded_result(method: &Method, callee: Callee, names: &[Ident], root: &Path) -> TokenStream {
    let call = invoke(method, callee, &quote!(__object), &quote!(__cx), names, root);
    let outcome = &method.outcome;
    let form = result_form(outcome, root);
    let located = located(root, at(outcome));
    let returned = quote_spanned!(at(&method.ident)=> #call.await);
    quote_spanned!(at(outcome)=> #located::encode_outcome::<#outcome>(#form, #returned))
}

/// The items' JSON, to where the context says; then null.
fn encoded_items(method: &Method, items: &Items, callee: Callee, names: &[Ident], root: &Path) -> TokenStream {
    let types = StreamTypes::of(method, items, root);
    let (StreamTypes { kind, outcome, .. }, form) = (&types, types.form(root));
    let call = fed(method, &types, callee, (&quote!(__object), &quote!(__cx), &quote!(&__items)), names, root);
    let located = located(root, at(outcome));
    quote_spanned! {at(&method.ident)=>
        let __items = #located::json_items::<#kind, #outcome, _>(#form, __cx)?;
        #located::encode_end(#call.await)
    }
}

/// The expression that calls the method with owned values of these names.
pub(super) fn invoke(
    method: &Method,
    callee: Callee,
    object: &TokenStream,
    cx: &TokenStream,
    names: &[Ident],
    root: &Path,
) -> TokenStream {
    let ident = &method.ident;
    match callee {
        Callee::Contract => quote_spanned!(at(ident)=> __Object::#ident(#object, #cx, (#(#names,)*))),
        Callee::Own => {
            let arguments = arguments(method, cx, names, root);
            quote_spanned!(at(ident)=> #object.#ident(#(#arguments),*))
        }
    }
}

/// The arguments as the user's method takes them: the context in its place, borrowed values lent.
pub(super) fn arguments(method: &Method, cx: &TokenStream, names: &[Ident], root: &Path) -> Vec<TokenStream> {
    let mut arguments: Vec<TokenStream> = method
        .params
        .iter()
        .zip(names)
        .map(|(param, name)| match &param.passing {
            Passing::Text | Passing::Owned => quote!(#name),
            Passing::Borrowed(inner) => {
                quote_spanned!(at(inner)=> <_ as #root::Borrow<#inner>>::borrow(&#name))
            }
        })
        .collect();
    if let Some(at) = method.context_at {
        arguments.insert(at, cx.clone());
    }
    arguments
}

/// Names for the values of a method's parameters that can hide nothing of the user's.
pub(super) fn value_names(method: &Method) -> Vec<Ident> {
    (0..method.params.len()).map(|index| format_ident!("__value_{index}")).collect()
}
