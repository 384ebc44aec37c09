//! [`Blob`]: bytes among params and results.

use std::{borrow::Borrow, borrow::Cow, fmt, ops::Deref};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::codec::{Message, Reader};

/// Bytes, as a parameter, a result, an item of a stream, or a field of any of them.
///
/// JSON has no bytes, so that they travel as a text: base64 with padding (RFC 4648, section 4), which is a third longer than they are. A
/// `Vec<u8>` would travel as a list of numbers, three to four times as long. The schema says `contentEncoding: base64`, by which other
/// languages know what the text is. On its own node a blob travels as it is, and cloning it copies no bytes.
///
/// ```
/// use p2p_client::{
///     proxy::Proxy,
///     service,
///     service::{Blob, Result},
/// };
///
/// /// Keeps pictures.
/// #[service]
/// pub trait Album {
///     /// Makes a small one of a picture.
///     async fn thumbnail(&self, picture: Blob) -> Result<Blob>;
/// }
///
/// # async fn example(proxy: Proxy) -> Result<()> {
/// let picture = std::fs::read("holiday.jpg")?;
/// let small = proxy.album().thumbnail(picture.into()).await?;
/// std::fs::write("small.jpg", &*small)?;
/// # Ok(()) }
///
/// assert_eq!(serde_json::to_string(&Blob::from(b"hello"))?, r#""aGVsbG8=""#);
/// assert_eq!(serde_json::from_str::<Blob>(r#""aGVsbG8=""#)?, *b"hello");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(Bytes);

impl Blob {
    /// A blob of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes as a vector: without copying them, where no other blob shares them.
    pub fn into_vec(self) -> Vec<u8> {
        self.0.into()
    }

    /// How long its base64 is, in bytes.
    fn encoded_len(&self) -> usize {
        self.0.len().div_ceil(3) * 4
    }

    fn decoded(text: &str) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Self::from)
    }
}

/// Its length: it may be long, and it may be secret.
impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Blob {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Copies them.
impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

/// Copies them.
impl<const N: usize> From<&[u8; N]> for Blob {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Blob> for Bytes {
    fn from(blob: Blob) -> Self {
        blob.into_bytes()
    }
}

impl From<Blob> for Vec<u8> {
    fn from(blob: Blob) -> Self {
        blob.into_vec()
    }
}

impl FromIterator<u8> for Blob {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Self(bytes.into_iter().collect())
    }
}

impl PartialEq<[u8]> for Blob {
    fn eq(&self, other: &[u8]) -> bool {
        self.0 == other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Blob {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.0 == other[..]
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText)
    }
}

/// Reads base64.
struct FromText;

impl de::Visitor<'_> for FromText {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes as base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
        Blob::decoded(text).map_err(|error| {
            E::custom(format_args!(
                "not base64 ({error}); write bytes in the standard alphabet, with padding, such as \"aGVsbG8=\""
            ))
        })
    }
}

impl JsonSchema for Blob {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

/// Nothing of base64 is escaped in JSON.
impl Message for Blob {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.push(b'"');
        let begin = out.len();
        out.resize(begin + self.encoded_len(), 0);
        STANDARD.encode_slice(&self.0, &mut out[begin..]).map_err(serde::ser::Error::custom)?;
        out.push(b'"');
        Ok(())
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Self::decoded(&reader.str()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{from_json, to_json};

    #[test]
    fn bytes_travel_as_base64_with_padding_and_arrive_as_they_were() {
        // RFC 4648, section 10.
        for (bytes, json) in [
            (&b""[..], r#""""#),
            (b"f", r#""Zg==""#),
            (b"fo", r#""Zm8=""#),
            (b"foo", r#""Zm9v""#),
            (b"foobar", r#""Zm9vYmFy""#),
            (&[0xfb, 0xff, 0xbf], r#""+/+/""#),
        ] {
            let blob = Blob::from(bytes);
            assert_eq!(to_json(&blob).unwrap(), json.as_bytes());
            assert_eq!(serde_json::to_string(&blob).unwrap(), json);
            assert_eq!(from_json::<Blob>(json.as_bytes()).unwrap(), blob);
        }
        // As JSON may also write it.
        assert_eq!(from_json::<Blob>(br#" "+\/+\u002f" "#).unwrap(), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn what_is_not_base64_is_refused_with_how_to_write_it() {
        for (json, why) in [
            (
                r#""aGVsbG8""#,
                "not base64 (Invalid padding); write bytes in the standard alphabet, with padding, such as \"aGVsbG8=\"",
            ),
            (r#""aGVs bG8=""#, "not base64 (Invalid symbol 32, offset 4.); write bytes"),
            // The alphabet for addresses is another.
            (r#""-_-_""#, "not base64 (Invalid symbol 45, offset 0.); write bytes"),
            // Bits that no byte has: two texts would be one value.
            (r#""Zh==""#, "not base64 (Invalid last symbol"),
            ("[1,2]", "invalid type: sequence, expected bytes as base64"),
        ] {
            let error = from_json::<Blob>(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn its_schema_says_that_it_is_base64() {
        let schema = SchemaGenerator::default().into_root_schema_for::<Vec<Blob>>().to_value();
        assert_eq!(schema["items"], serde_json::json!({ "type": "string", "contentEncoding": "base64" }));
    }

    #[test]
    fn it_is_made_of_bytes_and_gives_them_back_without_copying() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        let place = bytes.as_ptr();
        let blob = Blob::from(bytes);
        assert_eq!((blob.clone().as_ptr(), blob.len()), (place, 3));
        let back = Vec::from(blob);
        assert_eq!((back.as_ptr(), &back[..]), (place, &[1, 2, 3][..]));
        assert_eq!(format!("{:?}", Blob::from(b"secret")), "Blob(6 bytes)");
    }
}
