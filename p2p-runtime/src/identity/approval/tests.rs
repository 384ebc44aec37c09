//! Approvals from the request to the certificate: the table by itself, and coordinators that keep it.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{KeyHash, Reason, Subject},
    wire::tls::ChannelBinding,
};

use super::{table::WAITS, *};
use crate::identity::{
    Approval, CertReply, CertRequest, Change, JoinToken, NodeKey, Refused, RootKeys, TokenOptions, TokenRefused, Vault, Voided,
    coordinators::{Desk, channel, desk, hello, is_noted, send_any, tokens},
    issuer::{ISSUING_CERT, ISSUING_KEY},
    join::{Issued, Joiner, Wait, Waiting},
    tests::{AuditLines, ledger},
    token_table::millis,
};

/// What was answered to a node.
#[derive(Debug)]
enum Told {
    Wait(Waiting),
    Come(Box<Issued>),
}

impl Desk {
    async fn manual_token(&self, uses: u32) -> JoinToken {
        let uses = uses.try_into().unwrap();
        let options = TokenOptions { uses, approval: Approval::Manual, ..TokenOptions::default() };
        self.issuer.create_token(options).await.unwrap()
    }

    /// Both steps of a join, with an operator in it.
    async fn ask(&self, joiner: &Joiner) -> Result<Told, Refused> {
        let reply = hello(&self.issuer, joiner, &channel()).await?;
        match send_any(&self.issuer, joiner.prove(&channel(), &reply).unwrap(), &channel()).await? {
            CertReply::Waiting(waiting) => Ok(Told::Wait(waiting)),
            CertReply::Issued(issued) => Ok(Told::Come(Box::new(issued))),
            CertReply::Hello(_) => panic!("went back a step"),
        }
    }

    /// A request that is noted.
    async fn waits(&self, joiner: &Joiner) {
        let told = self.ask(joiner).await.unwrap();
        assert!(matches!(&told, Told::Wait(waiting) if !waiting.decided), "{told:?}");
    }

    /// A node that gets its certificate.
    async fn comes(&self, joiner: &Joiner) -> Issued {
        match self.ask(joiner).await.unwrap() {
            Told::Come(issued) => {
                joiner.finish(&issued).unwrap();
                *issued
            }
            Told::Wait(waiting) => panic!("it waits: {waiting:?}"),
        }
    }

    async fn approve(&self, name: &str) -> Result<(), ApprovalError> {
        self.issuer.approve(self.shown(name)?).await
    }

    fn shown(&self, name: &str) -> Result<PendingNode, ApprovalError> {
        self.issuer.find_pending(&id(name), None)
    }

    async fn say(&self, request: CertRequest, channel: ChannelBinding) -> Result<CertReply, Refused> {
        self.issuer.handle(request, channel, "10.0.0.9:40000".parse().unwrap()).await
    }

    async fn revoke(&self, what: Subject) {
        ledger(&self.identity, &self.vault).revoke(vec![what], Reason::default()).await.unwrap();
    }

    /// How many uses the token has left, durably.
    fn left(&self, token: &JoinToken) -> u32 {
        tokens(&*self.vault).get(token.id()).unwrap().uses_left
    }

    /// Changes the cluster's root.
    async fn changes_the_root(&self) {
        let me = self.identity.peer().node_id.clone();
        let keys = RootKeys::new(self.vault.clone(), self.ledger.clone(), Arc::new(UnixMillis::now), me.clone());
        keys.begin(false).await.unwrap();
        let key = NodeKey::generate().unwrap();
        let cert = keys.issue_authority(me, key.public()).await.unwrap().unwrap();
        let put = |path: &str, content| Change::Put(path.into(), content);
        self.vault.update(vec![put(ISSUING_KEY, key.to_pkcs8()), put(ISSUING_CERT, cert.to_vec().into())]).unwrap();
        keys.complete().await.unwrap();
    }

