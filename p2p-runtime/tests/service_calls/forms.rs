//! The ways in which services and contracts can be written, each called once through its proxy.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use p2p_client::protocol::Role;
use p2p_runtime::service;

use crate::cluster::Cluster;

fn alone() -> Cluster {
    Cluster::default().node("alone", Role::Worker).node("other", Role::Worker)
}

/// Nothing but the attribute is imported, and not even the standard prelude is there.
#[no_implicit_prelude]
mod no_imports {
    use ::p2p_runtime::service;

    pub(crate) struct Bare;

    #[service]
    impl Bare {
        /// Says so.
        #[service_method(public, idempotent, timeout = "1m")]
        pub(crate) async fn say(
            &self,
            text: ::std::string::String,
            #[arg(default = 3)] times: u32,
            end: ::std::option::Option<::std::string::String>,
        ) -> ::p2p_runtime::prelude::Result<usize> {
            let end = ::std::option::Option::map_or(end, 0, |end| end.len());
            ::std::result::Result::Ok(text.len() * times as usize + end)
        }
    }

    #[service]
    pub(crate) trait Plain {
        async fn length(&self, text: &str) -> ::p2p_runtime::prelude::Result<usize>;
    }

    #[service]
    impl Plain for Bare {
        async fn length(&self, text: &str) -> ::p2p_runtime::prelude::Result<usize> {
            ::std::result::Result::Ok(text.len())
        }
    }
}

#[tokio::test]
async fn nothing_needs_to_be_imported_but_the_attribute() {
    use no_imports::{Bare, BareProxyExt as _, Plain, PlainProxyExt as _};
    let spec = <Bare as Plain>::__put_service_on_this_trait();
    let plain = Plain::__p2p_contract_local(std::sync::Arc::new(Bare), spec);
    let proxy = alone().serve::<_, ()>("alone", Bare).host("alone", plain).proxy("other");
    assert_eq!(proxy.bare().say("ab", 3, None).await.unwrap(), 6);
    let descriptor = alone().serve::<_, ()>("alone", Bare).hosted("alone", "bare").unwrap().describe();
    assert_eq!(descriptor.method("say").unwrap().timeout_ms, Some(60_000));
    assert_eq!(descriptor.version, env!("CARGO_PKG_VERSION"), "the version of a service is that of its crate, unless said");
    let is_registered = |name: &str| {
        let mut entries = p2p_runtime::__private::inventory::iter::<p2p_runtime::service::ServiceEntry>.into_iter();
        entries.any(|entry| entry.name() == name)
    };
    assert!(is_registered("bare") && is_registered("plain") && !is_registered("nobody"), "what is written is registered");
    assert_eq!(proxy.plain().on("alone").length("abc").await.unwrap(), 3);
}

/// Names that generated code uses as well, or nearly, and keywords.
mod names {
    use p2p_runtime::{prelude::Result, service};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Object(pub(crate) u8);
    /// As a type parameter might be called.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct T(pub(crate) u8);
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct K(pub(crate) u8);

    const METHODS: u8 = 7;
    fn params() -> u8 {
        8
    }

    pub(crate) struct Match;

    #[service]
    impl Match {
        #[service_method]
        pub(crate) async fn r#fn(&self, r#type: u8, out: T, here: K) -> Result<u8> {
            Ok(r#type + out.0 + here.0)
        }

        #[service_method]
        pub(crate) async fn defaults(
            &self,
            #[arg(default = METHODS)] index: u8,
            #[arg(default = params())] slots: u8,
        ) -> Result<u8> {
            Ok(index + slots)
        }
    }

    #[service(name = "loop", accessor = "looping", proxy = "Looper")]
    pub(crate) trait Keyword {
        async fn object(&self, object: Object, t: &T, cx: u8) -> Result<K>;
    }

    #[service]
    impl Keyword for Match {
        async fn object(&self, object: Object, t: &T, cx: u8) -> Result<K> {
            Ok(K(object.0 + t.0 + cx))
        }
    }
}

