//! What the command refuses, each with one line that says what to do next.

use std::process::Command;

use crate::harness::{Folders, PASSWORD, p2p, run, run_with_input, shell, without_settings};

fn with_password(mut command: Command, password: Option<&str>) -> Command {
    match password {
        Some(password) => command.env("P2P_STORE_PASSWORD", password),
        None => command.env_remove("P2P_STORE_PASSWORD"),
    };
    command
}

#[test]
fn a_wrong_missing_or_empty_password_is_told_apart() {
    let folders = Folders::new();
    folders.init("head");
    let start = || folders.command("head", &["start"]);

    let wrong = run(with_password(start(), Some("wrong"))).error(1);
    assert!(wrong.starts_with("wrong password for ") && wrong.contains("recovery key"), "{wrong}");
    let missing = run(with_password(start(), None)).error(1);
    for way in ["--password-file", "--password-fd", "p2p-store-password", "P2P_STORE_PASSWORD"] {
        assert!(missing.contains(way), "{missing}");
    }
    let empty = run(with_password(start(), Some(""))).error(1);
    assert!(empty.contains("the password is empty"), "{empty}");
    let argv = folders.run("head", &["start", "--password", PASSWORD]);
    assert!(argv.error(2).contains("unexpected argument"), "{argv:?}");
    let nowhere = run({
        let mut command = start();
        command.args(["--password-file", "/nowhere/password"]);
        command
    });
    assert!(nowhere.error(1).starts_with("cannot read /nowhere/password: "), "{nowhere:?}");
    for mode in [0o640, 0o604, 0o644] {
        let file = folders.file("password", PASSWORD);
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let mut command = start();
        command.arg("--password-file").arg(&file);
        let open = run(command).error(1);
        assert!(open.contains("may be read by other users") && open.contains("chmod 600"), "{open}");
        assert!(open.contains(&format!("mode {mode:03o}")), "{open}");
    }
}

#[test]
fn a_recovery_key_and_a_join_token_that_others_may_read_are_refused_as_a_password_is() {
    let folders = Folders::new();
    folders.init("head");
    for (words, option, holds, advice) in [
        (
            &["store", "verify"][..],
            "--recovery-key-file",
            "recovery key",
            "keep every copy of the store from whoever could read it",
        ),
        (
            &["join", "127.0.0.1:1"],
            "--token-file",
            "join token",
            "if others could read it, take it back with `p2p token revoke` on the coordinator and make another",
        ),
    ] {
        let with = |file: &str| {
            let mut command = folders.command("head", words);
            command.args([option, file]);
            run(command).error(1)
        };
        let file = folders.file("secret", "neither");
        for mode in [0o640, 0o604, 0o644] {
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            let open = with(file.to_str().unwrap());
            let told =
                format!("{} may be read by other users (mode {mode:03o}), so that its {holds} is no secret; ", file.display());
            assert!(open.starts_with(&told) && open.contains("`chmod 600` it, and ") && open.ends_with(advice), "{open}");
        }
        // What it holds is read once nobody else can.
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let read = with(file.to_str().unwrap());
        assert!(!read.contains("other users") && !read.starts_with("cannot read"), "{read}");
        assert!(with("/nowhere/secret").starts_with("cannot read /nowhere/secret: "));
    }
}

