//! A coordinator is taken back, with what it has issued or without it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p2p_client::{protocol::NodeId, revocation::ChainKeys, wire::tls::ChannelBinding};
use p2p_runtime::identity::{
    renewal::{RENEW_VERSION, RenewReply, RenewRequest},
    rotation::AuthorityRequest,
};

use super::*;
use common::web::Web;

/// A node that belongs to nobody's folder but its own, and is certified by hand.
fn made_by(ca: &IssuingCa, name: &str, root: &p2p_client::wire::tls::TrustedRoot) -> NodeIdentity {
    let (key, node_id) = (NodeKey::generate().unwrap(), name.parse().unwrap());
    let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses: &[] };
    NodeIdentity::new(key.clone(), ca.issue(&key.public(), &names, UnixTime::now()).unwrap(), root.clone()).unwrap()
}

/// The authority by which a coordinator issues, as a thief of its store has it.
fn stolen(from: &Member) -> IssuingCa {
    let vault = StoreVault::new(from.store().clone());
    let of = |path: &str| vault.get(path).unwrap().unwrap();
    let key = NodeKey::from_pkcs8(&of("ca/issuing.key")).unwrap();
    IssuingCa::from_parts(key, of("ca/issuing.cert").to_vec().into(), from.ledger().roots().current()).unwrap()
}

/// Whether a node lets this identity in, over TLS.
fn lets_in(at: &Member, who: &NodeIdentity) -> Result<(), String> {
    let (leaf, others) = who.chain().split_first().unwrap();
    let usage = p2p_client::wire::tls::Usage::Client;
    identity(at).material().verify(leaf, others, usage, UnixTime::now()).map_err(|error| error.to_string())?;
    let keys = ChainKeys::of(leaf, others).unwrap();
    let is_revoked = at.ledger().revocations().set().is_chain_revoked(&who.peer().node_id, &keys);
    if is_revoked { Err("revoked".to_owned()) } else { Ok(()) }
}

/// Speaks to a coordinator by what it has, as a thief does.
struct Thief<'a> {
    cluster: &'a Cluster,
    at: &'a Member,
    who: &'a NodeIdentity,
}

