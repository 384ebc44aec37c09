//! Access is decided before params are decoded, here and there.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use p2p_client::{
    call::CallError,
    protocol::{Access, CallerId, Role},
};
use p2p_runtime::{prelude::Result, service, service::Hosted};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::cluster::Cluster;

static DECODED: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it is decoded.
#[derive(Serialize, JsonSchema)]
struct Watched(u8);

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, SeqCst);
        u8::deserialize(deserializer).map(Self)
    }
}

struct Vault;

#[service]
impl Vault {
    #[service_method]
    async fn open(&self, code: Watched) -> Result<u8> {
        Ok(code.0)
    }

    #[service_method(role = "coordinator")]
    async fn reset(&self) -> Result<()> {
        Ok(())
    }

    #[service_method(anonymous)]
    async fn knock(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refused_call_is_refused_before_its_params_are_decoded() {
    let cluster =
        Cluster::default().node("here", Role::Worker).node("there", Role::Worker).serve("here", Vault).serve("there", Vault);
    let nobody = cluster.proxy_as("here", CallerId::Anonymous);
    let refusal = "an anonymous caller may not call vault/open: it is for nodes of this cluster and operators";
    for node in ["here", "there"] {
        for params in [json!({ "code": 1 }), json!({ "code": "no number" }), json!({ "nonsense": 1 })] {
            match nobody.call("vault/open", params).on(node).await {
                Err(CallError::Denied(text)) => assert_eq!(text, refusal, "{node}"),
                other => panic!("{node}: {other:?}"),
            }
        }
        match nobody.vault().on(node).open(Watched(1)).await {
            Err(CallError::Denied(text)) => assert_eq!(text, refusal, "{node}"),
            other => panic!("{node}: {other:?}"),
        }
        assert!(matches!(nobody.vault().on(node).reset().await, Err(CallError::Denied(_))), "{node}");
        nobody.vault().on(node).knock().await.unwrap();
    }
    assert_eq!(DECODED.load(SeqCst), 0);
    assert!(matches!(cluster.proxy("here").vault().reset().await, Err(CallError::Denied(_))), "a worker is no coordinator");
    assert_eq!(cluster.proxy("here").vault().on("there").open(Watched(3)).await.unwrap(), 3);
    assert_eq!(DECODED.load(SeqCst), 1);
}

/// A contract that is open to many.
#[service]
trait Shelf {
    #[service_method(anonymous)]
    async fn look(&self) -> Result<u8>;

    #[service_method(public, rename = "take_one")]
    async fn take(&self) -> Result<u8>;

    #[service_method(scope = "shelf:write")]
    async fn put(&self) -> Result<u8>;

    #[service_method]
    async fn clear(&self) -> Result<u8>;
}

/// Lets in whom the contract does.
struct OpenShelf;

#[service]
impl Shelf for OpenShelf {
    async fn look(&self) -> Result<u8> {
        Ok(1)
    }

    async fn take(&self) -> Result<u8> {
        Ok(2)
    }

    async fn put(&self) -> Result<u8> {
        Ok(3)
    }

    async fn clear(&self) -> Result<u8> {
        Ok(4)
    }
}

/// Lets in fewer, of some methods.
#[derive(Default)]
struct LockedShelf;

#[service]
impl Shelf for LockedShelf {
    #[service_method(nodes)]
    async fn look(&self) -> Result<u8> {
        Ok(1)
    }

    #[service_method(scope = "shelf:take")]
    async fn take(&self) -> Result<u8> {
        Ok(2)
    }

    async fn put(&self) -> Result<u8> {
        Ok(3)
    }

    #[service_method(role = "coordinator")]
    async fn clear(&self) -> Result<u8> {
        Ok(4)
    }
}

/// The same, of any type.
struct ShelfOf<T>(T);

#[service]
impl<T: Send + Sync + 'static> Shelf for ShelfOf<T> {
    #[service_method(nodes)]
    async fn look(&self) -> Result<u8> {
        Ok(1)
    }

    async fn take(&self) -> Result<u8> {
        let _ = &self.0;
        Ok(2)
    }

    async fn put(&self) -> Result<u8> {
        Ok(3)
    }

    async fn clear(&self) -> Result<u8> {
        Ok(4)
    }
}

#[tokio::test]
async fn a_host_that_narrows_its_contract_lets_in_fewer_here_and_there() {
    for node in ["here", "there"] {
        let cluster = || Cluster::default().node("here", Role::Worker).node("there", Role::Worker);
        let (open, locked, generic) =
            (cluster().serve(node, OpenShelf), cluster().serve(node, LockedShelf), cluster().serve(node, ShelfOf(0)));
        let denied = |outcome: Result<u8, CallError>| match outcome {
            Err(CallError::Denied(text)) => text,
            other => panic!("{node}: {other:?}"),
        };

        assert_eq!(open.proxy_as("here", CallerId::Anonymous).shelf().on(node).look().await.unwrap(), 1);
        for cluster in [&locked, &generic] {
            let said = denied(cluster.proxy_as("here", CallerId::Anonymous).shelf().on(node).look().await);
            assert_eq!(said, "an anonymous caller may not call shelf/look: it is for nodes of this cluster and operators");
            assert_eq!(cluster.proxy("here").shelf().on(node).look().await.unwrap(), 1, "it is open to nodes");
        }

        assert_eq!(open.proxy("here").shelf().on(node).clear().await.unwrap(), 4);
        let said = denied(locked.proxy("here").shelf().on(node).clear().await);
        assert_eq!(said, "node here (worker) may not call shelf/clear: it is for nodes with the role coordinator");
        // What is not said is as the contract says it.
        assert_eq!(locked.proxy("here").shelf().on(node).put().await.unwrap(), 3);
        denied(locked.proxy_as("here", CallerId::Anonymous).shelf().on(node).put().await);
    }
}

#[test]
fn the_tables_and_the_description_of_a_narrower_host_say_whom_it_lets_in() {
    let narrowed = [
        ("look".to_owned(), Access::Nodes),
        ("take_one".to_owned(), Access::Scope("shelf:take".into())),
        ("put".to_owned(), Access::Scope("shelf:write".into())),
        ("clear".to_owned(), Access::Role(Role::Coordinator)),
    ];
    let spec = LockedShelf::spec();
    let of_tables = spec.methods.iter().map(|method| (method.name.to_string(), method.access.clone())).collect::<Vec<_>>();
    assert_eq!(of_tables, narrowed);
    let hosted = std::sync::Arc::new(LockedShelf).host().service().clone();
    let described = |descriptor: &p2p_client::protocol::ServiceDescriptor| {
        descriptor.methods.iter().map(|method| (method.name.to_string(), method.access.clone())).collect::<Vec<_>>()
    };
    assert_eq!(described(&hosted.describe()), narrowed);
    assert_eq!(hosted.describe().fingerprint(), hosted.fingerprint());
    assert_ne!(
        hosted.fingerprint(),
        std::sync::Arc::new(OpenShelf).host().service().fingerprint(),
        "callers can tell them apart"
    );
    assert_eq!(described(spec.descriptor().unwrap().get()), narrowed, "it is what documents are made of");
    // All hosts that do not say so are as the contract is.
    assert_eq!(OpenShelf::spec().methods[0].access, Access::Anonymous);
    assert_eq!(ShelfOf::<u8>::spec().methods[0].access, Access::Nodes);
    assert_eq!(ShelfOf::<u8>::spec().methods[3].access, Access::Nodes);
}
