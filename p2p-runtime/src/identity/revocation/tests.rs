//! What a ledger keeps, believes and refuses.

use std::sync::{Arc, atomic::Ordering};

use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{Author, KeyHash, MAX_STATEMENTS, Reason, RevocationSet, Statement, StatementId, Subject},
    wire::tls::TlsError,
};

use super::{super::tests::*, *};
use crate::identity::{Attestor, NodeIdentity, Vault, attest::AttestError, vault::tests::MemoryVault};

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn revoked(name: &str) -> Subject {
    Subject::Node { node_id: node(name) }
}

/// Another node's empty ledger, in the same cluster.
fn other(of: &NodeIdentity) -> (Ledger, NodeIdentity) {
    let identity = NodeIdentity::new(of.key().clone(), of.chain().to_vec(), of.root().clone()).unwrap();
    (ledger(&identity, &Arc::new(MemoryVault::default())), identity)
}

fn all(of: &Ledger) -> Vec<SignedStatement> {
    of.get(&of.ids())
}

/// A statement by this node, as if it might.
fn signed_by(identity: &NodeIdentity, subject: Subject, at: UnixMillis) -> SignedStatement {
    let by = Author { node_id: identity.peer().node_id.clone(), key: KeyHash::from(identity.key().public().thumbprint()) };
    let statement = Statement { subject, at, by, reason: Reason::default() };
    SignedStatement::sign(&statement, &identity.attestor()).unwrap()
}

#[tokio::test]
async fn what_a_coordinator_revokes_is_in_force_here_and_wherever_it_is_passed_on_to() {
    let (coordinator, vault) = cluster();
    let w = worker(&vault, "w");
    let key = KeyHash::from(w.key().public().thumbprint());
    let here = ledger(&coordinator, &vault);
    let made = here.revoke(vec![revoked("w"), Subject::Key { key }], Reason::try_from("lost".to_owned()).unwrap()).await.unwrap();
    assert_eq!(made.len(), 2);
    assert!(made[1].at > made[0].at || made[0].at == made[1].at);
    assert!(coordinator.material().revocations().is_revoked(&node("w"), &key));
    assert!(here.revoke(vec![revoked("w"), Subject::Key { key }], Reason::default()).await.unwrap().is_empty(), "once is enough");

    let (there, _) = other(&w);
    let accepted = there.accept(all(&here)).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.refused.len()), (2, 0));
    assert!(there.revocations().is_revoked(&node("w"), &key));
    assert_eq!(there.digest(), here.digest());
    assert!(there.accept(all(&here)).await.unwrap().fresh.is_empty(), "and twice is not news");
}

