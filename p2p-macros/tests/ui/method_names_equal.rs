use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(rename = "greet")]
    pub async fn hello(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
