//! By which form a value travels, as generated code asks for it (`p2p_client::codec`).

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{LitStr, Path};

use crate::model::Param;

use super::{at, json::escaped, text};

/// What the expressions that [`form`] makes need to be in scope.
pub(super) fn imports(root: &Path) -> TokenStream {
    quote! {
        #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
        use #root::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    }
}

/// The form of a type: its own, if it is a message, else that of serde_json.
pub(super) fn form(ty: &impl ToTokens, root: &Path) -> TokenStream {
    quote_spanned!(at(&ty.to_token_stream())=> (&#root::__private::Probe::<#ty>::NEW).form())
}

/// A parameter's key, with the comma before it.
pub(super) fn key(param: &Param) -> LitStr {
    text(&format!(",{}:", escaped(&param.wire_name)))
}
