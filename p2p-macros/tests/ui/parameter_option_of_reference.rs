use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, name: Option<&str>) -> Result<bool> {
        Ok(name.is_some())
    }
}

fn main() {}
