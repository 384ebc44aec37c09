use p2p_runtime::{prelude::Result, service};

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Guest {
    name: String,
}

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, guest: Guest) -> Result<String> {
        Ok(guest.name)
    }
}

fn main() {}
