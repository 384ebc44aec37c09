//! The codec against serde_json: the same bytes, the same values, the same errors.

pub(crate) mod mutations;
pub(crate) mod properties;
mod shapes;
