//! A method's parameters on the wire: an object by name, or an array by position.
//!
//! Params that stand as a proxy writes them are read straight into the parameters' own types ([`Params::straight`]). For all others
//! [`Params::split`] parts the JSON into one slice for each parameter, without decoding values and without code for each
//! method; [`Slots::take`] then decodes a slice into the parameter's own type, so that an error can name it.
//! [`ObjectWriter`] is the other direction.

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

use std::sync::OnceLock;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    codec::{Form, Reader, write_key},
    protocol::{ErrorCode, RpcError},
};

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

    /// Reads params that stand exactly as a proxy writes them: by name, in the declared order, without white space. `None` of all
    /// others, whose meaning, or whose mistake, [`split`](Self::split) tells.
    #[inline]
    pub fn straight<V>(self, read: impl FnOnce(&mut Straight<'a>) -> Option<V>) -> Option<V> {
        let mut params = Straight { reader: Reader::new(self.0?), first: true };
        params.reader.literal("{")?;
        let values = read(&mut params)?;
        params.reader.literal("}")?;
        params.reader.is_at_end().then_some(values)
    }

    /// Parts the params by parameter.
    ///
    /// # Errors
    /// When they are neither object nor array, name an unknown parameter or one twice, or are too many.
    pub fn split(self, names: &'a [ParamSpec]) -> Result<Slots<'a>, ParamError> {
        let Some(json) = self.0.filter(|json| *json != "{}") else {
            return Ok(Slots { names, values: vec![None; names.len()] });
        };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let values = deserializer.deserialize_any(Splitter { names }).map_err(|error| ParamError(without_place(&error)))?;
        deserializer.end().map_err(|error| ParamError(without_place(&error)))?;
        Ok(Slots { names, values })
    }
}

/// Params that are read from front to back.
#[derive(Debug)]
pub struct Straight<'a> {
    reader: Reader<'a>,
    first: bool,
}

impl Straight<'_> {
    /// Reads the next parameter; `key` is written `,"name":`. One that was left out is what its type makes of nothing.
    #[inline]
    pub fn take<T: Parameter>(&mut self, form: impl Form<T>, key: &'static str) -> Option<T> {
        if self.reader.key(key, &mut self.first) { form.read(&mut self.reader) } else { from_nothing() }
    }

    /// Reads the next parameter, if it was given.
    #[inline]
    pub fn take_given<T: Parameter>(&mut self, form: impl Form<T>, key: &'static str) -> Option<Option<T>> {
        if self.reader.key(key, &mut self.first) { form.read(&mut self.reader).map(Some) } else { Some(None) }
    }
}

