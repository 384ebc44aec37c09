//! `#[derive(FromCallError)]`: an own error made of a failed call, so that `?` takes the error of a call into it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Path};

use crate::{errors::Errors, model::from_call::FromCall};

use super::{Entry, at};

/// What `#[derive(FromCallError)]` makes of an enum; on mistakes, the mistakes.
pub(crate) fn from_call(input: &TokenStream, entry: Entry) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(input.clone()) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let read = FromCall::read(input, &mut errors);
    let root = entry.root(read.as_ref().and_then(|read| read.krate.as_ref()), &mut errors);
    let implementation = read.filter(|_| errors.is_empty()).map(|read| implementation(&read, &root));
    let told = errors.into_tokens();
    quote!(#implementation #told)
}

fn implementation(error: &FromCall, root: &Path) -> TokenStream {
    let FromCall { ident, generics, variant, holds, krate: _ } = error;
    // At the type that is held, so that it is pointed at where a failed call cannot become it.
    let held = holds.as_ref().map(|(member, ty)| {
        let made = quote_spanned!(at(ty)=> <#ty as #root::HoldsFailedCall>::of_failed);
        quote!(#member: #made(#root::FailedCall::from(__error)))
    });
    let unused = holds.is_none().then(|| quote!(let _ = __error;));
    let (_, type_generics, where_clause) = generics.split_for_impl();
    let mut generics = generics.clone();
    generics.params.push(syn::parse_quote!(__E: ::core::fmt::Display));
    let (impl_generics, ..) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::core::convert::From<#root::CallError<__E>> for #ident #type_generics #where_clause {
            fn from(__error: #root::CallError<__E>) -> Self {
                #unused
                Self::#variant { #held }
            }
        }
    }
}
