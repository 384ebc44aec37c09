//! Takes the README's Rust blocks out, so that they are compiled as they stand there: the one with a `main` as the program
//! `greeter`, the others as statements that a test runs with a `proxy` at hand.

#[path = "src/blocks.rs"]
#[expect(unreachable_pub, reason = "it is a module of the library, too")]
mod blocks;

use std::{env, error::Error, fs, path::Path};

const README: &str = "../README.md";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={README}");
    println!("cargo::rerun-if-changed=src/blocks.rs");
    let text = fs::read_to_string(README)?;
    let rust: Vec<_> = blocks::of(&text).into_iter().filter(|block| block.language == "rust").collect();
    let (programs, calls): (Vec<_>, Vec<_>) = rust.into_iter().partition(|block| block.code.contains("fn main("));
    let [program] = programs[..] else {
        return Err(format!("README.md has {} Rust blocks with a main; the tests know how to run one", programs.len()).into());
    };
    let calls: String = calls.iter().flat_map(|block| ["{\n", block.code, "}\n"]).collect();
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("program.rs"), program.code)?;
    fs::write(Path::new(&out).join("calls.rs"), format!("{{\n{calls}}}\n"))?;
    Ok(())
}
