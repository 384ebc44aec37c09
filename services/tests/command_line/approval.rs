//! Manual approval as an operator lives with it.

use std::io::Read;

use serde_json::Value;

use crate::{
    harness::{Folders, PATIENCE, Running, run},
    terminal::Terminal,
};

/// The last of these events.
fn last(events: &[Value]) -> &Value {
    events.last().unwrap()
}

fn manual_token(folders: &Folders, coordinator: &str) -> String {
    folders.run(coordinator, &["token", "create", "--approve", "manual", "--quiet"]).ok().trim().to_owned()
}

#[test]
fn a_node_waits_survives_an_interruption_and_the_coordinators_death_and_comes_in_when_it_is_approved() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let authority = head.authority();
    assert_eq!(folders.run("head", &["node", "pending"]).ok(), "No node waits for approval at this coordinator.\n");
    let shown = folders.run("head", &["token", "create", "--approve", "manual", "--uses", "2"]).ok();
    assert!(shown.contains("each once it was approved with `p2p node approve ID"), "{shown}");
    let token = manual_token(&folders, "head");
    let listed = folders.run("head", &["token", "list"]).ok();
    assert!(listed.contains("APPROVAL") && listed.contains("manual"), "{listed}");

    let mut worker = Running::spawn(folders.join_command("w7", &authority, &token));
    let waiting = last(&worker.wait_for("waiting_for_approval")).clone();
    assert_eq!((&waiting["node_id"], &waiting["coordinator"]), (&"w7".into(), &"head".into()));
    let key = waiting["key"].as_str().unwrap().to_owned();
    worker.signal("INT");
    worker.ended();
    // The same command again, this time with the coordinator killed meanwhile.
    let mut worker = Running::spawn(folders.join_command("w7", &authority, &token));
    assert_eq!(last(&worker.wait_for("waiting_for_approval"))["key"], *key);
    head.signal("KILL");
    head.ended();
    let away = last(&worker.wait_for("coordinator_away")).clone();
    assert!(away["wait_ms"].as_u64().unwrap() > 0, "{away}");
    let head = folders.start("head");

    let pending = folders.run("head", &["node", "pending", "--output", "json"]).json();
    let [pending] = pending.as_array().unwrap().as_slice() else { panic!("one waits: {pending}") };
    assert_eq!((&pending["node_id"], &pending["key"]), (&"w7".into(), &key.as_str().into()));
    assert_eq!(pending["addresses"], serde_json::json!(["127.0.0.1"]));
    let listed = folders.run("head", &["node", "pending"]).ok();
    for part in ["NODE", "w7", "worker", "127.0.0.1", &format!("sha256:{key}"), "EXPIRES IN", "waits"] {
        assert!(listed.contains(part), "{part} in {listed}");
    }

    // Where nobody sits at a terminal, the key has to be named, and the right one.
    let unsaid = folders.run("head", &["node", "approve", "w7"]).error(1);
    assert!(unsaid.contains(&format!("`p2p node approve w7 --key sha256:{key} --dir ")), "{unsaid}");
    let other = folders.run("head", &["node", "approve", "w7", "--key", &"ab".repeat(32)]).error(1);
    assert!(other.contains("no node w7 with the key sha256:abab") && other.contains(&key), "{other}");
    let approved = folders.run("head", &["node", "approve", "w7", "--key", &format!("sha256:{key}")]).ok();
    assert!(approved.starts_with("w7 is approved as a worker, at 127.0.0.1, with the key sha256:"), "{approved}");
    worker.wait_for("ready");
    folders.wait_for_status("head", "w7", "alive", PATIENCE);
    let again = folders.run("head", &["node", "approve", "w7"]).error(1);
    assert!(again.contains("w7 was approved before and has joined") && again.contains("`p2p node revoke w7`"), "{again}");

    head.signal("TERM");
    let (_, log) = head.ended();
    assert!(log.contains("what=\"node approve\" whom=\"w7 (worker), key sha256:"), "{log}");
}

