//! Methods that stream: what stands for their streams where a type needs a name, and how their items are handed on.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Ident, Path, Type, visit_mut::VisitMut};

use crate::model::{Items, Method};

use super::{
    at,
    dispatch::{Callee, arguments},
    forms::located,
};

/// The types by which generated code speaks of a method that streams.
pub(super) struct StreamTypes {
    /// Whether its items are values or results.
    pub(super) kind: TokenStream,
    /// Its return type, with a name in the place of `impl Stream`.
    pub(super) outcome: Type,
    /// What its caller gets of each item.
    pub(super) value: TokenStream,
    /// Its own error type.
    pub(super) error: TokenStream,
}

impl StreamTypes {
    pub(super) fn of(method: &Method, items: &Items, root: &Path) -> Self {
        let written = &items.written;
        let span = at(written);
        let kind = if items.are_results { quote_spanned!(span=> #root::Results) } else { quote_spanned!(span=> #root::Values) };
        let outcome = named(&method.outcome, &syn::parse_quote_spanned!(span=> #root::StreamOf<#written>));
        let value = quote_spanned!(span=> <#outcome as #root::StreamOutcome<#kind>>::Value);
        let error = quote_spanned!(span=> <#outcome as #root::StreamOutcome<#kind>>::Err);
        Self { kind, outcome, value, error }
    }

    /// The form of its items.
    pub(super) fn form(&self, root: &Path) -> TokenStream {
        let Self { kind, outcome, .. } = self;
        let root = located(root, at(outcome));
        quote_spanned!(at(outcome)=> (&#root::item_probe::<#kind, #outcome>()).form())
    }
}

/// A return type with another in the place of `impl Stream`.
fn named(outcome: &Type, stream: &Type) -> Type {
    struct Name<'a>(&'a Type);
    impl VisitMut for Name<'_> {
        fn visit_type_mut(&mut self, written: &mut Type) {
            match written {
                Type::ImplTrait(_) => *written = self.0.clone(),
                _ => syn::visit_mut::visit_type_mut(self, written),
            }
        }
    }
    let mut outcome = outcome.clone();
    Name(stream).visit_type_mut(&mut outcome);
    outcome
}

/// A return type whose `impl Stream` can cross threads, as a contract promises it.
pub(super) fn sendable(outcome: &Type) -> Type {
    struct Send;
    impl VisitMut for Send {
        fn visit_type_impl_trait_mut(&mut self, opaque: &mut syn::TypeImplTrait) {
            opaque.bounds.push(syn::parse_quote!(::core::marker::Send));
        }
    }
    let mut outcome = outcome.clone();
    Send.visit_type_mut(&mut outcome);
    outcome
}

/// The future that runs a method to the end of its stream, whose items `to` takes.
pub(super) fn fed(
    method: &Method,
    types: &StreamTypes,
    callee: Callee,
    (object, cx, to): (&TokenStream, &TokenStream, &TokenStream),
    names: &[Ident],
    root: &Path,
) -> TokenStream {
    let (ident, kind) = (&method.ident, &types.kind);
    match callee {
        Callee::Contract => quote_spanned!(at(ident)=> __Object::#ident(#object, #cx, (#(#names,)*), #to)),
        Callee::Own => {
            let arguments = arguments(method, cx, names, root);
            let located = located(root, at(&types.outcome));
            quote_spanned!(at(ident)=> #located::feed::<#kind, _>(#cx, #to, #object.#ident(#(#arguments),*)))
        }
    }
}
