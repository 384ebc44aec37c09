//! A service that is only mentioned is hosted, also where the program is optimised and linked as one.
//!
//! The program is built for this test, in `target/linking`: a minute or two the first time.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Builds the program, and says where it is.
fn program() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = tests.join("../target/linking");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--manifest-path"])
        .arg(tests.join("linking/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("release/linking-app").with_extension(std::env::consts::EXE_EXTENSION)
}

fn run(program: &Path, expected: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(program).arg(folder.path().join("node")).args(expected).output().unwrap()
}

#[test]
fn a_release_build_with_link_time_optimisation_hosts_the_services_of_a_crate_that_is_only_mentioned() {
    let program = program();
    let ran = run(&program, &["greeter"]);
    let said = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said:?}");
    assert_eq!(said.0.trim(), r#""Hello, Ada""#, "{said:?}");

    let refused = run(&program, &["greeter", "farewell"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("farewell: it is not in this program"), "{said}");
    assert!(said.contains("greeter  1.0.0  hosted      linking_greeter"), "{said}");
}
