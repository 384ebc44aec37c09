use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service(version = "1", colour = "red")]
impl Greeter {
    #[service_method(pubic, timeout = "soon")]
    pub fn greet<T>(&mut self, (a, b): (u8, u8), c: &mut u8, d: Option<&str>) {
        let _ = (a, b, c, d);
    }

    #[service_method(role = "boss")]
    pub async fn new(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