#[tokio::test]
async fn what_is_not_durable_is_not_in_force_and_a_full_disk_says_so() {
    let (coordinator, vault) = cluster();
    let here = ledger(&coordinator, &vault);
    vault.full.store(true, Ordering::SeqCst);
    let said = here.revoke(vec![revoked("w")], Reason::default()).await.unwrap_err();
    assert!(matches!(said, RevokeError::Vault(_)) && said.to_string().contains("disk is full"), "{said}");
    assert!(here.ids().is_empty() && here.revocations().set().is_empty());
    vault.full.store(false, Ordering::SeqCst);
    assert_eq!(here.revoke(vec![revoked("w")], Reason::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_worker_revokes_nobody_and_a_coordinator_not_itself() {
    let (coordinator, vault) = cluster();
    let w = worker(&vault, "w");
    let said = other(&w).0.revoke(vec![revoked("v")], Reason::default()).await.unwrap_err();
    assert!(matches!(said, RevokeError::NotCoordinator), "{said}");
    let here = ledger(&coordinator, &vault);
    let own_key = Subject::Key { key: coordinator.key().public().thumbprint().into() };
    for subject in [own_key, revoked("coordinator")] {
        let said = here.revoke(vec![subject], Reason::default()).await.unwrap_err();
        assert!(matches!(&said, RevokeError::Itself { node_id } if *node_id == "coordinator"), "{said}");
    }
    assert!(here.ids().is_empty());
}

#[tokio::test]
async fn no_coordinator_says_that_the_authority_or_the_root_which_it_stands_on_is_revoked_and_each_is_told_what_to_do() {
    let (first, vault) = cluster();
    let second = coordinator(&vault, "second");
    let root = KeyHash::of_certificate(first.root().der()).unwrap();
    for here in [ledger(&first, &vault), other(&second).0] {
        for key in [root, issuing(&vault).key().public().thumbprint().into()] {
            let said = here.revoke(vec![Subject::Key { key }], Reason::default()).await.unwrap_err();
            assert!(matches!(&said, RevokeError::OwnAuthority { key: named } if *named == key), "{said}");
            assert!(said.to_string().contains("`p2p ca rotate`"), "{said}");
        }
        assert!(here.ids().is_empty());
    }
}

#[tokio::test]
async fn what_a_coordinator_may_not_say_and_what_a_later_version_signed_do_not_keep_out_the_good_ones_behind_them() {
    let (coordinator, vault) = cluster();
    let (there, _) = other(&worker(&vault, "w"));
    let too_much =
        signed_by(&coordinator, Subject::Key { key: issuing(&vault).key().public().thumbprint().into() }, UnixMillis::now());
    let later = SignedStatement { attestation: vec![9].into(), ..signed_by(&coordinator, revoked("a"), UnixMillis::now()) };
    let good = signed_by(&coordinator, revoked("b"), UnixMillis::now());
    let accepted = there.accept(vec![too_much, later, good]).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.refused.len()), (1, 2), "{:?}", accepted.refused);
    assert!(matches!(accepted.refused[0], RefusedStatement::OwnAuthority { .. }));
    assert!(matches!(accepted.refused[1], RefusedStatement::Signature(AttestError::Version(9))));
}

/// As many statements of `thief` as there is room for, and one more, none of which was ever checked.
fn fill(ledger: &Ledger) {
    let by = Author { node_id: node("thief"), key: KeyHash::new([7; 32]) };
    let mut set = RevocationSet::clone(&ledger.revocations().set());
    set.extend((0..=MAX_STATEMENTS as u64).map(|number| {
        let statement = Statement {
            subject: revoked(&format!("n{number}")),
            at: UnixMillis(number),
            by: by.clone(),
            reason: Reason::default(),
        };
        (StatementId::of(&statement.encode().unwrap()), statement)
    }));
    ledger.revocations().replace(set);
}

#[tokio::test]
async fn where_there_is_no_room_the_coordinator_that_took_it_can_be_revoked_still_and_others_not() {
    let (coordinator, vault) = cluster();
    let (there, _) = other(&worker(&vault, "w"));
    let here = ledger(&coordinator, &vault);
    for ledger in [&here, &there] {
        fill(ledger);
    }
    let said = here.revoke(vec![revoked("w")], Reason::default()).await.unwrap_err();
    assert!(matches!(said, RevokeError::Full(_)), "{said}");
    here.revoke(vec![revoked("thief")], Reason::default()).await.unwrap();
    // It arrives among others for which there is no room.
    let others = signed_by(&coordinator, revoked("v"), UnixMillis::now());
    let accepted = there.accept(vec![others, all(&here).pop().unwrap()]).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.without_room), (1, 1));
    assert!(there.revocations().set().revoked_at(&node("thief")).is_some());
    assert!(there.revocations().set().revoked_at(&node("v")).is_none());
}

#[tokio::test]
async fn a_readmission_that_was_written_takes_effect_although_others_took_the_last_room_meanwhile() {
    let (coordinator, vault) = cluster();
    let here = ledger(&coordinator, &vault);
    here.revoke(vec![revoked("w")], Reason::default()).await.unwrap();
    let key = KeyHash::new([2; 32]);
    let prepared = here.prepare_readmission(node("w"), key).unwrap();
    vault.update(vec![prepared.change().unwrap()]).unwrap();
    fill(&here);
    here.take_effect(prepared);
    assert!(!here.revocations().is_revoked(&node("w"), &key));
    assert!(matches!(here.prepare_readmission(node("w"), KeyHash::new([3; 32])), Err(RevokeError::Full(_))));
}

#[tokio::test]
async fn a_worker_that_revokes_the_root_is_a_forger_and_not_an_overeager_coordinator() {
    let (coordinator, vault) = cluster();
    let (there, _) = other(&worker(&vault, "v"));
    let root = KeyHash::of_certificate(coordinator.root().der()).unwrap();
    let forged = signed_by(&worker(&vault, "w"), Subject::Key { key: root }, UnixMillis::now());
    let accepted = there.accept(vec![forged, signed_by(&coordinator, revoked("b"), UnixMillis::now())]).await.unwrap();
    assert!(matches!(accepted.refused[..], [RefusedStatement::NotCoordinator { .. }]) && accepted.fresh.is_empty());
}

