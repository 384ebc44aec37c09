//! A method's parameters on the wire: an object by name, or an array by position.
//!
//! [`Params::split`] parts the JSON into one slice for each parameter, without decoding values and without code for each
//! method; [`Params::take`] then decodes a slice into the parameter's own type, so that an error can name it.
//! [`ObjectWriter`] is the other direction.

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::protocol::{ErrorCode, RpcError};

use super::{ParamSpec, Parameter};

/// The params of one call as they came: JSON, or nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Params<'a>(Option<&'a str>);

/// One slot for each parameter: its JSON, or nothing where it was left out.
#[derive(Debug)]
pub struct Slots<'a> {
    names: &'a [ParamSpec],
    values: Vec<Option<&'a RawValue>>,
}

/// Why params do not fit a method. The text names the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamError(String);

impl From<ParamError> for RpcError {
    fn from(error: ParamError) -> Self {
        Self::new(ErrorCode::INVALID_PARAMS, error.0)
    }
}

impl<'a> Params<'a> {
    /// Params from their JSON.
    pub fn new(json: Option<&'a str>) -> Self {
        Self(json)
    }

    /// The JSON as it came.
    pub fn json(&self) -> Option<&'a str> {
        self.0
    }

    /// Parts the params by parameter.
    ///
    /// # Errors
    /// When they are neither object nor array, name an unknown parameter or one twice, or are too many.
    pub fn split(self, names: &'a [ParamSpec]) -> Result<Slots<'a>, ParamError> {
        let Some(json) = self.0 else {
            return Ok(Slots { names, values: vec![None; names.len()] });
        };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let values = deserializer.deserialize_any(Splitter { names }).map_err(|error| ParamError(without_place(&error)))?;
        deserializer.end().map_err(|error| ParamError(without_place(&error)))?;
        Ok(Slots { names, values })
    }
}

impl Slots<'_> {
    /// Decodes the parameter at `index`. A parameter that was left out is what its type makes of nothing: `None` for an `Option`.
    ///
    /// # Errors
    /// When the value does not fit the type, or is missing; the text names the parameter.
    pub fn take<T: Parameter>(&mut self, index: usize) -> Result<T, ParamError> {
        match self.values.get_mut(index).and_then(Option::take) {
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|error| ParamError(format!("parameter `{}`: {}", self.name(index), without_place(&error)))),
            None => from_nothing().ok_or_else(|| self.missing(index)),
        }
    }

    /// Decodes the parameter at `index`, or makes the default that its method gives it.
    ///
    /// # Errors
    /// When the value does not fit the type; the text names the parameter.
    pub fn take_or<T: Parameter>(&mut self, index: usize, default: impl FnOnce() -> T) -> Result<T, ParamError> {
        if self.values.get(index).is_some_and(Option::is_some) { self.take(index) } else { Ok(default()) }
    }

    fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("?", |spec| &spec.name)
    }

    fn missing(&self, index: usize) -> ParamError {
        ParamError(format!("parameter `{}` is missing; {}", self.name(index), known(self.names)))
    }
}

/// Whether `T` may be left out: it decodes from nothing, as `Option` does.
pub(crate) fn may_be_left_out<T: DeserializeOwned>() -> bool {
    from_nothing::<T>().is_some()
}

/// The value that a type makes of nothing at all, found without looking at how the type is written.
fn from_nothing<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Nothing).ok()
}

/// A deserialiser that holds nothing: it yields `None` to who asks for an option, and fails everyone else.
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = de::value::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("nothing"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Collects the slices.
struct Splitter<'a> {
    names: &'a [ParamSpec],
}

impl<'de> Visitor<'de> for Splitter<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an object or an array of parameters; {}", known(self.names))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.names.len()];
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let Some(index) = self.names.iter().position(|spec| spec.name == name.0) else {
                return Err(de::Error::custom(format_args!("unknown parameter `{}`; {}", name.0, known(self.names))));
            };
            let raw: &'de RawValue = map.next_value()?;
            if values[index].replace(raw).is_some() {
                return Err(de::Error::custom(format_args!("parameter `{}` is given twice", name.0)));
            }
        }
        Ok(values)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.names.len()];
        for slot in &mut values {
            match seq.next_element()? {
                Some(raw) => *slot = Some(raw),
                None => return Ok(values),
            }
        }
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::custom(format_args!("too many parameters; {}", known(self.names))));
        }
        Ok(values)
    }
}

