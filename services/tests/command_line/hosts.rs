//! Clusters as hosts have them: by IPv6 alone, and two beside each other.

use std::time::Instant;

use serde_json::Value;

use crate::harness::{Folders, PATIENCE, Running, run};

/// The ids of the nodes that a node sees alive.
fn alive(folders: &Folders, viewer: &str) -> Vec<String> {
    let nodes = folders.run(viewer, &["nodes", "--output", "json"]).json();
    let alive = nodes.as_array().unwrap().iter().filter(|node| node["status"] == "alive");
    let mut ids: Vec<_> = alive.map(|node| node["node_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn host_name_at(folders: &Folders, from: &str, node: &str) -> Value {
    folders.run(from, &["call", "system/get_system_info", "--on", node]).json()["hostname"].clone()
}

#[test]
fn a_cluster_forms_by_addresses_of_ipv6_alone() {
    let folders = Folders::new();
    let here = ["--advertise", "::1", "--listen", "[::1]:0", "--output", "json"];
    let made = folders.run("head", &[&["init", "--node-id", "head"][..], &here].concat()).json();
    assert!(made["root_fingerprint"].is_string(), "{made}");
    let head = folders.start("head");
    assert!(head.authority().starts_with("[::1]:"), "{}", head.authority());

    let token = folders.token("head");
    let mut join = folders.command("worker", &[&["join", &head.authority(), "--node-id", "worker"][..], &here].concat());
    join.env("P2P_JOIN_TOKEN", token);
    let mut worker = Running::spawn(join);
    worker.wait_for("ready");
    assert!(worker.authority().starts_with("[::1]:"), "{}", worker.authority());
    for viewer in ["head", "worker"] {
        for node in ["head", "worker"] {
            folders.wait_for_status(viewer, node, "alive", PATIENCE);
        }
    }
    // Its address was called before it was certified, and calls go by it in both directions.
    let certificate = folders.run("worker", &["cert", "show"]).ok();
    assert!(certificate.lines().any(|line| line.starts_with("addresses") && line.ends_with("::1")), "{certificate}");
    assert!(host_name_at(&folders, "worker", "head").is_string());
    assert!(host_name_at(&folders, "head", "worker").is_string());
}

#[test]
fn a_node_that_listens_on_both_families_lets_in_and_serves_nodes_of_either() {
    let folders = Folders::new();
    let both = ["--node-id", "head", "--advertise", "127.0.0.1", "--listen", "[::]:0"];
    folders.run("head", &[&["init"][..], &both].concat()).ok();
    let head = folders.start("head");
    let port = head.authority().strip_prefix("127.0.0.1:").unwrap().to_owned();

    let mut workers = Vec::new();
    for (name, ip) in [("four", "127.0.0.1"), ("six", "[::1]")] {
        let (at, listen) = (format!("{ip}:{port}"), format!("{ip}:0"));
        let advertise = ip.trim_matches(['[', ']']);
        let join = ["join", &at, "--node-id", name, "--advertise", advertise, "--listen", &listen, "--output", "json"];
        let mut join = folders.command(name, &join);
        join.env("P2P_JOIN_TOKEN", folders.token("head"));
        let mut worker = Running::spawn(join);
        worker.wait_for("ready");
        assert!(worker.authority().starts_with(&format!("{ip}:")), "{}", worker.authority());
        workers.push(worker);
    }
    for viewer in ["head", "four", "six"] {
        for node in ["head", "four", "six"] {
            folders.wait_for_status(viewer, node, "alive", PATIENCE);
            assert!(host_name_at(&folders, viewer, node).is_string(), "{viewer} calls {node}");
        }
    }
}

#[test]
fn a_node_with_an_address_of_each_family_has_both_proved_and_certified() {
    let folders = Folders::new();
    folders.run("head", &["init", "--node-id", "head", "--advertise", "127.0.0.1", "--listen", "[::]:0"]).ok();
    folders.run("head", &["config", "set", "advertise_also", "::1"]).ok();
    let head = folders.start("head");
    let port = head.authority().strip_prefix("127.0.0.1:").unwrap().to_owned();
    let join = ["join", &format!("[::1]:{port}"), "--node-id", "worker", "--advertise", "127.0.0.1", "--listen", "[::]:0"];
    let mut join = folders.command("worker", &[&join[..], &["--output", "json"]].concat());
    join.env("P2P_JOIN_TOKEN", folders.token("head"));
    let mut worker = Running::spawn(join);
    worker.wait_for("ready");
    worker.signal("TERM");
    worker.ended();
    folders.run("worker", &["config", "set", "advertise_also", "::1"]).ok();
    let _worker = folders.start("worker");
    for node in ["head", "worker"] {
        certified_for(&folders, node, "127.0.0.1, ::1");
    }
}

/// Waits until a node has a certificate for these addresses.
fn certified_for(folders: &Folders, node: &str, addresses: &str) {
    let began = Instant::now();
    loop {
        let certificate = folders.run(node, &["cert", "show"]).ok();
        if certificate.lines().any(|line| line.starts_with("addresses") && line.ends_with(addresses)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{certificate}");
    }
}

#[test]
fn two_clusters_on_one_host_know_nothing_of_each_other() {
    let folders = Folders::new();
    let running: Vec<_> = ["red", "blue"]
        .into_iter()
        .map(|name| {
            folders.init(name);
            let head = folders.start(name);
            let worker = folders.join(&format!("{name}-worker"), name, &head.authority());
            (head, worker)
        })
        .collect();
    for name in ["red", "blue"] {
        let worker = format!("{name}-worker");
        for viewer in [name, &worker] {
            folders.wait_for_status(viewer, &worker, "alive", PATIENCE);
            folders.wait_for_status(viewer, name, "alive", PATIENCE);
            assert_eq!(alive(&folders, viewer), [name, &worker]);
        }
    }

    // A token is good for its own cluster: whoever answers at the other one's address is not believed.
    let blue = running[1].0.authority();
    let refused = run(folders.join_command("stray", &blue, &folders.token("red"))).error(1);
    assert!(refused.contains("root") && refused.contains(&blue), "{refused}");
    // Nor does a node of one serve a node of the other.
    let call = folders.run("red", &["call", "system/get_system_info", "--on", "blue"]);
    assert_eq!(call.error(1), "no_route (-32004): no member is called blue; the members are: red, red-worker");
    assert_eq!(alive(&folders, "red"), ["red", "red-worker"]);
    assert_eq!(alive(&folders, "blue"), ["blue", "blue-worker"]);
}
