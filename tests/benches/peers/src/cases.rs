//! What is measured: which call, by how many callers, on which runtime, and which designs take part.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    calls::{ECHO_REPLY_BYTES, REPORT_REPLY_BYTES},
    designs::Design,
};

/// Bytes of JSON of a medium body: 64 KiB.
pub(crate) const MEDIUM: u32 = 1 << 16;
/// Bytes of JSON of a large body: 1 MiB.
pub(crate) const LARGE: u32 = 1 << 20;
/// The share of its own capacity that a design is put under by the open loop.
pub(crate) const OPEN_LOOP_SHARE: f64 = 0.7;
/// The steps in which an open loop's capacity is looked for, as a share of the rate before.
pub(crate) const CAPACITY_STEP: f64 = 0.85;
/// The same of a quick run, which may not take as many.
pub(crate) const QUICK_CAPACITY_STEP: f64 = 0.7;
/// A rate is held where at least this share of the calls that were begun at it have ended.
pub(crate) const HELD: f64 = 0.98;
/// Callers of large bodies, and small callers beside a large fetch.
const FEW: u32 = 8;

/// What a call brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// The small one.
    Echo,
    /// One of this many bytes of JSON.
    Page(u32),
    /// The nested one.
    Report,
}

impl Body {
    /// The bytes of the result's JSON.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Self::Echo => u32::try_from(ECHO_REPLY_BYTES).unwrap_or(u32::MAX),
            Self::Page(bytes) => bytes,
            Self::Report => u32::try_from(REPORT_REPLY_BYTES).unwrap_or(u32::MAX),
        }
    }
}

/// How both processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Runtime {
    /// tokio's current-thread runtime, server and client on a core each.
    CurrentThread,
    /// tokio's multi-thread runtime with two workers in each process, both processes on the same two cores.
    TwoWorkers,
}

impl Runtime {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::CurrentThread, Self::TwoWorkers];

    /// Makes the runtime of a process.
    pub(crate) fn build(self) -> std::io::Result<tokio::runtime::Runtime> {
        match self {
            Self::CurrentThread => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            Self::TwoWorkers => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CurrentThread => "current_thread",
            Self::TwoWorkers => "two_workers",
        })
    }
}

/// A case: a row of each design in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// The small call, one at a time.
    #[value(name = "echo-1")]
    #[serde(rename = "echo-1")]
    Echo1,
    /// The small call, 64 at once.
    #[value(name = "echo-64")]
    #[serde(rename = "echo-64")]
    Echo64,
    /// The small call, 512 at once.
    #[value(name = "echo-512")]
    #[serde(rename = "echo-512")]
    Echo512,
    /// Small calls that begin at times of their own, at 70 % of what the design can do.
    OpenLoop,
    /// Bodies of 64 KiB, 8 at once.
    #[value(name = "body-64k")]
    #[serde(rename = "body-64k")]
    Body64k,
    /// Bodies of 1 MiB, 8 at once.
    #[value(name = "body-1m")]
    #[serde(rename = "body-1m")]
    Body1m,
    /// A nested body of 1 KiB, 64 at once.
    Nested,
    /// 8 small callers beside one that fetches 1 MiB again and again.
    Mixed,
}

impl Case {
    /// All, those of which something must hold first.
    pub(crate) const ALL: [Self; 8] =
        [Self::Echo1, Self::Echo64, Self::Echo512, Self::OpenLoop, Self::Body64k, Self::Body1m, Self::Nested, Self::Mixed];

    /// What its calls bring back; of the mixed load, the small ones.
    pub(crate) fn body(self) -> Body {
        match self {
            Self::Body64k => Body::Page(MEDIUM),
            Self::Body1m => Body::Page(LARGE),
            Self::Nested => Body::Report,
            Self::Echo1 | Self::Echo64 | Self::Echo512 | Self::OpenLoop | Self::Mixed => Body::Echo,
        }
    }

    /// How many calls are under way at a time; 0 in the open loop, where it is as many as come.
    pub(crate) fn concurrency(self) -> u32 {
        match self {
            Self::Echo1 => 1,
            Self::Echo64 | Self::Nested => 64,
            Self::Echo512 => 512,
            Self::Body64k | Self::Body1m | Self::Mixed => FEW,
            Self::OpenLoop => 0,
        }
    }

    /// Whether the design takes part.
    pub(crate) fn takes(self, design: Design) -> bool {
        match self {
            Self::Echo1 | Self::Echo64 | Self::Echo512 => true,
            Self::OpenLoop => design != Design::P2pForeign,
            Self::Body64k | Self::Body1m | Self::Nested | Self::Mixed => !design.is_variant(),
        }
    }

    /// What is compared, for a table's head.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Echo1 => "the small call, one at a time",
            Self::Echo64 => "the small call, 64 at once",
            Self::Echo512 => "the small call, 512 at once",
            Self::OpenLoop => "the small call in an open loop, at 70 % of each design's own capacity",
            Self::Body64k => "bodies of 64 KiB, 8 at once",
            Self::Body1m => "bodies of 1 MiB, 8 at once",
            Self::Nested => "a nested body of 1 KiB, 64 at once",
            Self::Mixed => "8 small callers beside a repeated fetch of 1 MiB; the figures are the small ones'",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Echo1 => "echo-1",
            Self::Echo64 => "echo-64",
            Self::Echo512 => "echo-512",
            Self::OpenLoop => "open-loop",
            Self::Body64k => "body-64k",
            Self::Body1m => "body-1m",
            Self::Nested => "nested",
            Self::Mixed => "mixed",
        })
    }
}

/// What the client is to put on the server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// So many callers, each of which makes its next call when it has its answer.
    Closed {
        /// What they fetch.
        body: Body,
        /// How many there are.
        callers: u32,
    },
    /// So many small callers, and one of large bodies beside them, which is not counted.
    Mixed {
        /// How many small ones there are.
        callers: u32,
    },
    /// Small calls that begin at random times, whether or not earlier ones are done.
    Open {
        /// How many a second, on average.
        rate: f64,
        /// What the random times are made from.
        seed: u64,
    },
}

/// How long the load is put on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Times {
    /// Before anything is counted.
    pub(crate) warm_up: Duration,
    /// While calls are counted.
    pub(crate) measured: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_runtimes_have_one_name_on_the_command_line_in_the_json_and_in_tables() {
        for case in Case::value_variants() {
            assert_eq!(case.to_possible_value().unwrap().get_name(), case.to_string());
            assert_eq!(serde_json::to_value(case).unwrap(), case.to_string());
        }
        for runtime in Runtime::value_variants() {
            assert_eq!(runtime.to_possible_value().unwrap().get_name(), runtime.to_string());
            assert_eq!(serde_json::to_value(runtime).unwrap(), runtime.to_string());
        }
    }

    #[test]
    fn every_case_is_in_the_list_of_all() {
        assert!(Case::value_variants().iter().all(|case| Case::ALL.contains(case)));
    }
}
