//! What a node and a coordinator say to renew a certificate: JSON, by `POST /internal/cert-renew`, over mutual TLS.

use p2p_client::revocation::KeyHash;
use serde::{Deserialize, Serialize};

use super::super::{
    address::Host,
    codec,
    join::{Issued, MAX_ADDRESSES, Nonce, Refused},
};

/// The version of this protocol.
pub const RENEW_VERSION: u32 = 1;
/// Where it is spoken.
pub(crate) const PATH: &str = "/internal/cert-renew";
/// The largest request that is read, in bytes.
pub(crate) const MAX_REQUEST: usize = 16 * 1024;

/// "I am the node of the certificate that I show; give me another one for the same key."
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The protocol's version, [`RENEW_VERSION`].
    pub version: u32,
    /// A certificate request (PKCS #10, DER), signed by the key of the certificate.
    #[serde(with = "codec::base64_vec")]
    pub csr: Vec<u8>,
    /// The addresses under which others can reach the node now.
    pub addresses: Vec<Host>,
    /// What [`RenewReply::Challenge`] said, once its challenge is answered.
    #[serde(default)]
    pub nonce: Option<Nonce>,
    /// The root, by its key, under which the certificate is to be: a coordinator that cannot make such a one makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<KeyHash>,
}

impl RenewRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`Refused`] says what is wrong with it.
    pub fn from_json(body: &[u8]) -> Result<Self, Refused> {
        let malformed = |what: String| Refused::Malformed { what };
        let request: Self = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        if request.version != RENEW_VERSION {
            return Err(Refused::Version { got: request.version });
        }
        if request.addresses.len() > MAX_ADDRESSES {
            return Err(malformed(format!("it claims {} addresses; claim at most {MAX_ADDRESSES}", request.addresses.len())));
        }
        Ok(request)
    }
}

/// The coordinator's answer when all is well.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum RenewReply {
    /// Some addresses are new: answer this challenge there, and ask again.
    Challenge {
        /// To be sent back.
        nonce: Nonce,
        /// The last part of the path that the coordinator will ask for.
        challenge: String,
        /// The port where it will ask.
        port: u16,
    },
    /// The certificate.
    Issued(Issued),
}

/// Writes what came of a request, as an HTTP status and a JSON body.
pub(crate) fn encode_reply(outcome: &Result<RenewReply, Refused>) -> (u16, Vec<u8>) {
    let (status, body) = match outcome {
        Ok(reply) => (200, serde_json::to_vec(reply)),
        Err(refused) => (refused.status(), serde_json::to_vec(&refused.to_body())),
    };
    // These types have no maps with odd keys and no failing serialisers, so that this cannot happen.
    body.map_or((500, Vec::new()), |body| (status, body))
}
