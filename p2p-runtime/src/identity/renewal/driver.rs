//! The node's end of a renewal: one connection to a coordinator, one or two requests.

use std::time::Duration;

use hyper::Method;
use p2p_client::{protocol::NodeId, revocation::KeyHash, wire::PeerRef};
use rustls_pki_types::CertificateDer;

use super::{
    super::{
        IdentityError, KeyError,
        address::Host,
        http::{self, HttpConnection, Way},
        join::{LeftOut, MAX_REPLY, Refused, challenge_answer},
        responder::{ChallengeResponder, ResponderError},
    },
    PATH, RENEW_VERSION, RenewReply, RenewRequest,
};

/// How long one exchange with a coordinator may take: it calls every new address.
const STEP_TIME: Duration = Duration::from_secs(15);

/// Why a certificate was not renewed. The old one is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// There is nobody to ask.
    #[error("the certificate was not renewed: no coordinator is alive; start one, or look at `p2p nodes`")]
    NoCoordinator,
    /// The coordinator could not be asked.
    #[error("the certificate was not renewed: {coordinator} could not be asked: {reason}")]
    Unreachable {
        /// Which one.
        coordinator: NodeId,
        /// What was wrong.
        reason: String,
    },
    /// The coordinator said no.
    #[error("the certificate was not renewed: {0}")]
    Refused(#[from] Refused),
    /// What the coordinator gave is no certificate for this node.
    #[error(
        "the certificate was not renewed: what {coordinator} gave is not for this node: {reason}; look into that coordinator"
    )]
    NotOurs {
        /// Which one.
        coordinator: NodeId,
        /// What is wrong with it.
        reason: String,
    },
    /// The challenge could not be answered.
    #[error("the certificate was not renewed: {0}")]
    Responder(#[from] ResponderError),
    /// The node's own key failed.
    #[error("the certificate was not renewed: {0}")]
    Key(#[from] KeyError),
    /// It could not be kept.
    #[error("the certificate was not renewed: {0}")]
    Identity(#[from] IdentityError),
}

impl RenewError {
    /// Whether no other coordinator is to be asked after this.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.is_final())
    }
}

/// A certificate that a coordinator has given.
#[derive(Debug)]
pub struct Renewed {
    /// Leaf first, root last.
    pub chain: Vec<CertificateDer<'static>>,
    /// Claimed addresses that are not in it, each with the reason.
    pub left_out: Vec<LeftOut>,
}

/// Asks a coordinator for a new certificate for the same key, and for none if it cannot make one under the root with the key `under`. Nothing is
/// kept yet.
///
/// # Errors
/// [`RenewError`]
pub(crate) async fn renew(
    way: Way<'_>,
    coordinator: &PeerRef,
    addresses: Vec<Host>,
    under: Option<KeyHash>,
    responder: &ChallengeResponder,
) -> Result<Renewed, RenewError> {
    let failed = |reason: String| RenewError::Unreachable { coordinator: coordinator.node_id.clone(), reason };
    let opening = async { http::to_node(way, coordinator).await.map_err(&failed) };
    let http::ToNode { mut http, .. } =
        tokio::time::timeout(STEP_TIME, opening).await.unwrap_or_else(|_| Err(failed("it did not answer".into())))?;
    let mut request = RenewRequest {
        version: RENEW_VERSION,
        csr: way.identity.key().request()?,
        addresses: addresses.clone(),
        nonce: None,
        under,
    };
    let issued = match post(&mut http, &request, &failed).await? {
        RenewReply::Issued(issued) => issued,
        RenewReply::Challenge { nonce, challenge, port } => {
            let text = challenge_answer(&challenge, &way.identity.key().public());
            let busy = |address: std::net::SocketAddr| tracing::info!(%address, "waiting for the port of the challenge");
            let _answering = responder.answer(&addresses, port, &challenge, &text, &busy).await?;
            request.nonce = Some(nonce);
            match post(&mut http, &request, &failed).await? {
                RenewReply::Issued(issued) => issued,
                RenewReply::Challenge { .. } => return Err(failed("it asked for the same proof again".into())),
            }
        }
    };
    Ok(Renewed { chain: issued.chain(), left_out: issued.left_out })
}

async fn post(
    http: &mut HttpConnection,
    request: &RenewRequest,
    failed: &impl Fn(String) -> RenewError,
) -> Result<RenewReply, RenewError> {
    let body = serde_json::to_vec(request).map_err(|error| failed(error.to_string()))?;
    let exchange = http.request(Method::POST, PATH, body, MAX_REPLY);
    let response = tokio::time::timeout(STEP_TIME, exchange).await.map_err(|_| failed("it did not answer".into()))?;
    let response = response.map_err(|error| failed(error.to_string()))?;
    if response.status.is_success() {
        return serde_json::from_slice(&response.body).map_err(|error| failed(error.to_string()));
    }
    match Refused::from_body(&response.body) {
        Some(refused) => Err(refused.into()),
        None => Err(failed(format!("HTTP status {}", response.status))),
    }
}
