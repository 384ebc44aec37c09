use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service(version = "1.0.0", name = "greeter", version = "2.0.0")]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, #[arg(default = 1, default = 2)] times: u8) -> Result<u8> {
        Ok(times)
    }
}

fn main() {}