/// A key, borrowed where JSON lets it be (a key with an escape cannot be).
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// The parameters that there are, as an end of a sentence.
fn known(names: &[ParamSpec]) -> String {
    if names.is_empty() {
        return "this method takes none".to_owned();
    }
    let list: Vec<_> = names.iter().map(|spec| spec.name.as_ref()).collect();
    format!("this method takes: {}", list.join(", "))
}

/// serde_json's text without "at line 1 column 9", which counts from somewhere inside of a body that the caller sees whole.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Writes the params object of a call.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a member. A value that says nothing (`None`) is left out where its type may be, so that a host that does not know a
    /// newer optional parameter can still be called.
    ///
    /// # Errors
    /// When the value does not serialise.
    pub fn field<T: Parameter>(&mut self, name: &str, value: &T) -> serde_json::Result<()> {
        let (before, was_empty) = (self.out.len(), self.empty);
        self.explicit(name, value)?;
        if self.out.ends_with(b":null") && may_be_left_out::<T>() {
            self.out.truncate(before);
            self.empty = was_empty;
        }
        Ok(())
    }

    /// Writes a member in any case: one that has a default, which the host would take in the place of a `None` that was left out.
    ///
    /// # Errors
    /// When the value does not serialise.
    pub fn explicit<T: Parameter>(&mut self, name: &str, value: &T) -> serde_json::Result<()> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        serde_json::to_writer(&mut *self.out, name)?;
        self.out.push(b':');
        serde_json::to_writer(&mut *self.out, value)
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[ParamSpec] =
        &[ParamSpec { name: std::borrow::Cow::Borrowed("who") }, ParamSpec { name: std::borrow::Cow::Borrowed("times") }];

    fn read(json: &str) -> Result<(String, Option<u8>), String> {
        let mut slots = Params::new(Some(json)).split(NAMES).map_err(|e| e.to_string())?;
        Ok((slots.take(0).map_err(|e| e.to_string())?, slots.take(1).map_err(|e| e.to_string())?))
    }

    #[test]
    fn params_are_taken_by_name_and_by_position() {
        let ada = Ok(("Ada".to_owned(), Some(2)));
        assert_eq!(read(r#"{"times": 2, "who": "Ada"}"#), ada);
        assert_eq!(read(r#"{"t\u0069mes": 2, "who": "Ada"}"#), ada);
        assert_eq!(read(r#"["Ada", 2]"#), ada);
        assert_eq!(read(r#"["Ada"]"#), Ok(("Ada".to_owned(), None)));
        assert_eq!(read(r#"{"who": "Ada", "times": null}"#), Ok(("Ada".to_owned(), None)));
    }

    #[test]
    fn wrong_params_are_refused_with_the_parameter_and_the_expected_type() {
        for (json, said) in [
            (r#"{"who": 1}"#, "parameter `who`: invalid type: integer `1`, expected a string"),
            (r#"{"who": "x", "times": 300}"#, "parameter `times`: invalid value: integer `300`, expected u8"),
            (r"{}", "parameter `who` is missing; this method takes: who, times"),
            (r#"{"whom": "x"}"#, "unknown parameter `whom`; this method takes: who, times"),
            (r#"{"who": "x", "who": "y"}"#, "parameter `who` is given twice"),
            (r#"["x", 1, 2]"#, "too many parameters; this method takes: who, times"),
            ("3", "invalid type: integer `3`, expected an object or an array of parameters; this method takes: who, times"),
        ] {
            assert_eq!(read(json), Err(said.to_owned()), "{json}");
        }
        assert_eq!(Params::new(Some("[1]")).split(&[]).unwrap_err().to_string(), "too many parameters; this method takes none");
    }

    #[test]
    fn a_written_object_leaves_out_what_says_nothing() {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.field("a", &None::<u8>).unwrap();
        object.field("b", &1).unwrap();
        object.field("c", &()).unwrap();
        object.explicit("d", &None::<u8>).unwrap();
        object.field("e", &":null".to_owned()).unwrap();
        object.end();
        assert_eq!(out, br#"{"b":1,"c":null,"d":null,"e":":null"}"#);
    }
}
