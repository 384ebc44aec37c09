//! A method's parameters against serde_json: by name and by position, straight and in parts. The body is run by `cargo test` as well.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| p2p_client::service::fuzzing::params(input));
