use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter<T>(T);

#[service]
impl<T: Send + Sync + 'static> Greeter<T> {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
