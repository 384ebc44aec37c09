use p2p_client::{service, service::Result};

#[service]
pub trait Kv<V> {
    async fn get(&self, key: String) -> Result<Option<String>>;
}

fn main() {}
