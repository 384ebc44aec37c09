//! What `#[serde(…)]` says, as far as a message follows it.

use syn::{Attribute, Expr, ExprLit, ExprPath, Lit, LitStr, Meta, Token, punctuated::Punctuated};

/// The words on one type, variant or field.
#[derive(Default)]
pub(crate) struct SerdeWords {
    pub(crate) rename: Option<String>,
    pub(crate) rename_all: Option<String>,
    pub(crate) rename_all_fields: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) default: Option<Default>,
    pub(crate) skip: bool,
    pub(crate) skip_serializing_if: Option<ExprPath>,
    pub(crate) transparent: bool,
    /// Words that a message does not follow.
    pub(crate) others: bool,
}

/// Where the value of a field comes from that is not there.
#[derive(Clone)]
pub(crate) enum Default {
    /// `default`
    Trait,
    /// `default = "path"`
    Path(ExprPath),
}

impl SerdeWords {
    /// Reads all `#[serde(…)]` of one place. What is written wrongly is for serde's own derives to tell.
    pub(crate) fn read(attributes: &[Attribute]) -> Self {
        let mut words = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            match attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
                Ok(metas) => metas.iter().for_each(|meta| words.note(meta)),
                Err(_) => words.others = true,
            }
        }
        words
    }

    fn note(&mut self, meta: &Meta) {
        let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
        match (name.as_str(), meta) {
            ("default", Meta::Path(_)) => self.default = Some(Default::Trait),
            ("skip", Meta::Path(_)) => self.skip = true,
            ("transparent", Meta::Path(_)) => self.transparent = true,
            // Neither changes what is written, nor how that is read.
            ("deny_unknown_fields", Meta::Path(_)) | ("expecting", Meta::NameValue(_)) => {}
            (name, Meta::NameValue(pair)) => match text(&pair.value) {
                Some(text) => self.note_text(name, &text),
                None => self.others = true,
            },
            _ => self.others = true,
        }
    }

    fn note_text(&mut self, name: &str, text: &LitStr) {
        match name {
            "rename" => self.rename = Some(text.value()),
            "rename_all" => self.rename_all = Some(text.value()),
            "rename_all_fields" => self.rename_all_fields = Some(text.value()),
            "alias" => self.aliases.push(text.value()),
            "default" => self.default = self.path(text).map(Default::Path),
            "skip_serializing_if" => self.skip_serializing_if = self.path(text),
            _ => self.others = true,
        }
    }

    fn path(&mut self, text: &LitStr) -> Option<ExprPath> {
        let path = text.parse().ok();
        self.others |= path.is_none();
        path
    }

    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { rename, rename_all, rename_all_fields, aliases, default, skip, skip_serializing_if, transparent, others } =
            self;
        rename.is_none()
            && rename_all.is_none()
            && rename_all_fields.is_none()
            && aliases.is_empty()
            && default.is_none()
            && !skip
            && skip_serializing_if.is_none()
            && !transparent
            && !others
    }
}

fn text(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
        _ => None,
    }
}
