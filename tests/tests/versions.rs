//! Two versions of a service in one cluster: callers of one at hosts of the other.
#![allow(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Cluster, Member, Plan, sees, soon, token};
use futures::{StreamExt, TryStreamExt};
use p2p_client::{call::CallError, proxy::Proxy};
use p2p_runtime::{identity::TokenOptions, service::Hosted};

/// What hosts of all versions saw: the key, and where they looked.
type Seen = Arc<Mutex<Vec<(String, Option<u64>)>>>;

/// The first version.
mod v1 {
    use p2p_services::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Entry {
        pub(crate) value: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) enum KvError {
        NoSuchKey,
    }

    impl std::fmt::Display for KvError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("there is no such key")
        }
    }

    impl std::error::Error for KvError {}

    pub(crate) struct Store(pub(crate) super::Seen);

    /// Keeps values under keys.
    #[service(name = "kv", version = "1.0.0", proxy = "Kv1", accessor = "kv1")]
    impl Store {
        #[service_method]
        pub(crate) async fn get(&self, key: String) -> Result<Entry, KvError> {
            self.0.lock().unwrap().push((key.clone(), None));
            if key == "missing" { Err(KvError::NoSuchKey) } else { Ok(Entry { value: format!("{key} of 1") }) }
        }

        #[service_method]
        pub(crate) async fn first(&self) -> Result<Entry> {
            self.0.lock().unwrap().push(("first".to_owned(), None));
            Ok(Entry { value: "first of 1".to_owned() })
        }

        #[service_method]
        pub(crate) async fn keys(&self) -> Result<impl Stream<Item = String>> {
            Ok(futures::stream::iter(["a".to_owned(), "b".to_owned()]))
        }

        #[service_method]
        pub(crate) async fn entries(&self) -> Result<Vec<Entry>> {
            self.0.lock().unwrap().push(("entries".to_owned(), None));
            Ok(Vec::new())
        }
    }
}

/// The second: two parameters that may be left out, a field, an error, a method more; and a field that callers cannot do without.
mod v2 {
    use p2p_services::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Entry {
        pub(crate) value: String,
        #[serde(default)]
        pub(crate) revision: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Numbered {
        pub(crate) value: String,
        pub(crate) number: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) enum KvError {
        NoSuchKey,
        Frozen { since: u64 },
    }

    impl std::fmt::Display for KvError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}", if *self == Self::NoSuchKey { "there is no such key" } else { "the store is frozen" })
        }
    }

    impl std::error::Error for KvError {}

    pub(crate) struct Store(pub(crate) super::Seen);

    /// Keeps values under keys.
    #[service(name = "kv", version = "1.1.0", proxy = "Kv2", accessor = "kv2")]
    impl Store {
        const NEWEST: u64 = 0;

        #[service_method]
        pub(crate) async fn get(
            &self,
            key: String,
            #[arg(default = Self::NEWEST)] at: u64,
            note: Option<String>,
        ) -> Result<Entry, KvError> {
            drop(note);
            self.0.lock().unwrap().push((key.clone(), Some(at)));
            match key.as_str() {
                "missing" => Err(KvError::NoSuchKey),
                "frozen" => Err(KvError::Frozen { since: 3 }),
                _ => Ok(Entry { value: format!("{key} of 2"), revision: at }),
            }
        }

        #[service_method]
        pub(crate) async fn first(&self) -> Result<Numbered> {
            Ok(Numbered { value: "first of 2".to_owned(), number: 1 })
        }

        #[service_method]
        pub(crate) async fn size(&self) -> Result<u64> {
            Ok(2)
        }

        #[service_method]
        pub(crate) async fn keys(&self, #[arg(default = 2)] most: usize) -> Result<impl Stream<Item = String>> {
            Ok(futures::stream::repeat("k".to_owned()).take(most))
        }

        #[service_method]
        pub(crate) async fn entries(&self) -> Result<impl Stream<Item = Entry>> {
            self.0.lock().unwrap().push(("entries".to_owned(), None));
            Ok(futures::stream::empty())
        }
    }
}

/// The second, with another default.
mod v3 {
    use p2p_services::prelude::*;

    use super::v2::{Entry, KvError};

    pub(crate) struct Store(pub(crate) super::Seen);

