//! The `p2p` command, as real processes on loopback.

mod cluster;
mod harness;
mod refusals;
