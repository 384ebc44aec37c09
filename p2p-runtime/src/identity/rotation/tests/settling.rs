//! Revocations from before a change of the root that its completion does not name.

use p2p_client::revocation::{Author, MAX_STATEMENTS, RevocationSet, Statement, StatementId};

use super::*;

fn lost() -> NodeId {
    "lost".parse().unwrap()
}

/// The first coordinator, another one that has revoked a node which the first did not hear of before the drop, and a worker that has heard of it.
async fn revoked_unheard() -> (Party, Party, Party) {
    let parties = before_the_drop();
    let (_, d, w) = &parties;
    d.revokes().await;
    w.ledger.accept(d.said()).await.unwrap();
    let old = d.said();
    let (c, d, w) = dropped(parties).await;
    // The control: as it was said, nobody who had not heard it believes it.
    assert_eq!(c.ledger.accept(old).await.unwrap().refused.len(), 1);
    (c, d, w)
}

/// The first coordinator, another one, and a worker.
fn before_the_drop() -> (Party, Party, Party) {
    let (c, w, _) = parties();
    let d = another_coordinator(&c);
    (c, d, w)
}

/// The same after a change of the root, before which the first one has heard of nothing.
async fn dropped((c, d, w): (Party, Party, Party)) -> (Party, Party, Party) {
    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    for party in [&d, &w] {
        party.hears(&c).await;
        party.reissued_by(&ca);
    }
    c.keys().complete().await.unwrap();
    for party in [&d, &w] {
        party.hears(&c).await;
    }
    (c, d, w)
}

impl Party {
    /// Revokes the node that is lost, because it was stolen.
    async fn revokes(&self) {
        let reason = "stolen".to_owned().try_into().unwrap();
        self.ledger.revoke(vec![Subject::Node { node_id: lost() }], reason).await.unwrap();
    }

    /// Lets the node that was lost in again with this key.
    fn readmits(&self, key: KeyHash) {
        let prepared = self.ledger.prepare_readmission(lost(), key).unwrap();
        self.vault.update(vec![prepared.change().unwrap()]).unwrap();
        self.ledger.take_effect(prepared);
    }

    /// What it hands out.
    fn said(&self) -> Vec<SignedStatement> {
        self.ledger.get(&self.ledger.ids())
    }

    /// Whether the node that was lost would be let in with its old key, and with the new one.
    fn lets_in(&self) -> [bool; 2] {
        let set = self.ledger.revocations().set();
        [OLD, NEW].map(|key| !set.is_revoked(&lost(), &key))
    }
}

/// The key of the node that was lost, and the one with which it came back.
const OLD: KeyHash = KeyHash::new([1; 32]);
const NEW: KeyHash = KeyHash::new([2; 32]);

#[tokio::test]
async fn of_a_node_that_was_revoked_and_readmitted_unheard_both_are_said_again_so_that_its_old_key_stays_out() {
    let parties = before_the_drop();
    let (_, d, w) = &parties;
    d.revokes().await;
    d.readmits(NEW);
    w.ledger.accept(d.said()).await.unwrap();
    let (c, d, w) = dropped(parties).await;
    assert_eq!(c.lets_in(), [true, true], "the control: it has heard of nothing");
    assert_eq!((d.ledger.settle().await.unwrap(), w.ledger.settle().await.unwrap()), (0, 2));
    for party in [&c, &w] {
        assert_eq!(party.ledger.accept(d.said()).await.unwrap().fresh.len(), 2);
        assert_eq!(party.ledger.settle().await.unwrap(), 0);
    }
    for party in [c, d, w].map(Party::restarted) {
        assert_eq!(party.lets_in(), [false, true]);
        assert_eq!(party.ledger.revocations().set().len(), 2, "nothing old is left");
    }
}

#[tokio::test]
async fn a_revocation_of_a_node_that_others_have_readmitted_before_is_said_again() {
    let parties = before_the_drop();
    let (c, d, w) = &parties;
    c.revokes().await;
    c.readmits(NEW);
    for party in [d, w] {
        party.ledger.accept(c.said()).await.unwrap();
    }
    d.revokes().await;
    let (c, d, w) = dropped(parties).await;
    assert_eq!((c.lets_in(), d.lets_in()), ([false, true], [false, false]), "the control: one has not heard of it");
    assert_eq!(d.ledger.settle().await.unwrap(), 0);
    for party in [&c, &w] {
        party.ledger.accept(d.said()).await.unwrap();
    }
    for party in [c, d, w] {
        assert_eq!(party.lets_in(), [false, false]);
        assert_eq!(party.ledger.revocations().set().len(), 3);
    }
}

