use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method(pubic)]
    pub async fn greet(&self) -> Result<u8> {
        Ok(1)
    }
}

// That `greet` is still there shows by this being the second error, and the only other one.
fn main() {
    let _: &str = std::convert::identity(Greeter::greet);
}
