//! `p2p config`: with a node and without one.

use std::fs;

use crate::{
    harness::{Ended, Folders, PASSWORD, mode, run, run_with_input},
    terminal::Terminal,
};

/// `p2p config …`, with the usual password.
fn config(folders: &Folders, words: &[&str]) -> Ended {
    folders.run("head", &[&["config"], words].concat())
}

/// `p2p config edit …` with this editor, whose files go to a folder of the test.
fn edit(folders: &Folders, words: &[&str], editor: &str) -> Ended {
    let session = folders.of("session");
    fs::create_dir_all(&session).unwrap();
    let mut command = folders.command("head", &[&["config", "edit"], words].concat());
    command.env("EDITOR", editor).env("XDG_RUNTIME_DIR", session);
    run(command)
}

fn value(folders: &Folders, key: &str) -> (String, bool) {
    let shown = config(folders, &["show", key, "--output", "json"]).json();
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["key"]), (1, &key.into()), "{shown}");
    (shown[0]["value"].as_str().unwrap().to_owned(), shown[0]["is_set"].as_bool().unwrap())
}

#[test]
fn keys_are_shown_set_and_unset_with_a_node_and_without_one() {
    let folders = Folders::new();
    folders.init("head");
    let mut node = None;
    for (round, live, restart) in
        [("without a node", "when the node starts", "when the node starts"), ("with a node", "now", "from the next start on")]
    {
        if round == "with a node" {
            node = Some(folders.start("head"));
        }
        assert_eq!(value(&folders, "rate_limit.rpc_requests"), ("100".to_owned(), false), "{round}");
        let said = config(&folders, &["set", "rate_limit.rpc_requests", "600"]).ok();
        assert!(said.contains("rate_limit.rpc_requests  100  600  ") && said.contains(live), "{round}: {said}");
        assert!(!said.contains("start the node again"), "{round}: {said}");
        assert_eq!(value(&folders, "rate_limit.rpc_requests"), ("600".to_owned(), true));
        // The original's name, and a value that waits.
        let said = config(&folders, &["set", "gossip_interval_max", "60"]).ok();
        assert!(said.contains("gossip.interval_max  30s  1m  ") && said.contains(restart), "{round}: {said}");
        assert_eq!(said.contains("start the node again: "), round == "with a node", "{round}: {said}");
        assert_eq!(config(&folders, &["set", "gossip.interval_max", "60s"]).ok(), "Nothing was changed.\n");

        let shown = config(&folders, &["show", "rate_limit"]).ok();
        assert!(shown.contains("rate_limit.rpc_requests") && shown.contains("rate_limit.enabled"), "{shown}");
        assert!(!shown.contains("gossip"), "{shown}");
        let shown = config(&folders, &["show"]).ok();
        assert!(shown.lines().any(|line| line.starts_with("gossip.interval_max") && line.ends_with("set")), "{shown}");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.lines().any(|line| words(line) == "connections.max_body 4 MiB default"), "{shown}");

        config(&folders, &["unset", "rate_limit.rpc_requests"]).ok();
        config(&folders, &["unset", "gossip.interval_max"]).ok();
        assert_eq!(value(&folders, "rate_limit.rpc_requests"), ("100".to_owned(), false));
        for (words, said) in [
            (
                &["set", "rate_limit.rpc_requests", "0"][..],
                "rate_limit.rpc_requests is \"0\"; it takes a whole number, from 1 to",
            ),
            (
                &["set", "rate_limit.rpc_request", "1"],
                "there is no setting rate_limit.rpc_request; is rate_limit.rpc_requests meant?",
            ),
            (&["unset", "rate_limit.rpc_request"], "is rate_limit.rpc_requests meant?"),
            (&["show", "rate_limits"], "there is no setting rate_limits"),
            (&["unset", "listen"], "listen is missing; it takes an address with a port"),
            (&["set", "ssl_verify", "false"], "ssl_verify is refused: a certificate that is not verified proves nothing"),
            (&["set", "JWT_ALGORITHM", "HS256"], "JWT_ALGORITHM is refused"),
        ] {
            let error = config(&folders, words).error(1);
            assert!(error.contains(said), "{round}: {error}");
        }
        let mut command = folders.command("head", &["config", "set", "log_level", "debug"]);
        command.env("P2P_STORE_PASSWORD", "wrong");
        let error = run(command).error(1);
        assert!(error.contains("wrong password for "), "{round}: {error}");
        assert_eq!(value(&folders, "log_level"), ("info".to_owned(), false));
    }
    drop(node);
}

