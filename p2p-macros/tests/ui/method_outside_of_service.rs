use p2p_runtime::{prelude::Result, service_method};

pub struct Greeter;

impl Greeter {
    #[service_method(public)]
    pub async fn greet(&self, name: String) -> Result<String> {
        Ok(name)
    }
}

#[service_method]
fn alone() {}

fn main() {
    let _ = Greeter.greet("Ada".to_owned());
    alone();
}
