//! What a call does, from a typed proxy to a method and back, without a network: a cluster is a map.
#![allow(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

mod access;
mod cluster;
mod context;
mod cutting;
mod fanout;
mod forms;
mod named;
mod params;
mod retries;
mod streams;
mod typed;
