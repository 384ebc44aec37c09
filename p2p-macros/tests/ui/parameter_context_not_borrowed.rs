use p2p_runtime::{
    prelude::{CallContext, Result},
    service,
};

#[derive(Default)]
pub struct Greeter;

#[service]
impl Greeter {
    #[service_method]
    pub async fn greet(&self, cx: CallContext) -> Result<String> {
        Ok(cx.node().to_string())
    }

    #[service_method]
    pub async fn change(&self, cx: &mut CallContext) -> Result<String> {
        Ok(cx.node().to_string())
    }
}

fn main() {}
