//! One method that callers can reach: its shape, its parameters, its result, who may call it.

use std::time::Duration;

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::{Attribute, Ident, LitStr, ReceiverKind, ReturnType, Type, ext::IdentExt};

use crate::{
    errors::Errors,
    parse::{AccessWord, Function, Kind, MethodArgs},
};

use super::{
    RoleWord, doc_text,
    names::check_wire_name,
    param::{Param, borrows, is_impl, read_params},
    self_type,
    stream::{self, Items},
};

/// One method that callers can reach.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) wire_name: String,
    /// `#[cfg(…)]`: everything that is made of the method stands under them as well.
    pub(crate) conditions: Vec<Attribute>,
    /// What is carried along to the proxy's method: docs, and that it is deprecated.
    pub(crate) docs: Vec<Attribute>,
    pub(crate) description: String,
    pub(crate) params: Vec<Param>,
    /// Where `&CallContext` stands among the arguments, if it does.
    pub(crate) context_at: Option<usize>,
    /// The return type, as written.
    pub(crate) outcome: Type,
    /// Its items, if it streams.
    pub(crate) items: Option<Items>,
    pub(crate) access: Access,
    pub(crate) idempotent: bool,
    pub(crate) read_only: bool,
    pub(crate) detached: bool,
    pub(crate) track_metrics: bool,
    pub(crate) timeout: Option<Duration>,
    /// Whether its signature is one of which code can be made.
    pub(crate) is_sound: bool,
}

/// Who may call it.
pub(crate) enum Access {
    Nodes,
    Public,
    Anonymous,
    Scope(String),
    Role(RoleWord),
}

/// What proxies have methods of, or are turned into other types by.
const RESERVED_METHODS: [&str; 5] = ["on", "on_all", "clone", "into", "try_into"];

/// How a service method is written, in a service and in a contract.
const FORM: &str = "    #[service_method]\n    pub async fn greet(&self, name: String) -> Result<String> { … }";
const CONTRACT_FORM: &str = "    #[service_method]\n    async fn greet(&self, name: String) -> Result<String>;";

impl Access {
    /// Reads an access word.
    pub(crate) fn read(word: AccessWord, errors: &mut Errors) -> Option<Self> {
        match word {
            AccessWord::Nodes => Some(Self::Nodes),
            AccessWord::Public => Some(Self::Public),
            AccessWord::Anonymous => Some(Self::Anonymous),
            AccessWord::Scope(scope) => Some(Self::Scope(scope.value())),
            AccessWord::Role(role) => errors.take(RoleWord::read(&role.value(), role.span())).map(Self::Role),
        }
    }
}

impl Method {
    /// Reads a method. `None` where not even its result can be understood.
    pub(super) fn read(function: &Function, kind: &Kind, errors: &mut Errors) -> Option<Self> {
        let mut of_signature = Errors::default();
        let function = self_type::named(function, kind, &mut of_signature);
        let read = Self::read_signature(&function, matches!(kind, Kind::Contract { .. }), &mut of_signature, errors);
        let is_sound = errors.absorb(of_signature);
        read.map(|method| Self { is_sound, ..method })
    }

    /// Mistakes in what is said of the method go to `errors`: code can be made of it all the same.
    fn read_signature(function: &Function, is_contract: bool, of_signature: &mut Errors, errors: &mut Errors) -> Option<Self> {
        let ident = function.signature.ident.clone();
        let form = if is_contract { CONTRACT_FORM } else { FORM };
        check_shape(function, is_contract, form, of_signature);
        let args = read_args(function, errors);
        let wire_name = args.rename.as_ref().map_or_else(|| ident.unraw().to_string(), LitStr::value);
        check_wire_name(&wire_name, args.rename.as_ref().map_or(ident.span(), LitStr::span), errors);
        if ident == "new" {
            of_signature.at(&ident, "a service method cannot be called `new`, as that is what makes a service; rename it, and keep its name on the wire by #[service_method(rename = \"new\")]");
        } else if RESERVED_METHODS.contains(&ident.to_string().as_str()) {
            of_signature.at(&ident, format_args!("a service method cannot be called `{ident}`, as proxies have a method of that name; rename it, and keep its name on the wire by #[service_method(rename = \"{ident}\")]"));
        }
        let (params, context_at) = read_params(function, of_signature, errors);
        // What is not said to be open is closed; so is what is said wrongly.
        let access = args.access.and_then(|word| Access::read(word, errors)).unwrap_or(Access::Nodes);
        let (outcome, items) = read_outcome(function, form, of_signature)?;
        if let Some(attribute) = function.service_method().filter(|_| args.detached && items.is_some()) {
            errors.at(attribute, "a stream ends when its caller lets it go, so that a method that streams cannot be `detached`; take the word away");
        }
        let carried = |attribute: &&Attribute| attribute.path().is_ident("doc") || attribute.path().is_ident("deprecated");
        Some(Self {
            wire_name,
            conditions: function.conditions().cloned().collect(),
            docs: function.attributes.iter().filter(carried).cloned().collect(),
            description: doc_text(&function.attributes),
            params,
            context_at,
            outcome,
            items,
            access,
            idempotent: args.idempotent || args.read_only,
            read_only: args.read_only,
            detached: args.detached,
            track_metrics: args.track_metrics.unwrap_or(true),
            timeout: args.timeout,
            is_sound: true,
            ident,
        })
    }
}

