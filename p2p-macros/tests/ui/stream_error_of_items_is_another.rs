use std::num::ParseIntError;

use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn count(&self) -> Result<impl Stream<Item = Result<u64, ParseIntError>>> {
        Ok(futures::stream::iter([Ok(1)]))
    }
}

fn main() {}
