//! The `p2p` command, as real processes on loopback.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod approval;
mod canary;
mod clients;
mod cluster;
mod config;
mod contract;
mod harness;
mod hosts;
mod networks;
mod offline;
mod refusals;
mod rotation;
mod selftest;
mod store;
mod terminal;
mod trust;
