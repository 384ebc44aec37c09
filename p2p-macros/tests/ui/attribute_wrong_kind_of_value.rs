use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service(name = greeter, roles = "worker", init = "new")]
impl Greeter {
    #[service_method(timeout = 2, public = "yes", scope)]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(role("worker"))]
    pub async fn again(&self) -> Result<()> {
        Ok(())
    }

    #[service_method = "public"]
    pub async fn third(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
