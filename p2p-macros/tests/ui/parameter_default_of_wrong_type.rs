use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, #[arg(default = "many")] times: u32) -> Result<u32> {
        Ok(times)
    }
}

fn main() {}
