//! The audit log of a node: who was refused what, and what was administered. Lines and their fields are
//! [`p2p_client::audit`]'s.
//!
//! Denials are warnings, acts are information. No line holds a token, a secret, a password or params. Somebody who is refused a thousand times a
//! second fills no disk: of the same denials some are written, the rest are counted, and the count is written. What was changed while the node
//! did not run is [`offline`].

mod dial;
pub(crate) mod offline;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{CallerId, NodeId},
    service::Trace,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use dial::Audited;

/// What the making of a join token is called, by a node and without one.
pub(crate) const JOIN_TOKEN_CREATE: &str = "join token create";
/// What a connection is called that came no further than its TLS handshake.
pub(crate) const HANDSHAKE: &str = "handshake";

/// The time over which repetitions are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// How many equal denials are written in that time.
const EQUAL: u32 = 5;
/// How many denials of all kinds are written in that time.
const ALL: u32 = 200;
/// How many kinds of denials are told apart in that time. What comes beyond it is counted as one.
const KINDS: usize = 1_000;

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
    /// Whom or what it was to be done to; where that is not said by `what`.
    pub(crate) whom: Option<&'a str>,
    pub(crate) from: &'a Whence,
    pub(crate) trace: Option<Trace>,
    pub(crate) origin: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// The same, done to this one.
    pub(crate) fn to(self, whom: &'a str) -> Self {
        Self { whom: Some(whom), ..self }
    }

    fn line(&self, outcome: Outcome) -> Line {
        let Self { who, what, whom, from, trace, origin } = self;
        let line = Line::new(who, what, outcome).whom(whom.unwrap_or_default()).from(from).origin(origin.unwrap_or_default());
        let line = line.trace(trace.map(trace_id).unwrap_or_default());
        if let CallerId::Client(client) = who { line.token_id(&client.token_id) } else { line }
    }
}

/// The audit log of a node: bounds what it writes of denials. Clones are the same log.
#[derive(Clone, Default)]
pub struct AuditLog(Arc<Mutex<Repetition>>);

impl AuditLog {
    /// Writes that somebody was refused; where that is said too often, counts it.
    pub(crate) fn denied(&self, subject: Subject<'_>, why: Option<&dyn fmt::Display>) {
        let reason = why.map(ToString::to_string).unwrap_or_default();
        let kind = Line::new(subject.who, subject.what, Outcome::Denied).from(subject.from).reason(&reason);
        if self.has_room(&kind) {
            subject.line(Outcome::Denied).reason(reason).write();
        }
    }

    /// The same of somebody who is no caller: a node that passed something on, or whoever answered where this node dialled.
    pub(crate) fn refused(&self, who: impl fmt::Display, what: &str, from: impl fmt::Display, why: impl fmt::Display) {
        let line = Line::new(who, what, Outcome::Denied).from(from).reason(why);
        if self.has_room(&line) {
            line.write();
        }
    }

    /// Whether a denial is to be written. Where it is not, it was counted.
    fn has_room(&self, kind: &Kind) -> bool {
        let now = Instant::now();
        let (said, is_written) = self.with(|repetition| (repetition.sweep(now), repetition.seen(kind, now)));
        said.iter().for_each(write_count);
        is_written
    }

    /// Writes that something was administered, with what more there is to say of it; or that it was tried.
    #[allow(clippy::unused_self, reason = "whoever may write has the log at hand")]
    pub(crate) fn done<E: fmt::Display>(&self, subject: Subject<'_>, outcome: Result<&str, &E>) {
        match outcome {
            Ok(more) => subject.line(Outcome::Done).reason(more).write(),
            Err(error) => subject.line(Outcome::Failed).reason(error).write(),
        }
    }

    /// Writes that an operator has to decide.
    #[allow(clippy::unused_self, reason = "whoever may write has the log at hand")]
    pub(crate) fn pending(&self, subject: Subject<'_>, more: &str) {
        subject.line(Outcome::Pending).reason(more).write();
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

fn write_count((kind, times): &(Kind, u64)) {
    kind.clone().repeated(*times).write();
}

/// The id of the whole trace, which all of its calls have in common.
fn trace_id(trace: Trace) -> String {
    trace.to_string().split('-').nth(1).unwrap_or_default().to_owned()
}

/// What makes two denials the same: who was refused what, from where, and why. As a line, it is of bounded length.
type Kind = Line;

/// What is held back and is not told apart any more.
fn others() -> Kind {
    Line::new("several", "several", Outcome::Denied).from("several")
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
            self.kinds.entry(others()).or_default().held_back += 1;
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
            held_back.push((others(), rest));
        }
        held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(who: &str) -> Kind {
        Line::new(who, "a/b", Outcome::Denied).from("10.0.0.1")
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
    fn a_trace_is_named_by_the_id_of_the_whole() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        assert_eq!(trace_id(trace), "0af7651916cd43dd8448eb211c80319c");
    }
}
