//! Case 34: a node that was cloned, and is renewed by several coordinators; and what is no copy although it looks like one.

use super::*;
use crate::{
    checks::without_during,
    identity::{NodeIdentity, checks::Check},
};

#[tokio::test]
async fn case_34_what_one_coordinator_has_renewed_no_other_one_renews_and_the_original_goes_on_at_either() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let cloned = w.chain().to_vec();
    let once = two.first.renew(w.key(), &cloned).await.unwrap();
    two.pass(MORE_THAN_LOST);
    two.second.refuses_the_clone(w.key(), &cloned).await;
    two.first.refuses_the_clone(w.key(), &cloned).await;
    // By turns, at each after the other.
    let twice = two.second.renew(w.key(), &once).await.expect("its last certificate");
    two.pass(MORE_THAN_LOST);
    let thrice = two.first.renew(w.key(), &twice).await.expect("the other one has made it");
    two.pass(MORE_THAN_LOST);
    for copy in [&cloned, &once, &twice] {
        two.first.refuses_the_clone(w.key(), copy).await;
        two.second.refuses_the_clone(w.key(), copy).await;
    }
    two.second.renew(w.key(), &thrice).await.expect("the last one is good");
}

#[tokio::test]
async fn case_34_where_the_copy_is_renewed_first_the_other_is_refused_also_where_its_last_certificate_was_made() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let first = two.first.renew(w.key(), w.chain()).await.unwrap();
    two.pass(MORE_THAN_LOST);
    two.second.renew(w.key(), &first).await.expect("the copy comes first");
    two.pass(MORE_THAN_LOST);
    two.first.refuses_the_clone(w.key(), &first).await;
}

#[tokio::test]
async fn case_34_of_two_machines_with_one_key_that_go_to_different_coordinators_the_second_to_renew_is_refused() {
    let said = by_turns(&Two::new().await).await.unwrap_err();
    assert!(matches!(said, Refused::Superseded { .. }), "{said}");
}

#[tokio::test]
async fn case_34_control_coordinators_that_do_not_ask_each_other_renew_both_for_ever() {
    let two = Two::new().await;
    two.part();
    by_turns(&two).await.unwrap();
}

#[tokio::test]
async fn case_34_control_coordinators_that_ask_for_no_last_certificate_renew_both_for_ever() {
    without_during(&[Check::LastCertificate], async { by_turns(&Two::new().await).await }).await.unwrap();
}

/// Two machines with one key renew again and again, each at a coordinator of its own.
async fn by_turns(two: &Two) -> Result<(), Refused> {
    let w = worker(&two.first.vault, "w");
    let (mut original, mut copy) = (w.chain().to_vec(), w.chain().to_vec());
    for _ in 0..3 {
        original = two.first.renew(w.key(), &original).await.expect("it comes first");
        two.pass(MORE_THAN_LOST);
        copy = two.second.renew(w.key(), &copy).await?;
        two.pass(MORE_THAN_LOST);
    }
    Ok(())
}

#[tokio::test]
async fn case_34_what_was_renewed_on_both_sides_of_a_split_goes_on_for_one_of_them_only() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    two.part();
    let earlier = two.first.renew(w.key(), w.chain()).await.unwrap();
    two.pass(MORE_THAN_LOST);
    let later = two.second.renew(w.key(), w.chain()).await.expect("nobody could be asked");
    two.pass(MORE_THAN_LOST);
    two.meet();
    two.first.refuses_the_clone(w.key(), &earlier).await;
    two.second.refuses_the_clone(w.key(), &earlier).await;
    two.first.renew(w.key(), &later).await.unwrap();
}

#[tokio::test]
async fn a_node_whose_answer_was_lost_is_renewed_by_another_coordinator() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    two.first.renew(w.key(), w.chain()).await.expect("the answer is lost");
    let renewed = two.second.renew(w.key(), w.chain()).await.unwrap();
    two.pass(MORE_THAN_LOST);
    two.first.renew(w.key(), &renewed).await.unwrap();
}

#[tokio::test]
async fn case_34_a_copy_that_a_coordinators_own_record_refuses_makes_it_ask_nobody() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let once = two.first.renew(w.key(), w.chain()).await.unwrap();
    two.pass(MORE_THAN_LOST);
    let asked = || *two.first.others.asked.borrow();
    two.first.refuses_the_clone(w.key(), w.chain()).await;
    assert_eq!(asked(), 2, "the clock of another one may be behind by that much");
    two.pass(Duration::from_hours(48));
    let twice = two.first.renew(w.key(), &once).await.unwrap();
    two.pass(MORE_THAN_LOST);
    assert_eq!(asked(), 3);
    two.first.refuses_the_clone(w.key(), w.chain()).await;
    assert_eq!(asked(), 3);
    two.first.renew(w.key(), &twice).await.expect("its last certificate");
    assert_eq!(asked(), 4);
}

