//! What coordinators ask of each other, and nobody else gets: issuing authorities, root keys, and what was issued to whom.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{
    Cluster, Member, Plan,
    clients::{Credential, client, outside},
    log::Log,
    sees, soon,
    web::{Answer, Web},
    worker_ip,
};
use p2p_client::{protocol::ErrorCode, wire::tls::ChannelBinding};
use p2p_runtime::{
    identity::{NodeKey, Vault, rotation::AuthorityRequest},
    node::StoreVault,
};
use serde_json::json;

const AUTHORITY: &str = "/internal/ca/authority";
const ROOT: &str = "/internal/ca/root";
const ISSUED: &str = "/internal/ca/issued";
/// The record of the worker.
const RECORD: &str = "/internal/ca/node/worker-1";
/// Where the root key stands in a store.
const ROOT_KEY: &str = "ca/root.key";
/// Where it is noted which authorities were given.
const AUTHORITIES: &str = "ca/authorities/";

/// Two coordinators, of which the first holds the root key, and a worker.
struct Three {
    log: Log,
    cluster: Cluster,
    first: Member,
    second: Member,
    worker: Member,
    client_token: String,
}

impl Three {
    async fn new() -> Self {
        let log = Log::capture();
        let (cluster, first, mut workers) = Cluster::of(1).await;
        let second = cluster.worker(Plan::second_coordinator(), &first).await;
        sees(&second, |members| members.alive().count() == 3).await;
        soon(async {
            while second.issuer().unwrap().authority().is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let client_token = Credential::create(&cluster, &first, "ci", "").await.token(&cluster, &first).await;
        Self { log, cluster, first, second, worker: workers.remove(0), client_token }
    }

    /// This coordinator, as the other one reaches it.
    fn as_coordinator(&self, at: &Member) -> Web {
        let other = if at.ip == self.first.ip { &self.second } else { &self.first };
        Web::node(self.cluster.host(other.ip), at, other)
    }

    /// Everybody who is no coordinator that asks in its own name; and what the audit log calls them.
    fn others(&self, at: &Member) -> [(&'static str, Web); 6] {
        let Self { cluster, worker, client_token, .. } = self;
        [
            ("node worker-1 (worker)", Web::node(cluster.host(worker_ip(1)), at, worker)),
            ("the operator of this node", Web::operator(cluster.dir(at.id().as_str()))),
            ("client ci@coordinator", client(cluster, at, client_token)),
            ("an anonymous caller", outside(cluster, at)),
            ("an anonymous caller", self.as_coordinator(at).header("p2p-caller", "anonymous")),
            ("client ci@coordinator", self.as_coordinator(at).header("authorization", format!("Bearer {client_token}"))),
        ]
    }

    /// Sees to it that everybody else is refused this, and that the audit log is told.
    async fn refused_to_others(&self, at: &Member, path: &str, body: &[u8], what: &str) {
        self.refused(at, what, async |web| web.post(path, body.to_vec()).await).await;
    }

    async fn refused(&self, at: &Member, what: &str, ask: impl AsyncFn(&Web) -> Answer) {
        for (who, web) in self.others(at) {
            let before = self.denials(who, what);
            let answer = ask(&web).await;
            assert_eq!(answer.status, 403, "{who}: {answer:?}");
            let (code, message) = answer.error();
            let said =
                format!("{what} is for coordinators of this cluster, each in its own name, on a connection on which they show");
            assert!(code == ErrorCode::DENIED.0 && message.starts_with(&said), "{who}: {message}");
            assert_eq!(self.denials(who, what), before + 1, "{who} in {:#?}", self.log.audit());
        }
    }

    fn denials(&self, who: &str, what: &str) -> usize {
        let (who, what) = (format!("who=\"{who}\""), format!("what=\"{what}\""));
        let is_it = |line: &&String| line.contains(&who) && line.contains(&what) && line.contains("outcome=\"denied\"");
        self.log.audit().iter().filter(is_it).count()
    }

    /// A coordinator may.
    async fn served_to_a_coordinator(&self, at: &Member, path: &str, body: &[u8]) -> Answer {
        let answer = self.as_coordinator(at).post(path, body.to_vec()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

fn vault(node: &Member) -> StoreVault {
    StoreVault::new(node.store().clone())
}

/// A request for an authority for this key, in this name, for this connection.
fn ask(key: &NodeKey, by: &Member, channel: &ChannelBinding) -> Vec<u8> {
    serde_json::to_vec(&AuthorityRequest::new(key, by.id(), channel).unwrap()).unwrap()
}

#[tokio::test]
async fn only_coordinators_are_given_issuing_authorities() {
    let three = Three::new().await;
    let key = NodeKey::generate().unwrap();
    let given = || vault(&three.first).list(AUTHORITIES).unwrap();
    let before = given();
    let body = ask(&key, &three.second, &ChannelBinding::from_bytes([7; 32]));
    three.refused_to_others(&three.first, AUTHORITY, &body, "ca authority").await;
    assert_eq!(given(), before, "no authority was given");
    let as_second = three.as_coordinator(&three.first);
    let answer = as_second.post_bound(AUTHORITY, |channel| ask(&key, &three.second, channel)).await;
    assert!(answer.status == 200 && answer.json()["certificate"].is_string(), "{answer:?}");
    assert_eq!(given().len(), before.len() + 1);
}

#[tokio::test]
async fn a_request_for_an_authority_gets_nothing_on_another_connection_nor_in_another_name() {
    let three = Three::new().await;
    let key = NodeKey::generate().unwrap();
    let given = || vault(&three.first).list(AUTHORITIES).unwrap();
    let before = given();
    let as_second = three.as_coordinator(&three.first);
    let denials = || three.denials("node coordinator-2 (coordinator)", "ca authority");

    // What was sent on a connection that has ended, and got nothing there.
    let mut seen = Vec::new();
    as_second
        .post_bound("/no/such/path", |channel| {
            seen = ask(&key, &three.second, channel);
            seen.clone()
        })
        .await;
    let replayed = as_second.post(AUTHORITY, seen).await;
    // Another coordinator's request for its own key, on the connection of this one.
    let anothers = as_second.post_bound(AUTHORITY, |channel| ask(&key, &three.worker, channel)).await;
    for answer in [replayed, anothers] {
        let (code, message) = answer.error();
        assert!(answer.status == 403 && code == ErrorCode::DENIED.0, "{answer:?}");
        assert!(message.contains("does not prove that coordinator-2 has that key") && message.contains("look into"), "{message}");
    }
    assert_eq!(denials(), 2);

    // The certificate request alone, which proves nothing of who sends it.
    let csr = URL_SAFE_NO_PAD.encode(key.request().unwrap());
    let bare = as_second.post(AUTHORITY, json!({ "csr": csr }).to_string()).await;
    assert!(bare.status == 400 && bare.error().1.contains("of the same version"), "{bare:?}");
    assert_eq!(given(), before, "no authority was given");

    // The control: the same key, asked for as it is to be.
    let answer = as_second.post_bound(AUTHORITY, |channel| ask(&key, &three.second, channel)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn only_coordinators_hand_root_keys_over() {
    let three = Three::new().await;
    let key = vault(&three.first).get(ROOT_KEY).unwrap().unwrap();
    // The key of the root that is trusted, so that nothing but who asks is wrong.
    let mut body = u16::try_from(key.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(&key);
    let held = || vault(&three.second).get(ROOT_KEY).unwrap().map(|key| key.to_vec());
    assert_eq!(held(), None);
    three.refused_to_others(&three.second, ROOT, &body, "ca share").await;
    assert_eq!(held(), None, "no key was taken");
    three.served_to_a_coordinator(&three.second, ROOT, &body).await;
    assert_eq!(held(), Some(key.to_vec()));
}

#[tokio::test]
async fn only_coordinators_are_told_what_was_issued() {
    let three = Three::new().await;
    three.refused_to_others(&three.first, ISSUED, b"", "ca issued").await;
    let answer = three.served_to_a_coordinator(&three.first, ISSUED, b"").await.json();
    let names: Vec<_> = answer["nodes"].as_array().unwrap().iter().map(|node| node["node_id"].as_str().unwrap()).collect();
    assert!(names.contains(&"worker-1") && names.contains(&"coordinator-2"), "{names:?}");
}

#[tokio::test]
async fn only_coordinators_are_told_what_is_noted_of_a_node() {
    let three = Three::new().await;
    three.refused(&three.first, "ca record", async |web| web.get(RECORD).await).await;
    let answer = three.as_coordinator(&three.first).get(RECORD).await.json();
    assert_eq!(answer["node_id"], "worker-1", "{answer}");
    let nobody = three.as_coordinator(&three.first).get("/internal/ca/node/worker-9").await;
    assert!(nobody.status == 200 && nobody.json().is_null(), "{nobody:?}");
}
