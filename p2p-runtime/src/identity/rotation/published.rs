//! How a coordinator says by which authority it issues, and proves it: by that authority's certificate, which the root's key has signed for it.
//!
//! What a node says of itself is its own word. Were it to name a key alone, it could name another's, and have that revoked with it. The certificate names the
//! coordinator, and was made for a key that this one has proved to have.

use p2p_client::{
    protocol::{NodeInfo, Role},
    revocation::KeyHash,
};
use rustls_pki_types::CertificateDer;

use super::{
    super::{
        ca::{authority_of, is_signed_by},
        codec,
    },
    Succession,
};

/// Where a coordinator's `NodeInfo` has the certificate, in its metadata: some 600 characters.
pub(crate) const ISSUING_CERT: &str = "issuing_cert";
/// What is longer is none: it is read for every coordinator whenever somebody revokes.
const MAX_LEN: usize = 4 * 1024;

/// An authority's certificate, as it stands in metadata.
pub(crate) fn to_metadata(certificate: &CertificateDer<'_>) -> String {
    codec::encode(certificate)
}

/// The key of the issuing authority that a coordinator says is its own, if a root that is trusted has signed that authority for it.
pub(crate) fn published_authority(info: &NodeInfo, known: &Succession) -> Option<KeyHash> {
    let text = info.metadata.get(ISSUING_CERT).filter(|text| info.role == Role::Coordinator && text.len() <= MAX_LEN)?;
    let certificate = CertificateDer::from(codec::decode(text)?);
    let is_its_own = authority_of(&certificate).is_some_and(|owner| owner == info.node_id);
    let is_proved = is_its_own && known.trusted().any(|root| is_signed_by(root, &certificate));
    if is_proved { KeyHash::of_certificate(&certificate) } else { None }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::UnixTime;

    use super::*;
    use crate::identity::{NodeKey, RootCa, tests};

    fn says(name: &str, role: Role, said: &str) -> NodeInfo {
        tests::says(name, role, [(ISSUING_CERT, said)])
    }

    #[test]
    fn an_authority_is_a_coordinators_if_a_root_that_is_trusted_has_signed_it_for_that_one() {
        let (root, stranger) = (RootCa::create(UnixTime::now()).unwrap(), RootCa::create(UnixTime::now()).unwrap());
        let known = Succession::of(root.root().clone());
        let key = NodeKey::generate().unwrap();
        let cert = |by: &RootCa| to_metadata(&by.issue_authority(&"c".parse().unwrap(), &key.public(), UnixTime::now()).unwrap());
        let good = cert(&root);
        assert!(good.len() < 800, "it travels with all that the coordinator says of itself: {}", good.len());
        let of = |info: NodeInfo| published_authority(&info, &known);
        assert_eq!(of(says("c", Role::Coordinator, &good)), Some(key.public().thumbprint().into()));
        for (info, why) in [
            (says("d", Role::Coordinator, &good), "it is another coordinator's"),
            (says("c", Role::Worker, &good), "a worker has none"),
            (says("c", Role::Coordinator, &cert(&stranger)), "the root of another cluster has signed it"),
            (says("c", Role::Coordinator, &to_metadata(root.root().der())), "it is the root"),
            (says("c", Role::Coordinator, &KeyHash::new([7; 32]).to_string()), "it is a key's name, which anybody can say"),
            (says("c", Role::Coordinator, ""), "it says none"),
            (says("c", Role::Coordinator, &format!("{good}{}", "A".repeat(MAX_LEN))), "it is too long"),
        ] {
            assert_eq!(of(info), None, "{why}");
        }
    }
}
