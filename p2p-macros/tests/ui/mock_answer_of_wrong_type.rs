use p2p_runtime::{prelude::Result, service};

#[service]
pub trait Kv {
    async fn get(&self, key: String) -> Result<Option<String>>;
}

fn main() {
    let kv = MockKv::new();
    kv.on_get(|_, key| Ok(Some(key)));
    kv.on_get(|_, _| "green");
}
