//! What a call does, from a typed proxy to a method and back, without a network: a cluster is a map.

mod access;
mod cluster;
mod context;
mod cutting;
mod fanout;
mod forms;
mod params;
mod typed;
