//! Join tokens, as an operator types them in. The body is run by `cargo test` as well.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| p2p_runtime::fuzzing::join_token(input));
