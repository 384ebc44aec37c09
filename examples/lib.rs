//! Runnable programs, shortest first: `cargo run --example quickstart`.
