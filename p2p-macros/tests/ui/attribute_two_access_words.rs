use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method(public, anonymous)]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(scope = "a", role = "worker")]
    pub async fn again(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
