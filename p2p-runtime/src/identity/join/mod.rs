//! Joining: how a new node gets its certificate, in two steps over one TLS connection.
//!
//! ```text
//! joiner                                   coordinator
//!   │ TLS; the root in its chain must have the key that the token names
//!   │── hello: node id, role, addresses, token id ──▶│ Desk remembers it, on this connection only
//!   │◀── nonce, challenge, port, clock ──────────────│
//!   │ opens the responder on that port               │
//!   │── prove: nonce, certificate request, proof ───▶│ Desk checks nonce and proof, then the token's limits
//!   │◀── GET /internal/cert-challenge/… at every address claimed
//!   │── answer, bound to the request's key ─────────▶│ spends the token and binds the node id, durably, as one
//!   │◀── chain, root, seed for gossip ───────────────│
//! ```
//!
//! Where the token asks for an operator's approval, the last step is another: the request is noted, durably and with the token's use, and the
//! answer is "wait". The joiner asks on the same connection, whose answer is held back for a while, until there is something to hear;
//! then it joins anew, with the same key and token, which takes no other use. So it may be interrupted, and the coordinator restarted.
//!
//! A coordinator that does not know the token, and finds the one that made it, answers the hello with where that is ([`Refused::Elsewhere`]). The
//! joiner goes there, once, and trusts it by the same root.
//!
//! The proof is a signature by the token's key over everything that matters, the TLS connection included, so that it
//! is worth nothing elsewhere. [`Desk`] and [`Joiner`] are the two sides as pure state machines; [`join`] drives the
//! joiner's over a network, and [`Issuer`](super::Issuer) the coordinator's.

pub(in crate::identity) mod checks;
mod desk;
mod driver;
mod event;
mod following;
mod joiner;
mod messages;
mod refused;
mod waiting;

pub(super) use self::desk::Applicant;
pub(crate) use self::messages::MAX_ADDRESSES;
pub(super) use self::messages::{MAX_REPLY, challenge_answer};
pub use self::{
    desk::{Candidate, Desk},
    driver::{JoinOptions, Joined, join, random_node_id},
    event::JoinEvent,
    joiner::{JoinError, Joiner},
    messages::{
        CertReply, CertRequest, Hello, HelloReply, Issued, JOIN_VERSION, LeftOut, Nonce, Prove, Seed, Wait, Waiting,
        encode_outcome,
    },
    refused::Refused,
};
