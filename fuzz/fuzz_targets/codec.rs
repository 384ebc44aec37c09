//! The codec against serde_json: the same values, the same errors, the same bytes again. The body is run by `cargo test` as well.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| p2p_client::codec::fuzzing::codec(input));
