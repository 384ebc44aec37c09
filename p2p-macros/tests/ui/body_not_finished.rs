use p2p_runtime::{prelude::Result, service};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        self.
    }

    #[service_method]
    pub async fn again(&self) -> Result<()> {
        let x =
    }
}

pub fn call(proxy: &p2p_runtime::prelude::Proxy) {
    let _ = proxy.greeter().again();
}

fn main() {}
