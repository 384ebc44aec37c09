use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method(public idempotent)]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
