use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service(name = "My Greeter")]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
