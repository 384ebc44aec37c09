//! [`Secrets`]: what a service or component keeps in the node's encrypted store, in a namespace of its own.
//!
//! A service or component is given a context that knows whose it is ([`Context::secrets`](crate::context::Context::secrets)); so it
//! reaches `services/NAME/…` or `components/NAME/…` and nothing else: not the node's keys, and not what others keep.

use std::sync::{Arc, Weak};

use tokio::task::spawn_blocking;

use crate::storage::{Entries, Secret, Store, StoreError};

/// The secrets of one service or component. Clones share them.
///
/// Paths are names joined by `/`, as in the [store](Entries). What was put or removed is durable when the call returns; reading takes
/// no time.
///
/// ```
/// use p2p_runtime::prelude::*;
///
/// pub struct Mailer {
///     secrets: Secrets,
/// }
///
/// #[service]
/// impl Mailer {
///     pub async fn new(cx: &Context) -> Result<Self> {
///         Ok(Self { secrets: cx.secrets()? })
///     }
///
///     /// Sets the password of the mail server.
///     #[service_method(role = "coordinator")]
///     pub async fn set_password(&self, password: String) -> Result<()> {
///         Ok(self.secrets.put("smtp/password", password).await?)
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Secrets {
    keeper: Keeper,
    /// Ends in `/`.
    namespace: Arc<str>,
}

/// What keeps them.
#[derive(Clone)]
pub(crate) enum Keeper {
    /// The node's store; weak, as services may outlive their node.
    Store(Weak<Store>),
    /// Memory, for services that are tested without a node.
    #[cfg(any(test, feature = "testing"))]
    Memory(Arc<std::sync::Mutex<Entries>>),
}

/// Why a secret was not read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// The context belongs to nobody in particular.
    #[error(
        "this context belongs to no service or component; take the secrets from the context that `new`, `initialize` or `start` is given"
    )]
    NoOwner,
    /// The node has stopped.
    #[error("the node has stopped, and its store is closed; keep secrets while it runs")]
    Stopped,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task that wrote was lost.
    #[error("the store's task was lost ({0}); try again")]
    Lost(#[from] tokio::task::JoinError),
}

impl Secrets {
    /// Those of `services/NAME` or `components/NAME`.
    pub(crate) fn new(keeper: Keeper, owner: &str) -> Self {
        Self { keeper, namespace: format!("{owner}/").into() }
    }

    /// The value at `path`.
    ///
    /// # Errors
    /// [`SecretsError::Stopped`].
    pub fn get(&self, path: &str) -> Result<Option<Secret>, SecretsError> {
        let path = self.full(path);
        self.keeper.read(|keeper| match keeper {
            Open::Store(store) => store.get(&path),
            #[cfg(any(test, feature = "testing"))]
            Open::Memory(entries) => entries.get(&path),
        })
    }

    /// The paths that begin with `prefix`, in order. An empty prefix lists all.
    ///
    /// # Errors
    /// [`SecretsError::Stopped`].
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, SecretsError> {
        let prefix = self.full(prefix);
        let found = self.keeper.read(|keeper| match keeper {
            Open::Store(store) => store.list(&prefix),
            #[cfg(any(test, feature = "testing"))]
            Open::Memory(entries) => entries.list(&prefix),
        })?;
        Ok(found.into_iter().filter_map(|path| Some(path.strip_prefix(&*self.namespace)?.to_owned())).collect())
    }

    /// Keeps `value` at `path`, in place of what was there.
    ///
    /// # Errors
    /// [`SecretsError::Stopped`]; [`SecretsError::Store`], and nothing has changed then.
    pub async fn put(&self, path: &str, value: impl Into<Secret>) -> Result<(), SecretsError> {
        let (path, value) = (self.full(path), value.into());
        self.keeper.update(move |entries| entries.put(&path, value)).await
    }

    /// Removes what is at `path`, and gives what it was.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn remove(&self, path: &str) -> Result<Option<Secret>, SecretsError> {
        let path = self.full(path);
        self.keeper.update(move |entries| Ok(entries.remove(&path))).await
    }

    fn full(&self, path: &str) -> String {
        format!("{}{path}", self.namespace)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.namespace)
    }
}