    #[service(name = "kv", version = "1.2.0", proxy = "Kv3", accessor = "kv3")]
    impl Store {
        #[service_method]
        pub(crate) async fn get(&self, key: String, #[arg(default = 7)] at: u64, note: Option<String>) -> Result<Entry, KvError> {
            drop(note);
            self.0.lock().unwrap().push((key.clone(), Some(at)));
            Ok(Entry { value: key, revision: at })
        }
    }
}

use v1::Kv1Ext as _;
use v2::Kv2Ext as _;

/// A coordinator that hosts no version, and a worker for each version that does.
struct Versions {
    cluster: Cluster,
    head: Member,
    hosts: Vec<Member>,
}

impl Versions {
    async fn none() -> Self {
        let cluster = Cluster::new();
        let head = cluster.coordinator(Plan::coordinator().without_probe()).await;
        Self { cluster, head, hosts: Vec::new() }
    }

    async fn host<T: Hosted<M>, M>(mut self, service: T) -> Self {
        let plan = Plan::worker(u8::try_from(self.hosts.len() + 1).unwrap()).without_probe();
        let made = token(&self.head, TokenOptions::default()).await;
        let enrolment = soon(self.cluster.join(&plan, &self.head.authority(), made)).await.unwrap();
        let member = self.cluster.start_with(plan, enrolment, |builder| builder.serve(service)).await.unwrap();
        self.hosts.push(member);
        let hosting = self.hosts.len();
        sees(&self.head, |members| members.hosting("kv").count() == hosting).await;
        self
    }

    fn proxy(&self) -> Proxy {
        self.head.proxy()
    }
}

#[tokio::test]
async fn a_caller_of_the_old_version_is_served_by_a_host_of_the_new_one() {
    let seen = Seen::default();
    let cluster = Versions::none().await.host(v2::Store(seen.clone())).await;
    let kv = cluster.proxy().kv1();
    assert_eq!(kv.get("a").await.unwrap().value, "a of 2");
    assert_eq!(kv.get("b").await.unwrap().value, "b of 2");
    assert_eq!(kv.first().await.unwrap().value, "first of 2");
    assert!(matches!(kv.get("missing").await, Err(CallError::Service(v1::KvError::NoSuchKey))));
    assert_eq!(seen.lock().unwrap()[0], ("a".to_owned(), Some(0)));
}

