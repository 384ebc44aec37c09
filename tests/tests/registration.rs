//! What a program expects its nodes to host: a node that lacks some of it does not start, and says why and what there is.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Cluster, Member, Plan};
use p2p_runtime::node::NodeBuilder;
use p2p_services::{prelude::*, register_services};

/// Every node makes it by itself.
#[derive(Default)]
struct Plain;

#[service(version = "1.2.3")]
impl Plain {
    /// Answers.
    #[service_method]
    async fn answer(&self) -> Result<u8> {
        Ok(42)
    }
}

/// No node can make it by itself.
struct HandedIn(u8);

#[service(version = "0.1.0")]
impl HandedIn {
    /// Answers.
    #[service_method]
    async fn answer(&self) -> Result<u8> {
        Ok(self.0)
    }
}

/// Only for coordinators.
#[derive(Default)]
struct Boss;

#[service(version = "1.0.0", roles = [coordinator])]
impl Boss {
    /// Answers.
    #[service_method]
    async fn answer(&self) -> Result<u8> {
        Ok(1)
    }
}

register_services![Plain, HandedIn, Boss];

/// Starts a coordinator so.
async fn start(cluster: &Cluster, more: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Result<Member, NodeError> {
    let plan = Plan::coordinator().without_probe();
    let enrolment = match cluster.init(&plan).await {
        Ok(enrolment) => enrolment,
        // It was made before.
        Err(_) => p2p_runtime::node::Enrolment::open(cluster.dir(&plan.id), common::password()).await?,
    };
    cluster.start_with(plan, enrolment, more).await
}

#[tokio::test]
async fn a_node_does_not_start_without_a_service_that_its_program_registers_and_shows_what_there_is() {
    let cluster = Cluster::new();
    let error = start(&cluster, |builder| builder).await.err().unwrap();
    let NodeError::MissingServices(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.names().collect::<Vec<_>>(), ["handed_in"]);
    let text = error.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "services that are expected are not hosted:",
            "  handed_in: it has neither Default nor `async fn new(cx: &Context)`; hand it to Node::builder().serve(…)",
            "There are:",
        ],
        "{text}"
    );
    let row = |name: &str| lines[3..].iter().find(|line| line.trim_start().starts_with(name)).unwrap().trim();
    assert_eq!(row("handed_in"), "handed_in  0.1.0  not hosted  registration");
    assert_eq!(row("plain"), "plain      1.2.3  hosted      registration");
    assert!(row("system").ends_with("hosted      p2p_services::system"), "{text}");

    // Nothing of it is left: with what was missing it starts.
    let node = start(&cluster, |builder| builder.serve(HandedIn(7))).await.unwrap();
    assert_eq!(node.proxy().handed_in().answer().await.unwrap(), 7);
    assert_eq!(node.proxy().plain().answer().await.unwrap(), 42);
}

#[tokio::test]
async fn a_registered_service_is_not_missed_where_its_roles_keep_it_from_being() {
    let cluster = Cluster::new();
    let coordinator = start(&cluster, |builder| builder.serve(HandedIn(7))).await.unwrap();
    let join = async |number| {
        let plan = Plan::worker(number).without_probe();
        let token = common::token(&coordinator, p2p_runtime::identity::TokenOptions::default()).await;
        let enrolment = cluster.join(&plan, &coordinator.authority(), token).await.unwrap();
        (plan, enrolment)
    };
    let (plan, enrolment) = join(1).await;
    let worker = cluster.start_with(plan, enrolment, |builder| builder.serve(HandedIn(8))).await.unwrap();
    assert_eq!(worker.context().registry().names(), ["handed_in", "plain", "system"]);
    // Unless this very node is said to need it.
    let (plan, enrolment) = join(2).await;
    let needs = |builder: NodeBuilder| builder.serve(HandedIn(8)).expect_services(["plain", "boss"]);
    let error = cluster.start_with(plan, enrolment, needs).await.err().unwrap();
    assert!(error.to_string().contains("\n  boss: it is for nodes of the role coordinator\n"), "{error}");
}

#[tokio::test]
async fn a_service_that_is_expected_by_name_is_hosted_or_missed_with_the_reason() {
    let cluster = Cluster::new();
    let handed_in = |builder: NodeBuilder| builder.serve(HandedIn(7));
    let error = start(&cluster, |builder| handed_in(builder).expect_services(["plain", "greeter"])).await.err().unwrap();
    let said = "\n  greeter: it is not in this program; mention its crate (`use its_crate as _;`), or name its type in register_services![…]\n";
    assert!(error.to_string().contains(said), "{error}");
    let only = |builder: NodeBuilder| handed_in(builder).only_given_services().expect_services(["plain"]);
    let error = start(&cluster, only).await.err().unwrap();
    assert!(
        error.to_string().contains("\n  plain: this node hosts only what is handed to Node::builder().serve(…)\n"),
        "{error}"
    );
    let node = start(&cluster, |builder| handed_in(builder).expect_services(["plain", "handed_in", "system"])).await.unwrap();
    assert_eq!(node.context().registry().names(), ["boss", "handed_in", "plain", "system"]);
}
