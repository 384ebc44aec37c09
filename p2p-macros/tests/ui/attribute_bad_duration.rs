use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method(timeout = "0s")]
    pub async fn none(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(timeout = "2")]
    pub async fn no_unit(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(timeout = "two seconds")]
    pub async fn words(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(timeout = "1.5s")]
    pub async fn fraction(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(timeout = "-1s")]
    pub async fn negative(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
