//! Who may call what, whole: every way in × every caller × every access, each with its outcome; and of each denial, the line of the audit log.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod methods;
mod routes;

use common::{
    Cluster, Member,
    clients::{Credential, client},
    web::Web,
    worker_ip,
};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Worker,
    Coordinator,
    Operator,
    /// A client whose token has no scopes.
    Client,
    /// A client whose token has the scope.
    Scoped,
    Anonymous,
    /// A node that gives its name up.
    Nameless,
    /// A client that comes with a node's certificate.
    ClientWithCertificate,
}

const WHO: [Who; 8] = [
    Who::Worker,
    Who::Coordinator,
    Who::Operator,
    Who::Client,
    Who::Scoped,
    Who::Anonymous,
    Who::Nameless,
    Who::ClientWithCertificate,
];

impl Who {
    /// Whether this caller may call a method: the table, and what the odd callers count as.
    fn may(self, row: [bool; 6]) -> bool {
        let [worker, coordinator, operator, client, scoped, anonymous] = row;
        match self {
            Self::Worker => worker,
            Self::Coordinator => coordinator,
            Self::Operator => operator,
            Self::Client => client,
            Self::Scoped | Self::ClientWithCertificate => scoped,
            Self::Anonymous | Self::Nameless => anonymous,
        }
    }

    /// What the audit log calls it.
    fn in_audit(self) -> &'static str {
        match self {
            Self::Worker => "node worker-1 (worker)",
            Self::Coordinator => "node coordinator (coordinator)",
            Self::Operator => "the operator of this node",
            Self::Client => "client plain@coordinator",
            Self::Scoped | Self::ClientWithCertificate => "client scoped@coordinator",
            Self::Anonymous | Self::Nameless => "an anonymous caller",
        }
    }

    /// Where its requests come from.
    fn whence(self) -> &'static str {
        match self {
            Self::Worker | Self::Nameless | Self::ClientWithCertificate => "node worker-1",
            Self::Coordinator => "node coordinator",
            Self::Operator => "socket",
            Self::Client | Self::Scoped | Self::Anonymous => "10.0.0.19",
        }
    }

    /// As whom its call is sent on: the operator is, on other nodes, this node, which is the coordinator here.
    fn sent_on(self) -> Self {
        if self == Self::Operator { Self::Coordinator } else { self }
    }

    /// Whether it has a node's certificate: then its calls are not forwarded.
    fn is_node(self) -> bool {
        matches!(self, Self::Worker | Self::Coordinator | Self::Nameless | Self::ClientWithCertificate)
    }
}

/// A line of the audit log on a denial.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    who: &'a str,
    from: &'a str,
    origin: &'a str,
}

impl Line<'_> {
    /// That somebody was refused at the node to which he came himself.
    fn of(who: Who) -> Self {
        Line { who: who.in_audit(), from: who.whence(), origin: "-" }
    }
}

/// Exactly these denials of this are told, in whatever order.
#[track_caller]
fn assert_told(mut lines: Vec<String>, what: &str, expected: &[Line<'_>], case: &str) {
    assert_eq!(lines.len(), expected.len(), "{case}: {lines:#?}");
    for Line { who, from, origin } in expected {
        let parts = [
            format!(" who=\"{who}\" "),
            format!(" what=\"{what}\" "),
            format!(" from=\"{from}\" "),
            format!(" origin=\"{origin}\""),
        ];
        let found = lines.iter().position(|line| parts.iter().all(|part| line.contains(part)));
        let line = lines.swap_remove(found.unwrap_or_else(|| panic!("{case}: {parts:?} in {lines:#?}")));
        assert_eq!(who.starts_with("client "), !line.contains(" token_id=\"-\" "), "{case}: {line}");
    }
}

struct Table {
    cluster: Cluster,
    coordinator: Member,
    workers: Vec<Member>,
    plain: String,
    scoped: String,
}

impl Table {
    async fn new() -> Self {
        Self::of(Cluster::of(2).await).await
    }

    async fn of((cluster, coordinator, workers): (Cluster, Member, Vec<Member>)) -> Self {
        let plain = Credential::create(&cluster, &coordinator, "plain", "other:scope").await.token(&cluster, &coordinator).await;
        let scoped = Credential::create(&cluster, &coordinator, "scoped", "probe:read").await.token(&cluster, &coordinator).await;
        Self { cluster, coordinator, workers, plain, scoped }
    }

    fn web(&self, who: Who) -> Web {
        let (cluster, at, worker) = (&self.cluster, &self.coordinator, &self.workers[0]);
        let node = || Web::node(cluster.host(worker.ip), at, worker);
        match who {
            Who::Worker => node(),
            Who::Coordinator => Web::node(cluster.host(at.ip), at, at),
            Who::Operator => Web::operator(cluster.dir("coordinator")),
            Who::Client => client(cluster, at, &self.plain),
            Who::Scoped => client(cluster, at, &self.scoped),
            Who::Anonymous => Web::anonymous(cluster.host(worker_ip(9)), at),
            Who::Nameless => node().header("p2p-caller", "anonymous"),
            Who::ClientWithCertificate => node().header("authorization", format!("Bearer {}", self.scoped)),
        }
    }
}
