//! JSON that is written and read by code made for the type: [`Message`], for params and results on the busiest path.
//!
//! ```text
//! value --write--> JSON, byte for byte what serde_json writes
//! JSON  --read---> value, where the JSON has exactly the form that `write` gives it
//!          else -> serde_json decodes the same JSON again: its value, or its error
//! ```
//!
//! Two programs of this kind nearly always send each other the form that `write` gives: keys in the declared order, no white space.
//! Reading that form needs no look-up of keys and no visitors: each key is one comparison with a constant. Whatever else JSON may
//! look like (another order, white space, keys that are missing, unknown or given twice, numbers in other notations) is left to
//! serde_json, so that there is one judge of what is valid and what it means, and one text for each error. A reader of
//! this kind never says that JSON is wrong; it says that the form is not its own.
//!
//! `#[derive(Message)]` goes beside serde's derives, and follows serde's attributes:
//!
//! ```
//! use p2p_client::{Message, codec};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
//! struct Greeting {
//!     text: String,
//!     #[serde(default, skip_serializing_if = "Option::is_none")]
//!     node: Option<String>,
//! }
//!
//! let greeting = Greeting { text: "Hello".into(), node: None };
//! let json = codec::to_json(&greeting)?;
//! assert_eq!(json, br#"{"text":"Hello"}"#);
//! assert_eq!(codec::from_json::<Greeting>(&json)?, greeting);
//! assert_eq!(codec::from_json::<Greeting>(br#" { "node": null, "text": "H\u0065llo" } "#)?, greeting);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! No type needs it. The code that the macros write finds out for each parameter, result and field whether its type is a
//! [`Message`], and has serde_json do those that are not ([`form`]).
//!
//! - [`bounded`] sees to it that nothing is written that is nested too deep to be read.
//! - [`scan`] finds the ends of strings, [`writer`] and [`Reader`] are the two directions.
//! - [`types`] has the messages of the standard library, and of this crate's ids.

pub(crate) mod bounded;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(unreachable_patterns, reason = "one of its types has a name that stands for two things; serde's own code then warns")]
pub mod fuzzing;
mod reader;
mod scan;
#[cfg(test)]
pub(crate) mod tests;
mod types;
mod writer;

use serde::{Serialize, de::DeserializeOwned};

pub use self::{bounded::MAX_DEPTH, reader::Reader};
#[doc(hidden)]
pub use self::{
    form::{Form, Generated, Plain, Probe, ViaMessage, ViaSerde, item_probe, result_probe},
    reader::absent,
    scan::is_deeper_than,
    writer::write_key,
};

/// A type with a JSON writer and reader of its own. `#[derive(Message)]` writes them, beside `#[derive(Serialize, Deserialize)]`.
///
/// Both agree with serde_json on every input; see the [module](self) for how. They follow the derived `Serialize` and
/// `Deserialize`: a type that has these by hand must not derive `Message`.
///
/// # What the derive does
/// Structs of every kind and enums in serde's default form are written out. Of serde's attributes it follows `rename`,
/// `rename_all`, `rename_all_fields`, `alias`, `default`, `skip`, `skip_serializing_if`, `deny_unknown_fields` and `transparent`. A type with any
/// other (`flatten`, `tag`, `untagged`, `with`, …) is left to serde_json as a whole, as if it were no message; so is a generic type with
/// `default` or `skip`, whose bounds are serde's to find.
///
/// A field whose type is no message is left to serde_json by itself. Type parameters are asked to be messages. A union and a type that
/// borrows cannot be messages.
///
/// # By hand
/// ```
/// use p2p_client::codec::{Message, Reader};
/// use serde::{Deserialize, Serialize};
///
/// /// Degrees Celsius.
/// #[derive(Serialize, Deserialize)]
/// #[serde(transparent)]
/// struct Celsius(f64);
///
/// impl Message for Celsius {
///     fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
///         self.0.write(out)
///     }
///
///     fn read(reader: &mut Reader<'_>) -> Option<Self> {
///         f64::read(reader).map(Self)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no message",
    label = "this type has no JSON writer and reader of its own",
    note = "write #[derive(Serialize, Deserialize, Message)] on it"
)]
pub trait Message: Serialize + DeserializeOwned {
    /// Appends the value's JSON: byte for byte what serde_json writes.
    ///
    /// # Errors
    /// Those of serde_json, such as of a map whose keys are no strings. What was written until then stays in `out`.
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;

    /// Reads a value that stands next in the form that [`write`](Self::write) gives. `None` says that it has another form, or is no such value
    /// at all: the whole is then to be decoded by serde_json, whatever was read already.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// What most messages fit into, in bytes.
const USUAL: usize = 256;

/// A message as JSON.
///
/// # Errors
/// Those of serde_json, for a value that does not serialise.
pub fn to_json<T: Message>(value: &T) -> serde_json::Result<Vec<u8>> {
    Generated.encode(value)
}

/// A message from JSON of any form.
///
/// # Errors
/// Those of serde_json, with the place in `json`.
pub fn from_json<T: Message>(json: &[u8]) -> serde_json::Result<T> {
    match read_whole(json) {
        Some(value) => Ok(value),
        None => serde_json::from_slice(json),
    }
}

/// Reads JSON that is one message in its own form, and nothing else.
fn read_whole<T: Message>(json: &[u8]) -> Option<T> {
    let mut reader = Reader::new(std::str::from_utf8(json).ok()?);
    let value = T::read(&mut reader)?;
    reader.is_at_end().then_some(value)
}
