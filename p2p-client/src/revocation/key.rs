//! What a key is known by.

use std::{fmt, str::FromStr};

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use webpki::EndEntityCert;

use crate::hex;

/// The SHA-256 of a public key (SubjectPublicKeyInfo, DER), shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash with these bytes.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// That of the key in a certificate; `None` for what is no certificate.
    pub fn of_certificate(cert: &CertificateDer<'_>) -> Option<Self> {
        let cert = EndEntityCert::try_from(cert).ok()?;
        Some(Self(hex::sha256(cert.subject_public_key_info().as_ref())))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// The keys that a certificate stands on: its own, and those of the authorities that it was shown with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainKeys {
    own: KeyHash,
    authorities: Vec<KeyHash>,
}

impl ChainKeys {
    /// A certificate's own key, and those of its authorities.
    pub const fn new(own: KeyHash, authorities: Vec<KeyHash>) -> Self {
        Self { own, authorities }
    }

    /// Those of a chain, which begins with the certificate itself; `None` where that is no certificate.
    pub fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (leaf, others) = chain.split_first()?;
        Self::of(leaf, others)
    }

    /// Those of a certificate and of the others that came with it; `None` where it is no certificate.
    pub fn of(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<Self> {
        let authorities = others.iter().filter_map(KeyHash::of_certificate).collect();
        Some(Self { own: KeyHash::of_certificate(leaf)?, authorities })
    }

    /// The certificate's own key.
    pub const fn own(&self) -> &KeyHash {
        &self.own
    }

    /// The keys of those that signed it.
    pub fn authorities(&self) -> &[KeyHash] {
        &self.authorities
    }
}

/// A text that is no [`KeyHash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key: it has 64 hexadecimal digits, the SHA-256 of a public key")]
pub struct InvalidKeyHash(String);

impl FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, InvalidKeyHash> {
        hex::read(text).map(Self).ok_or_else(|| InvalidKeyHash(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for KeyHash {
    type Error = InvalidKeyHash;
    fn try_from(text: String) -> Result<Self, InvalidKeyHash> {
        text.parse()
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.to_string()
    }
}
