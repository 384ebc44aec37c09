use p2p_runtime::{prelude::*, service};

pub struct Greeter;

#[service]
impl Greeter {
    pub async fn new(cx: &Context) -> Self {
        let _ = cx;
        Self
    }

    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
