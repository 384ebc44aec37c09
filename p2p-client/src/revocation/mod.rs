//! What was taken back: nodes, keys and tokens that nobody may accept any more.
//!
//! Data flows so. A coordinator signs a [`Statement`]; the runtime checks signatures, keeps statements and spreads them. What they
//! come to is a [`RevocationSet`], the same on every node that has the same statements, in whatever order they came. The set that holds now is in
//! [`Revocations`], which the TLS ends of a node share: handshakes ask it, and streams that it [guards](Revocations::guard) break as
//! soon as the peer's certificate is revoked.
//!
//! Nothing here is believed or refused for a signature: whoever adds a statement to a set has checked it.

mod guard;
mod key;
mod live;
mod room;
mod set;
mod statement;

pub(crate) use guard::Cut;
pub use guard::Guarded;
pub use key::{ChainKeys, KeyHash};
pub use live::{CONNECTION, Changes, Revocations};
pub use room::{MAX_STATEMENTS, Room, SetFull};
pub use set::{Digest, RevocationSet};
pub use statement::{
    Author, BadStatement, ClientTokenId, InvalidReason, InvalidTokenName, MAX_REASON, MAX_STATEMENT, Reason, Statement,
    StatementId, Subject,
};