#[tokio::test]
async fn clocks_of_coordinators_that_differ_make_no_node_a_copy_of_itself() {
    let two = Two::new().await;
    two.first.clock.fetch_add(5 * 60_000, Ordering::SeqCst);
    let w = worker(&two.first.vault, "w");
    let mut last = two.first.renew(w.key(), w.chain()).await.unwrap();
    // Also where the one whose clock is behind did not hear of the other one's record.
    two.part();
    last = two.second.renew(w.key(), &last).await.unwrap();
    two.meet();
    for _ in 0..3 {
        last = two.second.renew(w.key(), &last).await.unwrap();
    }
    last = two.first.renew(w.key(), &last).await.unwrap();
    two.second.renew(w.key(), &last).await.unwrap();
}

const A_DAY: Duration = Duration::from_hours(24);

impl Coordinator {
    /// Notes here that the node was given another certificate so many days from now: the clock was wrong, or whoever has this coordinator lies.
    fn notes_from_ahead(&self, w: &NodeIdentity, days: u32) {
        let issued = self.clock.load(Ordering::SeqCst) + u64::try_from((A_DAY * days).as_millis()).unwrap();
        let record = serde_json::json!({
            "node_id": w.peer().node_id, "role": "worker", "key": w.key().public().thumbprint(), "token": null, "issued": issued,
            "certificate": worker(&cluster().1, "w").certificate().unwrap().hash,
        });
        self.vault.update(vec![Change::Put("ca/nodes/w.json".into(), record.to_string().into_bytes().into())]).unwrap();
    }
}

#[tokio::test]
async fn case_34_a_record_from_ahead_does_not_come_to_count_more_than_later_ones_and_copies_are_refused_by_these_at_once() {
    // Nearer than a certificate lives when the node is renewed for the first time, and further.
    for (days, renewed_at) in [(200, vec![0, 201]), (400, vec![0, 100, 401])] {
        let two = Two::new().await;
        let w = worker(&two.first.vault, "w");
        two.second.notes_from_ahead(&w, days);
        let (mut day, mut last) = (0, w.chain().to_vec());
        for at in renewed_at {
            two.pass(A_DAY * (at - day));
            day = at;
            let copy = std::mem::take(&mut last);
            last = two.first.renew(w.key(), &copy).await.unwrap_or_else(|refused| panic!("{days}, {at}: {refused}"));
            two.pass(A_DAY);
            day += 1;
            two.first.refuses_the_clone(w.key(), &copy).await;
        }
        two.second.refuses_the_clone(w.key(), w.chain()).await;
        last = two.second.renew(w.key(), &last).await.expect("its last certificate");
        two.first.renew(w.key(), &last).await.unwrap();
    }
}

#[tokio::test]
async fn case_34_what_had_to_be_later_than_a_record_from_ahead_counts_at_other_coordinators_before_its_day() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    let at = two.first.clock.load(Ordering::SeqCst);
    two.second.notes_from_ahead(&w, 200);
    let renewed = two.first.renew(w.key(), w.chain()).await.unwrap();
    let noted = two.first.issuer.issued(&w.peer().node_id).unwrap().unwrap();
    assert!(noted.issued.0 > at + u64::try_from((A_DAY * 200).as_millis()).unwrap() && noted.written().0 < at + 60_000);
    // The other one is set right, and has lost its record.
    two.second.vault.update(vec![Change::Remove("ca/nodes/w.json".into())]).unwrap();
    two.pass(A_DAY);
    two.second.refuses_the_clone(w.key(), w.chain()).await;
    two.second.renew(w.key(), &renewed).await.unwrap();
}

#[tokio::test]
async fn a_node_that_left_one_coordinator_and_joined_another_anew_is_renewed_by_both_though_a_clock_was_ahead_before() {
    let two = Two::new().await;
    let w = worker(&two.first.vault, "w");
    two.first.notes_from_ahead(&w, 330);
    two.second.renew(w.key(), w.chain()).await.unwrap();
    let node_id = &w.peer().node_id;
    two.second.issuer.note_left(node_id.clone()).await.unwrap();
    let noted = two.second.issuer.issued(node_id).unwrap().unwrap();
    assert!(noted.has_left && noted.issued > noted.written());
    // The one whose clock was ahead is set up anew, and lets the node in with another key while the other one is away.
    two.first.vault.update(vec![Change::Remove("ca/nodes/w.json".into())]).unwrap();
    two.pass(A_DAY);
    two.part();
    let key = NodeKey::generate().unwrap();
    let mut last = two.join(&two.first, &two.first.token().await, "w", &key).await.unwrap().chain();
    two.meet();
    for coordinator in [&two.second, &two.first, &two.second] {
        two.pass(A_DAY);
        last = coordinator.renew(&key, &last).await.unwrap_or_else(|refused| panic!("{refused}"));
    }
}
