use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    fn initialize(&self) -> Result<()> {
        Ok(())
    }

    async fn cleanup() -> Result<()> {
        Ok(())
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }

    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
