//! Taking nodes and tokens back, and certificates, by the command line.

use crate::harness::{Folders, PATIENCE, Running, run};

#[test]
fn a_revoked_node_is_revoked_for_all_stays_so_over_a_restart_and_comes_back_by_a_token_that_names_it() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let authority = head.authority();
    let lost = folders.join("lost", "head", &authority);
    let _other = folders.join("other", "head", &authority);
    for viewer in ["head", "other"] {
        folders.wait_for_status(viewer, "lost", "alive", PATIENCE);
    }

    let refused = folders.run("other", &["node", "revoke", "lost"]).error(1);
    assert!(refused.contains("only coordinators revoke; run the command on a coordinator"), "{refused}");
    let refused = folders.run("head", &["node", "revoke", "head"]).error(1);
    assert!(refused.contains("head is this node itself; take it out with `p2p leave`"), "{refused}");

    let said = folders.run("head", &["node", "revoke", "lost", "--reason", "stolen laptop"]).ok();
    assert!(said.starts_with("node lost is revoked.") && said.contains("token create --node-id lost"), "{said}");
    let said = folders.run("head", &["node", "revoke", "lost"]).ok();
    assert!(said.contains("was revoked before; nothing has changed"), "{said}");
    for viewer in ["head", "other"] {
        folders.wait_for_status(viewer, "lost", "revoked", PATIENCE);
        let listed = folders.run(viewer, &["node", "revoked"]).ok();
        assert!(listed.contains("lost") && listed.contains("stolen laptop") && listed.contains("head"), "{listed}");
    }
    let said = folders.run("head", &["node", "revoke", "lots"]).ok();
    assert!(said.contains("No node of this name is known here"), "{said}");

    folders.run("head", &["stop"]).ok();
    let _head = folders.start("head");
    let listed = folders.run("head", &["node", "revoked", "--output", "json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 3, "the node, its key, and the one that nobody knows: {listed}");

    lost.signal("KILL");
    std::fs::remove_dir_all(folders.of("lost")).unwrap();
    let words = ["join", &*authority, "--node-id", "lost", "--advertise", "127.0.0.1", "--listen", "127.0.0.1:0"];
    let again = |token: &str| {
        let mut command = folders.command("lost", &words);
        command.args(["--output", "json", "--token", token]);
        command
    };
    let refused = run(again(&folders.token("head"))).error(1);
    assert!(refused.contains("the node lost was revoked") && refused.contains("token create --node-id lost"), "{refused}");
    let named = folders.run("head", &["token", "create", "--node-id", "lost", "--quiet"]).ok();
    let mut lost = crate::harness::Running::spawn(again(named.trim()));
    lost.wait_for("ready");
    for viewer in ["head", "other"] {
        folders.wait_for_status(viewer, "lost", "alive", PATIENCE);
    }
}

#[test]
fn of_a_lost_coordinator_what_it_has_issued_can_be_kept_and_is_revoked_where_that_is_not_said() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let token = folders.run("head", &["token", "create", "--role", "coordinator", "--quiet"]).ok();
    let mut command = folders.join_command("second", &head.authority(), token.trim());
    command.args(["--role", "coordinator"]);
    let mut second = Running::spawn(command);
    second.wait_for("ready");
    folders.wait_for_status("second", "head", "alive", PATIENCE);
    let began = std::time::Instant::now();
    while folders.run("second", &["ca", "show", "--output", "json"]).json()["authority"].is_null() {
        assert!(began.elapsed() < PATIENCE, "the second coordinator got no authority");
    }
    let _worker = folders.join("w", "second", &second.authority());
    folders.wait_for_status("head", "w", "alive", PATIENCE);
    let key = folders.run("second", &["ca", "show", "--output", "json"]).json()["authority"]["key"].as_str().unwrap().to_owned();
    let alive = folders.run("head", &["node", "revoke", "second", "--keep-issued"]).error(1);
    assert!(alive.contains("second is alive"), "{alive}");
    second.signal("KILL");
    second.ended();
    folders.wait_for_status("head", "second", "dead", PATIENCE);

    let both = folders.run("head", &["node", "revoke", "--key", &key, "--keep-issued"]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    let said = folders.run("head", &["node", "revoke", "second", "--keep-issued", "--reason", "its disk died"]).ok();
    assert!(said.starts_with("node second is revoked.") && !said.contains("Out with it"), "{said}");
    for part in [&format!("Still in force is its issuing authority {key}"), "cert renew", &format!("node revoke --key {key}")] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.contains("On what is in force still stand, as they were last seen: w."), "{said}");
    // Whoever has lost that can ask again.
    let again = folders.run("head", &["node", "revoke", "second", "--keep-issued"]).ok();
    assert!(again.starts_with("node second was revoked before") && again.contains(&key), "{again}");
    let greets = || folders.run("head", &["call", "system/get_system_info", "--on", "w"]);
    assert!(greets().ok().contains("\"w\""));
    // Where that is not said, its nodes are out with it, and named.
    let said = folders.run("head", &["node", "revoke", "second"]).ok();
    assert!(said.contains("Out with it, as it had issued their certificates: w."), "{said}");
    let again = folders.run("head", &["node", "revoke", "--key", &key]).ok();
    assert!(again.starts_with(&format!("key {key} was revoked before")) && again.contains(": w."), "{again}");
    let refused = greets().error(1);
    assert!(!refused.is_empty(), "{refused}");
    head.signal("TERM");
    let (_, log) = head.ended();
    let acts: Vec<_> =
        log.lines().filter(|line| line.contains("whom=\"node second\"") && line.contains("from=\"socket\"")).collect();
    let what: Vec<_> = acts.iter().filter_map(|line| line.split("what=\"").nth(1)?.split('"').next()).collect();
    assert_eq!(what, ["revoke --keep-issued", "revoke --keep-issued", "revoke --keep-issued", "revoke"], "{acts:#?}");
    assert!(acts[0].contains("outcome=\"failed\""), "{acts:#?}");
    let kept = format!("whom=\"key {key}\"");
    assert!(log.lines().any(|line| line.contains("what=\"keep in force\"") && line.contains(&kept)), "the key is told, too");
}