    /// The same coordinator, started again after the cluster's root was changed.
    async fn after_a_change_of_the_root(self) -> Self {
        self.changes_the_root().await;
        self.restarted()
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(millis(time), SeqCst);
    }
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn key_of(joiner: &Joiner) -> KeyHash {
    joiner.key().public().thumbprint().into()
}

fn because(text: &str) -> Reason {
    text.to_owned().try_into().unwrap()
}

#[tokio::test]
async fn a_node_waits_until_an_operator_approves_it_and_that_takes_one_use_of_its_token() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    assert_eq!(desk.left(&token), 0);
    assert!(!is_noted(&*desk.vault, "w"));
    let calls = desk.world.called.lock().unwrap().len();
    desk.waits(&joiner).await;
    assert_eq!(desk.world.called.lock().unwrap().len(), calls, "who asks again is not called back");

    let [shown] = &*desk.issuer.pending() else { panic!("one waits") };
    assert_eq!((&shown.node_id, shown.role, shown.key, shown.token), (&id("w"), Role::Worker, key_of(&joiner), token.id()));
    assert_eq!(shown.addresses, ["10.0.0.9".parse().unwrap()]);
    assert_eq!(shown.expires.0 - shown.since.0, millis(WAITS));
    desk.approve("w").await.unwrap();
    assert!(desk.issuer.pending()[0].approved.is_some());
    desk.comes(&joiner).await;
    assert!(is_noted(&*desk.vault, "w") && desk.issuer.pending().is_empty());
    assert_eq!(desk.left(&token), 0);
}

#[tokio::test]
async fn proof_and_addresses_are_checked_before_a_request_is_noted() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let refused = desk.prove(&joiner, |prove| prove.proof[0] ^= 1).await.unwrap_err();
    assert_eq!(refused, Refused::BadProof);
    desk.world.keys.lock().unwrap().insert("10.0.0.9".parse().unwrap(), "another key".into());
    assert!(matches!(desk.ask(&joiner).await.unwrap_err(), Refused::NoAddressProved { .. }));
    let chief = desk.joiner(&token, "v", Role::Coordinator, &["10.0.0.8"]);
    assert!(matches!(desk.ask(&chief).await.unwrap_err(), Refused::Token(TokenRefused::Role { .. })));
    assert!(desk.issuer.pending().is_empty());
    assert_eq!(desk.left(&token), 1);
}

#[tokio::test]
async fn a_coordinator_that_is_killed_forgets_neither_requests_nor_approvals_and_the_node_goes_on() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    let desk = desk.restarted();
    desk.waits(&joiner).await;
    assert_eq!(desk.left(&token), 0, "no other use");
    desk.approve("w").await.unwrap();
    // Killed between the approval and the certificate.
    let desk = desk.restarted();
    desk.comes(&joiner).await;
    // And behind it, before the answer came: also when the token has expired by then.
    let desk = desk.restarted();
    desk.pass(Duration::from_hours(48));
    desk.comes(&joiner).await;
    let other = desk.worker(&token, "w", "10.0.0.9");
    assert!(matches!(desk.ask(&other).await.unwrap_err(), Refused::NodeBound { .. }), "another key is not let in by it");
}

#[tokio::test]
async fn a_token_that_expires_while_its_node_waits_does_not_end_the_wait_and_lets_nobody_else_ask() {
    let desk = desk();
    let token = desk.manual_token(2).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    desk.pass(Duration::from_hours(25));
    desk.waits(&joiner).await;
    let late = desk.worker(&token, "v", "10.0.0.8");
    assert!(matches!(desk.ask(&late).await.unwrap_err(), Refused::Token(TokenRefused::Expired { .. })));
    desk.approve("w").await.unwrap();
    desk.comes(&joiner).await;
}

