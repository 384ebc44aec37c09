use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn größe(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(rename = "say hello")]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
