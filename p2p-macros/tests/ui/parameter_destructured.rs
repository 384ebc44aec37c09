use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, (first, last): (String, String)) -> Result<String> {
        Ok(first + &last)
    }

    #[service_method]
    pub async fn ignore(&self, _: String) -> Result<()> {
        Ok(())
    }
}

fn main() {}
