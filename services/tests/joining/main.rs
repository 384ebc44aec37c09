//! How long it takes to join a cluster: real processes, from the start of the command. A program of its own, so that no other test of the
//! command runs beside it.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "the tests of the command use the rest of it")]
#[path = "../command_line/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use p2p_runtime::storage::{Password, Store};

use harness::{Folders, PASSWORD, PATIENCE, Running};

/// How many nodes join, one after the other. Each figure is the middle one of so many: the machine may be busy with something else for a moment.
const NODES: usize = 5;
/// How often that is tried: it may be busy with something else for longer.
const ROUNDS: usize = 3;
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

/// From the command until the coordinator lists the node as alive, without the derivation: the middle one of these nodes.
fn joined_in_round(folders: &Folders, head: &Running, round: usize) -> Duration {
    let (mut enrolled, mut serving, mut listed, mut stores, mut running) = (vec![], vec![], vec![], vec![], vec![]);
    for number in 0..NODES {
        let (name, token) = (format!("w-{round}-{number}"), folders.token("head"));
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
    joined
}

#[test]
fn a_node_is_in_the_cluster_within_a_second_of_the_command_beside_the_derivation_of_its_password() {
    let folders = Folders::new();
    folders.init("head");
    let head = folders.start("head");
    let mut rounds = (0..ROUNDS).map(|round| joined_in_round(&folders, &head, round));
    assert!(rounds.any(|joined| joined <= JOINED), "in none of {ROUNDS} rounds");
}