#[tokio::test]
async fn raw_and_common_names_stand_in_nobodys_way() {
    use names::{K, LooperExt as _, Match, MatchProxyExt as _, Object, T};
    let cluster = alone().serve::<_, ()>("alone", Match);
    for from in ["alone", "other"] {
        let proxy = cluster.proxy(from);
        assert_eq!(proxy.r#match().r#fn(1, T(2), K(3)).await.unwrap(), 6);
        let json = proxy.call("match/fn", serde_json::json!({ "type": 1, "out": 2, "here": 3 })).await.unwrap();
        assert_eq!(json.get(), "6");
        let json = proxy.call("match/defaults", serde_json::json!({})).await.unwrap();
        assert_eq!(json.get(), "15");
    }
    let looping = serve_keyword(alone());
    for from in ["alone", "other"] {
        assert_eq!(looping.proxy(from).looping().object(Object(1), &T(2), 3).await.unwrap(), K(6));
    }
}

/// Of the two services that one type hosts, the contract's.
fn serve_keyword(cluster: Cluster) -> Cluster {
    use names::{Keyword, Match};
    let spec = <Match as Keyword>::__put_service_on_this_trait();
    cluster.host("alone", std::sync::Arc::new(Match).__p2p_contract_local(spec))
}

mod aliases {
    use p2p_runtime::service;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// A private type: its proxy can be named wherever it can.
    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Private(u8);

    #[derive(Debug, Serialize, Deserialize, JsonSchema, PartialEq)]
    pub(super) enum Trouble {
        Deep { metres: u8 },
    }
    impl std::fmt::Display for Trouble {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("trouble")
        }
    }
    impl std::error::Error for Trouble {}

    type Outcome<T> = std::result::Result<T, Trouble>;
    type Nothing = p2p_client::service::Result<()>;

    #[derive(Default)]
    pub(super) struct Aliased;

    #[service(description = "Not what the docs say.")]
    impl Aliased {
        #[service_method]
        pub(super) async fn own(&self, metres: u8) -> Outcome<bool> {
            Err(Trouble::Deep { metres })
        }

        #[service_method]
        pub(super) async fn nothing(&self) -> Nothing {
            Ok(())
        }

        #[service_method]
        async fn private(&self, value: Private) -> Outcome<Private> {
            Ok(value)
        }
    }

    #[tokio::test]
    async fn private_types_can_be_passed_where_they_can_be_named() {
        let proxy = super::alone().serve("alone", Aliased).proxy("other");
        assert_eq!(proxy.aliased().private(Private(3)).await.unwrap(), Private(3));
    }
}

#[tokio::test]
async fn result_types_are_found_behind_their_aliases() {
    use aliases::{Aliased, AliasedProxyExt as _, Trouble};
    let cluster = alone().serve("alone", Aliased);
    for from in ["alone", "other"] {
        let error = cluster.proxy(from).aliased().own(3).await.unwrap_err();
        assert!(matches!(error, p2p_client::call::CallError::Service(Trouble::Deep { metres: 3 })));
        cluster.proxy(from).aliased().nothing().await.unwrap();
    }
    let descriptor = cluster.hosted("alone", "aliased").unwrap().describe();
    assert_eq!(descriptor.description, "Not what the docs say.");
    assert!(descriptor.method("own").unwrap().error.is_some());
    assert!(descriptor.method("nothing").unwrap().error.is_none());
    assert!(descriptor.definitions.contains_key("Trouble"), "{:?}", descriptor.definitions.keys());
}

#[tokio::test]
async fn a_service_can_be_written_inside_of_a_function() {
    struct Local;

    #[service]
    impl Local {
        #[service_method]
        async fn answer(&self) -> p2p_runtime::prelude::Result<u8> {
            Ok(42)
        }
    }

    assert_eq!(alone().serve("alone", Local).proxy("other").local().answer().await.unwrap(), 42);
}

