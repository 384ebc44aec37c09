//! How a node gets a service object: its registration, its making, its lifecycle.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Path, Type, spanned::Spanned};

use crate::{
    errors::Errors,
    model::{self, Constructor, Hook, Hooks, Narrowing, RoleWord, Service},
    parse::{Item, ServiceArgs},
};

use super::{Expansion, at, block, descriptor::role_path, forms::located, narrowing};

/// For `impl Greeter`.
pub(super) fn own_host(service: &Service, object: &Type, root: &Path) -> TokenStream {
    let initialize = hook(&quote!(initialize), &quote!(HookOutcome), service.hooks.initialize, root);
    let cleanup = hook(&quote!(cleanup), &quote!(HookOutcome), service.hooks.cleanup, root);
    let health = hook(&quote!(health), &quote!(HealthOutcome), service.hooks.health, root);
    let registration = registration(object, &service.hooks, &quote!(()), &quote!(|| &__SERVICE), &quote!(&[]), root);
    quote! {
        #[automatically_derived]
        impl #root::Hosted<()> for #object {
            fn spec() -> &'static #root::ServiceSpec {
                &__SERVICE
            }

            fn host(self: ::std::sync::Arc<Self>) -> #root::Hosting {
                #[allow(unused_imports, reason = "one of the two is chosen by what the type implements")]
                use #root::{ViaLifecycle as _, ViaNoLifecycle as _};
                let hosting = #root::Hosting::new(::std::sync::Arc::new(
                    #root::Local::<#object>::new(::core::clone::Clone::clone(&self)),
                ));
                // What stands in the service's own block goes before the same of `Lifecycle`.
                let hosting = (&#root::LifecycleProbe(::core::clone::Clone::clone(&self))).hooks(hosting);
                #initialize
                #cleanup
                #health
                hosting
            }
        }
        #registration
    }
}

