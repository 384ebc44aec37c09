//! What tests of nodes and services need: a simulated network.

pub use crate::transport::{MemoryHost, MemoryNetwork};
