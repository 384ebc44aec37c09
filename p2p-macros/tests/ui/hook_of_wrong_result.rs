use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    async fn initialize(&self) -> u32 {
        1
    }

    async fn cleanup(&self) {}

    async fn health(&self, cx: &Context) -> bool {
        let _ = cx;
        true
    }

    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
