//! Why a token is not believed, and why none is given.

use std::time::Duration;

use p2p_client::protocol::NodeId;

use super::clients::InvalidClientName;
use crate::identity::{RevokeError, VaultError};

/// A token is not believed. No text holds any part of the token but what its header names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BearerRefused {
    /// The header holds something else than a token.
    #[error("the header authorization is not understood; it looks like: Bearer eyJ…")]
    NotBearer,
    /// There are several.
    #[error("there are several headers authorization; send one")]
    SeveralShown,
    /// It is not in the compact form of RFC 7515.
    #[error("the token cannot be read: {0}; send it whole, as POST /auth/token gave it")]
    Malformed(String),
    /// It is signed otherwise.
    #[error("the token is signed by {0:?}, and those of this cluster are signed by EdDSA; get one with POST /auth/token")]
    Algorithm(String),
    /// It is meant for something else.
    #[error("the token is of the type {0:?}, and only access tokens (at+jwt) are taken; get one with POST /auth/token")]
    Type(String),
    /// It has an extension that must be understood.
    #[error("the token has critical extensions, and none is understood here; get one without with POST /auth/token")]
    Critical,
    /// No coordinator has its key.
    #[error(
        "no coordinator of this cluster has the key {0:?} that signed the token: it is of another cluster, or the key was retired; \
         get a new one with POST /auth/token"
    )]
    UnknownKey(String),
    /// Somebody else signed, or it was changed.
    #[error("the token's signature does not fit it; send it as POST /auth/token gave it")]
    BadSignature,
    /// It does not say what a token must.
    #[error("the token lacks what it must say: {0}; get one with POST /auth/token")]
    Claims(String),
    /// It is in another coordinator's name.
    #[error("the token is in the name of {0:?}, whose key did not sign it; get a new one with POST /auth/token")]
    Issuer(String),
    /// It is for somebody else.
    #[error("the token is for {got:?}, and this is the cluster {ours:?}; get one from a coordinator of this cluster")]
    Audience {
        /// Whom it is for.
        got: String,
        /// This cluster.
        ours: String,
    },
    /// Its time has not come.
    #[error("the token is good only in {} s; set the clocks of the machines right", .in_.as_secs())]
    NotYet {
        /// How long until then.
        in_: Duration,
    },
    /// Its time is over.
    #[error("the token expired {} s ago; get a new one with POST /auth/token", .ago.as_secs())]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It is good for longer than any token may be.
    #[error("the token is good for longer than 24 hours, which no coordinator allows; get one with POST /auth/token")]
    TooLongLived,
    /// Its coordinator was taken out.
    #[error("the token is of coordinator {0:?}, which was revoked; get a new one from another coordinator with POST /auth/token")]
    CoordinatorRevoked(NodeId),
    /// It was taken back.
    #[error("the token was revoked; get a new one with POST /auth/token")]
    Revoked,
    /// It is a node's, and comes without that node's certificate.
    #[error(
        "the token is good only with the certificate of node {bound}; a client outside of the cluster needs a credential, by `p2p client create`"
    )]
    OtherCertificate {
        /// The node that it was given to.
        bound: NodeId,
    },
}

/// No token is given, or a client's credential not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantRefused {
    /// Unknown, or with another secret: which of both is not told.
    #[error(
        "there is no such client here, or its secret is another; `p2p client list` on the coordinator after the @ shows those that there are"
    )]
    InvalidClient,
    /// The credential's time is over.
    #[error("the client's credential has expired; make a new one with `p2p client create`")]
    CredentialExpired,
    /// More was asked for than the client may have.
    #[error("the client may have the scopes {allowed:?}, and not {wanted:?}; `p2p client create` makes one that may have others")]
    InvalidScope {
        /// What it may have.
        allowed: String,
        /// What was asked for.
        wanted: String,
    },
    /// A time that no token has.
    #[error("a token is good for between 1 s and {} s here; ask for a shorter time", .max.as_secs())]
    InvalidTtl {
        /// The longest.
        max: Duration,
    },
    /// There is a client of that name already.
    #[error("there is a client {0:?} already; remove it with `p2p client remove {0}`, or take another name")]
    Exists(String),
    /// Too many of them.
    #[error("there are {0} clients, as many as one coordinator keeps; remove some with `p2p client remove`")]
    TooMany(usize),
    /// No client is called so.
    #[error(transparent)]
    Name(#[from] InvalidClientName),
    /// The cryptography failed.
    #[error("no token could be made: the cryptography library failed or gave no random bytes")]
    Crypto,
    /// The store failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What is removed could not be revoked.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// What is stored is damaged.
    #[error("what the store holds of clients is damaged ({0}); restore the store from a backup")]
    Damaged(String),
}
