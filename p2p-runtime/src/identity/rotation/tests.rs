//! What nodes believe, keep and refuse while the root is being changed.

use std::sync::{Arc, atomic::Ordering};

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{ChainKeys, KeyHash, Reason, Subject},
    wire::tls::{TlsError, Usage},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    super::{
        ca::{IssuingCa, NodeNames, RootCa},
        issuer::{ISSUING_CERT, ISSUING_KEY, NEXT_ROOT_KEY, ROOT_KEY},
        revocation::{Ledger, SignedStatement},
        shown::Shown,
        tests::{AuditLines, another_authority, cluster, issuing_under, ledger, revoked_after_the_next_write, worker},
        vault::{Change, tests::MemoryVault},
        *,
    },
    *,
};

mod settling;

/// A node without a network.
struct Party {
    identity: NodeIdentity,
    vault: Arc<MemoryVault>,
    ledger: Ledger,
}

impl Party {
    fn of(identity: &NodeIdentity, vault: Arc<MemoryVault>) -> Self {
        let identity = NodeIdentity::new(identity.key().clone(), identity.chain().to_vec(), identity.root().clone()).unwrap();
        identity.save(&*vault).unwrap();
        Self { ledger: ledger(&identity, &vault), identity, vault }
    }

    /// A node with a store of its own.
    fn new(identity: &NodeIdentity) -> Self {
        Self::of(identity, Arc::default())
    }

    /// The same node, started again on what it has stored.
    fn restarted(self) -> Self {
        let identity = NodeIdentity::load(&*self.vault).unwrap().unwrap();
        Self { ledger: ledger(&identity, &self.vault), identity, vault: self.vault }
    }

    fn roots(&self) -> &Roots {
        self.ledger.roots()
    }

    fn keys(&self) -> RootKeys {
        let me = self.identity.peer().node_id.clone();
        RootKeys::new(self.vault.clone(), self.ledger.clone(), Arc::new(UnixMillis::now), me)
    }

    /// The authority that a holder of the root key gives itself.
    async fn issuing(&self) -> IssuingCa {
        let key = NodeKey::generate().unwrap();
        let cert = self.keys().issue_authority(self.identity.peer().node_id.clone(), key.public()).await.unwrap().unwrap();
        let changes =
            vec![Change::Put(ISSUING_KEY.into(), key.to_pkcs8()), Change::Put(ISSUING_CERT.into(), cert.to_vec().into())];
        self.vault.update(changes).unwrap();
        IssuingCa::from_parts(key, cert, self.roots().known().wanted().clone()).unwrap()
    }

    /// Has a certificate made anew by this authority.
    fn reissued_by(&self, ca: &IssuingCa) {
        let peer = self.identity.peer();
        let names = NodeNames { node_id: &peer.node_id, role: peer.role, addresses: &[] };
        let chain = ca.issue(&self.identity.key().public(), &names, UnixTime::now()).unwrap();
        self.identity.take_renewed(&*self.vault, self.roots(), &chain).unwrap();
    }

    fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.identity.material().own().unwrap().cert.clone()
    }

    /// Whether this node believes the other's certificate now.
    fn believes(&self, other: &Self) -> Result<(), TlsError> {
        self.believes_chain(&other.shown())
    }

    fn believes_chain(&self, chain: &[CertificateDer<'static>]) -> Result<(), TlsError> {
        let (leaf, others) = chain.split_first().unwrap();
        self.identity.material().verify(leaf, others, Usage::Client, UnixTime::now()).map(drop)
    }

    async fn hears(&self, from: &Self) -> bool {
        self.roots().learn(from.roots().known().told()).await.unwrap()
    }

    fn current(&self) -> String {
        self.roots().current().key_hash().to_string()
    }
}

/// A coordinator with the root key, and two workers.
fn parties() -> (Party, Party, Party) {
    let (coordinator, vault) = cluster();
    let (w, v) = (worker(&vault, "w"), worker(&vault, "v"));
    (Party::of(&coordinator, vault), Party::new(&w), Party::new(&v))
}

