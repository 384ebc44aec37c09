//! Bytes as text: base64url without padding, as everything here writes them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Bytes as base64url.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64url as bytes; `None` when it is not.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// For serde: a byte vector as one base64url string.
pub(super) mod base64_vec {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        super::decode(&text).ok_or_else(|| D::Error::custom("expected base64url"))
    }
}

/// For serde: a byte array as one base64url string.
pub(super) mod base64_array {
    use serde::{Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
        super::base64_vec::serialize(bytes, to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
        let bytes = super::base64_vec::deserialize(from)?;
        let len = bytes.len();
        bytes.try_into().map_err(|_| D::Error::custom(format_args!("expected {N} bytes in base64url, got {len}")))
    }
}
