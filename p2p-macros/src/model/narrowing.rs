//! `#[service_method(nodes)]` on a method of a contract's host: fewer may call it there than the contract says.

use proc_macro2::Span;
use syn::{Attribute, Ident, spanned::Spanned};

use crate::{
    errors::Errors,
    parse::{Function, MethodArgs},
};

use super::Access;

/// Who may call a method of one host.
pub(crate) struct Narrowing {
    pub(crate) method: Ident,
    /// `#[cfg(…)]` of the method.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) access: Access,
    /// Where it is said.
    pub(crate) span: Span,
}

/// How it is said.
const FORM: &str = "write #[service_method(nodes)], or public, scope = \"…\" or role = \"…\" in the place of nodes";

impl Narrowing {
    /// Reads what a host says of a method, if it says something.
    pub(crate) fn read(function: &Function, errors: &mut Errors) -> Option<Self> {
        let attribute = function.service_method()?;
        for again in function.service_methods().skip(1) {
            errors.at(again, format_args!("a host says once who may call a method: {FORM}"));
        }
        let mut of_words = Errors::default();
        let args = MethodArgs::read(attribute, &mut of_words);
        if !errors.absorb(of_words) {
            return None;
        }
        for word in &args.others {
            errors.at(
                word,
                format_args!("`{word}` is the contract's to say, on its method; a host can only narrow who may call: {FORM}"),
            );
        }
        if args.access.is_none() && args.others.is_empty() {
            errors.at(
                attribute,
                format_args!(
                    "every method of a contract can be called; a host can only narrow who may call: {FORM}; or take it away"
                ),
            );
        }
        let access = Access::read(args.access?, errors)?;
        Some(Self {
            method: function.signature.ident.clone(),
            conditions: function.conditions().cloned().collect(),
            access,
            span: args.access_at.unwrap_or_else(|| attribute.span()),
        })
    }
}
