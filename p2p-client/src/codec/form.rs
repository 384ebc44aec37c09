//! By which code a type travels, found out where the type is known: [`Generated`] for messages, [`Plain`] for all others.
//!
//! Generated code writes `(&Probe::<T>::NEW).form()`. Method resolution tries [`ViaMessage`] first, as it needs one borrow less, and
//! falls back to [`ViaSerde`], which every type has. (It works only where `T` is no open type parameter, which is why the
//! macros write it and no generic function can.)

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use crate::service::{Outcome, StreamOutcome};

use super::{Message, Reader, USUAL, bounded::write_by_serde, from_json};

/// How a value is written and read.
pub trait Form<T>: Copy {
    /// Appends the value's JSON.
    ///
    /// # Errors
    /// Those of serde_json.
    fn write(self, value: &T, out: &mut Vec<u8>) -> serde_json::Result<()>
    where
        T: Serialize;

    /// Reads the value that stands next, or tells by `None` that the whole is to be decoded by serde_json.
    fn read(self, reader: &mut Reader<'_>) -> Option<T>
    where
        T: DeserializeOwned;

    /// A value as JSON.
    ///
    /// # Errors
    /// Those of serde_json.
    fn encode(self, value: &T) -> serde_json::Result<Vec<u8>>
    where
        T: Serialize,
    {
        let mut out = Vec::with_capacity(USUAL);
        self.write(value, &mut out)?;
        Ok(out)
    }

    /// A value from JSON.
    ///
    /// # Errors
    /// Those of serde_json.
    fn decode(self, json: &[u8]) -> serde_json::Result<T>
    where
        T: DeserializeOwned;
}

/// By the type's own [`Message`].
#[derive(Debug, Clone, Copy)]
pub struct Generated;

impl<T: Message> Form<T> for Generated {
    #[inline]
    fn write(self, value: &T, out: &mut Vec<u8>) -> serde_json::Result<()> {
        value.write(out)
    }

    #[inline]
    fn read(self, reader: &mut Reader<'_>) -> Option<T> {
        T::read(reader)
    }

    fn decode(self, json: &[u8]) -> serde_json::Result<T> {
        from_json(json)
    }
}

/// By serde_json.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

impl<T> Form<T> for Plain {
    fn write(self, value: &T, out: &mut Vec<u8>) -> serde_json::Result<()>
    where
        T: Serialize,
    {
        write_by_serde(value, out)
    }

    fn read(self, reader: &mut Reader<'_>) -> Option<T>
    where
        T: DeserializeOwned,
    {
        reader.value()
    }

    fn decode(self, json: &[u8]) -> serde_json::Result<T>
    where
        T: DeserializeOwned,
    {
        serde_json::from_slice(json)
    }
}

/// Finds out whether `T` is a [`Message`].
#[derive(Debug)]
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// A probe of `T`.
    pub const NEW: Self = Self(PhantomData);
}

/// A probe of what a method returns when all is well.
pub const fn result_probe<R: Outcome>() -> Probe<R::Ok> {
    Probe::NEW
}

/// A probe of what the stream of a method yields.
pub const fn item_probe<K, O: StreamOutcome<K>>() -> Probe<O::Value> {
    Probe::NEW
}

/// For messages.
pub trait ViaMessage {
    /// How the type travels.
    fn form(&self) -> Generated;
}

impl<T: Message> ViaMessage for Probe<T> {
    #[inline]
    fn form(&self) -> Generated {
        Generated
    }
}

/// For all others.
pub trait ViaSerde {
    /// How the type travels.
    fn form(&self) -> Plain;
}

impl<T> ViaSerde for &Probe<T> {
    #[inline]
    fn form(&self) -> Plain {
        Plain
    }
}
