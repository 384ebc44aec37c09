//! Join tokens: what lets a new node in, and tells it whom to trust.
//!
//! A token is `P2PJ1.BODY.CRC`: the body is base64url of the root key's SHA-256 (32 bytes), the token id (8) and a seed (16),
//! the CRC is the CRC-32 of the text before it.
//! From the seed an Ed25519 key is derived; the coordinator keeps only its public half, so that who steals its table
//! gets in nowhere. The checksum catches a token that was cut or mistyped before anything is sent.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    hkdf,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use p2p_client::wire::tls::RootKeyHash;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::codec;

const PREFIX: &str = "P2PJ1.";
const BODY_LEN: usize = 56;
/// 56 bytes in base64url.
const BODY_CHARS: usize = 75;
/// Prefix, body, dot, checksum in hexadecimal.
const TOKEN_CHARS: usize = PREFIX.len() + BODY_CHARS + 1 + 8;

/// A text that is no join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin like a token.
    #[error("this is no join token: one begins with \"P2PJ1.\"; make one with `p2p token create` on a coordinator")]
    WrongPrefix,
    /// It is of another version of this program.
    #[error(
        "this join token is of another version (P2PJ{0}), and this program reads P2PJ1; use the same version on both machines"
    )]
    OtherVersion(String),
    /// Its end is missing.
    #[error("this join token is cut: it has {got} of {TOKEN_CHARS} characters; copy it whole")]
    Cut {
        /// How many characters there are.
        got: usize,
    },
    /// There is something after its end.
    #[error("this join token is too long: it has {got} characters instead of {TOKEN_CHARS}; copy only the token")]
    TooLong {
        /// How many characters there are.
        got: usize,
    },
    /// A character cannot be in a token.
    #[error("this join token holds a character that no token has (at place {place}); copy it again")]
    BadCharacter {
        /// Which character, counted from 1.
        place: usize,
    },
    /// The checksum does not fit.
    #[error("this join token is mistyped: its checksum does not fit; copy it again")]
    Mistyped,
}

/// No key could be derived or made for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the join token's key could not be made: the cryptography library failed or gave no random bytes")]
pub struct TokenKeyError;

/// Names a token. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; 8]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// A text that is no [`TokenId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no token id: it has 16 hexadecimal digits, as `p2p token list` shows them")]
pub struct InvalidTokenId(String);

impl FromStr for TokenId {
    type Err = InvalidTokenId;

    fn from_str(text: &str) -> Result<Self, InvalidTokenId> {
        let good = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(number) if good => Ok(Self(number.to_be_bytes())),
            _ => Err(InvalidTokenId(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = InvalidTokenId;
    fn try_from(text: String) -> Result<Self, InvalidTokenId> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

/// The public half of a token's key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey(#[serde(with = "codec::base64_array")] [u8; 32]);

impl TokenKey {
    /// Whether this signature of this message is the token's.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", codec::encode(&self.0))
    }
}

/// A join token. Neither `Debug` nor `Display` shows its secret; [`JoinToken::reveal`] does.
#[derive(Clone)]
pub struct JoinToken {
    root: RootKeyHash,
    id: TokenId,
    seed: Zeroizing<[u8; 16]>,
}

impl JoinToken {
    /// Makes a fresh token for the cluster with this root.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate(root: RootKeyHash) -> Result<Self, TokenKeyError> {
        let (mut id, mut seed) = ([0; 8], Zeroizing::new([0; 16]));
        aws_lc_rs::rand::fill(&mut id).map_err(|_| TokenKeyError)?;
        aws_lc_rs::rand::fill(&mut *seed).map_err(|_| TokenKeyError)?;
        Ok(Self { root, id: TokenId(id), seed })
    }

    /// The root key of the cluster that it lets into.
    pub fn root(&self) -> RootKeyHash {
        self.root
    }

    /// Its name.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The whole token as text. Whoever has it can join: show it once, to the operator who asked for it.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut body = Zeroizing::new([0; BODY_LEN]);
        body[..32].copy_from_slice(self.root.as_bytes());
        body[32..40].copy_from_slice(&self.id.0);
        body[40..].copy_from_slice(&*self.seed);
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_CHARS));
        text.push_str(PREFIX);
        text.push_str(&Zeroizing::new(codec::encode(&*body)));
        let checksum = checksum(text.as_bytes());
        text.push('.');
        text.push_str(&checksum);
        text
    }

    /// The public half of its key, which the coordinator keeps.
    ///
    /// # Errors
    /// The cryptography library failed.
    pub fn public_key(&self) -> Result<TokenKey, TokenKeyError> {
        let mut key = [0; 32];
        key.copy_from_slice(self.key_pair()?.public_key().as_ref());
        Ok(TokenKey(key))
    }

    /// Signs a message with its key, which proves that the signer has the token.
    ///
    /// # Errors
    /// The cryptography library failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TokenKeyError> {
        Ok(self.key_pair()?.sign(message).as_ref().to_vec())
    }

    fn key_pair(&self) -> Result<Ed25519KeyPair, TokenKeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let info: [&[u8]; 3] = [b"p2p-join-token-key", self.root.as_bytes(), &self.id.0];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"P2PJ1")
            .extract(&*self.seed)
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *seed))
            .map_err(|_| TokenKeyError)?;
        Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| TokenKeyError)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return Err(match text.strip_prefix("P2PJ").and_then(|t| t.split_once('.')) {
                Some((version, _)) if (1..=3).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit()) => {
                    TokenError::OtherVersion(version.to_owned())
                }
                _ if !text.is_empty() && PREFIX.starts_with(text) => TokenError::Cut { got: text.len() },
                _ => TokenError::WrongPrefix,
            });
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(place) = rest.chars().position(|c| !allowed(c)) {
            return Err(TokenError::BadCharacter { place: PREFIX.len() + place + 1 });
        }
        match text.len() {
            got if got < TOKEN_CHARS => return Err(TokenError::Cut { got }),
            got if got > TOKEN_CHARS => return Err(TokenError::TooLong { got }),
            _ => {}
        }
        let (signed, checksum) = text.rsplit_once('.').ok_or(TokenError::Mistyped)?;
        let checksum = u32::from_str_radix(checksum, 16).map_err(|_| TokenError::Mistyped)?;
        if checksum != crc32(signed.as_bytes()) {
            return Err(TokenError::Mistyped);
        }
        let body = signed.strip_prefix(PREFIX).and_then(codec::decode).map(Zeroizing::new).ok_or(TokenError::Mistyped)?;
        if body.len() != BODY_LEN {
            return Err(TokenError::Mistyped);
        }
        let (mut root, mut id, mut seed) = ([0; 32], [0; 8], Zeroizing::new([0; 16]));
        root.copy_from_slice(&body[..32]);
        id.copy_from_slice(&body[32..40]);
        seed.copy_from_slice(&body[40..]);
        Ok(Self { root: RootKeyHash::new(root), id: TokenId(id), seed })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", self.id)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join token {}", self.id)
    }
}