/// `let hosting = hosting.initialize(…)`; `outcome` is the trait of what it may return, which is asked for where that stands.
fn hook(name: &TokenStream, outcome: &TokenStream, hook: Option<Hook>, root: &Path) -> TokenStream {
    let Some(Hook { takes_context, returns }) = hook else { return TokenStream::new() };
    let argument = takes_context.then(|| quote!(&cx));
    let context = if takes_context { quote!(cx) } else { quote!(_) };
    let span = returns.resolved_at(Span::call_site());
    let root_there = located(root, span);
    let outcome = quote_spanned!(span=> #root_there::#outcome::settled(object.#name(#argument).await));
    quote! {
        let object = ::core::clone::Clone::clone(&self);
        let hosting = hosting.#name(move |#context: #root::Context| {
            let object = ::core::clone::Clone::clone(&object);
            ::std::boxed::Box::pin(async move { #outcome })
        });
    }
}

/// For `impl Kv for MemoryKv`.
pub(super) fn contract_host(
    args: &ServiceArgs,
    item: &Item,
    contract: &Path,
    object: &Type,
    root: &Path,
    errors: &mut Errors,
) -> Expansion {
    for (given, word) in [
        (&args.name, "name"),
        (&args.version, "version"),
        (&args.proxy, "proxy"),
        (&args.accessor, "accessor"),
        (&args.mock, "mock"),
    ] {
        if let Some(given) = given {
            errors.at(given, format_args!("`{word}` is the contract's to say; the host says roles and init"));
        }
    }
    let narrower: Vec<_> = item.block.functions.iter().filter_map(|function| Narrowing::read(function, errors)).collect();
    let roles = model::roles(&args.roles, errors);
    let hooks = Hooks { constructor: args.init.clone().map(Constructor::Init), ..Hooks::default() };
    let marker = args.host.as_ref().and_then(|name| {
        let parsed = name.parse::<Ident>().ok();
        if parsed.is_none() {
            errors.at(name, "not the name of a Rust item; write host = \"MemoryAsKv\"");
        }
        parsed
    });
    let users = item.without_ours();
    let (name, named) = match marker {
        Some(name) => {
            let marker = marker_type(&name);
            (name, Some(quote!(#[allow(unreachable_pub)] #marker)))
        }
        None => (Ident::new("__Marker", Span::call_site()), None),
    };
    let block = block(root, |root| {
        let unnamed = named.is_none().then(|| marker_type(&name));
        let host = Host { item, contract, object, marker: &name, hooks: &hooks, roles: &roles, narrower: &narrower };
        let hosting = hosting_of_contract(&host, root);
        quote!(#unnamed #hosting)
    });
    Expansion { users, generated: quote!(#named #block) }
}

fn marker_type(name: &Ident) -> TokenStream {
    quote! {
        /// Tells this contract's hosting from that of another contract on the same type.
        #[::core::prelude::v1::derive(::core::fmt::Debug)]
        pub struct #name;
    }
}

/// The host of a contract, as it was read.
struct Host<'a> {
    item: &'a Item,
    contract: &'a Path,
    object: &'a Type,
    marker: &'a Ident,
    hooks: &'a Hooks,
    roles: &'a [RoleWord],
    narrower: &'a [Narrowing],
}

fn hosting_of_contract(host: &Host<'_>, root: &Path) -> TokenStream {
    let Host { item, contract, object, marker, hooks, roles, narrower } = host;
    let roles = roles.iter().map(|role| role_path(role, root));
    // At the contract's name, so that it is pointed at when it is none.
    let spec = quote_spanned!(at(contract)=> __put_service_on_this_trait);
    let local = quote_spanned!(at(contract)=> __p2p_contract_local);
    let (impl_generics, _, where_clause) = item.generics.split_for_impl();
    let is_generic = item.generics.params.iter().any(|parameter| !matches!(parameter, syn::GenericParam::Lifetime(_)));
    let registration = (!is_generic).then(|| {
        let spec = if narrower.is_empty() {
            quote!(<#object as #contract>::#spec)
        } else {
            quote!(<#object as #root::Hosted<#marker>>::spec)
        };
        registration(object, hooks, &quote!(#marker), &spec, &quote!(&[#(#roles),*]), root)
    });
    let checks = narrowing::checks(narrower, (object, contract), is_generic, root);
    let (at_once, where_used) = if is_generic { (None, checks) } else { (Some(checks), TokenStream::new()) };
    let tables = narrowing::tables(narrower, (object, contract), &quote!(<#object as #contract>::#spec()), &where_used, root);
    quote! {
        #at_once

        #[automatically_derived]
        impl #impl_generics #root::Hosted<#marker> for #object #where_clause {
            fn spec() -> &'static #root::ServiceSpec {
                #tables
            }

            fn host(self: ::std::sync::Arc<Self>) -> #root::Hosting {
                #[allow(unused_imports, reason = "one of the two is chosen by what the type implements")]
                use #root::{ViaLifecycle as _, ViaNoLifecycle as _};
                let hosting = #root::Hosting::new(
                    <#object as #contract>::#local(
                        ::core::clone::Clone::clone(&self),
                        <Self as #root::Hosted<#marker>>::spec(),
                    ),
                );
                (&#root::LifecycleProbe(self)).hooks(hosting)
            }
        }
        #registration
    }
}

/// The entry by which every node of the program hosts the service.
fn registration(
    object: &Type,
    hooks: &Hooks,
    marker: &TokenStream,
    spec: &TokenStream,
    roles: &TokenStream,
    root: &Path,
) -> TokenStream {
    let constructed = |called: TokenStream, span: Span| {
        let span = span.resolved_at(Span::call_site());
        let root = located(root, span);
        let made = quote_spanned!(span=> #root::ConstructorOutcome::<#object>::settled(#called(cx).await)?);
        quote!(::core::option::Option::Some(::std::sync::Arc::<#object>::new(#made)))
    };
    let make = match &hooks.constructor {
        Some(Constructor::New(returns)) => constructed(quote_spanned!(*returns=> <#object>::new), *returns),
        Some(Constructor::Init(path)) => constructed(quote!(#path), path.span()),
        None => quote! {{
            #[allow(unused_imports, reason = "one of the two is chosen by what the type implements")]
            use #root::{ViaDefault as _, ViaNoDefault as _};
            let _ = cx;
            (&#root::DefaultProbe::<#object>::new()).make()
        }},
    };
    quote! {
        #root::inventory::submit! {
            #root::ServiceEntry::new(::core::module_path!(), #spec, #roles, |cx| ::std::boxed::Box::pin(async move {
                let made = #root::made_once::<#object>(cx, async move {
                    let object: ::core::option::Option<::std::sync::Arc<#object>> = #make;
                    ::core::result::Result::Ok(object)
                });
                ::core::result::Result::Ok(made.await?.map(|made| made.hosted(<#object as #root::Hosted<#marker>>::host)))
            }))
        }
    }
}
