use p2p_runtime::{prelude::Result, service};

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Guest {
    name: String,
}

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, guest: &Guest) -> Result<usize> {
        Ok(guest.name.len())
    }
}

fn main() {}