#[tokio::test]
async fn a_denied_node_is_told_why_and_its_use_of_the_token_is_not_given_back() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    desk.issuer.deny(desk.shown("w").unwrap(), because("not ours")).await.unwrap();
    for _ in 0..2 {
        let refused = desk.ask(&joiner).await.unwrap_err();
        assert_eq!(refused, Refused::Denied { node_id: id("w"), reason: because("not ours") });
        assert!(refused.to_string().contains("(not ours)") && refused.to_string().contains("fresh token"), "{refused}");
    }
    assert_eq!(desk.left(&token), 0);
    assert!(desk.issuer.pending().is_empty());
    // With a fresh token it may ask again.
    let again = desk.manual_token(1).await;
    let joiner = desk.joiner_with(&again, "w", Role::Worker, &["10.0.0.9"], joiner.key().clone());
    desk.waits(&joiner).await;
}

#[tokio::test]
async fn an_approval_of_which_no_use_was_made_can_be_taken_back() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    desk.approve("w").await.unwrap();
    desk.issuer.deny(desk.shown("w").unwrap(), Reason::default()).await.unwrap();
    assert!(matches!(desk.ask(&joiner).await.unwrap_err(), Refused::Denied { .. }));
    assert!(!is_noted(&*desk.vault, "w"));
}

#[tokio::test]
async fn approving_twice_an_unknown_id_and_after_the_end_have_their_own_errors() {
    let desk = desk();
    let token = desk.manual_token(3).await;
    let [twice, late] = [("twice", "10.0.0.9"), ("late", "10.0.0.8")].map(|(name, at)| desk.worker(&token, name, at));
    for joiner in [&twice, &late] {
        desk.waits(joiner).await;
    }
    let said = |outcome: Result<(), ApprovalError>| outcome.unwrap_err().to_string();
    let unknown = said(desk.approve("nobody").await);
    for part in ["no node nobody waits", "those that wait are", "twice", "late"] {
        assert!(unknown.contains(part), "{unknown}");
    }
    let shown = desk.shown("late").unwrap();

    desk.approve("twice").await.unwrap();
    let again = said(desk.approve("twice").await);
    assert!(again.contains("twice was approved before, and gets its certificate when it asks next"), "{again}");
    desk.comes(&twice).await;
    let joined = said(desk.approve("twice").await);
    assert!(joined.contains("has joined") && joined.contains("`p2p node revoke twice`"), "{joined}");

    desk.pass(WAITS);
    assert!(desk.issuer.pending().is_empty());
    for expired in [said(desk.issuer.approve(shown).await), said(desk.approve("late").await)] {
        assert!(expired.contains("the request of late has expired") && expired.contains("--approve manual"), "{expired}");
    }
    let refused = desk.ask(&late).await.unwrap_err();
    assert_eq!(refused, Refused::NotApproved { node_id: id("late") });
    assert!(refused.to_string().contains("fresh token"), "{refused}");

    let denied = desk.worker(&desk.manual_token(1).await, "denied", "10.0.0.7");
    desk.waits(&denied).await;
    desk.issuer.deny(desk.shown("denied").unwrap(), Reason::default()).await.unwrap();
    let denied = said(desk.approve("denied").await);
    assert!(denied.contains("denied was denied before") && denied.contains("fresh token"), "{denied}");
}

