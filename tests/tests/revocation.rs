//! Nodes and tokens that are taken back while the cluster runs: who is cut off, when, and how one comes back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{
    Cluster, Member, Plan, copy_folder, identity,
    probe::{Probe, ProbeProxyExt},
    sees, soon, token,
    web::Web,
    worker_ip,
};
use p2p_client::{
    protocol::UnixMillis,
    revocation::{Author, KeyHash, Reason, RevocationSet, Statement, StatementId, Subject},
    wire::dial::{Dial, PeerRef, TlsDial},
};
use p2p_runtime::{
    identity::{JoinError, Refused, TokenOptions, TokenRefused},
    network::Members,
    node::{JoinClusterOptions, NodeError},
};
use p2p_services::prelude::*;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

/// Longer than anything that is promised here.
const SECOND: Duration = Duration::from_secs(1);

fn status(node: &Node, id: &str) -> Option<NodeStatus> {
    node.members().members().get(&id.parse().unwrap()).map(|info| info.status)
}

fn is(id: &'static str, wanted: NodeStatus) -> impl Fn(&Members) -> bool {
    move |members| members.get(&id.parse().unwrap()).map(|info| info.status) == Some(wanted)
}

/// Revokes a node, as `p2p node revoke` does.
async fn revoke(coordinator: &Node, id: &str) -> Vec<Statement> {
    let node_id: NodeId = id.parse().unwrap();
    let bound = coordinator.issuer().unwrap().issued(&node_id).unwrap();
    let subjects = [Subject::Node { node_id }].into_iter().chain(bound.map(|bound| Subject::Key { key: bound.key.into() }));
    let reason = Reason::try_from("a test".to_owned()).unwrap();
    soon(coordinator.ledger().revoke(subjects.collect(), reason)).await.unwrap()
}

/// Waits until a node knows that another is revoked.
async fn knows(node: &Node, id: &str) {
    let node_id: NodeId = id.parse().unwrap();
    let mut changes = node.ledger().revocations().subscribe();
    soon(async {
        while node.ledger().revocations().set().revoked_at(&node_id).is_none() {
            changes.next().await;
        }
    })
    .await;
}

fn members_named(node: &Node, capability: &'static str) -> bool {
    node.members().members().by_capability(&capability.into()).next().is_some()
}

fn knows_already(node: &Node, id: &str) -> bool {
    node.ledger().revocations().set().revoked_at(&id.parse().unwrap()).is_some()
}

/// What comes of a new connection from one node to another: both ends have their say, since a client is through before the server has looked.
async fn connects(cluster: &Cluster, from: &Member, to: &Member) -> bool {
    let dial = TlsDial::new(Arc::new(cluster.host(from.ip)), identity(from).client_tls());
    let peer = PeerRef { node_id: to.id().clone(), authority: to.authority().into() };
    let Ok(mut dialled) = soon(dial.dial(&peer)).await else { return false };
    // Nothing is said to a refused client but goodbye; an accepted one may wait for ever.
    let mut byte = [0];
    timeout(SECOND, tokio::io::AsyncReadExt::read(&mut dialled.stream, &mut byte))
        .await
        .map_or(true, |read| read.is_ok_and(|count| count > 0))
}

