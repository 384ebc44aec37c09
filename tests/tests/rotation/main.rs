//! The cluster's root is changed while the cluster works, and more than one coordinator issues certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod change;
#[path = "../common/mod.rs"]
mod common;
mod coordinators;
mod joining_again;
mod missing;
mod split;
mod taken_back;

use std::{sync::Arc, time::Duration};

use common::{Cluster, Member, Plan, identity, log::Log, probe::ProbeProxyExt, sees, soon, token};
use p2p_client::{
    revocation::{KeyHash, Reason, Subject},
    wire::tls::RootKeyHash,
};
use p2p_runtime::{
    identity::{
        Change, IdentityError, IssuingCa, JoinError, NodeIdentity, NodeKey, NodeNames, Refused, RotateError, TokenOptions, Vault,
        rotation::Rotation,
    },
    node::{Enrolment, NodeError, StoreVault},
};
use p2p_services::prelude::*;
use rustls_pki_types::UnixTime;

/// Asks again until it is so.
async fn becomes(what: &str, is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), asked).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

/// Asks again until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    becomes(what, async || is_so()).await;
}

/// Waits until these nodes have another root, all the same.
async fn changed(before: RootKeyHash, nodes: &[&Member]) {
    for node in nodes {
        until(&format!("{} has the new root", node.id()), || node.root_fingerprint() != before).await;
    }
    assert!(nodes.iter().all(|node| node.root_fingerprint() == nodes[0].root_fingerprint()));
}

/// Waits until these nodes, and no others, are not certified anew yet.
async fn misses(node: &Node, names: &[&str]) {
    let is_so = async || {
        let progress = node.rotation().await.unwrap();
        progress.is_some_and(|progress| progress.missing.iter().map(|node| node.node_id.as_str()).eq(names.iter().copied()))
    };
    becomes(&format!("{names:?} are missing"), is_so).await;
}

/// The coordinators that could not be asked whom they have let in.
async fn unasked(node: &Node) -> Vec<String> {
    node.rotation().await.unwrap().unwrap().unasked.iter().map(ToString::to_string).collect()
}

/// A second coordinator, with an authority of its own.
async fn second(cluster: &Cluster, first: &Member) -> Member {
    let second = cluster.worker(Plan::second_coordinator(), first).await;
    until("the second coordinator can issue", || second.issuer().unwrap().authority().is_some()).await;
    second
}

async fn looks(from: &Member, to: &'static str) -> Result<String, String> {
    from.proxy().probe().on(to).look().await.map(|seen| seen.node).map_err(|error| error.to_string())
}

/// Calls until it is there: a node that was started again says by and by what it hosts.
async fn reaches(from: &Member, to: &'static str) {
    soon(async {
        while looks(from, to).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
