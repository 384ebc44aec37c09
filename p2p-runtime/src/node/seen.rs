//! A coordinator notes by which keys it sees nodes, whoever has let them in: while it runs, and what is left when it stops.
//!
//! Data flows so: membership → what was [`Gathered`], which says when to write → the [`Issuer`], which writes what it did not know yet as one.

mod gathered;

use std::future::pending;

use futures::{FutureExt, Stream, StreamExt, stream};
use p2p_client::protocol::NodeInfo;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::gathered::{Gathered, Seen};
use crate::{
    identity::{Issuer, Roots, VaultError},
    network::{MemberEvent, Membership},
};

/// Notes who is in the cluster and who comes, until the node stops or membership ends. What was seen by then is written when this returns, if the store can.
pub(super) async fn note_seen(issuer: Issuer, roots: Roots, membership: Membership, stopping: CancellationToken) {
    let key = |info: &NodeInfo| Some((info.node_id.clone(), roots.key_seen(&info.node_id)?));
    let (_, events) = membership.subscribe();
    let joined = stream::unfold(events, |mut events| async { Some((events.next().await?, events)) });
    let joined = joined.filter_map(|event| {
        let seen = if let MemberEvent::Joined(info) = &event { key(info) } else { None };
        std::future::ready(seen)
    });
    let everybody = || membership.members().iter().filter_map(|info| key(info)).collect();
    Noting { issuer, everybody, gathered: Gathered::default() }.run(joined, stopping).await;
}

/// What notes them.
struct Noting<E> {
    issuer: Issuer,
    /// Gives all that are in the cluster.
    everybody: E,
    gathered: Gathered,
}

