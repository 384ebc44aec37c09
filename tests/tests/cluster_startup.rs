//! What a node refuses to start with, and whom a cluster refuses to let in; each with a reason that says what to do.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use common::{Cluster, Member, Plan, probe::ProbeProxyExt, sees, soon, token, web::Web, worker_ip};
use p2p_client::{revocation::Reason, wire::net::Network};
use p2p_runtime::{
    identity::{Host, IdentityError, JoinError, JoinToken, TokenOptions},
    node::{Enrolment, InitOptions, NodeError, init},
    storage::{Store, StoreError},
};
use p2p_services::prelude::*;

#[tokio::test]
async fn a_node_says_what_it_needs_to_start() {
    let error = Node::builder().start().await.unwrap_err();
    assert_eq!(error.to_string(), "a node needs its folder: .dir(…); say it to Node::builder()");
    let error = Node::builder().dir("/nowhere").start().await.unwrap_err();
    assert!(error.to_string().contains("the password of its store"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = Node::builder().dir(folder.path().join("n")).password(common::password()).start().await.unwrap_err();
    assert!(matches!(error, NodeError::NotEnrolled { .. }));
    assert!(error.to_string().contains("run `p2p init` for a new cluster, or `p2p join ADDR`"), "{error}");
    assert!(!folder.path().join("n").exists(), "looking changes nothing");
}

#[tokio::test]
async fn a_wrong_password_opens_nothing_and_changes_nothing() {
    let cluster = Cluster::new();
    drop(cluster.init(&Plan::coordinator()).await.unwrap());
    let file = cluster.dir("coordinator").join("store.p2p");
    let before = std::fs::read(&file).unwrap();
    let wrong = Password::new("a password for no tests").unwrap();
    let error = Node::builder().dir(cluster.dir("coordinator")).password(wrong).start().await.unwrap_err();
    assert!(matches!(error, NodeError::Store(StoreError::WrongPassword { .. })));
    assert!(error.to_string().starts_with(&format!("wrong password for {}: try again", file.display())), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // The right one still does.
    let node = cluster.restart(Plan::coordinator()).await;
    assert_eq!(node.id().as_str(), "coordinator");
}

#[tokio::test]
async fn a_cluster_forms_where_there_is_nothing_but_ipv6() {
    let cluster = Cluster::new();
    let at = |last: u16| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    let coordinator = cluster.coordinator(Plan { ip: at(1), ..Plan::coordinator() }).await;
    let worker = cluster.worker(Plan { ip: at(2), ..Plan::worker(1) }, &coordinator).await;
    for (node, authority) in [(&coordinator, "[fd00::1]:"), (&worker, "[fd00::2]:")] {
        assert!(node.authority().starts_with(authority), "{}", node.authority());
        sees(node, |members| members.hosting("probe").count() == 2).await;
    }
    assert_eq!(coordinator.proxy().probe().on("worker-1").look().await.unwrap().node, "worker-1");
    assert_eq!(worker.proxy().probe().on("coordinator").look().await.unwrap().node, "coordinator");
    // And again after a restart, from what is stored.
    worker.node.stop().await;
    let worker = cluster.restart(Plan { ip: at(2), ..Plan::worker(1) }).await;
    assert_eq!(worker.proxy().probe().on("coordinator").look().await.unwrap().node, "coordinator");
}

#[tokio::test]
async fn a_store_that_is_open_is_opened_by_nobody_else() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let error = Enrolment::open(cluster.dir("coordinator"), common::password()).await.err().unwrap();
    assert!(matches!(error, NodeError::Store(StoreError::Locked { .. })));
    let pid = std::process::id();
    assert!(error.to_string().contains(&format!("is in use by this process itself ({pid}): stop it first")), "{error}");
    // Nor is a cluster made where one is.
    let error = cluster.init(&Plan::coordinator()).await.err().unwrap();
    assert!(matches!(error, NodeError::Store(StoreError::Exists { .. })), "{error}");
    assert!(Web::operator(cluster.dir("coordinator")).is_served().await);
    assert_eq!(coordinator.proxy().probe().look().await.unwrap().node, "coordinator");

    // A node that has stopped has let go of it.
    coordinator.node.stop().await;
    let again = cluster.restart(Plan::coordinator()).await;
    assert!(Web::operator(cluster.dir("coordinator")).is_served().await);
    again.node.stop().await;
    Store::open(cluster.dir("coordinator"), &common::password()).unwrap();
}

#[tokio::test]
async fn a_port_that_was_named_and_is_taken_is_an_error() {
    let cluster = Cluster::new();
    let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
    let taken = cluster.host(common::COORDINATOR).listen("0.0.0.0:9000".parse().unwrap()).await.unwrap();
    let named = |builder: p2p_runtime::node::NodeBuilder| builder.listen("0.0.0.0:9000".parse().unwrap());
    let error = cluster.start_with(Plan::coordinator(), enrolment, named).await.err().unwrap();
    assert!(
        error.to_string().contains("0.0.0.0:9000 is in use by another program; stop it, or choose another port with --listen"),
        "{error}"
    );
    // Nothing of it is left: it starts once the port is free.
    drop(taken);
    let enrolment = Enrolment::open(cluster.dir("coordinator"), common::password()).await.unwrap();
    let node = cluster.start_with(Plan::coordinator(), enrolment, named).await.unwrap();
    assert_eq!(node.port(), 9000);
}

#[tokio::test]
async fn a_port_that_was_named_when_the_cluster_was_made_is_named_at_every_start() {
    let cluster = Cluster::new();
    let made = init(InitOptions {
        dir: cluster.dir("coordinator"),
        password: common::password(),
        node_id: Some("coordinator".parse().unwrap()),
        advertise: Some(Host::Ip(common::COORDINATOR)),
        listen: Some("0.0.0.0:9000".parse().unwrap()),
        capabilities: Vec::new(),
    })
    .await
    .unwrap();
    let _taken = cluster.host(common::COORDINATOR).listen("0.0.0.0:9000".parse().unwrap()).await.unwrap();
    let error = cluster.start_with(Plan::coordinator(), made.enrolment, |builder| builder).await.err().unwrap();
    assert!(error.to_string().contains("0.0.0.0:9000 is in use by another program"), "{error}");
}

#[tokio::test]
async fn a_port_that_nobody_named_gives_way_once_and_is_kept_then() {
    let cluster = Cluster::new();
    let host = cluster.host(common::COORDINATOR);
    let taken = [
        host.listen("0.0.0.0:8001".parse().unwrap()).await.unwrap(),
        host.listen("0.0.0.0:8002".parse().unwrap()).await.unwrap(),
    ];
    let node = cluster.coordinator(Plan::coordinator()).await;
    assert_eq!((node.port(), node.authority().as_str()), (8003, "10.0.0.1:8003"));
    // A node that joins is told so, and gets in.
    let worker = cluster.worker(Plan::worker(1), &node).await;
    sees(&worker, |members| members.hosting("probe").count() == 2).await;
    node.node.stop().await;
    drop(taken);
    let node = cluster.restart(Plan::coordinator()).await;
    assert_eq!(node.port(), 8003, "though the usual one is free now");
    sees(&worker, |members| members.hosting("probe").count() == 2).await;
    assert_eq!(worker.proxy().probe().on("coordinator").look().await.unwrap().node, "coordinator");
}

/// Tries to join with this token; it fails, and the coordinator serves on.
async fn refused(cluster: &Cluster, number: u8, coordinator: &Member, token: JoinToken) -> NodeError {
    let error = soon(cluster.join(&Plan::worker(number), &coordinator.authority(), token)).await.err().unwrap();
    assert!(Web::anonymous(cluster.host(worker_ip(99)), coordinator).is_served().await);
    error
}

#[tokio::test]
async fn a_token_lets_in_as_many_as_it_says_and_no_more() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let token = token(&coordinator, TokenOptions::default()).await;
    let text = token.reveal().to_string();
    let again = || text.parse::<JoinToken>().unwrap();
    let enrolled = soon(cluster.join(&Plan::worker(1), &coordinator.authority(), token)).await.unwrap();
    let error = refused(&cluster, 2, &coordinator, again()).await;
    assert!(matches!(error, NodeError::Join(JoinError::Refused(_))));
    assert!(error.to_string().contains("the join token was already used; make a new one with `p2p token create`"), "{error}");

    // The folder of the join that was refused can be used again; that of the one that was not has a node in it.
    let fresh = common::token(&coordinator, TokenOptions::default()).await;
    let text = fresh.reveal().to_string();
    drop(enrolled);
    let error = cluster.join(&Plan::worker(1), &coordinator.authority(), fresh).await.err().unwrap();
    assert!(matches!(error, NodeError::Identity(IdentityError::AlreadyEnrolled(_))), "{error}");
    let two = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), text.parse().unwrap())).await.unwrap();
    let two = cluster.start(Plan::worker(2), two).await;
    sees(&coordinator, |members| members.hosting("probe").count() == 2).await;
    assert_eq!(coordinator.proxy().probe().on(two.id()).look().await.unwrap().node, "worker-2");
}

