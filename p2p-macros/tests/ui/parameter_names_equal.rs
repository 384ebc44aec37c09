use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, name: String, #[arg(rename = "name")] other: String) -> Result<String> {
        Ok(name + &other)
    }
}

fn main() {}
