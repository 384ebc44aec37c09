use p2p_runtime::{prelude::Result, service};

pub struct Opaque;

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<Opaque> {
        Ok(Opaque)
    }
}

fn main() {}
