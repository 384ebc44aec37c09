//! Requests that wait at a coordinator, for its disk or for another coordinator that does not answer.

use std::sync::mpsc;

use tokio::{sync::oneshot, task::JoinHandle, time::advance};

use super::*;
use crate::identity::NodeIdentity;

/// More than a request may wait, and less than a certificate lives.
const TOO_LONG: Duration = Duration::from_secs(13);

impl Coordinator {
    /// Has the renewal of another node hang here, at the disk, until what this gives is dropped.
    async fn hangs(&self, other: NodeIdentity) -> (mpsc::Sender<()>, JoinHandle<Result<RenewReply, Refused>>) {
        let (begun, has_begun) = oneshot::channel();
        let (hold, until) = mpsc::channel::<()>();
        let hang = move || {
            begun.send(()).unwrap();
            let _ = until.recv();
        };
        *self.vault.after.lock().unwrap() = Some(("ca/nodes/".to_owned(), Box::new(hang)));
        let issuer = self.issuer.clone();
        let renewed = tokio::spawn(async move { issuer.renew(renewal(other.key()), other.chain()).await });
        has_begun.await.unwrap();
        (hold, renewed)
    }

    /// Waits until it has asked the others so often.
    async fn has_asked(&self, times: usize) {
        self.others.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn case_34_a_renewal_that_waits_until_the_node_has_given_up_is_not_written_and_the_node_goes_on_at_another_coordinator() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let (hold, _) = two.first.hangs(worker(&two.first.vault, "v")).await;
    let (issuer, request, shown) = (two.first.issuer.clone(), renewal(w.key()), w.chain().to_vec());
    let waits = tokio::spawn(async move { issuer.renew(request, &shown).await });
    two.first.has_asked(2).await;
    advance(TOO_LONG).await;
    let renewed = two.second.renew(w.key(), w.chain()).await.expect("the node has given up, and asks another one");
    drop(hold);
    let said = waits.await.unwrap().unwrap_err();
    assert!(matches!(said, Refused::TooLate { .. }) && !said.is_final(), "{said}");
    let text = said.to_string();
    assert!(text.contains("after more than 12 s") && text.contains("try again in a minute"), "{text}");
    assert!(two.first.issuer.issued(&"w".parse().unwrap()).unwrap().is_none());
    two.pass(MORE_THAN_LOST);
    let again = two.first.renew(w.key(), &renewed).await.expect("its last certificate");
    two.second.renew(w.key(), &again).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_join_that_waits_until_the_node_has_given_up_uses_nothing_up_and_leaves_nothing() {
    let two = Two::new().await;
    let (token, key) = (two.first.token().await, NodeKey::generate().unwrap());
    let (hold, _) = two.first.hangs(worker(&two.first.vault, "v")).await;
    let (issuer, joiner) =
        (two.first.issuer.clone(), joiner_in(&two.world, &token, "w", Role::Worker, &["10.0.0.9"], key.clone()));
    let waits = tokio::spawn(async move { attempt(&issuer, &joiner).await });
    two.first.has_asked(2).await;
    advance(TOO_LONG).await;
    drop(hold);
    let said = waits.await.unwrap().unwrap_err();
    assert!(matches!(said, Refused::TooLate { .. }), "{said}");
    assert!(two.first.issuer.issued(&"w".parse().unwrap()).unwrap().is_none());
    assert_eq!(two.first.issuer.tokens()[0].uses_left, 9);
    two.join(&two.first, &token, "w", &key).await.expect("it tries again");
}

#[tokio::test(start_paused = true)]
async fn a_node_has_one_renewal_under_way_at_a_coordinator_and_another_one_asks_nobody() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let (hold, first) = two.first.hangs(w.clone()).await;
    let said = two.first.renew(w.key(), w.chain()).await.unwrap_err();
    assert_eq!(said, Refused::UnderWay { node_id: w.peer().node_id.clone() });
    assert!(said.to_string().contains("another renewal of w is under way at this coordinator; try again in a minute"), "{said}");
    assert_eq!(*two.first.others.asked.borrow(), 1);
    drop(hold);
    let RenewReply::Issued(renewed) = first.await.unwrap().unwrap() else { panic!("nothing is new") };
    two.first.renew(w.key(), &renewed.chain()).await.unwrap();
}

#[tokio::test]
async fn where_another_coordinator_does_not_answer_nobody_is_certified_and_the_refusal_names_it() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let token = two.first.token().await;
    two.first.others.is_silent.store(true, Ordering::SeqCst);
    let key = NodeKey::generate().unwrap();
    let renewal = two.first.renew(w.key(), w.chain()).await.unwrap_err();
    let join = two.join(&two.first, &token, "v", &key).await.unwrap_err();
    for (said, name) in [(&renewal, "w"), (&join, "v")] {
        let text = said.to_string();
        assert!(
            text.contains(&format!("coordinator-3 did not say whether {name} has another key or a newer certificate")),
            "{text}"
        );
        assert!(
            text.contains("try again in a minute") && text.contains("or is of an earlier version: upgrade it; or stop it"),
            "{text}"
        );
        assert!(!said.is_final(), "another coordinator may be able to ask it");
        assert!(two.first.issuer.issued(&name.parse().unwrap()).unwrap().is_none());
    }
    two.first.others.is_silent.store(false, Ordering::SeqCst);
    two.first.renew(w.key(), w.chain()).await.unwrap();
    two.join(&two.first, &token, "v", &key).await.expect("no use of the token was taken");
}