#[tokio::test]
async fn a_readmission_that_the_cluster_knows_is_said_after_a_revocation_that_it_does_not_know() {
    let parties = before_the_drop();
    let (c, d, w) = &parties;
    d.revokes().await;
    w.ledger.accept(d.said()).await.unwrap();
    // Its word alone reaches the first coordinator before the drop, and is named by the completion.
    d.readmits(NEW);
    let revoked = w.said();
    let readmitted = d.said().into_iter().filter(|said| !revoked.contains(said)).collect();
    assert_eq!(c.ledger.accept(readmitted).await.unwrap().fresh.len(), 1);
    let (c, d, w) = dropped(parties).await;
    assert_eq!((c.lets_in(), d.lets_in()), ([true, true], [false, true]), "the control: one knows of no revocation");
    assert_eq!(d.ledger.settle().await.unwrap(), 0);
    for party in [&c, &w] {
        party.ledger.accept(d.said()).await.unwrap();
        assert_eq!(party.ledger.settle().await.unwrap(), 0);
        assert_eq!((party.lets_in(), party.ledger.digest()), ([false, true], d.ledger.digest()));
    }
}

#[tokio::test]
async fn what_a_readmission_has_ended_is_forgotten_also_by_a_worker_and_not_looked_at_for_ever() {
    let parties = before_the_drop();
    let (c, d, w) = &parties;
    d.revokes().await;
    w.ledger.accept(d.said()).await.unwrap();
    c.revokes().await;
    c.readmits(NEW);
    w.ledger.accept(c.said()).await.unwrap();
    let (c, _d, w) = dropped(parties).await;
    assert_eq!(w.lets_in(), [false, true]);
    assert_eq!(w.ledger.settle().await.unwrap(), 0, "what the first coordinator has said comes to the same");
    assert_eq!((w.lets_in(), w.ledger.digest()), ([false, true], c.ledger.digest()));
}

#[tokio::test]
async fn what_nobody_else_would_believe_is_not_handed_out_and_makes_no_difference() {
    let (c, _d, w) = revoked_unheard().await;
    assert_ne!(w.ledger.digest(), c.ledger.digest(), "the control: it was not looked yet");
    let old = w.said();
    assert_eq!(old.len(), 1);
    w.ledger.set_aside().await;
    assert_eq!((w.ledger.digest(), w.ledger.ids()), (c.ledger.digest(), c.ledger.ids()));
    assert!(w.ledger.get(&[old[0].id()]).is_empty());
    assert_eq!(w.lets_in(), [false, false], "it stays in force here");
}

#[tokio::test]
async fn what_is_in_force_at_whoever_completes_the_next_change_is_believed_and_handed_out_after_it() {
    let (c, d, _w) = revoked_unheard().await;
    d.ledger.set_aside().await;
    assert!(d.said().is_empty());
    d.keys().take_over(c.keys().to_share("d".parse().unwrap()).await.unwrap()).await.unwrap();
    d.keys().begin(false).await.unwrap();
    let ca = d.issuing().await;
    c.hears(&d).await;
    for party in [&c, &d] {
        party.reissued_by(&ca);
    }
    d.keys().complete().await.unwrap();
    c.hears(&d).await;
    d.ledger.set_aside().await;
    assert_eq!(c.ledger.accept(d.said()).await.unwrap().fresh.len(), 1);
    assert_eq!(c.ledger.digest(), d.ledger.digest());
}

#[tokio::test]
async fn what_a_coordinator_revoked_unheard_before_the_drop_is_said_again_and_all_come_to_have_the_same() {
    let (c, d, w) = revoked_unheard().await;
    assert_eq!(w.ledger.settle().await.unwrap(), 1, "a worker keeps it until somebody has said it again");
    assert!(w.ledger.revocations().set().revoked_at(&lost()).is_some());
    assert_eq!(d.ledger.settle().await.unwrap(), 0);
    let said = d.said();
    assert_eq!(said.len(), 1);
    for party in [&c, &w] {
        assert_eq!(party.ledger.accept(said.clone()).await.unwrap().fresh.len(), 1);
        assert_eq!(party.ledger.settle().await.unwrap(), 0);
    }
    for party in [c, d, w].map(Party::restarted) {
        assert!(party.ledger.revocations().set().revoked_at(&lost()).is_some());
        assert_eq!(party.ledger.ids(), said.iter().map(SignedStatement::id).collect::<Vec<_>>());
    }
}