/// What is said of a method, once.
fn read_args(function: &Function, errors: &mut Errors) -> MethodArgs {
    for again in function.service_methods().skip(1) {
        errors.at(again, "a method is under one #[service_method], which says all of it; put the words of this one there: #[service_method(public, timeout = \"2s\")]");
    }
    function.service_method().map(|attribute| MethodArgs::read(attribute, errors)).unwrap_or_default()
}

/// Async, safe, `&self`, no generics, no `cfg_attr`, and in a contract no body.
fn check_shape(function: &Function, is_contract: bool, form: &str, errors: &mut Errors) {
    let signature = &function.signature;
    let name = &signature.ident;
    if signature.asyncness.is_none() {
        errors.at(
            signature.fn_token,
            format_args!("a service method is async, as its caller may be on another machine:\n\n{form}"),
        );
    }
    if signature.constness.is_some() || !matches!(signature.safety, syn::Safety::Default) || signature.abi.is_some() {
        errors.at(
            name,
            format_args!(
                "a service method is a plain `async fn`, as callers on other machines cannot know more of it:\n\n{form}"
            ),
        );
    }
    match signature.receiver() {
        None => errors.at(name, format_args!("a service method takes `&self` first:\n\n{form}")),
        Some(receiver) if !matches!(receiver.kind, ReceiverKind::Reference(_, _, None)) => {
            errors.at(
                receiver,
                "a service method takes `&self`, as many calls run at once; keep what changes in a Mutex or an atomic",
            );
        }
        Some(_) => {}
    }
    let mut generics = signature.generics.params.iter();
    if let Some(lifetime) = generics.clone().find(|parameter| matches!(parameter, syn::GenericParam::Lifetime(_))) {
        errors.at(lifetime, "a service method names no lifetimes, as what is lent to it is lent for the call; leave the lifetime out: `&str`, `&[T]`, `&T`");
    }
    if let Some(parameter) = generics.find(|parameter| !matches!(parameter, syn::GenericParam::Lifetime(_))) {
        errors.at(parameter, "a service method cannot be generic, as callers on other machines name no types; take a concrete type, an enum, or JSON (serde_json::Value)");
    }
    for attribute in &function.attributes {
        if attribute.path().is_ident("cfg_attr") {
            errors.at(attribute, "a service method takes no #[cfg_attr], as what it hides is not known here; write the attribute itself, or two methods under #[cfg(…)] and #[cfg(not(…))]");
        }
    }
    if is_contract && matches!(function.body, TokenTree::Group(_)) {
        errors.at(
            &function.body,
            format_args!("a contract's method has no body, as its hosts write it; end it with a semicolon:\n\n{form}"),
        );
    }
}

fn read_outcome(function: &Function, form: &str, errors: &mut Errors) -> Option<(Type, Option<Items>)> {
    if let ReturnType::Type(_, written) = &function.signature.output {
        let items = errors.take(stream::find(written))?;
        if items.is_some() {
            return Some(((**written).clone(), items));
        }
    }
    match &function.signature.output {
        ReturnType::Default => {
            let name = &function.signature.ident;
            errors.at(
                name,
                format_args!(
                    "a service method returns `Result<T>`, as every call can fail; without a value: `-> Result<()>`\n\n{form}"
                ),
            );
            None
        }
        ReturnType::Type(_, written) if is_impl(written.to_token_stream()) => {
            errors.at(
                written,
                format_args!(
                    "a service method returns `Result<T>` with a type that has a name, as its schema is published:\n\n{form}"
                ),
            );
            None
        }
        ReturnType::Type(_, written) if stream::is_boxed(written) => {
            errors.at(
                written,
                format_args!(
                    "a stream needs no box here, and its items are published; write `impl Stream<Item = T>`:\n\n{}",
                    stream::FORM
                ),
            );
            None
        }
        ReturnType::Type(_, written) if borrows(written.to_token_stream()) => {
            errors.at(
                written,
                format_args!("a service method returns a value of its own, as it may travel; return the owned form, such as `String`:\n\n{form}"),
            );
            None
        }
        ReturnType::Type(_, written) => Some(((**written).clone(), None)),
    }
}
