//! The program of the README, as it stands there.

#![allow(clippy::missing_errors_doc, reason = "the README is short; what can go wrong is said of every call")]

include!(concat!(env!("OUT_DIR"), "/program.rs"));
