use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(self) -> Result<()> {
        Ok(())
    }

    #[service_method]
    pub async fn shared(self: std::sync::Arc<Self>) -> Result<()> {
        Ok(())
    }
}

fn main() {}
