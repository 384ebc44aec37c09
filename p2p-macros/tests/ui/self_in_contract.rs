use p2p_client::{service, service::Result};

#[service]
pub trait Merging {
    async fn merge(&self, other: &Self) -> Result<()>;

    async fn parts(&self) -> Result<Vec<Self>>;
}

fn main() {}
