use p2p_runtime::{prelude::Result, service};

#[service]
async fn greet(name: String) -> Result<String> {
    Ok(name)
}

fn main() {
    let _ = greet(String::new());
}
