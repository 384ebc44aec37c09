//! A type under `#[derive(Message)]`: how each of its parts stands in JSON, by what serde's attributes say.

use std::collections::HashSet;

use syn::{Attribute, Data, DeriveInput, ExprPath, Fields, Generics, Ident, LitStr, Member, Type, ext::IdentExt};

use crate::{errors::Errors, parse::serde_words};
use serde_words::SerdeWords;

use super::rename::Rule;

/// A type that is to be a message.
pub(crate) struct Message {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) body: Body,
    /// `#[message(crate = "…")]`
    pub(crate) krate: Option<LitStr>,
}

/// How a type travels.
pub(crate) enum Body {
    /// As serde_json writes and reads it: its attributes say something that is not followed here.
    BySerde,
    Struct(Parts),
    Enum(Vec<Variant>),
}

pub(crate) struct Variant {
    pub(crate) ident: Ident,
    pub(crate) wire_name: String,
    pub(crate) parts: Parts,
}

/// What a struct or a variant holds.
pub(crate) enum Parts {
    /// Nothing.
    Unit,
    /// One value, which stands for the whole.
    One(Member, Box<Type>),
    /// An array.
    Tuple(Vec<Type>),
    /// An object.
    Named(Vec<Field>),
}

/// A named field.
pub(crate) struct Field {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    /// `None`: it does not travel.
    pub(crate) wire_name: Option<String>,
    pub(crate) skip_if: Option<ExprPath>,
    pub(crate) absent: Absent,
}

/// What a field is that is not there.
pub(crate) enum Absent {
    /// What serde makes of nothing.
    Nothing,
    /// `Default::default()` of the field.
    Default,
    /// What a function gives.
    Path(ExprPath),
    /// The field of the whole type's default.
    OfWhole,
}

impl Field {
    /// Whether it may be missing from the form in which such a type is written, or was by an earlier version of it.
    pub(crate) fn is_optional(&self) -> bool {
        self.skip_if.is_some() || !matches!(self.absent, Absent::Nothing)
    }
}

impl Message {
    pub(crate) fn read(input: DeriveInput, errors: &mut Errors) -> Self {
        if let Some(lifetime) = input.generics.lifetimes().next() {
            errors.at(
                lifetime,
                "a message owns what it holds, as the bytes that it is read from are gone before it is; hold `String`, `Vec<T>` or `Box<T>` instead of references",
            );
        }
        if let Data::Union(union) = &input.data {
            errors.at(
                union.union_token,
                "a union cannot be a message, as nobody could tell which of its fields travels; write an enum",
            );
        }
        let krate = read_crate(&input.attrs, errors);
        let body = Body::read(&input);
        Self { ident: input.ident, generics: input.generics, body, krate }
    }
}

/// Reads `#[message(crate = "…")]`.
fn read_crate(attributes: &[Attribute], errors: &mut Errors) -> Option<LitStr> {
    let mut krate = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("message")) {
        let read = attribute.parse_nested_meta(|word| {
            if word.path.is_ident("crate") {
                krate = Some(word.value()?.parse()?);
                Ok(())
            } else {
                Err(word.error("#[message] takes only crate = \"::p2p_runtime\"; what JSON looks like is said by #[serde(…)]"))
            }
        });
        errors.take(read);
    }
    krate
}

impl Body {
    fn read(input: &DeriveInput) -> Self {
        let words = SerdeWords::read(&input.attrs);
        let is_generic = input.generics.type_params().next().is_some();
        // Of some names serde_json makes more than others do.
        let is_special = words.rename.as_ref().is_some_and(|name| name.starts_with('$'));
        if words.others || is_special {
            return Self::BySerde;
        }
        let read = match &input.data {
            Data::Struct(data) => read_struct(&data.fields, &words).map(Self::Struct),
            Data::Enum(data) => read_enum(data.variants.iter(), &words).map(Self::Enum),
            Data::Union(_) => None,
        };
        // serde may ask more of type parameters than that they are messages, where defaults are made of them.
        read.filter(|body| !(is_generic && body.makes_defaults())).unwrap_or(Self::BySerde)
    }

    fn makes_defaults(&self) -> bool {
        let makes = |parts: &Parts| match parts {
            Parts::Named(fields) => fields.iter().any(|field| !matches!(field.absent, Absent::Nothing)),
            _ => false,
        };
        match self {
            Self::BySerde => false,
            Self::Struct(parts) => makes(parts),
            Self::Enum(variants) => variants.iter().any(|variant| makes(&variant.parts)),
        }
    }
}

