//! What services promise, kept in a file and compared with later versions.

use serde_json::{Value, json};

use crate::harness::{Folders, p2p, run};

/// What this program exports.
fn exported() -> Value {
    let mut command = p2p();
    command.args(["contract", "export"]);
    run(command).json()
}

fn check(folders: &Folders, old: &Value, more: &[&str]) -> crate::harness::Ended {
    let file = folders.file("old.json", &old.to_string());
    let mut command = p2p();
    command.args(["contract", "check"]).arg(file).args(more);
    run(command)
}

#[test]
fn a_program_is_compatible_with_what_it_exports_without_a_node() {
    let exported = exported();
    assert_eq!(exported["format"], 1);
    assert_eq!(exported["services"][0]["name"], "system");
    let same = check(&Folders::new(), &exported, &[]);
    assert_eq!(same.ok(), "nothing changed that callers could notice\n");
}

#[test]
fn changes_are_told_method_by_method_and_the_status_says_whether_one_is_breaking() {
    let folders = Folders::new();
    // As if this program had added a method since, which is compatible.
    let mut old = exported();
    old["services"][0]["methods"].as_array_mut().unwrap().pop();
    let told = check(&folders, &old, &[]).ok();
    let row = told.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row, "compatible system get_system_metrics the method is new");

    // And as if it had taken a parameter away, which is not.
    let param = json!({ "name": "deep", "schema": { "type": "boolean" }, "required": false });
    old["services"][0]["methods"][0]["params"].as_array_mut().unwrap().push(param);
    let ended = check(&folders, &old, &[]);
    assert_eq!(
        ended.error(1),
        "1 of 2 changes can break callers of the old version; keep what they use, or give the service a new name"
    );
    assert!(ended.stdout.lines().nth(1).unwrap().starts_with("breaking    system   get_system_info"), "{}", ended.stdout);
    assert!(ended.stdout.contains("the parameter `deep` is gone"), "{}", ended.stdout);
    let ended = check(&folders, &old, &["--output", "json"]);
    ended.error(1);
    let listed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        listed[0],
        json!({ "service": "system", "method": "get_system_info", "effect": "breaking", "change": "the parameter `deep` is gone" })
    );

    // The other way round it is compatible: the parameter is new, and may be left out.
    let new = folders.file("new.json", &old.to_string());
    let mut exported = exported();
    exported["services"][0]["methods"].as_array_mut().unwrap().pop();
    let told = check(&folders, &exported, &["--new", new.to_str().unwrap()]).ok();
    assert!(told.contains("the parameter `deep` is new, and may be left out"), "{told}");
}

#[test]
fn a_running_node_is_compared_and_exported_by_its_socket() {
    let folders = Folders::new();
    folders.init("head");
    let _head = folders.start("head");
    let running = folders.run("head", &["contract", "export", "--running"]).json();
    assert_eq!(running, exported());
    let file = folders.file("old.json", &running.to_string());
    let same = folders.run("head", &["contract", "check", file.to_str().unwrap(), "--running"]);
    assert_eq!(same.ok(), "nothing changed that callers could notice\n");
}

#[test]
fn where_no_node_runs_to_compare_with_the_status_is_2_and_for_an_export_1() {
    let folders = Folders::new();
    folders.init("head");
    let file = folders.file("old.json", &exported().to_string());
    let checked = folders.run("head", &["contract", "check", file.to_str().unwrap(), "--running"]).error(2);
    assert!(checked.starts_with("no node is running in "), "{checked}");
    let exported = folders.run("head", &["contract", "export", "--running"]).error(1);
    assert_eq!(exported, checked);
}

#[test]
fn a_file_that_cannot_be_used_ends_with_status_2_and_says_why() {
    let folders = Folders::new();
    let missing = {
        let mut command = p2p();
        command.args(["contract", "check", "/nowhere/old.json"]);
        run(command).error(2)
    };
    assert!(missing.starts_with("/nowhere/old.json cannot be compared: it cannot be read: No such file"), "{missing}");
    assert!(missing.ends_with("`p2p contract export` writes such a file"), "{missing}");
    let good = folders.file("good.json", &exported().to_string());
    for (text, wanted) in [
        ("{", "it is no file of that kind: EOF"),
        ("[]", "it is no file of that kind: "),
        ("{\"services\": []}", "missing field `format`"),
        ("{\"format\": 1}", "missing field `services`"),
        ("{\"format\": 2, \"contracts\": 7}", "it has format 2, and this program reads formats up to 1; use a newer one"),
        (
            "{\"format\": 1, \"services\": [{\"format\": 3, \"name\": \"kv\", \"version\": \"1.0.0\", \"methods\": []}]}",
            "its service kv has format 3, and this program reads formats up to 1; use a newer one",
        ),
    ] {
        let file = folders.file("old.json", text);
        let mut as_old = p2p();
        as_old.args(["contract", "check"]).arg(&file);
        let mut as_new = p2p();
        as_new.args(["contract", "check"]).arg(&good).arg("--new").arg(&file);
        for command in [as_old, as_new] {
            let error = run(command).error(2);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
    let mut both = p2p();
    both.args(["contract", "check", "a", "--new", "b", "--running"]);
    assert!(run(both).error(2).contains("cannot be used with"));
}
