//! Where a method stands in the tables of its service.
//!
//! Its number, as long as all methods are there whenever the service is. With methods under `#[cfg]` only the compiler knows the
//! numbers, and it is an enum that counts: each variant is under the condition of its method.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

use crate::model::{Method, Service};

/// How the methods of one service are counted.
#[derive(Clone, Copy)]
pub(super) enum Places {
    /// By us.
    Fixed,
    /// By the compiler.
    Conditional,
}

impl Places {
    pub(super) fn of(service: &Service) -> Self {
        if service.methods.iter().all(|method| method.conditions.is_empty()) { Self::Fixed } else { Self::Conditional }
    }

    /// What the other expressions need to be in scope.
    pub(super) fn items(self, service: &Service) -> TokenStream {
        if matches!(self, Self::Fixed) {
            return TokenStream::new();
        }
        let variants = service.methods.iter().map(|Method { conditions, ident, .. }| quote!(#(#conditions)* #ident));
        quote! {
            #[allow(non_camel_case_types, dead_code)]
            #[derive(::core::clone::Clone, ::core::marker::Copy)]
            enum __Place { #(#variants),* }
        }
    }

    /// How many methods there are.
    pub(super) fn count(self, service: &Service) -> TokenStream {
        match self {
            Self::Fixed => {
                let count = service.methods.len();
                quote!(#count)
            }
            Self::Conditional => {
                let each = service.methods.iter().map(|Method { conditions, .. }| quote!(#(#conditions)* ()));
                quote!({ let __each: &[()] = &[#(#each),*]; __each.len() })
            }
        }
    }

    /// The place of the method that was written at `index`.
    pub(super) fn place(self, index: usize, ident: &Ident) -> TokenStream {
        match self {
            Self::Fixed => quote!(#index),
            Self::Conditional => quote!((__Place::#ident as usize)),
        }
    }

    /// What matches that place in a `match`.
    pub(super) fn pattern(self, index: usize, ident: &Ident) -> TokenStream {
        match self {
            Self::Fixed => quote!(#index),
            Self::Conditional => quote!(__place if __place == __Place::#ident as usize),
        }
    }
}
