//! Who is in the cluster: failure detection, what each node says of itself, and the view that everything else routes by.
//!
//! ```text
//! mutual-TLS connections ◄──FrameLink── Membership ──► Members (snapshot), MemberEvent (stream)
//!                        ──LinkEvent──►     │
//!                                        Engine: a pure state machine around foca (SWIM)
//! ```
//!
//! - [`Membership`] is the handle that the node holds: it runs the [`Engine`] in a task.
//! - [`Engine`] decides who is alive, spreads what nodes say of themselves, and compares views to find what gossip missed. Time,
//!   randomness and the network are arguments, so that thousands of nodes can be simulated in one process.
//! - [`FrameLink`] carries frames; [`Attestor`] signs and verifies statements. Both are implemented elsewhere.
//!
//! What is trusted: a frame comes from the node of its connection's certificate; a `NodeInfo` is believed when its node signed it and
//! it is newer than what is known. That a node is alive is believed from anybody, since it is probed; that one has
//! died is refuted by the node itself.

mod attest;
mod body;
#[cfg(test)]
mod cluster_tests;
mod codec;
mod component;
mod config;
mod digest;
mod engine;
mod events;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod health;
mod hosts;
mod inbox;
pub(crate) mod link;
mod members;
mod membership;
mod news;
mod peer;
mod revocations;
#[cfg(test)]
mod simulation;
pub(crate) mod standing;
mod state;
mod subscribe;
mod timers;
mod upkeep;
mod wire;

pub use attest::{AttestError, Attestor};
pub use body::BodyError;
pub(crate) use component::{ListeningPort, NetworkComponent, NetworkParts};
pub use config::MembershipConfig;
pub use engine::{Audience, Counters, Engine, EngineError, Expelled, Input, Output, Setup};
pub use events::MemberEvent;
pub(crate) use hosts::HostingPeer;
pub use link::{FrameLink, LinkEvent, MAX_FRAME, PeerRef};
pub use members::Members;
pub use membership::{Membership, MembershipError};
pub use state::{GossipState, SavedPeer};
pub use subscribe::EventStream;
