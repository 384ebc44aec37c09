//! A host that narrows its contract: its own tables, and the check that it widens nothing.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Path, Type, ext::IdentExt};

use crate::model::Narrowing;

use super::{descriptor::access, forms::located, text};

/// The host's tables: the contract's, narrowed. `checks` are for a host that is generic, of which the compiler knows the contract only where it is
/// used.
pub(super) fn tables(
    narrower: &[Narrowing],
    (object, contract): (&Type, &Path),
    spec: &TokenStream,
    checks: &TokenStream,
    root: &Path,
) -> TokenStream {
    if narrower.is_empty() {
        return spec.clone();
    }
    let each = narrower.iter().map(|Narrowing { method, conditions, access: who, .. }| {
        let (name, who) = (text(&method.unraw().to_string()), access(who, root));
        quote!(#(#conditions)* (#name, #who))
    });
    quote! {
        #checks
        const __NARROWER: &[(&::core::primitive::str, #root::Access)] = &[#(#each),*];
        static __NARROWED: #root::Narrowed = #root::Narrowed::new();
        __NARROWED.of(#spec, <#object as #contract>::__P2P_ACCESS, __NARROWER)
    }
}

/// What fails to compile where a host lets in whom its contract does not. It stands where the host says so.
pub(super) fn checks(narrower: &[Narrowing], (object, contract): (&Type, &Path), is_generic: bool, root: &Path) -> TokenStream {
    let each = narrower.iter().map(|Narrowing { method, conditions, access: who, span }| {
        let (name, who) = (text(&method.unraw().to_string()), access(who, root));
        let said = text(&format!(
            "`{method}` is for more callers here than in the contract, whose word callers rely on; a host can only narrow it"
        ));
        let span = span.resolved_at(Span::call_site());
        let there = located(root, span);
        let check = quote_spanned! {span=>
            ::core::assert!(#there::stays_within(<#object as #contract>::__P2P_ACCESS, #name, &#who), #said)
        };
        if is_generic { quote!(#(#conditions)* const { #check };) } else { quote!(#(#conditions)* const _: () = #check;) }
    });
    quote!(#(#each)*)
}
