use p2p_runtime::service;

#[service]
#[derive(Default)]
pub struct Greeter {
    pub greeted: u64,
}

fn main() {
    let _ = Greeter::default().greeted;
}
