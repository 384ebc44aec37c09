//! How long it takes to join a cluster: real processes, from the start of the command.

use std::time::{Duration, Instant};

use p2p_runtime::storage::{Password, Store};

use crate::harness::{Folders, PASSWORD, PATIENCE, Running};

/// How many nodes join, one after the other. Each figure is the middle one of so many: the machine may be busy with something else for a moment.
const NODES: usize = 5;
/// From the start of `p2p join` until the coordinator lists the node as alive, but for the derivation of the store's password.
const JOINED: Duration = Duration::from_secs(1);

/// What a new store costs, nearly all of which is the derivation of its password.
fn store_made() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let password = Password::new(PASSWORD).unwrap();
    let began = Instant::now();
    Store::create(folder.path(), &password).unwrap();
    began.elapsed()
}

fn middle(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let (middle, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{name}: {middle:?}, {longest:?} at most ({})", times.len());
    middle
}

#[test]
fn a_node_is_in_the_cluster_within_a_second_of_the_command_beside_the_derivation_of_its_password() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let (mut enrolled, mut serving, mut listed, mut stores, mut running) = (vec![], vec![], vec![], vec![], vec![]);
    for number in 0..NODES {
        let (name, token) = (format!("w-{number}"), folders.token("head"));
        stores.push(store_made());
        let began = Instant::now();
        let mut node = Running::spawn(folders.join_command(&name, &head.authority(), &token));
        node.wait_for("issued");
        enrolled.push(began.elapsed());
        node.wait_for("ready");
        serving.push(began.elapsed());
        folders.wait_for_status("head", &name, "alive", PATIENCE);
        listed.push(began.elapsed());
        running.push(node);
    }
    let store = middle("a store with its password derived", stores);
    middle("from the command until it has its certificate", enrolled);
    middle("from the command until it serves", serving);
    let listed = middle("from the command until the coordinator lists it as alive", listed);
    let joined = listed.saturating_sub(store);
    println!("that is without the derivation: {joined:?}");
    // Unoptimised, and beside other tests, it may take five times as long.
    let slack = if cfg!(debug_assertions) { 5 } else { 1 };
    assert!(joined <= slack * JOINED, "{joined:?}");
}