/// A crate may give the attribute's home another name.
mod renamed {
    pub(super) mod p2p {
        pub(in super::super) use p2p_runtime::{__private, prelude::Result, service};
    }

    pub(super) struct Renamed;

    #[p2p::service(crate = "crate::forms::renamed::p2p")]
    impl Renamed {
        #[service_method]
        pub(super) async fn answer(&self) -> p2p::Result<u8> {
            Ok(42)
        }
    }
}

#[tokio::test]
async fn the_attributes_home_can_be_named() {
    use renamed::{Renamed, RenamedProxyExt as _};
    assert_eq!(alone().serve("alone", Renamed).proxy("other").renamed().answer().await.unwrap(), 42);
}

/// What is no hook of the node's, although it is called `new`; `Self` and `'static` in signatures.
mod own_words {
    use std::borrow::Cow;

    use p2p_runtime::{prelude::*, service};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub(super) struct Tally {
        pub(super) count: u64,
    }

    #[service]
    impl Tally {
        pub(super) async fn new(count: u64) -> Result<Self> {
            Ok(Self { count })
        }

        #[service_method]
        pub(super) async fn merged(&self, other: &Self, more: Vec<Self>) -> Result<Self> {
            let more: u64 = more.iter().map(|tally| tally.count).sum();
            Ok(Self { count: self.count + other.count + more })
        }

        #[service_method]
        pub(super) async fn unit(&self) -> Result<Cow<'static, str>> {
            Ok("pieces".into())
        }
    }

    pub(super) struct Sync;

    #[service]
    impl Sync {
        #[cfg(test)]
        pub(super) fn new() -> Self {
            Self
        }

        #[service_method]
        pub(super) async fn answer(&self) -> Result<u8> {
            Ok(42)
        }
    }
}

#[tokio::test]
async fn a_function_that_is_called_new_and_takes_no_context_is_the_users_own() {
    use own_words::{Sync, SyncProxyExt as _, Tally, TallyProxyExt as _};
    let proxy = alone().serve("alone", Tally::new(1).await.unwrap()).serve("alone", Sync::new()).proxy("other");
    let (two, three) = (Tally { count: 2 }, Tally { count: 3 });
    assert_eq!(proxy.tally().merged(&two, vec![three]).await.unwrap(), Tally { count: 6 });
    assert_eq!(proxy.tally().unit().await.unwrap(), "pieces");
    assert_eq!(proxy.sync().answer().await.unwrap(), 42);
}

/// Documentation in every form, lint attributes, `#[cfg]` on the whole, methods that are served beside some that are not.
mod attributes {
    use super::{AtomicU64, Relaxed};
    use p2p_runtime::{prelude::*, service};

    #[derive(Default)]
    pub(super) struct Documented(AtomicU64);

    /** In a block. */
    #[doc = "As an attribute."]
    #[service]
    #[cfg(not(windows))]
    #[allow(clippy::trivially_copy_pass_by_ref)]
    impl Documented {
        const STEP: u64 = 2;

        /// First line.
        ///
        /// - an *item*, with `code`
        #[service_method]
        #[must_use = "it counts"]
        pub(super) async fn listed(&self) -> Result<u64> {
            Ok(self.step())
        }

        #[deprecated = "for the test"]
        #[service_method(track_metrics = false, public = false)]
        pub(super) async fn old(&self) -> Result<u64> {
            Ok(0)
        }

        fn step(&self) -> u64 {
            self.0.fetch_add(Self::STEP, Relaxed)
        }
    }
}