/// A keeper that is there.
enum Open<'a> {
    Store(&'a Store),
    #[cfg(any(test, feature = "testing"))]
    Memory(std::sync::MutexGuard<'a, Entries>),
}

impl Keeper {
    fn read<T>(&self, look: impl FnOnce(Open<'_>) -> T) -> Result<T, SecretsError> {
        match self {
            Self::Store(store) => Ok(look(Open::Store(&*store.upgrade().ok_or(SecretsError::Stopped)?))),
            #[cfg(any(test, feature = "testing"))]
            Self::Memory(entries) => Ok(look(Open::Memory(lock(entries)))),
        }
    }

    async fn update<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Entries) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, SecretsError> {
        match self {
            Self::Store(store) => {
                let store = store.upgrade().ok_or(SecretsError::Stopped)?;
                Ok(spawn_blocking(move || store.update(change)).await??)
            }
            #[cfg(any(test, feature = "testing"))]
            Self::Memory(entries) => Ok(change(&mut lock(entries))?),
        }
    }
}

#[cfg(any(test, feature = "testing"))]
fn lock(entries: &std::sync::Mutex<Entries>) -> std::sync::MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::storage::Password;

    use super::*;

    #[tokio::test]
    async fn each_owner_reaches_only_what_is_its_own_and_it_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        let password = Password::new("correct horse").unwrap();
        let store = Arc::new(Store::create(dir.path(), &password).unwrap().0);
        store.update(|entries| entries.put("identity/node.key", "the node's")).unwrap();
        let of = |owner| Secrets::new(Keeper::Store(Arc::downgrade(&store)), owner);
        let (mailer, mail) = (of("services/mailer"), of("services/mail"));
        mailer.put("smtp/password", "hunter2").await.unwrap();
        mail.put("x", "y").await.unwrap();

        assert_eq!(mailer.list("").unwrap(), ["smtp/password"]);
        assert_eq!(mail.list("").unwrap(), ["x"]);
        assert!(mail.get("smtp/password").unwrap().is_none());
        for path in ["../mailer/smtp/password", "../../identity/node.key", "/identity/node.key", ""] {
            assert!(mail.get(path).unwrap().is_none(), "{path}");
            let error = mail.put(path, "z").await.unwrap_err();
            assert!(matches!(error, SecretsError::Store(StoreError::BadPath { .. })), "{error}");
            assert!(mail.remove(path).await.unwrap().is_none(), "{path}");
        }
        assert_eq!(store.list(""), ["identity/node.key", "services/mail/x", "services/mailer/smtp/password"]);
        assert!(!store.is_unsaved());
        assert_eq!(mailer.remove("smtp/password").await.unwrap().unwrap().expose(), b"hunter2");
        assert_eq!(format!("{mailer:?}"), "Secrets(services/mailer/)");
        drop(store);
        let error = mail.get("x").unwrap_err();
        assert!(error.to_string().contains("the node has stopped"), "{error}");
        let store = Store::open(dir.path(), &password).unwrap();
        assert_eq!(store.list("services/"), ["services/mail/x"]);
    }

    /// Keeps a secret as it starts, and another as it stops.
    struct Mailer;

    impl crate::component::Component for Mailer {
        fn name(&self) -> &'static str {
            "mailer"
        }

        async fn start(&self, cx: &crate::context::Context) -> p2p_client::service::Result<()> {
            Ok(cx.secrets()?.put("started", "yes").await?)
        }

        async fn stop(&self, cx: &crate::context::Context) -> p2p_client::service::Result<()> {
            Ok(cx.secrets()?.put("stopped", "yes").await?)
        }
    }

    #[tokio::test]
    async fn a_component_of_a_node_finds_what_it_kept_in_the_store_that_the_node_saves_as_it_stops() {
        let dir = tempfile::tempdir().unwrap();
        let password = || Password::new("correct horse").unwrap();
        let loopback = "127.0.0.1:0".parse().unwrap();
        let options = crate::node::InitOptions {
            dir: dir.path().to_path_buf(),
            password: password(),
            node_id: None,
            advertise: Some("127.0.0.1".parse().unwrap()),
            listen: Some(loopback),
            capabilities: Vec::new(),
        };
        let made = crate::node::init(options).await.unwrap();
        let node = crate::node::Node::builder().enrolment(made.enrolment).component(Mailer).only_given_services();
        let node = node.start().await.unwrap();
        assert_eq!(node.store().list("components/"), ["components/mailer/started"]);
        assert!(node.store().revision().records > 0, "single writes go to the log");
        node.store().put("left/unsaved", "until the node stops").unwrap();
        node.stop().await;
        let store = Store::open(dir.path(), &password()).unwrap();
        assert_eq!(store.list("components/"), ["components/mailer/started", "components/mailer/stopped"]);
        assert!(store.get("left/unsaved").is_some());
        assert_eq!(store.revision().records, 0, "all is in the archive");
    }

    #[tokio::test]
    async fn without_a_node_they_are_kept_in_memory() {
        let secrets = Secrets::new(Keeper::Memory(Arc::default()), "services/tested");
        secrets.put("a/b", vec![1]).await.unwrap();
        assert_eq!(secrets.get("a/b").unwrap().unwrap().expose(), [1]);
        assert_eq!(secrets.list("a/").unwrap(), ["a/b"]);
        assert!(secrets.remove("a/b").await.unwrap().is_some());
        assert!(secrets.remove("a/b").await.unwrap().is_none());
    }
}
