use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::*;
use crate::{prelude::*, service};

#[service]
trait Shelves {
    async fn shelves(&self) -> Result<u8>;
}

#[service]
trait Drawers {
    async fn drawers(&self) -> Result<u8>;
}

#[derive(Default)]
struct Cabinet {
    started: AtomicU8,
}

#[service(host = "CabinetAsShelves")]
impl Shelves for Cabinet {
    async fn shelves(&self) -> Result<u8> {
        Ok(3)
    }
}

#[service(host = "CabinetAsDrawers")]
impl Drawers for Cabinet {
    async fn drawers(&self) -> Result<u8> {
        Ok(4)
    }
}

impl Lifecycle for Cabinet {
    async fn initialize(&self, _: &Context) -> Result<()> {
        self.started.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn health(&self, _: &Context) -> Health {
        Health::degraded(format!("started {} times", self.started.load(Relaxed)))
    }
}

fn context() -> Context {
    Context::new("alone".parse().unwrap(), Role::Worker)
}

async fn made(name: &str, cx: &Context) -> Hosting {
    let entry = inventory::iter::<ServiceEntry>.into_iter().find(|entry| (entry.spec)().name == name).unwrap();
    (entry.make)(cx).await.unwrap().unwrap()
}

async fn health(hosting: &Hosting, cx: &Context) -> String {
    let hook = hosting.health.clone().unwrap();
    format!("{:?}", hook(cx.clone()).await)
}

#[tokio::test]
async fn a_type_that_hosts_two_contracts_is_made_once_for_a_node_and_started_once() {
    let cx = context();
    let (first, second) = (made("shelves", &cx).await, made("drawers", &cx).await);
    (first.initialize.as_ref().unwrap())(cx.clone()).await.unwrap();
    assert!(second.initialize.is_none() && second.cleanup.is_none());
    assert!(first.cleanup.is_some());
    assert!(health(&second, &cx).await.contains("started 1 times"), "{}", health(&second, &cx).await);
    let of_another_node = made("drawers", &context()).await;
    assert!(health(&of_another_node, &cx).await.contains("started 0 times"));
}

#[tokio::test]
async fn a_type_that_hosts_two_contracts_is_handed_in_under_the_name_of_one() {
    let cabinet = Arc::new(Cabinet::default());
    let shelves = <Cabinet as Hosted<CabinetAsShelves>>::host(cabinet.clone());
    let drawers = <Cabinet as Hosted<CabinetAsDrawers>>::host(cabinet);
    assert_eq!((&*shelves.service().spec().name, &*drawers.service().spec().name), ("shelves", "drawers"));
}

#[derive(Default)]
struct Desk {
    happened: std::sync::Mutex<Vec<&'static str>>,
}

#[service]
impl Desk {
    async fn cleanup(&self) -> std::io::Result<()> {
        self.happened.lock().unwrap().push("cleaned up by its block");
        Ok(())
    }

    #[service_method]
    async fn tidy(&self) -> Result<()> {
        Ok(())
    }
}

impl Lifecycle for Desk {
    async fn initialize(&self, _: &Context) -> Result<()> {
        self.happened.lock().unwrap().push("initialized");
        Ok(())
    }

    async fn cleanup(&self, _: &Context) -> Result<()> {
        self.happened.lock().unwrap().push("cleaned up");
        Ok(())
    }
}

#[tokio::test]
async fn a_service_of_its_own_may_have_a_lifecycle_and_what_stands_in_its_block_goes_before() {
    let (cx, desk) = (context(), Arc::new(Desk::default()));
    let hosting = desk.clone().host();
    (hosting.initialize.as_ref().unwrap())(cx.clone()).await.unwrap();
    (hosting.cleanup.as_ref().unwrap())(cx).await.unwrap();
    assert_eq!(*desk.happened.lock().unwrap(), ["initialized", "cleaned up by its block"]);
}