#[tokio::test]
async fn a_request_by_another_key_under_the_same_name_never_slips_into_an_approval() {
    let desk = desk();
    let token = desk.manual_token(2).await;
    let [own, other] = [(); 2].map(|()| desk.worker(&token, "w", "10.0.0.9"));
    // (At the same address: whoever asked last has it in this world.)
    desk.world.keys.lock().unwrap().insert("10.0.0.9".parse().unwrap(), own.key().public().thumbprint().to_string());
    desk.waits(&own).await;
    let shown = desk.shown("w").unwrap();
    desk.world.keys.lock().unwrap().insert("10.0.0.9".parse().unwrap(), other.key().public().thumbprint().to_string());
    desk.waits(&other).await;

    let several = desk.shown("w").unwrap_err().to_string();
    for part in ["2 nodes want to be w", "--key", &key_of(&own).to_string(), &key_of(&other).to_string()] {
        assert!(several.contains(part), "{several}");
    }
    let wrong = desk.issuer.find_pending(&id("w"), Some(&KeyHash::new([7; 32]))).unwrap_err().to_string();
    assert!(wrong.contains("no node w with the key sha256:0707") && wrong.contains(&key_of(&own).to_string()), "{wrong}");
    // What was shown is what is approved, whoever else waits by then.
    desk.issuer.approve(shown).await.unwrap();
    assert!(matches!(desk.ask(&other).await.unwrap(), Told::Wait(waiting) if !waiting.decided));
    let rival = desk.issuer.find_pending(&id("w"), Some(&key_of(&other))).unwrap();
    let name_given = desk.issuer.approve(rival.clone()).await.unwrap_err().to_string();
    assert!(
        name_given.contains("another node was approved as w") && name_given.contains(&key_of(&own).to_string()),
        "{name_given}"
    );

    desk.world.keys.lock().unwrap().insert("10.0.0.9".parse().unwrap(), own.key().public().thumbprint().to_string());
    desk.comes(&own).await;
    let bound = desk.issuer.approve(rival).await.unwrap_err();
    assert!(matches!(&bound, ApprovalError::Refused(Refused::NodeBound { .. })), "{bound}");
    assert!(matches!(desk.ask(&other).await.unwrap_err(), Refused::NodeBound { .. }));
}

#[tokio::test]
async fn what_was_shown_is_approved_and_nothing_that_has_taken_its_place() {
    let desk = desk();
    let token = desk.manual_token(2).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    let shown = desk.shown("w").unwrap();
    // The same key, under the same name, with an address more.
    let moved = desk.joiner_with(&token, "w", Role::Worker, &["10.0.0.9", "10.0.0.66"], joiner.key().clone());
    desk.waits(&moved).await;
    assert_eq!(desk.left(&token), 1, "that takes no other use");
    let changed = desk.issuer.approve(shown.clone()).await.unwrap_err();
    assert!(matches!(&changed, ApprovalError::Changed { .. }), "{changed}");
    assert!(changed.to_string().contains("`p2p node pending`"), "{changed}");
    assert_eq!(desk.shown("w").unwrap().expires, shown.expires, "nor does it wait longer");
    // The same key, under another name: another request, in the place of the first.
    let renamed = desk.joiner_with(&token, "v", Role::Worker, &["10.0.0.9"], joiner.key().clone());
    desk.waits(&renamed).await;
    assert_eq!(desk.left(&token), 0);
    assert!(matches!(desk.issuer.approve(shown).await.unwrap_err(), ApprovalError::Changed { .. }));
    assert_eq!(desk.issuer.pending().len(), 1);
}

#[tokio::test]
async fn only_approved_addresses_are_in_the_certificate_and_a_node_that_lives_elsewhere_is_asked_about_again() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.waits(&joiner).await;
    desk.approve("w").await.unwrap();
    let elsewhere = desk.joiner_with(&token, "w", Role::Worker, &["10.0.0.66"], joiner.key().clone());
    desk.waits(&elsewhere).await;
    assert!(desk.shown("w").unwrap().approved.is_none());
    assert_eq!(desk.shown("w").unwrap().addresses, ["10.0.0.66".parse().unwrap()]);
    desk.approve("w").await.unwrap();
    let both = desk.joiner_with(&token, "w", Role::Worker, &["10.0.0.66", "10.0.0.9"], joiner.key().clone());
    let issued = desk.comes(&both).await;
    let left_out: Vec<_> = issued.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out, ["10.0.0.9: it is not among the addresses that an operator approved"]);
}

