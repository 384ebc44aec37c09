use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Vault;

#[service(version = "1.0.0")]
#[service(name = "safe")]
impl Vault {
    #[service_method]
    pub async fn open(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