#[test]
fn a_password_comes_by_file_descriptor_file_or_systemd_credential() {
    let folders = Folders::new();
    folders.init("head");
    let file = folders.file("password", &format!("{PASSWORD}\n"));
    let credentials = folders.of("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("p2p-store-password"), PASSWORD).unwrap();
    let dir = folders.of("head");
    let quiet = ["token", "create", "--quiet"];
    let is_token = |text: String| assert!(text.starts_with("P2PJ1."), "{text}");

    let mut by_file = with_password(folders.command("head", &quiet), Some("wrong"));
    by_file.arg("--password-file").arg(&file);
    is_token(run(by_file).ok());

    let line = r#""$0" token create --quiet --dir "$1" --password-fd 3 3<"$2""#;
    is_token(run(with_password(shell(line, &[dir.as_os_str(), file.as_os_str()]), None)).ok());

    let mut by_input = with_password(folders.command("head", &quiet), None);
    by_input.args(["--password-fd", "0"]);
    is_token(run_with_input(by_input, PASSWORD.as_bytes()).ok());

    let mut by_credential = with_password(folders.command("head", &quiet), Some("wrong"));
    by_credential.env("CREDENTIALS_DIRECTORY", &credentials);
    is_token(run(by_credential).ok());
}

#[test]
fn without_a_store_every_command_says_how_to_make_one() {
    let folders = Folders::new();
    for words in [
        &["start"][..],
        &["token", "create"],
        &["nodes"],
        &["services"],
        &["stop"],
        &["leave"],
        &["call", "system/get_system_info"],
        &["store", "ls"],
        &["store", "cat", "a"],
        &["store", "put", "a", "--file", "/dev/null"],
        &["store", "rm", "a"],
        &["store", "verify"],
        &["store", "recover"],
        &["store", "passwd"],
        &["store", "backup", "/nowhere/backup"],
    ] {
        let error = folders.run("nobody", words).error(1);
        assert!(error.contains("`p2p init`") && error.contains("`p2p join"), "{words:?}: {error}");
        assert!(error.contains("nobody"), "{words:?}: {error}");
    }
    assert!(!folders.of("nobody").exists());
}

#[test]
fn without_a_running_node_the_commands_that_need_one_say_how_to_start_it() {
    let folders = Folders::new();
    folders.init("head");
    for words in [&["nodes"][..], &["services"], &["stop"], &["leave"], &["call", "system/get_system_info"]] {
        let error = folders.run("head", words).error(1);
        let wanted =
            format!("no node is running in {dir}; start it with `p2p start --dir {dir}`", dir = folders.of("head").display());
        assert_eq!(error, wanted);
    }
    // A socket that a killed process left is as none.
    let head = folders.start("head");
    head.signal("KILL");
    head.ended();
    assert!(folders.of("head/p2p.sock").exists());
    assert!(folders.run("head", &["nodes"]).error(1).starts_with("no node is running in "));
    folders.start("head");
}

#[test]
fn a_second_init_and_a_second_start_in_a_folder_leave_the_first_alone() {
    let folders = Folders::new();
    folders.init("head");
    let again = folders.run("head", &["init", "--advertise", "127.0.0.1"]).error(1);
    assert!(again.contains("exists already and was left as it is"), "{again}");
    let head = folders.start("head");
    let second = folders.run("head", &["start"]).error(1);
    assert!(second.contains("in use by process") && second.contains("stop it first"), "{second}");
    assert_eq!(folders.status_of("head", "head").as_deref(), Some("alive"));
    drop(head);
}

#[test]
fn a_named_port_that_is_taken_is_an_error_and_an_unnamed_one_is_not() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let taken = head.authority();
    let words = ["init", "--node-id", "second", "--advertise", "127.0.0.1", "--listen", &taken];
    folders.run("second", &words).ok();
    let error = folders.run("second", &["start"]).error(1);
    assert!(error.contains(&taken) && error.contains("in use") && error.contains("--listen"), "{error}");
    assert!(!folders.of("second/p2p.sock").exists());
    let error = folders.run("second", &["start", "--listen", &taken]).error(1);
    assert!(error.contains("in use"), "{error}");
    // It can be told otherwise, for one run.
    let mut second =
        crate::harness::Running::spawn(folders.command("second", &["start", "--listen", "127.0.0.1:0", "--output", "json"]));
    second.wait_for("ready");
    assert_ne!(second.authority(), taken);
    assert_eq!(folders.status_of("head", "head").as_deref(), Some("alive"));
}

#[test]
fn a_cut_mistyped_unknown_or_missing_token_lets_nobody_in_and_the_coordinator_runs_on() {
    let folders = Folders::new();
    folders.init("head");
    folders.init("other");
    let head = folders.start("head");
    let token = folders.token("head");
    let foreign = folders.token("other");
    let join = |token: &str| run(folders.join_command("worker", &head.authority(), token)).error(1);

    let cut = join(&token[..token.len() - 5]);
    assert!(cut.contains("this join token is cut") && !cut.contains(&token[..30]), "{cut}");
    let last = if token.ends_with('0') { "1" } else { "0" };
    let mistyped = join(&format!("{}{last}", &token[..token.len() - 1]));
    assert!(mistyped.contains("mistyped"), "{mistyped}");
    let nonsense = join("hello");
    assert!(nonsense.contains("`p2p token create`"), "{nonsense}");
    // None of these made anything.
    assert!(!folders.of("worker").exists());

    let of_another_cluster = join(&foreign);
    assert!(of_another_cluster.contains(&head.authority()), "{of_another_cluster}");

    let mut without = folders.join_command("worker", &head.authority(), "");
    without.env_remove("P2P_JOIN_TOKEN");
    let missing = run(without).error(1);
    for way in ["--token", "--token-file", "P2P_JOIN_TOKEN", "standard input"] {
        assert!(missing.contains(way), "{missing}");
    }
    let mut both = folders.join_command("worker", &head.authority(), "");
    both.env_remove("P2P_JOIN_TOKEN").args(["--password-fd", "0"]);
    assert!(run(both).error(1).starts_with("standard input cannot give both"));

    let mut as_coordinator = folders.join_command("worker", &head.authority(), &token);
    as_coordinator.args(["--role", "coordinator"]);
    let wrong_role = run(as_coordinator).error(1);
    assert!(wrong_role.contains("is for a worker, not for a coordinator"), "{wrong_role}");

    assert_eq!(folders.status_of("head", "head").as_deref(), Some("alive"));
    assert_eq!(folders.status_of("head", "worker"), None);
}