#[tokio::test]
async fn docs_lints_and_conditions_are_carried_along() {
    use attributes::{Documented, DocumentedProxyExt as _};
    let cluster = alone().serve("alone", Documented::default());
    let documented = cluster.proxy("alone").documented();
    assert_eq!(documented.listed().await.unwrap() + documented.listed().await.unwrap(), 2);
    #[allow(deprecated, reason = "that it warns is what the attribute is for")]
    let old = documented.old().await;
    assert_eq!(old.unwrap(), 0);
    let descriptor = cluster.hosted("alone", "documented").unwrap().describe();
    assert_eq!(descriptor.description, "In a block. \nAs an attribute.");
    assert_eq!(descriptor.method("listed").unwrap().description, "First line.\n\n- an *item*, with `code`");
    let hosted = cluster.hosted("alone", "documented").unwrap();
    assert_eq!(hosted.stats(0).unwrap().snapshot().calls, 2);
    assert_eq!(hosted.stats(1).unwrap().snapshot().calls, 0, "a method can ask not to be counted");
}

/// Contracts: with docs, supertraits and associated items; two on one type; a generic host.
mod contracts {
    use std::{collections::BTreeMap, fmt, sync::Mutex};

    use p2p_runtime::{prelude::*, service};

    /// Keeps values.
    #[service(version = "2.1.0")]
    pub(super) trait Store: fmt::Debug {
        /// How many values fit.
        const SIZE: usize;

        /// What is kept.
        #[service_method(read_only)]
        async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>>;

        async fn put(&self, key: String, #[arg(default = "nothing")] value: String) -> Result<usize>;
    }

    #[service]
    pub(super) trait Sizes {
        async fn size(&self) -> Result<usize>;
    }

    #[derive(Debug, Default)]
    pub(super) struct Memory(Mutex<BTreeMap<String, String>>);

    #[service]
    impl Store for Memory {
        const SIZE: usize = 2;

        async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>> {
            assert!(cx.time_left() > std::time::Duration::ZERO);
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        async fn put(&self, key: String, value: String) -> Result<usize> {
            let mut map = self.0.lock().unwrap();
            map.insert(key, value);
            Ok(Self::SIZE - map.len())
        }
    }

    #[service]
    impl Sizes for Memory {
        async fn size(&self) -> Result<usize> {
            Ok(<Self as Store>::SIZE)
        }
    }

    pub(super) struct Twice<T>(pub(super) T);

    #[service]
    impl<T> Sizes for Twice<T>
    where
        T: Sizes,
    {
        async fn size(&self) -> Result<usize> {
            Ok(2 * self.0.size().await?)
        }
    }
}

#[tokio::test]
async fn contracts_are_called_alike_whoever_hosts_them() {
    use contracts::{Memory, Sizes, SizesProxyExt as _, Store, StoreProxyExt as _, Twice};
    let memory = std::sync::Arc::new(Memory::default());
    let cluster = alone()
        .host("alone", Store::__p2p_contract_local(memory.clone(), <Memory as Store>::__put_service_on_this_trait()))
        .host("alone", Sizes::__p2p_contract_local(memory, <Memory as Sizes>::__put_service_on_this_trait()))
        .serve("other", Twice(Twice(Memory::default())));
    for from in ["alone", "other"] {
        let proxy = cluster.proxy(from);
        assert_eq!(proxy.store().put(from, "value").await.unwrap(), usize::from(from == "alone"));
        assert_eq!(proxy.store().get(from).await.unwrap().as_deref(), Some("value"));
        assert_eq!(proxy.sizes().on("alone").size().await.unwrap(), 2);
        assert_eq!(proxy.sizes().on("other").size().await.unwrap(), 8);
    }
    let descriptor = cluster.hosted("alone", "store").unwrap().describe();
    assert_eq!((descriptor.version.as_ref(), descriptor.description.as_ref()), ("2.1.0", "Keeps values."));
    assert!(descriptor.method("get").unwrap().idempotent);
    assert!(!descriptor.method("put").unwrap().params[1].required);
}

/// Tokens of two origins meet in what a macro writes.
macro_rules! counting_service {
    ($name:ident, $method:ident, $start:expr, $value:ty, $($arg:ident: $ty:ty),*) => {
        struct $name;

        #[service]
        impl $name {
            #[service_method(public)]
            async fn $method(&self, $($arg: $ty,)* #[arg(default = $start)] plus: u8) -> p2p_runtime::prelude::Result<$value> {
                let sum = 0 $(+ <$value>::from(*$arg))*;
                Ok(sum + <$value>::from(plus))
            }
        }
    };
}

counting_service!(Summing, sum, 4, u64, first: &u8, second: &u32);

#[tokio::test]
async fn a_service_can_be_written_by_a_macro() {
    let cluster = alone().serve("alone", Summing);
    for from in ["alone", "other"] {
        assert_eq!(cluster.proxy(from).summing().sum(&1, &2, 3).await.unwrap(), 6);
        let json = cluster.proxy(from).call("summing/sum", serde_json::json!([1, 2])).await.unwrap();
        assert_eq!(json.get(), "7");
    }
}

/// Methods that are there under conditions only: on some systems, with some features, in one of two forms.
mod conditions {
    use p2p_runtime::{prelude::*, service};

