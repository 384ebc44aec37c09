use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn count(&self) -> Result<impl Stream> {
        Ok(futures::stream::iter([1]))
    }
}

fn main() {}
