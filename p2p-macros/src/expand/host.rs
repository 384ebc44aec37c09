//! How a node gets a service object: its registration, its making, its lifecycle.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Path, Type};

use crate::{
    errors::Errors,
    model::{self, Hook, Hooks, Service},
    parse::{Item, ServiceArgs},
};

use super::{at, descriptor::role_path};

/// For `impl Greeter`.
pub(super) fn own_host(service: &Service, object: &Type, root: &Path) -> TokenStream {
    let initialize = hook(&quote!(initialize), service.hooks.initialize, root);
    let cleanup = hook(&quote!(cleanup), service.hooks.cleanup, root);
    let health = hook(&quote!(health), service.hooks.health, root);
    let registration = registration(object, &service.hooks, &quote!(()), &quote!(|| &__SERVICE), &quote!(&[]), root);
    quote! {
        #[automatically_derived]
        impl #root::__private::Hosted<()> for #object {
            fn spec() -> &'static #root::__private::ServiceSpec {
                &__SERVICE
            }

            fn host(self: ::std::sync::Arc<Self>) -> #root::__private::Hosting {
                let hosting = #root::__private::Hosting::new(::std::sync::Arc::new(
                    #root::__private::Local::<#object>::new(::core::clone::Clone::clone(&self)),
                ));
                #initialize
                #cleanup
                #health
                hosting
            }
        }
        #registration
    }
}

/// `let hosting = hosting.initialize(…)`
fn hook(name: &TokenStream, hook: Option<Hook>, root: &Path) -> TokenStream {
    let Some(Hook { takes_context }) = hook else { return TokenStream::new() };
    let argument = takes_context.then(|| quote!(&cx));
    let context = if takes_context { quote!(cx) } else { quote!(_) };
    quote! {
        let object = ::core::clone::Clone::clone(&self);
        let hosting = hosting.#name(move |#context: #root::__private::Context| {
            let object = ::core::clone::Clone::clone(&object);
            ::std::boxed::Box::pin(async move { object.#name(#argument).await })
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
) -> TokenStream {
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
    for function in &item.block.functions {
        if let Some(attribute) = function.attribute("service_method") {
            errors
                .at(attribute, "access, timeouts and names stand in the contract, on its method; the host only writes the body");
        }
    }
    let roles: Vec<_> = model::roles(&args.roles, errors).iter().map(|role| role_path(role, root)).collect();
    let hooks = Hooks { constructor: args.init.as_ref().map(|path| quote!(#path)), ..Hooks::default() };
    if !errors.is_empty() {
        return TokenStream::new();
    }
    let users = item.without_ours();
    // At the contract's name, so that it is pointed at when it is none.
    let spec = quote_spanned!(at(contract)=> __p2p_contract_spec);
    let local = quote_spanned!(at(contract)=> __p2p_contract_local);
    let (impl_generics, _, where_clause) = item.generics.split_for_impl();
    let is_generic = item.generics.params.iter().any(|parameter| !matches!(parameter, syn::GenericParam::Lifetime(_)));
    let registration = (!is_generic).then(|| {
        registration(object, &hooks, &quote!(__Marker), &quote!(<#object as #contract>::#spec), &quote!(&[#(#roles),*]), root)
    });
    quote! {
        // Methods are async because callers may be far away, whether or not this one waits for anything.
        #[allow(clippy::unused_async)]
        #users
        const _: () = {
            /// Tells this contract's hosting from that of another contract on the same type.
            pub struct __Marker;

            #[automatically_derived]
            impl #impl_generics #root::__private::Hosted<__Marker> for #object #where_clause {
                fn spec() -> &'static #root::__private::ServiceSpec {
                    <#object as #contract>::#spec()
                }

                fn host(self: ::std::sync::Arc<Self>) -> #root::__private::Hosting {
                    #[allow(unused_imports, reason = "one of the two is chosen by what the type implements")]
                    use #root::__private::{ViaLifecycle as _, ViaNoLifecycle as _};
                    let hosting = #root::__private::Hosting::new(
                        <#object as #contract>::#local(::core::clone::Clone::clone(&self)),
                    );
                    (&#root::__private::LifecycleProbe(self)).hooks(hosting)
                }
            }
            #registration
        };
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
    let make = match &hooks.constructor {
        Some(constructor) => {
            let constructor = if constructor.to_string() == "Self :: new" { quote!(<#object>::new) } else { constructor.clone() };
            quote_spanned! {at(object)=>
                ::core::option::Option::Some(::std::sync::Arc::<#object>::new(#constructor(cx).await?))
            }
        }
        None => quote! {{
            #[allow(unused_imports, reason = "one of the two is chosen by what the type implements")]
            use #root::__private::{ViaDefault as _, ViaNoDefault as _};
            let _ = cx;
            (&#root::__private::DefaultProbe::<#object>::new()).make()
        }},
    };
    quote! {
        #root::__private::inventory::submit! {
            #root::__private::ServiceEntry::new(::core::module_path!(), #spec, #roles, |cx| ::std::boxed::Box::pin(async move {
                let object: ::core::option::Option<::std::sync::Arc<#object>> = #make;
                ::core::result::Result::Ok(object.map(<#object as #root::__private::Hosted<#marker>>::host))
            }))
        }
    }
}
