//! The audit log: who was refused what, and what was administered, by `tracing` under the target `audit`.
//!
//! | field | is |
//! |---|---|
//! | `who` | the caller, as the node has verified it |
//! | `token_id` | the id of the client's token, by which it can be revoked; only of clients |
//! | `what` | the method, the route, or the administrative act |
//! | `from` | where it came from: an IP address, `node ID`, `socket` for the operator's, `here` for this node itself |
//! | `trace` | the id of the W3C trace, or `-` |
//! | `origin` | who began the chain of calls, as the calling node says; or `-` |
//! | `outcome` | `denied`, `done`, or `failed`; with a reason after a colon where there is one |
//! | `repeated` | how often the same was held back since it was last said; only then |
//!
//! Denials are warnings, acts are information. No line holds a token, a secret, a password or params. Somebody who is refused a thousand times a
//! second fills no disk: of the same denials some are written, the rest are counted, and the count is written.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::{
    protocol::{CallerId, NodeId},
    service::Trace,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// The time over which repetitions are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// How many equal denials are written in that time.
const EQUAL: u32 = 5;
/// How many denials of all kinds are written in that time.
const ALL: u32 = 200;
/// How many kinds of denials are told apart in that time. What comes beyond it is counted as one.
const KINDS: usize = 1_000;
/// How long a text of somebody else may be in a line, in characters.
const LONGEST: usize = 200;

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whence {
    /// This node itself.
    Here,
    /// The node's own socket.
    Socket,
    /// Another node, by its certificate.
    Node(NodeId),
    /// An address on the network.
    Address(IpAddr),
    /// The network; the address is not known.
    Network,
}

impl Whence {
    /// The node at the other end, if there is one.
    pub(crate) const fn node(&self) -> Option<&NodeId> {
        if let Self::Node(id) = self { Some(id) } else { None }
    }

    /// The address on the network, where that is all that is known.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        if let Self::Address(address) = self { Some(*address) } else { None }
    }
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Socket => f.write_str("socket"),
            Self::Node(id) => write!(f, "node {id}"),
            Self::Address(address) => address.fmt(f),
            Self::Network => f.write_str("network"),
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) who: &'a CallerId,
    pub(crate) what: &'a str,
    pub(crate) from: &'a Whence,
    pub(crate) trace: Option<Trace>,
    pub(crate) origin: Option<&'a str>,
}

/// The audit log of a node. Clones are the same log.
#[derive(Clone, Default)]
pub(crate) struct AuditLog(Arc<Mutex<Repetition>>);

impl AuditLog {
    /// Writes that somebody was refused; where that is said too often, counts it.
    pub(crate) fn denied(&self, subject: Subject<'_>, why: Option<&dyn fmt::Display>) {
        let reason = why.map(ToString::to_string);
        let kind = Kind {
            who: shortened(&subject.who.to_string()),
            what: shortened(subject.what),
            from: subject.from.to_string(),
            reason: reason.as_deref().map(shortened),
        };
        let now = Instant::now();
        let (said, is_written) = self.with(|repetition| (repetition.sweep(now), repetition.seen(&kind, now)));
        said.iter().for_each(write_count);
        if is_written {
            write_denial(&subject, &kind);
        }
    }

    /// Writes that something was administered, or that it was tried.
    #[allow(clippy::unused_self, reason = "whoever may write has the log at hand")]
    pub(crate) fn done<E: fmt::Display>(&self, subject: Subject<'_>, outcome: Result<&str, &E>) {
        let outcome = match outcome {
            Ok("") => "done".to_owned(),
            Ok(more) => format!("done: {}", shortened(more)),
            Err(error) => format!("failed: {}", shortened(&error.to_string())),
        };
        let Subject { who, what, from, trace, origin } = subject;
        let (trace, origin) = (trace_id(trace), shortened(origin.unwrap_or("-")));
        let (token_id, who, from) = (token_id(who), shortened(&who.to_string()), from.to_string());
        tracing::info!(target: "audit", who, token_id, what, from, trace, origin, outcome, "administered");
    }

    /// Writes the counts of what was held back and is over. With `all`, of what is not over as well.
    fn sweep(&self, all: bool) {
        let now = Instant::now() + if all { WINDOW } else { Duration::ZERO };
        self.with(|repetition| repetition.sweep(now)).iter().for_each(write_count);
    }

