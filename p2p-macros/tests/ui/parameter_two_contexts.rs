use p2p_runtime::{
    prelude::{CallContext, Result},
    service,
};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, cx: &CallContext, again: &CallContext) -> Result<bool> {
        Ok(cx.deadline() == again.deadline())
    }
}

fn main() {}
