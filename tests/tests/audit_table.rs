//! Every administrative act over a node's own socket, and the one line of the audit log that each of them writes: what, by whom, to whom, what came of
//! it, and why. An act that is added does not compile here, or fails, until it has a row.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{collections::BTreeSet, sync::Arc};

use common::{
    Cluster, Member, Plan,
    clients::Credential,
    log::Log,
    sees, soon, token,
    web::{Answer, Web},
};
use http::Method;
use p2p_client::{audit, revocation::KeyHash};
use p2p_runtime::{
    config::ConfigCommand,
    identity::{Approval, Host, JoinToken, PendingNode, TokenOptions},
    node::{JoinClusterOptions, join},
    storage::{Secret, StoreCommand},
    web::{ApprovalCommand, ClientCommand, ConfigRequest, RevokeRequest, RevokeWhat, StoreRequest, served_routes},
};
use serde::Serialize;
use serde_json::{Value, json};

const PASSWORD: &str = "a password for tests";
const NEW_PASSWORD: &str = "another password for tests";
const KEY: &str = "5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f5c0f";

/// Routes of the operator that only show something. They write no line.
const SHOWN: [&str; 4] = ["/admin/ca", "/admin/cert", "/admin/tokens", "/admin/revocations"];
/// What else the operator asks that changes nothing and hands out no secret.
const QUESTIONS: [&str; 3] = ["/admin/policy", "approval list", "approval find"];

/// The acts that share a route, each by a name of its own. What is added to one of them has to be named here.
const COMMANDS: [&str; 22] = [
    "store list",
    "store get",
    "store put",
    "store remove",
    "store verify",
    "store change password",
    "store backup",
    "config read",
    "config write",
    "client create",
    "client list",
    "client remove",
    "client revoke",
    "client replace-keys",
    "approval list",
    "approval find",
    "approval approve",
    "approval deny",
    "revoke node",
    "revoke lost coordinator",
    "revoke key",
    "revoke token",
];

fn name_of_store(command: &StoreCommand) -> &'static str {
    match command {
        StoreCommand::List { .. } => "store list",
        StoreCommand::Get { .. } => "store get",
        StoreCommand::Put { .. } => "store put",
        StoreCommand::Remove { .. } => "store remove",
        StoreCommand::Verify => "store verify",
        StoreCommand::ChangePassword { .. } => "store change password",
        StoreCommand::Backup => "store backup",
    }
}

fn name_of_config(command: &ConfigCommand) -> &'static str {
    match command {
        ConfigCommand::Read => "config read",
        ConfigCommand::Write { .. } => "config write",
    }
}

fn name_of_client(command: &ClientCommand) -> &'static str {
    match command {
        ClientCommand::Create { .. } => "client create",
        ClientCommand::List => "client list",
        ClientCommand::Remove { .. } => "client remove",
        ClientCommand::Revoke { .. } => "client revoke",
        ClientCommand::ReplaceKeys => "client replace-keys",
    }
}

fn name_of_approval(command: &ApprovalCommand) -> &'static str {
    match command {
        ApprovalCommand::List => "approval list",
        ApprovalCommand::Find { .. } => "approval find",
        ApprovalCommand::Approve { .. } => "approval approve",
        ApprovalCommand::Deny { .. } => "approval deny",
    }
}

fn name_of_revoke(what: &RevokeWhat) -> &'static str {
    match what {
        RevokeWhat::Node(_) => "revoke node",
        RevokeWhat::LostCoordinator(_) => "revoke lost coordinator",
        RevokeWhat::Key(_) => "revoke key",
        RevokeWhat::Token(_) => "revoke token",
    }
}

/// What its line says.
struct Said {
    what: String,
    whom: String,
    outcome: &'static str,
    /// How the reason begins.
    reason: String,
}

fn said(what: &str, whom: &str, outcome: &'static str, reason: &str) -> Said {
    Said { what: what.to_owned(), whom: whom.to_owned(), outcome, reason: reason.to_owned() }
}

fn done(what: &str, whom: &str) -> Said {
    said(what, whom, "done", "-\"")
}

/// An operator, whose acts are followed.
struct Operator<'a> {
    log: &'a Log,
    web: Web,
    /// By their routes, and by their names where several share one.
    acted: BTreeSet<&'static str>,
}

