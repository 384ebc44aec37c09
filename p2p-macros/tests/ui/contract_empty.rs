use p2p_client::service;

#[service]
pub trait Kv {
    const SIZE: usize;
}

fn main() {}
