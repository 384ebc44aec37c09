//! `p2p store`: with a node and without one.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    harness::{Ended, Folders, PASSWORD, mode, run, run_with_input},
    terminal::Terminal,
};

/// `p2p store …`, with the usual password.
fn store(folders: &Folders, node: &str, words: &[&str]) -> Ended {
    folders.run(node, &[&["store"], words].concat())
}

fn json(folders: &Folders, node: &str, words: &[&str]) -> Value {
    store(folders, node, &[words, &["--output", "json"]].concat()).json()
}

fn put(folders: &Folders, node: &str, path: &str, value: &[u8]) -> String {
    run_with_input(folders.command(node, &["store", "put", path]), value).ok()
}

fn with_password(folders: &Folders, node: &str, words: &[&str], password: &str) -> Ended {
    let mut command = folders.command(node, &[&["store"], words].concat());
    command.env("P2P_STORE_PASSWORD", password);
    run(command)
}

fn flip_last_byte(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn entries_are_put_listed_read_and_removed_with_a_node_and_without_one() {
    let folders = Folders::new();
    folders.init("head");
    let mut node = None;
    for round in ["without a node", "with a node"] {
        if round == "with a node" {
            node = Some(folders.start("head"));
        }
        // Every byte, newlines included.
        let value: Vec<u8> = (0..=255).chain(*b"\n\n").collect();
        let said = put(&folders, "head", "services/mailer/smtp", &value);
        assert_eq!(said, "services/mailer/smtp holds 258 bytes.\n", "{round}");
        let said = put(&folders, "head", "services/mailer/smtp", b"a password\n");
        assert!(said.contains("in place of what it held"), "{round}: {said}");
        assert_eq!(store(&folders, "head", &["cat", "services/mailer/smtp"]).ok(), "a password\n");
        let found = json(&folders, "head", &["cat", "services/mailer/smtp"]);
        assert_eq!((&found["size"], &found["base64"]), (&11.into(), &"YSBwYXNzd29yZAo=".into()));

        let listed = store(&folders, "head", &["ls", "services/"]).ok();
        assert_eq!(listed, "PATH                  SIZE\nservices/mailer/smtp  11\n", "{round}");
        let all = json(&folders, "head", &["ls"]);
        let paths: Vec<_> = all.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
        assert!(paths.contains(&"config/node.yaml") && paths.contains(&"identity/node.key"), "{paths:?}");

        assert_eq!(store(&folders, "head", &["rm", "services/mailer/smtp"]).ok(), "services/mailer/smtp is removed.\n");
        for words in [["rm", "services/mailer/smtp"], ["cat", "services/mailer/smtp"]] {
            let error = store(&folders, "head", &words).error(1);
            assert!(error.contains("no entry services/mailer/smtp") && error.contains("`p2p store ls`"), "{round}: {error}");
        }
        let error = run_with_input(folders.command("head", &["store", "put", "../up"]), b"x").error(1);
        assert!(error.contains("no path for an entry"), "{round}: {error}");
        // Over the socket as well.
        for words in [
            &["ls"][..],
            &["cat", "config/node.yaml"],
            &["put", "config/node.yaml"],
            &["rm", "config/node.yaml"],
            &["verify"],
            &["backup", "/nowhere/x"],
        ] {
            let error = with_password(&folders, "head", words, "wrong").error(1);
            assert!(error.contains("wrong password for ") && error.contains("recovery key"), "{words:?} {round}: {error}");
        }
    }
    drop(node);
}

/// Types these at what a command asks for, one after the other; gives how it ended.
fn typed(folders: &Folders, words: &[&str], answers: &[(&str, &str)]) -> Ended {
    let mut command = folders.command("head", words);
    command.env_remove("P2P_STORE_PASSWORD");
    let mut terminal = Terminal::run_in_session(&command);
    for (question, answer) in answers {
        terminal.wait_for(question);
        terminal.type_secret(answer);
    }
    let ended = terminal.ended();
    assert!(answers.iter().all(|(_, answer)| !ended.stderr.contains(answer)), "what was typed is not shown: {ended:?}");
    ended
}

#[test]
fn a_password_is_asked_for_at_the_terminal_a_new_one_twice_and_is_never_shown() {
    const NEW: &str = "New password for the node's store: ";
    const AGAIN: &str = "The same again: ";
    const OPEN: &str = "Password of the node's store: ";
    let folders = Folders::new();
    let init = ["init", "--node-id", "head", "--advertise", "127.0.0.1", "--listen", "127.0.0.1:0"];
    let differing = typed(&folders, &init, &[(NEW, "typed first"), (AGAIN, "typed otherwise")]);
    assert!(differing.error(1).contains("the two passwords differ; run the command again"), "{differing:?}");
    assert!(!folders.of("head").exists());
    typed(&folders, &init, &[(NEW, "typed twice"), (AGAIN, "typed twice")]).ok();

    let wrong = typed(&folders, &["store", "ls"], &[(OPEN, "typed twyce")]);
    assert!(wrong.error(1).contains("wrong password for "), "{wrong:?}");
    let listed = typed(&folders, &["store", "ls"], &[(OPEN, "typed twice")]);
    assert!(listed.ok().contains("config/node.yaml"));
}

#[test]
fn a_value_and_a_password_do_not_both_come_by_standard_input() {
    let folders = Folders::new();
    folders.init("head");
    let command = folders.command("head", &["store", "put", "a", "--password-fd", "0"]);
    let error = run_with_input(command, PASSWORD.as_bytes()).error(1);
    assert!(error.contains("both the password and the value"), "{error}");
    let file = folders.file("value", "from a file");
    let words = ["store", "put", "a", "--password-fd", "0", "--file", file.to_str().unwrap()];
    let command = folders.command("head", &words);
    run_with_input(command, PASSWORD.as_bytes()).ok();
    assert_eq!(store(&folders, "head", &["cat", "a"]).ok(), "from a file");
}

#[test]
fn a_backup_of_a_running_node_is_restored_in_a_new_folder_and_lets_nobody_in_by_tokens_from_before() {
    let folders = Folders::new();
    folders.init("head");
    let token = {
        let head = folders.start("head");
        let token = folders.token("head");
        put(&folders, "head", "services/a", b"in the backup");
        let backup = folders.of("backup");
        let words = ["backup", backup.to_str().unwrap()];
        let found = json(&folders, "head", &words);
        assert_eq!(found["size"], fs::metadata(&backup).unwrap().len());
        assert_eq!(mode(&backup), 0o600);
        let error = store(&folders, "head", &words).error(1);
        assert!(error.contains("exists already and was left as it is"), "{error}");
        put(&folders, "head", "services/a", b"after it");
        head.signal("KILL");
        head.ended();
        token
    };
    let backup = folders.of("backup");
    let restore = ["restore", backup.to_str().unwrap()];
    let error = store(&folders, "head", &restore).error(1);
    assert!(error.contains("exists already and was left as it is"), "{error}");
    let error = with_password(&folders, "again", &restore, "wrong").error(1);
    assert!(error.contains("wrong password for ") && !folders.of("again").exists(), "{error}");
    let restored = json(&folders, "again", &restore);
    assert_eq!(restored["voided_tokens"], 1);
    assert_eq!(store(&folders, "again", &["cat", "services/a"]).ok(), "in the backup");

    let again = folders.start("again");
    assert_eq!(again.ready["node_id"], "head");
    let error = run(folders.join_command("worker", &again.authority(), &token)).error(1);
    assert!(error.contains("the join token was revoked"), "{error}");
    drop(again);
    // What went on is as it was.
    assert_eq!(store(&folders, "head", &["cat", "services/a"]).ok(), "after it");
}

#[test]
fn a_damaged_store_is_verified_and_recovered_once_somebody_agrees() {
    let folders = Folders::new();
    folders.init("head");
    let token = folders.token("head");
    // Each is a process, and so a save.
    for value in ["1", "2"] {
        put(&folders, "head", "services/a", value.as_bytes());
    }
    let found = json(&folders, "head", &["verify"]);
    assert_eq!(found["sound"], true);
    assert_eq!(found["saves"].as_array().unwrap().len(), 4);
    let shown = store(&folders, "head", &["verify"]).ok();
    assert!(shown.starts_with("FILE") && shown.contains("store.p2p.3") && shown.contains("sound"), "{shown}");
    assert_eq!(json(&folders, "head", &["recover"])["needed"], false);

    let file = folders.of("head/store.p2p");
    let damaged = flip_last_byte(&file);
    let error = folders.run("head", &["start"]).error(1);
    assert!(error.contains("damaged") && error.contains("`p2p store recover`"), "{error}");
    let verified = store(&folders, "head", &["verify"]);
    assert!(verified.error(1).contains("store recover --dir"), "{verified:?}");
    assert!(verified.stdout.contains("damaged (record "), "{verified:?}");

    let refused = store(&folders, "head", &["recover"]);
    assert!(refused.error(1).starts_with("nothing was changed; `p2p store recover --yes --dir"), "{refused:?}");
    assert!(refused.stdout.contains("if anything, is lost"), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), damaged);

    let done = json(&folders, "head", &["recover", "--yes"]);
    assert_eq!((&done["needed"], &done["voided_tokens"]), (&true.into(), &1.into()), "{done}");
    let aside = Path::new(done["aside"].as_str().unwrap());
    assert_eq!(fs::read(aside.join("store.p2p")).unwrap(), damaged);
    assert_eq!(store(&folders, "head", &["cat", "services/a"]).ok(), "1");
    let head = folders.start("head");
    let error = run(folders.join_command("worker", &head.authority(), &token)).error(1);
    assert!(error.contains("the join token was revoked"), "{error}");
    let error = store(&folders, "head", &["recover"]).error(1);
    assert!(error.contains("in use by process") && error.contains("stop it first"), "{error}");
    assert_eq!(json(&folders, "head", &["verify"])["sound"], true, "also by the node that runs");
}