#[tokio::test]
async fn everyone_believes_everyone_at_each_step_of_a_change() {
    let (c, w, v) = parties();
    let all = || [(&c, &w), (&w, &c), (&w, &v), (&v, &w), (&c, &v), (&v, &c)];
    let everyone = |when: &str| {
        for (reader, other) in all() {
            let names = (&reader.identity.peer().node_id, &other.identity.peer().node_id);
            assert_eq!(reader.believes(other).map_err(|error| error.to_string()), Ok(()), "{names:?} {when}");
            let signed = other.identity.attestor().sign(b"m").unwrap();
            reader.identity.attestor().verify(names.1, b"m", &signed).unwrap();
        }
    };
    let before = c.current();
    assert_eq!(c.keys().begin(false).await.unwrap(), Rotation::Begun);
    everyone("when it is announced and nobody has heard");
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    everyone("when the coordinator was reissued and nobody has heard");
    assert!(w.hears(&c).await && !w.hears(&c).await, "it is news once");
    w.reissued_by(&ca);
    everyone("when one of two workers was reissued");
    assert!(w.shown().iter().any(|cert| cert == v.shown().last().unwrap()), "the old root is shown to those who ask for it");
    v.hears(&w).await;
    v.reissued_by(&ca);
    everyone("when all were reissued");
    c.keys().complete().await.unwrap();
    everyone("when it is completed and nobody has heard");
    v.hears(&c).await;
    everyone("when one has heard");
    w.hears(&v).await;
    everyone("when all have heard");
    for party in [&c, &w, &v] {
        assert_ne!(party.current(), before);
        assert!(party.roots().known().next().is_none() && !party.roots().is_outdated());
        assert_eq!(party.shown().len(), 3, "leaf, authority, new root");
        assert_eq!(party.identity.peer().cluster, c.identity.peer().cluster, "the cluster keeps its name");
        assert_eq!(party.roots().current().cluster(), c.identity.root().cluster());
    }
}

