//! What fuzz targets have in common. A target is a function of bytes that panics where a rule is broken; it is run in two ways.
//!
//! ```text
//! fuzz/seeds/TARGET/*  ->  run(…)            in the normal tests: each input, and a bounded number of random changes of them
//!                      ->  fuzz/run TARGET   by a coverage-guided fuzzer, for as long as one likes
//! ```

use std::{env, fs, path::PathBuf};

/// What the inputs are made from, unless `FUZZ_SEED` names another number.
const SEED: u64 = 20_260;

/// A source of numbers that is the same in every run (SplitMix64, by Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The source that is made from this number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap_or_default()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }

    /// One of several.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Changes bytes in one place: a bit, a few bytes lost, repeated, cut off or put in. `tokens` are what means something in the format.
pub fn mutate(bytes: &mut Vec<u8>, tokens: &[&str], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len() + 1);
    let end = (at + numbers.below(12)).min(bytes.len());
    match numbers.below(if tokens.is_empty() { 5 } else { 6 }) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        1 => drop(bytes.drain(at..end)),
        2 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        3 => bytes.insert(at, numbers.byte()),
        4 => bytes.truncate(at),
        _ => drop(bytes.splice(at..end, numbers.one_of(tokens).bytes()).count()),
    }
}

/// Runs a target with the inputs of its corpus, and with `count` inputs that are made from those by up to four changes each.
///
/// With `UPDATE_GOLDEN=1`, `samples` become the corpus first: inputs that reach all of the target.
///
/// # Panics
/// When the target breaks a rule; it says by which input. And when there is no corpus.
pub fn run(target: &str, count: u64, tokens: &[&str], samples: impl FnOnce() -> Vec<(&'static str, Vec<u8>)>, check: fn(&[u8])) {
    let folder = folder(target);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        keep(&folder, samples());
    }
    let corpus = read(&folder);
    assert!(!corpus.is_empty(), "{} holds no inputs; UPDATE_GOLDEN=1 makes them", folder.display());
    let seed = env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("{target}: {} inputs of the corpus, {count} made from them; seed {seed}", corpus.len());
    for (name, input) in &corpus {
        try_out(check, input, name);
    }
    let mut numbers = Numbers::new(seed);
    for number in 0..count {
        let mut input = numbers.one_of(&corpus).1.clone();
        for _ in 0..=numbers.below(4) {
            mutate(&mut input, tokens, &mut numbers);
        }
        try_out(check, &input, &format!("{number} of seed {seed}"));
    }
}

fn try_out(check: fn(&[u8]), input: &[u8], name: &str) {
    let kept = std::panic::catch_unwind(|| check(input)).is_ok();
    assert!(kept, "a rule is broken by input {name}: {}", input.escape_ascii());
}

/// Where the fuzzer finds what it begins with.
fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target)
}

fn keep(folder: &PathBuf, samples: Vec<(&str, Vec<u8>)>) {
    fs::create_dir_all(folder).expect("a folder for the corpus");
    for (name, input) in samples {
        fs::write(folder.join(name), input).expect("an input of the corpus");
    }
}

/// The inputs by name, in an order that is the same everywhere.
fn read(folder: &PathBuf) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let mut inputs: Vec<_> = files.filter_map(|path| Some((path.display().to_string(), fs::read(path).ok()?))).collect();
    inputs.sort();
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a rule is broken by input")]
    fn a_target_that_breaks_a_rule_fails_its_test() {
        run("session", 1_000, &[], Vec::new, |input| assert!(input.len().is_multiple_of(2)));
    }

    #[test]
    #[should_panic(expected = "holds no inputs")]
    fn a_target_without_a_corpus_fails_its_test() {
        run("no_such_target", 1, &[], Vec::new, |_| {});
    }
}
