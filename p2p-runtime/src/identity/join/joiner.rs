//! The joiner's side of a join as a pure state machine: what to say, and whether to believe the answers.

use std::{io, time::Duration};

use p2p_client::{
    protocol::{ClusterId, NodeId, Role},
    wire::tls::{ChannelBinding, TlsError, TlsMaterial, TrustedRoot, Usage, verify_chain},
};
use rustls_pki_types::UnixTime;

use super::{
    Refused,
    checks::{Check, holds},
    messages::{Hello, HelloReply, Issued, JOIN_VERSION, MAX_ADDRESSES, Prove, Seed},
};
use crate::identity::{
    IdentityError,
    address::Host,
    key::{KeyError, NodeKey},
    node::NodeIdentity,
    responder::ResponderError,
    token::{JoinToken, TokenKeyError},
};

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No address was given for the node.
    #[error(
        "this node needs 1 to {MAX_ADDRESSES} addresses under which others reach it, and got {got}; name them with --advertise"
    )]
    Addresses {
        /// How many there were.
        got: usize,
    },
    /// The coordinator cannot be reached.
    #[error("cannot connect to the coordinator at {authority}: {source}; check the address, and that it is running")]
    Connect {
        /// Where it was looked for.
        authority: String,
        /// What the network said.
        source: io::Error,
    },
    /// TLS with the coordinator failed.
    #[error("at {authority}: {source}")]
    Tls {
        /// Where.
        authority: String,
        /// Why.
        source: TlsError,
    },
    /// The node belongs to another cluster already.
    #[error(
        "the node in this folder belongs to the cluster {ours}, and the token is another one's; use another --dir for another cluster"
    )]
    OtherCluster {
        /// The cluster that it belongs to.
        ours: ClusterId,
    },
    /// The coordinator said no.
    #[error("the coordinator refused: {0}")]
    Refused(#[from] Refused),
    /// The coordinator to which the node was sent sends it on.
    #[error(
        "the coordinator at {authority}, to which this node was sent, sends it on to {} at {}; join there, or make a new token with \
         `p2p token create`",
        .to.node_id, .to.authority
    )]
    SentOn {
        /// Where it was sent first.
        authority: String,
        /// Where it is to go next.
        to: Seed,
    },
    /// The coordinator hung up, or does not speak this protocol.
    #[error("the coordinator at {authority} did not answer as one: {reason}")]
    Answer {
        /// Where.
        authority: String,
        /// What was wrong.
        reason: String,
    },
    /// The connection ended before the answer came: the coordinator was stopped, or the network failed.
    #[error(
        "the connection to the coordinator at {authority} broke off ({reason}); check that it is running, and join again with the same token \
         and from the same folder: what was begun is taken up, and no token is used twice"
    )]
    BrokenOff {
        /// Where.
        authority: String,
        /// What was seen of it.
        reason: String,
    },
    /// The coordinator took too long.
    #[error("the coordinator at {authority} did not answer within {} s; try again", .after.as_secs())]
    Timeout {
        /// Where.
        authority: String,
        /// The time it had.
        after: Duration,
    },
    /// The time in which an operator could approve the node is over, and the coordinator could not be asked any more whether one has.
    #[error(
        "the time in which an operator could approve {node_id} is over, and whether one has could not be asked: the coordinator at {authority} was away at the end ({reason}); once it can be reached, join again with the same token and from the same folder, which works if this node was approved; otherwise ask for a fresh token"
    )]
    WaitedInVain {
        /// The name that the node would have.
        node_id: NodeId,
        /// Where the coordinator was looked for.
        authority: String,
        /// What was seen of it.
        reason: String,
    },
    /// The certificate that came is not the one that was asked for.
    #[error("the coordinator's answer cannot be trusted: {reason}; nothing was stored")]
    Untrusted {
        /// What is wrong with it.
        reason: String,
    },
    /// The challenge cannot be answered.
    #[error(transparent)]
    Responder(#[from] ResponderError),
    /// The token's key failed.
    #[error(transparent)]
    Token(#[from] TokenKeyError),
    /// The node's key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The identity that came cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl JoinError {
    /// What was seen, without what to do about it: where the node goes on by itself, nothing.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Connect { source, .. } => format!("no connection: {source}"),
            Self::BrokenOff { reason, .. } => format!("the connection broke off: {reason}"),
            Self::Timeout { after, .. } => format!("no answer within {} s", after.as_secs()),
            Self::Answer { reason, .. } => format!("it did not answer as a coordinator: {reason}"),
            Self::Tls { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }
}

/// A node that wants to join.
#[derive(Debug)]
pub struct Joiner {
    token: JoinToken,
    hello: Hello,
    key: NodeKey,
    csr: Vec<u8>,
}

impl Joiner {
    /// Prepares to join as this node, claiming these addresses.
    ///
    /// # Errors
    /// There is no address or too many, or the certificate request cannot be made.
    pub fn new(token: JoinToken, node_id: NodeId, role: Role, addresses: Vec<Host>, key: NodeKey) -> Result<Self, JoinError> {
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(JoinError::Addresses { got: addresses.len() });
        }
        let csr = key.request()?;
        let hello = Hello { version: JOIN_VERSION, node_id, role, addresses, token_id: token.id() };
        Ok(Self { token, hello, key, csr })
    }

    /// What to say first.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The key that the certificate will be for.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// What to say second, on the connection with this binding.
    ///
    /// # Errors
    /// The token's key cannot be derived.
    pub fn prove(&self, channel: &ChannelBinding, reply: &HelloReply) -> Result<Prove, TokenKeyError> {
        let transcript = self.hello.transcript(channel, &reply.nonce, &self.csr);
        Ok(Prove { nonce: reply.nonce, csr: self.csr.clone(), proof: self.token.sign(&transcript)? })
    }

    /// Checks the answer: the root is the token's, the chain leads to it, the names and the key are ours. Time is the
    /// coordinator's, so that a wrong clock here is reported and not mistaken for a bad certificate.
    ///
    /// # Errors
    /// [`JoinError::Untrusted`] says which check failed.
    pub fn finish(&self, issued: &Issued) -> Result<NodeIdentity, JoinError> {
        let untrusted = |reason: String| JoinError::Untrusted { reason };
        let chain = issued.chain();
        let [leaf, others @ .., root] = chain.as_slice() else {
            return Err(untrusted("it holds no chain of certificates".into()));
        };
        let root = TrustedRoot::from_der(root.clone()).map_err(|e| untrusted(e.to_string()))?;
        if !holds(Check::Root, root.key_hash() == self.token.root()) {
            return Err(untrusted("its root is not the one that the token names".into()));
        }
        let now = UnixTime::since_unix_epoch(Duration::from_millis(issued.clock.0));
        let algorithms = TlsMaterial::empty().algorithms();
        for usage in [Usage::Client, Usage::Server] {
            let peer = verify_chain(&root, leaf, others, usage, now, &algorithms).map_err(|e| untrusted(e.to_string()))?;
            if peer.node_id != self.hello.node_id || peer.role != self.hello.role {
                return Err(untrusted(format!("its certificate is for {peer}")));
            }
        }
        Ok(NodeIdentity::new(self.key.clone(), chain.clone(), root)?)
    }
}
