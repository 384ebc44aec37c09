use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Counter;

#[service]
impl Counter {
    #[service_method]
    pub async fn count(&self) -> Result<impl Stream<Item = u64>> {
        let last = std::rc::Rc::new(1);
        Ok(futures::stream::iter([0]).map(move |number| number + *last))
    }
}

fn main() {}
