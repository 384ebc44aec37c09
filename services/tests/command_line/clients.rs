//! Clients outside of the cluster, as an operator makes and removes them; and who may call what.

use crate::harness::{Folders, PATIENCE};

#[test]
fn an_operator_makes_a_client_which_gets_a_token_and_calls() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let none = folders.run("head", &["client", "list"]).ok();
    assert!(none.starts_with("There are no clients; `p2p client create NAME --dir "), "{none}");

    let made = folders
        .run("head", &["client", "create", "ci-bot", "--scope", "orders:read", "--scope", "stock:read", "--output", "json"])
        .json();
    assert_eq!(made["client_id"], "ci-bot@head");
    let secret = made["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("p2p-secret-"), "{made}");
    assert_eq!(made["url"], format!("https://{}", head.authority()));
    let quiet = folders.run("head", &["client", "create", "second", "--ttl", "1h", "--expires", "90d", "--quiet"]).ok();
    assert!(quiet.starts_with("p2p-secret-") && quiet.lines().count() == 1, "{quiet}");
    let shown = folders.run("head", &["client", "create", "third"]).ok();
    assert!(
        shown.contains("It is not shown again") && shown.contains("/auth/token") && shown.contains("client_id=third@head"),
        "{shown}"
    );

    let listed = folders.run("head", &["client", "list"]).ok();
    assert!(
        listed.contains("ci-bot@head") && listed.contains("orders:read stock:read") && listed.contains("in 90 days"),
        "{listed}"
    );
    assert!(!listed.contains("p2p-secret"), "{listed}");
    let listed = folders.run("head", &["client", "list", "--output", "json"]).json();
    assert_eq!(listed[1]["ttl_seconds"], 3_600);

    let explained = folders.run("head", &["policy", "explain", "client:ci-bot", "system/get_system_info"]).ok();
    assert!(explained.starts_with("allowed: client ci-bot@head may call system/get_system_info"), "{explained}");

    assert_eq!(folders.run("head", &["client", "remove", "second"]).ok(), "second is removed, and its tokens are revoked.\n");
    assert!(!folders.run("head", &["client", "list"]).ok().contains("second@head"));
    assert!(folders.run("head", &["client", "replace-keys"]).ok().starts_with("A fresh key signs tokens"));
    head.signal("TERM");
    let (_, log) = head.ended();
    assert!(log.contains("audit: ") && log.contains("what=\"client create\" whom=\"ci-bot\""), "{log}");
    assert!(!log.contains("p2p-secret"), "{log}");
}

#[test]
fn what_is_wrong_with_a_client_is_said_with_what_to_do() {
    let folders = Folders::new();
    folders.init("head");
    let off = folders.run("head", &["client", "list"]).error(1);
    assert!(off.contains("no node is running in") && off.contains("`p2p start"), "{off}");
    let _head = folders.start("head");
    folders.run("head", &["client", "create", "ci"]).ok();
    let twice = folders.run("head", &["client", "create", "ci"]).error(1);
    assert!(twice.contains("there is a client \"ci\" already; remove it with `p2p client remove ci`"), "{twice}");
    let long = folders.run("head", &["client", "create", "long", "--ttl", "25h"]).error(1);
    assert!(long.contains("between 1 s and 86400 s"), "{long}");
    let unknown = folders.run("head", &["client", "remove", "nobody"]).error(1);
    assert!(unknown.contains("there is no client \"nobody\" at this coordinator; there are: ci"), "{unknown}");
    let name = folders.run("head", &["client", "create", "CI Bot"]).error(2);
    assert!(name.contains("such as ci-bot"), "{name}");
    let scope = folders.run("head", &["client", "create", "x", "--scope", "größe"]).error(2);
    assert!(scope.contains("is no scope"), "{scope}");
    let id = folders.run("head", &["client", "revoke", "5"]).error(1);
    assert!(id.contains("is no token id: one has 16 and 32 hexadecimal digits"), "{id}");
}

#[test]
fn a_policy_is_explained_with_the_decision_and_the_reason() {
    let folders = Folders::new();
    folders.init("head");
    let _head = folders.start("head");
    let explain = |who: &str, what: &str| folders.run("head", &["policy", "explain", who, what]).ok();
    let method = "system/get_system_info";
    assert!(
        explain("operator", method).starts_with("allowed: the operator of this node may call system/get_system_info: it is for ")
    );
    assert!(explain("role:worker", "/admin/stop").starts_with("denied: node some-worker (worker) may not use /admin/stop"));
    let nobody = explain("anonymous", "/services");
    assert!(
        nobody.starts_with("denied: an anonymous caller may not call /services") && nobody.contains("`p2p client create`"),
        "{nobody}"
    );
    assert!(explain("anonymous", "/health").starts_with("allowed: "));
    let json = folders.run("head", &["policy", "explain", "scope:a", "/services", "--output", "json"]).json();
    assert_eq!((&json["allowed"], &json["what"]), (&serde_json::json!(true), &serde_json::json!("/services")));
    // A credential that has ended, and a node that was revoked.
    folders.run("head", &["client", "create", "short", "--expires", "1s"]).ok();
    let began = std::time::Instant::now();
    let ended = loop {
        let said = explain("client:short", "/services");
        if said.starts_with("denied: ") {
            break said;
        }
        assert!(said.starts_with("allowed: ") && began.elapsed() < PATIENCE, "{said}");
    };
    assert!(ended.starts_with("denied: client short@head gets no tokens any more: credential expired on 20"), "{ended}");
    assert!(ended.contains("UTC; `p2p client remove short` and `p2p client create short` make a new one"), "{ended}");
    folders.run("head", &["node", "revoke", "lost", "--reason", "stolen"]).ok();
    let revoked = explain("node:lost", method);
    assert!(revoked.starts_with("denied: node lost may call nothing: it was revoked on 20"), "{revoked}");
    assert!(revoked.contains("by head (stolen); `p2p token create --node-id lost` lets it in again"), "{revoked}");
    let unknown = folders.run("head", &["policy", "explain", "operator", "nothing/here"]).error(1);
    assert!(unknown.contains("no node of the cluster hosts a service \"nothing\"; there are: system"), "{unknown}");
    let nobody = folders.run("head", &["policy", "explain", "somebody", method]).error(1);
    assert!(nobody.contains("write node:ID, role:worker, client:NAME"), "{nobody}");
}