#[test]
fn join_tokens_are_listed_and_taken_back() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let token = folders.token("head");
    let listed = folders.run("head", &["token", "list", "--output", "json"]).json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert!(folders.run("head", &["token", "list"]).ok().contains("good for"));
    assert!(folders.run("head", &["token", "revoke", &id]).ok().contains("lets nobody in any more"));
    assert!(folders.run("head", &["token", "revoke", &id]).ok().contains("was revoked before"));
    assert!(folders.run("head", &["token", "list"]).ok().contains("revoked"));
    let mut join = folders.command("w", &["join", &head.authority(), "--advertise", "127.0.0.1", "--listen", "127.0.0.1:0"]);
    join.args(["--token", &token]);
    let refused = run(join).error(1);
    assert!(refused.contains("the join token was revoked"), "{refused}");
    let refused = folders.run("head", &["token", "revoke", "xyz"]).status;
    assert_eq!(refused.code(), Some(2), "no token id");
}

#[test]
fn a_certificate_is_shown_and_renewed_with_the_same_key() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let _worker = folders.join("w", "head", &head.authority());
    folders.wait_for_status("head", "w", "alive", PATIENCE);
    folders.wait_for_status("w", "head", "alive", PATIENCE);
    for (node, role) in [("head", "coordinator"), ("w", "worker")] {
        let before = folders.run(node, &["cert", "show", "--output", "json"]).json();
        assert_eq!((&before["node_id"], &before["role"]), (&node.into(), &role.into()));
        assert_eq!(before["addresses"], serde_json::json!(["127.0.0.1"]));
        let renewed = folders.run(node, &["cert", "renew", "--output", "json"]).json();
        assert_eq!(renewed["left_out"], serde_json::json!([]));
        let after = folders.run(node, &["cert", "show", "--output", "json"]).json();
        assert_eq!(after, renewed["certificate"]);
        assert_eq!(after["key"], before["key"]);
        assert_ne!(after["sha256"], before["sha256"]);
        let text = folders.run(node, &["cert", "show"]).ok();
        assert!(text.contains("364 days") && text.contains("renewed in"), "{text}");
    }
    assert!(folders.run("head", &["call", "system/get_system_info", "--on", "w"]).ok().contains("\"w\""));
}
