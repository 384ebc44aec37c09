use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Memory;

#[service]
impl (u8) for Memory {
    async fn get(&self) -> Result<u8> {
        Ok(1)
    }
}

fn main() {}
