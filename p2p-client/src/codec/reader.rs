//! [`Reader`]: JSON in the form that [`Message::write`](super::Message::write) gives it, read from front to back.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, Visitor},
};

use super::scan::{is_deeper_than, plain_len};

/// JSON that is being read. Every method that gives an `Option` gives `None` where the JSON has another form; what the reader
/// holds then is of no use any more, and the whole is to be decoded by serde_json.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a str,
    /// How many brackets may still be opened.
    depth: u8,
}

impl<'a> Reader<'a> {
    /// As deep as serde_json goes, from where a value begins.
    const DEPTH: u8 = 127;

    /// A reader of a whole text.
    pub fn new(json: &'a str) -> Self {
        Self { rest: json, depth: Self::DEPTH }
    }

    /// Whether all was read.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads a text that was known when the program was compiled.
    #[inline]
    pub fn literal(&mut self, expected: &'static str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Reads a text that may be there or not, and tells whether it was.
    #[inline]
    pub fn accept(&mut self, expected: &'static str) -> bool {
        self.literal(expected).is_some()
    }

    /// Reads a text that opens a bracket. [`close`](Self::close) is its other end.
    #[inline]
    pub fn open(&mut self, expected: &'static str) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.literal(expected)
    }

    /// Reads a text that closes a bracket.
    #[inline]
    pub fn close(&mut self, expected: &'static str) -> Option<()> {
        self.depth += 1;
        self.literal(expected)
    }

    /// Reads a key that may be there or not, and tells whether it was. It is written with the comma before it, `,"node":`;
    /// `first` says that no member was read yet, so that there is no comma.
    #[inline]
    pub fn key(&mut self, key: &'static str, first: &mut bool) -> bool {
        let there = self.accept(if *first { &key[1..] } else { key });
        *first &= !there;
        there
    }

    /// Reads which variant of an enum follows, and whether it holds something: `"Empty"`, or `{"Full":`, which opens a bracket.
    #[inline]
    pub fn variant(&mut self) -> Option<(Cow<'a, str>, bool)> {
        let holds = self.rest.starts_with('{');
        if holds {
            self.open("{")?;
        }
        let name = self.str()?;
        if holds {
            self.literal(":")?;
        }
        Some((name, holds))
    }

    /// Reads a list of any length, one value after the other.
    #[inline]
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.open("[")?;
        if !self.rest.starts_with(']') {
            item(self)?;
            while self.accept(",") {
                item(self)?;
            }
        }
        self.close("]")
    }

    /// Reads an object of any keys, one after the other; `member` reads the value.
    #[inline]
    pub fn object(&mut self, mut member: impl FnMut(Cow<'a, str>, &mut Self) -> Option<()>) -> Option<()> {
        self.open("{")?;
        if !self.rest.starts_with('}') {
            self.member(&mut member)?;
            while self.accept(",") {
                self.member(&mut member)?;
            }
        }
        self.close("}")
    }

    #[inline]
    fn member(&mut self, member: &mut impl FnMut(Cow<'a, str>, &mut Self) -> Option<()>) -> Option<()> {
        let key = self.str()?;
        self.literal(":")?;
        member(key, self)
    }

    /// Reads a string, borrowed where it has no escapes.
    #[inline]
    pub fn str(&mut self) -> Option<Cow<'a, str>> {
        let body = self.rest.strip_prefix('"')?;
        let (text, after) = body.split_at(plain_len(body.as_bytes()));
        if let Some(after) = after.strip_prefix('"') {
            self.rest = after;
            return Some(Cow::Borrowed(text));
        }
        if after.starts_with('\\') { self.escaped(text, after).map(Cow::Owned) } else { None }
    }

    /// Reads a string on from its first backslash. One that has characters by number is read by serde_json from its beginning.
    #[inline(never)]
    fn escaped(&mut self, before: &str, mut rest: &'a str) -> Option<String> {
        let mut text = String::with_capacity(2 * before.len() + 16);
        text.push_str(before);
        while let Some(escape) = rest.strip_prefix('\\') {
            let Some(character) = short_escape(escape) else { return self.by_serde_json() };
            text.push(character);
            // All short escapes are of one byte.
            let after = &escape[1..];
            let (plain, special) = after.split_at(plain_len(after.as_bytes()));
            text.push_str(plain);
            rest = special;
        }
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    /// Whether `null` or something else that begins like it follows, which an `Option` takes for `None`.
    #[inline]
    pub fn is_null(&self) -> bool {
        self.rest.starts_with('n')
    }

    /// Reads the digits of a whole number as serde_json takes them: at least one, and no zero before others. More than 64 bits are
    /// another form.
    #[inline]
    pub(super) fn digits(&mut self) -> Option<u64> {
        let bytes = self.rest.as_bytes();
        let mut value = 0_u64;
        let mut length = 0;
        while let Some(digit) = bytes.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
            length += 1;
        }
        if length == 0 || (length > 1 && bytes[0] == b'0') {
            return None;
        }
        self.rest = &self.rest[length..];
        Some(value)
    }

    /// Reads the characters of which numbers are made.
    #[inline]
    pub(super) fn number(&mut self) -> &'a str {
        let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest.bytes().take_while(is_of_number).count();
        let (number, after) = self.rest.split_at(length);
        self.rest = after;
        number
    }

    /// Reads a value by serde_json, whatever its form.
    pub fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        let before = self.rest;
        let value = self.by_serde_json()?;
        // serde_json counted from where the value began; from the beginning of the whole, it may have gone too deep.
        let read = &before[..before.len() - self.rest.len()];
        (!is_deeper_than(read.as_bytes(), self.depth.into())).then_some(value)
    }

    fn by_serde_json<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.rest = self.rest.get(values.byte_offset()..)?;
        Some(value)
    }
}

/// What the letter after a backslash stands for, if it stands for itself alone.
#[inline]
fn short_escape(escape: &str) -> Option<char> {
    Some(match escape.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// The value that a type makes of nothing at all, as serde does it for a field that is not there: `None` of an `Option`. (Found without
/// looking at how the type is written.)
pub fn absent<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Nothing).ok()
}

/// A deserialiser that holds nothing: it yields `None` to who asks for an option, and fails everyone else.
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = de::value::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("nothing"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
