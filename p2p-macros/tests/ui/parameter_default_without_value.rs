use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, #[arg(default)] times: u8, #[arg] name: String) -> Result<String> {
        Ok(name.repeat(times.into()))
    }
}

fn main() {}
