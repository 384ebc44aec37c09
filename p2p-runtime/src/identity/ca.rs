//! The cluster's certificate authority: one root, an issuing authority for each coordinator, and what they sign.
//!
//! Root (10 years, may make issuing authorities, and the root that comes after it) → issuing (as long, may make node certificates only) → node (1 year).
//! Of a certificate request only the public key is taken: names, usages and validity are decided here.

use std::{collections::BTreeSet, fmt, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use p2p_client::{
    protocol::{ClusterId, NodeId, Role, UnixMillis},
    revocation::KeyHash,
    wire::tls::{PeerIdentity, TlsError, TrustedRoot},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use webpki::EndEntityCert;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    address::Host,
    checks::{Check, bound},
    codec,
    key::{KeyError, NodeKey, PublicKey},
};

const DAY: Duration = Duration::from_hours(24);
/// How long a root and its issuing authorities are good for: 10 years.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_hours(3_652 * 24);
/// How long a node's certificate is good for: 1 year.
pub const NODE_VALIDITY: Duration = Duration::from_hours(365 * 24);
/// How far back certificates begin, for clocks that are late.
pub const BACKDATED: Duration = Duration::from_mins(10);

/// The name of a coordinator's authority; the coordinator's id follows.
const ISSUER: &str = "P2P issuer ";

/// The authority could not be made, read, or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The stored certificate and key do not make an authority.
    #[error("the stored authority cannot be used: {0}; restore the store from a backup")]
    NotAnAuthority(String),
    /// The authority's own certificate has run out.
    #[error("the issuing authority's certificate has run out or is not valid yet; check this machine's clock")]
    OutOfTime,
    /// The certificate could not be written or signed.
    #[error("the certificate could not be made: {0}")]
    Sign(#[from] rcgen::Error),
    /// A certificate of our own cannot be read back.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The root: its key makes issuing authorities. It stays in the stores of the coordinators that hold it: the one that ran `p2p init`, and those to
/// which an operator gave it.
#[derive(Debug)]
pub struct RootCa {
    key: NodeKey,
    root: TrustedRoot,
}

impl RootCa {
    /// Makes a new root, and so a new cluster.
    ///
    /// # Errors
    /// There is no randomness, or signing failed.
    pub fn create(now: UnixTime) -> Result<Self, CaError> {
        let key = NodeKey::generate()?;
        let cluster = ClusterId::from_root_key_hash(key.public().thumbprint().as_bytes());
        let mut params = authority(&format!("P2P cluster {cluster}"), 1, now)?;
        params.not_after = date(now, AUTHORITY_VALIDITY)?;
        let root = TrustedRoot::from_der(params.self_signed(&key)?.der().clone())?;
        Ok(Self { key, root })
    }

    /// Takes a root from its stored parts.
    ///
    /// # Errors
    /// [`CaError::NotAnAuthority`] when they do not belong together.
    pub fn from_parts(key: NodeKey, root: TrustedRoot) -> Result<Self, CaError> {
        check_authority(root.der(), &key)?;
        Ok(Self { key, root })
    }

    /// Its private key, for the store.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// Its certificate, which every node trusts.
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// Makes the root that is to come after this one, for the same cluster: with its own certificate, and with one that this root signs
    /// (RFC 4210, section 4.4, "new with old"), by which those who trust this root alone find their way to the new one.
    ///
    /// # Errors
    /// There is no randomness, or signing failed.
    pub fn succeed(&self, now: UnixTime) -> Result<Successor, CaError> {
        let (key, cluster) = (NodeKey::generate()?, self.root.cluster());
        // The same name, so that the certificate between the two counts as self-issued (RFC 5280, section 6.1) and takes no place in a path.
        let mut params = authority(&format!("P2P cluster {cluster}"), 1, now)?;
        params.subject_alt_names = vec![SanType::URI(format!("p2p://{cluster}").try_into()?)];
        params.not_after = date(now, AUTHORITY_VALIDITY)?;
        let root = TrustedRoot::from_der(params.self_signed(&key)?.der().clone())?;
        params.serial_number = Some(serial()?);
        params.not_after = params.not_after.min(ends(self.root.der())?);
        let cross = params.signed_by(&key, &Issuer::from_ca_cert_der(self.root.der(), &self.key)?)?.der().clone();
        Ok(Successor { ca: Self { key, root }, cross })
    }

    /// Signs a text of the cluster's about its roots (ECDSA on P-256, SHA-256).
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, CaError> {
        Ok(rcgen::SigningKey::sign(&self.key, text)?)
    }

    /// Makes the issuing authority of a coordinator, whose key this is. It ends when the root ends.
    ///
    /// # Errors
    /// Signing failed.
    pub fn issue_authority(
        &self,
        coordinator: &NodeId,
        key: &PublicKey,
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, CaError> {
        let mut params = authority(&format!("{ISSUER}{coordinator}"), 0, now)?;
        params.not_after = ends(self.root.der())?;
        let issuer = Issuer::from_ca_cert_der(self.root.der(), &self.key)?;
        Ok(params.signed_by(key, &issuer)?.der().clone())
    }
}

/// The root that is to come after another.
#[derive(Debug)]
pub struct Successor {
    /// The new root.
    pub ca: RootCa,
    /// Its key in a certificate that the old root signs.
    pub cross: CertificateDer<'static>,
}

/// A coordinator's authority to issue node certificates.
#[derive(Debug)]
pub struct IssuingCa {
    key: NodeKey,
    cert: CertificateDer<'static>,
    root: TrustedRoot,
}

/// What a node certificate says.
#[derive(Debug, Clone)]
pub struct NodeNames<'a> {
    /// The node's name for life.
    pub node_id: &'a NodeId,
    /// What it may do.
    pub role: Role,
    /// Its addresses, each of them proved.
    pub addresses: &'a [Host],
}

impl IssuingCa {
    /// Takes an authority from its stored parts.
    ///
    /// # Errors
    /// [`CaError::NotAnAuthority`] when they do not belong together.
    pub fn from_parts(key: NodeKey, cert: CertificateDer<'static>, root: TrustedRoot) -> Result<Self, CaError> {
        check_authority(&cert, &key)?;
        Ok(Self { key, cert, root })
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.cert
    }

    /// Its private key, for the store.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The root above it.
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// Issues a node's certificate for its public key, valid for a year from `now`. Gives the whole chain: leaf, this
    /// authority, root. (The root goes along so that a joining node can find the one that its token names.)
    ///
    /// # Errors
    /// The authority is out of its own time, or signing failed.
    pub fn issue(&self, key: &PublicKey, names: &NodeNames<'_>, now: UnixTime) -> Result<Vec<CertificateDer<'static>>, CaError> {
        let cluster = self.root.cluster();
        let mut params = dated(now)?;
        let issuer_ends = ends(&self.cert)?;
        if date(now, Duration::ZERO)? >= issuer_ends {
            return Err(CaError::OutOfTime);
        }
        params.not_after = date(now, NODE_VALIDITY)?.min(issuer_ends);
        params.distinguished_name = common_name(names.node_id.as_str());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let identity = PeerIdentity { node_id: names.node_id.clone(), role: names.role, cluster: cluster.clone() };
        params.subject_alt_names = vec![
            SanType::URI(identity.to_string().try_into()?),
            SanType::DnsName(format!("{}.{cluster}.p2p.internal", names.node_id).try_into()?),
        ];
        for address in names.addresses {
            params.subject_alt_names.push(match address {
                Host::Ip(ip) => SanType::IpAddress(*ip),
                Host::Name(name) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        #[cfg(test)]
        let params = key.as_requested(params);
        let issuer = Issuer::from_ca_cert_der(&self.cert, &self.key)?;
        let leaf = params.signed_by(key, &issuer)?.der().clone();
        Ok(vec![leaf, self.cert.clone(), self.root.der().clone()])
    }
}

/// The SHA-256 of a certificate (DER), by which it is told from others for the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateHash(#[serde(with = "codec::base64_array")] [u8; 32]);

impl CertificateHash {
    /// That of a certificate.
    pub fn of(cert: &CertificateDer<'_>) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, cert).as_ref());
        Self(hash)
    }
}

impl fmt::Display for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// When a certificate becomes invalid.
pub(super) fn ends(cert: &CertificateDer<'_>) -> Result<OffsetDateTime, CaError> {
    Ok(parse(cert)?.validity().not_after.to_datetime())
}

/// From when until when a certificate is valid.
pub(crate) fn validity(cert: &CertificateDer<'_>) -> Result<(UnixMillis, UnixMillis), CaError> {
    let cert = parse(cert)?;
    let millis = |seconds: i64| UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    Ok((millis(cert.validity().not_before.timestamp()), millis(cert.validity().not_after.timestamp())))
}

/// Whether this root's key signed this certificate, whatever the time and the uses that it names.
pub(super) fn is_signed_by(root: &TrustedRoot, cert: &CertificateDer<'_>) -> bool {
    parse(cert).is_ok_and(|cert| has_signed(root, cert.tbs_certificate.as_ref(), &cert.signature_value.data))
}

/// The coordinator for which this certificate of an issuing authority was made, by the name in it; `None` where it is none. Who signed it is another question.
pub(super) fn authority_of(cert: &CertificateDer<'_>) -> Option<NodeId> {
    let cert = parse(cert).ok().filter(|cert| cert.is_ca())?;
    let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
    name.strip_prefix(ISSUER)?.parse().ok()
}

/// Whether this root's key signed this text.
pub(super) fn has_signed(root: &TrustedRoot, text: &[u8], signature: &[u8]) -> bool {
    is_signature_of(root.der(), text, signature)
}

/// The keys among those of these certificates that may have signed this one. Whoever shows them can add some: of an ECDSA signature keys can be computed that
/// verify it, and one key can be written in several ways. So all are given, and the right one is among them.
pub(super) fn signers_of(cert: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> BTreeSet<KeyHash> {
    let Ok(signed) = parse(cert) else { return BTreeSet::new() };
    let (text, signature) = (signed.tbs_certificate.as_ref(), &signed.signature_value.data);
    others.iter().filter(|other| is_signature_of(other, text, signature)).filter_map(KeyHash::of_certificate).collect()
}

fn is_signature_of(cert: &CertificateDer<'_>, text: &[u8], signature: &[u8]) -> bool {
    let signed = EndEntityCert::try_from(cert)
        .and_then(|cert| cert.verify_signature(webpki::aws_lc_rs::ECDSA_P256_SHA256, text, signature));
    signed.is_ok()
}

fn parse<'a>(cert: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CaError> {
    X509Certificate::from_der(cert).map(|(_, cert)| cert).map_err(|e| CaError::NotAnAuthority(e.to_string()))
}

/// The library takes any certificate as an issuer, so this looks whether it is one.
fn check_authority(cert: &CertificateDer<'_>, key: &NodeKey) -> Result<(), CaError> {
    let cert = parse(cert)?;
    if !cert.is_ca() {
        return Err(CaError::NotAnAuthority("its certificate is not an authority's".into()));
    }
    if cert.public_key().raw != key.public().spki() {
        return Err(CaError::NotAnAuthority("its key is not the one in its certificate".into()));
    }
    Ok(())
}

fn authority(name: &str, path_len: u8, now: UnixTime) -> Result<CertificateParams, CaError> {
    let mut params = dated(now)?;
    params.distinguished_name = common_name(name);
    let depth = bound(Check::PathLength, BasicConstraints::Constrained(path_len), BasicConstraints::Unconstrained);
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn dated(now: UnixTime) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    let early = bound(Check::EarlyBeginning, BACKDATED, Duration::ZERO);
    params.not_before =
        date(UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()).saturating_sub(early)), Duration::ZERO)?;
    params.not_after = date(now, DAY)?;
    params.serial_number = Some(serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn date(now: UnixTime, later: Duration) -> Result<OffsetDateTime, CaError> {
    let seconds = i64::try_from(now.as_secs().saturating_add(later.as_secs())).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CaError::OutOfTime)
}

/// A random positive serial number, so that two certificates for one key differ.
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Generate("the system gave no random bytes".into()))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::GeneralName;

    use super::*;
    use crate::identity::tests::{cluster, from_now, issuing};

    fn seconds(cert: &X509Certificate<'_>) -> (i64, i64) {
        (cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp())
    }

    #[test]
    fn certificates_have_the_documented_form() {
        let now = UnixTime::since_unix_epoch(Duration::from_hours(500_000));
        let root_ca = RootCa::create(now).unwrap();
        let root = parse(root_ca.root().der()).unwrap();
        assert_eq!(seconds(&root), (1_800_000_000 - 600, 1_800_000_000 + 3_652 * 86_400));
        assert_eq!(root.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(1));

        let (node_id, key): (NodeId, _) = ("n".parse().unwrap(), NodeKey::generate().unwrap());
        let cert = root_ca.issue_authority(&node_id, &key.public(), now).unwrap();
        let issuing = IssuingCa::from_parts(key, cert, root_ca.root().clone()).unwrap();
        let authority = parse(issuing.certificate()).unwrap();
        assert_eq!(authority.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
        assert!(authority.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(seconds(&authority), seconds(&root));

        let key = NodeKey::generate().unwrap();
        let addresses = ["10.0.0.9".parse().unwrap(), "n.example".parse().unwrap()];
        let names = NodeNames { node_id: &node_id, role: Role::Worker, addresses: &addresses };
        let chain = issuing.issue(&key.public(), &names, now).unwrap();
        let leaf = parse(&chain[0]).unwrap();
        assert!(!leaf.is_ca() && !leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(seconds(&leaf), (1_800_000_000 - 600, 1_800_000_000 + 365 * 86_400));
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.any);
        let cluster = root_ca.root().cluster().as_str();
        let san = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        let uri = format!("p2p://{cluster}/worker/n");
        let dns = format!("n.{cluster}.p2p.internal");
        let ip = [10, 0, 0, 9];
        let expected =
            [GeneralName::URI(&uri), GeneralName::DNSName(&dns), GeneralName::IPAddress(&ip), GeneralName::DNSName("n.example")];
        assert_eq!(*san, expected);

        let again = issuing.issue(&key.public(), &names, now).unwrap();
        assert_ne!(leaf.raw_serial(), parse(&again[0]).unwrap().raw_serial());
    }

    #[test]
    fn a_node_certificate_never_outlives_its_authority() {
        let (made, vault) = cluster();
        let ca = issuing(&vault);
        let names = NodeNames { node_id: &made.peer().node_id, role: Role::Worker, addresses: &[] };
        let late = from_now(8 * 365 * 86_400 - 86_400);
        let chain = ca.issue(&made.key().public(), &names, late).unwrap();
        assert_eq!(ends(&chain[0]).unwrap(), ends(ca.certificate()).unwrap());
        let after = ca.issue(&made.key().public(), &names, from_now(9 * 365 * 86_400)).unwrap_err();
        assert!(matches!(after, CaError::OutOfTime), "{after}");
    }
}
