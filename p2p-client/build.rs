//! Exists because cargo wants a build script beside `links`, which makes it refuse two versions of this crate.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