#[test]
fn a_coordinator_that_is_not_there_is_named() {
    let folders = Folders::new();
    folders.init("head");
    let token = folders.token("head");
    let error = run(folders.join_command("worker", "127.0.0.1:1", &token)).error(1);
    assert!(error.contains("cannot connect to the coordinator at 127.0.0.1:1"), "{error}");
}

#[test]
fn a_call_that_fails_says_its_codes_name_and_ends_with_status_1() {
    let folders = Folders::new();
    folders.init("head");
    let _head = folders.start("head");
    let call = |words: &[&str]| folders.run("head", &[&["call"], words].concat());

    for (words, wanted) in [
        (&["nothing/here"][..], "method_not_found (-32601): "),
        (&["system/nothing"], "method_not_found (-32601): "),
        (&["system"], "method_not_found (-32601): "),
        (&["system/get_system_info", "x=1"], "invalid_params (-32602): "),
        (&["system/get_system_info", "--on", "nobody"], "no_route (-32004): "),
        (&["system/get_system_info", "--on", "all,capability=gpu"], "no_route (-32004): "),
        (&["system/get_system_info", "--json", "{"], "--json is no params object or array: "),
    ] {
        let error = call(words).error(1);
        assert!(error.starts_with(wanted), "{words:?}: {error}");
    }
    for (words, wanted) in [
        (&["system/get_system_info", "x"][..], "name=value"),
        (&["system/get_system_info", "--on", "planet=mars"], "role=ROLE"),
        (&["system/get_system_info", "--timeout", "5"], "such as 500ms"),
        (&["system/get_system_info", "x=1", "--json", "{}"], "cannot be used with"),
    ] {
        let error = call(words);
        assert!(error.error(2).len() > 10 && error.stderr.contains(wanted), "{words:?}: {error:?}");
    }
    let from_input = run_with_input(folders.command("head", &["call", "system/get_system_info", "--json", "-"]), b"{}");
    assert_eq!(from_input.json()["node_id"], "head");
    let services = folders.run("head", &["services"]).ok();
    assert!(services.contains("get_system_info() -> SystemInfo") && services.contains("public"), "{services}");
    let services = folders.run("head", &["services", "--output", "json"]).json();
    assert_eq!(services["system"]["version"], "1.0.0");
}

#[test]
fn every_command_has_help_with_an_example_and_goes_by_the_name_of_the_program() {
    let folders = Folders::new();
    std::fs::create_dir(folders.of("bin")).unwrap();
    let own = folders.of("bin/greeter");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_p2p"), &own).unwrap();
    for words in [
        &[][..],
        &["init"],
        &["start"],
        &["join"],
        &["token"],
        &["token", "create"],
        &["call"],
        &["contract"],
        &["contract", "export"],
        &["contract", "check"],
        &["nodes"],
        &["services"],
        &["stop"],
        &["leave"],
        &["store"],
        &["store", "ls"],
        &["store", "cat"],
        &["store", "put"],
        &["store", "rm"],
        &["store", "verify"],
        &["store", "recover"],
        &["store", "passwd"],
        &["store", "backup"],
        &["store", "restore"],
    ] {
        let mut command = without_settings(Command::new(&own));
        command.args(words).arg("--help");
        let help = run(command).ok();
        let called = [&["greeter"], words].concat().join(" ");
        assert!(help.contains(&format!("Usage: {called}")), "{help}");
        assert!(help.contains("Example") && help.contains("\n  greeter "), "{help}");
        assert!(!help.contains("p2p init") && !help.contains("p2p start"), "{help}");
    }
    let mut start = without_settings(Command::new(&own));
    start.arg("start").arg("--dir").arg(folders.of("none"));
    let error = run(start).error(1);
    assert!(error.contains("`greeter init`"), "{error}");
}

#[test]
fn a_wrong_command_line_ends_with_status_2_and_no_home_is_said() {
    for words in
        [&["dance"][..], &["join"], &["nodes", "--output", "xml"], &["init", "--node-id", "Not An Id"], &["join", "host:0"]]
    {
        let mut command = p2p();
        command.args(words);
        run(command).error(2);
    }
    let mut homeless = p2p();
    homeless.arg("nodes").env_remove("HOME");
    assert!(run(homeless).error(2).contains("--dir"));
    assert_eq!(run(p2p()).status.code(), Some(2));
}

#[test]
fn the_folder_is_named_by_argument_environment_or_the_users_state_folder() {
    let folders = Folders::new();
    for (name, value, wanted) in [
        ("P2P_DIR", folders.of("by-env"), folders.of("by-env")),
        ("XDG_STATE_HOME", folders.of("state"), folders.of("state/p2p")),
        ("HOME", folders.of("home"), folders.of("home/.local/state/p2p")),
    ] {
        let mut command = p2p();
        command.arg("nodes").env(name, value);
        let error = run(command).error(1);
        assert!(error.contains(&format!("no store in {}:", wanted.display())), "{name}: {error}");
    }
}
