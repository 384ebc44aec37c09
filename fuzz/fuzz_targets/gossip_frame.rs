//! Membership frames, and the failure detector's messages in them. The body is run by `cargo test` as well.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| p2p_runtime::fuzzing::gossip_frame(input));
