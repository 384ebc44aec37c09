use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<&str> {
        Ok("hello")
    }
}

fn main() {}
