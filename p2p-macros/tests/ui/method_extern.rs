use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub extern "C" fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