#[tokio::test]
async fn no_coordinator_ends_the_cluster_by_revoking_what_its_own_certificate_stands_on() {
    let (coordinator, vault) = cluster();
    let (there, _) = other(&worker(&vault, "w"));
    let root = KeyHash::of_certificate(coordinator.root().der()).unwrap();
    for key in [root, issuing(&vault).key().public().thumbprint().into(), coordinator.key().public().thumbprint().into()] {
        let forged = signed_by(&coordinator, Subject::Key { key }, UnixMillis::now());
        let accepted = there.accept(vec![forged]).await.unwrap();
        let said = accepted.refused[0].to_string();
        assert!(matches!(accepted.refused[0], RefusedStatement::OwnAuthority { .. }) && said.contains("stands on"), "{said}");
    }
    assert!(there.ids().is_empty());
}

#[tokio::test]
async fn what_a_newer_version_wrote_keeps_out_nothing_and_after_what_nobody_can_have_written_nothing_more_is_looked_at() {
    let (coordinator, vault) = cluster();
    let (there, _) = other(&worker(&vault, "w"));
    let text =
        |text: &'static str| SignedStatement { text: text.into(), ..signed_by(&coordinator, revoked("a"), UnixMillis::now()) };
    let (first, second) =
        (signed_by(&coordinator, revoked("b"), UnixMillis::now()), signed_by(&coordinator, revoked("c"), UnixMillis::now()));
    let newer = text(r#"{"format":9,"else":1}"#);
    let accepted = there.accept(vec![newer, first, text("{}"), text("{}"), second]).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.refused.len()), (1, 2), "{:?}", accepted.refused);
    assert!(there.revocations().set().revoked_at(&node("b")).is_some());
    assert!(there.revocations().set().revoked_at(&node("c")).is_none());
}

#[tokio::test]
async fn a_statement_from_a_clock_that_is_ahead_does_not_keep_the_good_ones_behind_it_from_being_taken_in() {
    let (coordinator, vault) = cluster();
    let (there, _) = other(&worker(&vault, "w"));
    let ahead = signed_by(&coordinator, revoked("a"), UnixMillis(UnixMillis::now().0 + 10 * 3_600_000));
    let good = signed_by(&coordinator, revoked("b"), UnixMillis::now());
    let accepted = there.accept(vec![ahead, good]).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.refused.len()), (1, 1));
    assert!(there.revocations().set().revoked_at(&node("b")).is_some());
}

#[tokio::test]
async fn tokens_that_clients_have_revoked_leave_room_for_what_operators_revoke() {
    let (coordinator, vault) = cluster();
    let here = ledger(&coordinator, &vault);
    let expires = UnixMillis(UnixMillis::now().0 + 900_000);
    let tokens = |range: std::ops::Range<usize>| -> Vec<_> {
        // Of so many clients that none of them is in the way.
        let id = |n: usize| p2p_client::revocation::ClientTokenId::try_from(format!("c{}.{n}", n / 50)).unwrap();
        range.map(|n| Subject::ClientToken { id: id(n), expires }).collect()
    };
    let half = MAX_STATEMENTS / 2;
    here.revoke(tokens(0..half), Reason::default()).await.unwrap();
    let said = here.revoke(tokens(half..half + 1), Reason::default()).await.unwrap_err();
    assert!(matches!(said, RevokeError::Full(_)), "{said}");
    assert_eq!(here.revoke(vec![revoked("w")], Reason::default()).await.unwrap().len(), 1);
}

fn single(credential: &str, number: usize, expires: UnixMillis) -> Subject {
    Subject::ClientToken { id: format!("{credential}.{number}").try_into().unwrap(), expires }
}

