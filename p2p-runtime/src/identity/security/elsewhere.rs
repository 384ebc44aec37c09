//! More than one coordinator: what one knows of a node holds at all of them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::future::{BoxFuture, ready};
use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{Reason, Subject},
};
use rustls_pki_types::CertificateDer;
use tokio::{
    sync::{Barrier, oneshot, watch},
    task::JoinHandle,
    time::advance,
};

use crate::{
    checks::without_during,
    identity::{
        Approval, CertReply, Change, Issuer, IssuerOptions, JoinToken, Ledger, NodeIdentity, NodeKey, NotedElsewhere,
        OtherCoordinators, Refused, TokenOptions, Vault,
        challenge::tests::World,
        checks::Check,
        coordinators::{attempt, channel, hello, joiner_in, send_any},
        issuer::{ISSUING_CERT, ISSUING_KEY},
        join::{Issued, Seed},
        renewal::{RENEW_VERSION, RenewReply, RenewRequest},
        tests::{another_authority, cluster, ledger, worker},
        vault::tests::MemoryVault,
    },
};

/// Whoever asks after this has not lost an answer.
const MORE_THAN_LOST: Duration = Duration::from_hours(13);

/// Asks the others by looking into their stores.
#[derive(Default)]
struct ByStore {
    stores: Mutex<Vec<Arc<MemoryVault>>>,
    is_silent: AtomicBool,
    /// Where there is one, what was found is given once as many have looked.
    together: Mutex<Option<Arc<Barrier>>>,
    /// How often they were asked.
    asked: watch::Sender<usize>,
}

impl OtherCoordinators for ByStore {
    fn records_of<'a>(&'a self, node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
        self.asked.send_modify(|asked| *asked += 1);
        if self.is_silent.load(Ordering::SeqCst) {
            let coordinator = "coordinator-3".parse().unwrap();
            return Box::pin(ready(Err(Refused::Unanswered { coordinator, node_id: node_id.clone() })));
        }
        let path = format!("ca/nodes/{node_id}.json");
        let stores = self.stores.lock().unwrap();
        let found = stores.iter().filter_map(|store| store.get(&path).unwrap());
        let coordinator: NodeId = "another".parse().unwrap();
        let noted = |record| NotedElsewhere { coordinator: coordinator.clone(), record };
        let found = found.map(|record| noted(serde_json::from_slice(&record).unwrap())).collect();
        let together = self.together.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(together) = together {
                together.wait().await;
            }
            Ok(found)
        })
    }
}

struct Coordinator {
    issuer: Issuer,
    vault: Arc<MemoryVault>,
    others: Arc<ByStore>,
    clock: Arc<AtomicU64>,
}

/// Two coordinators, each with an authority of its own, which ask each other; what is revoked both know at once.
struct Two {
    first: Coordinator,
    second: Coordinator,
    ledger: Ledger,
    world: Arc<World>,
}

impl Two {
    async fn new() -> Self {
        let (identity, store) = cluster();
        let (ledger, world) = (ledger(&identity, &store), Arc::new(World::default()));
        let ca = another_authority(&store, &ledger).await;
        let theirs = Arc::new(MemoryVault::default());
        let certificate = ca.certificate().to_vec();
        let authority =
            vec![Change::Put(ISSUING_KEY.into(), ca.key().to_pkcs8()), Change::Put(ISSUING_CERT.into(), certificate.into())];
        theirs.update(authority).unwrap();
        let first = Coordinator::open("coordinator", store.clone(), &ledger, &world);
        let second = Coordinator::open("coordinator-2", theirs.clone(), &ledger, &world);
        let two = Self { first, second, ledger, world };
        two.meet();
        two
    }

    fn meet(&self) {
        *self.first.others.stores.lock().unwrap() = vec![self.second.vault.clone()];
        *self.second.others.stores.lock().unwrap() = vec![self.first.vault.clone()];
    }

    /// Each takes the other one for dead.
    fn part(&self) {
        for coordinator in [&self.first, &self.second] {
            coordinator.others.stores.lock().unwrap().clear();
        }
    }

    fn pass(&self, time: Duration) {
        for coordinator in [&self.first, &self.second] {
            coordinator.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        }
    }

