use p2p_runtime::{prelude::*, service};

#[service]
pub trait Kv {
    async fn get(&self) -> Result<u8>;
}

#[derive(Default)]
pub struct Memory;

#[service]
#[async_trait]
impl Kv for Memory {
    async fn get(&self) -> Result<u8> {
        Ok(1)
    }
}

fn main() {}
