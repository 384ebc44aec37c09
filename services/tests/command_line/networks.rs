//! Join tokens that may be used only in some networks, made and listed at the command line.

use crate::harness::{Folders, run};

#[test]
fn a_token_for_some_networks_is_made_shown_and_used_only_there() {
    let folders = Folders::new();
    folders.init("head");
    // Where the coordinator does not run, too.
    let offline = folders.run("head", &["token", "create", "--cidr", "10.1.0.0/16,fd00::/8", "--cidr", "192.0.2.7"]).ok();
    assert!(offline.contains("It lets one worker in within 24 h, only in 10.1.0.0/16, fd00::/8, 192.0.2.7,"), "{offline}");
    let token = offline.lines().next().unwrap().to_owned();
    let head = folders.start("head");
    let listed = folders.run("head", &["token", "list", "--output", "json"]).json();
    assert_eq!(listed[0]["networks"], serde_json::json!(["10.1.0.0/16", "fd00::/8", "192.0.2.7"]), "{listed}");
    let table = folders.run("head", &["token", "list"]).ok();
    assert!(table.contains("NETWORKS") && table.contains("10.1.0.0/16, fd00::/8, 192.0.2.7"), "{table}");

    let refused = run(folders.join_command("worker", &head.authority(), &token)).error(1);
    for part in ["used only in 10.1.0.0/16, fd00::/8, 192.0.2.7,", "comes from 127.0.0.1;"] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
    assert_eq!(folders.run("head", &["token", "list", "--output", "json"]).json()[0]["uses_left"], 1);

    let here = folders.run("head", &["token", "create", "--cidr", "127.0.0.0/8", "--quiet"]).ok();
    let mut worker = crate::harness::Running::spawn(folders.join_command("worker", &head.authority(), here.trim()));
    worker.wait_for("ready");
}

#[test]
fn the_help_says_that_networks_bind_the_join_and_not_what_the_node_does_later() {
    let help = Folders::new().run("head", &["token", "create", "--help"]).ok();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "It binds the join alone: when the node's address changes later, its certificate is renewed for the new one, wherever that is";
    assert!(help.contains(says), "{help}");
}

#[test]
fn what_is_no_network_makes_no_token_and_the_error_shows_the_form() {
    let folders = Folders::new();
    folders.init("head");
    for bad in ["10.0.0.0/33", "office", "", "10.0.0.0/8,,fd00::/8", "fd00::/129", "10.0.0.0/8 fd00::/8"] {
        let error = folders.run("head", &["token", "create", "--cidr", bad]).error(2);
        assert!(
            error.contains("--cidr") && error.contains("is no network; write an address such as 10.0.0.7"),
            "{bad:?}: {error}"
        );
    }
}
