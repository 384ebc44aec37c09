//! Case 35: a crash or a failing disk between using the token and issuing, on the encrypted store over a simulated disk.

use std::{io::ErrorKind, sync::Arc};

use p2p_client::protocol::{Role, UnixMillis};
use rustls_pki_types::UnixTime;
use zeroize::Zeroizing;

use super::super::{
    Change, Issuer, IssuerOptions, JoinToken, Ledger, NodeIdentity, NodeKey, Refused, TokenOptions, Vault,
    challenge::tests::World,
    checks::Check,
    coordinators::{attempt, desk, is_noted, joiner_in, tokens},
    join::{Joiner, Seed},
};
use crate::{
    checks::without_during,
    node::StoreVault,
    storage::{
        RecoveryKey,
        tests::{
            disk::{SimDisk, Trouble},
            reopen, stored,
        },
    },
};

/// A coordinator's store on a disk, and a worker with a token for it.
struct Case {
    disk: SimDisk,
    key: RecoveryKey,
    world: Arc<World>,
    token: JoinToken,
    joiner: Joiner,
    /// Writes before the join, so that the join is a record in the log; without them it is part of a save.
    warm: bool,
}

impl Case {
    async fn new(warm: bool) -> Self {
        let (disk, key) = stored(&[]);
        let world = Arc::new(World::default());
        let vault = StoreVault::new(Arc::new(reopen(&disk, &key).unwrap()));
        NodeIdentity::create_cluster(&vault, "coordinator".parse().unwrap(), &[], UnixTime::now()).unwrap();
        let token = issuer(Arc::new(vault), &world).create_token(TokenOptions::default()).await.unwrap();
        let joiner = joiner_in(&world, &token, "w", Role::Worker, &["10.0.0.9"], NodeKey::generate().unwrap());
        Self { disk, key, world, token, joiner, warm }
    }

    /// The coordinator on this disk, ready for the join.
    fn start(&self, disk: &SimDisk) -> Issuer {
        let vault = StoreVault::new(Arc::new(reopen(disk, &self.key).unwrap()));
        if self.warm {
            vault.update(vec![Change::Put("state/warm".into(), Zeroizing::new(vec![1]))]).unwrap();
        }
        issuer(Arc::new(vault), &self.world)
    }

    /// From which step on the disk works for the join, and up to which.
    async fn steps(&self) -> (usize, Vec<&'static str>) {
        let disk = self.disk.copy(Trouble::None);
        let issuer = self.start(&disk);
        let before = disk.steps().len();
        attempt(&issuer, &self.joiner).await.unwrap();
        (before, disk.steps())
    }

    /// Whether the token is used and whether the node is noted, by what is on this disk.
    fn found(&self, disk: &SimDisk) -> (bool, bool) {
        let vault = StoreVault::new(Arc::new(reopen(disk, &self.key).unwrap()));
        (tokens(&vault).get(self.token.id()).unwrap().uses_left == 0, is_noted(&vault, "w"))
    }

    /// Cuts the power before each step of the join, and behind the last; gives how many ends held one half of it, or nothing of what was
    /// acknowledged.
    async fn halves_over_all_cuts(&self) -> usize {
        let (before, steps) = self.steps().await;
        let (mut halves, mut ends) = (0, 0);
        for cut in before..=steps.len() {
            let running = self.disk.copy(Trouble::CutAt(cut));
            let issued = attempt(&self.start(&running), &self.joiner).await;
            for after in running.after_power_cut() {
                ends += 1;
                let found = self.found(&after);
                if found.0 != found.1 || (issued.is_ok() && !found.0) {
                    halves += 1;
                } else if ends % 8 == 0 {
                    // Whichever it was, the node that asks again is let in, by the one use.
                    let again = after.copy(Trouble::None);
                    let reply = attempt(&self.start(&again), &self.joiner).await.unwrap();
                    self.joiner.finish(&reply).unwrap();
                    assert_eq!(self.found(&again), (true, true), "cut {cut}");
                }
            }
        }
        eprintln!("{halves} halves in {ends} ends of {} cuts", steps.len() + 1 - before);
        halves
    }
}

fn issuer(vault: Arc<dyn Vault>, world: &Arc<World>) -> Issuer {
    let identity = NodeIdentity::load(&*vault).unwrap().unwrap();
    let ledger = Ledger::load(vault.clone(), identity.material().clone(), Arc::new(UnixMillis::now)).unwrap();
    let seed = Seed { node_id: "coordinator".parse().unwrap(), authority: "10.0.0.1:8001".into() };
    let options = IssuerOptions::new(seed, vec!["10.0.0.1".parse().unwrap()], world.clone());
    Issuer::load(vault, ledger, options).unwrap().unwrap()
}

#[tokio::test]
async fn case_35_a_power_cut_at_any_step_of_a_join_leaves_token_and_node_both_or_neither() {
    for warm in [false, true] {
        assert_eq!(Case::new(warm).await.halves_over_all_cuts().await, 0, "warm: {warm}");
    }
}

#[tokio::test]
async fn case_35_control_two_writes_leave_a_used_token_and_no_node() {
    for warm in [false, true] {
        let case = Case::new(warm).await;
        assert_ne!(without_during(&[Check::OneWrite], case.halves_over_all_cuts()).await, 0, "warm: {warm}");
    }
}

#[tokio::test]
async fn case_35_a_disk_that_fails_at_any_step_of_a_join_spends_nothing_and_the_next_attempt_is_let_in() {
    for warm in [false, true] {
        let case = Case::new(warm).await;
        let (before, steps) = case.steps().await;
        let mut refusals = 0;
        for (step, name) in steps.iter().enumerate().skip(before) {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                let disk = case.disk.copy(Trouble::FailAt(step, kind));
                let issuer = case.start(&disk);
                match attempt(&issuer, &case.joiner).await {
                    Ok(_) => {}
                    Err(Refused::Unavailable { .. }) => {
                        refusals += 1;
                        assert_eq!(issuer.tokens()[0].uses_left, 1, "{name} {step}");
                        assert!(issuer.issued(&"w".parse().unwrap()).unwrap().is_none());
                    }
                    Err(other) => panic!("{other}"),
                }
                case.joiner.finish(&attempt(&issuer, &case.joiner).await.unwrap()).unwrap();
                drop(issuer);
                assert_eq!(case.found(&disk.copy(Trouble::None)), (true, true), "{name} {step}");
            }
        }
        assert_ne!(refusals, 0);
    }
}

#[tokio::test]
async fn case_35_a_full_disk_issues_nothing_and_spends_nothing_and_says_so() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.vault.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let said = desk.attempt(&joiner).await.unwrap_err();
    assert!(matches!(&said, Refused::Unavailable { .. }) && said.to_string().contains("nothing was used up"), "{said}");
    assert_eq!(desk.uses_left(&token), 1);
    assert!(!is_noted(&*desk.vault, "w"));
    desk.vault.full.store(false, std::sync::atomic::Ordering::SeqCst);
    desk.attempt(&joiner).await.unwrap();
}
