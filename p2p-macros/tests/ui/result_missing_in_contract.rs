use p2p_client::service;

#[service]
pub trait Kv {
    async fn get(&self, key: String);
}

fn main() {}
