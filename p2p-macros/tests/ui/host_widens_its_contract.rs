use p2p_runtime::{prelude::Result, service};

#[service]
pub trait Kv {
    #[service_method(public)]
    async fn get(&self) -> Result<u8>;

    #[service_method(scope = "kv:write")]
    async fn put(&self) -> Result<u8>;

    async fn wipe(&self) -> Result<u8>;
}

#[derive(Default)]
pub struct Memory;

#[service]
impl Kv for Memory {
    #[service_method(anonymous)]
    async fn get(&self) -> Result<u8> {
        Ok(1)
    }

    #[service_method(scope = "kv:read")]
    async fn put(&self) -> Result<u8> {
        Ok(2)
    }

    #[service_method(role = "coordinator")]
    async fn wipe(&self) -> Result<u8> {
        Ok(3)
    }
}

fn main() {}
