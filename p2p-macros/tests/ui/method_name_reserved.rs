use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn on(&self) -> Result<()> {
        Ok(())
    }

    #[service_method]
    pub async fn on_all(&self) -> Result<()> {
        Ok(())
    }

    #[service_method]
    pub async fn clone(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
