//! What a coordinator renews, and what it does not.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use p2p_client::{
    protocol::{Role, UnixMillis},
    revocation::{KeyHash, Reason, Subject},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{super::tests::*, *};
use crate::identity::{
    Host, Issuer, IssuerOptions, IssuingCa, Ledger, NodeIdentity, NodeKey, NodeNames, Vault,
    challenge::tests::World,
    join::{Issued, Refused, Seed},
    vault::tests::MemoryVault,
};

/// Whoever asks after this has not lost an answer.
const MORE_THAN_LOST: Duration = Duration::from_hours(13);

struct Desk {
    issuer: Issuer,
    ledger: Ledger,
    vault: Arc<MemoryVault>,
    world: Arc<World>,
    clock: Arc<AtomicU64>,
}

fn desk() -> Desk {
    let (identity, vault) = cluster();
    // A minute ahead of the clock by which tests date their certificates: what it issues is later than those, however long they took.
    let clock = Arc::new(AtomicU64::new(UnixMillis::now().0 + 60_000));
    let world = Arc::new(World::default());
    let seed = Seed { node_id: identity.peer().node_id.clone(), authority: "10.0.0.1:8001".into() };
    let mut options = IssuerOptions::new(seed, vec!["10.0.0.1".parse().unwrap()], world.clone());
    let time = clock.clone();
    options.clock = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
    let ledger = ledger(&identity, &vault);
    let issuer = Issuer::load(vault.clone(), ledger.clone(), options).unwrap().unwrap();
    Desk { issuer, ledger, vault, world, clock }
}

/// A worker whose certificate has this address.
fn worker_with(vault: &MemoryVault, address: &str) -> NodeIdentity {
    let (key, ca) = (NodeKey::generate().unwrap(), issuing(vault));
    let (node_id, addresses): (_, [Host; 1]) = ("w".parse().unwrap(), [address.parse().unwrap()]);
    let names = NodeNames { node_id: &node_id, role: Role::Worker, addresses: &addresses };
    let chain = ca.issue(&key.public(), &names, UnixTime::now()).unwrap();
    NodeIdentity::new(key, chain, ca.root().clone()).unwrap()
}

fn request(key: &NodeKey, addresses: &[&str]) -> RenewRequest {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    RenewRequest { version: RENEW_VERSION, csr: key.request().unwrap(), addresses, nonce: None, under: None }
}

impl Desk {
    fn pass(&self, time: Duration) {
        self.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn renew(&self, key: &NodeKey, shown: &[CertificateDer<'_>]) -> Result<Issued, Refused> {
        match self.issuer.renew(request(key, &["10.0.0.9"]), shown).await? {
            RenewReply::Issued(issued) => Ok(issued),
            RenewReply::Challenge { .. } => panic!("nothing is new"),
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_says_what_the_old_one_said_for_another_year() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let old = w.certificate().unwrap();
    let issued = desk.renew(w.key(), w.chain()).await.unwrap();
    let vault = MemoryVault::default();
    w.take_renewed(&vault, desk.ledger.roots(), &issued.chain()).unwrap();
    let new = w.certificate().unwrap();
    assert_eq!((&new.peer, new.key, &new.addresses), (&old.peer, old.key, &old.addresses));
    assert!(new.hash != old.hash && new.until >= old.until);
    assert_eq!(NodeIdentity::load(&vault).unwrap().unwrap().chain(), issued.chain(), "it is kept");
    assert!(desk.world.called.lock().unwrap().is_empty(), "what was proved once is not proved again");
}

#[tokio::test]
async fn a_certificate_that_could_not_be_kept_is_not_used() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let before = w.certificate().unwrap().hash;
    let issued = desk.renew(w.key(), w.chain()).await.unwrap();
    let vault = MemoryVault::default();
    vault.full.store(true, Ordering::SeqCst);
    w.take_renewed(&vault, desk.ledger.roots(), &issued.chain()).unwrap_err();
    assert_eq!(w.certificate().unwrap().hash, before);
    // Nor is somebody else's.
    vault.full.store(false, Ordering::SeqCst);
    let other = worker(&desk.vault, "other");
    let said = w.take_renewed(&vault, desk.ledger.roots(), other.chain()).unwrap_err().to_string();
    assert!(said.contains("/worker/other"), "{said}");
    assert_eq!(w.certificate().unwrap().hash, before);
}

#[tokio::test]
async fn another_key_gets_nothing_however_good_the_certificate_is_that_is_shown() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let said = desk.renew(&NodeKey::generate().unwrap(), w.chain()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }), "{said}");
}

