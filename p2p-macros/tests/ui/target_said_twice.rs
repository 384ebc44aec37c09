use p2p_runtime::{
    prelude::{Proxy, Result, Role},
    service,
};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self) -> Result<()> {
        Ok(())
    }
}

pub fn call(proxy: &Proxy) {
    let _ = proxy.greeter().on("worker-1").on("worker-2");
    let _ = proxy.greeter().on(Role::Worker).on_all(Role::Worker);
}

fn main() {}