#[tokio::test]
async fn of_one_credential_so_many_tokens_are_revoked_one_by_one_and_then_it_is_to_be_revoked_itself() {
    let (coordinator, vault) = cluster();
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(UnixMillis::now().0));
    let time = clock.clone();
    let clocked = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
    let here = Ledger::load(vault, coordinator.material().clone(), clocked).unwrap();
    let revoke = async |credential: &str, number| {
        let expires = UnixMillis(clock.load(Ordering::SeqCst) + 60_000);
        here.revoke(vec![single(credential, number, expires)], Reason::default()).await
    };
    for number in 0..64 {
        assert_eq!(revoke("c", number).await.unwrap().len(), 1);
    }
    let said = revoke("c", 64).await.unwrap_err().to_string();
    assert!(said.starts_with("64 tokens of credential c are revoked one by one already, and this one still works"), "{said}");
    assert!(said.contains("`p2p client remove NAME`") && said.contains("`p2p node revoke ID`"), "{said}");
    assert!(revoke("c", 7).await.unwrap().is_empty(), "what is revoked already is so");
    assert_eq!(revoke("d", 0).await.unwrap().len(), 1, "another client's");
    let whole = Subject::ClientToken { id: "c".to_owned().try_into().unwrap(), expires: UnixMillis(u64::MAX) };
    assert_eq!(here.revoke(vec![whole], Reason::default()).await.unwrap().len(), 1, "the credential");
    // What has expired by itself does not count.
    clock.fetch_add(60_001, Ordering::SeqCst);
    assert_eq!(revoke("c", 64).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nodes_are_revoked_also_where_coordinators_that_were_parted_have_filled_the_set_with_tokens() {
    let (coordinator, vault) = cluster();
    let here = ledger(&coordinator, &vault);
    let (there, _) = other(&worker(&vault, "w"));
    let by = Author { node_id: node("coordinator-2"), key: KeyHash::new([7; 32]) };
    let expires = UnixMillis(UnixMillis::now().0 + 900_000);
    for ledger in [&here, &there] {
        let mut set = RevocationSet::default();
        set.extend((0..MAX_STATEMENTS).map(|number| {
            let subject = single(&format!("c{}", number / 50), number, expires);
            let statement = Statement { subject, at: UnixMillis(1), by: by.clone(), reason: Reason::default() };
            (StatementId::of(&statement.encode().unwrap()), statement)
        }));
        ledger.revocations().replace(set);
    }
    let said = here.revoke(vec![single("d", 0, expires)], Reason::default()).await.unwrap_err();
    assert!(matches!(said, RevokeError::Full(_)), "{said}");
    let key = KeyHash::new([9; 32]);
    let made = here.revoke(vec![revoked("v"), Subject::Key { key }], Reason::default()).await.unwrap();
    assert_eq!(made.len(), 2);
    let accepted = there.accept(all(&here)).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.without_room), (2, 0));
    assert!(there.revocations().is_key_revoked(&key) && there.revocations().set().revoked_at(&node("v")).is_some());
}

#[tokio::test]
async fn statements_about_tokens_are_forgotten_with_them_and_not_taken_in_again() {
    let (coordinator, vault) = cluster();
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(UnixMillis::now().0));
    let time = clock.clone();
    let here =
        Ledger::load(vault.clone(), coordinator.material().clone(), Arc::new(move || UnixMillis(time.load(Ordering::SeqCst))))
            .unwrap();
    let expires = Some(UnixMillis(clock.load(Ordering::SeqCst) + 1000));
    here.revoke(vec![Subject::JoinToken { id: "00".repeat(8), expires }, revoked("w")], Reason::default()).await.unwrap();
    let before = all(&here);
    clock.fetch_add(3_600_000, Ordering::SeqCst);
    here.forget_expired().await.unwrap();
    assert_eq!(here.ids().len(), 1);
    assert!(here.accept(before).await.unwrap().fresh.is_empty());
    assert_eq!(ledger(&coordinator, &vault).digest(), here.digest(), "the store has forgotten it, too");
}

#[tokio::test]
async fn a_revoked_author_of_a_node_description_is_not_believed() {
    let (coordinator, vault) = cluster();
    let w = worker(&vault, "w");
    let signed = w.attestor().sign(b"here I am").unwrap();
    ledger(&coordinator, &vault).revoke(vec![revoked("w")], Reason::default()).await.unwrap();
    let said = coordinator.attestor().verify(&node("w"), b"here I am", &signed).unwrap_err();
    assert!(matches!(said, AttestError::Author(TlsError::Revoked)), "{said}");
}

/// Paths are those of the list of security cases.
mod security {
    use super::*;
    use crate::{checks::without_during, identity::checks::Check};

