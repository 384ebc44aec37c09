//! A contract: what a stock of things can be asked. It knows no host, and compiles no node.

use p2p_client::{Message, service, service::Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stock of things.
#[service(version = "1.0.0")]
pub trait Stock {
    /// How many there are of an item. Anyone may ask.
    #[service_method(anonymous, read_only)]
    async fn count(&self, item: &str) -> Result<u32>;

    /// Takes some of an item out.
    #[service_method(timeout = "2s")]
    async fn take(&self, item: &str, count: u32) -> Result<Taken, StockError>;
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Message)]
pub struct Taken {
    /// How many were taken.
    pub count: u32,
    /// How many are left.
    pub left: u32,
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StockError {
    /// There are not as many.
    #[error("only {left} are left")]
    TooFew {
        /// How many there are.
        left: u32,
    },
    /// There never were any.
    #[error("this is no item of ours")]
    Unknown,
}
