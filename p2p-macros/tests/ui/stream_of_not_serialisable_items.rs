use p2p_runtime::{prelude::*, service};

pub struct Handle;

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn handles(&self) -> Result<impl Stream<Item = Handle>> {
        Ok(futures::stream::iter([Handle]))
    }
}

fn main() {}
