use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, #[arg(defualt = 1)] times: u32, #[arg] other: u32) -> Result<u32> {
        Ok(times + other)
    }
}

fn main() {}
