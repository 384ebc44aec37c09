//! The examples, run as a reader would run them, and what they are to prove.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "readme/machines.rs"]
#[allow(dead_code, reason = "the README needs more of it")]
mod machines;

use machines::run_in_project;

/// Runs an example to its end.
#[track_caller]
fn run(example: &str) -> String {
    let output = run_in_project(&format!("cargo run --quiet --example {example}"));
    println!("{output}");
    output
}

#[track_caller]
fn assert_says(output: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(output.contains(wanted), "{wanted:?} is not in:\n{output}");
    }
}

#[test]
fn the_example_of_mocks_shows_answers_calls_and_what_was_forgotten() {
    let output = run("mocks");
    assert_says(&output, &["host-of-coordinator coordinates\nworker-1 is busy\nworker-2: denied: not for you\nworker-3 is fine"]);
    assert_says(&output, &["system/get_system_info of coordinator (target role=coordinator), params {}"]);
    assert_says(
        &output,
        &["MockSystem has no answer for system/get_system_info", "mock.on_get_system_info(|call| Ok(…))", "Done."],
    );
}

#[test]
fn the_example_of_streams_counts_as_long_as_it_is_listened_to() {
    let output = run("streaming");
    assert_says(&output, &["as many as are taken, of a stream without an end\n  3\n  4\n  5\n  6\n  7\n"]);
    assert_says(&output, &["to the end\n  3 … (worker-1)\n  2 … (worker-1)\n", "fails on its way\n  3 …\n", "aborted at 1\n"]);
}

#[test]
fn the_example_of_typed_errors_matches_variants_across_nodes() {
    let output = run("typed_errors");
    assert_says(&output, &["to grace: done; 70 are left", "Overdrawn: ask for 430 less", "NoSuchAccount: open one for alan"]);
    assert_says(&output, &["of ada: done; 10 are left", "of ada: Paid: nothing to do"]);
    assert_says(&output, &["of alan: Bank, with the code -32000: there is no account \"alan\""]);
    // 10 are left by then.
    assert_says(&output, &["490 are missing: {\"overdrawn\":{\"missing\":490}}"]);
    assert_says(
        &output,
        &["bank/audit did not answer in time", "no member is called worker-9", "service bank has no method rob"],
    );
    assert_says(&output, &["parameter `to` is missing", "safe to make again: true", "safe to make again: false", "Done."]);
}

#[test]
fn the_example_of_a_contract_has_its_host_and_its_caller_on_two_nodes_and_outside() {
    let output = run("contract");
    assert_says(&output, &["2 lamp: 2 lamp taken, 1 left\n", "1 lamp taken, 0 left; no chair, as only 1 are left\n"]);
    assert_says(&output, &["1 table: no table: this is no item of ours\n", "Done."]);
    // By the same proxies from outside, as far as that is let in.
    assert_says(&output, &["from outside: 0 lamp, 1 chair\n", "from a node: 0 lamp, 1 chair\n"]);
    assert_says(&output, &["nothing is taken: an anonymous caller may not call stock/take", "not for clients"]);
}

#[test]
fn a_contract_and_its_caller_are_built_without_the_node() {
    for package in ["example-contract-api", "example-contract-caller"] {
        // With the tests' dependencies, as mocks are to need no node either.
        let tree = run_in_project(&format!("cargo tree --quiet --offline --prefix none --edges all --package {package}"));
        assert!(tree.contains("p2p-client v"), "{tree}");
        for (too_much, why) in
            [("p2p-runtime v", "the node"), ("axum v", "its web server"), ("example-contract-host v", "the host")]
        {
            assert!(!tree.contains(too_much), "{package} depends on {why}:\n{tree}");
        }
    }
    let tree = run_in_project("cargo tree --quiet --offline --prefix none --edges all --package example-contract-host");
    assert!(tree.contains("p2p-runtime v"), "the check would not have noticed:\n{tree}");
}
