use p2p_runtime::{prelude::Result, service};

pub trait Plain {
    async fn get(&self) -> Result<()>;
}

#[derive(Default)]
pub struct Memory;

#[service]
impl Plain for Memory {
    async fn get(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
