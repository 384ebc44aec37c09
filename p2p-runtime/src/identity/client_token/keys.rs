//! A coordinator's keys: which one signs, when the next one takes its place, and for how long each is believed.
//!
//! Time comes from outside. A key is made known some minutes before it signs, so that every node has it by then, and believed for as
//! long as a token that it signed can be good.

use std::{fmt, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};
use p2p_client::protocol::UnixMillis;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{GrantRefused, LEEWAY, MAX_TTL};
use crate::{
    identity::codec,
    storage::{Secret, base64_secret},
};

/// How long a key signs.
pub(super) const SIGNS_FOR: Duration = Duration::from_hours(30 * 24);
/// How long a key is known before it signs.
pub(super) const KNOWN_BEFORE: Duration = Duration::from_mins(10);
/// How long a token can be good after its key signed for the last time.
pub(super) const TOKENS_OUTLIVE: Duration = MAX_TTL.saturating_add(LEEWAY);

/// The public half of a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub(crate) struct PublicKey {
    bytes: [u8; 32],
    kid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Bytes(#[serde(with = "codec::base64_array")] [u8; 32]);

impl PublicKey {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        // The thumbprint of RFC 7638, section 3: so a key's name cannot be chosen.
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, codec::encode(&bytes));
        Self { bytes, kid: codec::encode(digest(&SHA256, jwk.as_bytes()).as_ref()) }
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Its name in tokens.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// It as a JWK (RFC 8037, section 2).
    pub(super) fn jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": codec::encode(&self.bytes),
        })
    }
}

impl From<Bytes> for PublicKey {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes.0)
    }
}

impl From<PublicKey> for Bytes {
    fn from(key: PublicKey) -> Self {
        Self(key.bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

/// A key that signs. Its secret half is wiped when it goes, and never printed.
pub(super) struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: PublicKey,
    /// From when on it signs.
    from: UnixMillis,
}

impl SigningKey {
    fn generate(from: UnixMillis) -> Result<Self, GrantRefused> {
        let mut seed = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *seed).map_err(|_| GrantRefused::Crypto)?;
        Self::of(seed, from)
    }

    pub(super) fn of(seed: Zeroizing<[u8; 32]>, from: UnixMillis) -> Result<Self, GrantRefused> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| GrantRefused::Crypto)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| GrantRefused::Crypto)?;
        Ok(Self { seed, pair, public: PublicKey::new(bytes), from })
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public half {})", self.public.kid)
    }
}

/// A key that others are to believe, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedKey {
    pub(super) x: PublicKey,
    pub(super) until: UnixMillis,
}

/// All keys of a coordinator that are believed, in the order in which they sign. There is always one.
#[derive(Debug)]
pub(super) struct SigningKeys(Vec<SigningKey>);

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    #[serde(with = "base64_secret")]
    seed: Secret,
    from: UnixMillis,
}

const FORMAT: u32 = 1;