#[test]
fn a_value_with_a_secret_in_it_comes_by_standard_input() {
    let folders = Folders::new();
    folders.init("head");
    let set = |key: &str| folders.command("head", &["config", "set", key, "-"]);
    let said = run_with_input(set("redis.url"), b"redis://:hunter2@localhost:6379\n").ok();
    assert!(said.contains("redis://…@localhost:6379") && !said.contains("hunter2"), "{said}");
    let kept = folders.run("head", &["store", "cat", "config/node.yaml"]).ok();
    assert!(kept.contains("redis://:hunter2@localhost:6379"), "{kept}");
    run_with_input(set("rate_limit.rpc_requests"), b"600").ok();
    assert_eq!(value(&folders, "rate_limit.rpc_requests"), ("600".to_owned(), true));

    for input in [&b""[..], b"\n"] {
        let error = run_with_input(set("redis.url"), input).error(1);
        assert!(
            error.starts_with("standard input holds no value for redis.url; type `p2p config set redis.url - --dir "),
            "{error}"
        );
    }
    let error = run_with_input(set("redis.url"), b"redis://\xff").error(1);
    assert!(error.starts_with("standard input holds no UTF-8") && error.ends_with("give it as text"), "{error}");
    let mut both = set("redis.url");
    both.args(["--password-fd", "0"]);
    let error = run_with_input(both, PASSWORD.as_bytes()).error(1);
    assert!(error.starts_with("standard input cannot give both the password and the value; give the password with "), "{error}");
    let seen = Terminal::run(set("redis.url")).ended();
    assert_eq!(seen.status.code(), Some(1));
    assert!(seen.stderr.contains("a terminal here, where it could be seen; write it into a file that you alone"), "{seen:?}");
    assert!(seen.stderr.contains("type `p2p config set redis.url - --dir ") && seen.stderr.contains(" < FILE`"), "{seen:?}");
    assert!(folders.run("head", &["config", "set", "--help"]).ok().contains("config set redis.url - < "), "it has an example");
}

#[test]
fn what_is_edited_is_checked_and_stored_and_text_that_cannot_be_used_is_kept() {
    let folders = Folders::new();
    folders.init("head");
    let session = folders.of("session");
    assert_eq!(edit(&folders, &[], "true").ok(), "Nothing was changed.\n");
    let said = edit(&folders, &[], "sed -i 's/^# log_level: info/log_level: debug/'").ok();
    assert!(said.contains("log_level  info  debug"), "{said}");
    assert_eq!(fs::read_dir(&session).unwrap().count(), 0, "nothing is left in the folder");
    let error = edit(&folders, &[], "false").error(1);
    assert!(error.contains("the editor `false` failed") && error.contains("nothing was changed"), "{error}");
    assert_eq!(fs::read_dir(&session).unwrap().count(), 0);

    let error =
        edit(&folders, &[], "sed -i 's/^log_level: debug/log_level: loud/; s/^# cache.capacity: .*/cache.capacity: 1/'").error(1);
    for said in ["log_level is \"loud\"", "cache.capacity is \"1\"; it takes a size", "nothing was stored", "config edit --from "]
    {
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(value(&folders, "log_level"), ("debug".to_owned(), true));
    let kept = fs::read_dir(&session).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&kept), 0o600);
    let from = kept.to_str().unwrap();
    let said = edit(&folders, &["--from", from], "sed -i 's/: loud/: trace/; s/^cache.capacity: 1$/cache.capacity: 1 MiB/'").ok();
    assert!(said.contains("log_level       debug   trace") && said.contains("cache.capacity  16 MiB  1 MiB"), "{said}");
    assert_eq!(fs::read_dir(&session).unwrap().count(), 0, "the kept text is gone with the need for it");
}

#[test]
fn a_file_of_ones_own_that_is_edited_stays_and_text_that_cannot_be_read_is_kept() {
    let folders = Folders::new();
    folders.init("head");
    let own = folders.of("my-node.yaml");
    edit(&folders, &[], &format!("sed 's/^# log_level: info/log_level: debug/' > {} <", own.display())).ok();
    let written = fs::read(&own).unwrap();
    edit(&folders, &["--from", own.to_str().unwrap()], "true").ok();
    assert_eq!(value(&folders, "log_level"), ("debug".to_owned(), true));
    assert_eq!(fs::read(&own).unwrap(), written);

    let error = edit(&folders, &[], "printf 'log_level: \\351\\n' >").error(1);
    assert!(error.contains("config edit --from "), "{error}");
    let kept = error.split("--from ").nth(1).unwrap().split(['`', ' ', '\'']).find(|part| !part.is_empty()).unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"log_level: \xe9\n");
    fs::remove_file(kept).unwrap();
}

#[test]
fn an_editor_that_takes_the_file_away_changes_nothing_and_no_file_is_named_to_go_on_with() {
    let folders = Folders::new();
    folders.init("head");
    let error = edit(&folders, &[], "rm").error(1);
    for part in ["the editor left no file ", "nothing was changed", "run `p2p config edit --dir "] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("--from"), "{error}");
    let own = folders.file("own.yaml", "log_level: debug\n");
    let error = edit(&folders, &["--from", own.to_str().unwrap()], "rm").error(1);
    assert!(error.contains(&format!("run `p2p config edit --from {}", own.display())), "{error}");
    assert_eq!(value(&folders, "log_level"), ("info".to_owned(), false));
}

