//! The set that holds now, and what has to know when it changes.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::{ChainKeys, ClientTokenId, Guarded, KeyHash, RevocationSet, guard::Cut};
use crate::{
    audit::{Line, Outcome},
    protocol::NodeId,
};

/// What the audit log calls a connection that is cut.
pub const CONNECTION: &str = "connection";

/// The revocations that a program knows of. Clones share them.
///
/// ```
/// use p2p_client::revocation::{KeyHash, RevocationSet, Revocations};
///
/// let revocations = Revocations::default(); // nothing is revoked
/// let changes = revocations.subscribe();
/// assert!(!revocations.set().is_revoked(&"worker-1".parse()?, &KeyHash::new([0; 32])));
/// revocations.replace(RevocationSet::default());
/// assert!(changes.has_changed());
/// # Ok::<(), p2p_client::protocol::InvalidId>(())
/// ```
#[derive(Clone)]
pub struct Revocations {
    inner: Arc<Inner>,
}

struct Inner {
    set: ArcSwap<RevocationSet>,
    changed: watch::Sender<()>,
    serial: AtomicU64,
    guarded: Mutex<HashMap<u64, Peer>>,
    teller: ArcSwapOption<Teller>,
}

/// Is told whom a stream was cut to, and why.
type Teller = Box<dyn Fn(&NodeId, &'static str) + Send + Sync>;

/// The other end of a stream that is guarded.
struct Peer {
    node_id: NodeId,
    keys: ChainKeys,
    cut: Arc<Cut>,
}

impl Default for Revocations {
    fn default() -> Self {
        let inner = Inner {
            set: ArcSwap::default(),
            changed: watch::Sender::new(()),
            serial: AtomicU64::new(0),
            guarded: Mutex::default(),
            teller: ArcSwapOption::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Revocations {
    /// The set that holds now.
    pub fn set(&self) -> Arc<RevocationSet> {
        self.inner.set.load_full()
    }

    /// Whether a certificate in this name, for this key, is not good any more.
    pub fn is_revoked(&self, node_id: &NodeId, key: &KeyHash) -> bool {
        self.inner.set.load().is_revoked(node_id, key)
    }

    /// Whether nothing that this key signs is good any more.
    pub fn is_key_revoked(&self, key: &KeyHash) -> bool {
        self.inner.set.load().is_key_revoked(key)
    }

    /// Whether a client's token serves nobody any more, by its `jti`.
    pub fn is_token_revoked(&self, jti: &ClientTokenId) -> bool {
        self.inner.set.load().is_client_token_revoked(jti)
    }

    /// Puts another set in place: tells those who follow, and cuts the streams to nodes that are revoked by it. Whoever calls this has
    /// made the set durable.
    pub fn replace(&self, set: RevocationSet) {
        self.inner.set.store(Arc::new(set));
        let set = self.inner.set.load();
        self.cut("it was revoked; the connection is cut", |peer| set.is_chain_revoked(&peer.node_id, &peer.keys));
        self.inner.changed.send_replace(());
    }

    /// Cuts the streams to those whose certificates are not good any more for another reason than a revocation.
    pub fn cut_where(&self, is_over: impl Fn(&NodeId, &KeyHash) -> bool) {
        let why = "its certificate is not good any more; the connection is cut";
        self.cut(why, |peer| is_over(&peer.node_id, peer.keys.own()));
    }

    /// Has each stream that is cut from now on told to this, with why, in place of a denial in the audit log: for whoever bounds how many of these are written. It
    /// must not open or end a guarded stream itself.
    pub fn tell_cuts(&self, teller: impl Fn(&NodeId, &'static str) + Send + Sync + 'static) {
        self.inner.teller.store(Some(Arc::new(Box::new(teller))));
    }

    fn cut(&self, why: &'static str, is_it: impl Fn(&Peer) -> bool) {
        let teller = self.inner.teller.load_full();
        for peer in self.inner.guarded().values().filter(|peer| is_it(peer)) {
            match &teller {
                Some(tell) => tell(&peer.node_id, why),
                None => denied(&peer.node_id, why),
            }
            peer.cut.cut();
        }
    }

    /// Follows the changes from now on.
    pub fn subscribe(&self) -> Changes {
        Changes(self.inner.changed.subscribe())
    }

    /// A stream to a node whose certificate stands on these keys, that breaks as soon as the node or one of the keys is revoked; also if that
    /// happened between the handshake and now.
    pub fn guard<S>(&self, stream: S, node_id: &NodeId, keys: ChainKeys) -> Guarded<S> {
        let cut = Arc::<Cut>::default();
        let serial = self.inner.serial.fetch_add(1, Ordering::Relaxed);
        let peer = Peer { node_id: node_id.clone(), keys, cut: cut.clone() };
        let mut guarded = self.inner.guarded();
        // Under the lock: a set that comes now sees this stream, and one that came before is seen here.
        if self.inner.set.load().is_chain_revoked(node_id, &peer.keys) {
            cut.cut();
        }
        guarded.insert(serial, peer);
        drop(guarded);
        Guarded::new(stream, cut, Registration { inner: self.inner.clone(), serial })
    }
}

fn denied(node_id: &NodeId, why: &str) {
    let node = format!("node {node_id}");
    Line::new(&node, CONNECTION, Outcome::Denied).from(&node).reason(why).write();
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("statements", &self.inner.set.load().len()).finish_non_exhaustive()
    }
}

impl Inner {
    fn guarded(&self) -> MutexGuard<'_, HashMap<u64, Peer>> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a stream known for as long as it lives.
pub(super) struct Registration {
    inner: Arc<Inner>,
    serial: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.inner.guarded().remove(&self.serial);
    }
}

/// Waits for changes of [`Revocations`].
#[derive(Debug, Clone)]
pub struct Changes(watch::Receiver<()>);

impl Changes {
    /// Waits until the set has changed since it was last waited for. Waits forever once nobody can change it any more.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the set has changed since it was last waited for.
    pub fn has_changed(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        protocol::UnixMillis,
        revocation::{Author, Reason, Statement, StatementId, Subject},
    };

    const ISSUING: KeyHash = KeyHash::new([8; 32]);

    fn that_revokes(subject: Subject) -> RevocationSet {
        let by = Author { node_id: "c".parse().unwrap(), key: KeyHash::new([9; 32]) };
        let statement = Statement { subject, at: UnixMillis(1), by, reason: Reason::default() };
        let mut set = RevocationSet::default();
        set.extend([(StatementId::from_bytes([1; 16]), statement)]);
        set
    }

    fn without(name: &str) -> RevocationSet {
        that_revokes(Subject::Node { node_id: name.parse().unwrap() })
    }

    fn keys(own: u8) -> ChainKeys {
        ChainKeys::new(KeyHash::new([own; 32]), vec![ISSUING])
    }

    #[tokio::test]
    async fn a_guarded_stream_breaks_for_its_reader_and_its_writer_when_its_node_is_revoked_and_others_go_on() {
        let revocations = Revocations::default();
        let (w, mut far) = tokio::io::duplex(8);
        let (v, mut other) = tokio::io::duplex(8);
        let mut w = revocations.guard(w, &"w".parse().unwrap(), keys(1));
        let mut v = revocations.guard(v, &"v".parse().unwrap(), keys(2));
        far.write_all(b"x").await.unwrap();
        assert_eq!(w.read_u8().await.unwrap(), b'x');
        let waiting = tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(w);
            tokio::join!(reader.read_u8(), writer.write_all(&[0; 64]))
        });
        tokio::task::yield_now().await;
        let mut changes = revocations.subscribe();
        revocations.replace(without("w"));
        changes.next().await;
        let (read, wrote) = waiting.await.unwrap();
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
        assert_eq!(wrote.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
        other.write_all(b"y").await.unwrap();
        assert_eq!(v.read_u8().await.unwrap(), b'y');
    }

    #[tokio::test]
    async fn a_stream_breaks_when_the_authority_behind_its_nodes_certificate_is_revoked_before_it_is_opened_or_after() {
        let revocations = Revocations::default();
        let (w, mut far) = tokio::io::duplex(8);
        let mut w = revocations.guard(w, &"w".parse().unwrap(), keys(1));
        far.write_all(b"x").await.unwrap();
        revocations.replace(that_revokes(Subject::Key { key: KeyHash::new([7; 32]) }));
        assert_eq!(w.read_u8().await.unwrap(), b'x', "another key is no reason");
        revocations.replace(that_revokes(Subject::Key { key: ISSUING }));
        assert_eq!(w.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
        let (v, _far) = tokio::io::duplex(8);
        let mut v = revocations.guard(v, &"v".parse().unwrap(), keys(2));
        assert_eq!(v.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn a_stream_whose_node_was_revoked_during_its_handshake_is_broken_from_the_start() {
        let revocations = Revocations::default();
        revocations.replace(without("w"));
        let (w, mut far) = tokio::io::duplex(8);
        let mut w = revocations.guard(w, &"w".parse().unwrap(), keys(1));
        far.write_all(b"x").await.unwrap();
        assert_eq!(w.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
        drop(w);
        assert!(revocations.inner.guarded().is_empty(), "streams that are gone are forgotten");
    }
}