#[tokio::test]
async fn a_node_goes_on_where_it_was_killed_at_each_step() {
    let (c, w, _) = parties();
    assert!(c.keys().begin(false).await.is_ok());
    let c = c.restarted();
    assert_eq!(c.keys().begin(false).await.unwrap(), Rotation::GoesOn);
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    let (c, next) = (c.restarted(), ca.root().key_hash().to_string());
    assert!(!c.roots().is_outdated() && c.roots().known().next().unwrap().key_hash().to_string() == next);
    w.hears(&c).await;
    let w = w.restarted();
    assert!(w.roots().is_outdated(), "heard, and not reissued yet");
    w.reissued_by(&ca);
    let w = w.restarted();
    assert!(!w.roots().is_outdated());
    c.keys().complete().await.unwrap();
    let c = c.restarted();
    assert_eq!(c.current(), next);
    w.hears(&c).await;
    let w = w.restarted();
    assert_eq!((w.current(), w.believes(&c).is_ok(), c.believes(&w).is_ok()), (next, true, true));
    // The new root's key is at its place, the old one's is gone, and the next change is like the first.
    let key = NodeKey::from_pkcs8(&c.vault.get(ROOT_KEY).unwrap().unwrap()).unwrap();
    assert_eq!(KeyHash::from(key.public().thumbprint()).to_string(), c.current());
    assert!(c.vault.get(NEXT_ROOT_KEY).unwrap().is_none());
    assert_eq!(c.keys().begin(false).await.unwrap(), Rotation::Begun);
    c.reissued_by(&c.issuing().await);
    assert!(w.believes(&c).is_ok());
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_begun_nor_completed() {
    let (c, w, _) = parties();
    let before = c.current();
    let full = |is: bool| c.vault.full.store(is, Ordering::SeqCst);
    full(true);
    assert!(c.keys().begin(false).await.unwrap_err().to_string().contains("the disk is full"));
    assert!(c.roots().known().next().is_none());
    full(false);
    c.keys().begin(false).await.unwrap();
    w.vault.full.store(true, Ordering::SeqCst);
    w.roots().learn(c.roots().known().told()).await.unwrap_err();
    assert!(w.roots().known().next().is_none() && w.identity.material().next_root().is_none());
    full(true);
    assert!(c.keys().complete().await.is_err());
    assert_eq!(c.current(), before);
    assert!(c.vault.get(ROOT_KEY).unwrap().is_some());
}

#[tokio::test]
async fn who_does_not_hold_the_key_is_told_where_to_go() {
    let (c, w, _) = parties();
    let said = w.keys().begin(false).await.unwrap_err().to_string();
    assert!(said.contains("does not hold the root key") && said.contains("`p2p ca share w` there"), "{said}");
    assert!(matches!(c.keys().complete().await, Err(RotateError::NotBegun)));
    c.keys().begin(false).await.unwrap();
    w.hears(&c).await;
    let said = w.keys().begin(false).await.unwrap_err().to_string();
    assert!(said.contains("coordinator has begun") && said.contains("--start-over"), "{said}");
    let said = w.keys().complete().await.unwrap_err().to_string();
    assert!(said.contains("run the command on coordinator"), "{said}");
}

#[tokio::test]
async fn case_16_a_change_of_the_root_by_a_foreign_authority_with_the_same_name_is_refused() {
    let (c, w, _) = parties();
    let (foreign, _, member) = parties();
    foreign.keys().begin(false).await.unwrap();
    let told = foreign.roots().known().told();
    let refused = w.roots().learn(told.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("which this node does not trust"), "{refused}");
    // What names our root and our cluster, signed by another key.
    c.keys().begin(false).await.unwrap();
    let ours = c.roots().known().told();
    let (theirs, good) = (serde_json::to_value(&told.announced).unwrap(), serde_json::to_value(&ours.announced).unwrap());
    for part in ["signature", "root", "cross"] {
        let mut mixed = good.clone();
        mixed[part] = theirs[part].clone();
        let mixed = Told { completed: None, announced: serde_json::from_value(mixed).unwrap() };
        let refused = w.roots().learn(mixed).await.unwrap_err().to_string();
        println!("{part}: {refused}");
        assert!(w.roots().known().next().is_none() && w.identity.material().next_root().is_none());
    }
    // Nor is a completion believed of a change that was never announced.
    foreign.keys().complete().await.unwrap();
    w.roots().learn(foreign.roots().known().told()).await.unwrap_err();
    assert_eq!(w.current(), c.current());
    // The control: whoever does not look at the signature takes it; here, those whose root did sign it.
    assert!(member.roots().learn(told).await.unwrap());
    assert!(w.roots().learn(ours).await.unwrap());
}

#[tokio::test]
async fn a_stolen_old_root_key_is_worth_nothing_after_the_drop() {
    let (c, w, _) = parties();
    let stolen = NodeKey::from_pkcs8(&c.vault.get(ROOT_KEY).unwrap().unwrap()).unwrap();
    let thief = RootCa::from_parts(stolen, c.roots().current()).unwrap();
    let id: NodeId = "coordinator".parse().unwrap();
    let key = NodeKey::generate().unwrap();
    let authority = thief.issue_authority(&id, &key.public(), UnixTime::now()).unwrap();
    let forged_ca = IssuingCa::from_parts(key, authority, thief.root().clone()).unwrap();
    let names = NodeNames { node_id: &id, role: Role::Coordinator, addresses: &[] };
    let chain = forged_ca.issue(&NodeKey::generate().unwrap().public(), &names, UnixTime::now()).unwrap();
    // The control: before the drop the key is all that it takes.
    assert!(w.believes_chain(&chain).is_ok());

    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    w.hears(&c).await;
    w.reissued_by(&ca);
    let cross = c.shown()[2].clone();
    c.keys().complete().await.unwrap();
    w.hears(&c).await;
    for party in [&c, &w] {
        let mut forged = chain.clone();
        assert!(matches!(party.believes_chain(&forged), Err(TlsError::ForeignCa { .. })));
        // What the old root has signed for the new one leads from old to new, and not back.
        forged.push(cross.clone());
        forged.push(party.roots().current().der().clone());
        assert!(matches!(party.believes_chain(&forged), Err(TlsError::ForeignCa { .. })));
        // Nor does another change that begins at the old root.
        let successor = thief.succeed(UnixTime::now()).unwrap();
        let occasion = said::Occasion { by: id.clone(), at: UnixMillis::now(), attempt: 9 };
        let announced = SignedAnnouncement::make(&thief, successor.ca.root(), &successor.cross, occasion).unwrap();
        let occasion = said::Occasion { by: id.clone(), at: UnixMillis::now(), attempt: 9 };
        let from = said::key_of(thief.root());
        let completed = SignedCompletion::make(&successor.ca, &announced, from, vec![], occasion).unwrap();
        for told in [
            Told { completed: None, announced: Some(announced.clone()) },
            Told { completed: Some((announced.clone(), completed)), announced: None },
        ] {
            let refused = party.roots().learn(told).await.unwrap_err().to_string();
            assert!(refused.contains("which this node does not trust"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_certificate_from_before_the_change_is_refused_after_it_also_beside_a_new_authority() {
    let (c, w, v) = parties();
    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    w.hears(&c).await;
    w.reissued_by(&ca);
    c.keys().complete().await.unwrap();
    w.hears(&c).await;
    assert!(matches!(w.believes(&v), Err(TlsError::ForeignCa { .. })), "v was not reissued");
    let beside = [v.shown(), vec![ca.certificate().clone(), c.shown()[2].clone()]].concat();
    assert!(w.believes_chain(&beside).is_err());
    assert!(w.believes(&c).is_ok(), "the control");
    // It hears of it, and knows itself that it has been left behind; also after a restart.
    v.hears(&c).await;
    let v = v.restarted();
    assert!(v.roots().is_outdated() && v.current() == c.current());
}

#[tokio::test]
async fn revocations_from_before_the_change_are_believed_by_those_who_come_after_it() {
    let (c, w, _) = parties();
    c.ledger.revoke(vec![Subject::Node { node_id: "lost".parse().unwrap() }], Reason::default()).await.unwrap();
    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    c.keys().complete().await.unwrap();
    let statements = c.ledger.get(&c.ledger.ids());
    // Somebody who joins now, and knows the new root alone.
    let newcomer = {
        let key = NodeKey::generate().unwrap();
        let node_id = "new".parse().unwrap();
        let names = NodeNames { node_id: &node_id, role: Role::Worker, addresses: &[] };
        let chain = c.roots().known().present(&ca.issue(&key.public(), &names, UnixTime::now()).unwrap());
        Party::new(&NodeIdentity::new(key, chain, c.roots().current()).unwrap())
    };
    // The control: its author's certificate leads to the old root, so that by itself it is not believed.
    let accepted = newcomer.ledger.accept(statements.clone()).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.refused.len()), (0, 1));
    assert!(newcomer.hears(&c).await, "the new root's key vouches for them");
    let accepted = newcomer.ledger.accept(statements.clone()).await.unwrap();
    assert_eq!((accepted.fresh.len(), accepted.refused.len()), (1, 0));
    assert!(newcomer.restarted().ledger.revocations().set().revoked_at(&"lost".parse().unwrap()).is_some());
    assert_eq!(c.ledger.digest().count, 1, "and they stay with those who had them");
    // Who was away and has said nothing since is none whose word counts.
    assert!(c.believes(&w).is_err());
}

#[tokio::test]
async fn of_two_changes_that_begin_at_once_all_come_to_follow_the_same() {
    let (c, w, v) = parties();
    // A second holder of the same key, who has not heard of the first.
    w.vault.update(vec![Change::Put(ROOT_KEY.into(), c.vault.get(ROOT_KEY).unwrap().unwrap())]).unwrap();
    c.keys().begin(false).await.unwrap();
    w.keys().begin(false).await.unwrap();
    v.hears(&w).await;
    v.hears(&c).await;
    c.hears(&w).await;
    w.hears(&c).await;
    let next = |party: &Party| party.roots().known().next().unwrap().key_hash();
    assert_eq!((next(&c), next(&c)), (next(&w), next(&v)));
    let loser = if c.keys().can_complete() { &w } else { &c };
    assert!(matches!(loser.keys().begin(false).await, Err(RotateError::BegunElsewhere { .. })));
    // The one that has the right key is lost: who holds the old root's key begins anew, and all follow.
    assert_eq!(loser.keys().begin(true).await.unwrap(), Rotation::Begun);
    assert!(v.hears(loser).await && loser.keys().can_complete());
    assert_eq!(next(&v), next(loser));
}

#[tokio::test]
async fn a_node_that_was_away_from_one_change_to_the_next_catches_up_in_one_go() {
    let (c, w, _) = parties();
    c.keys().begin(false).await.unwrap();
    c.reissued_by(&c.issuing().await);
    w.hears(&c).await;
    w.reissued_by(&issuing_under(&c.vault, c.roots().known().wanted()));
    c.keys().complete().await.unwrap();
    c.keys().begin(false).await.unwrap();
    c.reissued_by(&c.issuing().await);
    assert!(w.believes(&c).is_ok() && c.believes(&w).is_ok());
    assert!(w.hears(&c).await);
    assert_eq!((w.current(), w.roots().known().id()), (c.current(), c.roots().known().id()));
    assert!(w.roots().is_outdated());
}

#[tokio::test]
async fn a_root_key_is_handed_on_only_where_it_is_that_of_a_root_that_is_trusted() {
    let (c, w, _) = parties();
    let (stranger, ..) = parties();
    let offered = stranger.keys().to_share("w".parse().unwrap()).await.unwrap();
    assert_eq!(w.keys().take_over(offered).await.unwrap(), 0);
    assert!(w.vault.get(ROOT_KEY).unwrap().is_none());
    assert!(matches!(w.keys().to_share("c".parse().unwrap()).await, Err(RotateError::NoRootKey { .. })));
    assert_eq!(w.keys().take_over(c.keys().to_share("w".parse().unwrap()).await.unwrap()).await.unwrap(), 1);
    assert!(w.keys().is_held(&c.roots().current()).unwrap());
    // While the root is being changed both keys go; who holds both can complete it.
    c.keys().begin(false).await.unwrap();
    w.hears(&c).await;
    assert!(!w.keys().can_complete());
    assert_eq!(w.keys().take_over(c.keys().to_share("w".parse().unwrap()).await.unwrap()).await.unwrap(), 2);
    assert!(w.keys().can_complete());
    c.keys().complete().await.unwrap();
    w.hears(&c).await;
    assert!(w.keys().is_held(&c.roots().current()).unwrap(), "it had been given both");
}

#[tokio::test]
async fn at_the_drop_connections_of_those_who_were_not_reissued_are_cut_and_no_others() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (c, w, v) = parties();
    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    w.hears(&c).await;
    // Connections from before the change, to both and to one who borrows a good name.
    let key = |party: &Party| KeyHash::from(party.identity.key().public().thumbprint());
    let open = |name: &Party, key: KeyHash| {
        let (near, far) = tokio::io::duplex(64);
        (c.identity.material().revocations().guard(near, &name.identity.peer().node_id, ChainKeys::new(key, Vec::new())), far)
    };
    let (mut good, mut far) = open(&w, key(&w));
    let (mut left, _far) = open(&v, key(&v));
    let (mut borrowed, _other_far) = open(&w, KeyHash::new([7; 32]));
    w.reissued_by(&ca);
    for party in [&w, &v] {
        let chain = party.shown();
        c.roots().witness(&party.identity.peer().node_id, &chain[0], &chain[1..]);
    }
    assert!(c.roots().has_shown_wanted(&w.identity.peer().node_id) && !c.roots().has_shown_wanted(&v.identity.peer().node_id));
    c.keys().complete().await.unwrap();
    for cut in [&mut left, &mut borrowed] {
        assert_eq!(cut.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    }
    far.write_all(b"x").await.unwrap();
    assert_eq!(
        good.read_u8().await.unwrap(),
        b'x',
        "under its old certificate, of a node that has shown a new one for the same key"
    );
}

#[tokio::test]
async fn a_handshake_that_was_open_across_the_drop_gives_no_stream_to_who_was_not_reissued() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (c, w, v) = parties();
    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    w.hears(&c).await;
    w.reissued_by(&ca);
    let guarded = |chain: &[CertificateDer<'static>]| {
        let (near, far) = tokio::io::duplex(64);
        c.identity.material().guard(near, chain, Usage::Client).map(|(peer, stream)| (peer, stream, far))
    };
    assert!(guarded(&v.shown()).is_ok(), "the handshake found it good");
    c.keys().complete().await.unwrap();
    assert!(matches!(guarded(&v.shown()), Err(TlsError::ForeignCa { .. })));
    let (peer, mut stream, mut far) = guarded(&w.shown()).unwrap();
    assert_eq!(peer, *w.identity.peer());
    far.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn whose_each_issuing_authority_is_is_durable_before_it_is_handed_out() {
    let (c, ..) = parties();
    let own: Vec<_> = c.keys().granted().await.unwrap();
    assert_eq!(own.iter().map(|granted| &granted.node_id).collect::<Vec<_>>(), [&c.identity.peer().node_id], "that of the start");
    let (key, other) = (NodeKey::generate().unwrap(), "c-2".parse::<NodeId>().unwrap());
    c.vault.full.store(true, Ordering::Relaxed);
    assert!(c.keys().issue_authority(other.clone(), key.public()).await.is_err(), "nothing is handed out without a record");
    c.vault.full.store(false, Ordering::Relaxed);
    c.keys().issue_authority(other.clone(), key.public()).await.unwrap().unwrap();
    // Whoever has seen its request does not get it recorded as his.
    let taken = c.keys().issue_authority("thief".parse().unwrap(), key.public()).await.unwrap_err();
    assert!(matches!(&taken, RotateError::KeyOfAnother { node_id } if *node_id == other), "{taken}");
    let damaged = Change::Put("ca/authorities/x.json".into(), b"{".to_vec().into());
    c.vault.update(vec![damaged]).unwrap();
    let c = c.restarted();
    let granted = c.keys().granted().await.unwrap();
    let theirs = granted.iter().find(|granted| granted.node_id == other).unwrap();
    assert_eq!((theirs.key, theirs.root), (key.public().thumbprint().into(), said::key_of(&c.roots().current())));
    assert_eq!(granted.len(), 2);
}

#[tokio::test]
async fn on_which_authority_a_coordinator_stood_is_noted_with_its_own_and_on_a_revoked_one_it_is_given_none() {
    let (c, ..) = parties();
    let other = another_authority(&c.vault, &c.ledger).await;
    let key = KeyHash::from(other.key().public().thumbprint());
    let shown = |name: &str| {
        let (own, node_id) = (NodeKey::generate().unwrap(), name.parse().unwrap());
        let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses: &[] };
        Shown::read(&other.issue(&own.public(), &names, UnixTime::now()).unwrap()).unwrap()
    };
    let ask = async |name: &str| c.keys().grant_authority(shown(name), NodeKey::generate().unwrap().public()).await;
    let again = NodeKey::generate().unwrap().public();
    for own_now in [false, true] {
        let mut stands = shown("c-8");
        if own_now {
            stands.authorities = [KeyHash::new([7; 32])].into();
        }
        assert!(c.keys().grant_authority(stands, again).await.unwrap().is_some(), "asked again, it stays what it stood on");
    }
    // It is revoked while another asks.
    revoked_after_the_next_write(&c.vault, "ca/authorities/", &c.ledger, key);
    for name in ["c-9", "c-10"] {
        let error = ask(name).await.unwrap_err();
        assert!(matches!(&error, RotateError::TakenBack { node_id } if node_id.as_str() == name), "{error}");
    }
    let on_it: Vec<_> = c
        .keys()
        .granted()
        .await
        .unwrap()
        .into_iter()
        .filter(|granted| granted.stood_on.contains(&key))
        .map(|granted| granted.node_id)
        .collect();
    assert!(on_it.iter().any(|node| node.as_str() == "c-8") && on_it.iter().any(|node| node.as_str() == "c-9"), "{on_it:?}");
    assert_eq!(on_it.len(), 2, "what was refused at once was not written");
}

/// Another coordinator, let in by the first one before the change.
fn another_coordinator(c: &Party) -> Party {
    let of = |path: &str| c.vault.get(path).unwrap().unwrap();
    let root = c.roots().current();
    let ca =
        IssuingCa::from_parts(NodeKey::from_pkcs8(&of(ISSUING_KEY)).unwrap(), of(ISSUING_CERT).to_vec().into(), root.clone());
    let (key, node_id) = (NodeKey::generate().unwrap(), "c-2".parse().unwrap());
    let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses: &[] };
    let chain = ca.unwrap().issue(&key.public(), &names, UnixTime::now()).unwrap();
    Party::new(&NodeIdentity::new(key, chain, root).unwrap())
}

#[tokio::test]
async fn a_damaged_root_key_keeps_no_coordinator_from_following_its_cluster() {
    let (c, ..) = parties();
    c.keys().begin(false).await.unwrap();
    c.reissued_by(&c.issuing().await);
    let [none_good, one_good] = [&[ROOT_KEY, NEXT_ROOT_KEY][..], &[ROOT_KEY]].map(|damaged| {
        let d = another_coordinator(&c);
        (d, damaged)
    });
    for (d, damaged) in [&none_good, &one_good] {
        d.hears(&c).await;
        d.keys().take_over(c.keys().to_share("w".parse().unwrap()).await.unwrap()).await.unwrap();
        d.vault.update(damaged.iter().map(|path| Change::Put((*path).into(), b"no key".to_vec().into())).collect()).unwrap();
    }
    for ((d, _), holds_next) in [(&none_good, false), (&one_good, true)] {
        let (me, key) = (d.identity.peer().node_id.clone(), NodeKey::generate().unwrap());
        let given = d.keys().issue_authority(me, key.public()).await.unwrap();
        assert_eq!(given.is_some(), holds_next, "who has no good key asks another coordinator");
        let damaged = d.keys().is_held(&d.roots().current()).unwrap_err();
        assert!(damaged.to_string().contains("`p2p ca share c-2` there"), "{damaged}");
        assert_eq!(d.keys().to_share("w".parse().unwrap()).await.is_ok(), holds_next, "the good one is given to others");
    }
    c.keys().complete().await.unwrap();
    for ((d, _), is_held) in [(none_good, false), (one_good, true)] {
        assert!(d.hears(&c).await);
        assert_eq!(d.current(), c.current());
        assert_eq!(d.keys().is_held(&c.roots().current()).unwrap(), is_held, "and the good one has its proper name");
        assert_eq!([ROOT_KEY, NEXT_ROOT_KEY].map(|path| d.vault.get(path).unwrap().is_some()), [is_held, false]);
    }
}

#[tokio::test]
async fn of_two_completions_of_one_change_all_take_the_same() {
    let (c, w, v) = parties();
    let d = another_coordinator(&c);
    c.keys().begin(false).await.unwrap();
    d.hears(&c).await;
    d.keys().take_over(c.keys().to_share("w".parse().unwrap()).await.unwrap()).await.unwrap();
    for party in [&w, &v] {
        party.hears(&c).await;
    }
    d.ledger.revoke(vec![Subject::Node { node_id: "lost".parse().unwrap() }], Reason::default()).await.unwrap();
    c.keys().complete().await.unwrap();
    d.keys().complete().await.unwrap();
    assert_ne!(c.roots().known().id(), d.roots().known().id(), "there is something to compare");
    w.hears(&c).await;
    w.hears(&d).await;
    v.hears(&d).await;
    v.hears(&c).await;
    assert_eq!(w.roots().known().id(), v.roots().known().id());
    assert!(c.hears(&d).await ^ d.hears(&c).await, "one of them has the one that counts");
    assert_eq!(c.roots().known().id(), d.roots().known().id());
    assert_eq!(w.restarted().roots().known().id(), d.roots().known().id());
}

#[tokio::test]
async fn a_completion_that_is_passed_on_with_another_announcement_is_not_believed_by_who_trusts_the_new_root_already() {
    let (c, w, v) = parties();
    c.keys().begin(false).await.unwrap();
    let ca = c.issuing().await;
    c.reissued_by(&ca);
    c.keys().complete().await.unwrap();
    w.hears(&c).await;
    let good = serde_json::to_value(c.roots().known().told()).unwrap();
    let newcomer = Party::new(&NodeIdentity::new(c.identity.key().clone(), c.shown(), c.roots().current()).unwrap());
    for (part, other) in [("root", v.shown()[2].to_vec()), ("cross", v.shown()[2].to_vec()), ("signature", vec![1; 70])] {
        let mut told = good.clone();
        told["completed"][0][part] = serde_json::Value::String(super::super::codec::encode(&other));
        let told: Told = serde_json::from_value(told).unwrap();
        newcomer.roots().learn(told).await.unwrap_err();
        assert!(newcomer.roots().known().completed().is_none(), "{part}");
    }
    assert!(newcomer.hears(&c).await, "the control");
}
