//! Why there is no client. (Why a call failed is [`CallError`](crate::call::CallError)'s to say.)

use crate::wire::tls::{InvalidFingerprint, TlsError};

/// Why no client was made. Nothing was sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address of a node is none.
    #[error("{url:?} is no address of a node: {reason}; write https://host:port, such as https://10.0.0.5:8001")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is one of plain HTTP.
    #[error(
        "{url:?} is plain HTTP, by which anybody on the way could read the call and answer in the node's place; nodes speak TLS only, and there is \
         no switch for it: write https://…"
    )]
    Plaintext {
        /// The address.
        url: String,
    },
    /// Nobody said which cluster is meant.
    #[error(
        "a client has to know the cluster's root, as nothing is trusted at first sight; give the fingerprint that `p2p init` printed by \
         .root_fingerprint(…), or the root's certificate by .root_pem(…) or .root_der(…)"
    )]
    NoRoot,
    /// The root was given more than once, and not the same.
    #[error("two different roots were given; a client is of one cluster: make one client for each")]
    TwoRoots,
    /// The fingerprint of the root is none.
    #[error(transparent)]
    Fingerprint(#[from] InvalidFingerprint),
    /// The root's certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// The text does not hold the root's certificate, and it alone.
    #[error("the text holds {found} certificates in PEM form, where the cluster's root is wanted, and it alone")]
    NotOneCertificate {
        /// How many there are.
        found: usize,
    },
    /// The text is no PEM.
    #[error("the root's certificate cannot be read: {reason}; give its PEM text, -----BEGIN CERTIFICATE----- and what follows")]
    Pem {
        /// What is wrong with it.
        reason: String,
    },
}
