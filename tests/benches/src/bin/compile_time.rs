//! How long a large service takes to compile: 100 methods under `#[service]`, next to the same methods as plain `async fn`s.
//!
//! `cargo run --release -p p2p-bench --bin compile_time [methods [rounds]]`
//!
//! It writes a crate into the target folder, builds it once for its dependencies, and then times `cargo check` and `cargo build` of
//! that crate alone, after a change of one method's body: what a user waits for all day. Both ways are run in turn.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use p2p_bench::stats::{median, table};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One of the two ways to write the same methods.
#[derive(Clone, Copy)]
enum Way {
    Plain,
    Service,
}

const WAYS: [(Way, &str); 2] = [(Way::Plain, "plain async fns"), (Way::Service, "#[service]")];
const COMMANDS: [&str; 2] = ["check", "build"];

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let methods: u32 = args.next().map_or(Ok(100), |methods| methods.parse())?;
    let rounds: u32 = args.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/compile_time");
    let krate = Crate::write(&folder, methods)?;
    let mut seconds = [const { [const { Vec::new() }; 2] }; 2];
    for round in 0..=rounds {
        for (index, (way, _)) in WAYS.into_iter().enumerate() {
            for (at, command) in COMMANDS.into_iter().enumerate() {
                krate.change(way, round * 2 + u32::from(command == "build"))?;
                let took = krate.cargo(command, way)?;
                // The first round builds the dependencies.
                if round > 0 {
                    seconds[index][at].push(took.as_secs_f64());
                }
            }
        }
    }
    println!("median of {rounds} changes of one body in a crate of {methods} methods, its dependencies built\n");
    println!("{}", table(&["", "check s", "ms a method", "build s", "ms a method"], &rows(&seconds, methods)));
    Ok(())
}

fn rows(seconds: &[[Vec<f64>; 2]; 2], methods: u32) -> Vec<Vec<String>> {
    let medians: Vec<[f64; 2]> = seconds.iter().map(|way| [median(&way[0]), median(&way[1])]).collect();
    let row = |name: &str, [check, build]: [f64; 2]| {
        let each = |seconds: f64| format!("{:.2}", 1000.0 * seconds / f64::from(methods));
        vec![name.to_owned(), format!("{check:.2}"), each(check), format!("{build:.2}"), each(build)]
    };
    let mut rows: Vec<_> = WAYS.iter().zip(&medians).map(|((_, name), &medians)| row(name, medians)).collect();
    rows.push(row("difference", [medians[1][0] - medians[0][0], medians[1][1] - medians[0][1]]));
    rows
}

/// The crate that is compiled: a library for each way.
struct Crate {
    folder: PathBuf,
    methods: u32,
}

impl Crate {
    fn write(folder: &Path, methods: u32) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let root = workspace.display();
        let manifest = format!(
            "[workspace]\nmembers = [\"plain\", \"service\"]\nresolver = \"3\"\n\n[workspace.dependencies]\n\
             p2p-runtime = {{ path = \"{root}/p2p-runtime\" }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\nschemars = \"1\"\n\n\
             [profile.dev]\ndebug = \"line-tables-only\"\n"
        );
        fs::create_dir_all(folder)?;
        fs::write(folder.join("Cargo.toml"), manifest)?;
        // The same versions, so that nothing is fetched.
        fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        let krate = Self { folder: folder.to_owned(), methods };
        for (way, _) in WAYS {
            let member = krate.member(way);
            fs::create_dir_all(member.join("src"))?;
            let manifest = format!(
                "[package]\nname = \"bench-{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
                 p2p-runtime.workspace = true\nserde.workspace = true\nschemars.workspace = true\n",
                way.name()
            );
            fs::write(member.join("Cargo.toml"), manifest)?;
            krate.change(way, 0)?;
        }
        Ok(krate)
    }

    fn member(&self, way: Way) -> PathBuf {
        self.folder.join(way.name())
    }

    /// Writes the library anew, with another body in one of its methods.
    fn change(&self, way: Way, round: u32) -> Result<()> {
        fs::write(self.member(way).join("src/lib.rs"), source(way, self.methods, round)?)?;
        Ok(())
    }

    /// Runs cargo on one library, and tells how long the run took.
    fn cargo(&self, command: &str, way: Way) -> Result<Duration> {
        let began = Instant::now();
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([command, "--quiet", "--offline", "--package", &format!("bench-{}", way.name())])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .output()?;
        let took = began.elapsed();
        if output.status.success() { Ok(took) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Service => "service",
        }
    }
}

/// A library of methods, each with a parameter of every common kind, and types of its own at each tenth.
fn source(way: Way, methods: u32, round: u32) -> Result<String> {
    let mut source = String::from(
        "//! Generated by the compile-time bench.\n\nuse p2p_runtime::prelude::*;\nuse schemars::JsonSchema;\nuse serde::{Deserialize, Serialize};\n\n",
    );
    for index in 0..methods.div_ceil(10) {
        write!(
            source,
            "/// A type.\n#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]\npub struct Value{index} {{\n    \
             /// A text.\n    pub text: String,\n    /// A number.\n    pub number: u64,\n}}\n\n"
        )?;
    }
    let (attribute, mark) = match way {
        Way::Plain => ("", ""),
        Way::Service => ("#[service]\n", "    #[service_method(public, idempotent)]\n"),
    };
    write!(source, "/// The service.\n#[derive(Debug, Default)]\npub struct Large;\n\n{attribute}impl Large {{\n")?;
    for index in 0..methods {
        let (value, changed) = (index / 10, if index == 0 { round } else { 0 });
        write!(
            source,
            "    /// A method.\n{mark}    pub async fn method_{index}(&self, name: String, count: u32, note: Option<String>, value: Value{value}) \
             -> Result<Value{value}> {{\n        let text = note.unwrap_or(name);\n        \
             Ok(Value{value} {{ text, number: value.number + u64::from(count) + {index} + {changed} }})\n    }}\n\n"
        )?;
    }
    source.push_str("}\n");
    Ok(source)
}