#[test]
fn the_password_is_changed_by_a_running_node_and_by_the_recovery_key_when_it_is_lost() {
    let folders = Folders::new();
    let made = folders.init("head");
    let head = folders.start("head");
    let second = folders.file("second", "the second password\n");
    let words = ["passwd", "--new-password-file", second.to_str().unwrap()];
    let error = with_password(&folders, "head", &words, "wrong").error(1);
    assert!(error.contains("wrong password for "), "{error}");
    assert!(store(&folders, "head", &words).ok().contains("with the new password from now on"));
    assert!(store(&folders, "head", &["ls"]).error(1).contains("wrong password for "));
    with_password(&folders, "head", &["ls"], "the second password").ok();
    head.signal("TERM");
    assert!(head.ended().0.success());

    let key = folders.file("key", made["recovery_key"].as_str().unwrap());
    let third = folders.file("third", "the third");
    let lost = ["passwd", "--recovery-key-file", key.to_str().unwrap(), "--new-password-file", third.to_str().unwrap()];
    assert_eq!(json(&folders, "head", &lost)["changed"], true);
    with_password(&folders, "head", &["ls"], "the third").ok();
    let wrong = folders.file("key", "not a recovery key");
    let error = store(&folders, "head", &["verify", "--recovery-key-file", wrong.to_str().unwrap()]).error(1);
    assert!(error.contains("this is not a recovery key"), "{error}");
    let open = folders.file("open", "x");
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = with_password(&folders, "head", &["passwd", "--new-password-file", open.to_str().unwrap()], "the third");
    assert!(error.error(1).contains("may be read by other users"), "{error:?}");
}

#[test]
fn a_node_that_is_stopped_in_good_order_leaves_an_empty_log_and_a_killed_one_all_that_was_acknowledged() {
    let folders = Folders::new();
    folders.init("head");
    let records = || json(&folders, "head", &["verify"])["saves"][0]["revision"]["records"].as_u64().unwrap();
    let head = folders.start("head");
    put(&folders, "head", "a", b"1");
    assert!(records() > 0, "a single write goes to the log");
    head.signal("KILL");
    head.ended();
    assert!(records() > 0);
    assert_eq!(store(&folders, "head", &["cat", "a"]).ok(), "1");
    let head = folders.start("head");
    put(&folders, "head", "a", b"2");
    head.signal("TERM");
    assert!(head.ended().0.success());
    assert_eq!(records(), 0);
    assert_eq!(store(&folders, "head", &["cat", "a"]).ok(), "2");
}
