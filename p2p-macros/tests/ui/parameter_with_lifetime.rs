use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, name: &'static str) -> Result<usize> {
        Ok(name.len())
    }
}

fn main() {}
