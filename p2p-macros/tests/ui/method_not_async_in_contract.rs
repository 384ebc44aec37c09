use p2p_client::{service, service::Result};

#[service]
pub trait Kv {
    fn get(&self, key: String) -> Result<String>;
}

fn main() {}