fn read_struct(fields: &Fields, words: &SerdeWords) -> Option<Parts> {
    let has_words_of_enums = words.rename_all_fields.is_some() || !words.aliases.is_empty() || words.skip;
    if has_words_of_enums {
        return None;
    }
    if words.transparent {
        return read_transparent(fields, words);
    }
    let rule = Rule::read(words.rename_all.as_deref())?;
    read_parts(fields, rule, words.default.as_ref())
}

/// A transparent struct of one field, of which nothing else is said.
fn read_transparent(fields: &Fields, words: &SerdeWords) -> Option<Parts> {
    let mut all = fields.members().zip(fields);
    let (member, field) = all.next()?;
    let alone = all.next().is_none() && SerdeWords::read(&field.attrs).is_empty() && words.default.is_none();
    alone.then(|| Parts::One(member, Box::new(field.ty.clone())))
}

fn read_enum<'a>(variants: impl Iterator<Item = &'a syn::Variant>, words: &SerdeWords) -> Option<Vec<Variant>> {
    if words.transparent || words.default.is_some() {
        return None;
    }
    let rule = Rule::read(words.rename_all.as_deref())?;
    let fields_rule = Rule::read(words.rename_all_fields.as_deref())?;
    let mut names = Names::default();
    variants
        .map(|variant| {
            let own = SerdeWords::read(&variant.attrs);
            if own.others || own.skip || own.default.is_some() || own.skip_serializing_if.is_some() || own.transparent {
                return None;
            }
            let wire_name = match &own.rename {
                Some(name) => name.clone(),
                None => rule.of_variant(&variant.ident.unraw().to_string())?,
            };
            names.add(&wire_name, &own.aliases)?;
            let fields_rule = if own.rename_all.is_some() { Rule::read(own.rename_all.as_deref())? } else { fields_rule };
            let parts = read_parts(&variant.fields, fields_rule, None)?;
            Some(Variant { ident: variant.ident.clone(), wire_name, parts })
        })
        .collect()
}

fn read_parts(fields: &Fields, rule: Rule, default: Option<&serde_words::Default>) -> Option<Parts> {
    match fields {
        Fields::Unit => default.is_none().then_some(Parts::Unit),
        Fields::Named(fields) => {
            let mut names = Names::default();
            let read = fields.named.iter().map(|field| read_field(field, rule, default, &mut names));
            read.collect::<Option<_>>().map(Parts::Named)
        }
        Fields::Unnamed(fields) => {
            let plain = fields.unnamed.iter().all(|field| SerdeWords::read(&field.attrs).is_empty()) && default.is_none();
            let types: Vec<Type> = fields.unnamed.iter().map(|field| field.ty.clone()).collect();
            plain.then(|| match <[Type; 1]>::try_from(types) {
                Ok([one]) => Parts::One(Member::Unnamed(0.into()), Box::new(one)),
                Err(types) => Parts::Tuple(types),
            })
        }
    }
}

fn read_field(field: &syn::Field, rule: Rule, default: Option<&serde_words::Default>, names: &mut Names) -> Option<Field> {
    let words = SerdeWords::read(&field.attrs);
    if words.others || words.transparent || words.rename_all.is_some() || words.rename_all_fields.is_some() {
        return None;
    }
    let ident = field.ident.clone()?;
    let absent = match (words.default, default) {
        (Some(serde_words::Default::Path(path)), _) => Absent::Path(path),
        (Some(serde_words::Default::Trait), _) => Absent::Default,
        (None, Some(serde_words::Default::Trait)) => Absent::OfWhole,
        // A default of the whole by a function is rare, and more than is worth to be written out.
        (None, Some(serde_words::Default::Path(_))) => return None,
        (None, None) if words.skip => Absent::Default,
        (None, None) => Absent::Nothing,
    };
    let wire_name = match words.rename {
        Some(name) => name,
        None => rule.of_field(&ident.unraw().to_string())?,
    };
    if !words.skip {
        names.add(&wire_name, &words.aliases)?;
    }
    let wire_name = (!words.skip).then_some(wire_name);
    let skip_if = words.skip_serializing_if;
    Some(Field { member: Member::Named(ident), ty: field.ty.clone(), wire_name, skip_if, absent })
}

/// The names in use. Where one stands for two things, serde has rules of its own.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// Adds a name with its aliases, or `None` if one was there.
    fn add(&mut self, name: &str, aliases: &[String]) -> Option<()> {
        // An alias that repeats its own name changes nothing.
        let new: HashSet<&str> = aliases.iter().map(String::as_str).chain([name]).collect();
        new.into_iter().all(|name| self.0.insert(name.to_owned())).then_some(())
    }
}