fn after(time: UnixMillis, span: Duration) -> UnixMillis {
    UnixMillis(time.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

impl SigningKeys {
    /// A first key, which signs at once.
    pub(super) fn generate(now: UnixMillis) -> Result<Self, GrantRefused> {
        Ok(Self(vec![SigningKey::generate(now)?]))
    }

    pub(super) fn from_stored(json: &[u8]) -> Result<Self, GrantRefused> {
        let damaged = |error: &dyn fmt::Display| GrantRefused::Damaged(format!("the signing keys: {error}"));
        let stored: Stored = serde_json::from_slice(json).map_err(|error| damaged(&error))?;
        if stored.version != FORMAT {
            return Err(damaged(&format_args!("they have format {}, and this program reads {FORMAT}", stored.version)));
        }
        let key = |key: StoredKey| {
            let seed = key.seed.expose().try_into().map_err(|_| damaged(&"one is of another length"))?;
            SigningKey::of(Zeroizing::new(seed), key.from)
        };
        let keys = stored.keys.into_iter().map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(damaged(&"there are none")) } else { Ok(Self(keys)) }
    }

    pub(super) fn to_stored(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let key = |key: &SigningKey| StoredKey { seed: Secret::from(&key.seed[..]), from: key.from };
        let stored = Stored { version: FORMAT, keys: self.0.iter().map(key).collect() };
        serde_json::to_vec(&stored).map(Zeroizing::new)
    }

    /// The same keys again, to be changed.
    pub(super) fn again(&self) -> Result<Self, GrantRefused> {
        self.0.iter().map(|key| SigningKey::of(key.seed.clone(), key.from)).collect::<Result<_, _>>().map(Self)
    }

    /// The key that signs now.
    pub(super) fn signer(&self, now: UnixMillis) -> Option<&SigningKey> {
        // Where the clock was set back, the first there is.
        self.0.iter().rev().find(|key| key.from <= now).or(self.0.first())
    }

    /// Until when tokens of the key at this place can be good.
    fn until(&self, place: usize) -> UnixMillis {
        let last_signed = match (self.0.get(place), self.0.get(place + 1)) {
            (_, Some(next)) => next.from,
            (Some(key), None) => after(key.from, SIGNS_FOR),
            (None, None) => UnixMillis(0),
        };
        after(last_signed, TOKENS_OUTLIVE)
    }

    /// Makes the next key if it is time, and forgets those whose tokens have all expired. Whether anything changed.
    pub(super) fn rotate_if_due(&mut self, now: UnixMillis) -> Result<bool, GrantRefused> {
        let mut changed = false;
        let last = self.0.last().map_or(UnixMillis(0), |key| key.from);
        if after(last, SIGNS_FOR.saturating_sub(KNOWN_BEFORE)) <= now {
            self.0.push(SigningKey::generate(after(now, KNOWN_BEFORE))?);
            changed = true;
        }
        while self.0.len() > 1 && self.until(0) <= now {
            self.0.remove(0);
            changed = true;
        }
        Ok(changed)
    }

    /// What others are to believe.
    pub(super) fn published(&self) -> Vec<PublishedKey> {
        self.0.iter().enumerate().map(|(place, key)| PublishedKey { x: key.public.clone(), until: self.until(place) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    #[test]
    fn a_key_is_known_before_it_signs_and_believed_until_its_last_token_has_expired() {
        let start = 1_700_000_000_000;
        let mut keys = SigningKeys::generate(UnixMillis(start)).unwrap();
        let first = keys.published()[0].x.clone();
        let mut now = start;
        while !keys.rotate_if_due(UnixMillis(now)).unwrap() {
            assert_eq!(keys.signer(UnixMillis(now)).unwrap().public(), &first);
            now += HOUR / 60;
        }
        assert_eq!(now, start + 30 * DAY - HOUR / 6);
        let [_, second] = &*keys.published() else { panic!("{keys:?}") };
        let second = second.x.clone();
        assert!(!keys.rotate_if_due(UnixMillis(now)).unwrap(), "one next key is enough");
        // It is known for ten minutes, and signs then.
        assert_eq!(keys.signer(UnixMillis(now + HOUR / 6 - 1)).unwrap().public(), &first);
        assert_eq!(keys.signer(UnixMillis(now + HOUR / 6)).unwrap().public(), &second);
        // The first is believed for as long as its last token can be good.
        let over = start + 31 * DAY + 60_000;
        assert_eq!(keys.published()[0].until, UnixMillis(over));
        assert!(!keys.rotate_if_due(UnixMillis(over - 1)).unwrap());
        assert!(keys.rotate_if_due(UnixMillis(over)).unwrap());
        assert_eq!(keys.published().into_iter().map(|key| key.x).collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn keys_survive_their_stored_form_and_are_never_printed() {
        let keys = SigningKeys::generate(UnixMillis(5)).unwrap();
        let stored = keys.to_stored().unwrap();
        let again = SigningKeys::from_stored(&stored).unwrap();
        assert_eq!(again.published(), keys.published());
        assert_eq!(again.0[0].sign(b"m"), keys.0[0].sign(b"m"));
        let seed = serde_json::to_value(StoredKey { seed: Secret::from(&keys.0[0].seed[..]), from: UnixMillis(5) }).unwrap();
        let seed = seed["seed"].as_str().unwrap();
        assert!(std::str::from_utf8(&stored).unwrap().contains(seed));
        assert!(!format!("{keys:?}").contains(&seed[..20]));
        for damaged in [
            &b"{}"[..],
            br#"{"version":2,"keys":[]}"#,
            br#"{"version":1,"keys":[]}"#,
            br#"{"version":1,"keys":[{"seed":"AA","from":1}]}"#,
        ] {
            assert!(matches!(SigningKeys::from_stored(damaged), Err(GrantRefused::Damaged(_))));
        }
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        // The key and the thumbprint of RFC 8037, appendix A.3.
        let x = codec::decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let key = PublicKey::new(x.try_into().unwrap());
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
