//! What comes in on a session: bytes to frames, messages and the state machine. The body is run by `cargo test` as well.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| p2p_client::wire::session::fuzzing::frames(input));
