use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    #[service_method(rename = "greet")]
    pub async fn greet_unix(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
