//! Access is decided before params are decoded, here and there.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use p2p_client::{
    call::CallError,
    protocol::{CallerId, Role},
};
use p2p_runtime::{prelude::Result, service};
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
