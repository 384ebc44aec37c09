//! Coordinators of which this one knows by its records, and which are not in its view of the cluster, not even as dead: after a restart, or a day later.
//!
//! Nobody waits for them, as for those that are dead. But what they know of a node counts for nothing meanwhile, which operators are to hear.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::protocol::NodeId;
use tokio::{task::spawn_blocking, time::Instant};

use crate::identity::{Ledger, Vault, VaultError, let_in_coordinators};

/// They are looked for once in so long at most: that reads the record of each node.
const BETWEEN: Duration = Duration::from_mins(1);

/// What looks for them.
pub(super) struct Absent {
    vault: Arc<dyn Vault>,
    ledger: Ledger,
    looked: Mutex<Option<Instant>>,
}

impl Absent {
    /// By the records in this store, without those that this ledger says to be revoked.
    pub(super) fn new(vault: Arc<dyn Vault>, ledger: Ledger) -> Self {
        Self { vault, ledger, looked: Mutex::default() }
    }

    /// Names them in the log, once a minute at most: they were not asked about this node. `is_known` says who is in the view, alive or not.
    pub(super) async fn tell(&self, node_id: &NodeId, is_known: impl Fn(&NodeId) -> bool) {
        if !self.is_due() {
            return;
        }
        let (vault, revoked) = (self.vault.clone(), self.ledger.revocations().set());
        let read = spawn_blocking(move || let_in_coordinators(&*vault, &revoked)).await;
        match read.map_err(VaultError::new).flatten() {
            Ok(coordinators) => {
                for coordinator in coordinators.iter().filter(|coordinator| *coordinator != node_id && !is_known(coordinator)) {
                    tracing::warn!(
                        %coordinator,
                        %node_id,
                        "nothing is heard of this coordinator, and it was not asked what it knows of a node that joins or renews its certificate; {}",
                        what_to_do(coordinator)
                    );
                }
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "which coordinators were let in here cannot be told, so that those of which nothing is heard are not named; see whether the store is whole: \
                     `p2p store verify`"
                );
            }
        }
    }

    fn is_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked.is_none_or(|at| at.elapsed() >= BETWEEN);
        if is_due {
            *looked = Some(Instant::now());
        }
        is_due
    }
}

/// What helps where a coordinator was not asked.
pub(super) fn what_to_do(coordinator: &NodeId) -> String {
    format!(
        "start it; if it is gone for good: `p2p node revoke {coordinator}`, with `--keep-issued` where nobody can have its store: what it has issued stays \
         good then"
    )
}

#[cfg(test)]
mod tests {
    use p2p_client::{
        protocol::Role,
        revocation::{Reason, Subject},
    };
    use tokio::time::advance;

    use super::*;
    use crate::identity::{
        Change, IssuedNode,
        tests::{AuditLines, MemoryVault, cluster, issued_node, ledger},
    };

    fn record(name: &str, role: Role, has_left: bool) -> Change {
        // A coordinator renews itself, so that what was written when it was let in may be older than a certificate lives.
        let record = IssuedNode { has_left, ..issued_node(name, role) };
        Change::Put(format!("ca/nodes/{name}.json"), serde_json::to_vec(&record).unwrap().into())
    }

    /// A coordinator that has let in two others, of which `c-2` is in its view, and what is neither wanted nor missing.
    async fn absent() -> (Absent, Arc<MemoryVault>) {
        let (identity, vault) = cluster();
        let (seen, silent) = (record("c-2", Role::Coordinator, false), record("c-3", Role::Coordinator, false));
        let (worker, left) = (record("w-1", Role::Worker, false), record("c-4", Role::Coordinator, true));
        vault.update(vec![seen, silent, worker, left, record("c-5", Role::Coordinator, false)]).unwrap();
        let ledger = ledger(&identity, &vault);
        ledger.revoke(vec![Subject::Node { node_id: "c-5".parse().unwrap() }], Reason::default()).await.unwrap();
        (Absent::new(vault.clone(), ledger), vault)
    }

    async fn told(absent: &Absent, log: &AuditLines, about: &str) -> String {
        log.take_all();
        absent.tell(&about.parse().unwrap(), |node_id| ["coordinator", "c-2"].contains(&node_id.as_str())).await;
        log.take_all()
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_of_which_nothing_is_heard_is_named_once_a_minute_with_what_is_to_be_done() {
        let (log, (absent, _)) = (AuditLines::capture(), absent().await);
        let logged = told(&absent, &log, "w-7").await;
        assert!(
            logged.contains("nothing is heard of this coordinator, and it was not asked what it knows of a node"),
            "{logged}"
        );
        assert!(logged.contains("start it; if it is gone for good: `p2p node revoke c-3`, with `--keep-issued`"), "{logged}");
        assert!(logged.contains("coordinator=c-3 node_id=w-7"), "{logged}");
        assert_eq!(logged.lines().count(), 1, "who is known, has left or was revoked is not missing: {logged}");
        for _ in 0..100 {
            assert_eq!(told(&absent, &log, "w-8").await, "");
        }
        advance(BETWEEN).await;
        assert!(told(&absent, &log, "w-8").await.contains("coordinator=c-3 node_id=w-8"));
    }

    /// A store that fails.
    struct Broken;

    impl Vault for Broken {
        fn get(&self, _: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, VaultError> {
            Err(VaultError::message("it cannot be read"))
        }

        fn list(&self, _: &str) -> Result<Vec<String>, VaultError> {
            Err(VaultError::message("it cannot be read"))
        }

        fn update(&self, _: Vec<Change>) -> Result<(), VaultError> {
            Err(VaultError::message("it cannot be written"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_records_cannot_be_read_the_log_says_so_once_a_minute() {
        let (log, (absent, _)) = (AuditLines::capture(), absent().await);
        let absent = Absent { vault: Arc::new(Broken), ..absent };
        let logged = told(&absent, &log, "w-7").await;
        assert!(
            logged.contains("those of which nothing is heard are not named; see whether the store is whole: `p2p store verify`"),
            "{logged}"
        );
        assert!(logged.contains("it cannot be read"), "{logged}");
        assert_eq!(told(&absent, &log, "w-7").await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_joins_again_is_not_missed_for_that() {
        let (log, (absent, _)) = (AuditLines::capture(), absent().await);
        assert_eq!(told(&absent, &log, "c-3").await, "");
    }
}
