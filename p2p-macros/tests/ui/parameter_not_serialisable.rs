use p2p_runtime::{prelude::Result, service};

pub struct Opaque;

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, name: String, opaque: Opaque) -> Result<String> {
        drop(opaque);
        Ok(name)
    }
}

fn main() {}
