use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn names(&self) -> Result<impl Stream<Item = &str>> {
        Ok(futures::stream::iter(["a"]))
    }
}

fn main() {}
