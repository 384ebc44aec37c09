use p2p_runtime::service;

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, name: String) {
        drop(name);
    }
}

fn main() {}
