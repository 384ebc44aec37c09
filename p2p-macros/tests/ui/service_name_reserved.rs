use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Clone;

#[service]
impl Clone {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
