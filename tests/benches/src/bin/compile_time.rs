//! How long a large service takes to compile: 100 methods under `#[service]`, as a contract and its host, as a tarpc trait and its
//! server, and as plain `async fn`s.
//!
//! `cargo run --release -p p2p-bench --bin compile_time [methods [rounds]]`
//!
//! It writes a crate for each way into the target folder, builds them once for their dependencies, and then times `cargo check` and
//! `cargo build` of that crate alone, after a change of one method's body: what a user waits for all day. All ways are run in turn,
//! and what is compared are the runs of one round. Beside the wall's clock stands the processor time, which does not grow with what
//! else the machine does.

#[path = "compile_time/source.rs"]
mod source;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use p2p_bench::{
    cpu::children_cpu,
    stats::{median, table},
};

use self::source::Way;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COMMANDS: [&str; 2] = ["check", "build"];

/// What one run of cargo took, in seconds.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let methods: u32 = args.next().map_or(Ok(100), |methods| methods.parse())?;
    let rounds: u32 = args.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let crates = Crates::write(&target.join("compile_time"), methods)?;
    for command in COMMANDS {
        let mut took: [Vec<Took>; 4] = Default::default();
        for round in 0..=rounds {
            for (way, took) in Way::ALL.into_iter().zip(&mut took) {
                crates.change(way, command, round)?;
                let run = crates.cargo(command, way)?;
                // The first round builds the dependencies.
                if round > 0 {
                    took.push(run);
                }
            }
        }
        println!(
            "cargo {command}: median of {rounds} changes of one body in a crate of {methods} methods, its dependencies built\n"
        );
        println!("{}\n", shown(&took, methods));
    }
    Ok(())
}

/// A row for each way, with its time next to those of tarpc and of plain functions.
fn shown(took: &[Vec<Took>; 4], methods: u32) -> String {
    let [plain, tarpc, ..] = took;
    let rows = Way::ALL.iter().zip(took).map(|(way, took)| {
        let mid = |of: fn(&Took) -> f64| median(&took.iter().map(of).collect::<Vec<_>>());
        let times = |other: &[Took], of: fn(&Took) -> f64| {
            format!("{:.2}×", median(&took.iter().zip(other).map(|(one, other)| of(one) / of(other)).collect::<Vec<_>>()))
        };
        let (wall, cpu): (fn(&Took) -> f64, fn(&Took) -> f64) = (|took| took.wall, |took| took.cpu);
        vec![
            way.title().to_owned(),
            format!("{:.2}", mid(wall)),
            format!("{:.2}", 1000.0 * mid(wall) / f64::from(methods)),
            times(tarpc, wall),
            times(plain, wall),
            format!("{:.2}", mid(cpu)),
            times(tarpc, cpu),
            times(plain, cpu),
        ]
    });
    table(&["", "wall s", "ms a method", "of tarpc", "of plain", "CPU s", "of tarpc", "of plain"], &rows.collect::<Vec<_>>())
}

/// The crates that are compiled: a library for each way.
struct Crates {
    folder: PathBuf,
    methods: u32,
}

impl Crates {
    fn write(folder: &Path, methods: u32) -> Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let crates = Self { folder: folder.to_owned(), methods };
        for way in Way::ALL {
            let member = crates.member(way);
            fs::create_dir_all(member.join("src"))?;
            fs::write(member.join("Cargo.toml"), way.manifest(&repository))?;
            // Versions that are known here, so that nothing is fetched.
            fs::copy(repository.join(way.lock()), member.join("Cargo.lock"))?;
        }
        Ok(crates)
    }

    fn member(&self, way: Way) -> PathBuf {
        self.folder.join(way.name())
    }

    /// Writes the library anew, with a body in one of its methods that it never had.
    fn change(&self, way: Way, command: &str, round: u32) -> Result<()> {
        let change = round * 2 + u32::from(command == "build");
        fs::write(self.member(way).join("src/lib.rs"), way.source(self.methods, change)?)?;
        Ok(())
    }

    /// Runs cargo on one library, and tells what that took.
    fn cargo(&self, command: &str, way: Way) -> Result<Took> {
        let (began, cpu) = (Instant::now(), children_cpu()?);
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([command, "--quiet", "--offline"])
            .current_dir(self.member(way))
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            // As a user has it who says nothing.
            .env("CARGO_INCREMENTAL", "1")
            .env_remove("CARGO_PROFILE_DEV_DEBUG")
            .env_remove("RUSTFLAGS")
            .output()?;
        let took = Took { wall: began.elapsed().as_secs_f64(), cpu: (children_cpu()? - cpu).as_secs_f64() };
        if output.status.success() { Ok(took) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }
}
