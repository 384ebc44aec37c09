//! Joining where the clocks of the node and of the coordinator differ: it is told, and no certificate is blamed for it. (Here the coordinator's clock is
//! the wrong one; to the node that makes no difference.)

use std::sync::{Arc, Mutex};

use p2p_client::wire::{
    net::TcpNetwork,
    tls::{TlsError, TlsMaterial, TrustedRoot, Usage, verify_chain},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::super::{
    JoinError, JoinEvent, JoinToken, Joined, NodeIdentity, NodeNames, TokenOptions,
    coordinators::{Coordinator, options, serve_ahead},
    join,
    join::checks::Check,
    tests::{YEAR, cluster_at, from_now, issuing},
    vault::tests::MemoryVault,
};
use crate::checks::without_during;

const MINUTE: i64 = 60;

fn year() -> i64 {
    i64::try_from(YEAR).unwrap()
}

/// Joins with a fresh token; gives what was told of the clocks as well.
async fn join_at(coordinator: &Coordinator) -> (Result<Joined, JoinError>, Option<i64>) {
    let token: JoinToken = coordinator.issuer.create_token(TokenOptions::default()).await.unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let joined = join(Arc::new(TcpNetwork), &coordinator.at, token, options("w", &events)).await;
    let told = events.lock().unwrap().iter().find_map(|event| match event {
        JoinEvent::ClockSkew { ahead_s } => Some(*ahead_s),
        _ => None,
    });
    (joined, told)
}

fn uses_left(coordinator: &Coordinator) -> u32 {
    coordinator.issuer.tokens()[0].uses_left
}

/// Whether a node takes this chain for a good one, at this time.
fn verified(root: &TrustedRoot, chain: &[CertificateDer<'_>], at: UnixTime) -> Result<(), TlsError> {
    let (leaf, others) = chain.split_first().unwrap();
    verify_chain(root, leaf, others, Usage::Server, at, &TlsMaterial::empty().algorithms()).map(drop)
}

#[tokio::test]
async fn case_22_a_node_whose_clock_is_off_by_minutes_or_a_year_joins_and_is_told_by_how_much() {
    // Eleven minutes behind a coordinator with a fresh certificate, that begins a minute from now; and a year and more both ways.
    for coordinator_ahead in [11 * MINUTE, -11 * MINUTE, year() + 60, -year() - 60] {
        let (identity, vault) = cluster_at(coordinator_ahead);
        let coordinator = serve_ahead(&identity, vault, coordinator_ahead).await;
        let (joined, told) = join_at(&coordinator).await;
        let joined = joined.unwrap();
        let off = told.expect("it is told") + coordinator_ahead;
        assert!(off.abs() <= 5, "{off} s beside the truth");
        assert_eq!(uses_left(&coordinator), 0);
        verified(identity.root(), joined.identity.chain(), from_now(coordinator_ahead)).unwrap();
    }
}

#[tokio::test]
async fn case_22_clocks_that_differ_by_less_than_five_minutes_are_not_worth_a_word() {
    for coordinator_ahead in [4 * MINUTE, -4 * MINUTE] {
        let (identity, vault) = cluster_at(coordinator_ahead);
        let (joined, told) = join_at(&serve_ahead(&identity, vault, coordinator_ahead).await).await;
        joined.unwrap();
        assert_eq!(told, None);
    }
}

#[tokio::test]
async fn case_22_control_by_the_nodes_own_clock_the_coordinators_certificate_is_blamed_and_nobody_joins() {
    for coordinator_ahead in [11 * MINUTE, year() + 60, -year() - 60] {
        let (identity, vault) = cluster_at(coordinator_ahead);
        let coordinator = serve_ahead(&identity, vault, coordinator_ahead).await;
        let (joined, _) = without_during(&[Check::ToldClock], join_at(&coordinator)).await;
        let error = joined.unwrap_err();
        let is_blamed = |source: &TlsError| match source {
            TlsError::NotYetValid { .. } => coordinator_ahead > 0,
            TlsError::Expired { .. } => coordinator_ahead < 0,
            _ => false,
        };
        assert!(matches!(&error, JoinError::Tls { source, .. } if is_blamed(source)), "{error}");
        assert_eq!(uses_left(&coordinator), 1);
    }
}

/// A coordinator whose own certificate was made where the clock was so many seconds ahead, while its clock is right.
async fn certified_at(ahead_s: i64) -> Coordinator {
    let (identity, vault) = cluster_at(0);
    let names = NodeNames { node_id: &identity.peer().node_id.clone(), role: identity.peer().role, addresses: &[] };
    let chain = issuing(&vault).issue(&identity.key().public(), &names, from_now(ahead_s)).unwrap();
    let other = NodeIdentity::new(identity.key().clone(), chain, identity.root().clone()).unwrap();
    serve_ahead(&other, vault as Arc<MemoryVault>, 0).await
}

#[tokio::test]
async fn case_13_and_14_a_coordinator_whose_certificate_is_not_valid_by_its_own_clock_is_refused_before_anything_is_proved() {
    let coordinator = certified_at(-year() - 60).await;
    let (joined, told) = join_at(&coordinator).await;
    let error = joined.unwrap_err();
    assert!(matches!(&error, JoinError::Tls { source: TlsError::Expired { .. }, .. }), "{error}");
    assert!(error.to_string().contains("ran out 6") && error.to_string().contains("renew it there"), "{error}");
    assert_eq!((told, uses_left(&coordinator)), (None, 1));

    let coordinator = certified_at(year()).await;
    let (joined, told) = join_at(&coordinator).await;
    let error = joined.unwrap_err();
    assert!(matches!(&error, JoinError::Tls { source: TlsError::NotYetValid { .. }, .. }), "{error}");
    assert_eq!((told, uses_left(&coordinator)), (None, 1));
}