#[tokio::test]
async fn a_new_address_is_proved_by_a_challenge_of_its_own_and_left_out_where_it_is_not() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let proved: IpAddr = "10.0.0.7".parse().unwrap();
    desk.world.keys.lock().unwrap().insert(proved, w.key().public().thumbprint().to_string());
    let mut ask = request(w.key(), &["10.0.0.7", "10.0.0.8"]);
    let RenewReply::Challenge { nonce, port, .. } = desk.issuer.renew(ask.clone(), w.chain()).await.unwrap() else {
        panic!("both are new");
    };
    assert_eq!(port, 8802);
    assert!(desk.world.called.lock().unwrap().is_empty(), "nobody is called before the node is ready");
    ask.nonce = Some(nonce);
    let RenewReply::Issued(issued) = desk.issuer.renew(ask.clone(), w.chain()).await.unwrap() else {
        panic!("it has been challenged");
    };
    let certificate = CertificateInfo::read(&issued.chain()[0]).unwrap();
    assert_eq!(
        certificate.addresses,
        [Host::Ip(proved)],
        "neither the old one, which was not asked for, nor one that did not answer"
    );
    assert_eq!(issued.left_out.len(), 1);
    assert_eq!(issued.left_out[0].address, "10.0.0.8".parse().unwrap());
    // A nonce works once.
    assert_eq!(desk.issuer.renew(ask, w.chain()).await.unwrap_err(), Refused::UnknownAttempt);
}

#[tokio::test]
async fn a_revoked_node_and_a_revoked_key_are_not_renewed() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let node_id = w.peer().node_id.clone();
    desk.ledger.revoke(vec![Subject::Node { node_id }], Reason::default()).await.unwrap();
    let said = desk.renew(w.key(), w.chain()).await.unwrap_err();
    assert!(matches!(said, Refused::NodeRevoked { .. }), "{said}");
    let key = w.key().public().thumbprint().into();
    desk.ledger.revoke(vec![Subject::Key { key }], Reason::default()).await.unwrap();
    let said = desk.renew(w.key(), w.chain()).await.unwrap_err();
    assert!(matches!(said, Refused::KeyRevoked { .. }), "{said}");
}

/// A worker that another coordinator has certified.
fn certified_by(ca: &IssuingCa, name: &str) -> NodeIdentity {
    let (key, node_id) = (NodeKey::generate().unwrap(), name.parse().unwrap());
    let names = NodeNames { node_id: &node_id, role: Role::Worker, addresses: &["10.0.0.9".parse().unwrap()] };
    let chain = ca.issue(&key.public(), &names, UnixTime::now()).unwrap();
    NodeIdentity::new(key, chain, ca.root().clone()).unwrap()
}

#[tokio::test]
async fn on_which_authorities_a_node_stood_when_it_was_renewed_is_noted_for_good() {
    let desk = desk();
    let other = another_authority(&desk.vault, &desk.ledger).await;
    let theirs = KeyHash::from(other.key().public().thumbprint());
    let ours = desk.issuer.authority().unwrap().key;
    let w = certified_by(&other, "w");
    let noted = || desk.issuer.issued(&w.peer().node_id).unwrap().unwrap().stood_on;
    let renewed = desk.renew(w.key(), w.chain()).await.unwrap();
    assert_eq!(noted(), [theirs].into());
    desk.renew(w.key(), &renewed.chain()).await.unwrap();
    assert_eq!(noted(), [theirs, ours].into(), "where it came from is not forgotten");
    // What cannot be told is not certified.
    let alone = desk.renew(w.key(), &w.chain()[..1]).await.unwrap_err();
    assert!(matches!(alone, Refused::BadRequest { .. }), "{alone}");
}

#[tokio::test]
async fn who_stands_on_a_revoked_authority_is_not_renewed_also_where_that_is_revoked_while_it_asks() {
    let desk = desk();
    let other = another_authority(&desk.vault, &desk.ledger).await;
    let key = KeyHash::from(other.key().public().thumbprint());
    let (w, v) = (certified_by(&other, "w"), certified_by(&other, "v"));
    revoked_after_the_next_write(&desk.vault, "ca/nodes/", &desk.ledger, key);
    let said = desk.renew(w.key(), w.chain()).await.unwrap_err();
    assert_eq!(said, Refused::AuthorityRevoked { node_id: w.peer().node_id.clone() });
    assert!(desk.issuer.issued(&w.peer().node_id).unwrap().unwrap().stood_on.contains(&key), "whoever looks for it finds it");
    let said = desk.renew(v.key(), v.chain()).await.unwrap_err();
    assert!(matches!(said, Refused::AuthorityRevoked { .. }) && said.to_string().contains("`p2p join --again`"), "{said}");
    assert!(desk.issuer.issued(&v.peer().node_id).unwrap().is_none());
}

#[tokio::test]
async fn a_role_is_not_changed_by_renewing() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let issued = desk.renew(w.key(), w.chain()).await.unwrap();
    let certificate = CertificateInfo::read(&issued.chain()[0]).unwrap();
    assert_eq!(certificate.peer.role, Role::Worker);
    // One that says another role than the coordinator has noted, under whatever authority, is not renewed either.
    let ca = issuing(&desk.vault);
    let names = NodeNames { node_id: &w.peer().node_id, role: Role::Coordinator, addresses: &[] };
    let chief = ca.issue(&w.key().public(), &names, UnixTime::now()).unwrap();
    let said = desk.renew(w.key(), &chief).await.unwrap_err();
    assert!(matches!(said, Refused::OtherRole { .. }) && said.is_final(), "{said}");
    assert!(
        said.to_string().contains("shows its certificate as a coordinator, and has joined again as a worker since"),
        "{said}"
    );
}

