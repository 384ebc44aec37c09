//! What a node withstands, by `p2p selftest`, and that it would be told if it did not.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt,
};

use serde_json::Value;

use crate::harness::{Ended, Folders};

/// The cases that are tried, in their order; those without a number come last.
const CASES: [u8; 21] = [7, 9, 15, 16, 18, 24, 26, 36, 37, 38, 39, 40, 41, 45, 47, 49, 50, 51, 52, 54, 0];
/// Those of them that are not tried on a node that is in use.
const NOT_TRIED: [u8; 2] = [39, 54];

fn rows(ended: &Ended) -> Vec<Value> {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn with_result<'a>(rows: &'a [Value], result: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["result"] == result).collect()
}

#[test]
fn a_coordinator_and_a_worker_withstand_all_that_is_tried_and_go_on_serving() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let _worker = folders.join("w", "head", &head.authority());
    let (at_head, at_worker) = std::thread::scope(|scope| {
        let [head, worker] = ["head", "w"].map(|node| scope.spawn(|| folders.run(node, &["selftest", "--output", "json"])));
        (head.join().unwrap(), worker.join().unwrap())
    });
    for ended in [&at_head, &at_worker] {
        assert!(ended.status.success(), "{ended:?}");
        let mut cases: Vec<_> = rows(ended).iter().map(|row| row["case"].as_u64().unwrap_or(0)).collect();
        cases.dedup();
        assert_eq!(cases, CASES.map(u64::from));
        let rows = rows(ended);
        let not_tried = with_result(&rows, "not tried");
        assert_eq!(not_tried.iter().map(|row| row["case"].as_u64().unwrap()).collect::<Vec<_>>(), NOT_TRIED.map(u64::from));
        assert!(not_tried.iter().all(|row| row["node"].as_str().unwrap().starts_with("not tried here: ")), "{not_tried:?}");
    }
    let skipped = with_result(&rows(&at_head), "skipped").len();
    assert_eq!(skipped, 0, "{at_head:?}");
    let of_worker = rows(&at_worker);
    let skipped = with_result(&of_worker, "skipped");
    assert_eq!((skipped.len(), &skipped[0]["case"]), (1, &26.into()), "{at_worker:?}");
    assert!(skipped[0]["node"].as_str().unwrap().contains("only coordinators let nodes in"));
    for node in ["head", "w"] {
        assert!(folders.run(node, &["call", "system/get_system_info"]).ok().contains(node));
    }
}

#[test]
fn a_node_that_puts_nameless_callers_off_is_not_said_to_have_withstood_what_was_not_tried() {
    let folders = Folders::new();
    folders.init("head");
    // One call is made good in a minute, and the selftest itself takes less: almost nothing can be tried.
    for key in ["rate_limit.rpc_requests", "rate_limit.rpc_burst"] {
        folders.run("head", &["config", "set", key, "1"]).ok();
    }
    let _head = folders.start("head");
    let ended = folders.run("head", &["selftest", "--output", "json"]);
    let said = ended.error(3);
    let rows = rows(&ended);
    let put_off = with_result(&rows, "put off");
    assert!(put_off.len() >= 5, "{rows:#?}");
    assert!(put_off.iter().all(|row| row["node"].as_str().unwrap().contains("try again in a minute")), "{put_off:?}");
    assert!(said.starts_with(&format!("{} of 20 not tried: ", put_off.len())), "{said}");
    assert!(said.contains("try again in a minute: `p2p selftest --dir "), "{said}");
    assert!(with_result(&rows, "failed").is_empty(), "{rows:#?}");
    let help = folders.run("head", &["selftest", "--help"]).ok();
    assert!(help.contains("and 3 when none did but not all could be tried"), "{help}");
}

#[test]
fn a_file_that_others_may_read_is_found_and_the_exit_status_says_so() {
    let folders = Folders::new();
    folders.init("head");
    let refused = folders.run("head", &["selftest"]).error(1);
    assert!(refused.contains("no node is running in"), "{refused}");
    let _head = folders.start("head");
    set_permissions(folders.of("head").join("store.lock"), Permissions::from_mode(0o644)).unwrap();
    let ended = folders.run("head", &["selftest"]);
    let said = ended.error(1);
    assert!(said.starts_with("1 of 20 checks failed; do what the rows marked FAILED say"), "{said}");
    assert!(said.contains("p2p selftest --dir "), "{said}");
    let failed: Vec<_> = ended.stdout.lines().filter(|line| line.trim_end().ends_with("FAILED")).collect();
    assert!(failed.len() == 1 && failed[0].contains("store.lock") && failed[0].contains("chmod -R go= "), "{}", ended.stdout);
}
