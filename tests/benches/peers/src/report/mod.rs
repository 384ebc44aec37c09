//! What is made of a run's rows: tables, the verdict on the targets, JSON, a plot.

mod plot;
mod table;
mod targets;

use anyhow::Result;

pub(crate) use plot::plot;
pub(crate) use table::{Circumstances, text};

use crate::run::Row;

/// The lock file of this workspace, which says what was compiled.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of a package that this program was compiled with.
pub(crate) fn version_of(package: &str) -> &'static str {
    let mut lines = LOCK.lines().skip_while(|line| line.strip_prefix("name = ").map(unquoted) != Some(package));
    lines.find_map(|line| line.strip_prefix("version = ")).map_or("unknown", unquoted)
}

fn unquoted(text: &str) -> &str {
    text.trim_matches('"')
}

/// A list of the rows, with the names of their fields.
pub(crate) fn json(rows: &[Row]) -> Result<String> {
    Ok(serde_json::to_string_pretty(rows)? + "\n")
}

/// Rows for tests.
#[cfg(test)]
pub(crate) mod made_up {
    use crate::{
        cases::{Case, Runtime},
        designs::Design,
        run::Row,
    };

    /// One in which everything but the processor time is the same.
    pub(crate) fn row(design: Design, runtime: Runtime, case: Case, cpu_us_per_call: f64) -> Row {
        Row {
            design,
            version: "1.2.3",
            runtime,
            concurrency: case.concurrency(),
            body_bytes: case.body().bytes(),
            calls_per_s: 1000.0,
            p50_us: 50.0,
            p99_us: 99.0,
            cpu_us_per_call,
            case,
            p999_us: 99.9,
            client_cpu_us_per_call: cpu_us_per_call / 2.0,
            server_cpu_us_per_call: cpu_us_per_call / 2.0,
            cpu_spread: 0.01,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        cases::{Case, Runtime},
        designs::Design,
    };

    #[test]
    fn the_json_is_a_list_of_objects_with_the_specified_keys() {
        let rows = [made_up::row(Design::TarpcBincode, Runtime::CurrentThread, Case::Body64k, 4.0)];
        let value: Value = serde_json::from_str(&json(&rows).unwrap()).unwrap();
        let [entry] = value.as_array().unwrap().as_slice() else { panic!("{value}") };
        for (key, meant) in
            [("design", "tarpc-bincode"), ("version", "1.2.3"), ("runtime", "current_thread"), ("case", "body-64k")]
        {
            assert_eq!(entry[key], meant);
        }
        assert_eq!((&entry["concurrency"], &entry["body_bytes"]), (&8.into(), &65_536.into()));
        for key in ["calls_per_s", "p50_us", "p99_us", "cpu_us_per_call"] {
            assert!(entry[key].is_f64(), "{key} in {entry}");
        }
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert!(version_of("tonic").starts_with("0.14."));
        assert!(version_of("tarpc").starts_with("0.38."));
        assert!(version_of("jsonrpsee").starts_with("0.26."));
        assert!(version_of("hyper").starts_with("1."));
        assert_ne!(version_of("p2p-runtime"), "unknown");
        assert_eq!(version_of("no-such-package"), "unknown");
    }
}
