//! Cases 21 and 32: certificate requests that ask for more than a node gets.

use std::sync::atomic::Ordering;

use p2p_client::{
    protocol::Role,
    wire::tls::{TlsMaterial, Usage, verify_chain},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose::ClientAuth, IsCa,
    Issuer as Signer, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::super::{
    NodeKey,
    coordinators::{Desk, channel, desk},
    join::{Issued, Joiner},
    tests::{forged, issuing},
};

/// A request for the joiner's key with everything that an attacker would like to have: an authority, the coordinator's names, and those
/// of others.
fn greedy(desk: &Desk, joiner: &Joiner) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["other.example".to_owned(), "10.6.6.6".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI(desk.identity.peer().to_string().try_into().unwrap()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serialize_request(joiner.key()).unwrap().der().to_vec()
}

/// A join with that request, and with the proof that belongs to it.
async fn join_greedily(desk: &Desk, joiner: &Joiner, csr: &[u8]) -> Issued {
    let token = desk.token().await;
    let joiner = desk.joiner_with(&token, joiner.hello().node_id.as_str(), Role::Worker, &["10.0.0.9"], joiner.key().clone());
    let sent = desk.prove(&joiner, |prove| {
        prove.proof = token.sign(&joiner.hello().transcript(&channel(), &prove.nonce, csr)).unwrap();
        prove.csr = csr.to_vec();
    });
    sent.await.unwrap()
}

/// What an authority would issue that signs requests as they come.
fn signed_as_it_came(desk: &Desk, csr: &[u8]) -> CertificateDer<'static> {
    let ca = issuing(&desk.vault);
    let signer = Signer::from_ca_cert_der(ca.certificate(), ca.key()).unwrap();
    let csr = CertificateSigningRequestDer::from(csr.to_vec());
    CertificateSigningRequestParams::from_der(&csr).unwrap().signed_by(&signer).unwrap().der().clone()
}

async fn greedy_joiner(desk: &Desk) -> (Joiner, Vec<u8>) {
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let csr = greedy(desk, &joiner);
    (joiner, csr)
}

fn names(cert: &CertificateDer<'_>) -> Vec<String> {
    let cert = X509Certificate::from_der(cert).unwrap().1;
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
        other => panic!("{other:?}"),
    };
    cert.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(text).collect()
}

#[tokio::test]
async fn case_21_a_request_that_asks_to_be_an_authority_gives_a_plain_node_certificate() {
    let desk = desk();
    let (joiner, csr) = greedy_joiner(&desk).await;
    let issued = join_greedily(&desk, &joiner, &csr).await;
    let chain = issued.chain();
    let leaf = X509Certificate::from_der(&chain[0]).unwrap().1;
    assert!(!leaf.is_ca());
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(!usage.key_cert_sign() && usage.digital_signature());
    let now = i64::try_from(desk.clock.load(Ordering::SeqCst) / 1000).unwrap();
    assert!(leaf.validity().not_after.timestamp() < now + 366 * 86_400);
    // What its key signs nevertheless, nobody believes.
    let (_, below) = forged(&[&desk.identity.peer().to_string()], &[ClientAuth], (&chain[0], joiner.key()));
    let (root, algorithms) = (desk.identity.root(), TlsMaterial::empty().algorithms());
    verify_chain(root, &chain[0], &chain[1..2], Usage::Client, UnixTime::now(), &algorithms).unwrap();
    verify_chain(root, &below, &chain[..2], Usage::Client, UnixTime::now(), &algorithms).unwrap_err();
}

#[tokio::test]
async fn case_21_control_an_authority_that_signs_the_request_as_it_came_makes_another_authority() {
    let desk = desk();
    let (_, csr) = greedy_joiner(&desk).await;
    let cert = signed_as_it_came(&desk, &csr);
    let cert = X509Certificate::from_der(&cert).unwrap().1;
    assert!(cert.is_ca() && cert.key_usage().unwrap().unwrap().value.key_cert_sign());
}

#[tokio::test]
async fn case_32_extra_names_in_a_request_are_not_in_the_certificate() {
    let desk = desk();
    let (joiner, csr) = greedy_joiner(&desk).await;
    let issued = join_greedily(&desk, &joiner, &csr).await;
    let identity = joiner.finish(&issued).unwrap();
    assert_eq!((identity.peer().node_id.as_str(), identity.peer().role), ("w", Role::Worker));
    let cluster = desk.identity.root().cluster();
    assert_eq!(
        names(&issued.chain()[0]),
        [identity.peer().to_string(), format!("w.{cluster}.p2p.internal"), format!("{:?}", [10, 0, 0, 9])]
    );
}

#[tokio::test]
async fn case_32_control_an_authority_that_signs_the_request_as_it_came_gives_away_the_coordinators_name() {
    let desk = desk();
    let (_, csr) = greedy_joiner(&desk).await;
    let names = names(&signed_as_it_came(&desk, &csr));
    for extra in ["other.example".to_owned(), format!("{:?}", [10, 6, 6, 6]), desk.identity.peer().to_string()] {
        assert!(names.contains(&extra), "{names:?}");
    }
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