#[tokio::test]
async fn a_token_or_a_node_that_is_revoked_while_it_waits_is_refused_to_the_operator_and_to_the_node() {
    for (approved_before, node_not_token) in [(false, false), (false, true), (true, false), (true, true)] {
        let desk = desk();
        let token = desk.manual_token(1).await;
        let joiner = desk.worker(&token, "w", "10.0.0.9");
        desk.waits(&joiner).await;
        let shown = desk.shown("w").unwrap();
        if approved_before {
            desk.issuer.approve(shown.clone()).await.unwrap();
        }
        let what = if node_not_token {
            Subject::Node { node_id: id("w") }
        } else {
            Subject::JoinToken { id: token.id().to_string(), expires: None }
        };
        desk.revoke(what).await;
        let said = desk.issuer.approve(shown).await.unwrap_err().to_string();
        let refused = desk.ask(&joiner).await.unwrap_err();
        let expected =
            if node_not_token { Refused::NodeRevoked { node_id: id("w") } } else { Refused::Token(TokenRefused::Revoked) };
        assert_eq!(refused, expected);
        assert!(approved_before || said.contains("revoked"), "{said}");
        assert!(!is_noted(&*desk.vault, "w"));
    }
}

#[tokio::test]
async fn requests_by_tokens_of_an_old_root_go_with_those_and_their_nodes_are_told_to_get_another() {
    let desk = desk();
    let (open, spent) = (desk.manual_token(2).await, desk.manual_token(1).await);
    let old = [desk.worker(&open, "w", "10.0.0.9"), desk.worker(&spent, "v", "10.0.0.8")];
    for joiner in &old {
        desk.waits(joiner).await;
    }
    let desk = desk.after_a_change_of_the_root().await;
    let young = desk.worker(&desk.manual_token(1).await, "young", "10.0.0.7");
    desk.waits(&young).await;
    desk.vault.full.store(true, SeqCst);
    assert!(desk.issuer.void_outdated().await.is_err());
    assert_eq!(desk.issuer.pending().len(), 3, "what is not durable is not done");
    desk.vault.full.store(false, SeqCst);

    // One of them has a use left; the other's only one was taken by the request.
    let mut requests = ["w", "v"].map(|name| desk.shown(name).unwrap()).to_vec();
    requests.sort_by_key(|node| node.key);
    let voided = Voided { tokens: vec![open.id()], requests };
    assert_eq!(desk.issuer.void_outdated().await.unwrap(), voided);
    assert_eq!(desk.issuer.void_outdated().await.unwrap(), Voided::default());
    let unknown = desk.approve("w").await.unwrap_err();
    assert!(matches!(&unknown, ApprovalError::Unknown { .. }), "{unknown}");
    let desk = desk.restarted();
    let pending: Vec<_> = desk.issuer.pending().into_iter().map(|node| node.node_id).collect();
    assert_eq!(pending, [id("young")], "durably, and the others stay");
    for joiner in &old {
        let refused = desk.ask(joiner).await.unwrap_err();
        assert_eq!(refused, Refused::Token(TokenRefused::OldRoot));
        assert!(refused.to_string().contains("`p2p token create`"), "{refused}");
    }
    desk.approve("young").await.unwrap();
    desk.comes(&young).await;
}

#[tokio::test]
async fn the_audit_log_tells_of_each_request_that_goes_with_the_old_root_and_whether_it_was_approved() {
    let desk = desk();
    let token = desk.manual_token(2).await;
    let old = [desk.worker(&token, "w", "10.0.0.9"), desk.worker(&token, "v", "10.0.0.8")];
    for joiner in &old {
        desk.waits(joiner).await;
    }
    desk.approve("w").await.unwrap();
    let desk = desk.after_a_change_of_the_root().await;
    let lines = AuditLines::capture();
    desk.issuer.void_outdated().await.unwrap();
    let told = lines.take();
    assert_eq!(told.len(), 2, "{told:?}");
    for (joiner, name, was) in [(&old[0], "w", "it was approved"), (&old[1], "v", "nothing was decided")] {
        let whom = format!("whom=\"{name} (worker), key sha256:{}\"", key_of(joiner));
        let line = told.iter().find(|line| line.contains(&whom)).unwrap_or_else(|| panic!("{whom} in {told:?}"));
        assert!(
            line.contains("what=\"drop the request to join\"") && line.contains(was) && line.contains(&token.id().to_string()),
            "{line}"
        );
    }
    desk.issuer.void_outdated().await.unwrap();
    assert!(lines.take().is_empty(), "once");
}