impl<E: Fn() -> Vec<Seen>> Noting<E> {
    async fn run(mut self, seen: impl Stream<Item = Seen>, stopping: CancellationToken) {
        let mut seen = std::pin::pin!(seen.fuse());
        self.gathered.see_everybody();
        loop {
            let wait = self.gathered.wait(Instant::now());
            let due = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                // Before what comes in, of which there may be more and more.
                () = due => self.write_or_wait().await,
                next = seen.next() => match next {
                    Some(seen) => self.gathered.see(seen),
                    None => break,
                },
            }
        }
        while let Some(Some(seen)) = seen.next().now_or_never() {
            self.gathered.see(seen);
        }
        self.write_the_rest().await;
    }

    async fn write_or_wait(&mut self) {
        let batch = self.gathered.take();
        match self.write(&batch).await {
            Ok(()) => self.gathered.written(Instant::now()),
            Err(error) => {
                let nodes = batch.seen.len();
                let again = self.gathered.failed(batch, Instant::now());
                tracing::warn!(
                    %error,
                    nodes,
                    again_in_s = again.as_secs(),
                    "to which keys the ids of nodes are bound that others have let in was not noted; it is tried again, and until then the others are asked"
                );
            }
        }
    }

    /// The last time.
    async fn write_the_rest(&mut self) {
        let batch = self.gathered.take();
        if let Err(error) = self.write(&batch).await {
            tracing::warn!(
                %error,
                "to which keys the ids of nodes are bound that others have let in was not noted before this node stopped; it is when they are seen again"
            );
        }
    }

    async fn write(&self, batch: &gathered::Batch) -> Result<(), VaultError> {
        let mut seen = batch.seen.clone();
        if batch.everybody {
            seen.extend((self.everybody)());
        }
        if seen.is_empty() { Ok(()) } else { self.issuer.note_seen(seen).await }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use futures::channel::mpsc::{UnboundedSender, unbounded};
    use p2p_client::revocation::KeyHash;
    use tokio::{task::JoinHandle, time::advance};

    use super::*;
    use crate::{
        identity::{
            IssuerOptions, Vault,
            join::Seed,
            tests::{AuditLines, MemoryVault, World, cluster, ledger},
        },
        node::seen::gathered::BETWEEN,
    };

    fn node(number: usize) -> Seen {
        (format!("w-{number}").parse().unwrap(), KeyHash::new([7; 32]))
    }

    /// A coordinator that notes what it is told to have seen.
    struct Noted {
        vault: Arc<MemoryVault>,
        writes_before: usize,
        see: UnboundedSender<Seen>,
        stopping: CancellationToken,
        ended: JoinHandle<()>,
    }

    impl Noted {
        /// Everybody who is in the cluster is one node, number 0.
        fn start() -> Self {
            let (identity, vault) = cluster();
            let seed = Seed { node_id: identity.peer().node_id.clone(), authority: "10.0.0.1:8001".into() };
            let options = IssuerOptions::new(seed, Vec::new(), Arc::new(World::default()));
            let issuer = Issuer::load(vault.clone(), ledger(&identity, &vault), options).unwrap().unwrap();
            let (see, coming) = unbounded();
            let stopping = CancellationToken::new();
            let noting = Noting { issuer, everybody: || vec![node(0)], gathered: Gathered::default() };
            let ended = tokio::spawn(noting.run(coming, stopping.clone()));
            Self { writes_before: vault.updates.load(Ordering::SeqCst), vault, see, stopping, ended }
        }

        fn sees(&self, numbers: std::ops::Range<usize>) {
            numbers.for_each(|number| self.see.unbounded_send(node(number)).unwrap());
        }

        fn noted(&self) -> usize {
            self.vault.list("ca/seen/").unwrap().len()
        }

        fn writes(&self) -> usize {
            self.vault.updates.load(Ordering::SeqCst) - self.writes_before
        }

        /// Lets time pass until so many are noted.
        async fn has_noted(&self, nodes: usize) {
            while self.noted() < nodes {
                advance(BETWEEN / 10).await;
            }
        }

        async fn stop(self) -> Arc<MemoryVault> {
            self.stopping.cancel();
            self.ended.await.unwrap();
            self.vault
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_nodes_that_are_seen_at_once_are_all_noted_by_a_handful_of_writes() {
        let noted = Noted::start();
        noted.has_noted(1).await;
        assert_eq!(noted.writes(), 1);
        noted.sees(0..1001);
        noted.has_noted(1001).await;
        assert!(noted.writes() <= 5, "{}", noted.writes());
        noted.sees(0..1001);
        let vault = noted.stop().await;
        assert_eq!(vault.list("ca/seen/").unwrap().len(), 1001);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_noted_is_tried_again_until_it_is_and_the_log_says_so() {
        let log = AuditLines::capture();
        let noted = Noted::start();
        noted.has_noted(1).await;
        noted.vault.full.store(true, Ordering::SeqCst);
        noted.sees(1..11);
        let mut logged = String::new();
        while logged.matches("was not noted; it is tried again").count() < 3 {
            advance(BETWEEN).await;
            logged += &log.take_all();
        }
        assert!(logged.contains("the disk is full nodes=10 again_in_s=1"), "{logged}");
        assert!(logged.contains("again_in_s=2") && logged.contains("again_in_s=4"), "{logged}");
        assert_eq!(noted.noted(), 1);
        noted.vault.full.store(false, Ordering::SeqCst);
        noted.has_noted(11).await;
        assert_eq!(noted.writes(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_and_not_written_yet_is_written_when_the_node_stops() {
        let noted = Noted::start();
        noted.has_noted(1).await;
        noted.sees(1..11);
        let vault = noted.stop().await;
        assert_eq!(vault.list("ca/seen/").unwrap().len(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_while_its_store_fails_says_that_it_has_not_noted_them() {
        let log = AuditLines::capture();
        let noted = Noted::start();
        noted.has_noted(1).await;
        noted.vault.full.store(true, Ordering::SeqCst);
        noted.sees(1..2);
        noted.stop().await;
        let logged = log.take_all();
        assert!(logged.contains("was not noted before this node stopped; it is when they are seen again"), "{logged}");
    }
}