#[tokio::test(start_paused = true)]
async fn a_revoked_node_is_no_member_any_more_for_anybody() {
    let (_cluster, coordinator, workers) = Cluster::of(2).await;
    let began = Instant::now();
    let made = revoke(&coordinator, "worker-2").await;
    assert_eq!(made.len(), 2, "the node, and its key");
    for node in [&*coordinator, &*workers[0]] {
        sees(node, is("worker-2", NodeStatus::Revoked)).await;
    }
    println!("revoked for all after {:?}", began.elapsed());
    let error = coordinator.proxy().probe().on("worker-2").look().await.unwrap_err();
    assert_eq!(error.to_string(), "no route: node worker-2 was revoked; calls go to members that are alive");
    assert!(workers[0].proxy().probe().on("worker-2").look().await.is_err());
    assert_eq!(workers[0].proxy().probe().on("coordinator").look().await.unwrap().node, "coordinator");
    // It stays so, whatever the node does.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(status(&coordinator, "worker-2"), Some(NodeStatus::Revoked));
    assert_eq!(status(&workers[0], "worker-2"), Some(NodeStatus::Revoked));
    assert_eq!(coordinator.ledger().digest(), workers[0].ledger().digest());
    let error = workers[1].proxy().probe().on("worker-1").look().await.unwrap_err();
    println!("the revoked node is told: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_node_comes_back_with_a_new_key_by_a_token_that_names_it() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let two = cluster.worker(Plan::worker(2).with("old"), &coordinator).await;
    // It has started often and said much: with a new store it will count from one.
    let mut two = two;
    for _ in 0..2 {
        two.node.stop().await;
        two = cluster.restart(Plan::worker(2)).await;
    }
    for node in [&*coordinator, &*workers[0]] {
        sees(node, |members| members.by_capability(&"old".into()).any(|info| info.status == NodeStatus::Alive)).await;
    }
    let for_it = || TokenOptions { node_id: Some("worker-2".parse().unwrap()), ..TokenOptions::default() };
    let early = token(&coordinator, for_it()).await;
    revoke(&coordinator, "worker-2").await;
    knows(&workers[0], "worker-2").await;
    let old = identity(&two);
    two.node.stop().await;

    let plan = || Plan { id: "worker-2".to_owned(), ..Plan::worker(2) }.with("new");
    let listening: Vec<_> = [&*coordinator, &*workers[0]].map(|node| node.members().subscribe().1).into();
    let fresh = async |token| {
        std::fs::remove_dir_all(cluster.dir("worker-2")).unwrap();
        soon(cluster.join(&plan(), &coordinator.authority(), token)).await
    };
    let refused = |outcome: Result<_, NodeError>| match outcome.err() {
        Some(NodeError::Join(JoinError::Refused(refused))) => refused,
        other => panic!("{other:?}"),
    };
    let any = token(&coordinator, TokenOptions::default()).await;
    let said = refused(fresh(any).await);
    assert!(
        matches!(said, Refused::NodeRevoked { .. }) && said.to_string().contains("token create --node-id worker-2"),
        "{said}"
    );
    assert!(matches!(refused(fresh(early).await), Refused::NodeRevoked { .. }), "a token from before says nothing about it");

    let named = token(&coordinator, for_it()).await;
    let enrolment = fresh(named).await.unwrap();
    let new_key = KeyHash::from(enrolment.identity.key().public().thumbprint());
    let two = cluster.start(plan(), enrolment).await;
    for node in [&*coordinator, &*workers[0]] {
        sees(node, |members| members.hosting("probe").count() == 3).await;
        assert_eq!(status(node, "worker-2"), Some(NodeStatus::Alive));
        let revocations = node.ledger().revocations();
        assert!(!revocations.is_revoked(two.id(), &new_key));
        assert!(revocations.is_revoked(two.id(), &old.key().public().thumbprint().into()), "the old key stays out");
        assert!(!members_named(node, "old") && members_named(node, "new"));
    }
    // Nobody was told in between that it is back as it was.
    for mut events in listening {
        loop {
            let event = soon(events.next()).await.unwrap();
            if event.node_id() == two.id() && event.info().status == NodeStatus::Alive {
                assert_eq!(event.info().capabilities, ["new".into()], "{event:?}");
                break;
            }
        }
    }
    assert_eq!(workers[0].proxy().probe().on("worker-2").look().await.unwrap().node, "worker-2");
    assert_eq!(two.proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_join_token_lets_nobody_in() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let token = token(&coordinator, TokenOptions::default()).await;
    assert!(coordinator.issuer().unwrap().revoke_token(token.id(), Reason::default()).await.unwrap());
    assert!(coordinator.issuer().unwrap().tokens().iter().all(|record| record.revoked));
    let options = JoinClusterOptions {
        network: Arc::new(cluster.host(worker_ip(1))),
        advertise: Some(p2p_runtime::identity::Host::Ip(worker_ip(1))),
        ..JoinClusterOptions::new(cluster.dir("w"), common::password(), coordinator.authority(), token)
    };
    let said = soon(p2p_runtime::node::join(options)).await.err().unwrap();
    assert!(matches!(&said, NodeError::Join(JoinError::Refused(Refused::Token(TokenRefused::Revoked)))), "{said}");
}

/// Paths are those of the list of security cases.
mod security {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn case_17_a_revoked_node_is_refused_by_every_node_on_new_connections() {
        let (cluster, coordinator, workers) = Cluster::of(2).await;
        let (one, two) = (&workers[0], &workers[1]);
        assert!(
            connects(&cluster, two, one).await && connects(&cluster, two, &coordinator).await,
            "control: before, it is accepted"
        );
        revoke(&coordinator, "worker-2").await;
        knows(one, "worker-2").await;
        assert!(!connects(&cluster, two, one).await && !connects(&cluster, two, &coordinator).await);
        let error = soon(one.proxy().probe().on("worker-2").look()).await.unwrap_err();
        assert!(matches!(error, CallError::NoRoute(_)), "{error}");
        assert!(connects(&cluster, one, &coordinator).await);
    }

    #[tokio::test(start_paused = true)]
    async fn case_19_open_connections_of_a_revoked_node_are_cut_in_both_directions_within_a_second_and_others_go_on() {
        let (_cluster, coordinator, workers) = Cluster::of(3).await;
        let [one, two, three] = &workers[..] else { panic!("three workers") };
        let wait = |from: &Member, to: &'static str| {
            let proxy = from.proxy();
            tokio::spawn(async move { (proxy.probe().on(to).wait().timeout(Duration::from_mins(1)).await, Instant::now()) })
        };
        let to_it = wait(one, "worker-2");
        let from_it = wait(two, "worker-3");
        let others = wait(one, "worker-3"); // the control: what nobody cuts goes on
        Probe::reached(&two.probe.begun, 1).await;
        Probe::reached(&three.probe.begun, 2).await;

        revoke(&coordinator, "worker-2").await;
        for node in [one, three] {
            knows(node, "worker-2").await;
        }
        let received = Instant::now();
        for (which, call) in [("to it", to_it), ("from it", from_it)] {
            let (outcome, ended) = soon(call).await.unwrap();
            let took = ended.saturating_duration_since(received);
            println!("a call {which} ended after {took:?}: {}", outcome.as_ref().unwrap_err());
            assert!(took <= SECOND, "{which}: {took:?}");
        }
        Probe::reached(&three.probe.dropped, 1).await;
        assert!(!others.is_finished());
        three.probe.open.send_replace(true);
        assert_eq!(soon(others).await.unwrap().0.unwrap(), "worker-3");
    }

    #[tokio::test(start_paused = true)]
    async fn case_19_calls_end_in_both_directions_when_the_authority_behind_the_certificates_is_revoked() {
        let (_cluster, _coordinator, workers) = Cluster::of(2).await;
        let [one, two] = &workers[..] else { panic!("two workers") };
        let wait = |from: &Member, to: &'static str| {
            let proxy = from.proxy();
            tokio::spawn(async move { proxy.probe().on(to).wait().timeout(Duration::from_mins(1)).await })
        };
        let (to_it, from_it) = (wait(one, "worker-2"), wait(two, "worker-1"));
        Probe::reached(&two.probe.begun, 1).await;
        Probe::reached(&one.probe.begun, 1).await;
        // No coordinator would say so of its own authority; what another one says reaches a node as this.
        let revoke = |number: u8, key: KeyHash| {
            let by = Author { node_id: "another".parse().unwrap(), key: KeyHash::new([9; 32]) };
            let statement = Statement { subject: Subject::Key { key }, at: UnixMillis::now(), by, reason: Reason::default() };
            let mut set = RevocationSet::default();
            set.extend([(StatementId::from_bytes([number; 16]), statement)]);
            one.ledger().revocations().replace(set);
        };
        revoke(1, KeyHash::new([8; 32]));
        tokio::time::sleep(SECOND).await;
        assert!(!to_it.is_finished() && !from_it.is_finished(), "control: another key ends nothing");
        revoke(2, KeyHash::of_certificate(&identity(two).chain()[1]).unwrap());
        let revoked = Instant::now();
        for call in [to_it, from_it] {
            soon(call).await.unwrap().unwrap_err();
        }
        assert!(revoked.elapsed() <= SECOND, "{:?}", revoked.elapsed());
    }

    /// One node that asks another all the time, while that is off, starts and serves, until it is answered or told to stop.
    struct Asking {
        stop: Arc<AtomicBool>,
        asking: JoinHandle<bool>,
    }

    impl Asking {
        /// Stops a node, and has another ask it from then on.
        async fn since_it_stopped(cluster: &Cluster, from: &Member, to: Member) -> Self {
            let web = Web::node(cluster.host(from.ip), &to, from);
            assert!(web.is_answered().await, "control: until then it is");
            to.node.stop().await;
            Self::new(web)
        }

        fn new(web: Web) -> Self {
            let stop = Arc::<AtomicBool>::default();
            let stopped = stop.clone();
            let asking = tokio::spawn(async move {
                while !stopped.load(Relaxed) {
                    if web.is_answered().await {
                        return true;
                    }
                    tokio::time::sleep(SECOND / 200).await;
                }
                false
            });
            Self { stop, asking }
        }

        /// Whether it was answered until now.
        async fn was_answered(self) -> bool {
            self.stop.store(true, Relaxed);
            soon(self.asking).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn case_23_a_node_that_was_away_knows_what_was_revoked_before_it_serves() {
        let (cluster, coordinator, mut workers) = Cluster::of(2).await;
        let two = workers.pop().unwrap();
        let asking = Asking::since_it_stopped(&cluster, &two, workers.pop().unwrap()).await;
        revoke(&coordinator, "worker-2").await;
        let one = cluster.restart(Plan::worker(1)).await;
        assert!(!asking.was_answered().await, "it was served before that was known");
        assert!(knows_already(&one, "worker-2"), "its routes have only just opened");
        assert!(!connects(&cluster, &two, &one).await);
    }

    #[tokio::test(start_paused = true)]
    async fn case_23_control_a_node_that_can_ask_nobody_starts_with_its_old_list_and_lets_the_revoked_one_in() {
        let (cluster, coordinator, mut workers) = Cluster::of(2).await;
        let two = workers.pop().unwrap();
        let asking = Asking::since_it_stopped(&cluster, &two, workers.pop().unwrap()).await;
        revoke(&coordinator, "worker-2").await;
        cluster.network.partition(worker_ip(1), coordinator.ip);
        let one = cluster.restart(Plan::worker(1)).await;
        assert!(!knows_already(&one, "worker-2"));
        assert!(soon(asking.asking).await.unwrap(), "whoever asks all the time is answered");
        assert!(connects(&cluster, &two, &one).await);
        // Until it can ask.
        cluster.network.heal(worker_ip(1), coordinator.ip);
        knows(&one, "worker-2").await;
        assert!(!connects(&cluster, &two, &one).await);
    }

    #[tokio::test(start_paused = true)]
    async fn case_23_a_coordinator_whose_folder_is_from_before_a_revocation_learns_of_it_from_its_peers() {
        let (cluster, coordinator, workers) = Cluster::of(2).await;
        let (dir, older) = (cluster.dir("coordinator"), cluster.dir("older"));
        coordinator.node.stop().await;
        copy_folder(&dir, &older);
        let coordinator = cluster.restart(Plan::coordinator()).await;
        revoke(&coordinator, "worker-2").await;
        knows(&workers[0], "worker-2").await;
        let revoked = Web::node(cluster.host(workers[1].ip), &coordinator, &workers[1]);
        coordinator.node.stop().await;
        let asking = Asking::new(revoked);
        std::fs::remove_dir_all(&dir).unwrap();
        copy_folder(&older, &dir);

        let first = later(&cluster, workers[0].ip, coordinator.ip);
        let restored = cluster.restart(Plan::coordinator()).await;
        assert!(first.is_finished(), "the revoked node alone has said nothing of it");
        assert!(!asking.was_answered().await, "it was served before that was known");
        assert!(knows_already(&restored, "worker-2"), "its routes have only just opened");
        assert!(!connects(&cluster, &workers[1], &restored).await);
        assert!(connects(&cluster, &workers[0], &restored).await);
    }

    /// Two nodes are parted until a third has had time to answer first.
    fn later(cluster: &Cluster, a: IpAddr, b: IpAddr) -> JoinHandle<()> {
        cluster.network.partition(a, b);
        let network = cluster.network.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SECOND / 2).await;
            network.heal(a, b);
        })
    }

    #[tokio::test(start_paused = true)]
    async fn case_23_a_worker_that_a_revoked_coordinator_answers_first_knows_that_before_it_serves() {
        let (cluster, coordinator, mut workers) = Cluster::of(1).await;
        let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
        sees(&workers[0], |members| members.alive().count() == 3).await;
        let asking = Asking::since_it_stopped(&cluster, &second, workers.pop().unwrap()).await;
        // Nobody tells it.
        cluster.network.partition(coordinator.ip, second.ip);
        revoke(&coordinator, "coordinator-2").await;
        later(&cluster, worker_ip(1), coordinator.ip);
        let one = cluster.restart(Plan::worker(1)).await;
        assert!(!asking.was_answered().await, "it was served before that was known");
        assert!(knows_already(&one, "coordinator-2"));
        assert!(!connects(&cluster, &second, &one).await);
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_are_down_do_not_hold_up_a_node_that_starts() {
        let (cluster, coordinator, mut workers) = Cluster::of(3).await;
        let silent = workers.pop().unwrap();
        let timed = async || {
            let began = Instant::now();
            let one = cluster.restart(Plan::worker(1)).await;
            let took = began.elapsed();
            one.node.stop().await;
            took
        };
        workers.remove(0).node.stop().await;
        println!("all are there: {:?}", timed().await);
        workers.pop().unwrap().node.stop().await;
        let refused = timed().await;
        assert!(refused <= SECOND / 2, "somebody's machine says that nobody is there: {refused:?}");
        cluster.network.partition(worker_ip(1), silent.ip);
        let unheard = timed().await;
        println!("one refuses: {refused:?}; one is silent: {unheard:?}");
        assert!(unheard < SECOND * 2, "not until the time is over: {unheard:?}");
        cluster.network.partition(worker_ip(1), coordinator.ip);
        let alone = timed().await;
        assert!(alone >= SECOND * 2 && alone <= SECOND * 5 / 2, "the control: nobody answers, {alone:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn case_57_a_revocation_made_during_a_partition_reaches_the_other_side_when_it_ends() {
        let (cluster, coordinator, workers) = Cluster::of(3).await;
        let here = [coordinator.ip, worker_ip(1)];
        let there = [worker_ip(2), worker_ip(3)];
        for (a, b) in here.iter().flat_map(|a| there.iter().map(move |b| (*a, *b))) {
            cluster.network.partition(a, b);
        }
        // Nothing of it is on its way when the partition ends: nobody tells whom he holds for dead.
        for node in [&*coordinator, &*workers[0]] {
            sees(node, |members| is("worker-2", NodeStatus::Dead)(members) && is("worker-3", NodeStatus::Dead)(members)).await;
        }
        revoke(&coordinator, "worker-3").await;
        knows(&workers[0], "worker-3").await;
        sees(&workers[1], is("coordinator", NodeStatus::Dead)).await;
        // The control: on the other side nobody knows, and the revoked node is served.
        assert!(!knows_already(&workers[1], "worker-3"));
        assert_eq!(workers[2].proxy().probe().on("worker-2").look().await.unwrap().node, "worker-2");

        let healed = Instant::now();
        for (a, b) in here.iter().flat_map(|a| there.iter().map(move |b| (*a, *b))) {
            cluster.network.heal(a, b);
        }
        knows(&workers[1], "worker-3").await;
        println!("known on the other side {:?} after the partition", healed.elapsed());
        sees(&workers[1], is("worker-3", NodeStatus::Revoked)).await;
        assert!(!connects(&cluster, &workers[2], &workers[1]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_worker_alone_knows_as_the_coordinator_died_that_revoked_it_reaches_the_next_coordinator_and_all_others() {
        let (cluster, first, mut workers) = Cluster::of(3).await;
        let second = cluster.worker(Plan::second_coordinator(), &first).await;
        sees(&workers[0], |members| members.alive().count() == 5).await;
        let others = [second.ip, worker_ip(2), worker_ip(3)];
        for (a, b) in [first.ip, worker_ip(1)].into_iter().flat_map(|a| others.map(|b| (a, b))) {
            cluster.network.partition(a, b);
        }
        let one = workers.remove(0);
        for node in [&*first, &*one] {
            sees(node, others_are_dead).await;
        }
        revoke(&first, "worker-3").await;
        knows(&one, "worker-3").await;
        cluster.network.kill(first.ip);
        // It keeps it also while it is off.
        one.node.stop().await;
        let one = cluster.restart(Plan::worker(1)).await;
        assert!(knows_already(&one, "worker-3") && !knows_already(&second, "worker-3"), "nobody else knows");
        for other in others {
            cluster.network.heal(worker_ip(1), other);
        }
        for node in [&*second, &*workers[0]] {
            knows(node, "worker-3").await;
        }
        assert!(!connects(&cluster, &workers[1], &second).await);
    }

    fn others_are_dead(members: &Members) -> bool {
        ["coordinator-2", "worker-2", "worker-3"].into_iter().all(|id| is(id, NodeStatus::Dead)(members))
    }

    #[tokio::test(start_paused = true)]
    async fn case_59_a_restarted_coordinator_and_a_restarted_worker_keep_what_was_revoked() {
        let (cluster, coordinator, mut workers) = Cluster::of(2).await;
        revoke(&coordinator, "worker-2").await;
        knows(&workers[0], "worker-2").await;
        let two = workers.pop().unwrap();
        let digest = coordinator.ledger().digest();
        workers.pop().unwrap().node.stop().await;
        coordinator.node.stop().await;
        // Alone: there is nobody whom it could ask.
        let one = cluster.restart(Plan::worker(1)).await;
        assert_eq!(one.ledger().digest(), digest);
        assert!(!connects(&cluster, &two, &one).await);
        let coordinator = cluster.restart(Plan::coordinator()).await;
        assert_eq!(coordinator.ledger().digest(), digest);
        assert!(!connects(&cluster, &two, &coordinator).await);
    }
}
