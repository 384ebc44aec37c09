//! The compact form of RFC 7515, section 7.1: `header.claims.signature`, each in base64url.
//!
//! Reading goes in one order: the form, the header, the key that it names, the signature, and only then the claims. Nothing of a token that
//! nobody signed is looked at but its header.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::de::DeserializeOwned;

use super::{
    BearerRefused,
    bearer::BearerToken,
    checks::{Check, holds},
    claims::{ALGORITHM, Claims, Header, TYPE},
    keys::{PublicKey, SigningKey},
};
use crate::identity::codec;

/// The longest token that is looked at, in bytes. One with a hundred scopes has half of it.
const MAX_LEN: usize = 8 * 1024;

/// A token that was taken apart, and whose header is acceptable. Nothing is known yet of who signed it.
pub(super) struct Unverified<'a> {
    /// What the signature is over.
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
    /// The key that it names.
    pub(super) kid: String,
}

/// Signs claims.
///
/// # Errors
/// None in practice: claims are written without fail.
pub(super) fn sign(claims: &Claims, key: &SigningKey) -> Result<BearerToken, serde_json::Error> {
    let header = Header::signed_by(key.public().kid());
    let signed = format!("{}.{}", encoded(&header)?, encoded(claims)?);
    let signature = codec::encode(&key.sign(signed.as_bytes()));
    Ok(BearerToken::new(format!("{signed}.{signature}")))
}

fn encoded(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    Ok(codec::encode(&serde_json::to_vec(value)?))
}

fn malformed(why: impl Into<String>) -> BearerRefused {
    BearerRefused::Malformed(why.into())
}

impl<'a> Unverified<'a> {
    /// Takes a token apart, and checks its header: algorithm, type, extensions, key.
    pub(super) fn parse(token: &'a str) -> Result<Self, BearerRefused> {
        if token.len() > MAX_LEN {
            return Err(malformed(format!("it is longer than {MAX_LEN} bytes")));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed("it has no dots"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed("it has one dot, where there are two"))?;
        if claims.contains('.') {
            return Err(malformed("it has more than two dots"));
        }
        let header: Header = json(header).map_err(|why| malformed(format!("its header {why}")))?;
        if !holds(Check::Algorithm, header.alg == ALGORITHM) {
            return Err(BearerRefused::Algorithm(shortened(&header.alg)));
        }
        // A media type may be written with "application/" before it (RFC 7515, section 4.1.9).
        let typ = header.typ.unwrap_or_default().to_ascii_lowercase();
        if !holds(Check::Type, typ.strip_prefix("application/").unwrap_or(&typ) == TYPE) {
            return Err(BearerRefused::Type(shortened(&typ)));
        }
        if !holds(Check::Critical, !header.crit) {
            return Err(BearerRefused::Critical);
        }
        let kid = header.kid.ok_or_else(|| malformed("its header names no key"))?;
        let signature = codec::decode(signature).ok_or_else(|| malformed("its signature is not base64url"))?;
        Ok(Self { signed, claims, signature, kid })
    }

    /// The claims, if this key signed them.
    pub(super) fn verify(self, key: &PublicKey) -> Result<Claims, BearerRefused> {
        let verified = UnparsedPublicKey::new(&ED25519, key.bytes()).verify(self.signed.as_bytes(), &self.signature);
        if !holds(Check::Signature, verified.is_ok()) {
            return Err(BearerRefused::BadSignature);
        }
        json(self.claims).map_err(|why| BearerRefused::Claims(format!("its body {why}")))
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, String> {
    let bytes = codec::decode(part).ok_or("is not base64url")?;
    // A struct may be written as an array to serde, but not here.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err("is no JSON object".to_owned());
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("is not as expected: {error}"))
}

/// What somebody else wrote, for an error.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
