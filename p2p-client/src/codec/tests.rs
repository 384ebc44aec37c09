//! The codec against serde_json: the same bytes, the same values, the same errors.

mod mutations;
mod properties;
mod shapes;