#[test]
fn the_text_in_the_editor_can_be_read_by_its_user_only() {
    let folders = Folders::new();
    folders.init("head");
    let seen = folders.of("seen");
    edit(&folders, &[], &format!("stat -c %a > '{}'", seen.display())).ok();
    assert_eq!(fs::read_to_string(seen).unwrap(), "600\n");
}

#[test]
fn the_editor_does_not_get_the_secrets_of_the_environment() {
    let folders = Folders::new();
    folders.init("head");
    let seen = folders.of("seen");
    let mut command = folders.command("head", &["config", "edit"]);
    command.env("EDITOR", format!("env > '{}'; true", seen.display())).env("XDG_RUNTIME_DIR", folders.of(""));
    for (name, value) in [("P2P_JOIN_TOKEN", "P2PJ1.secret"), ("CREDENTIALS_DIRECTORY", "/nowhere"), ("P2P_OTHER", "is kept")] {
        command.env(name, value);
    }
    assert_eq!(run(command).ok(), "Nothing was changed.\n");
    let seen = fs::read_to_string(seen).unwrap();
    let names: Vec<_> = seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for secret in ["P2P_STORE_PASSWORD", "P2P_JOIN_TOKEN", "CREDENTIALS_DIRECTORY"] {
        assert!(!names.contains(&secret), "{secret} in {seen}");
    }
    assert!(!seen.contains(PASSWORD) && !seen.contains("P2PJ1.secret"), "{seen}");
    assert!(seen.contains("P2P_OTHER=is kept\n"), "control: all else is handed on: {seen}");
}

#[test]
fn a_change_meanwhile_is_not_undone_by_an_editor_that_was_open() {
    let folders = Folders::new();
    folders.init("head");
    let p2p = env!("CARGO_BIN_EXE_p2p");
    // What the editor starts is not given the password: it brings its own.
    let (folder, password) = (folders.of("head"), folders.file("password", PASSWORD));
    let other = format!("{p2p} config set log_level warn --dir '{}' --password-file '{}'", folder.display(), password.display());
    let error =
        edit(&folders, &[], &format!("f() {{ sed -i 's/^# log_level: .*/log_level: debug/' \"$1\"; {other}; }}; f")).error(1);
    assert!(error.contains("was changed by somebody else meanwhile") && error.contains("config edit --from"), "{error}");
    assert_eq!(value(&folders, "log_level").0, "warn");
}

#[test]
fn a_configuration_that_cannot_be_used_stops_the_node_with_what_is_wrong_and_can_be_edited() {
    let folders = Folders::new();
    folders.init("head");
    let file = folders.file("bad.yaml", "listen: 127.0.0.1:0\nadvertise: 127.0.0.1\nrate_limt: {rpc_requests: 5}\n");
    folders.run("head", &["store", "put", "config/node.yaml", "--file", file.to_str().unwrap()]).ok();
    let error = folders.run("head", &["start"]).error(1);
    assert!(error.contains("there is no setting rate_limt") && error.contains("config edit` opens it"), "{error}");
    edit(&folders, &[], "sed -i 's/^rate_limt:/rate_limit:/'").ok();
    assert_eq!(value(&folders, "rate_limit.rpc_requests"), ("5".to_owned(), true));
    drop(folders.start("head"));
}

#[test]
fn a_key_that_nothing_reads_is_told_when_the_node_starts_and_the_log_is_as_loud_as_was_said() {
    let folders = Folders::new();
    folders.init("head");
    config(&folders, &["set", "redis_url", "redis://:hunter2@localhost:6379"]).ok();
    let said = config(&folders, &["show", "redis"]).ok();
    assert!(said.contains("redis://…@localhost:6379") && !said.contains("hunter2"), "{said}");
    config(&folders, &["set", "log_level", "warn"]).ok();
    let node = folders.start("head");
    config(&folders, &["set", "log_level", "info"]).ok();
    assert_eq!(config(&folders, &["set", "rate_limit.enabled", "false"]).ok().lines().count(), 2);
    node.signal("TERM");
    let (status, log) = node.ended();
    assert!(status.success(), "{log}");
    assert!(log.contains("WARN") && log.contains("redis.url") && log.contains("nothing in this version reads it"), "{log}");
    assert!(!log.contains("listening") && log.contains("stopped"), "it was quiet first, and then told more:\n{log}");
}

#[test]
fn every_setting_is_listed_with_its_default_without_any_store() {
    let folders = Folders::new();
    let text = config(&folders, &["default"]).ok();
    assert!(
        text.contains("\n# How many of them at once; a whole number, from 1 to 1000000000\nrate_limit.rpc_burst: 20\n"),
        "{text}"
    );
    let listed = config(&folders, &["default", "--output", "json"]).json();
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .any(|setting| setting["key"] == "http_access.services" && setting["default"] == "public")
    );
    let error = config(&folders, &["show"]).error(1);
    assert!(error.contains("p2p init"), "{error}");
}
