use p2p_runtime::{prelude::Result, service};

#[service(mock = "a mock")]
pub trait Kv {
    async fn get(&self, key: String) -> Result<Option<String>>;
}

fn main() {}