impl Operator<'_> {
    /// The lines of the audit log about what the operator did since then.
    fn lines_since(&self, before: usize) -> Vec<String> {
        let is_it = |line: &String| line.contains("who=\"the operator of this node\"") && line.contains("from=\"socket\"");
        self.log.audit().into_iter().skip(before).filter(is_it).collect()
    }

    /// Does it, and sees that just this is told of it.
    #[track_caller]
    fn is_told(&self, before: usize, name: &str, answer: &Answer, said: &Said) {
        let Said { what, whom, outcome, reason } = said;
        assert_eq!(answer.status == 200, *outcome == "done", "{name}: {answer:?}");
        let lines = self.lines_since(before);
        assert_eq!(lines.len(), 1, "{name} writes one line: {lines:#?}");
        for part in [
            format!(" what=\"{what}\""),
            format!(" whom=\"{whom}\""),
            format!(" outcome=\"{outcome}\""),
            format!(" reason=\"{reason}"),
        ] {
            assert!(lines[0].contains(&part), "{name}: {part} in {}", lines[0]);
        }
    }

    async fn acts(&mut self, path: &'static str, name: &'static str, body: &impl Serialize, said: Said) -> Answer {
        let before = self.log.audit().len();
        let answer = self.web.post(path, serde_json::to_vec(body).unwrap()).await;
        self.is_told(before, name, &answer, &said);
        self.acted.extend([path, name]);
        answer
    }

    /// Asks, and sees that nothing is told of it.
    async fn asks(&mut self, path: &'static str, name: &'static str, body: &impl Serialize) -> Value {
        let before = self.log.audit().len();
        let answer = self.web.post(path, serde_json::to_vec(body).unwrap()).await;
        assert_eq!((answer.status.as_u16(), self.lines_since(before)), (200, Vec::new()), "{name}: {answer:?}");
        assert!(QUESTIONS.contains(&name), "{name}");
        self.acted.extend([path, name]);
        answer.json()
    }

    async fn client(&mut self, command: ClientCommand, said: Said) {
        self.acts("/admin/clients", name_of_client(&command), &command, said).await;
    }

    async fn revokes(&mut self, what: RevokeWhat, said: Said) {
        let (name, reason) = (name_of_revoke(&what), "why not".to_owned().try_into().unwrap());
        self.acts("/admin/revoke", name, &RevokeRequest { what, reason }, said).await;
    }

    async fn store(&mut self, password: &str, command: StoreCommand, said: Said) {
        let name = name_of_store(&command);
        self.acts("/admin/store", name, &StoreRequest { password: secret(password), command }, said).await;
    }

    async fn config(&mut self, password: &str, command: ConfigCommand, said: Said) -> Value {
        let name = name_of_config(&command);
        self.acts("/admin/config", name, &ConfigRequest { password: secret(password), command }, said).await.json()
    }

    /// Waits until a node waits for approval, and gives it as it is shown.
    async fn finds(&mut self, node_id: &str) -> PendingNode {
        let find = ApprovalCommand::Find { node_id: node_id.parse().unwrap(), key: None };
        soon(async {
            while self.web.post("/admin/approvals", serde_json::to_vec(&find).unwrap()).await.status != 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let found = self.asks("/admin/approvals", name_of_approval(&find), &find).await;
        serde_json::from_value(found["node"].clone()).unwrap()
    }
}

fn secret(text: &str) -> Secret {
    Secret::from(text)
}

/// A node that waits for approval until the test ends.
fn begin_to_join(cluster: &Cluster, number: u8, coordinator: &Member, token: JoinToken) {
    let plan = Plan::worker(number);
    let options = JoinClusterOptions {
        node_id: Some(plan.id.parse().unwrap()),
        advertise: Some(Host::Ip(plan.ip)),
        network: Arc::new(cluster.host(plan.ip)),
        ..JoinClusterOptions::new(cluster.dir(&plan.id), common::password(), coordinator.authority(), token)
    };
    tokio::spawn(join(options));
}

/// What the audit log calls a node that waits.
fn in_audit(node: &PendingNode) -> String {
    format!("{} (worker), key sha256:{}", node.node_id, node.key)
}

async fn lets_nodes_in(operator: &mut Operator<'_>, cluster: &Cluster, coordinator: &Member) {
    let body = json!({ "role": "worker", "ttl_seconds": 60, "uses": 2, "approval": "manual" });
    let before = operator.log.audit().len();
    let answer = operator.web.post("/admin/token", body.to_string()).await;
    let tokens = coordinator.issuer().unwrap().tokens();
    let id = tokens.iter().find(|token| token.approval == Approval::Manual).unwrap().id.to_string();
    let told = said("join token create", &id, "done", "role worker, uses 2, approval manual\"");
    operator.is_told(before, "token", &answer, &told);
    operator.acted.insert("/admin/token");

    let manual = TokenOptions { approval: Approval::Manual, uses: 2.try_into().unwrap(), ..TokenOptions::default() };
    let manual = token(coordinator, manual).await;
    for number in [3, 4] {
        begin_to_join(cluster, number, coordinator, manual.reveal().parse().unwrap());
    }
    let (welcome, stranger) = (operator.finds("worker-3").await, operator.finds("worker-4").await);
    operator.asks("/admin/approvals", name_of_approval(&ApprovalCommand::List), &ApprovalCommand::List).await;
    let told = said("node approve", &in_audit(&welcome), "done", &format!("token {}, addresses 10.0.0.13\"", manual.id()));
    let approve = ApprovalCommand::Approve { node: welcome };
    operator.acts("/admin/approvals", name_of_approval(&approve), &approve, told).await;
    let told = said("node deny", &in_audit(&stranger), "done", "not ours\"");
    let deny = ApprovalCommand::Deny { node: stranger, reason: "not ours".to_owned().try_into().unwrap() };
    operator.acts("/admin/approvals", name_of_approval(&deny), &deny, told).await;
}

async fn keeps_clients(operator: &mut Operator<'_>, cluster: &Cluster, coordinator: &Member) {
    let name = || "ci".parse().unwrap();
    let create =
        || ClientCommand::Create { name: name(), scopes: "a b".parse().unwrap(), ttl_seconds: None, expires_seconds: None };
    operator.client(create(), said("client create", "ci", "done", "scopes \\\"a b\\\"\"")).await;
    operator.client(create(), said("client create", "ci", "failed", "there is a client")).await;
    operator.client(ClientCommand::List, done("client list", "-")).await;
    let issued = Credential::create(cluster, coordinator, "bot", "").await.ask(cluster, coordinator).await.json();
    let token_id = issued["token_id"].as_str().unwrap().to_owned();
    operator.client(ClientCommand::Revoke { token_id: token_id.clone() }, done("token revoke", &token_id)).await;
    operator.client(ClientCommand::Remove { name: name() }, done("client remove", "ci")).await;
    operator.client(ClientCommand::ReplaceKeys, done("client replace-keys", "-")).await;
}

async fn revokes_each_kind(operator: &mut Operator<'_>, coordinator: &Member) {
    let because = |whom: &str| said("revoke", whom, "done", "why not\"");
    operator.revokes(RevokeWhat::Node("worker-9".parse().unwrap()), because("node worker-9")).await;
    let key: KeyHash = KEY.parse().unwrap();
    operator.revokes(RevokeWhat::Key(key), because(&format!("key {KEY}"))).await;
    let id = token(coordinator, TokenOptions::default()).await.id();
    operator.revokes(RevokeWhat::Token(id), because(&format!("join token {id}"))).await;
    let lost = RevokeWhat::LostCoordinator("coordinator-9".parse().unwrap());
    let unknown = "no coordinator of the name coordinator-9 is known here";
    operator.revokes(lost, said("revoke --keep-issued", "node coordinator-9", "failed", unknown)).await;
}

async fn administers_the_store(operator: &mut Operator<'_>) {
    let path = || "services/mailer/smtp".to_owned();
    let put = || StoreCommand::Put { path: path(), value: secret("a value") };
    operator.store("wrong", put(), said("store put", &path(), "denied", "wrong password for ")).await;
    operator.store(PASSWORD, put(), done("store put", &path())).await;
    operator.store(PASSWORD, StoreCommand::List { prefix: String::new() }, done("store list", "-")).await;
    operator.store(PASSWORD, StoreCommand::Get { path: path() }, done("store get", &path())).await;
    operator.store(PASSWORD, StoreCommand::Remove { path: path() }, done("store remove", &path())).await;
    // Any text may be given for a path: it stays on its line, and is bounded.
    for (path, whom) in [
        (path(), path()),
        ("no\nsuch \"entry\"".to_owned(), "no such \\\"entry\\\"".to_owned()),
        ("x".repeat(10_000), "x".repeat(audit::LONGEST)),
    ] {
        let told = said("store remove", &whom, "failed", "the store has no entry");
        operator.store(PASSWORD, StoreCommand::Remove { path }, told).await;
    }
    operator.store(PASSWORD, StoreCommand::Verify, done("store verify", "-")).await;
    operator.store(PASSWORD, StoreCommand::Backup, done("store backup", "-")).await;
    let (read, change) = ("config read the configuration", "config change the configuration");
    operator.config("wrong", ConfigCommand::Read, said(read, "-", "denied", "wrong password for ")).await;
    let was = operator.config(PASSWORD, ConfigCommand::Read, done(read, "-")).await["text"].as_str().unwrap().to_owned();
    let text = format!("{was}\nlog_level: debug\n");
    operator.config(PASSWORD, ConfigCommand::Write { was, text }, said(change, "-", "done", "log_level\"")).await;
    let stale =
        ConfigCommand::Write { was: "listen: 0.0.0.0:1\n".to_owned(), text: "listen: 0.0.0.0:1\nadvertise: a\n".to_owned() };
    operator.config(PASSWORD, stale, said(change, "-", "failed", "")).await;
    let new = secret(NEW_PASSWORD);
    operator.store(PASSWORD, StoreCommand::ChangePassword { new }, done("store change password", "-")).await;
}

async fn administers_the_authorities(operator: &mut Operator<'_>) {
    operator.acts("/admin/cert/renew", "renew", &json!({}), done("cert renew", "-")).await;
    let share = |node_id: &str| json!({ "node_id": node_id });
    operator.acts("/admin/ca/share", "share", &share("coordinator-2"), done("ca share coordinator-2", "-")).await;
    let nobody = said("ca share coordinator-9", "-", "failed", "");
    operator.acts("/admin/ca/share", "share with nobody", &share("coordinator-9"), nobody).await;
    let finish = said("ca rotate --finish", "-", "failed", "the root is not being changed");
    operator.acts("/admin/ca/rotate", "finish", &json!({ "finish": true }), finish).await;
    operator.acts("/admin/ca/rotate", "rotate", &json!({}), done("ca rotate", "-")).await;
    let again = json!({ "start_over": true });
    operator.acts("/admin/ca/rotate", "start over", &again, done("ca rotate --start-over", "-")).await;
}

#[tokio::test]
async fn every_administrative_act_over_the_socket_writes_its_line_and_what_only_asks_writes_none() {
    let log = Log::capture();
    let (cluster, coordinator, workers) = Cluster::of(1).await;
    let second = cluster.worker(Plan::second_coordinator(), &coordinator).await;
    sees(&coordinator, |members| members.alive().count() == 3).await;
    let mut operator = Operator { log: &log, web: Web::operator(cluster.dir("coordinator")), acted: BTreeSet::new() };

    for path in SHOWN {
        let before = log.audit().len();
        let answer = operator.web.get(path).await;
        assert_eq!((answer.status.as_u16(), operator.lines_since(before)), (200, Vec::new()), "{path}");
    }
    let policy = json!({ "who": "anonymous", "what": "/services" });
    operator.asks("/admin/policy", "/admin/policy", &policy).await;
    lets_nodes_in(&mut operator, &cluster, &coordinator).await;
    keeps_clients(&mut operator, &cluster, &coordinator).await;
    revokes_each_kind(&mut operator, &coordinator).await;
    administers_the_store(&mut operator).await;
    administers_the_authorities(&mut operator).await;
    // The node that takes the key tells its own log, by whom.
    log.one(&["who=\"node coordinator (coordinator)\"", "what=\"ca share\"", "from=\"node coordinator\"", "took the root key"]);
    operator.acts("/admin/stop", "stop", &json!({}), done("stop", "-")).await;

    // What only coordinators do is told as well where somebody tries it on a worker.
    operator.web = Web::operator(cluster.dir("worker-1"));
    let token = json!({ "role": "worker", "ttl_seconds": 60, "uses": 1 });
    let refused = said("join token create", "-", "failed", "this node issues no tokens");
    operator.acts("/admin/token", "token on a worker", &token, refused).await;
    operator.client(ClientCommand::List, said("client list", "-", "failed", "this node makes no tokens")).await;
    operator.acts("/admin/leave", "leave", &json!({}), done("leave", "-")).await;
    drop((workers, second));

    for one in served_routes().iter().filter(|one| one.path.starts_with("/admin")) {
        let is_covered = match &one.method {
            Some(method) if *method == Method::GET => SHOWN.contains(&&*one.path),
            _ => operator.acted.contains(&*one.path),
        };
        assert!(is_covered, "{one} is served, and no row says what the audit log is told of it: add one");
    }
    for name in COMMANDS {
        assert!(operator.acted.contains(name), "{name} has no row: add one");
    }
}
