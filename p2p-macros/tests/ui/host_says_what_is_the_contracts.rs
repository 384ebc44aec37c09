use p2p_runtime::{prelude::Result, service};

#[service]
pub trait Kv {
    async fn get(&self, key: String) -> Result<Option<String>>;
}

#[derive(Default)]
pub struct MemoryKv;

#[service(name = "kv", version = "1.0.0", roles = [worker])]
impl Kv for MemoryKv {
    #[service_method(public)]
    async fn get(&self, key: String) -> Result<Option<String>> {
        Ok(Some(key))
    }
}

fn main() {}
