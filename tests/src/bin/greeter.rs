//! The program of the README, as it stands there.

include!(concat!(env!("OUT_DIR"), "/program.rs"));
