use p2p_runtime::{prelude::Result, service};

#[service]
pub trait Kv {
    #[service_method(public)]
    async fn get(&self) -> Result<u8>;

    #[service_method(public)]
    async fn put(&self) -> Result<u8>;

    #[service_method(public)]
    async fn wipe(&self) -> Result<u8>;
}

#[derive(Default)]
pub struct Memory;

#[service]
impl Kv for Memory {
    #[service_method(nodes, timeout = "2s")]
    async fn get(&self) -> Result<u8> {
        Ok(1)
    }

    #[service_method]
    async fn put(&self) -> Result<u8> {
        Ok(2)
    }

    #[service_method(nodes)]
    #[service_method(scope = "kv:wipe")]
    async fn wipe(&self) -> Result<u8> {
        Ok(3)
    }
}

fn main() {}
