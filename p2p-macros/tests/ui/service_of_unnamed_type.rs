use p2p_runtime::{prelude::*, service};

pub trait Greets {}

#[service]
impl dyn Greets {
    #[service_method]
    pub async fn greet(&self) -> Result<u8> {
        Ok(1)
    }
}

fn main() {}
