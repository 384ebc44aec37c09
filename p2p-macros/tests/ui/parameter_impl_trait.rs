use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, name: impl ToString, all: Vec<impl ToString>) -> Result<usize> {
        Ok(name.to_string().len() + all.len())
    }
}

fn main() {}
