use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, #[cfg(unix)] name: String) -> Result<()> {
        let _ = name;
        Ok(())
    }
}

fn main() {}
