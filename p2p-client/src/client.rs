//! [`Client`]: where calls begin in a program that is no node.
//!
//! ```text
//! ClientBuilder -> Client -> Proxy -> Call -> ClientCaller -> Endpoints: which node is asked -> POST /rpc of that node
//! ```
//! A program outside of the cluster knows the address of a node or two, and the fingerprint of the cluster's root. It asks one of these nodes,
//! which serves the call or sends it on: targets, fan-outs and streams are what they are in a service, and the proxies are the same types. The
//! other addresses are for when that node cannot be reached.
//!
//! Who is at the other end is verified: a node whose certificate leads to the root. Plain HTTP is not spoken, and nothing is trusted at
//! first sight. The client itself shows no certificate; it is whom its [token](BearerToken) names, or anonymous.
//!
//! What differs from a node's own proxy:
//! - The services' descriptions are not at hand. A call that the host's version does not understand is sent, and refused by the host.
//! - The answers of a fan-out come together: one request asks for all of them. What becomes of it stands in [`Answers::asked`].
//!
//! [`Answers::asked`]: crate::call::Answers::asked

mod builder;
mod caller;
mod dial;
mod endpoints;
mod error;
mod token;

use std::{fmt, sync::Arc};

use self::caller::ClientCaller;
pub use self::{
    builder::ClientBuilder,
    error::ClientError,
    token::{BearerToken, InvalidToken},
};
use crate::proxy::Proxy;

/// Calls the services of a cluster from a program that is no node. Cheap to clone; clones share connections.
///
/// ```
/// use p2p_client::{client::Client, contracts::system::SystemProxyExt, protocol::Role, service::Result};
///
/// # async fn example(fingerprint: &str) -> Result<()> {
/// let client = Client::builder("https://10.0.0.5:8001")? // any node of the cluster
///     .also("https://10.0.0.6:8001")                     // others to try
///     .root_fingerprint(fingerprint)                     // `p2p init` prints it: root sha256:…
///     .build()?;
/// let info = client.proxy().system().on(Role::Coordinator).get_system_info().await?;
/// # drop(info);
/// # Ok(()) }
/// ```
///
/// It connects with its first call, and keeps to the node that took the last one. Another is tried where a call surely was not served, or its
/// method is idempotent.
#[derive(Clone)]
pub struct Client {
    caller: Arc<ClientCaller>,
}

impl Client {
    /// Begins a client of the cluster that the node at `url`, `https://host:port`, belongs to.
    ///
    /// # Errors
    /// [`ClientError::Url`], or [`ClientError::Plaintext`] for `http://`.
    pub fn builder(url: &str) -> Result<ClientBuilder, ClientError> {
        ClientBuilder::new(url)
    }

    /// Where calls begin. To have them belong to a trace of the program's own, use [`Proxy::within`].
    pub fn proxy(&self) -> Proxy {
        Proxy::new(self.caller.clone())
    }

    /// Sends this token from now on, in the place of the one before: tokens last shorter than programs run. `None` sends none. Calls that were
    /// sent already are not touched.
    pub fn set_token(&self, token: impl Into<Option<BearerToken>>) {
        self.caller.set_token(token.into());
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.caller.fmt(f)
    }
}
