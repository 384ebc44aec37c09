//! Cases 21 and 32: certificate requests that ask for more than a node gets.

use std::sync::atomic::Ordering;

use p2p_client::{
    protocol::Role,
    wire::tls::{PeerIdentity, TlsError, TlsMaterial, Usage, verify_chain},
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose::ClientAuth, IsCa, KeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::super::{
    NodeKey,
    checks::Check,
    coordinators::{Desk, channel, desk},
    join::{Issued, Joiner},
    tests::forged,
};
use crate::checks::without_during;

/// The names of others, the coordinator's among them.
fn names_of_others(desk: &Desk) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["other.example".to_owned(), "10.6.6.6".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI(desk.identity.peer().to_string().try_into().unwrap()));
    params
}

/// The same, and an authority.
fn everything(desk: &Desk) -> CertificateParams {
    let mut params = names_of_others(desk);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A node that has joined by a request for more than a node gets.
struct Greedy {
    desk: Desk,
    joiner: Joiner,
    issued: Issued,
}

/// Joins with a request for this, and with the proof that belongs to it.
async fn asking_for(wanted: fn(&Desk) -> CertificateParams) -> Greedy {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let csr = wanted(&desk).serialize_request(joiner.key()).unwrap().der().to_vec();
    let sent = desk.prove(&joiner, |prove| {
        prove.proof = token.sign(&joiner.hello().transcript(&channel(), &prove.nonce, &csr)).unwrap();
        prove.csr = csr;
    });
    let issued = sent.await.unwrap();
    Greedy { desk, joiner, issued }
}

impl Greedy {
    /// For whom the nodes of the cluster take somebody with this certificate and these above it.
    fn taken_for(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<PeerIdentity, TlsError> {
        verify_chain(self.desk.identity.root(), leaf, others, Usage::Client, UnixTime::now(), &TlsMaterial::empty().algorithms())
    }

    /// For whom they take it by the certificate that it got.
    fn is_taken_for(&self) -> Result<PeerIdentity, TlsError> {
        let chain = self.issued.chain();
        self.taken_for(&chain[0], &chain[1..2])
    }

    /// For whom they take somebody with a certificate in the coordinator's name that this node has signed.
    fn makes(&self) -> Result<PeerIdentity, TlsError> {
        let chain = self.issued.chain();
        let (_, below) = forged(&[&self.desk.identity.peer().to_string()], &[ClientAuth], (&chain[0], self.joiner.key()));
        self.taken_for(&below, &chain[..2])
    }

    /// Whether its certificate says that it is an authority.
    fn is_an_authority(&self) -> bool {
        let chain = self.issued.chain();
        let leaf = X509Certificate::from_der(&chain[0]).unwrap().1;
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert_eq!((usage.key_cert_sign(), usage.digital_signature()), (leaf.is_ca(), !leaf.is_ca()));
        leaf.is_ca()
    }

    /// The names in its certificate.
    fn names(&self) -> Vec<String> {
        let chain = self.issued.chain();
        let leaf = X509Certificate::from_der(&chain[0]).unwrap().1;
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
            other => panic!("{other:?}"),
        };
        leaf.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(text).collect()
    }
}

#[tokio::test]
async fn case_21_a_request_that_asks_to_be_an_authority_gives_a_plain_node_certificate() {
    let node = asking_for(everything).await;
    assert!(!node.is_an_authority());
    let chain = node.issued.chain();
    let leaf = X509Certificate::from_der(&chain[0]).unwrap().1;
    let now = i64::try_from(node.desk.clock.load(Ordering::SeqCst) / 1000).unwrap();
    assert!(leaf.validity().not_after.timestamp() < now + 366 * 86_400);
    // What its key signs nevertheless, nobody believes.
    assert_eq!(node.is_taken_for().unwrap().node_id, "w");
    node.makes().unwrap_err();
}

#[tokio::test]
async fn case_21_control_where_all_of_a_request_is_taken_a_node_makes_coordinators_unless_their_authority_ends_paths() {
    for (left_out, is_an_authority, is_believed) in [
        (&[Check::OnlyTheKey, Check::PathLength][..], true, true),
        // Each alone is enough that nobody believes it.
        (&[Check::OnlyTheKey], true, false),
        (&[Check::PathLength], false, false),
    ] {
        let node = without_during(left_out, asking_for(everything)).await;
        assert_eq!(node.is_an_authority(), is_an_authority, "without {left_out:?}");
        let made = node.makes();
        assert_eq!(made.is_ok_and(|peer| peer == *node.desk.identity.peer()), is_believed, "without {left_out:?}");
    }
}

#[tokio::test]
async fn case_32_extra_names_in_a_request_are_not_in_the_certificate() {
    for wanted in [names_of_others, everything] {
        let node = asking_for(wanted).await;
        let peer = node.joiner.finish(&node.issued).unwrap().peer().clone();
        assert_eq!((peer.node_id.as_str(), peer.role), ("w", Role::Worker));
        assert_eq!(node.is_taken_for().unwrap(), peer);
        let cluster = node.desk.identity.root().cluster();
        let own = [peer.to_string(), format!("w.{cluster}.p2p.internal"), format!("{:?}", [10, 0, 0, 9])];
        assert_eq!(node.names(), own);
    }
}

#[tokio::test]
async fn case_32_control_where_all_of_a_request_is_taken_whoever_asks_for_it_is_the_coordinator() {
    let node = without_during(&[Check::OnlyTheKey], asking_for(names_of_others)).await;
    let coordinator = node.desk.identity.peer();
    assert_eq!(node.is_taken_for().unwrap(), *coordinator);
    assert_eq!(node.names(), ["other.example".to_owned(), format!("{:?}", [10, 6, 6, 6]), coordinator.to_string()]);
}

#[tokio::test]
async fn case_32_claims_that_are_no_names_are_refused_before_anybody_is_asked() {
    let desk = desk();
    let token = desk.token().await;
    let honest =
        Joiner::new(token, "w".parse().unwrap(), Role::Worker, vec!["10.0.0.9".parse().unwrap()], NodeKey::generate().unwrap());
    let mut said = serde_json::to_value(honest.unwrap().hello()).unwrap();
    said["step"] = "hello".into();
    for name in ["*.example", "a b", "p2p://x/coordinator/y", "w\u{0}.example"] {
        said["addresses"] = vec![name].into();
        let refused = super::super::CertRequest::from_json(said.to_string().as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("is no address"), "{refused}");
    }
}
