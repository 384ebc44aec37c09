//! How a method's return type is understood: through traits, so that aliases of `Result` work.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::protocol::{ErrorCode, RpcError};

use super::Error;

/// What a service's own error type must be, so that it can arrive typed at the caller.
///
/// It is implemented for every type that has the listed traits; an enum with derived `Serialize`, `Deserialize`,
/// `JsonSchema` and a `std::error::Error` (by hand or by a derive) has them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a service method",
    note = "use `Result<T>`, or an error type with Serialize, Deserialize, JsonSchema, std::error::Error, Send and Sync"
)]
pub trait ServiceError: std::error::Error + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<E: std::error::Error + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> ServiceError for E {}

/// The error type of a method that has none of its own. It has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
pub enum NoError {}

impl fmt::Display for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for NoError {}

/// What a service method may return: `Result<T>` or `Result<T, E>` with the service's own error type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a service method",
    label = "return `Result<T>`, or `Result<T, E>` with your own error type",
    note = "T must be Serialize + Deserialize + JsonSchema + Send; E also std::error::Error"
)]
pub trait Outcome: Send + Sized {
    /// What the caller gets when all is well.
    type Ok: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// The service's own error type, or [`NoError`].
    type Err: ServiceError;

    /// Parts the outcome: the value, the service's own error, or what went wrong otherwise.
    ///
    /// # Errors
    /// [`Failed`] as the method returned it.
    fn into_result(self) -> Result<Self::Ok, Failed<Self::Err>>;

    /// The schema of the method's own error type, if it has one.
    fn error_schema(schemas: &mut SchemaGenerator) -> Option<Schema>;
}

/// How a method failed.
#[derive(Debug)]
pub enum Failed<E> {
    /// With an error of its own type.
    Service(E),
    /// With any other error.
    Other(Error),
}

impl<E: Serialize + fmt::Display> Failed<E> {
    /// What a caller outside is told.
    pub fn to_rpc(&self) -> RpcError {
        match self {
            Self::Service(error) => RpcError::new(ErrorCode::SERVICE, error.to_string()).with_data(error),
            Self::Other(error) => error.to_rpc(),
        }
    }
}

impl<T: Serialize + DeserializeOwned + JsonSchema + Send + 'static> Outcome for Result<T, Error> {
    type Ok = T;
    type Err = NoError;

    fn into_result(self) -> Result<T, Failed<NoError>> {
        self.map_err(Failed::Other)
    }

    fn error_schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + 'static, E: ServiceError> Outcome for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Result<T, Failed<E>> {
        self.map_err(Failed::Service)
    }

    fn error_schema(schemas: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemas.subschema_for::<E>())
    }
}
