//! The parameters of a method: which there are, and how each is passed.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Expr, ExprLit, FnArg, GenericArgument, Ident, Lit, LitStr, Pat, PatType, PathArguments, Type, TypePath, TypeReference,
    ext::IdentExt, parse_quote_spanned,
};

use crate::{
    errors::Errors,
    parse::{ArgArgs, Function, last_segment_is},
};

use super::{names::check_param_name, stream::is_stream};

/// One parameter.
pub(crate) struct Param {
    pub(crate) ident: Ident,
    pub(crate) wire_name: String,
    /// The type as the method takes it.
    pub(crate) written: Type,
    pub(crate) passing: Passing,
    pub(crate) default: Option<Expr>,
}

/// How a method takes a parameter.
pub(crate) enum Passing {
    /// `String`: the proxy takes `impl Into<String>`.
    Text,
    /// Any other owned type.
    Owned,
    /// `&T`: the proxy borrows and copies; the host decodes the owned form and lends it.
    Borrowed(Box<Type>),
}

/// As many as there are tuples of parameters for, in p2p-client.
const MOST: usize = 16;

/// The parameters, and where `&CallContext` stands among the arguments, if it does. Mistakes in what is said of a parameter go to `of_words`.
pub(super) fn read_params(function: &Function, errors: &mut Errors, of_words: &mut Errors) -> (Vec<Param>, Option<usize>) {
    let mut params: Vec<Param> = Vec::new();
    let mut context_at = None;
    let typed = function.signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    for (position, argument) in typed.enumerate() {
        for attribute in
            argument.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr"))
        {
            errors.at(
                attribute,
                "a parameter is there or not for all who call, and so under no condition; write two methods, under #[cfg(…)] and #[cfg(not(…))]",
            );
        }
        if is_call_context(&argument.ty, errors) {
            if context_at.replace(position).is_some() {
                errors.at(argument, "a service method takes `cx: &CallContext` once, as there is one call; take this one away");
            }
        } else if let Some(param) = read_param(argument, errors, of_words) {
            if params.iter().any(|earlier| earlier.wire_name == param.wire_name) {
                let text = format!("two parameters are called `{}` on the wire; give each a name of its own", param.wire_name);
                errors.at(argument, text);
            }
            if params.len() == MOST {
                errors.at(
                    argument,
                    format_args!("a service method takes at most {MOST} parameters; make a struct of those that belong together"),
                );
            }
            params.push(param);
        }
    }
    (params, context_at)
}

fn read_param(argument: &PatType, errors: &mut Errors, of_words: &mut Errors) -> Option<Param> {
    let Pat::Ident(pattern) = &*argument.pat else {
        errors.at(
            &argument.pat,
            "a parameter is a plain name, as it is a name on the wire: write `point: Point`, and take it apart in the body",
        );
        return None;
    };
    let mut attributes = argument.attrs.iter().filter(|attribute| last_segment_is(attribute.path(), "arg"));
    let args = attributes.next().map(|attribute| ArgArgs::read(attribute, of_words)).unwrap_or_default();
    for again in attributes {
        of_words.at(again, "a parameter is under one #[arg], which says all of it; put the words of this one there: #[arg(default = 10, rename = \"wireName\")]");
    }
    let wire_name = args.rename.as_ref().map_or_else(|| pattern.ident.unraw().to_string(), LitStr::value);
    check_param_name(&wire_name, args.rename.as_ref().map_or(pattern.ident.span(), LitStr::span), of_words);
    let passing = passing(&argument.ty, errors);
    let default = args.default.map(|default| with_text_made_string(default, &passing));
    Some(Param { ident: pattern.ident.clone(), wire_name, written: (*argument.ty).clone(), passing, default })
}

/// `&CallContext`, by its last segment: the type itself is checked by the compiler, where it is used.
fn is_call_context(written: &Type, errors: &mut Errors) -> bool {
    let named = |written: &Type| matches!(ungrouped(written), Type::Path(path) if last_segment_is(&path.path, "CallContext"));
    match ungrouped(written) {
        Type::Reference(reference) if reference.mutability.is_none() && named(&reference.elem) => true,
        Type::Reference(TypeReference { elem, .. }) if named(elem) => misplaced_context(written, errors),
        _ if named(written) => misplaced_context(written, errors),
        _ => false,
    }
}

