use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn count(&self) -> Result<impl Stream<Item = u64>> {
        Ok(futures::stream::iter([1]))
    }
}

async fn caller(proxy: Proxy) {
    let _ = proxy.counter().on_all(Role::Worker).count();
}

fn main() {}
