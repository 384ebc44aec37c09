use p2p_runtime::{prelude::Result, service};

#[service]
pub trait Kv {
    async fn get(&self, key: String) -> Result<Option<String>>;
}

#[derive(Default)]
pub struct MemoryKv;

#[service(mock = "MockMemoryKv")]
impl Kv for MemoryKv {
    async fn get(&self, key: String) -> Result<Option<String>> {
        Ok(Some(key))
    }
}

fn main() {}
