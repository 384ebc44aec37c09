//! The model to tokens.
//!
//! What users name (the proxy, its extension trait, the mock) stands beside their item; all else stands in a `const _`, so that
//! a service can be written inside of a function and no generated name is in anybody's way.

mod contract;
mod defaults;
mod descriptor;
mod dispatch;
mod forms;
mod host;
mod json;
mod message;
mod mock;
mod params;
mod place;
mod proxy;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use self::message::message;

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::quote;
use syn::{Ident, LitStr, Path, Type, spanned::Spanned};

use crate::{
    errors::Errors,
    model::{self, Service},
    parse::{Item, Kind, ServiceArgs},
};

/// By which crate the attribute was reached.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    krate: &'static str,
    hosts: bool,
}

impl Entry {
    pub(crate) const CLIENT: Self = Self { krate: "p2p_client", hosts: false };
    pub(crate) const RUNTIME: Self = Self { krate: "p2p_runtime", hosts: true };
    pub(crate) const SERVICES: Self = Self { krate: "p2p_services", hosts: true };

    /// The absolute path of everything that generated code names.
    fn root(self, krate: Option<&LitStr>, errors: &mut Errors) -> Path {
        let named = krate.and_then(|text| {
            let parsed = text.parse::<Path>().ok();
            if parsed.is_none() {
                errors.at(text, "not the path of a crate or module; write crate = \"::p2p_runtime\"");
            }
            parsed
        });
        let krate = named.unwrap_or_else(|| {
            let krate = Ident::new(self.krate, Span::call_site());
            syn::parse_quote!(::#krate)
        });
        syn::parse_quote!(#krate::__private)
    }
}

/// A `const _` of generated items, and the path by which they name things: a short one, as each of its tokens is read again whenever a
/// line of the user's crate changes.
fn block(root: &Path, items: impl FnOnce(&Path) -> TokenStream) -> TokenStream {
    let items = items(&syn::parse_quote!(__p));
    quote!(const _: () = { use #root as __p; #items };)
}

/// What `#[service]` makes of its item: the item, then what belongs to it; on mistakes, the item, what others name of it, and the mistakes.
pub(crate) fn service(args: TokenStream, item: &TokenStream, entry: Entry) -> TokenStream {
    let parsed = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let told = error.into_compile_error();
            // What stands outside of a block that could be read would only complain again.
            let users = without_method_attributes(item.clone());
            return quote!(#users #told);
        }
    };
    let mut errors = Errors::default();
    let args = ServiceArgs::read(args, &mut errors);
    let root = entry.root(args.krate.as_ref(), &mut errors);
    let expanded = expand(&args, &parsed, entry, &root, &mut errors);
    match errors.into_tokens() {
        None => expanded,
        Some(told) => {
            let hidden = match &parsed.kind {
                Kind::Contract { .. } => contract::hidden_on_mistake(&root),
                Kind::Own { .. } | Kind::Host { .. } => TokenStream::new(),
            };
            let users = parsed.without_ours_but_with(&hidden);
            quote!(#[allow(clippy::unused_async, dead_code)] #users #expanded #told)
        }
    }
}

fn expand(args: &ServiceArgs, item: &Item, entry: Entry, root: &Path, errors: &mut Errors) -> TokenStream {
    if let Some(host) = args.host.as_ref().filter(|_| !matches!(item.kind, Kind::Host { .. })) {
        errors
            .at(host, "`host` names how a type hosts one of its contracts, and stands on `impl Contract for Type`; take it away");
    }
    match &item.kind {
        Kind::Own { object, .. } if !entry.hosts => {
            errors.at(object, "a service is hosted by a node: take `service` from p2p_runtime or p2p_services; p2p_client's is for contracts (`trait`)");
            TokenStream::new()
        }
        Kind::Own { object, .. } => own(args, item, object, root, errors),
        Kind::Contract { name, .. } => {
            let service = Service::read(args, item, name, errors);
            contract::contract(item, &service, name, root, errors)
        }
        Kind::Host { object, .. } if !entry.hosts => {
            errors.at(object, "a contract is hosted by a node: take `service` from p2p_runtime or p2p_services");
            TokenStream::new()
        }
        Kind::Host { contract, object, .. } => host::contract_host(args, item, contract, object, root, errors),
    }
}

/// `#[service] impl Greeter`
fn own(args: &ServiceArgs, item: &Item, object: &Type, root: &Path, errors: &mut Errors) -> TokenStream {
    if let Some(parameter) = item.generics.params.first() {
        errors.at(
            parameter,
            "a service of its own cannot be generic; write a contract (`#[service] trait Kv`) and host it: `#[service] impl<T> Kv for Store<T>`",
        );
    }
    let Some(name) = errors.take(model::type_name(object)) else { return TokenStream::new() };
    let service = Service::read(args, item, &name, errors);
    if !errors.is_empty() {
        return proxy::without_methods(&service, &name, root);
    }
    let users = item.without_ours();
    let proxy = proxy::proxy(&service, &name, root);
    let mock = mock::mock(&service, &name, root);
    let block = block(root, |root| {
        let generated = definition(&service, object, dispatch::Callee::Own, root);
        let hosting = host::own_host(&service, object, root);
        quote!(#generated #hosting)
    });
    quote! {
        // Methods are async because callers may be far away, whether or not this one waits for anything.
        #[allow(clippy::unused_async)]
        #users
        #proxy
        #mock
        #block
    }
}

/// What a service and a contract have in common of what stands in their `const _`: the tables, the dispatch, and the methods of the mock
/// and of the proxy.
fn definition(service: &Service, object: &Type, callee: dispatch::Callee, root: &Path) -> TokenStream {
    let (imports, tables) = (forms::imports(root), descriptor::tables(service, object, root));
    let (params, definition) = (params::params(service, object, root), dispatch::definition(service, object, callee, root));
    let (mock_methods, proxy_methods) = (mock::methods(service, root), proxy::methods(service, object, callee, root));
    quote!(#imports #tables #params #definition #mock_methods #proxy_methods)
}

/// Tokens less each `#[service_method…]` among them.
fn without_method_attributes(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if is_method_attribute(&group) && is_pound(kept.last()) => {
                kept.pop();
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_method_attributes(group.stream()));
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            token => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

fn is_pound(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == '#')
}

/// `[service_method…]`, or with a path before it.
fn is_method_attribute(group: &Group) -> bool {
    let path = group.stream().into_iter().take_while(|token| matches!(token, TokenTree::Ident(_) | TokenTree::Punct(_)));
    group.delimiter() == Delimiter::Bracket && matches!(path.last(), Some(TokenTree::Ident(last)) if last == "service_method")
}

/// Where the user wrote something, for generated code that errors are to point to. Its names are still looked up as those of all other
/// generated code are, wherever the user's tokens came from: a `macro_rules!` may have written the service.
fn at(written: &impl Spanned) -> Span {
    written.span().resolved_at(Span::call_site())
}

/// A text as a literal.
fn text(value: &str) -> LitStr {
    LitStr::new(value, Span::call_site())
}
