//! What nodes say to each other of revocations. The body is run by `cargo test` as well.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| p2p_runtime::fuzzing::revocations(input));
