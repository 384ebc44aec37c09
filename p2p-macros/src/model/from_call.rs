//! An enum under `#[derive(FromCallError)]`: which variant a failed call becomes, and what that holds.

use syn::{Attribute, Data, DataEnum, DeriveInput, Generics, Ident, LitStr, Member, Meta, Type};

use crate::errors::Errors;

/// An own error that is made of a failed call.
pub(crate) struct FromCall {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) variant: Ident,
    /// What of the failed call the variant holds, if anything.
    pub(crate) holds: Option<(Member, Type)>,
    /// `#[from_call(crate = "…")]`
    pub(crate) krate: Option<LitStr>,
}

/// How it is written.
const FORM: &str = "    #[derive(FromCallError)]\n    enum OrderError {\n        SoldOut,\n        #[from_call]\n        Failed(FailedCall),\n    }";

impl FromCall {
    pub(crate) fn read(input: DeriveInput, errors: &mut Errors) -> Option<Self> {
        let krate = read_crate(&input.attrs, errors);
        let Data::Enum(data) = &input.data else {
            errors.at(
                &input.ident,
                format_args!(
                    "an own error that a failed call becomes is an enum, one of whose variants stands for that:\n\n{FORM}"
                ),
            );
            return None;
        };
        let (variant, holds) = read_variant(data, &input.ident, errors)?;
        Some(Self { ident: input.ident, generics: input.generics, variant, holds, krate })
    }
}

/// The one variant under `#[from_call]`.
fn read_variant(data: &DataEnum, ident: &Ident, errors: &mut Errors) -> Option<(Ident, Option<(Member, Type)>)> {
    let mut marked = None;
    for variant in &data.variants {
        for attribute in variant.attrs.iter().filter(|attribute| is_ours(attribute)) {
            if !matches!(attribute.meta, Meta::Path(_)) {
                errors.at(attribute, "#[from_call] stands alone on a variant");
            }
            if marked.replace(variant).is_some() {
                errors.at(
                    attribute,
                    "a failed call becomes one variant, and one is under #[from_call] already; take this one away",
                );
            }
        }
        for attribute in variant.fields.iter().flat_map(|field| &field.attrs).filter(|attribute| is_ours(attribute)) {
            errors.at(attribute, format_args!("#[from_call] stands on the variant, not on what it holds:\n\n{FORM}"));
        }
    }
    let Some(variant) = marked else {
        if errors.is_empty() {
            errors.at(ident, format_args!("no variant says that it is what a failed call becomes; mark one:\n\n{FORM}"));
        }
        return None;
    };
    if variant.fields.len() > 1 {
        errors.at(
            &variant.fields,
            "a variant under #[from_call] holds the failed call and nothing else, as nothing else is known: `Failed(FailedCall)`, `Failed(String)`, or only `Failed`",
        );
        return None;
    }
    let holds =
        variant.fields.members().next().zip(variant.fields.iter().next()).map(|(member, field)| (member, field.ty.clone()));
    Some((variant.ident.clone(), holds))
}

/// Reads `#[from_call(crate = "…")]` on the enum.
fn read_crate(attributes: &[Attribute], errors: &mut Errors) -> Option<LitStr> {
    let mut krate = None;
    for attribute in attributes.iter().filter(|attribute| is_ours(attribute)) {
        if matches!(attribute.meta, Meta::Path(_)) {
            errors.at(attribute, format_args!("#[from_call] stands on the variant that a failed call becomes:\n\n{FORM}"));
            continue;
        }
        let read = attribute.parse_nested_meta(|word| {
            if word.path.is_ident("crate") {
                krate = Some(word.value()?.parse()?);
                Ok(())
            } else {
                Err(word.error("#[from_call] takes only crate = \"::p2p_runtime\", on the enum; on a variant it stands alone"))
            }
        });
        errors.take(read);
    }
    krate
}

fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().is_ident("from_call")
}
