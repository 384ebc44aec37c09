//! A node's key: ECDSA on P-256, made on the node, wiped from memory when dropped, written only into the store.
//!
//! [`NodeKey`] signs; [`PublicKey`] is its public half, as it is read from a certificate request and put in a certificate.

#[cfg(test)]
mod as_it_came;

use std::{fmt, sync::Arc};

use aws_lc_rs::{digest, signature};
use p2p_client::revocation::KeyHash;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};
use zeroize::Zeroizing;

use super::{codec, vault::Vault, vault::VaultError};

/// Where the own key stands in the store.
pub(super) const NODE_KEY: &str = "identity/node.key";

/// What stands before the point in every SubjectPublicKeyInfo of an uncompressed P-256 key: the algorithm, by name.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00,
];
/// `ecdsa-with-SHA256`.
const ECDSA_WITH_SHA256: &str = "1.2.840.10045.4.3.2";

/// A key or a certificate request that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no private key.
    #[error("the stored key is damaged or of another kind ({0}); restore the store from a backup, or join again")]
    NotAKey(String),
    /// The operating system or the provider failed.
    #[error("no key could be made: {0}")]
    Generate(String),
    /// The bytes are no certificate request.
    #[error("the certificate request cannot be read: {0}")]
    NotARequest(String),
    /// The key is of another kind.
    #[error("the certificate request's key is not an ECDSA key on P-256; this cluster issues certificates for P-256 keys only")]
    NotP256,
    /// The request was not signed by its own key.
    #[error("the certificate request is not signed by its own key; make a fresh one")]
    BadSignature,
}

/// A private key. Clones share it; the last one to be dropped wipes it.
#[derive(Clone)]
pub struct NodeKey(Arc<Zeroizing<KeyPair>>);

impl NodeKey {
    /// Makes a fresh key.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| KeyError::Generate(e.to_string()))?;
        Ok(Self(Arc::new(Zeroizing::new(pair))))
    }

    /// Reads a key from its PKCS#8 form.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`] when it is something else than a P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ECDSA_P256_SHA256)
            .map_err(|e| KeyError::NotAKey(e.to_string()))?;
        Ok(Self(Arc::new(Zeroizing::new(pair))))
    }

    /// The key in PKCS#8 form, for the store.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialized_der().to_vec())
    }

    /// Takes this node's key from the store, or makes one and keeps it there.
    ///
    /// Making it durable before it is used lets a node that lost the answer to its join ask again with the same key.
    ///
    /// # Errors
    /// The store fails, or holds something else than a key.
    pub fn load_or_create(vault: &dyn Vault) -> Result<Self, super::IdentityError> {
        if let Some(der) = vault.get(NODE_KEY)? {
            return Ok(Self::from_pkcs8(&der)?);
        }
        let key = Self::generate()?;
        key.store(vault)?;
        Ok(key)
    }

    fn store(&self, vault: &dyn Vault) -> Result<(), VaultError> {
        vault.update(vec![super::vault::Change::Put(NODE_KEY.into(), self.to_pkcs8())])
    }

    /// The key as rustls reads it, without a copy that would have to be wiped.
    pub(crate) fn as_rustls(&self) -> PrivateKeyDer<'_> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialized_der()))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut point = [0; 65];
        // P-256 points are 65 bytes in the uncompressed form, which is the only one that key pairs give.
        point.copy_from_slice(self.0.public_key_raw());
        PublicKey::of_point(point)
    }

    /// A certificate request (DER) for this key. It asks for no names: the authority decides about those.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when signing fails.
    pub fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&**self.0).map_err(|e| KeyError::Generate(e.to_string()))?;
        Ok(csr.der().to_vec())
    }

    /// Signs a text, which begins with what keeps this signature apart from others of the same key.
    pub(super) fn sign_text(&self, text: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign(text).map_err(|e| KeyError::Generate(e.to_string()))
    }
}

impl PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key_raw()
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for NodeKey {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(msg)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey(public half {})", self.public().thumbprint())
    }
}

/// A public key on P-256: its uncompressed point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; 65],
    #[cfg(test)]
    request: as_it_came::Request,
}

impl PublicKey {
    fn of_point(point: [u8; 65]) -> Self {
        Self {
            point,
            #[cfg(test)]
            request: as_it_came::Request::default(),
        }
    }