/// As if somebody had revoked so many that there is no room for another.
fn fill(ledger: &Ledger) {
    let mut set = RevocationSet::clone(&ledger.revocations().set());
    let by = Author { node_id: "thief".parse().unwrap(), key: KeyHash::new([9; 32]) };
    set.extend((set.len()..MAX_STATEMENTS).map(|n| {
        let subject = Subject::Node { node_id: format!("w{n}").parse().unwrap() };
        let statement = Statement { subject, at: UnixMillis(1), by: by.clone(), reason: Reason::default() };
        (StatementId::of(&statement.encode().unwrap()), statement)
    }));
    ledger.revocations().replace(set);
}

#[tokio::test]
async fn what_has_to_be_said_again_is_said_and_taken_in_where_there_is_no_room_for_more() {
    let (_c, d, w) = revoked_unheard().await;
    for party in [&d, &w] {
        fill(&party.ledger);
    }
    let full = d.ledger.revoke(vec![Subject::Node { node_id: "another".parse().unwrap() }], Reason::default()).await;
    assert!(full.is_err(), "the control: there is no room");
    assert_eq!((d.ledger.settle().await.unwrap(), w.ledger.settle().await.unwrap()), (0, 1));
    let taken = w.ledger.accept(d.said()).await.unwrap();
    assert_eq!((taken.fresh.len(), taken.without_room), (1, 0));
    assert_eq!(w.ledger.settle().await.unwrap(), 0);
    for party in [&d, &w] {
        assert_eq!(party.ledger.revocations().set().len(), MAX_STATEMENTS, "it has taken the place of what was said before");
        assert_eq!(party.lets_in(), [false, false]);
    }
    assert_eq!(d.ledger.digest(), w.ledger.digest());
}

#[tokio::test]
async fn where_there_is_no_room_nothing_but_what_is_said_again_is_taken_in_and_that_once() {
    let (c, d, w) = revoked_unheard().await;
    fill(&w.ledger);
    assert_eq!(w.ledger.settle().await.unwrap(), 1);
    c.ledger.revoke(vec![Subject::Node { node_id: "another".parse().unwrap() }], Reason::default()).await.unwrap();
    assert_eq!(w.ledger.accept(c.said()).await.unwrap().without_room, 1);
    d.ledger.settle().await.unwrap();
    c.revokes().await;
    let both = [d.said(), c.said()].concat();
    let taken = w.ledger.accept(both).await.unwrap();
    assert_eq!((taken.fresh.len(), taken.without_room), (1, 2));
}

#[tokio::test]
async fn the_audit_log_tells_what_was_said_again_and_that_the_old_words_were_forgotten() {
    let (_c, d, w) = revoked_unheard().await;
    let lines = AuditLines::capture();
    assert_eq!((w.ledger.settle().await.unwrap(), lines.take().len()), (1, 0), "what stays as it is, is not told");
    d.ledger.settle().await.unwrap();
    let [again, forgotten] = &*lines.take() else { panic!("two lines") };
    assert_eq!(w.ledger.accept(d.said()).await.unwrap().fresh.len(), 1);
    for part in ["who=\"node c-2 (coordinator)\"", "what=\"revoke\"", "whom=\"node lost\"", "from=\"here\"", "reason=\"stolen\""]
    {
        assert!(again.contains(part), "{part} in {again}");
    }
    assert!(forgotten.contains("what=\"forget what was revoked under an old root\" whom=\"1 revocations\""), "{forgotten}");
}

#[tokio::test]
async fn the_audit_log_tells_that_a_readmission_was_said_again() {
    let parties = before_the_drop();
    parties.1.revokes().await;
    parties.1.readmits(NEW);
    let (_c, d, _w) = dropped(parties).await;
    let lines = AuditLines::capture();
    d.ledger.settle().await.unwrap();
    let [first, second, _forgotten] = &*lines.take() else { panic!("three lines") };
    assert!(first.contains("what=\"revoke\" whom=\"node lost\""), "{first}");
    assert!(second.contains("what=\"readmit\"") && second.contains("lost"), "{second}");
}

/// What is shown to coordinators by a worker that alone knows of the revocation.
async fn shown_by(w: &Party) -> Vec<SignedStatement> {
    assert_eq!(w.ledger.settle().await.unwrap(), 1, "it cannot say it itself");
    w.ledger.to_be_said_again()
}

