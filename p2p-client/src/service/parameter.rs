//! What a parameter's type must be.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// What the type of a parameter must be: it travels, and its schema is published.
///
/// It is implemented for every type that has the listed traits. Of a borrowed parameter (`&str`, `&[T]`, `&T`) it is the owned
/// form that counts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a service method",
    label = "a parameter travels as JSON, and its schema is published",
    note = "it needs Serialize, Deserialize, JsonSchema and Send: #[derive(Serialize, Deserialize, JsonSchema)]"
)]
pub trait Parameter: Serialize + DeserializeOwned + JsonSchema + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + 'static> Parameter for T {}