/// What stands behind the last dot.
pub(super) fn checksum(text: &[u8]) -> String {
    format!("{:08x}", crc32(text))
}

/// CRC-32 as in zip and Ethernet (reflected, polynomial 0xEDB88320), bit by bit: tokens are short.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate(RootKeyHash::new([9; 32])).unwrap()
    }

    #[test]
    fn the_checksum_is_the_usual_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_token_survives_its_text_form_also_with_white_space_around() {
        let token = token();
        let text = token.reveal();
        assert_eq!(text.len(), TOKEN_CHARS);
        let again: JoinToken = format!(" {}\n", *text).parse().unwrap();
        assert_eq!((again.root(), again.id()), (token.root(), token.id()));
        assert_eq!(again.public_key().unwrap(), token.public_key().unwrap());
        assert!(token.public_key().unwrap().verify(b"m", &again.sign(b"m").unwrap()));
        assert!(!token.public_key().unwrap().verify(b"n", &again.sign(b"m").unwrap()));
    }

    #[test]
    fn a_token_never_shows_its_seed_unasked() {
        let token = token();
        let secret = token.reveal();
        for shown in [format!("{token:?}"), format!("{token}"), format!("{token:#?}")] {
            assert!(!shown.contains(&secret[60..80]), "{shown}");
        }
    }

    #[test]
    fn a_token_cut_anywhere_is_told_apart_from_other_texts() {
        let text = token().reveal();
        for end in 1..text.len() {
            assert_eq!(text[..end].parse::<JoinToken>().unwrap_err(), TokenError::Cut { got: end });
        }
        assert_eq!(format!("{}x", *text).parse::<JoinToken>().unwrap_err(), TokenError::TooLong { got: TOKEN_CHARS + 1 });
        assert_eq!("".parse::<JoinToken>().unwrap_err(), TokenError::WrongPrefix);
        assert_eq!("hello".parse::<JoinToken>().unwrap_err(), TokenError::WrongPrefix);
        assert_eq!(text.replacen("J1", "J2", 1).parse::<JoinToken>().unwrap_err(), TokenError::OtherVersion("2".into()));
    }

    #[test]
    fn every_mistyped_character_is_noticed() {
        let text = token().reveal();
        for place in PREFIX.len()..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'a' { b'b' } else { b'a' };
            let said = String::from_utf8(bytes.clone()).unwrap().parse::<JoinToken>().unwrap_err();
            assert_eq!(said, TokenError::Mistyped, "place {place}");
            bytes[place] = b'!';
            let said = String::from_utf8(bytes).unwrap().parse::<JoinToken>().unwrap_err();
            assert_eq!(said, TokenError::BadCharacter { place: place + 1 });
        }
    }
}
