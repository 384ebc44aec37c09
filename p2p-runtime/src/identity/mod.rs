//! Who a node is: its key and certificate, the cluster's authority, join tokens, and joining.
//!
//! Data flows so. `p2p init` makes a cluster ([`NodeIdentity::create_cluster`]): a root, an issuing authority and the
//! first node's certificate, all into the store by one write. A running coordinator has an [`Issuer`], which makes
//! tokens and answers join requests. It also makes tokens for clients outside ([`client_token`]), which every node verifies. The root itself can be changed while the cluster works ([`rotation`]). A new node joins ([`join()`]) and gets a [`NodeIdentity`]. From an identity come the
//! TLS ends ([`NodeIdentity::client_tls`], [`NodeIdentity::server_tls`]) and the [`Attestor`], which signs what the node
//! says of itself and checks what others say of themselves.
//!
//! Keys are made where they are used and written only into the store, through the [`Vault`] seam.

mod address;
pub(crate) mod approval;
mod attest;
mod ca;
mod challenge;
pub(crate) mod checks;
pub(crate) mod client_token;
mod codec;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod http;
mod issuer;
pub mod join;
mod key;
pub(crate) mod lineage;
mod networks;
mod node;
pub mod renewal;
mod responder;
pub mod revocation;
pub mod rotation;
pub(crate) mod shown;
mod token;
mod token_table;
mod vault;

pub use self::{
    address::{Host, InvalidHost},
    approval::{ApprovalError, MAX_WAITING, PendingNode},
    attest::{AttestError, Attestor},
    ca::{AUTHORITY_VALIDITY, BACKDATED, CaError, CertificateHash, IssuingCa, NODE_VALIDITY, NodeNames, RootCa, Successor},
    challenge::{CHALLENGE_PORT, CHALLENGE_TIMEOUT, ChallengeError, ChallengeFetcher, HttpFetcher},
    client_token::{
        BearerRefused, ClientName, ClientRecord, ClientSecret, DEFAULT_TTL, GrantRefused, InvalidClientName, MAX_TTL,
    },
    error::IdentityError,
    issuer::{
        Answered, Authority, Clock, IssuedNode, Issuer, IssuerOptions, NoOthers, NotedElsewhere, OtherCoordinators, SeedSource,
    },
    join::{CertReply, CertRequest, JoinError, JoinEvent, JoinOptions, Joined, Refused, join},
    key::{KeyError, KeyThumbprint, NodeKey, PublicKey},
    networks::AllowedNetworks,
    node::NodeIdentity,
    responder::{Answering, ChallengeResponder, PORT_PATIENCE, ResponderError},
    revocation::{Ledger, RevokeError},
    rotation::{RootKeys, Roots, RotateError},
    token::{InvalidTokenId, JoinToken, TokenError, TokenId, TokenKey, TokenKeyError},
    token_table::{Approval, TokenOptions, TokenRecord, TokenRefused, TokenTable, UnknownApproval},
    vault::{Change, Vault, VaultError},
};

pub(crate) use ca::validity;
pub(crate) use http::Way;
pub(crate) use issuer::{Arrival, TOKENS, Voided, VoidedOne, certified, let_in_coordinators, void_open_tokens};

#[cfg(test)]
mod coordinators;
#[cfg(test)]
mod join_tests;
#[cfg(test)]
mod security;
#[cfg(test)]
pub(crate) mod tests;