    /// Sees to it that every count is written in the end, until the node stops.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(WINDOW)).await.is_some() {
            self.sweep(false);
        }
        self.sweep(true);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Repetition) -> T) -> T {
        // It changes by single insertions, so that a panic leaves it whole.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

fn write_denial(subject: &Subject<'_>, kind: &Kind) {
    let (trace, origin) = (trace_id(subject.trace), shortened(subject.origin.unwrap_or("-")));
    let (Kind { who, what, from, .. }, token_id) = (kind, token_id(subject.who));
    tracing::warn!(target: "audit", who, token_id, what, from, trace, origin, outcome = kind.outcome(), "denied");
}

fn write_count((kind, repeated): &(Kind, u64)) {
    let Kind { who, what, from, .. } = kind;
    tracing::warn!(
        target: "audit", who, what, from, trace = "-", origin = "-", outcome = kind.outcome(), repeated, "denied again"
    );
}

fn token_id(who: &CallerId) -> Option<&str> {
    if let CallerId::Client(client) = who { Some(&client.token_id) } else { None }
}

/// The id of the whole trace, which all of its calls have in common.
fn trace_id(trace: Option<Trace>) -> String {
    trace.map_or_else(|| "-".to_owned(), |trace| trace.to_string().split('-').nth(1).unwrap_or("-").to_owned())
}

/// What somebody else wrote, on one line and of bounded length.
fn shortened(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST).map(plain).collect()
}

/// What makes two denials the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    who: String,
    what: String,
    from: String,
    reason: Option<String>,
}

impl Kind {
    /// What is held back and is not told apart any more.
    fn others() -> Self {
        Self { who: "several".to_owned(), what: "several".to_owned(), from: "several".to_owned(), reason: None }
    }

    fn outcome(&self) -> String {
        self.reason.as_ref().map_or_else(|| "denied".to_owned(), |reason| format!("denied: {reason}"))
    }
}

/// Which denials are written, and how often the others were: pure, with time coming from outside.
#[derive(Debug, Default)]
struct Repetition {
    began: Option<Instant>,
    written: u32,
    kinds: HashMap<Kind, Count>,
}

#[derive(Debug, Default)]
struct Count {
    written: u32,
    held_back: u64,
}

impl Repetition {
    /// Counts one. Whether it is written.
    fn seen(&mut self, kind: &Kind, now: Instant) -> bool {
        self.began.get_or_insert(now);
        let is_known = self.kinds.contains_key(kind);
        let is_room = self.written < ALL;
        if !is_known && (self.kinds.len() >= KINDS || !is_room) {
            self.kinds.entry(Kind::others()).or_default().held_back += 1;
            return false;
        }
        let count = self.kinds.entry(kind.clone()).or_default();
        if is_room && count.written < EQUAL {
            count.written += 1;
            self.written += 1;
            return true;
        }
        count.held_back += 1;
        false
    }

    /// Once the time is over: what was held back in it, and how often. The next time begins.
    fn sweep(&mut self, now: Instant) -> Vec<(Kind, u64)> {
        if self.began.is_none_or(|began| now < began + WINDOW) {
            return Vec::new();
        }
        (self.began, self.written) = (None, 0);
        let counts = self.kinds.drain().map(|(kind, count)| (kind, count.held_back));
        let mut held_back: Vec<_> = counts.filter(|(_, held_back)| *held_back > 0).collect();
        // The most frequent are told by name; a thousand names would be a flood of their own.
        held_back.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rest: u64 = held_back.drain(held_back.len().min(20)..).map(|(_, count)| count).sum();
        if rest > 0 {
            held_back.push((Kind::others(), rest));
        }
        held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(who: &str) -> Kind {
        Kind { who: who.to_owned(), what: "a/b".to_owned(), from: "10.0.0.1".to_owned(), reason: None }
    }

    #[tokio::test(start_paused = true)]
    async fn equal_denials_are_written_a_few_times_and_counted_from_then_on() {
        let (mut repetition, start) = (Repetition::default(), Instant::now());
        let written = (0..1_000).filter(|_| repetition.seen(&kind("x"), start)).count();
        assert_eq!(written, 5);
        assert!(repetition.seen(&kind("y"), start), "another is not held back by it");
        assert!(repetition.sweep(start + WINDOW - Duration::from_millis(1)).is_empty());
        assert_eq!(repetition.sweep(start + WINDOW), [(kind("x"), 995)]);
        assert!(repetition.seen(&kind("x"), start + WINDOW), "and is written again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_different_denials_is_bounded_in_lines_and_memory_and_all_are_counted() {
        let (mut repetition, start) = (Repetition::default(), Instant::now());
        let written = (0..100_000).filter(|n| repetition.seen(&kind(&n.to_string()), start)).count();
        assert_eq!(written, 200);
        assert!(repetition.kinds.len() <= KINDS + 1);
        let counts = repetition.sweep(start + WINDOW);
        assert!(counts.len() <= 21);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 100_000 - 200);
    }

    #[test]
    fn what_others_wrote_stays_on_its_line_and_is_short() {
        let said = shortened(&format!("a\nlevel=INFO forged\u{1b}[2J{}", "x".repeat(1_000)));
        assert!(!said.contains(['\n', '\u{1b}']) && said.chars().count() == LONGEST, "{said}");
    }

    #[test]
    fn a_trace_is_named_by_the_id_of_the_whole() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        assert_eq!(trace_id(Some(trace)), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace_id(None), "-");
    }
}
