//! Why an identity cannot be made, read or kept.

use p2p_client::wire::tls::{PeerIdentity, TlsError};

use super::{ca::CaError, key::KeyError, vault::VaultError};

/// The node's identity cannot be made, read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The node has one already.
    #[error(
        "this node is already {0}; use another --dir for another node; where the coordinator that let it in was revoked, join with --again"
    )]
    AlreadyEnrolled(PeerIdentity),
    /// What is stored cannot be read.
    #[error("the stored identity is damaged: {0}; restore the store from a backup, or join again under a fresh --dir")]
    Damaged(String),
    /// It is of a newer version.
    #[error("the stored identity has format {0}, which this program cannot read; start the version that wrote it")]
    NewerFormat(u32),
    /// This coordinator issues nothing yet.
    #[error(
        "this coordinator has no issuing authority under the cluster's root yet; it gets one from a coordinator that holds the root key: start \
         one, `p2p ca show` says which do, and try again"
    )]
    NoAuthority,
    /// The authority failed.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}