#[tokio::test]
async fn what_a_worker_alone_knows_is_said_again_by_a_coordinator_that_knows_who_said_it_and_by_no_other() {
    let (c, d, w) = revoked_unheard().await;
    let shown = shown_by(&w).await;
    let taken_up = c.ledger.take_up(shown.clone()).await.unwrap();
    assert_eq!((taken_up.again.len(), taken_up.open.len()), (0, 1), "the control: its author may be anybody");
    assert!(w.ledger.take_up(shown.clone()).await.is_err(), "a worker says nothing again");

    let chain = d.shown();
    c.roots().witness(&d.identity.peer().node_id, &chain[0], &chain[1..]);
    let taken_up = c.ledger.take_up(shown.clone()).await.unwrap();
    assert_eq!((taken_up.again.len(), taken_up.open.len()), (1, 0));
    assert_eq!(
        (taken_up.again[0].by.node_id.clone(), taken_up.again[0].reason.as_str()),
        (c.identity.peer().node_id.clone(), "stolen")
    );
    assert_eq!(c.lets_in(), [false, false]);
    let again = c.ledger.take_up(shown).await.unwrap();
    assert!(again.again.is_empty() && again.open.is_empty(), "it is in force");
    w.ledger.accept(c.said()).await.unwrap();
    assert_eq!(w.ledger.settle().await.unwrap(), 0);
    assert!(w.ledger.to_be_said_again().is_empty());
}

#[tokio::test]
async fn a_node_that_was_let_in_again_is_not_put_out_by_what_was_said_before() {
    let (c, d, w) = revoked_unheard().await;
    let unheard = shown_by(&w).await;
    for coordinator in [&c, &d] {
        let chain = coordinator.shown();
        c.roots().witness(&coordinator.identity.peer().node_id, &chain[0], &chain[1..]);
    }
    c.revokes().await;
    let own = c.said();
    c.readmits(NEW);
    assert_eq!(c.lets_in(), [false, true]);
    let taken_up = c.ledger.take_up(own).await.unwrap();
    assert!(taken_up.again.is_empty() && taken_up.open.is_empty(), "it is known: {taken_up:?}");
    let taken_up = c.ledger.take_up(unheard).await.unwrap();
    assert_eq!((taken_up.again.len(), taken_up.open.len()), (0, 1), "for its operator");
    assert_eq!(c.lets_in(), [false, true]);
}

#[tokio::test]
async fn whom_only_the_dropped_root_has_certified_is_no_coordinator_whose_words_are_said_again() {
    let parties = before_the_drop();
    let (c, d, w) = &parties;
    d.revokes().await;
    w.ledger.accept(d.said()).await.unwrap();
    let (name, chain) = (d.identity.peer().node_id.clone(), d.shown());
    c.roots().witness(&name, &chain[0], &chain[1..]);
    assert!(c.roots().coordinator_seen(&name).is_some(), "the control");
    let (c, _d, w) = dropped(parties).await;
    assert_eq!(c.roots().coordinator_seen(&name), None);
    let taken_up = c.ledger.take_up(shown_by(&w).await).await.unwrap();
    assert_eq!((taken_up.again.len(), taken_up.open.len()), (0, 1), "for its operator");
}

#[tokio::test]
async fn what_somebody_else_signed_or_a_revoked_coordinator_said_is_not_said_again_by_itself() {
    let (c, d, w) = revoked_unheard().await;
    let shown = shown_by(&w).await;
    let (name, chain) = (d.identity.peer().node_id.clone(), d.shown());
    c.roots().witness(&name, &chain[0], &chain[1..]);
    // Other words under the same signature.
    let text = String::from_utf8(shown[0].text.to_vec()).unwrap().replace("lost", "good");
    let changed = SignedStatement { text: text.into_bytes().into(), ..shown[0].clone() };
    let taken_up = c.ledger.take_up(vec![changed]).await.unwrap();
    assert!(taken_up.again.is_empty() && taken_up.open.is_empty(), "{taken_up:?}");
    // By its author's name, with a key that whoever has the old root's key has certified.
    let thief = another_coordinator(&c);
    assert_eq!(thief.identity.peer().node_id, name);
    let by = Author { node_id: name.clone(), key: thief.identity.key().public().thumbprint().into() };
    assert_ne!(Some(by.key), c.roots().coordinator_seen(&name));
    thief.revokes().await;
    let forged = thief.said();
    let taken_up = c.ledger.take_up(forged).await.unwrap();
    assert_eq!((taken_up.again.len(), taken_up.open.len()), (0, 1));

    c.ledger.revoke(vec![Subject::Node { node_id: name }], Reason::default()).await.unwrap();
    let taken_up = c.ledger.take_up(shown).await.unwrap();
    assert_eq!((taken_up.again.len(), taken_up.open.len()), (0, 1), "for its operator");
    assert_eq!(c.lets_in(), [true, true]);
}
