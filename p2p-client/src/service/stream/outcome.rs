//! How the return type of a method that streams is understood: through traits, as that of every other method.

use std::{
    convert::Infallible,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::service::{Error, Failed, NoError, ServiceError};

/// The items of a stream are values: `impl Stream<Item = T>`.
#[derive(Debug)]
pub enum Values {}

/// The items of a stream are results: `impl Stream<Item = Result<T>>`, or with the service's own error type. An error ends the stream.
#[derive(Debug)]
pub enum Results {}

/// What an item of a stream may be. `K` is [`Values`] or [`Results`], as the item is written; `E` is the method's own error type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of this stream",
    label = "an item travels as JSON, and its schema is published",
    note = "write `impl Stream<Item = T>`; where the stream may fail, `impl Stream<Item = Result<T>>`, or `Result<impl Stream<Item = Result<T, E>>, E>` \
            with the method's own error type in both places",
    note = "T needs Serialize, Deserialize, JsonSchema and Send: #[derive(Serialize, Deserialize, JsonSchema)]"
)]
pub trait StreamItem<K, E>: Send {
    /// What travels, and what the caller's stream yields.
    type Value: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// Parts the item: the value, or why the stream ends here.
    ///
    /// # Errors
    /// The error that the item is.
    fn into_result(self) -> Result<Self::Value, Failed<E>>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + 'static, E> StreamItem<Values, E> for T {
    type Value = T;

    fn into_result(self) -> Result<T, Failed<E>> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + 'static, E> StreamItem<Results, E> for Result<T, Error> {
    type Value = T;

    fn into_result(self) -> Result<T, Failed<E>> {
        self.map_err(Failed::Other)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + 'static, E: ServiceError> StreamItem<Results, E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, Failed<E>> {
        self.map_err(Failed::Service)
    }
}

/// What a method that streams may return: `Result<impl Stream<Item = T>>`, or with the service's own error type.
#[diagnostic::on_unimplemented(
    message = "this stream cannot be what a service method answers with",
    label = "return `Result<impl Stream<Item = T>>`; where the stream may fail, `Result<impl Stream<Item = Result<T, E>>, E>`",
    note = "T needs Serialize, Deserialize, JsonSchema and Send: #[derive(Serialize, Deserialize, JsonSchema)]",
    note = "E is the method's own error type, the same in both places; without one, `Result<impl Stream<Item = Result<T>>>`"
)]
pub trait StreamOutcome<K>: Sized {
    /// The stream that was opened.
    type Stream: Stream<Item = Self::Item>;
    /// What it yields.
    type Item: StreamItem<K, Self::Err, Value = Self::Value>;
    /// What its caller gets of each item.
    type Value: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// The service's own error type, or [`NoError`].
    type Err: ServiceError;

    /// Parts the outcome of opening: the stream, the service's own error, or what went wrong otherwise.
    ///
    /// # Errors
    /// [`Failed`] as the method returned it.
    fn into_result(self) -> Result<Self::Stream, Failed<Self::Err>>;

    /// The schema of the method's own error type, if it has one.
    fn error_schema(schemas: &mut SchemaGenerator) -> Option<Schema>;
}

#[diagnostic::do_not_recommend]
impl<K, S: Stream> StreamOutcome<K> for Result<S, Error>
where
    S::Item: StreamItem<K, NoError>,
{
    type Stream = S;
    type Item = S::Item;
    type Value = <S::Item as StreamItem<K, NoError>>::Value;
    type Err = NoError;

    fn into_result(self) -> Result<S, Failed<NoError>> {
        self.map_err(Failed::Other)
    }

    fn error_schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<K, S: Stream, E: ServiceError> StreamOutcome<K> for Result<S, E>
where
    S::Item: StreamItem<K, E>,
{
    type Stream = S;
    type Item = S::Item;
    type Value = <S::Item as StreamItem<K, E>>::Value;
    type Err = E;

    fn into_result(self) -> Result<S, Failed<E>> {
        self.map_err(Failed::Service)
    }

    fn error_schema(schemas: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemas.subschema_for::<E>())
    }
}

/// Stands for `impl Stream<Item = T>` where a type has to have a name. There are no values of it.
#[derive(Debug)]
pub struct StreamOf<T> {
    never: Infallible,
    items: PhantomData<fn() -> T>,
}

impl<T> Stream for StreamOf<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        match self.never {}
    }
}
