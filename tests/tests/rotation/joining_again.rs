//! Who was left behind, or was away for too long, joins again where it is; and what let nodes in before the change lets nobody in after it.

use p2p_runtime::{
    config::{LogLevel, NodeConfig},
    persistence::StatePersistence,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_node_that_is_left_behind_is_refused_and_joins_again_by_a_fresh_token_with_its_old_id() {
    let (cluster, coordinator, mut workers) = Cluster::of(2).await;
    let left = workers.pop().unwrap();
    let key = identity(&left).key().public();
    left.node.stop().await;
    let old_token = token(&coordinator, TokenOptions::default()).await;
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    misses(&coordinator, &["worker-2"]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let behind = coordinator.finish_rotation().await.unwrap();
    assert_eq!(behind.missing[0].node_id.as_str(), "worker-2");
    changed(before, &[&coordinator, &workers[0]]).await;

    let left = cluster.restart(Plan::worker(2)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!coordinator.members().members().alive().any(|info| info.node_id.as_str() == "worker-2"));
    assert!(looks(&left, "coordinator").await.is_err());
    left.node.stop().await;

    // A token from before names the old root.
    let other = Plan::worker(3);
    let error = soon(cluster.join(&other, &coordinator.authority(), old_token)).await.err().unwrap().to_string();
    assert!(
        error.contains("where the cluster's root was changed since the token was made") && error.contains("p2p token create"),
        "{error}"
    );
    until("open tokens are void", || {
        coordinator.issuer().unwrap().tokens().iter().all(|token| token.revoked || token.uses_left == 0)
    })
    .await;

    // Another cluster's token takes nothing away.
    let foreign = Cluster::new();
    let stranger = foreign.coordinator(Plan { id: "stranger".to_owned(), ..Plan::coordinator() }).await;
    let theirs = token(&stranger, TokenOptions::default()).await;
    let refused = soon(join_over(&foreign, &cluster, &Plan::worker(2), &stranger.authority(), theirs)).await.err().unwrap();
    assert!(matches!(&refused, NodeError::Join(JoinError::OtherCluster { .. })), "{refused}");

    let fresh = token(&coordinator, TokenOptions::default()).await;
    let enrolment = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), fresh)).await.unwrap();
    let back = cluster.start(Plan::worker(2), enrolment).await;
    assert_eq!(identity(&back).key().public(), key, "it keeps its key");
    assert_eq!(back.root_fingerprint(), coordinator.root_fingerprint());
    for node in [&coordinator, &workers[0], &back] {
        sees(node, |members| members.hosting("probe").count() == 3).await;
    }
    assert_eq!(looks(&workers[0], "worker-2").await.unwrap(), "worker-2");
    // Who belongs to the cluster does not join again.
    back.node.stop().await;
    let again = token(&coordinator, TokenOptions::default()).await;
    let refused = soon(cluster.join(&Plan::worker(2), &coordinator.authority(), again)).await.err().unwrap();
    assert!(matches!(refused, NodeError::Identity(IdentityError::AlreadyEnrolled(_))), "{refused}");
}

