use std::pin::Pin;

use futures::{Stream, stream::BoxStream};
use p2p_client::{service, service::Result};

#[service]
pub trait Counter {
    async fn count(&self) -> Result<BoxStream<'static, u64>>;

    async fn parts(&self) -> Result<Pin<Box<dyn Stream<Item = u64> + Send>>>;
}

fn main() {}
