use p2p_runtime::{prelude::*, service};

#[service(version = "1")]
pub trait Kv {
    async fn get(&self, key: &str) -> Result<String>;
}

#[derive(Default)]
pub struct Memory;

#[service]
impl Kv for Memory {
    async fn get(&self, key: &str) -> Result<String> {
        Ok(key.to_owned())
    }
}

pub fn far(proxy: &Proxy) -> KvProxy {
    proxy.kv()
}

fn main() {}
