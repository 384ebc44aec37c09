use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method(pubic)]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(idempotant, timout = "2s")]
    pub async fn again(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(colour = "red")]
    pub async fn paint(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
