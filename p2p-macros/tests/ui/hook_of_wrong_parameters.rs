use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    async fn initialize(&self, count: u32) -> Result<()> {
        let _ = count;
        Ok(())
    }

    fn health(&self) -> bool {
        true
    }

    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
