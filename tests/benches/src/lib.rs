//! What the benches share: allocators that count, processor time, medians, tables.

pub mod alloc;
pub mod cpu;
pub mod heap;
pub mod stats;
