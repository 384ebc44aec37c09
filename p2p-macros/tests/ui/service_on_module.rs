use p2p_runtime::service;

#[service]
mod greeter {
    use p2p_runtime::{prelude::Result, service_method};

    #[service_method(public)]
    pub async fn greet(name: String) -> Result<String> {
        Ok(name)
    }
}

fn main() {
    let _ = greeter::greet(String::new());
}
