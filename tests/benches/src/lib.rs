//! What the benches share: an allocator that counts, medians, tables.

pub mod alloc;
pub mod cpu;
pub mod stats;
