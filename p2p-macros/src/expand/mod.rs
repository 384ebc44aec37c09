//! The model to tokens.
//!
//! What users name (the proxy, its extension trait, the mock) stands beside their item; all else stands in a `const _`, so that
//! a service can be written inside of a function and no generated name is in anybody's way.

mod contract;
mod defaults;
mod descriptor;
mod dispatch;
mod forms;
mod from_call;
mod host;
mod json;
mod message;
mod mock;
mod narrowing;
mod params;
mod place;
mod proxy;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use self::{from_call::from_call, message::message};

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Ident, LitStr, Path, Type, spanned::Spanned};

use crate::{
    errors::Errors,
    model::{self, Service},
    parse::{Item, Kind, ServiceArgs, last_segment_is, without_our_attributes},
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

/// What is made of an item.
struct Expansion {
    /// The item as it goes back to the compiler.
    users: TokenStream,
    /// What belongs to it.
    generated: TokenStream,
}

/// What `#[service]` makes of its item: the item, then what belongs to it, and the mistakes.
///
/// On mistakes as much is made as can be of what is right, so that code elsewhere that uses the service does not complain as well.
pub(crate) fn service(args: TokenStream, item: &TokenStream, entry: Entry) -> TokenStream {
    let mut parsed = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let told = error.into_compile_error();
            let users = without_our_attributes(item.clone());
            return quote!(#users #told);
        }
    };
    let mut errors = Errors::default();
    check_item(&mut parsed, &mut errors);
    let args = ServiceArgs::read(args, &mut errors);
    let root = entry.root(args.krate.as_ref(), &mut errors);
    let Expansion { users, generated } = expand(&args, &parsed, entry, &root, &mut errors);
    let told = errors.into_tokens();
    let allowed = match (&told, &parsed.kind) {
        // What is wrong is called by nothing.
        (Some(_), _) => quote!(#[allow(clippy::unused_async, dead_code)]),
        // Methods are async because callers may be far away, whether or not this one waits for anything.
        (None, Kind::Own { .. } | Kind::Host { .. }) => quote!(#[allow(clippy::unused_async)]),
        (None, Kind::Contract { .. }) => TokenStream::new(),
    };
    quote!(#allowed #users #generated #told)
}

/// What is wrong with an item before any meaning: parts that cannot be read, and attributes that cannot stand beside ours, which are taken
/// away.
fn check_item(item: &mut Item, errors: &mut Errors) {
    for unreadable in &item.block.unreadable {
        errors.push(unreadable.error.clone());
    }
    let is_host = matches!(item.kind, Kind::Host { .. });
    item.attributes.retain(|attribute| {
        let is_again = last_segment_is(attribute.path(), "service");
        let is_async_trait = is_host && last_segment_is(attribute.path(), "async_trait");
        if is_again {
            errors.at(
                attribute,
                "it is under #[service] already, which says all of it; put the words of this one there: #[service(name = \"greeter\", version = \"1.0.0\")]",
            );
        }
        if is_async_trait {
            errors.at(attribute, "#[async_trait] is not needed here, and would write the methods in another form; take it away");
        }
        !is_again && !is_async_trait
    });
}

fn expand(args: &ServiceArgs, item: &Item, entry: Entry, root: &Path, errors: &mut Errors) -> Expansion {
    if let Some(host) = args.host.as_ref().filter(|_| !matches!(item.kind, Kind::Host { .. })) {
        errors
            .at(host, "`host` names how a type hosts one of its contracts, and stands on `impl Contract for Type`; take it away");
    }
    match &item.kind {
        Kind::Own { object, .. } if !entry.hosts => {
            errors.at(object, "a service is hosted by a node: take `service` from p2p_runtime or p2p_services; p2p_client's is for contracts (`trait`)");
            Expansion { users: item.without_ours(), generated: TokenStream::new() }
        }
        Kind::Own { object, .. } => own(args, item, object, root, errors),
        Kind::Contract { name, .. } => {
            let service = Service::read(args, item, name, errors);
            contract::contract(item, &service, name, root, errors)
        }
        Kind::Host { object, .. } if !entry.hosts => {
            errors.at(object, "a contract is hosted by a node: take `service` from p2p_runtime or p2p_services");
            Expansion { users: item.without_ours(), generated: TokenStream::new() }
        }
        Kind::Host { contract, object, .. } => host::contract_host(args, item, contract, object, root, errors),
    }
}

/// `#[service] impl Greeter`
fn own(args: &ServiceArgs, item: &Item, object: &Type, root: &Path, errors: &mut Errors) -> Expansion {
    let users = item.without_ours();
    if let Some(parameter) = item.generics.params.first() {
        errors.at(
            parameter,
            "a service of its own cannot be generic; write a contract (`#[service] trait Kv`) and host it: `#[service] impl<T> Kv for Store<T>`",
        );
    }
    let Some(name) = errors.take(model::type_name(object)) else { return Expansion { users, generated: TokenStream::new() } };
    let service = Service::read(args, item, &name, errors);
    if !item.generics.params.is_empty() {
        return Expansion { users, generated: proxy::without_methods(&service, &name, root) };
    }
    let proxy = proxy::proxy(&service, &name, root);
    let mock = mock::mock(&service, &name, root);
    let block = block(root, |root| {
        let generated = definition(&service, object, dispatch::Callee::Own, root);
        let hosting = host::own_host(&service, object, root);
        quote!(#generated #hosting)
    });
    Expansion { users, generated: quote!(#proxy #mock #block) }
}

/// What a service and a contract have in common of what stands in their `const _`: the tables, the dispatch, and the methods of the mock
/// and of the proxy.
fn definition(service: &Service, object: &Type, callee: dispatch::Callee, root: &Path) -> TokenStream {
    let (imports, tables) = (forms::imports(root), descriptor::tables(service, object, root));
    let (params, definition) = (params::params(service, object, root), dispatch::definition(service, object, callee, root));
    let (mock_methods, proxy_methods) = (mock::methods(service, root), proxy::methods(service, object, callee, root));
    quote!(#imports #tables #params #definition #mock_methods #proxy_methods)
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