#[tokio::test]
async fn a_token_that_lets_nobody_in_says_why() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let issuer = coordinator.issuer().unwrap();
    let ready = TokenOptions::default;

    let expired = token(&coordinator, TokenOptions { ttl: Duration::ZERO, ..ready() }).await;
    let error = refused(&cluster, 1, &coordinator, expired).await;
    assert!(error.to_string().contains("the join token expired 0 min ago; make a new one with `p2p token create`"), "{error}");

    let revoked = token(&coordinator, ready()).await;
    assert!(issuer.revoke_token(revoked.id(), Reason::default()).await.unwrap());
    let error = refused(&cluster, 1, &coordinator, revoked).await;
    assert!(error.to_string().contains("the join token was revoked"), "{error}");

    let for_coordinators = token(&coordinator, TokenOptions { role: Role::Coordinator, ..ready() }).await;
    let error = refused(&cluster, 1, &coordinator, for_coordinators).await;
    assert!(error.to_string().contains("the join token is for a coordinator, not for a worker"), "{error}");

    let for_another = token(&coordinator, TokenOptions { node_id: Some("worker-7".parse().unwrap()), ..ready() }).await;
    let error = refused(&cluster, 1, &coordinator, for_another).await;
    assert!(error.to_string().contains("the join token is for the node worker-7 only"), "{error}");

    // An id that another key has: the same name in another folder.
    let many = token(&coordinator, TokenOptions { uses: NonZeroU32::new(2).unwrap(), ..ready() }).await;
    let text = many.reveal().to_string();
    drop(soon(cluster.join(&Plan::worker(1), &coordinator.authority(), many)).await.unwrap());
    let elsewhere = Cluster { network: cluster.network.clone(), folder: tempfile::tempdir().unwrap() };
    let error = refused(&elsewhere, 1, &coordinator, text.parse().unwrap()).await;
    assert!(
        error.to_string().contains("the node id worker-1 already belongs to another key; choose another --node-id"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_was_cut_or_mistyped_is_told_apart_before_anybody_is_asked() {
    let (_cluster, coordinator, _workers) = Cluster::of(0).await;
    let text = token(&coordinator, TokenOptions::default()).await.reveal().to_string();
    for cut in [5, 10, text.len() / 2, text.len() - 1] {
        let error = text[..cut].parse::<JoinToken>().unwrap_err().to_string();
        assert!(error.contains("cut") || error.contains("short") || error.contains(&cut.to_string()), "{error}");
        assert!(!error.contains(&text[20..40.min(text.len())]), "it does not repeat the token");
    }
    let mut mistyped = text.clone().into_bytes();
    mistyped[30] = if mistyped[30] == b'a' { b'b' } else { b'a' };
    let error = String::from_utf8(mistyped).unwrap().parse::<JoinToken>().unwrap_err().to_string();
    assert!(error.contains("typ") || error.contains("copied"), "{error}");
    assert!("hello".parse::<JoinToken>().unwrap_err().to_string().contains("token"));
}

#[tokio::test]
async fn a_token_of_another_cluster_opens_no_door() {
    let (cluster, coordinator, _workers) = Cluster::of(0).await;
    let (_elsewhere, other, _others) = Cluster::of(0).await;
    let foreign = token(&other, TokenOptions::default()).await;
    let error = refused(&cluster, 1, &coordinator, foreign).await;
    assert!(matches!(error, NodeError::Join(JoinError::Tls { .. })), "{error}");
    assert!(error.to_string().contains("10.0.0.1:8001"), "{error}");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let said = format!("{error} {source}");
    assert!(said.contains("is not of the cluster that the join token was made for"), "{said}");
}

#[tokio::test]
async fn a_worker_lets_nobody_in_and_an_address_where_nobody_is_says_so() {
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let token = || common::token(&coordinator, TokenOptions::default());
    let error = refused(&cluster, 2, &workers[0], token().await).await;
    assert!(error.to_string().contains("node worker-1 is a worker, but only a coordinator lets nodes join"), "{error}");
    let error = soon(cluster.join(&Plan::worker(2), "10.0.0.1:9999", token().await)).await.err().unwrap();
    assert!(matches!(error, NodeError::Join(JoinError::Connect { .. })), "{error}");
    assert!(error.to_string().contains("10.0.0.1:9999"), "{error}");
    assert!(workers[0].issuer().is_none());

    // An address that is not the joiner's own is not proved, and so nobody is let in under it.
    let liar = Plan { ip: worker_ip(77), ..Plan::worker(3) };
    let options = p2p_runtime::node::JoinClusterOptions {
        node_id: Some("worker-3".parse().unwrap()),
        advertise: Some(Host::Ip(worker_ip(3))),
        network: Arc::new(cluster.host(liar.ip)),
        ..p2p_runtime::node::JoinClusterOptions::new(
            cluster.dir("worker-3"),
            common::password(),
            coordinator.authority(),
            token().await,
        )
    };
    let error = soon(p2p_runtime::node::join(options)).await.err().unwrap();
    assert!(error.to_string().contains("none of the claimed addresses answered on port 8802: 10.0.0.13"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_leaves_nothing_behind() {
    struct Fails;
    impl p2p_runtime::component::Component for Fails {
        fn name(&self) -> &'static str {
            "fails"
        }
        fn dependencies(&self) -> &'static [&'static str] {
            &["web_server"]
        }
        async fn start(&self, _: &Context) -> Result<()> {
            Err(Error::msg("no luck today"))
        }
        async fn stop(&self, _: &Context) -> Result<()> {
            Ok(())
        }
    }
    let cluster = Cluster::new();
    let enrolment = cluster.init(&Plan::coordinator()).await.unwrap();
    let error = cluster.start_with(Plan::coordinator(), enrolment, |builder| builder.component(Fails)).await.err().unwrap();
    assert_eq!(error.to_string(), "component \"fails\" did not start: no luck today");
    assert!(!cluster.dir("coordinator").join("p2p.sock").exists());
    // Store, port and socket are free again.
    let node = cluster.restart(Plan::coordinator()).await;
    assert_eq!(node.port(), 8001);
}

/// A component of a program's own.
struct Pool;

impl Component for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }
    async fn start(&self, _: &Context) -> Result<()> {
        Ok(())
    }
    async fn stop(&self, _: &Context) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_programs_own_component_runs_before_the_services_that_may_need_it() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let enrolment = cluster.init(&plan).await.unwrap();
    let member = cluster.start_with(plan, enrolment, |builder| builder.component(Pool)).await.unwrap();
    let names: Vec<_> = member.context().components().iter().map(|component| component.name).collect();
    assert_eq!(names, ["transport", "cache", "network", "pool", "service", "web_server"]);
}

#[tokio::test]
async fn two_services_of_one_name_are_refused_and_neither_is_dropped_in_silence() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let enrolment = cluster.init(&plan).await.unwrap();
    let error = cluster.start_with(plan, enrolment, |builder| builder.serve(common::probe::Probe::new())).await.err().unwrap();
    assert!(error.to_string().contains("two services are called \"probe\"; give one another name"), "{error}");
    drop(cluster.restart(Plan::coordinator()).await);
}

#[tokio::test]
async fn a_port_that_was_named_for_one_start_is_not_kept_for_the_next() {
    let cluster = Cluster::new();
    let plan = Plan::coordinator();
    let address = std::net::SocketAddr::new(plan.ip, 9000);
    let enrolment = cluster.init(&plan).await.unwrap();
    let member = cluster.start_with(plan, enrolment, |builder| builder.listen(address)).await.unwrap();
    assert_eq!(member.port(), 9000);
    member.node.stop().await;
    assert_eq!(cluster.restart(Plan::coordinator()).await.port(), 8001);
}