/// Joins by the network of another cluster, with a folder of this one.
async fn join_over(
    network: &Cluster,
    folders: &Cluster,
    plan: &Plan,
    authority: &str,
    token: p2p_runtime::identity::JoinToken,
) -> Result<Enrolment, NodeError> {
    let options = p2p_runtime::node::JoinClusterOptions {
        advertise: Some(p2p_runtime::identity::Host::Ip(plan.ip)),
        network: Arc::new(network.host(plan.ip)),
        ..p2p_runtime::node::JoinClusterOptions::new(folders.dir(&plan.id), common::password(), authority, token)
    };
    Ok(p2p_runtime::node::join(options).await?.enrolment)
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_joins_again_keeps_its_role_and_none_of_the_keys_of_the_old_root() {
    let (cluster, first, _workers) = Cluster::of(1).await;
    let two = second(&cluster, &first).await;
    sees(&first, |members| members.alive().count() == 3).await;
    first.share_root_key(two.id()).await.unwrap();
    two.node.stop().await;
    let before = first.root_fingerprint();
    first.rotate_root().await.unwrap();
    misses(&first, &["coordinator-2"]).await;
    first.finish_rotation().await.unwrap();
    changed(before, &[&first]).await;

    let plan = Plan::second_coordinator();
    let as_worker = Plan { role: Role::Worker, ..Plan::second_coordinator() };
    let worker_token = token(&first, TokenOptions::default()).await;
    let error = soon(cluster.join(&as_worker, &first.authority(), worker_token)).await.err().unwrap();
    assert!(matches!(error, NodeError::OtherRole { .. }), "{error}");
    assert!(error.to_string().contains("`p2p token create --role coordinator`"), "{error}");
    let held = |enrolment: &Enrolment| {
        let vault = StoreVault::new(enrolment.store.clone());
        ["ca/root.key", "ca/next-root.key", "ca/issuing.key", "ca/issuing.cert"].map(|path| vault.get(path).unwrap().is_some())
    };
    {
        let as_it_was = Enrolment::open(cluster.dir(&plan.id), common::password()).await.unwrap();
        assert_eq!(held(&as_it_was), [true, false, true, true], "the refusal changed nothing");
    }
    let fresh = token(&first, TokenOptions { role: Role::Coordinator, ..TokenOptions::default() }).await;
    let enrolment = soon(cluster.join(&plan, &first.authority(), fresh)).await.unwrap();
    assert_eq!(held(&enrolment), [false; 4]);
    let back = cluster.start(plan, enrolment).await;
    until("it has an authority under the new root", || back.issuer().unwrap().authority().is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_certificate_ran_out_while_it_was_off_joins_again_with_its_id_key_state_and_configuration() {
    let cluster = Cluster::new();
    let coordinator = cluster.coordinator(Plan::coordinator()).await;
    let worker = cluster.worker(Plan::worker(1).with("gpu"), &coordinator).await;
    // What a service keeps, as the services of a node do it.
    worker.store().update(|entries| entries.put("services/mailer/password", "hunter2")).unwrap();
    let counter = StatePersistence::<u64>::new(cluster.dir("worker-1").join("counter.json"));
    counter.save(&7).unwrap();
    worker.node.stop().await;
    let (before, configured) = {
        let off = Enrolment::open(cluster.dir("worker-1"), common::password()).await.unwrap();
        // What an operator has set: none of it is a default.
        let mut config = off.config.clone();
        (config.rate_limit.rpc_requests, config.gossip.max_targets) = (77, 3);
        config.log_level = LogLevel::Debug;
        config.save(&off.store).unwrap();
        let (store, authority) = (StoreVault::new(off.store.clone()), StoreVault::new(coordinator.store().clone()));
        let of = |path: &str| authority.get(path).unwrap().unwrap();
        let key = NodeKey::from_pkcs8(&of("ca/issuing.key")).unwrap();
        let ca = IssuingCa::from_parts(key, of("ca/issuing.cert").to_vec().into(), off.identity.root().clone()).unwrap();
        let names = NodeNames { node_id: &off.identity.peer().node_id, role: Role::Worker, addresses: &[] };
        let long_ago = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() - 400 * 86_400));
        let chain = ca.issue(&off.identity.key().public(), &names, long_ago).unwrap();
        let out = NodeIdentity::new(off.identity.key().clone(), chain, off.identity.root().clone()).unwrap();
        out.save(&store).unwrap();
        (out, config)
    };
    let token = token(&coordinator, TokenOptions::default()).await;
    let plan = Plan { id: "worker-1".to_owned(), ..Plan::worker(1) };
    let enrolment = soon(cluster.join(&plan, &coordinator.authority(), token)).await.unwrap();
    assert_eq!(enrolment.identity.peer(), before.peer());
    assert_eq!(enrolment.config, configured, "all of its configuration");
    let back = cluster.start(plan, enrolment).await;
    assert_eq!(identity(&back).key().public(), before.key().public());
    reaches(&coordinator, "worker-1").await;
    sees(&coordinator, |members| members.by_capability(&"gpu".into()).any(|info| info.node_id == "worker-1")).await;
    assert_eq!(back.store().get("services/mailer/password").unwrap().expose(), b"hunter2", "what a service keeps secret");
    assert_eq!(counter.load().unwrap(), Some(7), "and what it keeps otherwise");
    assert_eq!(NodeConfig::load(back.store()).unwrap(), configured, "and in its store, for the next start");
}

#[tokio::test(start_paused = true)]
async fn join_tokens_of_the_old_root_are_void_also_where_the_node_died_right_after_the_drop() {
    let (cluster, coordinator, _workers) = Cluster::of(1).await;
    token(&coordinator, TokenOptions::default()).await;
    let open = StoreVault::new(coordinator.store().clone()).get("ca/tokens.json").unwrap().unwrap();
    let before = coordinator.root_fingerprint();
    coordinator.rotate_root().await.unwrap();
    changed(before, &[&coordinator]).await;
    let is_void = |node: &Node| node.issuer().unwrap().tokens().iter().all(|token| token.revoked || token.uses_left == 0);
    until("open tokens are void", || is_void(&coordinator)).await;
    coordinator.node.stop().await;
    // As if that had not come to be.
    let off = Enrolment::open(cluster.dir("coordinator"), common::password()).await.unwrap();
    StoreVault::new(off.store.clone()).update(vec![p2p_runtime::identity::Change::Put("ca/tokens.json".into(), open)]).unwrap();
    let back = cluster.start(Plan::coordinator(), off).await;
    until("they are void after the start, too", || is_void(&back)).await;
    let fresh = token(&back, TokenOptions::default()).await.id();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(back.issuer().unwrap().tokens().iter().any(|token| token.id == fresh && !token.revoked));
}
