//! Revocations from before a change of the root that its completion does not name.

use std::{
    io::{self, Write},
    sync::Mutex,
};

use p2p_client::revocation::{Author, MAX_STATEMENTS, RevocationSet, Statement, StatementId};

use super::*;

fn lost() -> NodeId {
    "lost".parse().unwrap()
}

/// The first coordinator, another one that has revoked a node which the first did not hear of before the drop, and a worker that has heard of it.
async fn revoked_unheard() -> (Party, Party, Party) {
    let (c, w, _) = parties();
    let d = another_coordinator(&c);
    let reason = "stolen".to_owned().try_into().unwrap();
    d.ledger.revoke(vec![Subject::Node { node_id: lost() }], reason).await.unwrap();
    let old = d.ledger.get(&d.ledger.ids());
    w.ledger.accept(old.clone()).await.unwrap();
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
    // The control: as it was said, nobody who had not heard it believes it.
    assert_eq!(c.ledger.accept(old).await.unwrap().refused.len(), 1);
    (c, d, w)
}

#[tokio::test]
async fn what_a_coordinator_revoked_unheard_before_the_drop_is_said_again_and_all_come_to_have_the_same() {
    let (c, d, w) = revoked_unheard().await;
    assert_eq!(w.ledger.settle().await.unwrap(), 1, "a worker keeps it until somebody has said it again");
    assert!(w.ledger.revocations().set().revoked_at(&lost()).is_some());
    assert_eq!(d.ledger.settle().await.unwrap(), 0);
    let said = d.ledger.get(&d.ledger.ids());
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
async fn what_has_to_be_said_again_is_said_where_there_is_no_room_for_more() {
    let (_c, d, _w) = revoked_unheard().await;
    fill(&d.ledger);
    let full = d.ledger.revoke(vec![Subject::Node { node_id: "another".parse().unwrap() }], Reason::default()).await;
    assert!(full.is_err(), "the control: there is no room");
    assert_eq!(d.ledger.settle().await.unwrap(), 0);
    let set = d.ledger.revocations().set();
    assert_eq!(set.len(), MAX_STATEMENTS, "it has taken the place of what was said before");
    assert!(set.revoked_at(&lost()).is_some());
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_audit_log_tells_what_was_said_again_and_that_the_old_words_were_forgotten() {
    let (_c, d, w) = revoked_unheard().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _capturing = tracing::subscriber::set_default(subscriber);
    let told = || {
        let text = String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
        text.lines().filter(|line| line.contains(" audit: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((w.ledger.settle().await.unwrap(), told().len()), (1, 0), "what stays as it is, is not told");
    d.ledger.settle().await.unwrap();
    let [again, forgotten] = &*told() else { panic!("two lines") };
    for part in ["who=\"node c-2 (coordinator)\"", "what=\"revoke\"", "whom=\"node lost\"", "from=\"here\"", "reason=\"stolen\""]
    {
        assert!(again.contains(part), "{part} in {again}");
    }
    assert!(forgotten.contains("what=\"forget what was revoked under an old root\" whom=\"1 revocations\""), "{forgotten}");
}
