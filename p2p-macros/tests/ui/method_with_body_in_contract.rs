use p2p_client::{service, service::Result};

#[service]
pub trait Kv {
    async fn get(&self, key: String) -> Result<String> {
        Ok(key)
    }
}

fn main() {}
