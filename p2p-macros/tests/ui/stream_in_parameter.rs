use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn sum(&self, numbers: impl Stream<Item = u64>) -> Result<u64> {
        Ok(numbers.count().await as u64)
    }
}

fn main() {}
