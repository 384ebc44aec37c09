//! What the two sides of a join say: JSON, by `POST /internal/cert-request`.

use p2p_client::{
    protocol::{ClusterId, NodeId, Role, UnixMillis},
    wire::tls::ChannelBinding,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{
    Refused,
    checks::{Check, bound},
};
use crate::identity::{address::Host, codec, key::PublicKey, token::TokenId};

/// The version of this protocol.
pub const JOIN_VERSION: u32 = 1;
/// The largest request that is read, in bytes.
pub(crate) const MAX_REQUEST: usize = 16 * 1024;
/// The largest reply that is read, in bytes.
pub(crate) const MAX_REPLY: usize = 64 * 1024;
/// How many addresses a node may claim.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// A joiner's message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum CertRequest {
    /// Who wants to join, with which token. It proves nothing yet.
    Hello(Hello),
    /// The proof and the certificate request.
    #[serde(rename = "request")]
    Prove(Prove),
    /// Asks, on the connection of a proof, whether an operator has decided.
    Wait(Wait),
}

impl CertRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`Refused::Malformed`] says what is wrong with it.
    pub fn from_json(body: &[u8]) -> Result<Self, Refused> {
        if body.len() > MAX_REQUEST {
            return Err(Refused::Malformed { what: format!("it is larger than {MAX_REQUEST} bytes") });
        }
        serde_json::from_slice(body).map_err(|e| Refused::Malformed { what: e.to_string() })
    }
}

/// The first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's version, [`JOIN_VERSION`].
    pub version: u32,
    /// The name that the node wants, for life.
    pub node_id: NodeId,
    /// The role that it wants.
    pub role: Role,
    /// The addresses under which others can reach it.
    pub addresses: Vec<Host>,
    /// The token that it has.
    pub token_id: TokenId,
}

/// The second message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prove {
    /// The coordinator's nonce.
    pub nonce: Nonce,
    /// The certificate request (PKCS #10, DER).
    #[serde(with = "codec::base64_vec")]
    pub csr: Vec<u8>,
    /// The signature of the token's key over [`Hello::transcript`].
    #[serde(with = "codec::base64_vec")]
    pub proof: Vec<u8>,
}

/// The message of a node that waits for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The nonce of the proof.
    pub nonce: Nonce,
}

/// 32 random bytes that name one join attempt, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Nonce(#[serde(with = "codec::base64_array")] pub(crate) [u8; 32]);

impl Hello {
    /// The bytes that the proof signs: everything that the coordinator will act on, each part with its length.
    pub fn transcript(&self, channel: &ChannelBinding, nonce: &Nonce, csr: &[u8]) -> Vec<u8> {
        let csr = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, csr);
        let addresses: Vec<String> = self.addresses.iter().map(Host::to_string).collect();
        let (version, token) = (self.version.to_string(), self.token_id.to_string());
        let mut parts: Vec<&[u8]> = vec![
            b"p2p-join-proof",
            version.as_bytes(),
            bound(Check::Channel, channel.as_bytes(), b""),
            bound(Check::Nonce, &nonce.0, b""),
            bound(Check::Request, csr.as_ref(), b""),
            token.as_bytes(),
            self.node_id.as_str().as_bytes(),
            self.role.as_str().as_bytes(),
        ];
        parts.extend(addresses.iter().map(String::as_bytes));
        let mut out = Vec::new();
        for part in parts {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// The coordinator's message when all is well.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum CertReply {
    /// Go on with the proof.
    Hello(HelloReply),
    /// Welcome.
    Issued(Issued),
    /// All is well, and an operator has to approve it.
    Waiting(Waiting),
}

/// The answer to the first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// To be signed and sent back.
    pub nonce: Nonce,
    /// The last part of the path that the coordinator will ask for.
    pub challenge: String,
    /// The port where it will ask.
    pub port: u16,
    /// The coordinator's clock.
    pub clock: UnixMillis,
}

/// The answer to a node that an operator has to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The coordinator at which the operator does that.
    pub coordinator: Seed,
    /// Whether there is something to hear: then the node joins anew, with the same key and token.
    pub decided: bool,
    /// Until when an operator can decide.
    pub expires: UnixMillis,
    /// The coordinator's clock.
    pub clock: UnixMillis,
}