    /// What comes of a worker's revocation of another node.
    async fn revoked_by_a_worker() -> Accepted {
        let (coordinator, vault) = cluster();
        let (w, here) = (worker(&vault, "w"), ledger(&coordinator, &vault));
        here.accept(vec![signed_by(&w, revoked("v"), UnixMillis::now())]).await.unwrap()
    }

    #[tokio::test]
    async fn case_20_a_worker_cannot_revoke() {
        let accepted = revoked_by_a_worker().await;
        assert!(accepted.fresh.is_empty());
        assert!(
            matches!(&accepted.refused[..], [RefusedStatement::NotCoordinator { node_id }] if *node_id == "w"),
            "{:?}",
            accepted.refused
        );
    }

    #[tokio::test]
    async fn case_20_control_by_its_signature_alone_the_workers_word_is_good() {
        let accepted = without_during(&[Check::RevocationRole], revoked_by_a_worker()).await;
        assert_eq!((accepted.fresh.len(), accepted.refused.len()), (1, 0), "{:?}", accepted.refused);
    }

    /// How one makes up a revocation. Each has a check of its own that stops it.
    #[derive(Debug, Clone, Copy)]
    enum Forgery {
        /// Another name under a good signature.
        AnotherName,
        /// By another cluster's coordinator, of the same name.
        AnotherCluster,
        /// From before the coordinator had its certificate.
        Before,
        /// With a signature that the coordinator's key made for something else.
        AnotherPurpose,
        /// Signed by one, in the name of another.
        AnotherAuthor,
        /// From the day after tomorrow.
        Ahead,
    }

    const FORGERIES: [(Forgery, Check); 6] = [
        (Forgery::AnotherName, Check::AuthorSignature),
        (Forgery::AnotherCluster, Check::AuthorChain),
        (Forgery::Before, Check::AuthorChain),
        (Forgery::AnotherPurpose, Check::RevocationDomain),
        (Forgery::AnotherAuthor, Check::RevocationAuthor),
        (Forgery::Ahead, Check::RevocationDate),
    ];

