use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet<T: ToString>(&self, name: T) -> Result<String> {
        Ok(name.to_string())
    }

    #[service_method]
    pub async fn lend<'a>(&self, name: &'a str) -> Result<String> {
        Ok(name.to_owned())
    }

    #[service_method]
    pub async fn sized<const N: usize>(&self) -> Result<usize> {
        Ok(N)
    }
}

fn main() {}
