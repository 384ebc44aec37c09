//! The halves of a split cluster each change the root.

use p2p_client::protocol::NodeStatus;
use p2p_runtime::{network::Members, web::CaReply};

use super::*;
use common::web::Web;

fn dead(id: &'static str) -> impl Fn(&Members) -> bool {
    move |members| members.get(&id.parse().unwrap()).map(|info| info.status) == Some(NodeStatus::Dead)
}

async fn ca(cluster: &Cluster, node: &Member) -> CaReply {
    serde_json::from_value(Web::operator(cluster.dir(node.id().as_str())).get("/admin/ca").await.json()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_halves_that_have_each_changed_the_root_say_so_when_they_meet_and_one_joins_the_other_again() {
    let log = Log::capture();
    let (cluster, first, _none) = Cluster::of(0).await;
    let two = second(&cluster, &first).await;
    first.share_root_key(two.id()).await.unwrap();
    cluster.network.partition(first.ip, two.ip);
    sees(&first, dead("coordinator-2")).await;
    sees(&two, dead("coordinator")).await;
    for holder in [&first, &two] {
        let before = holder.root_fingerprint();
        holder.rotate_root().await.unwrap();
        until("it is certified anew", || {
            let authority = holder.issuer().unwrap().authority().unwrap();
            let is_next = authority.root != before.into();
            is_next && KeyHash::of_certificate(&identity(holder).chain()[1]) == Some(authority.key)
        })
        .await;
        holder.finish_rotation().await.unwrap();
        changed(before, &[holder]).await;
    }
    assert_ne!(first.root_fingerprint(), two.root_fingerprint());
    assert!(ca(&cluster, &first).await.unheard_of.is_empty() && !log.text().contains("was never heard of here"), "the control");

    cluster.network.heal(first.ip, two.ip);
    for (here, there) in [(&first, &two), (&two, &first)] {
        let root = there.root_fingerprint().to_string();
        becomes("it is shown", async || ca(&cluster, here).await.unheard_of.iter().any(|other| other.fingerprint == root)).await;
        let shown = ca(&cluster, here).await.unheard_of;
        assert_eq!((shown.len(), &shown[0].shown_by), (1, there.id()));
        log.one(&["what=\"meet another root of the cluster\"", &format!("whom=\"root {root}\""), "outcome=\"pending\""]);
    }
    assert!(log.text().contains("p2p ca show") && log.text().contains("joins again in its folder"));

    // What the text says, done.
    let token = token(&first, TokenOptions { role: p2p_client::protocol::Role::Coordinator, ..TokenOptions::default() }).await;
    two.node.stop().await;
    let enrolment = soon(cluster.join(&Plan::second_coordinator(), &first.authority(), token)).await.unwrap();
    let two = cluster.start(Plan::second_coordinator(), enrolment).await;
    reaches(&first, "coordinator-2").await;
    assert_eq!(first.root_fingerprint(), two.root_fingerprint());
    assert!(ca(&cluster, &two).await.unheard_of.is_empty());
}
