//! Nodes that renew their certificates without being asked: near their end, and where the certificate lacks the address of the node.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use common::{Cluster, Member, Plan, identity, log::Log, password, probe::ProbeProxyExt, soon, worker_ip};
use p2p_client::protocol::Role;
use p2p_runtime::{
    identity::{Change, Host, IssuingCa, NodeIdentity, NodeKey, NodeNames, Vault, renewal::CertificateInfo},
    node::{Enrolment, StoreVault},
};
use rustls_pki_types::UnixTime;

const DAY: u64 = 86_400;

fn certificate(member: &Member) -> CertificateInfo {
    identity(member).certificate().unwrap()
}

fn days_left(certificate: &CertificateInfo) -> u64 {
    certificate.until.as_secs().saturating_sub(UnixTime::now().as_secs()) / DAY
}

/// Waits until the node has a certificate that is as wanted. Virtual time passes meanwhile.
async fn gets(member: &Member, wanted: impl Fn(&CertificateInfo) -> bool) -> CertificateInfo {
    let asking = async {
        loop {
            let shown = certificate(member);
            if wanted(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(10), asking).await;
    in_time.unwrap_or_else(|_| panic!("{} still has {:?}", member.id(), certificate(member)))
}

/// Waits until a node is called at another one.
async fn reaches(from: &Member, to: &'static str) {
    soon(async {
        while from.proxy().probe().on(to).look().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Gives a stopped worker a certificate that its coordinator made so long ago (by a clock that was ahead, where that is negative), and
/// knows to be the last one.
async fn age(cluster: &Cluster, coordinator: &Member, id: &str, days: i64) {
    let off = Enrolment::open(cluster.dir(id), password()).await.unwrap();
    let authority = StoreVault::new(coordinator.store().clone());
    let of = |path: &str| authority.get(path).unwrap().unwrap();
    let key = NodeKey::from_pkcs8(&of("ca/issuing.key")).unwrap();
    let ca = IssuingCa::from_parts(key, of("ca/issuing.cert").to_vec().into(), off.identity.root().clone()).unwrap();
    let names = NodeNames { node_id: &off.identity.peer().node_id, role: Role::Worker, addresses: &[Host::Ip(worker_ip(1))] };
    let then =
        UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs().strict_add_signed(-days * DAY.cast_signed())));
    let chain = ca.issue(&off.identity.key().public(), &names, then).unwrap();
    let aged = NodeIdentity::new(off.identity.key().clone(), chain, off.identity.root().clone()).unwrap();
    aged.save(&StoreVault::new(off.store.clone())).unwrap();
    let record = format!("ca/nodes/{id}.json");
    let mut known: serde_json::Value = serde_json::from_slice(&of(&record)).unwrap();
    known["certificate"] = serde_json::to_value(aged.certificate().unwrap().hash).unwrap();
    let text = serde_json::to_vec(&known).unwrap().into();
    authority.update(vec![Change::Put(record, text)]).unwrap();
}

/// Starts a stopped worker where it is reached by another address, as if its machine had moved.
async fn start_at(cluster: &Cluster, ip: IpAddr, advertise: Host) -> Member {
    let plan = Plan { ip, ..Plan::worker(1) };
    let mut enrolment = Enrolment::open(cluster.dir(&plan.id), password()).await.unwrap();
    enrolment.config.listen = SocketAddr::new(ip, enrolment.config.listen.port());
    enrolment.config.advertise = advertise;
    cluster.start(plan, enrolment).await
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_certificate_ends_within_a_month_renews_it_by_itself_and_one_with_half_a_year_does_not() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    workers.pop().unwrap().node.stop().await;
    for (age_in_days, renews) in [(180, false), (340, true)] {
        age(&cluster, &coordinator, "worker-1", age_in_days).await;
        let worker = cluster.restart(Plan::worker(1)).await;
        let before = certificate(&worker);
        assert!(
            (364..=365).contains(&(days_left(&before).cast_signed() + age_in_days)),
            "it has been used for {age_in_days} days: {before:?}"
        );
        reaches(&coordinator, "worker-1").await;
        if renews {
            let after = gets(&worker, |shown| shown.hash != before.hash).await;
            assert!(days_left(&after) >= 363, "{after:?}");
            assert_eq!(after.key, before.key, "the key stays");
        } else {
            // It looks every hour.
            tokio::time::sleep(Duration::from_mins(70)).await;
            assert_eq!(certificate(&worker).hash, before.hash);
        }
        reaches(&coordinator, "worker-1").await;
        worker.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_own_certificate_is_not_valid_by_its_clock_says_so_as_it_starts_with_what_to_do() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    workers.pop().unwrap().node.stop().await;
    let all_say = "the node's own certificate ";
    for (age_in_days, said) in [
        (180, None),
        (-30, Some(["becomes valid only on ", "set the clock right (NTP)"])),
        (400, Some(["ran out on ", "stop the node and join again in this folder with a fresh token"])),
    ] {
        age(&cluster, &coordinator, "worker-1", age_in_days).await;
        let log = Log::capture();
        let worker = cluster.restart(Plan::worker(1)).await;
        let text = log.text();
        let told: Vec<_> = text.lines().filter(|line| line.contains(all_say)).collect();
        match said {
            None => assert!(told.is_empty(), "{told:?}"),
            Some(parts) => {
                assert!(told.len() == 1 && told[0].contains("WARN"), "{told:?}");
                assert!(parts.iter().all(|part| told[0].contains(part)), "{parts:?} in {told:?}");
            }
        }
        drop(log);
        worker.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_at_another_address_is_reached_at_once_and_gets_a_certificate_for_it_by_itself() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let before = certificate(&workers[0]);
    assert_eq!(before.addresses, [Host::Ip(worker_ip(1))]);
    workers.pop().unwrap().node.stop().await;

    let moved = start_at(&cluster, worker_ip(9), Host::Ip(worker_ip(9))).await;
    reaches(&coordinator, "worker-1").await;
    reaches(&moved, "coordinator").await;
    let after = gets(&moved, |shown| shown.addresses == [Host::Ip(worker_ip(9))]).await;
    assert_eq!((after.peer, after.key), (before.peer, before.key));
    reaches(&coordinator, "worker-1").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_dns_name_has_changed_gets_a_certificate_for_the_new_one_by_itself() {
    let (cluster, coordinator, mut workers) = Cluster::of(1).await;
    let before = certificate(&workers[0]);
    workers.pop().unwrap().node.stop().await;
    for name in ["one.example", "one.new.example"] {
        cluster.network.name(name, worker_ip(1));
        let renamed = start_at(&cluster, worker_ip(1), name.parse().unwrap()).await;
        let after = gets(&renamed, |shown| shown.addresses == [name.parse().unwrap()]).await;
        assert_eq!((&after.peer, after.key), (&before.peer, before.key));
        reaches(&coordinator, "worker-1").await;
        reaches(&renamed, "coordinator").await;
        renamed.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dns_name_that_leads_to_another_node_is_not_certified() {
    let (cluster, _coordinator, mut workers) = Cluster::of(2).await;
    let other = workers.pop().unwrap();
    workers.pop().unwrap().node.stop().await;
    cluster.network.name("two.example", other.ip);
    let theirs: Host = "two.example".parse().unwrap();
    let liar = start_at(&cluster, worker_ip(1), theirs.clone()).await;
    reaches(&liar, "coordinator").await;
    tokio::time::sleep(Duration::from_mins(30)).await;
    let after = certificate(&liar);
    assert!(!after.addresses.contains(&theirs), "{after:?}");
    reaches(&liar, "coordinator").await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_another_nodes_is_not_certified_and_the_node_goes_on_under_its_own_name() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    let other = workers.pop().unwrap();
    let before = certificate(&workers[0]);
    workers.pop().unwrap().node.stop().await;
    let theirs = Host::Ip(other.ip);
    let liar = start_at(&cluster, worker_ip(1), theirs.clone()).await;
    reaches(&liar, "coordinator").await;
    tokio::time::sleep(Duration::from_mins(30)).await;
    let after = certificate(&liar);
    assert!(!after.addresses.contains(&theirs), "{after:?}");
    assert_eq!((after.peer, after.key), (before.peer, before.key));
    reaches(&liar, "coordinator").await;
    assert_eq!(coordinator.proxy().probe().on("worker-2").look().await.unwrap().node, "worker-2");
}