/// The text with which a node answers a challenge: it names the key that asked for the certificate.
pub(crate) fn challenge_answer(challenge: &str, key: &PublicKey) -> String {
    format!("{challenge}.{}", key.thumbprint())
}

/// A coordinator, and where it is: there a node that just joined finds the cluster, or one that was sent on joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The coordinator's name.
    pub node_id: NodeId,
    /// Its `host:port`.
    pub authority: String,
}

/// An address that is not in the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{address}: {reason}")]
pub struct LeftOut {
    /// The address.
    pub address: Host,
    /// Why it was not proved.
    pub reason: String,
}

/// The answer to the second message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    chain: Vec<Der>,
    /// The cluster.
    pub cluster: ClusterId,
    /// The coordinator that let the node in.
    pub coordinator: Seed,
    /// Addresses that were claimed and not proved.
    pub left_out: Vec<LeftOut>,
    /// The coordinator's clock.
    pub clock: UnixMillis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Der(#[serde(with = "codec::base64_vec")] Vec<u8>);

impl Issued {
    /// An answer with this chain: leaf first, root last.
    pub fn new(
        chain: &[CertificateDer<'_>],
        cluster: ClusterId,
        coordinator: Seed,
        left_out: Vec<LeftOut>,
        clock: UnixMillis,
    ) -> Self {
        Self { chain: chain.iter().map(|cert| Der(cert.to_vec())).collect(), cluster, coordinator, left_out, clock }
    }

    /// The certificates: leaf first, root last.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().map(|der| CertificateDer::from(der.0.clone())).collect()
    }
}

/// Writes what came of a request, as an HTTP status and a JSON body.
pub fn encode_outcome(outcome: &Result<CertReply, Refused>) -> (u16, Vec<u8>) {
    let (status, body) = match outcome {
        Ok(reply) => (200, serde_json::to_vec(reply)),
        Err(refused) => (refused.status(), serde_json::to_vec(&refused.to_body())),
    };
    // These types have no maps with odd keys and no failing serialisers, so that this cannot happen.
    body.map_or((500, Vec::new()), |body| (status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_have_the_documented_form() {
        let hello = CertRequest::from_json(
            br#"{"step":"hello","version":1,"node_id":"a","role":"worker","addresses":["10.0.0.1"],"token_id":"0000000000000001"}"#,
        );
        assert!(matches!(hello.unwrap(), CertRequest::Hello(hello) if hello.addresses.len() == 1));
        let wait = CertRequest::from_json(br#"{"step":"wait","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#);
        assert!(matches!(wait.unwrap(), CertRequest::Wait(wait) if wait.nonce.0 == [0; 32]));
        for (bad, why) in [
            (&b"x"[..], "expected value"),
            (br#"{"step":"dance"}"#, "unknown variant"),
            (br#"{"step":"hello","version":1,"node_id":"a","role":"worker","addresses":["a:1"],"token_id":"0000000000000001"}"#, "no address"),
            (&vec![b' '; MAX_REQUEST + 1], "larger than"),
        ] {
            let said = CertRequest::from_json(bad).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_transcript_changes_with_every_part_of_a_request() {
        let hello = |node: &str, addresses: &[&str]| Hello {
            version: 1,
            node_id: node.parse().unwrap(),
            role: Role::Worker,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            token_id: "0000000000000001".parse().unwrap(),
        };
        let (channel, nonce) = (ChannelBinding::from_bytes([1; 32]), Nonce([2; 32]));
        let first = hello("a", &["10.0.0.1"]).transcript(&channel, &nonce, b"csr");
        let others = [
            hello("b", &["10.0.0.1"]).transcript(&channel, &nonce, b"csr"),
            hello("a", &["10.0.0.2"]).transcript(&channel, &nonce, b"csr"),
            hello("a", &["10.0.0.1", "10.0.0.2"]).transcript(&channel, &nonce, b"csr"),
            hello("a", &["10.0.0.1"]).transcript(&ChannelBinding::from_bytes([9; 32]), &nonce, b"csr"),
            hello("a", &["10.0.0.1"]).transcript(&channel, &Nonce([9; 32]), b"csr"),
            hello("a", &["10.0.0.1"]).transcript(&channel, &nonce, b"other"),
        ];
        assert!(others.iter().all(|other| *other != first));
    }
}
