//! Clusters of real `p2p` processes on loopback.

use std::time::{Duration, Instant};

use crate::harness::{Folders, PATIENCE, Running, mode, run};

/// Within this time the others know of a worker that stopped answering; unoptimised, and beside other tests, it may take five times as long.
const FAILURE_NOTICED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 25 } else { 5 });

/// Waits until a node knows what all those host that are there: a call to all asks those who have said so when it is made, and waits for
/// nobody.
#[track_caller]
fn wait_until_all_serve(folders: &Folders, viewer: &str) {
    let began = Instant::now();
    loop {
        let nodes = folders.run(viewer, &["nodes", "--output", "json"]).json();
        if nodes.as_array().unwrap().iter().all(|info| !info["services"]["system"].is_null()) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{nodes}");
    }
}

#[test]
fn three_processes_make_a_cluster_and_notice_who_is_killed_who_hangs_and_who_leaves() {
    let folders = Folders::new();
    let made = folders.init("head");
    assert_eq!(made["node_id"], "head");
    assert_eq!(made["recovery_key"].as_str().unwrap().len(), 47);
    assert_eq!(made["root_fingerprint"].as_str().unwrap().len(), 64);
    assert!(made["next"].as_str().unwrap().contains("start --dir "), "{made}");

    let head = folders.start("head");
    assert_eq!(head.ready["role"], "coordinator");
    assert_eq!(head.ready["services"], serde_json::json!(["system"]));
    assert_eq!(mode(&folders.of("head/p2p.sock")), 0o600);
    assert_eq!(mode(&folders.of("head")), 0o700);

    let killed = folders.join("killed", "head", &head.authority());
    let frozen = folders.join("frozen", "head", &head.authority());
    let leaves = folders.join("leaves", "head", &head.authority());
    for viewer in ["head", "killed", "frozen", "leaves"] {
        for node in ["head", "killed", "frozen", "leaves"] {
            folders.wait_for_status(viewer, node, "alive", PATIENCE);
        }
    }

    for node in ["head", "killed", "frozen", "leaves"] {
        let info = folders.run("leaves", &["call", "system/get_system_info", "--on", node]).json();
        assert_eq!(info["node_id"], node);
    }
    wait_until_all_serve(&folders, "head");
    let everybody =
        folders.run("head", &["call", "system/get_system_info", "--on", "all,role=worker", "--output", "json"]).json();
    assert_eq!(everybody.as_object().unwrap().keys().collect::<Vec<_>>(), ["frozen", "killed", "leaves"]);
    let in_text = folders.run("head", &["call", "system/get_system_info", "--on", "others"]).ok();
    assert!(in_text.contains("frozen: {\n  \"node_id\": \"frozen\""), "{in_text}");

    // Gone without a word.
    killed.signal("KILL");
    let began = Instant::now();
    for viewer in ["head", "leaves"] {
        folders.wait_for_status(viewer, "killed", "dead", FAILURE_NOTICED.saturating_sub(began.elapsed()));
    }
    drop(killed);

    // There, but silent.
    frozen.signal("STOP");
    let began = Instant::now();
    for viewer in ["head", "leaves"] {
        folders.wait_for_status(viewer, "frozen", "dead", FAILURE_NOTICED.saturating_sub(began.elapsed()));
    }
    drop(frozen);

    // Gone for good, and said so: when the command returns, the node has ended and the others know.
    let left = folders.run("leaves", &["leave", "--output", "json"]).json();
    assert_eq!(left, serde_json::json!({ "node_id": "leaves", "left": true }));
    let (status, log) = leaves.ended();
    assert!(status.success(), "{status}: {log}");
    folders.wait_for_status("head", "leaves", "left", PATIENCE);
    let refused = folders.run("head", &["call", "system/get_system_info", "--on", "leaves"]).error(1);
    assert!(refused.starts_with("no_route (-32004): ") && refused.contains("leaves"), "{refused}");
    let refused = folders.run("leaves", &["start"]).error(1);
    assert!(refused.contains("has left its cluster") && refused.contains("join again"), "{refused}");
}

#[test]
fn a_node_stops_with_status_0_by_command_and_by_signal_and_comes_back_at_its_old_port() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let authority = head.authority();

    let stopped = folders.run("head", &["stop"]).ok();
    assert!(stopped.starts_with("head has stopped; `p2p start --dir "), "{stopped}");
    // The command has waited for the store, so that a start needs no pause.
    let again = folders.start("head");
    let (status, log) = head.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(again.authority(), authority);

    again.signal("TERM");
    let (status, log) = again.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(!folders.of("head/p2p.sock").exists());

    let third = folders.start("head");
    third.signal("INT");
    let (status, log) = third.ended();
    assert!(status.success(), "{status}: {log}");
}

#[test]
fn a_token_comes_from_a_file_or_standard_input_and_can_be_made_while_the_coordinator_is_off() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let authority = head.authority();
    folders.run("head", &["stop"]).ok();

    let offline = folders.run("head", &["token", "create", "--uses", "2", "--output", "json"]).json();
    assert_eq!(offline["authority"], *authority);
    let token = offline["token"].as_str().unwrap();
    let wrong = run({
        let mut command = folders.command("head", &["token", "create"]);
        command.env("P2P_STORE_PASSWORD", "wrong");
        command
    });
    assert!(wrong.error(1).starts_with("wrong password for "), "{wrong:?}");

    let _head = folders.start("head");
    let words = ["join", &*authority, "--advertise", "127.0.0.1", "--listen", "127.0.0.1:0", "--output", "json"];
    let file = folders.file("token", &format!("{token}\n"));
    let mut by_file = folders.command("file", &words);
    by_file.arg("--token-file").arg(&file);
    let mut by_file = Running::spawn(by_file);
    let events = by_file.wait_for("ready");
    let names: Vec<_> =
        events.iter().map(|event| event["event"].as_str().unwrap()).filter(|e| *e != "waiting_for_port").collect();
    assert_eq!(names, ["store_made", "connecting", "verified", "answering", "issued", "ready"]);
    assert_eq!(events[0]["recovery_key"].as_str().unwrap().len(), 47);

    let from_file = || std::fs::File::open(&file).unwrap();
    let mut by_input = folders.command("input", &words);
    by_input.stdin(from_file());
    Running::spawn(by_input).wait_for("ready");

    // That was the second of two uses.
    let mut third = folders.command("third", &words);
    third.arg("--token-file").arg(&file);
    let refused = run(third).error(1);
    assert!(refused.contains("already used") && refused.contains("`p2p token create`"), "{refused}");
}
