use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async unsafe fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
