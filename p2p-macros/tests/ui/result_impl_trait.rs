use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<impl Iterator<Item = u8>> {
        Ok([1].into_iter())
    }
}

fn main() {}