#[tokio::test]
async fn the_audit_log_tells_of_each_open_token_that_is_taken_back_without_an_operator() {
    for is_older_copy in [false, true] {
        let desk = desk();
        let (open, spent) = (desk.manual_token(2).await, desk.manual_token(1).await);
        for (token, name, address) in [(&open, "w", "10.0.0.9"), (&spent, "v", "10.0.0.8")] {
            desk.waits(&desk.worker(token, name, address)).await;
        }
        let desk = if is_older_copy { desk } else { desk.after_a_change_of_the_root().await };
        let lines = AuditLines::capture();
        let (voided, because) = if is_older_copy {
            (desk.issuer.void_open_tokens(|_| Ok(Vec::new())).await, "stood open in an older copy of the store")
        } else {
            (desk.issuer.void_outdated().await, "names a root that is not trusted any more")
        };
        assert_eq!(voided.unwrap().tokens, [open.id()]);
        let told = lines.take();
        assert_eq!(told.len(), 3, "{told:?}");
        let of_the_token = format!("what=\"take back the join token\" whom=\"{}\" from=\"here\" outcome=\"done\"", open.id());
        assert!(told.iter().any(|line| line.contains(&of_the_token) && line.contains(because)), "{of_the_token} in {told:?}");
        for (name, token) in [("w", &open), ("v", &spent)] {
            let of_the_request = format!("what=\"drop the request to join\" whom=\"{name} (worker), key sha256:");
            let why = format!("reason=\"token {} {because}", token.id());
            assert!(
                told.iter().any(|line| line.contains(&of_the_request) && line.contains(&why)),
                "{of_the_request} in {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_node_that_waits_is_named_where_it_is_refused_in_the_end_and_not_each_time_it_asks() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let reply = hello(&desk.issuer, &joiner, &channel()).await.unwrap();
    send_any(&desk.issuer, joiner.prove(&channel(), &reply).unwrap(), &channel()).await.unwrap();
    let asks = |channel| {
        let wait = CertRequest::Wait(Wait { nonce: reply.nonce });
        desk.issuer.answer(wait, channel, "10.0.0.9:40000".parse().unwrap())
    };
    desk.approve("w").await.unwrap();
    let decided = asks(channel()).await;
    assert!(matches!(&decided.outcome, Ok(CertReply::Waiting(told)) if told.decided));
    assert_eq!(decided.node_id, None);
    desk.changes_the_root().await;
    let refused = asks(channel()).await;
    assert_eq!(refused.outcome.unwrap_err(), Refused::Token(TokenRefused::OldRoot));
    assert_eq!(refused.node_id, Some(id("w")));
    let elsewhere = asks(ChannelBinding::from_bytes([8; 32])).await;
    assert_eq!((elsewhere.node_id, elsewhere.outcome.unwrap_err()), (None, Refused::UnknownAttempt));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_of_a_decision_and_of_a_revocation_at_once_and_otherwise_after_a_while() {
    for decision in ["approve", "deny", "revoke"] {
        let desk = desk();
        let token = desk.manual_token(1).await;
        let joiner = desk.worker(&token, "w", "10.0.0.9");
        let reply = hello(&desk.issuer, &joiner, &channel()).await.unwrap();
        let prove = joiner.prove(&channel(), &reply).unwrap();
        let wait = || CertRequest::Wait(Wait { nonce: reply.nonce });
        let early = desk.say(wait(), channel()).await.unwrap_err();
        assert_eq!(early, Refused::UnknownAttempt, "before it has proved itself");
        send_any(&desk.issuer, prove, &channel()).await.unwrap();
        let elsewhere = ChannelBinding::from_bytes([8; 32]);
        assert_eq!(desk.say(wait(), elsewhere).await.unwrap_err(), Refused::UnknownAttempt);

        let began = tokio::time::Instant::now();
        let told = desk.say(wait(), channel()).await.unwrap();
        assert!(matches!(told, CertReply::Waiting(told) if !told.decided));
        assert!(began.elapsed() >= Duration::from_secs(5), "the answer was held back");

        let shown = desk.shown("w").unwrap();
        let decide = async {
            match decision {
                "approve" => desk.issuer.approve(shown).await.unwrap(),
                "deny" => desk.issuer.deny(shown, Reason::default()).await.unwrap(),
                _ => drop(desk.issuer.revoke_token(token.id(), Reason::default()).await.unwrap()),
            }
        };
        let (told, ()) = tokio::join!(desk.say(wait(), channel()), decide);
        assert!(matches!(told.unwrap(), CertReply::Waiting(told) if told.decided), "{decision}");
    }
}

#[tokio::test]
async fn requests_are_bounded_and_one_that_finds_no_room_uses_nothing() {
    let desk = desk();
    let token = desk.manual_token(300).await;
    for n in 0..MAX_WAITING {
        desk.waits(&desk.worker(&token, &format!("w{n}"), "10.0.0.9")).await;
    }
    let left = desk.left(&token);
    let late = desk.worker(&token, "late", "10.0.0.8");
    let full = desk.ask(&late).await.unwrap_err();
    assert_eq!(full, Refused::TooManyWait { max: MAX_WAITING });
    assert!(full.to_string().contains("`p2p node pending`") && full.to_string().contains("was not used"), "{full}");
    assert_eq!(desk.left(&token), left);
    desk.issuer.deny(desk.shown("w7").unwrap(), Reason::default()).await.unwrap();
    desk.waits(&late).await;
    // What became of requests is remembered for a while, and then not kept in the store, either.
    desk.pass(WAITS * 3);
    let fresh = desk.manual_token(1).await;
    desk.waits(&desk.worker(&fresh, "fresh", "10.0.0.7")).await;
    assert_eq!(desk.vault.list(FOLDER).unwrap().len(), 1);
}

#[tokio::test]
async fn a_disk_that_is_full_notes_nothing_approves_nothing_and_uses_nothing() {
    let desk = desk();
    let token = desk.manual_token(1).await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    desk.vault.full.store(true, SeqCst);
    assert!(matches!(desk.ask(&joiner).await.unwrap_err(), Refused::Unavailable { .. }));
    desk.vault.full.store(false, SeqCst);
    assert_eq!(desk.left(&token), 1);
    desk.waits(&joiner).await;
    desk.vault.full.store(true, SeqCst);
    assert!(matches!(desk.approve("w").await.unwrap_err(), ApprovalError::Vault(_)));
    assert!(desk.shown("w").unwrap().approved.is_none());
    desk.vault.full.store(false, SeqCst);
    desk.approve("w").await.unwrap();
    desk.comes(&joiner).await;
}

#[test]
fn the_store_is_told_of_what_has_changed_and_of_nothing_else() {
    let request = |n: u8| -> JoinRequest {
        serde_json::from_value(serde_json::json!({
            "node_id": format!("w{n}"), "role": "worker", "key": KeyHash::new([n; 32]), "token": "0000000000000001",
            "claimed": ["10.0.0.9"], "addresses": ["10.0.0.9"], "since": n, "expires": 1_000_000, "decision": { "is": "waiting" },
        }))
        .unwrap()
    };
    let before = Approvals::restored([1, 2, 3].map(request));
    let mut after = before.clone();
    after.remove(&KeyHash::new([1; 32]));
    let shown = after.get(&KeyHash::new([2; 32])).unwrap().shown();
    after.deny(&shown, Reason::default(), UnixMillis(5)).unwrap();
    let changed: BTreeSet<_> = after.since(&before).map(|(key, now)| (key, now.is_some())).collect();
    assert_eq!(changed, BTreeSet::from([(KeyHash::new([1; 32]), false), (KeyHash::new([2; 32]), true)]));
    assert_eq!(before.since(&before).count(), 0);
}
