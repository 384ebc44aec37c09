//! Between coordinators: one asks for its issuing authority or for what another has issued, one hands the root key on. All over mutual TLS, on a connection of their own.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use p2p_client::{
    protocol::{NodeId, Role},
    wire::{PeerRef, tls::ChannelBinding},
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::super::{
    codec,
    http::{self, HttpConnection, Way},
    issuer::IssuedNode,
    join::{MAX_REPLY, Refused},
    key::{KeyError, NodeKey, PublicKey},
};

/// Where a coordinator asks for its issuing authority: `POST`, JSON.
pub(crate) const AUTHORITY_PATH: &str = "/internal/ca/authority";
/// Where the root key is handed over: `POST`, [`RootHandover`].
pub(crate) const ROOT_PATH: &str = "/internal/ca/root";
/// Where a coordinator asks another for the nodes that it has issued certificates for: `POST`, nothing; [`AllIssued`].
pub(crate) const ISSUED_PATH: &str = "/internal/ca/issued";
/// The largest answer to that, in bytes: some hundred for each node.
const MAX_ISSUED: usize = 64 * 1024 * 1024;
/// Where a coordinator asks another for its record of a node: `GET`, the node's id follows; an [`IssuedNode`], or `null`.
pub(crate) const RECORD_PATH: &str = "/internal/ca/node";
/// How long one exchange may take.
const STEP_TIME: Duration = Duration::from_secs(15);

/// "Give me an issuing authority for this key." Whose it is to be is read from the certificate that is shown. It is good on one connection alone: whoever has
/// seen it, as the coordinator that was asked has, gets nothing by it elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuthorityRequest {
    /// A certificate request (PKCS #10, DER) of the authority's key.
    #[serde(with = "codec::base64_vec")]
    csr: Vec<u8>,
    /// The signature of that key over who asks, and on which connection.
    #[serde(with = "codec::base64_vec")]
    proof: Vec<u8>,
}

/// Why a request for an authority is not answered with one.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BadAuthorityRequest {
    /// It holds no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It was made by another node, or for another connection.
    #[error(
        "it does not prove that {node_id} has that key, and asks for itself on this connection; an honest coordinator asks by itself: look into {node_id}, which may have \
         passed on what another one has said"
    )]
    NotProved {
        /// Who asked, by its certificate.
        node_id: NodeId,
    },
}

impl AuthorityRequest {
    /// Asks for an authority for this key, in the name of this coordinator, on this connection.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when signing fails.
    pub fn new(key: &NodeKey, by: &NodeId, channel: &ChannelBinding) -> Result<Self, KeyError> {
        let csr = key.request()?;
        let proof = key.sign_text(&Self::transcript(&csr, by, channel))?;
        Ok(Self { csr, proof })
    }

    /// The key, if whoever has it made this request in this name and on this connection.
    pub(crate) fn proved_key(&self, by: &NodeId, channel: &ChannelBinding) -> Result<PublicKey, BadAuthorityRequest> {
        let key = PublicKey::from_request(&self.csr)?;
        if key.has_signed(&Self::transcript(&self.csr, by, channel), &self.proof) {
            Ok(key)
        } else {
            Err(BadAuthorityRequest::NotProved { node_id: by.clone() })
        }
    }

    /// The bytes that the proof signs, each part with its length.
    fn transcript(csr: &[u8], by: &NodeId, channel: &ChannelBinding) -> Vec<u8> {
        let mut out = Vec::new();
        for part in [b"p2p-authority-proof/1", &channel.as_bytes()[..], by.as_str().as_bytes(), csr] {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// The authority's certificate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuthorityReply {
    /// DER.
    #[serde(with = "codec::base64_vec")]
    pub(crate) certificate: Vec<u8>,
}

/// The nodes that a coordinator has issued certificates for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AllIssued {
    /// Those whose certificates are still valid.
    pub(crate) nodes: Vec<IssuedNode>,
    /// Those of which nothing more can be told: their records are damaged.
    pub(crate) damaged: Vec<NodeId>,
}

/// Root keys on their way: each as its length (2 bytes, big-endian) and its PKCS #8 form. No text is made of them, which nobody would wipe.
pub(crate) struct RootHandover(pub(crate) Vec<Zeroizing<Vec<u8>>>);

impl RootHandover {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = self.0.iter().map(|key| key.len() + 2).sum();
        // Of the right size from the start, so that growing leaves no copies.
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        for key in &self.0 {
            out.extend_from_slice(&u16::try_from(key.len()).unwrap_or_default().to_be_bytes());
            out.extend_from_slice(key);
        }
        out
    }

    /// Reads it; `None` where it is something else.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut keys = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            keys.push(Zeroizing::new(key.to_vec()));
            bytes = rest;
        }
        bytes.is_empty().then_some(Self(keys))
    }
}

/// Why a coordinator has no issuing authority under the root that is wanted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NoAuthority {
    /// There is nobody to ask.
    #[error(
        "no other coordinator is alive that could give this one its issuing authority; start one that holds the root key: `p2p ca show` says which do"
    )]
    Nobody,
    /// A coordinator could not be asked, or said no.
    #[error("{coordinator} gave this coordinator no issuing authority: {reason}")]
    NotGiven {
        /// Which one.
        coordinator: NodeId,
        /// Why not.
        reason: String,
    },
}

/// Why the root key was not handed over.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotShared {
    /// The other is none who may have it.
    #[error("{node_id} is a worker, and only coordinators hold the root key; `p2p nodes` shows which nodes are")]
    NotCoordinator {
        /// Who was named.
        node_id: NodeId,
    },
    /// The other is not there.
    #[error("{node_id} is not alive in this cluster; check the name with `p2p nodes`, and start that node")]
    NotThere {
        /// Who was named.
        node_id: NodeId,
    },
    /// It could not be reached, or did not take it.
    #[error("{node_id} did not take the root key: {reason}")]
    Failed {
        /// Who was named.
        node_id: NodeId,
        /// Why.
        reason: String,
    },
}