    /// A worker of this name joins.
    async fn join(&self, at: &Coordinator, token: &JoinToken, name: &str, key: &NodeKey) -> Result<Issued, Refused> {
        let joiner = joiner_in(&self.world, token, name, Role::Worker, &["10.0.0.9"], key.clone());
        attempt(&at.issuer, &joiner).await
    }
}

/// Asks for another certificate, for no addresses.
fn renewal(key: &NodeKey) -> RenewRequest {
    let csr = key.request().unwrap();
    RenewRequest { version: RENEW_VERSION, csr, addresses: Vec::new(), nonce: None, under: None }
}

impl Coordinator {
    fn open(name: &str, vault: Arc<MemoryVault>, ledger: &Ledger, world: &Arc<World>) -> Self {
        let (others, clock) = (Arc::new(ByStore::default()), Arc::new(AtomicU64::new(UnixMillis::now().0)));
        let seed = Seed { node_id: name.parse().unwrap(), authority: "10.0.0.1:8001".into() };
        let usual = IssuerOptions::new(seed, vec!["10.0.0.1".parse().unwrap()], world.clone());
        let time = clock.clone();
        let now = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
        let options = IssuerOptions { others: others.clone(), clock: now, ..usual };
        let issuer = Issuer::load(vault.clone(), ledger.clone(), options).unwrap().unwrap();
        Self { issuer, vault, others, clock }
    }

    async fn token(&self) -> JoinToken {
        let options = TokenOptions { uses: 9.try_into().unwrap(), ..TokenOptions::default() };
        self.issuer.create_token(options).await.unwrap()
    }

    async fn renew(&self, key: &NodeKey, shown: &[CertificateDer<'_>]) -> Result<Vec<CertificateDer<'static>>, Refused> {
        match self.issuer.renew(renewal(key), shown).await? {
            RenewReply::Issued(issued) => Ok(issued.chain()),
            RenewReply::Challenge { .. } => panic!("nothing is new"),
        }
    }

    async fn refuses_the_clone(&self, key: &NodeKey, shown: &[CertificateDer<'_>]) {
        let said = self.renew(key, shown).await.unwrap_err();
        assert!(matches!(said, Refused::Superseded { .. }) && said.is_final(), "{said}");
        assert!(said.to_string().contains("stop the copy") && said.to_string().contains("`p2p join --again`"), "{said}");
    }
}

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

#[tokio::test]
async fn case_33_an_id_that_one_coordinator_has_bound_no_other_one_gives_away() {
    let two = Two::new().await;
    let (key, thief) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    two.join(&two.first, &two.first.token().await, "w", &key).await.unwrap();
    let token = two.second.token().await;
    let said = two.join(&two.second, &token, "w", &thief).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }) && said.to_string().contains("already belongs to another key"), "{said}");
    assert!(two.second.issuer.issued(&"w".parse().unwrap()).unwrap().is_none());
    two.join(&two.second, &token, "w", &key).await.expect("its own key");
    two.join(&two.second, &token, "v", &thief).await.expect("an id that nobody has");
}

#[tokio::test]
async fn case_33_control_a_coordinator_that_passes_over_what_others_have_bound_gives_the_thief_the_id() {
    let two = Two::new().await;
    two.join(&two.first, &two.first.token().await, "w", &NodeKey::generate().unwrap()).await.unwrap();
    let (token, thief) = (two.second.token().await, NodeKey::generate().unwrap());
    let stolen = without_during(&[Check::KeyElsewhere], two.join(&two.second, &token, "w", &thief)).await.unwrap();
    // Another check keeps him from being renewed.
    for coordinator in [&two.first, &two.second] {
        let said = coordinator.renew(&thief, &stolen.chain()).await.unwrap_err();
        assert!(matches!(said, Refused::OtherKey { .. }) && said.is_final(), "{said}");
    }
}