impl Thief<'_> {
    fn web(&self) -> Web {
        Web::with_tls(self.cluster.host(common::worker_ip(99)), self.at, self.who.client_tls())
    }

    /// Another certificate for its key, by this coordinator.
    async fn renewed(&self) -> NodeIdentity {
        let csr = self.who.key().request().unwrap();
        let ask = RenewRequest { version: RENEW_VERSION, csr, addresses: Vec::new(), nonce: None, under: None };
        let answer = self.web().post("/internal/cert-renew", serde_json::to_vec(&ask).unwrap()).await.json();
        let RenewReply::Issued(issued) = serde_json::from_value(answer.clone()).unwrap_or_else(|_| panic!("{answer}")) else {
            panic!("{answer}");
        };
        NodeIdentity::new(self.who.key().clone(), issued.chain(), self.who.root().clone()).unwrap()
    }

    /// An authority of its own, by this coordinator.
    async fn authority(&self) -> IssuingCa {
        let key = NodeKey::generate().unwrap();
        let by = &self.who.peer().node_id;
        let ask = |channel: &ChannelBinding| serde_json::to_vec(&AuthorityRequest::new(&key, by, channel).unwrap()).unwrap();
        let answer = self.web().post_bound("/internal/ca/authority", ask).await.json();
        let cert = URL_SAFE_NO_PAD.decode(answer["certificate"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap();
        IssuingCa::from_parts(key, cert.into(), self.who.root().clone()).unwrap()
    }
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<&'a str> {
    nodes.into_iter().map(NodeId::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn who_was_certified_or_given_an_authority_elsewhere_while_it_stood_on_a_stolen_one_is_named_when_that_is_revoked() {
    let log = Log::capture();
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let plan = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let three = cluster.worker(plan, &first).await;
    until("the third coordinator can issue", || three.issuer().unwrap().authority().is_some()).await;
    first.share_root_key(two.id()).await.unwrap();
    let holds = |info: &Arc<p2p_client::protocol::NodeInfo>| info.metadata.get("root_keys").is_some_and(|held| !held.is_empty());
    sees(&first, |members| members.get(two.id()).is_some_and(holds)).await;

    // Before anybody notices.
    let thief = made_by(&stolen(&two), "coordinator-9", &first.ledger().roots().current());
    let renewed = Thief { cluster: &cluster, at: &first, who: &thief }.renewed().await;
    let own = Thief { cluster: &cluster, at: &first, who: &thief }.authority().await;
    let tenth = made_by(&own, "coordinator-10", thief.root());
    let tenth = Thief { cluster: &cluster, at: &first, who: &tenth }.renewed().await;
    let eleventh = made_by(&stolen(&two), "coordinator-11", thief.root());
    let eleventh = Thief { cluster: &cluster, at: &three, who: &eleventh }.renewed().await;

    let stolen_key = two.issuer().unwrap().authority().unwrap().key;
    let revoked = first.revoke_node(two.id(), Reason::default()).await.unwrap();
    assert_eq!(names(&revoked.descended), ["coordinator-10", "coordinator-9"], "those in its own records");
    assert!(revoked.held_root_key, "what the thief may have made with that is nowhere in the records");
    let key = format!("key {stolen_key}");
    let told = ["what=\"descends from a revoked key\"", "whom=\"node coordinator-11\"", "outcome=\"pending\"", &key];
    until("the third coordinator has heard of it", || three.ledger().revocations().is_key_revoked(&stolen_key)).await;
    until("the third coordinator names those in its records", || {
        log.audit().iter().any(|line| told.iter().all(|part| line.contains(part)))
    })
    .await;
    log.one(&told);
    assert!(log.text().contains("revoke those that nobody knows"));
    // Nobody is revoked for a guess.
    for outlives in [&renewed, &tenth, &eleventh] {
        assert_eq!(lets_in(&workers[0], outlives), Ok(()));
    }

    // An operator knows none of them.
    let revoked = first.revoke_node(&"coordinator-9".parse().unwrap(), Reason::default()).await.unwrap();
    assert_eq!(names(&revoked.descended), ["coordinator-10"]);
    assert!(!revoked.held_root_key);
    for name in ["coordinator-10", "coordinator-11"] {
        first.revoke_node(&name.parse().unwrap(), Reason::default()).await.unwrap();
    }
    for outlives in [renewed, tenth, eleventh, made_by(&own, "coordinator-12", thief.root())] {
        let name = outlives.peer().node_id.clone();
        until(&format!("{name} is out"), || lets_in(&workers[0], &outlives).is_err()).await;
    }
    let again = first.revoke_node(two.id(), Reason::default()).await.unwrap();
    assert!(again.made.is_empty() && again.descended.is_empty(), "they were looked at: {:?}", again.descended);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_was_killed_before_it_named_who_descends_from_a_key_names_them_when_it_starts_and_once() {
    let log = Log::capture();
    let (cluster, first, _workers) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    let thief = made_by(&stolen(&two), "coordinator-9", &first.ledger().roots().current());
    Thief { cluster: &cluster, at: &first, who: &thief }.renewed().await;
    let stolen_key = two.issuer().unwrap().authority().unwrap().key;
    let lines = || {
        let told = ["what=\"descends from a revoked key\"", "whom=\"node coordinator-9\"", "outcome=\"pending\""];
        log.audit().iter().filter(|line| told.iter().all(|part| line.contains(part))).count()
    };
    first.revoke_node(two.id(), Reason::default()).await.unwrap();
    two.node.stop().await;
    first.node.stop().await;
    assert_eq!(lines(), 0, "the command has named it");

    let enrolment = Enrolment::open(cluster.dir("coordinator"), common::password()).await.unwrap();
    let noted = Change::Remove(format!("ca/searched/{stolen_key}"));
    StoreVault::new(enrolment.store.clone()).update(vec![noted]).unwrap();
    let first = cluster.start(Plan::coordinator(), enrolment).await;
    until("it is named", || lines() == 1).await;
    first.node.stop().await;
    let first = cluster.restart(Plan::coordinator()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(lines(), 1);
    assert!(first.ledger().revocations().is_key_revoked(&stolen_key));
}

/// Whether a coordinator that is revoked here is said to have held the root key.
async fn held(by: &Member, who: &NodeId) -> bool {
    by.revoke_node(who, Reason::default()).await.unwrap().held_root_key
}

fn says(of: &NodeId, holds: bool) -> impl Fn(&p2p_runtime::network::Members) -> bool {
    let said = |info: &Arc<p2p_client::protocol::NodeInfo>| info.metadata.get("root_keys").is_some_and(|held| !held.is_empty());
    move |members| members.get(of).is_some_and(|info| said(info) == holds)
}

/// Says that it holds no root key, as whoever has taken it over would.
async fn deny(who: &Member, to: &[&Member]) {
    who.members().update_me(|me| drop(me.metadata.insert("root_keys".to_owned(), String::new()))).await.unwrap();
    for node in to {
        sees(node, says(who.id(), false)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_once_held_the_root_key_is_known_for_it_when_it_is_revoked_whatever_it_says_by_then() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let plan = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let three = cluster.worker(plan, &first).await;
    until("the third coordinator can issue", || three.issuer().unwrap().authority().is_some()).await;
    assert!(!held(&three, &"coordinator-9".parse().unwrap()).await, "the control");
    first.share_root_key(two.id()).await.unwrap();
    for node in [&first, &three] {
        sees(node, says(two.id(), true)).await;
    }
    deny(&two, &[&first, &three]).await;
    // Also after a restart: nothing that is kept in memory is left.
    three.node.stop().await;
    let plan = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let three = cluster.restart(plan).await;
    assert!(held(&three, two.id()).await, "it has heard that two holds it, and that first gave it to two");
    assert!(held(&first, two.id()).await, "it gave it to two");
}

#[tokio::test(start_paused = true)]
async fn who_gave_the_root_key_to_a_coordinator_remembers_that_although_the_other_never_says_so() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    // It dies before it can say anything, perhaps with the key.
    cluster.network.partition(first.ip, two.ip);
    first.share_root_key(two.id()).await.unwrap_err();
    first.node.stop().await;
    let name = two.id().clone();
    two.node.stop().await;
    let first = cluster.restart(Plan::coordinator()).await;
    assert!(held(&first, &name).await);
}

#[tokio::test(start_paused = true)]
async fn case_70_the_authority_of_a_stolen_coordinator_is_revoked_with_it_and_makes_no_other_coordinator() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    sees(&first, |members| members.alive().count() == 4).await;
    let (key, root) = (two.issuer().unwrap().authority().unwrap().key, first.ledger().roots().current());
    let thief = made_by(&stolen(&two), "coordinator-9", &root);
    // The control: by taking back the name alone, another coordinator could be made up.
    assert_eq!(lets_in(&workers[0], &thief), Ok(()));
    let revoked = first.revoke_node(two.id(), Reason::default()).await.unwrap();
    assert!(revoked.is_known && revoked.kept.is_empty());
    assert!(revoked.made.iter().any(|made| made.subject == Subject::Key { key }), "{:?}", revoked.made);
    assert_eq!(revoked.stranded, [joined.id().clone()].into(), "who is out with it is named");
    for node in [&first, &workers[0]] {
        until("the authority is revoked", || node.ledger().revocations().is_key_revoked(&key)).await;
        assert!(lets_in(node, &thief).unwrap_err().contains("revoked"));
    }
    assert_eq!(looks(&workers[0], "coordinator").await.unwrap(), "coordinator");

    // Who is out with it joins again where it is, and keeps its name and key.
    let before = identity(&joined).key().public();
    joined.node.stop().await;
    let token = token(&first, TokenOptions::default()).await;
    let plan = Plan::worker(2);
    let error = soon(cluster.join(&plan, &first.authority(), token.clone())).await.err().unwrap().to_string();
    assert!(error.contains("join with --again"), "{error}");
    let options = p2p_runtime::node::JoinClusterOptions {
        advertise: Some(p2p_runtime::identity::Host::Ip(plan.ip)),
        network: Arc::new(cluster.host(plan.ip)),
        again: true,
        ..p2p_runtime::node::JoinClusterOptions::new(cluster.dir(&plan.id), common::password(), first.authority(), token)
    };
    let enrolment = soon(p2p_runtime::node::join(options)).await.unwrap().enrolment;
    let back = cluster.start(plan, enrolment).await;
    assert_eq!(identity(&back).key().public(), before);
    reaches(&workers[0], "worker-2").await;
}

/// A coordinator that will say what is not so.
async fn third(cluster: &Cluster, first: &Member) -> Member {
    let plan = Plan { id: "coordinator-3".to_owned(), ip: common::worker_ip(33), ..Plan::second_coordinator() };
    let three = cluster.worker(plan, first).await;
    until("the third coordinator can issue", || three.issuer().unwrap().authority().is_some()).await;
    three
}

/// Where a coordinator says by which authority it issues: by its certificate.
const SAID: &str = "issuing_cert";
/// Where a node would say which key that has, were that believed.
const NAMED: &str = "issuing_key";

/// Says that this certificate is that of its own authority, and that its key is, until another node has heard it.
async fn claims(liar: &Member, certificate: &[u8], heard_by: &Member) {
    let certificate = certificate.to_vec();
    let key = KeyHash::of_certificate(&certificate.clone().into()).unwrap().to_string();
    let said = URL_SAFE_NO_PAD.encode(certificate);
    let metadata = [(SAID, said), (NAMED, key)].map(|(name, value)| (name.to_owned(), value));
    let added = metadata.clone();
    liar.members().update_me(move |me| me.metadata.extend(added)).await.unwrap();
    let is_heard =
        |info: &Arc<p2p_client::protocol::NodeInfo>| metadata.iter().all(|(name, value)| info.metadata.get(name) == Some(value));
    sees(heard_by, |members| members.get(liar.id()).is_some_and(is_heard)).await;
}

/// What a node says its authority's certificate is, as another one has heard it.
fn said_by(who: &NodeId, heard_by: &Member) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(heard_by.members().members().get(who)?.metadata.get(SAID)?).ok()
}

/// Waits until another node has heard by which authority a coordinator issues.
async fn has_said(who: &Member, heard_by: &Member) {
    let own = stolen(who).certificate().to_vec();
    until("it has heard of that authority", || said_by(who.id(), heard_by).as_ref() == Some(&own)).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_says_that_anothers_key_is_its_authority_takes_nothing_with_it_and_shields_nothing() {
    let (cluster, first, workers) = Cluster::of(2).await;
    let two = second(&cluster, &first).await;
    has_said(&first, &two).await;
    let [leaf, authority] = [&identity(&first).chain()[0], stolen(&first).certificate()].map(|cert| cert.to_vec());
    claims(&workers[0], &leaf, &two).await;
    claims(&workers[1], &authority, &two).await;
    for worker in &workers {
        let own: KeyHash = identity(worker).key().public().thumbprint().into();
        let revoked = two.revoke_node(worker.id(), Reason::default()).await.unwrap();
        let made: Vec<_> = revoked.made.into_iter().map(|made| made.subject).collect();
        // (The second one has not issued its certificate, and knows its key only by its name.)
        let its_own = [Subject::Node { node_id: worker.id().clone() }, Subject::Key { key: own }];
        assert!(made.contains(&its_own[0]) && made.iter().all(|subject| its_own.contains(subject)), "{made:?}");
        assert!(!revoked.without_authority);
    }
    assert_eq!(lets_in(&two, &identity(&first)), Ok(()));
    // It is revoked by what its own coordinator has proved, whoever else has named it.
    let key = first.issuer().unwrap().authority().unwrap().key;
    let revoked = two.revoke_node(first.id(), Reason::default()).await.unwrap();
    assert!(revoked.made.iter().any(|made| made.subject == Subject::Key { key }), "{:?}", revoked.made);
    assert!(!revoked.without_authority);
}

#[tokio::test(start_paused = true)]
async fn case_71_a_stolen_coordinator_that_says_that_anothers_authority_is_its_own_does_not_take_that_with_it() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let three = third(&cluster, &first).await;
    let honest = [&first, &two].map(|node| node.issuer().unwrap().authority().unwrap().key);
    for (lie, by) in [(&first, &two), (&two, &first)] {
        claims(&three, stolen(lie).certificate(), by).await;
    }
    // The second one has no records of what the first one gave; it knows by what all say of themselves.
    two.revoke_node(three.id(), Reason::default()).await.unwrap();
    let key = three.issuer().unwrap().authority().unwrap().key;
    let revoked = first.revoke_node(three.id(), Reason::default()).await.unwrap();
    assert!(revoked.made.iter().any(|made| made.subject == Subject::Key { key }), "by its records: {:?}", revoked.made);
    assert!(honest.iter().all(|key| !first.ledger().revocations().is_key_revoked(key)));
    assert_eq!(looks(&workers[0], "coordinator").await.unwrap(), "coordinator");
}

#[tokio::test(start_paused = true)]
async fn case_71_control_who_takes_the_stolen_coordinators_word_for_its_authority_puts_out_whom_the_other_one_let_in() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let three = third(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    reaches(&workers[0], "worker-2").await;
    claims(&three, stolen(&two).certificate(), &first).await;
    first.revoke_node(three.id(), Reason::default()).await.unwrap();
    until("it is heard of", || workers[0].ledger().revocations().set().revoked_at(three.id()).is_some()).await;
    assert_eq!(lets_in(&workers[0], &identity(&joined)), Ok(()), "by the records");

    // By what the revoked one said of itself.
    let said = said_by(three.id(), &first).unwrap();
    let subjects = vec![Subject::Key { key: KeyHash::of_certificate(&said.into()).unwrap() }];
    first.ledger().revoke(subjects, Reason::default()).await.unwrap();
    until("an honest coordinator's worker is out", || lets_in(&workers[0], &identity(&joined)).is_err()).await;
    assert!(lets_in(&first, &identity(&joined)).unwrap_err().contains("revoked"));
    assert!(looks(&workers[0], "worker-2").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_another_let_in_vouches_for_itself_before_it_revokes_that_ones_authority() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    sees(&two, |members| members.alive().count() == 4).await;
    let key = first.issuer().unwrap().authority().unwrap().key;
    assert_eq!(KeyHash::of_certificate(&identity(&two).chain()[1]), Some(key), "it stands on what it is to revoke");
    has_said(&first, &two).await;
    let revoked = two.revoke_node(first.id(), Reason::default()).await.unwrap();
    assert!(revoked.kept.is_empty() && two.ledger().revocations().is_key_revoked(&key));
    assert_eq!(revoked.stranded.iter().map(ToString::to_string).collect::<Vec<_>>(), ["worker-1"]);
    until("it is believed", || joined.ledger().revocations().is_key_revoked(&key)).await;
    reaches(&joined, "coordinator-2").await;
}

/// A coordinator goes for good, and another one knows.
async fn lost(cluster: &Cluster, by: &Member, who: &Member) {
    cluster.network.kill(who.ip);
    sees(by, |members| members.get(who.id()).is_some_and(|info| info.status == p2p_client::protocol::NodeStatus::Dead)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_issued_is_kept_of_no_node_that_is_alive_or_is_no_coordinator() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let keep = async |name: &NodeId| first.revoke_lost_coordinator(name, Reason::default()).await.unwrap_err().to_string();
    let error = keep(two.id()).await;
    assert!(error.starts_with("coordinator-2 is alive") && error.contains("`p2p nodes`"), "{error}");
    let error = keep(&"coordinator-9".parse().unwrap()).await;
    assert!(error.starts_with("no coordinator of the name coordinator-9 is known here"), "{error}");
    lost(&cluster, &first, &workers[0]).await;
    let error = keep(workers[0].id()).await;
    assert!(error.starts_with("worker-1 is a worker"), "{error}");
    assert!(first.ledger().revocations().set().is_empty(), "nothing was revoked");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_a_lost_coordinator_had_let_in_again_stays_in_where_what_that_has_issued_is_kept() {
    let (cluster, first, mut workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let worker = workers.pop().unwrap();
    let node_id = worker.id().clone();
    first.revoke_node(&node_id, Reason::default()).await.unwrap();
    until("the second coordinator knows", || two.ledger().revocations().set().revoked_at(&node_id).is_some()).await;
    worker.node.stop().await;
    let token = token(&two, TokenOptions { node_id: Some(node_id.clone()), ..TokenOptions::default() }).await;
    let anew = Cluster { network: cluster.network.clone(), folder: tempfile::tempdir().unwrap() };
    let enrolment = soon(anew.join(&Plan::worker(1), &two.authority(), token)).await.unwrap();
    let back = anew.start(Plan::worker(1), enrolment).await;
    until("it is let in again", || first.ledger().revocations().set().revoked_at(&node_id).is_none()).await;
    lost(&cluster, &first, &two).await;
    let revoked = first.revoke_lost_coordinator(two.id(), Reason::default()).await.unwrap();
    let key = KeyHash::from(identity(&back).key().public().thumbprint());
    let again = Subject::Readmission { node_id: node_id.clone(), key };
    assert!(revoked.made.iter().any(|made| made.subject == again && made.by.node_id == *first.id()), "{:?}", revoked.made);
    assert_eq!(lets_in(&first, &identity(&back)), Ok(()));
    until("it has heard of all", || back.ledger().digest() == first.ledger().digest()).await;
    reaches(&first, "worker-1").await;
    let again = first.revoke_lost_coordinator(two.id(), Reason::default()).await.unwrap();
    assert!(again.made.is_empty(), "{:?}", again.made);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_revoked_as_its_coordinator_would_be_by_one_that_stands_on_another_and_who_is_out_is_named() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    sees(&two, |members| members.alive().count() == 3).await;
    let [key, own] = [&first, &two].map(|node| node.issuer().unwrap().authority().unwrap().key);
    assert_eq!(KeyHash::of_certificate(&identity(&two).chain()[1]), Some(key), "it stands on what it is to revoke");
    let revoked = two.revoke_key(key, Reason::default()).await.unwrap();
    assert_eq!(names(&revoked.stranded), ["coordinator", "worker-1"]);
    assert!(two.ledger().revocations().is_key_revoked(&key));
    // Now it stands on its own.
    let error = two.revoke_key(own, Reason::default()).await.unwrap_err().to_string();
    assert!(error.contains("stands on key") && error.contains("`p2p cert renew`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_does_not_revoke_the_key_that_it_issues_by_and_gets_another_when_another_one_does() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    sees(&two, |members| members.alive().count() == 3).await;
    let own = two.issuer().unwrap().authority().unwrap().key;
    assert_ne!(KeyHash::of_certificate(&identity(&two).chain()[1]), Some(own), "its own certificate stands on the other's");
    let error = two.revoke_key(own, Reason::default()).await.unwrap_err().to_string();
    assert!(error.contains("run the command on another coordinator") && error.contains("`p2p ca rotate`"), "{error}");
    assert!(two.ledger().revocations().set().is_empty());
    first.revoke_key(own, Reason::default()).await.unwrap();
    until("it has another", || two.issuer().unwrap().authority().is_some_and(|authority| authority.key != own)).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    assert_eq!(joined.id().as_str(), "worker-2");
    reaches(&first, "worker-2").await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_coordinator_is_revoked_without_what_it_has_issued_which_can_follow_when_its_nodes_have_other_certificates() {
    let (cluster, first, workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    let joined = cluster.worker(Plan::worker(2), &two).await;
    sees(&first, |members| members.alive().count() == 4).await;
    let key = two.issuer().unwrap().authority().unwrap().key;
    let own = KeyHash::from(identity(&two).key().public().thumbprint());
    lost(&cluster, &first, &two).await;
    let revoked = first.revoke_lost_coordinator(two.id(), Reason::default()).await.unwrap();
    assert_eq!((revoked.kept, revoked.stranded.len()), ([key].into(), 0));
    assert_eq!(names(&revoked.on_kept), ["worker-2"], "whom it would cost to revoke the key");
    let made: Vec<_> = revoked.made.into_iter().map(|made| made.subject).collect();
    assert_eq!(
        made,
        [Subject::Node { node_id: two.id().clone() }, Subject::Key { key: own }],
        "itself, and nothing that it issued"
    );
    until("the others know", || workers[0].ledger().revocations().is_key_revoked(&own)).await;
    assert!(lets_in(&workers[0], &identity(&two)).unwrap_err().contains("revoked"));
    assert_eq!(lets_in(&workers[0], &identity(&joined)), Ok(()));
    reaches(&workers[0], "worker-2").await;
    // The price: whoever has its store all the same is a coordinator of any name.
    let thief = made_by(&stolen(&two), "coordinator-9", &first.ledger().roots().current());
    assert_eq!(lets_in(&workers[0], &thief), Ok(()));

    soon(joined.renew_certificate()).await.unwrap();
    assert_ne!(KeyHash::of_certificate(&identity(&joined).chain()[1]), Some(key), "another coordinator vouches for it now");
    reaches(&first, "worker-2").await;
    let revoked = first.revoke_node(two.id(), Reason::default()).await.unwrap();
    assert_eq!(revoked.made.iter().map(|made| &made.subject).collect::<Vec<_>>(), [&Subject::Key { key }]);
    assert!(revoked.kept.is_empty());
    let again = first.revoke_lost_coordinator(two.id(), Reason::default()).await.unwrap();
    assert!(again.kept.is_empty() && again.made.is_empty(), "what is revoked stays so");
    until("the others know", || workers[0].ledger().revocations().is_key_revoked(&key)).await;
    assert!(lets_in(&workers[0], &thief).unwrap_err().contains("revoked"));
    assert_eq!(lets_in(&workers[0], &identity(&joined)), Ok(()));
    reaches(&workers[0], "worker-2").await;
}
