use p2p_client::{service, service::Result};

#[service(host = "MemoryAsKv")]
pub trait Kv {
    async fn get(&self, key: &str) -> Result<String>;
}

fn main() {}