#[tokio::test]
async fn case_33_of_two_keys_that_get_one_id_at_two_coordinators_at_once_none_is_renewed_until_the_other_is_revoked() {
    let two = Two::new().await;
    let (one, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let tokens = [two.first.token().await, two.second.token().await];
    // Each has asked before the other has written.
    let together = Arc::new(Barrier::new(2));
    for coordinator in [&two.first, &two.second] {
        *coordinator.others.together.lock().unwrap() = Some(together.clone());
    }
    let joiner = |token, address, key: &NodeKey| joiner_in(&two.world, token, "w", Role::Worker, &[address], key.clone());
    let (at_first, at_second) = (joiner(&tokens[0], "10.0.0.9", &one), joiner(&tokens[1], "10.0.0.10", &other));
    let (first, second) = tokio::join!(attempt(&two.first.issuer, &at_first), attempt(&two.second.issuer, &at_second));
    let issued = [(&one, first.unwrap().chain()), (&other, second.unwrap().chain())];
    for coordinator in [&two.first, &two.second] {
        *coordinator.others.together.lock().unwrap() = None;
    }
    for time in [Duration::ZERO, MORE_THAN_LOST] {
        two.pass(time);
        for (key, shown) in &issued {
            for coordinator in [&two.first, &two.second] {
                let said = coordinator.renew(key, shown).await.unwrap_err();
                assert!(matches!(said, Refused::OtherKey { .. }) && said.is_final(), "{said}");
            }
        }
    }
    // The operator says which of them it is not: just the other one goes on, at either coordinator.
    let wrong = Subject::Key { key: other.public().thumbprint().into() };
    two.ledger.revoke(vec![wrong], Reason::default()).await.unwrap();
    let [(_, mut last), (_, revoked)] = issued;
    for coordinator in [&two.first, &two.second] {
        last = coordinator.renew(&one, &last).await.expect("nothing is in its way");
        coordinator.renew(&other, &revoked).await.unwrap_err();
        two.pass(MORE_THAN_LOST);
    }
}

#[tokio::test]
async fn case_33_an_id_that_was_seen_is_bound_to_the_first_key_that_was_seen_until_that_is_revoked() {
    let two = Two::new().await;
    two.part();
    let [old, new, thief] = [(); 3].map(|()| NodeKey::generate().unwrap());
    let node_id: NodeId = "w".parse().unwrap();
    let sees = async |key: &NodeKey| {
        let seen = vec![(node_id.clone(), key.public().thumbprint().into())];
        two.second.issuer.note_seen(seen).await.unwrap();
    };
    let token = two.second.token().await;
    let is_refused = async || matches!(two.join(&two.second, &token, "w", &thief).await, Err(Refused::NodeBound { .. }));
    sees(&old).await;
    sees(&thief).await;
    assert!(is_refused().await);
    // The other coordinator lets it in again.
    two.ledger.revoke(vec![Subject::Node { node_id: node_id.clone() }], Reason::default()).await.unwrap();
    two.pass(Duration::from_secs(1));
    let by_name = TokenOptions { node_id: Some(node_id.clone()), ..TokenOptions::default() };
    let named = two.first.issuer.create_token(by_name).await.unwrap();
    two.join(&two.first, &named, "w", &new).await.unwrap();
    sees(&new).await;
    assert!(is_refused().await);
    two.join(&two.second, &token, "w", &new).await.expect("its key");
}

#[tokio::test]
async fn case_33_of_nodes_that_are_noted_together_the_first_key_counts_and_a_damaged_note_keeps_none_of_the_others_out() {
    let two = Two::new().await;
    let keys = [(); 2].map(|()| NodeKey::generate().unwrap().public().thumbprint().into());
    let seen = |name: &str, key: usize| (name.parse::<NodeId>().unwrap(), keys[key]);
    let (vault, issuer) = (&two.second.vault, &two.second.issuer);
    let noted = |name: &str| vault.get(&format!("ca/seen/{name}.json")).unwrap().map(|noted| noted.to_vec());
    let is_noted = |name: &str, key: usize| noted(name) == Some(serde_json::to_vec(&keys[key]).unwrap());
    vault.update(vec![Change::Put("ca/seen/broken.json".into(), b"no key".to_vec().into())]).unwrap();
    let before = vault.updates.load(Ordering::SeqCst);
    issuer.note_seen(vec![seen("broken", 0), seen("v", 0), seen("w", 0), seen("w", 1)]).await.unwrap();
    assert!(is_noted("v", 0) && is_noted("w", 0));
    assert_eq!(noted("broken").unwrap(), b"no key");
    // Once the first key was revoked, the next one counts, also of the same second.
    two.ledger.revoke(vec![Subject::Key { key: keys[0] }], Reason::default()).await.unwrap();
    let written = vault.updates.load(Ordering::SeqCst);
    assert_eq!(written, before + 1, "the ledger writes elsewhere");
    issuer.note_seen(vec![seen("w", 0), seen("w", 1)]).await.unwrap();
    issuer.note_seen(vec![seen("w", 1)]).await.unwrap();
    assert!(is_noted("w", 1));
    assert_eq!(vault.updates.load(Ordering::SeqCst), written + 1, "what is noted is not written again");
}

#[tokio::test]
async fn a_node_that_was_let_in_again_with_another_key_is_renewed_also_where_the_old_one_is_noted() {
    let two = Two::new().await;
    let (old, new) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let node_id: NodeId = "w".parse().unwrap();
    let first = two.join(&two.first, &two.first.token().await, "w", &old).await.unwrap();
    two.second.renew(&old, &first.chain()).await.unwrap();
    two.ledger.revoke(vec![Subject::Node { node_id: node_id.clone() }], Reason::default()).await.unwrap();
    two.pass(Duration::from_secs(1));
    let by_name = TokenOptions { node_id: Some(node_id), ..TokenOptions::default() };
    let token = two.first.issuer.create_token(by_name).await.unwrap();
    let again = two.join(&two.first, &token, "w", &new).await.unwrap();
    let renewed = two.second.renew(&new, &again.chain()).await.expect("the old key is nobody's");
    two.first.renew(&new, &renewed).await.unwrap();
    let said = two.second.renew(&old, &first.chain()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeRevoked { .. }), "{said}");
}