#[tokio::test]
async fn a_coordinator_that_was_set_back_to_a_backup_renews_what_was_renewed_since_and_no_copy_of_what_came_before() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    let first = w.chain().to_vec();
    desk.renew(w.key(), &first).await.unwrap();
    let backup = desk.vault.get("ca/nodes/w.json").unwrap().unwrap();
    let noted = desk.renew(w.key(), &first).await.unwrap();
    desk.pass(MORE_THAN_LOST);
    let newest = desk.renew(w.key(), &noted.chain()).await.unwrap();
    desk.pass(MORE_THAN_LOST);
    desk.vault.update(vec![crate::identity::Change::Put("ca/nodes/w.json".into(), backup)]).unwrap();
    assert!(matches!(desk.renew(w.key(), &first).await, Err(Refused::Superseded { .. })), "a copy of the folder");
    desk.renew(w.key(), &newest.chain()).await.expect("newer than what is noted");
}

#[tokio::test]
async fn a_node_whose_answer_was_lost_is_renewed_however_long_it_waits_before_it_asks_again() {
    let desk = desk();
    let w = worker_with(&desk.vault, "10.0.0.9");
    for _ in 0..3 {
        desk.renew(w.key(), w.chain()).await.expect("the answer was lost each time");
        desk.pass(LONGEST_RETRY);
    }
}

#[tokio::test]
async fn a_coordinator_that_could_not_keep_its_new_certificate_renews_itself_by_the_old_one_whenever_it_can() {
    let desk = desk();
    let coordinator = NodeIdentity::load(&*desk.vault).unwrap().unwrap();
    let ask = || request(coordinator.key(), &["10.0.0.1"]);
    let old = coordinator.chain().to_vec();
    desk.issuer.renew_own(ask(), &old).await.unwrap();
    desk.pass(MORE_THAN_LOST);
    let issued = desk.issuer.renew_own(ask(), &old).await.expect("nobody else could renew it");
    assert_eq!(CertificateInfo::read(&issued.chain()[0]).unwrap().addresses, ["10.0.0.1".parse::<Host>().unwrap()]);
    // From another machine it is one that was renewed before.
    desk.pass(MORE_THAN_LOST);
    assert!(matches!(desk.renew(coordinator.key(), &old).await, Err(Refused::Superseded { .. })));
    let said = desk.issuer.renew_own(request(&NodeKey::generate().unwrap(), &[]), &old).await.unwrap_err();
    assert!(matches!(said, Refused::NodeBound { .. }), "{said}");
}

/// Paths are those of the list of security cases.
mod security {
    use super::*;
    use crate::{checks::without_during, identity::checks::Check};

    #[tokio::test]
    async fn case_34_of_two_machines_with_one_key_the_second_to_renew_is_refused_and_noticed() {
        let desk = desk();
        let w = worker_with(&desk.vault, "10.0.0.9");
        let cloned = w.chain().to_vec();
        let first = desk.renew(w.key(), &cloned).await.unwrap();
        desk.renew(w.key(), &cloned).await.expect("its answer may have been lost");
        let last = desk.renew(w.key(), &cloned).await.unwrap();
        desk.pass(MORE_THAN_LOST);
        let said = desk.renew(w.key(), &cloned).await.unwrap_err();
        assert!(matches!(said, Refused::Superseded { .. }), "{said}");
        assert!(said.to_string().contains("stop the copy"), "{said}");
        assert!(matches!(desk.renew(w.key(), &first.chain()).await, Err(Refused::Superseded { .. })));
        desk.renew(w.key(), &last.chain()).await.expect("the last one is good");
    }

    #[tokio::test]
    async fn case_34_of_two_machines_that_renew_by_turns_the_second_is_refused() {
        let said = by_turns(&desk()).await.unwrap_err();
        assert!(matches!(said, Refused::Superseded { .. }), "{said}");
    }

    #[tokio::test]
    async fn case_34_control_without_a_look_at_the_last_certificate_both_are_renewed_for_ever() {
        let desk = desk();
        without_during(&[Check::LastCertificate], by_turns(&desk)).await.unwrap();
    }

    /// Two machines with one key renew again and again, each by the last certificate that it has.
    async fn by_turns(desk: &Desk) -> Result<(), Refused> {
        let w = worker_with(&desk.vault, "10.0.0.9");
        let (mut original, mut copy) = (w.chain().to_vec(), w.chain().to_vec());
        for _ in 0..3 {
            original = desk.renew(w.key(), &original).await.expect("it comes first").chain();
            desk.pass(MORE_THAN_LOST);
            copy = desk.renew(w.key(), &copy).await?.chain();
            desk.pass(MORE_THAN_LOST);
        }
        Ok(())
    }
}
