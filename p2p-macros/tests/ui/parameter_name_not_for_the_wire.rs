use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, #[arg(rename = "full name")] name: String, größe: u8) -> Result<String> {
        Ok(format!("{name} {größe}"))
    }
}

fn main() {}
