//! The audit log of a node: who was refused what, and what was administered. Lines and their fields are
//! [`p2p_client::audit`]'s.
//!
//! Denials are warnings, acts are information. No line holds a token, a secret, a password or params. Somebody who is refused a thousand times a
//! second fills no disk: of the same denials some are written, the rest are counted, and the count is written ([`repetition`]). Who has no name
//! uses up no room of those who have one. What was changed while the node did not run is [`offline`].

mod handshake;
pub(crate) mod offline;
mod repetition;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{CallerId, NodeId},
    revocation::{CONNECTION, Revocations},
    service::Trace,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use handshake::Audited;
use repetition::{Kind, Repetitions, WINDOW, Whose};

use crate::limits::addresses::CountedAddress;

/// What the making of a join token is called, by a node and without one.
pub(crate) const JOIN_TOKEN_CREATE: &str = "join token create";
/// What a connection is called that came no further than its TLS handshake.
const HANDSHAKE: &str = "handshake";

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

    /// The same, where it is not told apart which of its addresses a machine has chosen.
    fn counted(&self) -> String {
        self.address().map_or_else(|| self.to_string(), |address| CountedAddress::from(address).to_string())
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
pub struct AuditLog(Arc<Mutex<Repetitions>>);

impl AuditLog {
    /// Writes that somebody was refused; where that is said too often, counts it.
    pub(crate) fn denied(&self, subject: Subject<'_>, why: Option<&dyn fmt::Display>) {
        let reason = why.map(ToString::to_string).unwrap_or_default();
        let kind = Line::new(subject.who, subject.what, Outcome::Denied).from(subject.from.counted()).reason(&reason);
        let whose = if *subject.who == CallerId::Anonymous { Whose::Nameless } else { Whose::Named };
        if self.has_room(whose, &kind) {
            subject.line(Outcome::Denied).reason(reason).write();
        }
    }

    /// The same of a node that passed something on.
    pub(crate) fn refused(&self, who: impl fmt::Display, what: &str, from: impl fmt::Display, why: impl fmt::Display) {
        let line = Line::new(who, what, Outcome::Denied).from(from).reason(why);
        if self.has_room(Whose::Named, &line) {
            line.write();
        }
    }

    /// Has the connections that are cut told here: who had a thousand open when it was revoked has a few lines, and the rest are counted.
    pub(crate) fn take_cuts_of(&self, revocations: &Revocations) {
        let audit = self.clone();
        revocations.tell_cuts(move |node_id, why| {
            let node = format!("node {node_id}");
            audit.refused(&node, CONNECTION, &node, why);
        });
    }

    /// Whether a denial is to be written. Where it is not, it was counted.
    fn has_room(&self, whose: Whose, kind: &Kind) -> bool {
        let now = Instant::now();
        let (said, is_written) = self.with(|repetitions| (repetitions.sweep(now), repetitions.seen(whose, kind, now)));
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
        self.with(|repetitions| repetitions.sweep(now)).iter().for_each(write_count);
    }

    /// Sees to it that every count is written in the end, until the node stops.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(WINDOW)).await.is_some() {
            self.sweep(false);
        }
        self.sweep(true);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Repetitions) -> T) -> T {
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

#[cfg(test)]
mod tests {
    use p2p_client::revocation::{ChainKeys, KeyHash};

    use super::*;
    use crate::identity::tests::AuditLines;

    #[tokio::test(start_paused = true)]
    async fn callers_without_a_name_hide_no_denial_of_one_with_a_name_whatever_they_show_and_from_wherever() {
        let (lines, audit) = (AuditLines::capture(), AuditLog::default());
        let denied = |who: &CallerId, from: &Whence, why: &dyn fmt::Display| {
            audit.denied(Subject { who, what: "a/b", whom: None, from, trace: None, origin: None }, Some(why));
        };
        for number in 0..1_000_u32 {
            let from = Whence::Address(std::net::Ipv4Addr::from_bits(number).into());
            denied(&CallerId::Anonymous, &from, &format_args!("no coordinator has the key {number}"));
        }
        assert_eq!(lines.take().len(), 100);
        let node = CallerId::Node { id: "w".parse().unwrap(), role: p2p_client::protocol::Role::Worker };
        denied(&node, &Whence::Node("w".parse().unwrap()), &"it is not for workers");
        let written = lines.take();
        assert!(matches!(&*written, [line] if line.contains("who=\"node w (worker)\"")), "{written:#?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_chooses_among_the_addresses_of_one_network_is_counted_as_one() {
        let (lines, audit) = (AuditLines::capture(), AuditLog::default());
        for number in 0..100 {
            let from = Whence::Address(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, number).into());
            let who = &CallerId::Anonymous;
            audit.denied(Subject { who, what: "a/b", whom: None, from: &from, trace: None, origin: None }, None);
        }
        let written = lines.take();
        assert_eq!(written.len(), 5, "{written:#?}");
        assert!(written[4].contains("from=\"2001:db8:0:7::4\" "), "{written:#?}");
        audit.sweep(true);
        let counts = lines.take();
        assert!(
            matches!(&*counts, [line] if line.contains("from=\"2001:db8:0:7::/64\" ") && line.contains("repeated=95")),
            "{counts:#?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_connections_that_are_cut_are_a_few_lines_and_all_are_counted() {
        let (lines, audit, revocations) = (AuditLines::capture(), AuditLog::default(), Revocations::default());
        let guard = |name: &str| revocations.guard((), &name.parse().unwrap(), ChainKeys::new(KeyHash::new([1; 32]), Vec::new()));
        let _open: Vec<_> = (0..1_000).map(|_| guard("w")).chain([guard("v"), guard("stays")]).collect();
        audit.take_cuts_of(&revocations);
        revocations.cut_where(|node_id, _| node_id.as_str() != "stays");
        let written = lines.take();
        let of = |name: &str| written.iter().filter(|line| line.contains(&format!("who=\"node {name}\""))).count();
        assert_eq!((of("w"), of("v"), written.len()), (5, 1, 6), "{written:#?}");
        for part in [
            "what=\"connection\"",
            "outcome=\"denied\"",
            "reason=\"its certificate is not good any more; the connection is cut\"",
        ] {
            assert!(written.iter().all(|line| line.contains(part)), "{part} in {written:#?}");
        }
        audit.sweep(true);
        let counts = lines.take();
        assert!(matches!(&*counts, [line] if line.contains("who=\"node w\"") && line.contains("repeated=995")), "{counts:#?}");
    }

    #[test]
    fn a_trace_is_named_by_the_id_of_the_whole() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        assert_eq!(trace_id(trace), "0af7651916cd43dd8448eb211c80319c");
    }
}