impl Two {
    /// Lets `w` join at the second coordinator, revokes it, and lets it in again at the first one. Gives the key that it has now.
    async fn let_in_again(&self) -> NodeKey {
        let (old, new, node_id) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap(), "w".parse::<NodeId>().unwrap());
        self.join(&self.second, &self.second.token().await, "w", &old).await.unwrap();
        self.ledger.revoke(vec![Subject::Node { node_id: node_id.clone() }], Reason::default()).await.unwrap();
        self.pass(Duration::from_secs(1));
        let by_name = TokenOptions { node_id: Some(node_id), ..TokenOptions::default() };
        let named = self.first.issuer.create_token(by_name).await.unwrap();
        self.join(&self.first, &named, "w", &new).await.unwrap();
        new
    }
}

#[tokio::test]
async fn a_node_that_was_let_in_again_elsewhere_joins_by_an_ordinary_token_where_its_old_key_is_noted() {
    let two = Two::new().await;
    let new = two.let_in_again().await;
    let token = two.second.token().await;
    let said = two.join(&two.second, &token, "w", &NodeKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }), "the first one has bound it: {said}");
    two.join(&two.second, &token, "w", &new).await.expect("its old key binds nobody");
    let left = two.second.issuer.tokens().iter().find(|record| record.id == token.id()).unwrap().uses_left;
    assert_eq!(left, 8);
}

#[tokio::test]
async fn a_node_that_was_let_in_again_elsewhere_is_approved_where_its_old_key_is_noted() {
    let two = Two::new().await;
    let new = two.let_in_again().await;
    let options = TokenOptions { approval: Approval::Manual, ..TokenOptions::default() };
    let token = two.second.issuer.create_token(options).await.unwrap();
    let joiner = joiner_in(&two.world, &token, "w", Role::Worker, &["10.0.0.9"], new);
    let asks = async || {
        let reply = hello(&two.second.issuer, &joiner, &channel()).await.unwrap();
        send_any(&two.second.issuer, joiner.prove(&channel(), &reply).unwrap(), &channel()).await.unwrap()
    };
    assert!(matches!(asks().await, CertReply::Waiting(_)));
    let pending = two.second.issuer.find_pending(&"w".parse().unwrap(), None).unwrap();
    two.second.issuer.approve(pending).await.expect("its old key binds nobody");
    assert!(matches!(asks().await, CertReply::Issued(_)));
}

#[tokio::test]
async fn case_33_the_new_key_of_a_node_that_was_let_in_again_is_noted_where_the_old_one_is() {
    let two = Two::new().await;
    let new = two.let_in_again().await;
    two.second.issuer.note_seen(vec![("w".parse().unwrap(), new.public().thumbprint().into())]).await.unwrap();
    two.part();
    let token = two.second.token().await;
    let said = two.join(&two.second, &token, "w", &NodeKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }), "{said}");
    two.join(&two.second, &token, "w", &new).await.unwrap();
}
