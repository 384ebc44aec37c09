//! `Self` in the signature of a method: what it stands for is not known in the proxy, which is of another type.

use std::borrow::Cow;

use proc_macro2::Span;
use quote::ToTokens;
use syn::{Ident, Type, visit::Visit, visit_mut::VisitMut};

use crate::{
    errors::Errors,
    parse::{Function, Kind},
};

/// A method in whose signature the object's own type stands for `Self`. A contract has no such type.
pub(super) fn named<'a>(function: &'a Function, kind: &Kind, errors: &mut Errors) -> Cow<'a, Function> {
    let mut uses = Uses::default();
    types(function).for_each(|written| uses.visit_type(written));
    if uses.0.is_empty() {
        return Cow::Borrowed(function);
    }
    let Kind::Own { object, .. } = kind else {
        for at in uses.0 {
            errors.at(at, "a contract's `Self` is whoever hosts it, which callers cannot know; name the type");
        }
        return Cow::Borrowed(function);
    };
    let mut function = function.clone();
    types_mut(&mut function).for_each(|written| Replace(object).visit_type_mut(written));
    Cow::Owned(function)
}

/// The types of the parameters and of the result; the receiver's is `Self` by right.
fn types(function: &Function) -> impl Iterator<Item = &Type> {
    let inputs = function.signature.inputs.iter().filter_map(|input| match input {
        syn::FnArg::Typed(argument) => Some(&*argument.ty),
        syn::FnArg::Receiver(_) => None,
    });
    let output = match &function.signature.output {
        syn::ReturnType::Type(_, written) => Some(&**written),
        syn::ReturnType::Default => None,
    };
    inputs.chain(output)
}

fn types_mut(function: &mut Function) -> impl Iterator<Item = &mut Type> {
    let inputs = function.signature.inputs.iter_mut().filter_map(|input| match input {
        syn::FnArg::Typed(argument) => Some(&mut *argument.ty),
        syn::FnArg::Receiver(_) => None,
    });
    let output = match &mut function.signature.output {
        syn::ReturnType::Type(_, written) => Some(&mut **written),
        syn::ReturnType::Default => None,
    };
    inputs.chain(output)
}

fn is_self(written: &Type) -> Option<&Ident> {
    match written {
        Type::Path(path) if path.qself.is_none() => path.path.get_ident().filter(|name| *name == "Self"),
        _ => None,
    }
}

/// Where `Self` stands.
#[derive(Default)]
struct Uses(Vec<Ident>);

impl<'ast> Visit<'ast> for Uses {
    fn visit_type(&mut self, written: &'ast Type) {
        self.0.extend(is_self(written).cloned());
        syn::visit::visit_type(self, written);
    }
}

/// Puts a type in the place of `Self`.
struct Replace<'a>(&'a Type);

impl VisitMut for Replace<'_> {
    fn visit_type_mut(&mut self, written: &mut Type) {
        match is_self(written).map(Ident::span) {
            Some(span) => *written = moved(self.0, span),
            None => syn::visit_mut::visit_type_mut(self, written),
        }
    }
}

/// A type as if it stood at another place, where errors about it are to be shown.
fn moved(written: &Type, span: Span) -> Type {
    let tokens = written.to_token_stream().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(span));
        token
    });
    syn::parse2(tokens.collect()).unwrap_or_else(|_| written.clone())
}