impl<'a> Slots<'a> {
    /// The JSON of each parameter, in the declared order; `None` of those that were left out.
    pub fn into_given(self) -> Vec<Option<&'a RawValue>> {
        self.values
    }

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

    /// Decodes the parameter at `index`, if it was given.
    ///
    /// # Errors
    /// When the value does not fit the type; the text names the parameter.
    pub fn take_given<T: Parameter>(&mut self, index: usize) -> Result<Option<T>, ParamError> {
        if self.values.get(index).is_some_and(Option::is_some) { self.take(index).map(Some) } else { Ok(None) }
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

/// Writes the params object of a call. Keys are written `,"name":`, as they were when the program was compiled.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out }
    }

    /// Writes a member. A value that says nothing (`None`) is left out where its type may be, so that a host that does not know a
    /// newer optional parameter can still be called.
    ///
    /// # Errors
    /// When the value does not serialise.
    pub fn field<T: Parameter>(&mut self, form: impl Form<T>, key: &'static str, value: &T) -> serde_json::Result<()> {
        let before = self.out.len();
        write_key(self.out, key);
        form.write(value, self.out)?;
        if self.out.ends_with(b":null") && may_be_left_out::<T>() {
            self.out.truncate(before);
        }
        Ok(())
    }

    /// Writes a member that has a default, unless its value is that: a host that does not know the parameter can still
    /// be called. A `None` that is not the default is written, as the host would take the default in the place of a
    /// `None` that was left out.
    ///
    /// # Errors
    /// When the value does not serialise.
    pub fn unless_default<T: Parameter>(
        &mut self,
        form: impl Form<T>,
        key: &'static str,
        value: &T,
        default: &DefaultJson,
        make: fn() -> T,
    ) -> serde_json::Result<()> {
        let before = self.out.len();
        write_key(self.out, key);
        let value_at = self.out.len();
        form.write(value, self.out)?;
        if default.is(&self.out[value_at..], || form.encode(&make())) {
            self.out.truncate(before);
        }
        Ok(())
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// The JSON of a parameter's default, made when it is first compared with. A default is the same whenever it is asked for.
#[derive(Debug, Default)]
pub struct DefaultJson(OnceLock<Option<Vec<u8>>>);

impl DefaultJson {
    /// Not made yet.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Whether `json` is the default; one that does not serialise is nothing's.
    fn is(&self, json: &[u8], make: impl FnOnce() -> serde_json::Result<Vec<u8>>) -> bool {
        self.0.get_or_init(|| make().ok()).as_deref() == Some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Generated, Plain};

    const NAMES: &[ParamSpec] =
        &[ParamSpec { name: std::borrow::Cow::Borrowed("who") }, ParamSpec { name: std::borrow::Cow::Borrowed("times") }];

    /// As generated code reads them.
    fn read(json: &str) -> Result<(String, Option<u8>), String> {
        straight(Params::new(Some(json))).map_or_else(|| split(json), Ok)
    }

    fn straight(params: Params<'_>) -> Option<(String, Option<u8>)> {
        params.straight(|params| Some((params.take(Generated, ",\"who\":")?, params.take(Generated, ",\"times\":")?)))
    }

    fn split(json: &str) -> Result<(String, Option<u8>), String> {
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
    fn params_as_a_proxy_writes_them_are_read_straight_and_all_others_are_not() {
        for json in [r#"{"who":"Ada","times":2}"#, r#"{"who":"Ada"}"#, r#"{"who":"A\nda","times":null}"#] {
            assert_eq!(straight(Params::new(Some(json))), split(json).ok(), "{json}");
            assert!(straight(Params::new(Some(json))).is_some(), "{json}");
        }
        for json in [
            "",
            "{}",
            r#"{"who": "Ada"}"#,
            r#"{"times":2,"who":"Ada"}"#,
            r#"["Ada"]"#,
            r#"{"who":"Ada"} "#,
            r#"{"who":"Ada","who":"B"}"#,
        ] {
            assert_eq!(straight(Params::new(Some(json))), None, "{json}");
        }
        assert_eq!(straight(Params::new(None)), None);
    }

    #[test]
    fn whether_a_parameter_was_given_is_known_both_ways() {
        let given = |json| {
            let params = Params::new(Some(json));
            let straight = params.straight(|params| {
                let who = params.take::<Option<String>>(Generated, ",\"who\":")?;
                Some((who, params.take_given::<Option<u8>>(Plain, ",\"times\":")?))
            });
            let mut slots = params.split(NAMES).unwrap();
            (straight, (slots.take::<Option<String>>(0).unwrap(), slots.take_given::<Option<u8>>(1).unwrap()))
        };
        for (json, times) in [("{}", None), (r#"{"times":null}"#, Some(None)), (r#"{"times":3}"#, Some(Some(3)))] {
            assert_eq!(given(json), (Some((None, times)), (None, times)), "{json}");
        }
    }

    #[test]
    fn a_parameter_may_be_as_deep_by_itself_whichever_way_it_is_read() {
        let nested = |depth: usize| format!("{{\"who\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for (depth, fits) in [(127, true), (128, false)] {
            let json = nested(depth);
            let params = Params::new(Some(&json));
            let straight = params.straight(|params| params.take::<serde_json::Value>(Plain, ",\"who\":"));
            assert_eq!(straight.is_some(), fits, "{depth}");
            assert_eq!(params.split(NAMES).unwrap().take::<serde_json::Value>(0).is_ok(), fits, "{depth}");
        }
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
    fn a_written_object_leaves_out_what_says_nothing_or_equals_its_default() {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.field(Generated, ",\"a\":", &None::<u8>).unwrap();
        object.field(Generated, ",\"b\":", &1_u8).unwrap();
        object.field(Generated, ",\"c\":", &()).unwrap();
        let default = DefaultJson::new();
        for (key, value) in [(",\"d\":", None), (",\"f\":", Some(7))] {
            object.unless_default::<Option<u8>>(Generated, key, &value, &default, || Some(7)).unwrap();
        }
        object.field(Generated, ",\"e\":", &":null".to_owned()).unwrap();
        object.end();
        assert_eq!(out, br#"{"b":1,"c":null,"d":null,"e":":null"}"#);
    }

    #[test]
    fn a_default_is_left_out_wherever_it_stands_in_the_object() {
        let written = |first: u8, second: u8| {
            let mut out = Vec::new();
            let mut object = ObjectWriter::new(&mut out);
            object.unless_default::<u8>(Generated, ",\"a\":", &first, &DefaultJson::new(), || 1).unwrap();
            object.unless_default::<u8>(Generated, ",\"b\":", &second, &DefaultJson::new(), || 1).unwrap();
            object.end();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(1, 1), "{}");
        assert_eq!(written(1, 11), r#"{"b":11}"#);
        assert_eq!(written(11, 1), r#"{"a":11}"#);
        assert_eq!(written(2, 3), r#"{"a":2,"b":3}"#);
    }
}
