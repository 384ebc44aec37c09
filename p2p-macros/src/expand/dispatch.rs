//! Serving methods from JSON, and calling them with Rust values.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Path, Type};

use crate::model::{Items, Method, Param, Passing, Service};

use super::{
    at, defaults,
    descriptor::{self, owned_type},
    forms::{form, key, located, result_form},
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

/// `impl Definition for Greeter`
///
/// Its local names begin with `__`, as the users' defaults are written among them.
pub(super) fn definition(service: &Service, object: &Type, callee: Callee, root: &Path) -> TokenStream {
    let places = Places::of(service);
    let arms = service.methods.iter().enumerate().map(|(index, method)| arm(places, index, method, object, callee, root));
    let describe = descriptor::describe(service, object, root);
    let defaults = defaults::defaults(service, object, root);
    let none = text(&service.names.service);
    quote! {
        #defaults

        #[allow(deprecated)]
        #[automatically_derived]
        impl #root::__private::Definition for #object {
            const SPEC: &'static #root::__private::ServiceSpec = &__SERVICE;

            #describe

            fn serve<'a>(
                &'a self,
                __index: usize,
                __cx: &'a #root::__private::CallContext,
                __params: #root::__private::Params<'a>,
            ) -> #root::__private::ServeFuture<'a> {
                let __object = self;
                match __index {
                    #(#arms)*
                    _ => #root::__private::no_such_method(#none, __cx, __params),
                }
            }
        }
    }
}

fn arm(places: Places, index: usize, method: &Method, object: &Type, callee: Callee, root: &Path) -> TokenStream {
    let (pattern, index) = (places.pattern(index, &method.ident), places.place(index, &method.ident));
    let conditions = &method.conditions;
    let names = value_names(method);
    let values = if method.params.is_empty() {
        quote!(__params.split(&__METHODS[#index].params)?;)
    } else {
        values(&index, method, object, &names, root)
    };
    let encoded = match &method.items {
        None => encoded_result(method, callee, &names, root),
        Some(items) => encoded_items(method, items, callee, &names, root),
    };
    quote_spanned! {at(&method.ident)=>
        #(#conditions)*
        #pattern => ::std::boxed::Box::pin(async move {
            #values
            #encoded
        }),
    }
}

/// The result's JSON.
fn encoded_result(method: &Method, callee: Callee, names: &[Ident], root: &Path) -> TokenStream {
    let call = invoke(method, callee, &quote!(__object), &quote!(__cx), names, root);
    let outcome = &method.outcome;
    let form = result_form(outcome, root);
    let located = located(root, at(outcome));
    let returned = quote_spanned!(at(&method.ident)=> #call.await);
    quote_spanned!(at(outcome)=> #located::__private::encode_outcome::<#outcome>(#form, #returned))
}

/// The items' JSON, to where the context says; then null.
fn encoded_items(method: &Method, items: &Items, callee: Callee, names: &[Ident], root: &Path) -> TokenStream {
    let types = StreamTypes::of(method, items, root);
    let (StreamTypes { kind, outcome, .. }, form) = (&types, types.form(root));
    let call = fed(method, &types, callee, (&quote!(__object), &quote!(__cx), &quote!(&__items)), names, root);
    let located = located(root, at(outcome));
    quote_spanned! {at(&method.ident)=>
        let __items = #located::__private::json_items::<#kind, #outcome, _>(#form, __cx)?;
        #located::__private::encode_end(#call.await)
    }
}

/// Binds the parameters to these names: read straight where they stand as a proxy writes them, else one by one from their slots. Defaults
/// are made last, and once.
fn values(index: &TokenStream, method: &Method, object: &Type, names: &[Ident], root: &Path) -> TokenStream {
    let straight = method.params.iter().map(|param| {
        let owned = owned_type(param, root);
        let (form, key, take) = (form(&owned, root), key(param), take(param));
        quote_spanned!(at(&param.written)=> __params.#take::<#owned>(#form, #key)?)
    });
    let (slots, defaults) = (from_slots(method, root), with_defaults(method, object, names));
    quote! {
        let (#(#names,)*) = match __params.straight(|__params| ::core::option::Option::Some((#(#straight,)*))) {
            ::core::option::Option::Some(__values) => __values,
            ::core::option::Option::None => {
                let mut __slots = __params.split(&__METHODS[#index].params)?;
                #slots
            }
        };
        #defaults
    }
}

/// The parameters as a tuple, taken one by one from `__slots`.
pub(super) fn from_slots(method: &Method, root: &Path) -> TokenStream {
    let slots = method.params.iter().enumerate().map(|(place, param)| {
        let (owned, take) = (owned_type(param, root), take(param));
        quote_spanned!(at(&param.written)=> __slots.#take::<#owned>(#place)?)
    });
    quote!((#(#slots,)*))
}

/// Puts defaults in the place of parameters that were not given.
pub(super) fn with_defaults(method: &Method, object: &Type, names: &[Ident]) -> TokenStream {
    let defaults = method.params.iter().zip(names).enumerate().filter_map(|(place, (param, name))| {
        let default = param.default.is_some().then(|| defaults::function(object, method, place))?;
        Some(quote_spanned!(at(&param.written)=> let #name = #name.unwrap_or_else(#default);))
    });
    quote!(#(#defaults)*)
}

/// How a parameter is taken: with a default, whether it was given is to be known.
fn take(param: &Param) -> Ident {
    format_ident!("{}", if param.default.is_some() { "take_given" } else { "take" })
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
                quote_spanned!(at(inner)=> <_ as #root::__private::Borrow<#inner>>::borrow(&#name))
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
