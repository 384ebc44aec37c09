use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service(roles = [Worker])]
impl Greeter {
    #[service_method(role = "cordinator")]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(role = "admin")]
    pub async fn again(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
