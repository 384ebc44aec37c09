use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Vault;

#[service]
impl Vault {
    #[service_method(public)]
    #[service_method(role = "coordinator")]
    pub async fn open(&self) -> Result<()> {
        Ok(())
    }
}

#[service]
pub trait Kv {
    #[service_method]
    #[p2p_runtime::service_method(read_only)]
    #[service_method(public)]
    async fn get(&self, #[arg(default = "a")] #[arg(rename = "k")] key: &str) -> Result<u8>;
}

fn main() {}
