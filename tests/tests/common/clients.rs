//! Clients outside of the cluster: made by an operator, known by their tokens.

use p2p_runtime::node::Node;
use serde_json::{Value, json};

use super::{Cluster, Member, web::Web, worker_ip};

/// A client's credential.
pub(crate) struct Credential {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Credential {
    /// Made by the operator of this coordinator.
    pub(crate) async fn create(cluster: &Cluster, coordinator: &Node, name: &str, scopes: &str) -> Self {
        let operator = Web::operator(cluster.dir(coordinator.id().as_str()));
        let body = json!({ "do": "create", "name": name, "scopes": scopes }).to_string();
        let answer = operator.post("/admin/clients", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let made = answer.json();
        let secret = made["secret"].as_str().unwrap();
        let secret = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, secret).unwrap();
        Self { id: made["client_id"].as_str().unwrap().to_owned(), secret: String::from_utf8(secret).unwrap() }
    }

    /// Asks this node for a token.
    pub(crate) async fn ask(&self, cluster: &Cluster, at: &Member) -> super::web::Answer {
        let body = json!({ "client_id": self.id, "client_secret": self.secret }).to_string();
        outside(cluster, at).post("/auth/token", body).await
    }

    /// A token of this coordinator.
    pub(crate) async fn token(&self, cluster: &Cluster, at: &Member) -> String {
        let answer = self.ask(cluster, at).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let reply: Value = answer.json();
        assert_eq!(reply["token_type"], "Bearer");
        reply["access_token"].as_str().unwrap().to_owned()
    }
}

/// A machine outside, without a name.
pub(crate) fn outside(cluster: &Cluster, at: &Member) -> Web {
    Web::anonymous(cluster.host(worker_ip(9)), at)
}

/// A machine outside, with a token.
pub(crate) fn client(cluster: &Cluster, at: &Member, token: &str) -> Web {
    Web::client(cluster.host(worker_ip(9)), at, token)
}
