use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, names: Vec<&str>) -> Result<usize> {
        Ok(names.len())
    }

    #[service_method]
    pub async fn all(&self, names: &[&str]) -> Result<usize> {
        Ok(names.len())
    }
}

fn main() {}