fn misplaced_context(written: &Type, errors: &mut Errors) -> bool {
    errors.at(written, "the call's context is lent to the method: write `cx: &CallContext`");
    true
}

fn passing(written: &Type, errors: &mut Errors) -> Passing {
    match ungrouped(written) {
        Type::Reference(reference) if reference.mutability.is_some() => {
            errors.at(
                written,
                "a parameter cannot be `&mut`, as a change would not travel back; take the value, and return what changed",
            );
        }
        Type::Reference(reference) if reference.lifetime.is_some() => {
            errors.at(written, "a borrowed parameter is lent for the call only; leave the lifetime out: `&str`, `&[T]`, `&T`");
        }
        Type::Reference(reference) if borrows(reference.elem.to_token_stream()) => {
            errors.at(written, "a parameter is borrowed as a whole, not in its parts; take `&str`, `&[String]`, `&T`");
        }
        Type::Reference(reference) => return Passing::Borrowed(reference.elem.clone()),
        Type::Path(path) if is_string(path) => return Passing::Text,
        Type::Path(path) if option_of_reference(path) => {
            errors.at(written, "`Option<&T>` cannot be a parameter, as there is nothing to lend from; take `Option<T>`, such as `Option<String>`");
        }
        _ if is_stream(written) => {
            errors.at(written, "a method takes no stream; take a `Vec<T>`, or have callers call it once for each item");
        }
        _ if is_impl(written.to_token_stream()) => {
            errors.at(
                written,
                "a parameter has a type with a name, as callers on other machines choose none; take `String`, a struct or an enum",
            );
        }
        _ if borrows(written.to_token_stream()) => {
            errors.at(written, "a parameter cannot hold a reference inside; take the owned form, such as `Vec<String>`, or borrow the whole: `&[String]`");
        }
        _ => {}
    }
    Passing::Owned
}

/// A type without the invisible brackets in which a `macro_rules!` hands it on.
pub(super) fn ungrouped(mut written: &Type) -> &Type {
    while let Type::Group(group) = written {
        written = &group.elem;
    }
    written
}

/// `String`, also in full.
fn is_string(path: &TypePath) -> bool {
    let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    path.qself.is_none() && matches!(names[..], ["String"] | ["std" | "alloc", "string", "String"])
}

/// A text literal is a fine default for a `String`, which it is not in Rust.
fn with_text_made_string(default: Expr, passing: &Passing) -> Expr {
    let is_text = match passing {
        Passing::Text => true,
        Passing::Borrowed(inner) => matches!(&**inner, Type::Path(path) if path.path.is_ident("str")),
        Passing::Owned => false,
    };
    match &default {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if is_text => {
            parse_quote_spanned!(text.span()=> ::std::string::String::from(#text))
        }
        _ => default,
    }
}

fn option_of_reference(path: &TypePath) -> bool {
    path.path.segments.last().is_some_and(|segment| {
        segment.ident == "Option"
            && matches!(&segment.arguments, PathArguments::AngleBracketed(arguments)
                if matches!(arguments.args.first(), Some(GenericArgument::Type(Type::Reference(_)))))
    })
}

/// Whether a type holds a reference or names a lifetime. `'static` by itself is none that ends: `Cow<'static, str>` owns what it holds.
pub(super) fn borrows(written: TokenStream) -> bool {
    let mut tokens = written.into_iter();
    while let Some(token) = tokens.next() {
        let borrows = match token {
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                !matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "static")
            }
            TokenTree::Punct(punct) => punct.as_char() == '&',
            TokenTree::Group(group) => borrows(group.stream()),
            _ => false,
        };
        if borrows {
            return true;
        }
    }
    false
}

/// Whether `impl` stands somewhere in a type.
pub(super) fn is_impl(written: TokenStream) -> bool {
    written.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => is_impl(group.stream()),
        _ => false,
    })
}
