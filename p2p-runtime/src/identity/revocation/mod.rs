//! Taking back nodes, keys and tokens: statements that coordinators sign, and every node's record of them.
//!
//! Data flows so. [`Ledger::revoke`] makes a [`Statement`](p2p_client::revocation::Statement), signs it and writes it into the store; a
//! statement of another node comes in by [`Ledger::accept`], which checks the signature first. Only what is durable takes effect: in the
//! [`Revocations`](p2p_client::revocation::Revocations) of the node's TLS material, which refuses handshakes and cuts connections. The
//! network carries statements from ledger to ledger (`network/revocations`), and is not trusted with them.

mod ledger;
mod signed;

pub(crate) use ledger::revoked_line;
pub use ledger::{Accepted, Ledger, RevokeError};
pub use signed::{RefusedStatement, SignedStatement};

#[cfg(test)]
mod tests;