    impl Forgery {
        /// A statement of this kind that revokes `v`.
        fn make(self, coordinator: &NodeIdentity) -> SignedStatement {
            let now = UnixMillis::now();
            match self {
                Self::AnotherName => {
                    let signed = signed_by(coordinator, revoked("w"), now);
                    let text = String::from_utf8(signed.text.to_vec()).unwrap();
                    SignedStatement { text: text.replace(r#""node_id":"w""#, r#""node_id":"v""#).into(), ..signed }
                }
                Self::AnotherCluster => signed_by(&cluster().0, revoked("v"), now),
                Self::Before => signed_by(coordinator, revoked("v"), UnixMillis(now.0 - 86_400_000)),
                Self::AnotherPurpose => {
                    let signed = signed_by(coordinator, revoked("v"), now);
                    SignedStatement { attestation: coordinator.attestor().sign(&signed.text).unwrap(), ..signed }
                }
                Self::AnotherAuthor => {
                    let mut statement = signed_by(coordinator, revoked("v"), now).statement().unwrap();
                    statement.by.node_id = node("another");
                    SignedStatement::sign(&statement, &coordinator.attestor()).unwrap()
                }
                Self::Ahead => signed_by(coordinator, revoked("v"), UnixMillis(now.0 + 2 * 86_400_000)),
            }
        }

        fn is_refused_for(self, refused: &RefusedStatement) -> bool {
            use RefusedStatement::{Ahead, OtherAuthor, Signature};
            match self {
                Self::AnotherName | Self::AnotherPurpose => matches!(refused, Signature(AttestError::BadSignature)),
                Self::AnotherCluster => matches!(refused, Signature(AttestError::Author(TlsError::ForeignCa { .. }))),
                Self::Before => matches!(refused, Signature(AttestError::Author(TlsError::NotYetValid { .. }))),
                Self::AnotherAuthor => matches!(refused, OtherAuthor { .. }),
                Self::Ahead => matches!(refused, Ahead { .. }) && refused.to_string().contains("set both clocks right"),
            }
        }
    }

    /// Passes on what was made up; whether `v` is revoked then, and why not.
    async fn passed_on(forged: SignedStatement, here: &Ledger) -> (bool, Vec<RefusedStatement>) {
        let accepted = here.accept(vec![forged]).await.unwrap();
        let is_revoked = here.revocations().is_revoked(&node("v"), &KeyHash::new([0; 32]));
        assert_eq!((is_revoked, !is_revoked), (accepted.fresh.len() == 1, here.ids().is_empty()));
        (is_revoked, accepted.refused)
    }

    #[tokio::test]
    async fn case_58_forged_revocations_are_refused_each_with_its_reason() {
        let (coordinator, vault) = cluster();
        let here = ledger(&coordinator, &vault);
        for (forgery, _) in FORGERIES {
            let (is_revoked, refused) = passed_on(forgery.make(&coordinator), &here).await;
            assert!(!is_revoked && forgery.is_refused_for(&refused[0]), "{forgery:?}: {refused:?}");
        }
        let good = signed_by(&coordinator, revoked("v"), UnixMillis::now());
        let no_text = SignedStatement { text: "{}".into(), ..good.clone() };
        let (is_revoked, refused) = passed_on(no_text, &here).await;
        assert!(!is_revoked && matches!(refused[..], [RefusedStatement::Bad(_)]), "{refused:?}");
        assert!(passed_on(good, &here).await.0, "the honest one is taken");
    }

    #[tokio::test]
    async fn case_58_control_without_the_check_that_stops_it_each_forged_revocation_revokes() {
        for (forgery, check) in FORGERIES {
            let (coordinator, vault) = cluster();
            let forged = forgery.make(&coordinator);
            let here = ledger(&coordinator, &vault);
            let (is_revoked, refused) = without_during(&[check], passed_on(forged, &here)).await;
            assert!(is_revoked, "{forgery:?} without {check:?}: {refused:?}");
        }
    }

    /// What comes of a forged revocation between two good ones.
    async fn one_forged_among_good_ones() -> Accepted {
        let (coordinator, vault) = cluster();
        let (here, w) = (ledger(&coordinator, &vault), worker(&vault, "w"));
        let mixed = vec![
            signed_by(&coordinator, revoked("a"), UnixMillis::now()),
            signed_by(&w, revoked("b"), UnixMillis::now()),
            signed_by(&coordinator, revoked("c"), UnixMillis::now()),
        ];
        here.accept(mixed).await.unwrap()
    }

    #[tokio::test]
    async fn case_58_whoever_passes_on_a_forged_one_is_listened_to_no_further() {
        let accepted = one_forged_among_good_ones().await;
        assert_eq!((accepted.fresh.len(), accepted.refused.len()), (1, 1));
    }

    #[tokio::test]
    async fn case_58_control_whoever_is_listened_to_all_the_same_has_all_checked_that_he_sends() {
        let accepted = without_during(&[Check::RevocationHearing], one_forged_among_good_ones()).await;
        assert_eq!((accepted.fresh.len(), accepted.refused.len()), (2, 1));
    }

    #[tokio::test]
    async fn case_59_a_restarted_node_knows_what_was_revoked_before_it_shakes_a_hand() {
        let (coordinator, vault) = cluster();
        let own = ledger(&coordinator, &vault);
        own.revoke(vec![revoked("w")], Reason::default()).await.unwrap();
        let before = own.digest();
        let again = NodeIdentity::load(&*vault).unwrap().unwrap();
        let restarted = ledger(&again, &vault);
        assert_eq!(restarted.digest(), before);
        assert_eq!(restarted.get(&own.ids()), own.get(&own.ids()), "with its proofs, so that it can be passed on");
        assert!(again.material().revocations().is_revoked(&node("w"), &KeyHash::new([0; 32])));
    }

    #[tokio::test]
    async fn case_59_control_without_the_store_a_restart_forgets() {
        let (coordinator, vault) = cluster();
        ledger(&coordinator, &vault).revoke(vec![revoked("w")], Reason::default()).await.unwrap();
        let again = NodeIdentity::load(&*vault).unwrap().unwrap();
        assert!(!again.material().revocations().is_revoked(&node("w"), &KeyHash::new([0; 32])));
    }

    #[tokio::test]
    async fn a_revocation_outlives_the_certificate_of_whoever_made_it() {
        let (coordinator, _) = cluster();
        let long_ago = UnixMillis::now();
        let signed = signed_by(&coordinator, revoked("w"), long_ago);
        let attestor = Attestor::new(coordinator.material().clone());
        let in_two_years = UnixMillis(long_ago.0 + 2 * YEAR * 1000);
        signed.verify(&attestor, in_two_years).unwrap();
    }
}
