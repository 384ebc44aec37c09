//! A crate of services. Nobody calls anything in it by its Rust name.

use p2p_runtime::prelude::*;

/// Greets people.
#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    /// Says hello.
    #[service_method(public)]
    pub async fn greet(&self, name: String) -> Result<String> {
        Ok(format!("Hello, {name}"))
    }
}