/// Asks a coordinator for an issuing authority for this key. Whose it is to be, the coordinator reads from the certificate that is shown.
pub(crate) async fn ask_for_authority(
    way: Way<'_>,
    coordinator: &PeerRef,
    key: &NodeKey,
) -> Result<CertificateDer<'static>, NoAuthority> {
    let failed = |reason: String| NoAuthority::NotGiven { coordinator: coordinator.node_id.clone(), reason };
    let exchange = async {
        let http::ToNode { mut http, channel, .. } = http::to_node(way, coordinator).await?;
        let request = AuthorityRequest::new(key, &way.identity.peer().node_id, &channel).map_err(|error| error.to_string())?;
        let body = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        send::<AuthorityReply>(&mut http, Method::POST, AUTHORITY_PATH, body.into(), MAX_REPLY).await
    };
    let reply = within(exchange).await.map_err(failed)?;
    Ok(CertificateDer::from(reply.certificate))
}

/// Asks a coordinator which nodes it has issued certificates for.
pub(crate) async fn ask_for_issued(way: Way<'_>, coordinator: &PeerRef) -> Result<AllIssued, String> {
    let exchange = async {
        let http::ToNode { mut http, .. } = http::to_node(way, coordinator).await?;
        send::<AllIssued>(&mut http, Method::POST, ISSUED_PATH, Bytes::new(), MAX_ISSUED).await
    };
    within(exchange).await
}

/// Asks a coordinator for its record of a node.
pub(crate) async fn ask_for_record(way: Way<'_>, coordinator: &PeerRef, node_id: &NodeId) -> Result<Option<IssuedNode>, String> {
    let exchange = async {
        let http::ToNode { mut http, peer, .. } = http::to_node(way, coordinator).await?;
        if peer.role != Role::Coordinator {
            return Err("it is no coordinator".into());
        }
        let path = format!("{RECORD_PATH}/{node_id}");
        send::<Option<IssuedNode>>(&mut http, Method::GET, &path, Bytes::new(), MAX_REPLY).await
    };
    // What it says of others than the one that was asked about is of no account.
    Ok(within(exchange).await?.filter(|record| record.node_id == *node_id))
}

/// Hands these root keys to another coordinator, which has to show a coordinator's certificate.
pub(crate) async fn hand_over(way: Way<'_>, to: &PeerRef, keys: Vec<Zeroizing<Vec<u8>>>) -> Result<(), NotShared> {
    let node_id = to.node_id.clone();
    let exchange = async {
        let http::ToNode { mut http, peer, .. } = http::to_node(way, to).await?;
        if peer.role != Role::Coordinator {
            return Ok(false);
        }
        // Wiped when it has been sent.
        let body = Bytes::from_owner(RootHandover(keys).encode());
        send::<serde_json::Value>(&mut http, Method::POST, ROOT_PATH, body, MAX_REPLY).await.map(|_| true)
    };
    match within(exchange).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(NotShared::NotCoordinator { node_id }),
        Err(reason) => Err(NotShared::Failed { node_id, reason }),
    }
}

async fn within<T>(exchange: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(STEP_TIME, exchange).await.unwrap_or_else(|_| Err("it did not answer".into()))
}

async fn send<T: DeserializeOwned>(
    http: &mut HttpConnection,
    method: Method,
    path: &str,
    body: Bytes,
    limit: usize,
) -> Result<T, String> {
    let response = http.request(method, path, body, limit).await.map_err(|error| error.to_string())?;
    if response.status.is_success() {
        return serde_json::from_slice(&response.body).map_err(|error| error.to_string());
    }
    let refused = Refused::from_body(&response.body);
    Err(refused.map_or_else(|| format!("HTTP status {}", response.status), |refused| refused.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_an_authority_is_good_in_one_name_and_on_one_connection_and_for_one_key() {
        let key = NodeKey::generate().unwrap();
        let (by, other): (NodeId, NodeId) = ("c".parse().unwrap(), "d".parse().unwrap());
        let (here, elsewhere) = (ChannelBinding::from_bytes([1; 32]), ChannelBinding::from_bytes([2; 32]));
        let request = AuthorityRequest::new(&key, &by, &here).unwrap();
        assert_eq!(request.proved_key(&by, &here).unwrap(), key.public());
        for (by, channel) in [(&other, &here), (&by, &elsewhere)] {
            assert!(matches!(request.proved_key(by, channel), Err(BadAuthorityRequest::NotProved { node_id }) if node_id == *by));
        }
        // The certificate request of another key, whose holder asked here before.
        let seen = NodeKey::generate().unwrap().request().unwrap();
        let request = AuthorityRequest { csr: seen, ..request };
        assert!(matches!(request.proved_key(&by, &here), Err(BadAuthorityRequest::NotProved { .. })));
        let request = AuthorityRequest { csr: Vec::new(), ..request };
        assert!(matches!(request.proved_key(&by, &here), Err(BadAuthorityRequest::Key(_))));
    }

    #[test]
    fn a_handover_survives_its_way_and_a_cut_one_is_refused() {
        let keys = || vec![Zeroizing::new(vec![1; 138]), Zeroizing::new(vec![2; 3])];
        let bytes = RootHandover(keys()).encode();
        assert_eq!(RootHandover::decode(&bytes).unwrap().0, keys());
        for end in (1..bytes.len()).filter(|end| *end != 140) {
            assert!(RootHandover::decode(&bytes[..end]).is_none(), "{end}");
        }
    }
}