#[test]
fn whoever_sits_at_a_terminal_is_shown_the_request_and_only_yes_lets_the_node_in() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let token = manual_token(&folders, "head");
    let mut worker = Running::spawn(folders.join_command("w7", &head.authority(), &token));
    let key = last(&worker.wait_for("waiting_for_approval"))["key"].as_str().unwrap().to_owned();
    let token_id = folders.run("head", &["node", "pending", "--output", "json"]).json()[0]["token"].as_str().unwrap().to_owned();
    for answer in ["no", "y", "", "yes, if it is ours"] {
        let mut terminal = Terminal::run(folders.command("head", &["node", "approve", "w7"]));
        let shown = terminal.wait_for("Type yes to do it: ");
        for part in ["w7 (worker)", "addresses  127.0.0.1", &format!("sha256:{key}"), &token_id, "Compare the key"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        terminal.type_line(answer);
        let ended = terminal.ended();
        let said = ended.error(1);
        assert!(said.starts_with("nothing was changed; ") && said.contains(&format!("--key sha256:{key}")), "{said}");
        assert_eq!(ended.stdout, "");
        let pending = folders.run("head", &["node", "pending", "--output", "json"]).json();
        assert!(pending[0]["approved"].is_null(), "{answer:?}: {pending}");
    }
    let mut terminal = Terminal::run(folders.command("head", &["node", "approve", "w7"]));
    terminal.wait_for("Type yes to do it: ");
    terminal.type_line("yes");
    let said = terminal.ended().ok();
    assert!(said.starts_with("w7 is approved as a worker, at 127.0.0.1, with the key sha256:"), "{said}");
    worker.wait_for("ready");
    // Where the key is named nothing is asked, nor where the command cannot be answered.
    let unasked = Terminal::run(folders.command("head", &["node", "approve", "w7", "--key", &key])).ended();
    assert!(unasked.error(1).contains("was approved before") && !unasked.stderr.contains("Type yes"), "{unasked:?}");
}

#[test]
fn a_denied_node_is_told_why_and_ends_with_what_to_do() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let token = manual_token(&folders, "head");
    let mut worker = Running::spawn(folders.join_command("w", &head.authority(), &token));
    worker.wait_for("waiting_for_approval");
    let denied = folders.run("head", &["node", "deny", "w", "--reason", "not one of ours"]).ok();
    assert!(denied.contains("is denied, and is told so") && denied.contains("is not given back"), "{denied}");
    let (status, log) = worker.ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("an operator denied that w joins (not one of ours)") && log.contains("fresh token"), "{log}");
    let again = run(folders.join_command("w", &head.authority(), &token)).error(1);
    assert!(again.contains("an operator denied that w joins"), "{again}");
    for (act, said) in [("approve", "w was denied before"), ("deny", "w was denied before")] {
        assert!(folders.run("head", &["node", act, "w"]).error(1).contains(said));
    }
    let unknown = folders.run("head", &["node", "deny", "nobody"]).error(1);
    assert!(unknown.contains("no node nobody waits for approval") && unknown.contains("`p2p join`"), "{unknown}");
    let kind = folders.run("head", &["token", "create", "--approve", "maybe"]).error(2);
    assert!(kind.contains("write auto") && kind.contains("manual"), "{kind}");
}

#[test]
fn what_a_person_reads_while_a_node_waits_names_the_command_and_the_key() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let token = manual_token(&folders, "head");
    let mut command = folders.command("w", &["join", &head.authority(), "--node-id", "w", "--advertise", "127.0.0.1"]);
    command.env("P2P_JOIN_TOKEN", &token).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut said, mut bytes) = (String::new(), [0; 512]);
    while !said.contains("the same command goes on") {
        let read = out.read(&mut bytes).unwrap();
        assert_ne!(read, 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("waiting for approval: on the coordinator head run `p2p node approve w` (key sha256:"), "{said}");
    assert!(said.contains("It can be approved for 7 days."), "{said}");
}

#[test]
fn a_restored_backup_forgets_its_requests_as_what_was_decided_since_is_not_known() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let token = manual_token(&folders, "head");
    let mut worker = Running::spawn(folders.join_command("w", &head.authority(), &token));
    worker.wait_for("waiting_for_approval");
    let backup = folders.of("backup");
    folders.run("head", &["store", "backup", backup.to_str().unwrap()]).ok();
    worker.signal("KILL");
    worker.ended();
    head.signal("KILL");
    head.ended();
    folders.run("again", &["store", "restore", backup.to_str().unwrap()]).ok();
    let again = folders.start("again");
    assert_eq!(folders.run("again", &["node", "pending"]).ok(), "No node waits for approval at this coordinator.\n");
    let refused = run(folders.join_command("w", &again.authority(), &token)).error(1);
    assert!(refused.contains("already used") && refused.contains("`p2p token create`"), "{refused}");
}
