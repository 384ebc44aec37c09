//! The audit log's lines: who was refused what, and what was administered, by `tracing` under the target `audit`.
//!
//! Every line has the same fields, whoever writes it; `-` stands where there is nothing to say.
//!
//! | field | is |
//! |---|---|
//! | `who` | the caller, as the node has verified it |
//! | `token_id` | the id of the client's token, by which it can be revoked; only of clients |
//! | `what` | the method, the route, or the administrative act |
//! | `whom` | whom or what it was done to: the node that joins, the client that is removed, what is revoked, the path of the store's entry; of a handshake that was refused, the node that the certificate names, which nobody verified |
//! | `from` | where it came from: an IP address, the address that this node dialled, `node ID`, `socket` for the operator's, `network`, `here` for this node itself, `offline` for what was done while the node did not run |
//! | `outcome` | `denied`, `done`, `failed`, or `pending` where an operator has to decide |
//! | `reason` | why, or what more there is to say |
//! | `trace` | the id of the W3C trace |
//! | `origin` | who began the chain of calls, as the calling node says |
//!
//! A line that counts what was held back has `repeated` as well; its `from` is a /64 where that is an address of IPv6. Denials are warnings, all else is information.

use std::fmt;

/// The target of every line.
pub const TARGET: &str = "audit";
/// How long a text may be in a line, in characters.
pub const LONGEST: usize = 200;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was refused.
    Denied,
    /// It was done.
    Done,
    /// It was tried.
    Failed,
    /// An operator has to decide.
    Pending,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Denied => "denied",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Pending => "pending",
        })
    }
}

/// A line. Texts of others are kept on it: shortened, and without control characters.
///
/// ```
/// use p2p_client::audit::{Line, Outcome};
///
/// Line::new("node worker-3", "connection", Outcome::Denied).from("node worker-3").reason("it was revoked").write();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a line is written by `write`"]
pub struct Line {
    who: String,
    token_id: String,
    what: String,
    whom: String,
    from: String,
    outcome: Outcome,
    reason: String,
    trace: String,
    origin: String,
    repeated: Option<u64>,
}

impl Line {
    /// What somebody did, and what came of it.
    pub fn new(who: impl fmt::Display, what: impl fmt::Display, outcome: Outcome) -> Self {
        let nothing = || "-".to_owned();
        Self {
            who: plain(&who),
            token_id: nothing(),
            what: plain(&what),
            whom: nothing(),
            from: nothing(),
            outcome,
            reason: nothing(),
            trace: nothing(),
            origin: nothing(),
            repeated: None,
        }
    }

    /// By which of its tokens a client was known.
    pub fn token_id(self, id: impl fmt::Display) -> Self {
        Self { token_id: plain(&id), ..self }
    }

    /// Whom or what it was done to.
    pub fn whom(self, whom: impl fmt::Display) -> Self {
        Self { whom: plain(&whom), ..self }
    }

    /// Where it came from.
    pub fn from(self, from: impl fmt::Display) -> Self {
        Self { from: plain(&from), ..self }
    }

    /// Why, or what more there is to say.
    pub fn reason(self, reason: impl fmt::Display) -> Self {
        Self { reason: plain(&reason), ..self }
    }

    /// The id of the trace.
    pub fn trace(self, trace: impl fmt::Display) -> Self {
        Self { trace: plain(&trace), ..self }
    }

    /// Who began the chain of calls.
    pub fn origin(self, origin: impl fmt::Display) -> Self {
        Self { origin: plain(&origin), ..self }
    }

    /// How often the same was held back.
    pub fn repeated(self, times: u64) -> Self {
        Self { repeated: Some(times), ..self }
    }

    /// Writes it.
    pub fn write(&self) {
        let Self { who, token_id, what, whom, from, reason, trace, origin, repeated, .. } = self;
        let outcome = self.outcome.to_string();
        match self.outcome {
            Outcome::Denied => tracing::warn!(
                target: TARGET, who, token_id, what, whom, from, outcome, reason, trace, origin, repeated,
                "{}", if repeated.is_some() { "denied again" } else { "denied" }
            ),
            Outcome::Done | Outcome::Failed | Outcome::Pending => tracing::info!(
                target: TARGET, who, token_id, what, whom, from, outcome, reason, trace, origin, repeated, "administered"
            ),
        }
    }
}

/// What may be somebody else's text, on one line and of bounded length. An empty one is as good as none.
fn plain(text: &dyn fmt::Display) -> String {
    let on_the_line = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.to_string().chars().take(LONGEST).map(on_the_line).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line_and_is_short() {
        let said = plain(&format!("a\nlevel=INFO forged\u{1b}[2J{}", "x".repeat(1_000)));
        assert!(!said.contains(['\n', '\u{1b}']) && said.chars().count() == LONGEST, "{said}");
    }

    #[test]
    fn nothing_to_say_is_said_as_such() {
        let line = Line::new("somebody", "something", Outcome::Done).reason("").from("here");
        assert_eq!((&*line.reason, &*line.whom, &*line.from), ("-", "-", "here"));
    }
}
