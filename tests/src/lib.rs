//! What crosses crates: clusters, faults, access, and the README. The tests are in `tests/`; what they share is here.

pub mod blocks;