    #[derive(Default)]
    pub(super) struct Machine;

    #[service]
    impl Machine {
        #[cfg(not(unix))]
        #[service_method]
        pub(super) async fn nowhere_here(&self, missing: NoSuchType) -> Result<NoSuchType> {
            Ok(missing)
        }

        /// The first that is there.
        #[service_method]
        pub(super) async fn first(&self, #[arg(default = 1)] number: u32) -> Result<u32> {
            Ok(number)
        }

        #[cfg(unix)]
        #[service_method(public, rename = "kind")]
        pub(super) async fn family(&self, cx: &CallContext, suffix: &str) -> Result<String> {
            Ok(format!("unix{suffix} on {}", cx.node()))
        }

        #[cfg(not(unix))]
        #[service_method(public, rename = "kind")]
        pub(super) async fn family(&self) -> Result<NoSuchType> {
            Ok(NoSuchType)
        }

        #[cfg(all(unix, test))]
        #[cfg(not(windows))]
        #[service_method(idempotent)]
        pub(super) async fn last(&self) -> Result<u32> {
            Ok(9)
        }
    }

    #[service]
    pub(super) trait Os {
        #[cfg(not(unix))]
        async fn registry(&self, key: NoSuchType) -> Result<NoSuchType>;

        #[cfg(unix)]
        async fn signal(&self, number: i32) -> Result<i32>;
    }

    #[service]
    impl Os for Machine {
        #[cfg(unix)]
        async fn signal(&self, number: i32) -> Result<i32> {
            Ok(-number)
        }
    }
}

#[tokio::test]
async fn methods_under_conditions_are_there_when_these_hold_and_nowhere_else() {
    use conditions::{Machine, MachineProxyExt as _, Os, OsProxyExt as _};
    let cluster = alone().serve::<_, ()>("alone", Machine);
    let descriptor = cluster.hosted("alone", "machine").unwrap().describe();
    let names: Vec<_> = descriptor.methods.iter().map(|method| &*method.name).collect();
    assert_eq!(names, ["first", "kind", "last"]);
    let params: Vec<_> = descriptor.methods.iter().map(|method| method.params.len()).collect();
    assert_eq!(params, [1, 1, 0]);
    for from in ["alone", "other"] {
        let machine = cluster.proxy(from).machine();
        assert_eq!(machine.first(3).await.unwrap(), 3);
        assert_eq!(machine.family("-like").await.unwrap(), "unix-like on alone");
        assert_eq!(machine.last().await.unwrap(), 9);
    }
    let hosted = cluster.hosted("alone", "machine").unwrap();
    let counted: Vec<_> = (0..3).map(|index| hosted.stats(index).unwrap().snapshot().calls).collect();
    assert_eq!(counted, [2, 2, 2], "each method has the counters of its own place");
    let spec = <Machine as Os>::__put_service_on_this_trait();
    let os = alone().host("alone", std::sync::Arc::new(Machine).__p2p_contract_local(spec));
    for from in ["alone", "other"] {
        assert_eq!(os.proxy(from).os().signal(4).await.unwrap(), -4);
    }
}
