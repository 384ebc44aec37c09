//! By which form a value travels, as generated code asks for it (`p2p_client::codec`).

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Path, Type};

use super::at;

/// What the expressions that [`form`] makes need to be in scope.
pub(super) fn imports(root: &Path) -> TokenStream {
    quote! {
        #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
        use #root::{Form as _, ViaMessage as _, ViaSerde as _};
    }
}

/// The form of a type: its own, if it is a message, else that of serde_json.
pub(super) fn form(ty: &impl ToTokens, root: &Path) -> TokenStream {
    quote_spanned!(at(&ty.to_token_stream())=> (&#root::Probe::<#ty>::NEW).form())
}

/// The form of what a method returns when all is well.
pub(super) fn result_form(outcome: &Type, root: &Path) -> TokenStream {
    let root = located(root, at(outcome));
    quote_spanned!(at(outcome)=> (&#root::result_probe::<#outcome>()).form())
}

/// A path as if it stood at another place, so that what is wrong with an expression is shown there, and not from the attribute on.
pub(super) fn located(path: &Path, span: Span) -> TokenStream {
    let moved = path.to_token_stream().into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    moved.collect()
}
