//! The attributes of P2P Core: [`macro@service_method`] and the entries behind `#[service]`, `#[derive(Message)]` and `#[derive(FromCallError)]`.
//!
//! Use them through the crate that you depend on (`p2p_client::service`, `p2p_runtime::service` or `p2p_services::service`): each
//! of these is an entry of its own, because an attribute cannot know by which crate it was re-exported. How they are used is
//! told, with examples that are tested, at `p2p_runtime::service` and `p2p_client::service`.
//!
//! Data flows one way: `parse` reads tokens into what the user wrote, `model` checks it and says what was meant, `expand`
//! writes code from the model. Every mistake goes into one `errors::Errors` and is reported in the same compile, beside
//! the user's own item.

mod errors;
mod expand;
mod model;
mod parse;

use proc_macro::TokenStream;
use quote::quote;

/// `#[service]` as `p2p_client` exports it: on a `trait`, a contract.
#[proc_macro_attribute]
pub fn service_of_client(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(args.into(), &item.into(), expand::Entry::CLIENT).into()
}

/// `#[service]` as `p2p_runtime` exports it: on a `trait`, an `impl Type`, or an `impl Contract for Type`.
#[proc_macro_attribute]
pub fn service_of_runtime(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(args.into(), &item.into(), expand::Entry::RUNTIME).into()
}

/// `#[service]` as `p2p_services` exports it: on a `trait`, an `impl Type`, or an `impl Contract for Type`.
#[proc_macro_attribute]
pub fn service_of_services(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(args.into(), &item.into(), expand::Entry::SERVICES).into()
}

/// `#[derive(Message)]` as `p2p_client` exports it. What it does is told at the trait `p2p_client::codec::Message`.
#[proc_macro_derive(MessageOfClient, attributes(serde, message))]
pub fn message_of_client(item: TokenStream) -> TokenStream {
    expand::message(&item.into(), expand::Entry::CLIENT).into()
}

/// `#[derive(Message)]` as `p2p_runtime` exports it.
#[proc_macro_derive(MessageOfRuntime, attributes(serde, message))]
pub fn message_of_runtime(item: TokenStream) -> TokenStream {
    expand::message(&item.into(), expand::Entry::RUNTIME).into()
}

/// `#[derive(Message)]` as `p2p_services` exports it.
#[proc_macro_derive(MessageOfServices, attributes(serde, message))]
pub fn message_of_services(item: TokenStream) -> TokenStream {
    expand::message(&item.into(), expand::Entry::SERVICES).into()
}

/// `#[derive(FromCallError)]` as `p2p_client` exports it, where it is told what it does.
#[proc_macro_derive(FromCallErrorOfClient, attributes(from_call))]
pub fn from_call_error_of_client(item: TokenStream) -> TokenStream {
    expand::from_call(&item.into(), expand::Entry::CLIENT).into()
}

/// `#[derive(FromCallError)]` as `p2p_runtime` exports it.
#[proc_macro_derive(FromCallErrorOfRuntime, attributes(from_call))]
pub fn from_call_error_of_runtime(item: TokenStream) -> TokenStream {
    expand::from_call(&item.into(), expand::Entry::RUNTIME).into()
}

/// `#[derive(FromCallError)]` as `p2p_services` exports it.
#[proc_macro_derive(FromCallErrorOfServices, attributes(from_call))]
pub fn from_call_error_of_services(item: TokenStream) -> TokenStream {
    expand::from_call(&item.into(), expand::Entry::SERVICES).into()
}

/// Marks a method that callers can reach. It means something only inside of a block under `#[service]`, which takes it away;
/// anywhere else it is a mistake, and says so.
#[proc_macro_attribute]
pub fn service_method(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let told = syn::Error::new(
        proc_macro2::Span::call_site(),
        "#[service_method] stands on a method inside of a block that is under #[service]:\n\n    #[service]\n    impl Greeter {\n        \
         #[service_method]\n        pub async fn greet(&self, name: String) -> Result<String> { … }\n    }",
    )
    .into_compile_error();
    quote!(#told #item).into()
}
