//! What is changed while the node does not run: the audit log tells of it when the node starts, once.

use std::fs;

use crate::harness::{Folders, PASSWORD, run_with_input};

/// Runs a node until it serves, and stops it. Gives what its audit log tells of acts on it while it was stopped.
#[track_caller]
fn told(folders: &Folders, name: &str) -> Vec<String> {
    let node = folders.start(name);
    node.signal("TERM");
    let (status, log) = node.ended();
    assert!(status.success(), "{log}");
    let is_it = |line: &&str| line.contains(" audit: ") && line.contains("from=\"offline\"");
    log.lines().filter(is_it).map(str::to_owned).collect()
}

/// Who runs the tests, as the audit log has it.
fn me() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let name =
        users.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string())).and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("who=\"user {uid}\""), |name| format!("who=\"user {name} (uid {uid})\""))
}

/// Each of these acts has a line, in this order, and nothing else has.
#[track_caller]
fn assert_told(lines: &[String], acts: &[[&str; 3]]) {
    assert_eq!(lines.len(), acts.len(), "{lines:#?}");
    for (line, [what, whom, why]) in lines.iter().zip(acts) {
        let (what, whom) = (format!("what=\"{what}\""), format!("whom=\"{whom}"));
        for part in [&*me(), &what, &whom, "outcome=\"done\"", "reason=\"on 20", " UTC", why] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[test]
fn what_is_changed_of_a_stopped_node_is_told_at_its_next_start_with_who_did_it_and_when() {
    let folders = Folders::new();
    folders.init("head");
    assert_eq!(told(&folders, "head"), Vec::<String>::new());
    let second = folders.file("second", "the second password");
    run_with_input(folders.command("head", &["store", "put", "services/mailer/smtp"]), b"a value").ok();
    folders.run("head", &["store", "rm", "services/mailer/smtp"]).ok();
    folders.run("head", &["config", "set", "log_level", "debug"]).ok();
    folders.run("head", &["config", "set", "rate_limit.rpc_requests", "600"]).ok();
    folders.run("head", &["config", "unset", "rate_limit.rpc_requests"]).ok();
    let token = folders.run("head", &["token", "create", "--uses", "2", "--output", "json"]).json();
    let new = ["store", "passwd", "--new-password-file", second.to_str().unwrap()];
    folders.run("head", &new).ok();
    let back = folders.file("back", PASSWORD);
    let again = ["store", "passwd", "--password-file", second.to_str().unwrap(), "--new-password-file", back.to_str().unwrap()];
    let mut command = folders.command("head", &again);
    command.env_remove("P2P_STORE_PASSWORD");
    run_with_input(command, b"").ok();
    // What changes nothing, and what fails.
    for words in [&["store", "ls"][..], &["store", "cat", "config/node.yaml"], &["store", "verify"], &["config", "show"]] {
        folders.run("head", words).ok();
    }
    folders.run("head", &["store", "rm", "services/mailer/smtp"]).error(1);
    folders.run("head", &["config", "set", "log_level", "loud"]).error(1);

    let lines = told(&folders, "head");
    assert_told(
        &lines,
        &[
            ["store put", "services/mailer/smtp\"", ""],
            ["store remove", "services/mailer/smtp\"", ""],
            ["config change the configuration", "-\"", "log_level"],
            ["config change the configuration", "-\"", "rate_limit.rpc_requests"],
            ["config change the configuration", "-\"", "rate_limit.rpc_requests"],
            ["join token create", "", "role worker, uses 2, approval auto"],
            ["store change password", "-\"", ""],
            ["store change password", "-\"", ""],
        ],
    );
    for secret in [token["token"].as_str().unwrap(), "a value"] {
        assert!(!lines.concat().contains(secret), "{lines:#?}");
    }
    assert_eq!(told(&folders, "head"), Vec::<String>::new(), "once");
}

#[test]
fn who_restores_or_recovers_a_store_is_told_with_each_token_and_request_that_went_with_it() {
    let folders = Folders::new();
    folders.init("head");
    let id = {
        let head = folders.start("head");
        folders.run("head", &["token", "create", "--approve", "manual"]).ok();
        let tokens = folders.run("head", &["token", "list", "--output", "json"]).json();
        let backup = folders.of("backup");
        folders.run("head", &["store", "backup", backup.to_str().unwrap()]).ok();
        head.signal("TERM");
        assert!(head.ended().0.success());
        tokens[0]["id"].as_str().unwrap().to_owned()
    };
    let backup = folders.of("backup");
    folders.run("again", &["store", "restore", backup.to_str().unwrap()]).ok();
    let why = "it stood open in a store that went back in time";
    let counted = format!("open join tokens taken back: 1, requests to join dropped: 0: {id}");
    let restored = ["store restore", "-\"", &counted];
    assert_told(&told(&folders, "again"), &[restored, ["take back the join token", &format!("{id}\""), why]]);

    let file = folders.of("head/store.p2p");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    folders.run("head", &["store", "recover", "--yes"]).ok();
    let lines = told(&folders, "head");
    assert!(lines[0].contains("what=\"store recover\"") && lines[0].contains(&me()), "{lines:#?}");
}

#[test]
fn the_audit_log_is_written_whatever_the_level_of_the_log_is() {
    let folders = Folders::new();
    folders.init("head");
    folders.run("head", &["config", "set", "log_level", "error"]).ok();
    assert_told(&told(&folders, "head"), &[["config change the configuration", "-\"", "log_level"]]);
    assert_eq!(told(&folders, "head"), Vec::<String>::new(), "once");
}
