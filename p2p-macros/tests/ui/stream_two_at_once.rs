use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn both(&self) -> Result<(impl Stream<Item = u64>, impl Stream<Item = u64>)> {
        Ok((futures::stream::iter([1]), futures::stream::iter([1])))
    }
}

fn main() {}
