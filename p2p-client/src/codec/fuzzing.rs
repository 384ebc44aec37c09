//! What the fuzz targets and the tests of this module share: types of every shape, and the check that a reader agrees with serde_json.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Message,
    protocol::{NodeId, Role},
    service::Blob,
};

use super::{from_json, to_json};

/// Reads `input` as each of the types below, and panics where the outcome is not that of serde_json alone.
///
/// # Panics
/// When the codec and serde_json disagree.
pub fn codec(input: &[u8]) {
    macro_rules! agree_as {
        ($($type:ty),*) => { $(agree::<$type>(input);)* };
    }
    agree_as!(Everyday, Numbers, Renamed, Optional, Defaulted, Shape, Word, Newtype, Pair, Nothing, Empty, Transparent, Tree);
    agree_as!(Delegated, Wide, Generic<Everyday>, Unseen, Maps, Lists, Flattened, Tagged, Untagged, Hidden, Deep, Bytes);
}

/// Reads JSON by the codec and by serde_json alone; both have to give the same value or the same error.
///
/// # Panics
/// When they do not.
pub fn agree<T: Message + PartialEq + Debug>(json: &[u8]) {
    let name = std::any::type_name::<T>();
    let shown = String::from_utf8_lossy(json);
    match (from_json::<T>(json), serde_json::from_slice::<T>(json)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs, "{name} from {shown}");
            agree_on_writing(&ours);
        }
        (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string(), "{name} from {shown}"),
        (ours, theirs) => panic!("{name} from {shown}: {ours:?}, but serde_json says {theirs:?}"),
    }
}

/// Writes a value by the codec and by serde_json alone; both have to give the same bytes or the same error.
///
/// # Panics
/// When they do not.
pub fn agree_on_writing<T: Message + Debug>(value: &T) {
    match (to_json(value), serde_json::to_vec(value)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{value:?}");
        }
        (Err(ours), Err(theirs)) => assert_eq!(ours.to_string(), theirs.to_string(), "{value:?}"),
        (ours, theirs) => panic!("{value:?}: {ours:?}, but serde_json says {theirs:?}"),
    }
}

/// A type of everyday.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub struct Everyday {
    /// A text.
    pub text: String,
    /// A name.
    pub node: NodeId,
    /// A number.
    pub count: u64,
    /// Texts.
    pub tags: Vec<String>,
}

/// Bytes, alone and among others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub struct Bytes {
    /// Bytes.
    pub blob: Blob,
    /// Some of those that may be there.
    pub parts: Vec<Option<Blob>>,
}

/// Numbers of every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names are the types")]
pub struct Numbers {
    pub u8: u8,
    pub u16: u16,
    pub u32: u32,
    pub u64: u64,
    pub u128: u128,
    pub i8: i8,
    pub i16: i16,
    pub i32: i32,
    pub i64: i64,
    pub i128: i128,
    pub f32: f32,
    pub f64: f64,
    pub usize: usize,
    pub isize: isize,
}

/// Names that differ in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are what is tested")]
pub struct Renamed {
    pub first_name: char,
    #[serde(rename = "the \"type\"\n", alias = "kind")]
    pub r#type: bool,
    pub r#loop: (),
}

/// Fields that may be left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names are what is tested")]
pub struct Optional {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub second: Vec<bool>,
    pub always: Option<Option<u8>>,
    #[serde(default = "seven")]
    pub third: u8,
    #[serde(skip)]
    pub unsent: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

fn seven() -> u8 {
    7
}

/// A default of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are what is tested")]
pub struct Defaulted {
    pub a: u8,
    #[serde(default)]
    pub b: u8,
    #[serde(skip)]
    pub c: u8,
}

impl Default for Defaulted {
    fn default() -> Self {
        Self { a: 1, b: 2, c: 3 }
    }
}

/// Variants of every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE", rename_all_fields = "PascalCase")]
#[allow(missing_docs, reason = "the names are what is tested")]
pub enum Shape {
    NothingAtAll,
    One(Box<Shape>),
    Two(u8, String),
    Few {
        big_side: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        small_side: Option<Box<Shape>>,
    },
    #[serde(rename = "\u{1}odd", alias = "ODD")]
    Odd(),
    None {},
    Unit(()),
}

/// Variants that hold nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Message)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are what is tested")]
pub enum Word {
    OneWord,
    Other,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub struct Newtype(pub Option<String>);

/// An array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub struct Pair(pub Word, pub (i8, char));

/// `null`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub struct Nothing;

/// `{}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub struct Empty {}

/// What its field is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(transparent)]
pub struct Transparent {
    /// The field.
    pub inner: [u16; 3],
}

/// A type in itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Tree {
    pub name: Arc<str>,
    pub children: Vec<Tree>,
}

/// A type that is no message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Unaware {
    pub any: Value,
}

/// Fields that are no messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Delegated {
    pub before: u8,
    pub unaware: Unaware,
    pub time: Duration,
    pub keys: BTreeMap<u8, Unaware>,
    pub after: u8,
}

/// A field of any length before one that is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Wide {
    pub text: Box<str>,
    pub role: Role,
    pub rest: Option<Box<Everyday>>,
}

/// A type with a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Generic<T> {
    pub items: Vec<T>,
    pub one: Option<T>,
}

/// A generic type whose argument is no message is none, either; as a field it is left to serde_json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(transparent)]
pub struct Unseen(pub Generic<Unaware>);

/// Maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Maps {
    pub sorted: BTreeMap<String, f64>,
    pub hashed: HashMap<String, Option<bool>>,
}

/// Lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Lists {
    pub bytes: Vec<u8>,
    pub pairs: Vec<(String, f64)>,
    pub none: [String; 0],
    pub nested: Vec<Vec<i64>>,
}

/// Left to serde_json as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Flattened {
    pub own: u8,
    #[serde(flatten)]
    pub inner: Empty,
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// Left to serde_json as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(tag = "kind")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Tagged {
    A { x: u8 },
    B,
}

/// Left to serde_json as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Untagged {
    Number(u8),
    Text(String),
}

/// Names that stand for two things are left to serde_json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Hidden {
    #[serde(alias = "b", alias = "c")]
    pub a: u8,
    #[serde(default, alias = "c")]
    pub d: u8,
}

/// A value of any depth inside of one that counts its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Deep {
    Inner(Box<Deep>),
    List(Vec<Deep>),
    Object { any: Value },
}
