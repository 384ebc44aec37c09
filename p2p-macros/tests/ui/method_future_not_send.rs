use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<usize> {
        let name = std::rc::Rc::new("Ada".to_owned());
        std::future::ready(()).await;
        Ok(name.len())
    }
}

fn main() {}
