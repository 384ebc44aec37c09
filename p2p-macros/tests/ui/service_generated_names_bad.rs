use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service(proxy = "my proxy", accessor = "2greet", crate = "p2p runtime")]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