#[tokio::test]
async fn an_error_that_the_caller_does_not_know_arrives_with_its_json() {
    let cluster = Versions::none().await.host(v2::Store(Seen::default())).await;
    match cluster.proxy().kv1().get("frozen").await {
        Err(CallError::UnknownService { message, data }) => {
            assert_eq!((message.as_str(), data.unwrap().get()), ("the store is frozen", r#"{"Frozen":{"since":3}}"#));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_caller_of_the_new_version_is_served_by_a_host_of_the_old_one_as_far_as_that_understands_it() {
    let seen = Seen::default();
    let cluster = Versions::none().await.host(v1::Store(seen.clone())).await;
    let kv = cluster.proxy().kv2();
    let found = kv.get("a", 0, None).await.unwrap();
    assert_eq!((found.value.as_str(), found.revision), ("a of 1", 0));
    seen.lock().unwrap().clear();

    let incompatible = |error: String, wanted: &str| {
        assert!(error.starts_with("incompatible: kv/") && error.contains("worker-1"), "{error}");
        assert!(error.contains(wanted), "{error}");
    };
    incompatible(kv.get("a", 5, None).await.unwrap_err().to_string(), "has no parameter `at`, which is set here");
    incompatible(kv.get("a", 0, Some("n".into())).await.unwrap_err().to_string(), "has no parameter `note`, which is set here");
    incompatible(kv.size().await.unwrap_err().to_string(), "has no such method; update the host");
    incompatible(kv.first().await.unwrap_err().to_string(), "result.number: the field is required, and not given");
    assert!(matches!(kv.size().await, Err(CallError::Incompatible(_))));
    assert_eq!(*seen.lock().unwrap(), [], "none of these was sent");
}

#[tokio::test]
async fn a_call_that_one_host_does_not_understand_goes_to_one_that_does() {
    let (old, new) = (Seen::default(), Seen::default());
    let cluster = Versions::none().await.host(v1::Store(old.clone())).await.host(v2::Store(new.clone())).await;
    let kv = cluster.proxy().kv2();
    for at in 1..=4 {
        assert_eq!(kv.get("a", at, None).await.unwrap().revision, at);
    }
    assert_eq!((old.lock().unwrap().len(), new.lock().unwrap().len()), (0, 4));
    let answers = kv.on_all(p2p_client::protocol::Role::Worker).get("a", 9, None).await;
    for (node, answer) in &answers {
        match node.as_str() {
            "worker-1" => assert!(matches!(answer, Err(CallError::Incompatible(_))), "{answer:?}"),
            _ => assert_eq!(answer.as_ref().unwrap().revision, 9),
        }
    }
    assert_eq!(answers.len(), 2);
}

#[tokio::test]
async fn a_stream_is_fitted_to_its_host_as_a_call_is() {
    let (old, new) = (Seen::default(), Seen::default());
    let cluster = Versions::none().await.host(v1::Store(old.clone())).await.host(v2::Store(new.clone())).await;
    let (kv1, kv2) = (cluster.proxy().kv1(), cluster.proxy().kv2());
    let keys: Vec<String> = kv1.on("worker-2").keys().await.unwrap().try_collect().await.unwrap();
    assert_eq!(keys, ["k", "k"], "the parameter that this caller does not know has its default");
    let keys: Vec<String> = kv2.on("worker-1").keys(2).await.unwrap().try_collect().await.unwrap();
    assert_eq!(keys, ["a", "b"], "what is as it is by default need not be known");
    let refused = kv2.on("worker-1").keys(1).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Incompatible(why) if why.contains("no parameter `most`, which is set here")),
        "{refused}"
    );
    for most in 3..=5 {
        assert_eq!(kv2.keys(most).await.unwrap().count().await, most, "it goes to the host that understands it");
    }

    let refused = kv1.on("worker-2").entries().await.unwrap_err().to_string();
    assert!(refused.contains("it streams now, where it gave one result"), "{refused}");
    let refused = kv2.on("worker-1").entries().await.unwrap_err().to_string();
    assert!(refused.contains("it gives one result now, where it streamed"), "{refused}");
    assert_eq!((old.lock().unwrap().len(), new.lock().unwrap().len()), (0, 0), "neither was sent");
}

#[tokio::test]
async fn a_default_means_what_it_means_to_the_caller() {
    let seen = Seen::default();
    let cluster = Versions::none().await.host(v3::Store(seen.clone())).await;
    assert_eq!(cluster.proxy().kv2().get("a", 0, None).await.unwrap().revision, 0);
    assert_eq!(cluster.proxy().kv2().get("a", 7, None).await.unwrap().revision, 7);
    // By name nobody has a default but the host.
    let by_name = cluster.proxy().call("kv/get", serde_json::json!({ "key": "a" })).await.unwrap();
    assert_eq!(by_name.get(), r#"{"value":"a","revision":7}"#);
}

#[tokio::test]
async fn a_call_to_a_version_that_cannot_be_read_is_not_sent_and_says_so() {
    let seen = Seen::default();
    let cluster = Versions::none().await.host(v1::Store(seen.clone())).await;
    let (head, host) = (&cluster.head, &cluster.hosts[0]);
    cluster.cluster.network.partition(head.ip, host.ip);
    let lost = cluster.proxy().kv2().get("a", 0, None).timeout(std::time::Duration::from_secs(2)).await.unwrap_err();
    assert!(lost.is_safe_to_retry(), "{lost}");
    let said = lost.to_string();
    assert!(said.starts_with("node worker-1: its version of kv is not this one's, and could not be read: "), "{said}");
    cluster.cluster.network.heal(head.ip, host.ip);
    assert_eq!(*seen.lock().unwrap(), []);
}

#[tokio::test]
async fn another_version_on_the_callers_own_node_is_treated_like_one_elsewhere() {
    let seen = Seen::default();
    let cluster = Versions::none().await.host(v1::Store(seen.clone())).await;
    let kv = cluster.hosts[0].proxy().kv2();
    assert_eq!(kv.get("a", 0, None).await.unwrap().value, "a of 1");
    let refused = kv.get("a", 1, None).await.unwrap_err();
    assert!(matches!(&refused, CallError::Incompatible(why) if why.contains("`at`")), "{refused}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}
