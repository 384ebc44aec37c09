use p2p_runtime::{prelude::*, service};

#[derive(Default)]
pub struct Greeter;

#[service(version = "1")]
impl Greeter {
    #[service_method(pubic)]
    pub async fn greet(&self, #[arg(defalt = 2)] times: u8) -> Result<u8> {
        Ok(times)
    }

    #[service_method]
    pub async fn part(&self, name: &mut String) -> Result<u8> {
        Ok(name.len() as u8)
    }

    #[service_method(public)]
    pub async fn meet(&self, name: &str) -> Result<usize> {
        Ok(name.len())
    }
}

#[service]
pub trait Kv {
    async fn get(&self, key: &str) -> Result<u8>;

    fn take(&self, key: &str) -> Result<u8>;
}

#[derive(Default)]
pub struct Memory;

#[service(name = "memory", roles = [worker, manager])]
impl Kv for Memory {
    #[service_method(publick)]
    async fn get(&self, key: &str) -> Result<u8> {
        Ok(key.len() as u8)
    }

    fn take(&self, _: &str) -> Result<u8> {
        Ok(0)
    }
}

// All that is used here is right, and so nothing is complained of here.
pub async fn elsewhere(proxy: &Proxy) -> Result<()> {
    let _ = Node::builder().serve(Greeter).serve(Memory);
    proxy.greeter().greet(1).await?;
    proxy.greeter().on_all(Role::Worker).meet("Ada").await.all_ok()?;
    proxy.kv().get("x").await?;
    Ok(())
}

fn main() {}