    /// Takes the key from a certificate request (DER), and nothing else; checks that the request is signed by that key.
    ///
    /// # Errors
    /// It is no request, for another kind of key, or not signed by its own key.
    pub fn from_request(csr: &[u8]) -> Result<Self, KeyError> {
        let (rest, read) = X509CertificationRequest::from_der(csr).map_err(|e| KeyError::NotARequest(e.to_string()))?;
        if !rest.is_empty() {
            return Err(KeyError::NotARequest("there are bytes after its end".into()));
        }
        let key = Self::from_spki(read.certification_request_info.subject_pki.raw)?;
        if read.signature_algorithm.algorithm.to_id_string() != ECDSA_WITH_SHA256 {
            return Err(KeyError::NotP256);
        }
        // Verifying also checks that the point is on the curve.
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, &key.point)
            .verify(read.certification_request_info.raw, &read.signature_value.data)
            .map_err(|_| KeyError::BadSignature)?;
        #[cfg(test)]
        let key = key.as_it_came(csr);
        Ok(key)
    }

    /// Reads a SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`KeyError::NotP256`] for any other kind of key.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let point = spki.strip_prefix(&P256_SPKI_PREFIX[..]).ok_or(KeyError::NotP256)?;
        let point: [u8; 65] = point.try_into().map_err(|_| KeyError::NotP256)?;
        if point[0] == 4 { Ok(Self::of_point(point)) } else { Err(KeyError::NotP256) }
    }

    /// The SubjectPublicKeyInfo (DER).
    pub fn spki(&self) -> Vec<u8> {
        [&P256_SPKI_PREFIX[..], &self.point].concat()
    }

    /// Whether this key signed a text.
    pub(super) fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, &self.point).verify(text, signature).is_ok()
    }

    /// The SHA-256 of the SubjectPublicKeyInfo, by which a node id is bound to its key.
    pub fn thumbprint(&self) -> KeyThumbprint {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, &self.spki()).as_ref());
        KeyThumbprint(hash)
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

/// The SHA-256 of a public key (SubjectPublicKeyInfo, DER), shown in base64url.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyThumbprint(#[serde(with = "codec::base64_array")] [u8; 32]);

impl KeyThumbprint {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<KeyThumbprint> for KeyHash {
    fn from(thumbprint: KeyThumbprint) -> Self {
        Self::new(thumbprint.0)
    }
}

impl fmt::Display for KeyThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&codec::encode(&self.0))
    }
}

impl fmt::Debug for KeyThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyThumbprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, IsCa, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;
    use crate::identity::vault::tests::MemoryVault;

    #[test]
    fn a_request_gives_its_key_and_nothing_else() {
        let key = NodeKey::generate().unwrap();
        assert_eq!(PublicKey::from_request(&key.request().unwrap()).unwrap(), key.public());
        let again = NodeKey::from_pkcs8(&key.to_pkcs8()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(!format!("{key:?}").contains(&codec::encode(&key.to_pkcs8())));
    }

    #[test]
    fn a_request_that_asks_to_be_an_authority_is_read_as_a_bare_key() {
        let key = NodeKey::generate().unwrap();
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = params.serialize_request(&**key.0).unwrap();
        assert_eq!(PublicKey::from_request(csr.der()).unwrap(), key.public());
    }

    #[test]
    fn other_kinds_of_keys_and_altered_requests_are_refused() {
        for alg in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let other = KeyPair::generate_for(alg).unwrap();
            let csr = CertificateParams::default().serialize_request(&other).unwrap();
            assert_eq!(PublicKey::from_request(csr.der()).unwrap_err(), KeyError::NotP256);
        }
        let mut csr = NodeKey::generate().unwrap().request().unwrap();
        assert!(matches!(PublicKey::from_request(&csr[..40]).unwrap_err(), KeyError::NotARequest(_)));
        let trailing = [csr.clone(), vec![0]].concat();
        assert!(matches!(PublicKey::from_request(&trailing).unwrap_err(), KeyError::NotARequest(_)));
        let middle = csr.windows(4).position(|w| w == [0x03, 0x42, 0x00, 0x04]).unwrap() + 10;
        csr[middle] ^= 1;
        assert_eq!(PublicKey::from_request(&csr).unwrap_err(), KeyError::BadSignature);
    }

    #[test]
    fn the_key_in_the_store_is_used_again() {
        let vault = MemoryVault::default();
        let first = NodeKey::load_or_create(&vault).unwrap();
        assert_eq!(NodeKey::load_or_create(&vault).unwrap().public(), first.public());
    }
}
