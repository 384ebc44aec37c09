use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
