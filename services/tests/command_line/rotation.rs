//! The cluster's root, shown, changed and handed on by the command line.

use crate::harness::{Folders, PATIENCE, Running};

#[test]
fn the_root_is_shown_and_changed_although_its_holder_is_killed_and_the_key_is_handed_on() {
    let folders = Folders::new();
    let made = folders.init("head");
    let first_root = made["root_fingerprint"].as_str().unwrap().to_owned();
    let head = folders.start("head");
    let authority = head.authority();
    let worker = folders.join("w", "head", &authority);
    let token = folders.run("head", &["token", "create", "--role", "coordinator", "--quiet"]).ok();
    let mut command = folders.join_command("second", &authority, token.trim());
    command.args(["--role", "coordinator"]);
    let mut second = Running::spawn(command);
    second.wait_for("ready");
    for node in ["second", "w"] {
        folders.wait_for_status("head", node, "alive", PATIENCE);
    }

    let shown = folders.run("head", &["ca", "show"]).ok();
    assert!(shown.contains(&format!("sha256:{first_root}")) && shown.contains("held by head (this node)"), "{shown}");
    assert!(shown.contains("with the cluster") && shown.contains("issues     under this root"), "{shown}");
    let shown = folders.run("w", &["ca", "show"]).ok();
    assert!(shown.contains("none: this node is a worker"), "{shown}");
    let refused = folders.run("second", &["ca", "rotate"]).error(1);
    assert!(refused.contains("does not hold the root key") && refused.contains("`p2p ca share second`"), "{refused}");
    let refused = folders.run("head", &["ca", "rotate", "--finish"]).error(1);
    assert!(refused.contains("the root is not being changed; begin with `p2p ca rotate`"), "{refused}");
    let refused = folders.run("head", &["ca", "share", "w"]).error(1);
    assert!(refused.contains("w is a worker, and only coordinators hold the root key"), "{refused}");

    // A node is away when it begins, and then the one that has begun it is killed.
    worker.signal("KILL");
    worker.ended();
    let shown = folders.run("head", &["ca", "rotate", "--detach"]).ok();
    assert!(shown.contains("next root") && shown.contains("missing: "), "{shown}");
    head.signal("KILL");
    head.ended();
    let _head = folders.start("head");
    let shown = folders.run("head", &["ca", "show", "--output", "json"]).json();
    assert_eq!(shown["root"]["fingerprint"], first_root.as_str(), "it waits for the one that is away");
    assert_eq!(shown["rotation"]["by"], "head");
    let _worker = folders.start("w");
    let told = folders.run("head", &["ca", "rotate"]).ok();
    assert!(told.contains("The change of the root goes on.") && told.contains("3 of 3 nodes"), "{told}");
    let shown = folders.run("head", &["ca", "show", "--output", "json"]).json();
    let root = shown["root"]["fingerprint"].as_str().unwrap();
    assert!(root != first_root && told.contains(&format!("The cluster's root is sha256:{root} now")), "{told}");
    assert_eq!((&shown["rotation"], &shown["since"][1]), (&serde_json::Value::Null, &"head".into()));
    assert!(folders.run("w", &["call", "system/get_system_info", "--on", "second"]).ok().contains("\"second\""));

    let said = folders.run("head", &["ca", "share", "second"]).ok();
    assert!(said.contains("second holds the root key now, too"), "{said}");
    let shown = folders.run("second", &["ca", "show"]).ok();
    assert!(shown.contains("second (this node)"), "{shown}");
}
