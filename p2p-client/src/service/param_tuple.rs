//! A method's parameters as a tuple of values, read and written in one piece.
//!
//! Generated code names each parameter once, as a [`ParamForm`]: its key, the form in which its values travel, and its default, where it
//! has one. A tuple of these reads and writes a tuple of values, by code that is compiled once for each such tuple, however many
//! methods take the same.

use crate::{codec::Form, protocol::RpcError};

use super::{DefaultJson, ObjectWriter, ParamError, ParamSpec, Parameter, Params, Slots, Straight};

/// Where one parameter stands on the wire, and how its values travel.
pub trait ParamForm<T>: Copy {
    /// What is read: the value, or with a default, the value if it was given.
    type Taken;

    /// Reads what stands next, from params that a proxy wrote.
    fn straight(self, params: &mut Straight<'_>) -> Option<Self::Taken>;

    /// Reads one of the slots of any other params.
    ///
    /// # Errors
    /// When the value does not fit the type, or is missing.
    fn slot(self, slots: &mut Slots<'_>, index: usize) -> Result<Self::Taken, ParamError>;

    /// What the method gets: a default is made here, once all else was read.
    fn value(self, taken: Self::Taken) -> T;

    /// Writes a value, unless it says nothing.
    ///
    /// # Errors
    /// When it does not serialise.
    fn write(self, value: &T, out: &mut ObjectWriter<'_>) -> serde_json::Result<()>;
}

/// A parameter without a default. The key is written `,"name":`.
#[derive(Debug, Clone, Copy)]
pub struct NoDefault<F>(pub F, pub &'static str);

/// A parameter with a default, and its JSON. The key is written `,"name":`.
#[derive(Debug)]
pub struct WithDefault<F, T: 'static>(pub F, pub &'static str, pub fn() -> T, pub &'static DefaultJson);

// By hand, as a derive would ask the same of the type.
impl<F: Copy, T> Clone for WithDefault<F, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Copy, T> Copy for WithDefault<F, T> {}

impl<T: Parameter, F: Form<T>> ParamForm<T> for NoDefault<F> {
    type Taken = T;

    #[inline]
    fn straight(self, params: &mut Straight<'_>) -> Option<T> {
        params.take(self.0, self.1)
    }

    fn slot(self, slots: &mut Slots<'_>, index: usize) -> Result<T, ParamError> {
        slots.take(index)
    }

    #[inline]
    fn value(self, taken: T) -> T {
        taken
    }

    #[inline]
    fn write(self, value: &T, out: &mut ObjectWriter<'_>) -> serde_json::Result<()> {
        out.field(self.0, self.1, value)
    }
}

impl<T: Parameter, F: Form<T>> ParamForm<T> for WithDefault<F, T> {
    type Taken = Option<T>;

    #[inline]
    fn straight(self, params: &mut Straight<'_>) -> Option<Option<T>> {
        params.take_given(self.0, self.1)
    }

    fn slot(self, slots: &mut Slots<'_>, index: usize) -> Result<Option<T>, ParamError> {
        slots.take_given(index)
    }

    #[inline]
    fn value(self, taken: Option<T>) -> T {
        taken.unwrap_or_else(self.2)
    }

    #[inline]
    fn write(self, value: &T, out: &mut ObjectWriter<'_>) -> serde_json::Result<()> {
        out.unless_default(self.0, self.1, value, self.3, self.2)
    }
}

/// How a method's parameters travel; `V` is the tuple of their values.
pub trait ParamForms<V> {
    /// Reads the values: straight where they stand as a proxy writes them, else one by one from their slots.
    ///
    /// # Errors
    /// When the params do not fit the method; the text names the parameter.
    fn read(self, params: Params<'_>, names: &[ParamSpec]) -> Result<V, RpcError>;

    /// Writes the values as the members of an object.
    ///
    /// # Errors
    /// When a value does not serialise.
    fn write(self, values: &V, out: &mut ObjectWriter<'_>) -> serde_json::Result<()>;
}

impl ParamForms<()> for () {
    fn read(self, params: Params<'_>, names: &[ParamSpec]) -> Result<(), RpcError> {
        params.split(names)?;
        Ok(())
    }

    fn write(self, (): &(), _: &mut ObjectWriter<'_>) -> serde_json::Result<()> {
        Ok(())
    }
}

/// For tuples of one length: the type parameters of each form and of its value, and its place.
macro_rules! tuple {
    ($($form:ident $value:ident $index:tt),+) => {
        impl<$($value,)+ $($form: ParamForm<$value>,)+> ParamForms<($($value,)+)> for ($($form,)+) {
            #[inline]
            fn read(self, params: Params<'_>, names: &[ParamSpec]) -> Result<($($value,)+), RpcError> {
                let taken = match params.straight(|params| Some(($(self.$index.straight(params)?,)+))) {
                    Some(taken) => taken,
                    None => {
                        let mut slots = params.split(names)?;
                        ($(self.$index.slot(&mut slots, $index)?,)+)
                    }
                };
                Ok(($(self.$index.value(taken.$index),)+))
            }

            #[inline]
            fn write(self, values: &($($value,)+), out: &mut ObjectWriter<'_>) -> serde_json::Result<()> {
                $(self.$index.write(&values.$index, out)?;)+
                Ok(())
            }
        }
    };
}

/// Each length up to the longest: what was taken so far, and one more.
macro_rules! tuples {
    ([$($done:tt)*]) => {};
    ([$($done:tt)*] $form:ident $value:ident $index:tt $($rest:tt)*) => {
        tuple!($($done)* $form $value $index);
        tuples!([$($done)* $form $value $index,] $($rest)*);
    };
}

tuples!([] P0 V0 0 P1 V1 1 P2 V2 2 P3 V3 3 P4 V4 4 P5 V5 5 P6 V6 6 P7 V7 7 P8 V8 8 P9 V9 9 P10 V10 10 P11 V11 11 P12 V12 12 P13 V13 13 P14 V14 14 P15 V15 15);
