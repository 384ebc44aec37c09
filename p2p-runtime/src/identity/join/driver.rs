//! Drives a [`Joiner`] over a network: connects, says hello, answers the challenge, proves, and takes the certificate.

use std::{sync::Arc, time::Duration};

use hyper::{Method, StatusCode};
use p2p_client::{
    call::RetryAfter,
    protocol::{ClusterId, NodeId, Role, RpcError, UnixMillis},
    wire::{
        net::Network,
        tls::{ALPN_HTTP1, ChannelBinding, ClientTls, Expect, RootKeyHash, TlsMaterial, peer_identity, verify_coordinator},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::{Instant, sleep};

use super::{
    CertReply, CertRequest, Issued, JoinError, JoinEvent, Joiner, LeftOut, Nonce, Refused, Seed, Wait, Waiting,
    checks::{Check, bound},
    following::join_at_the_maker,
    messages::{MAX_REPLY, challenge_answer},
};
use crate::identity::{
    address::Host,
    http::{HttpConnection, HttpError, Response},
    key::{KeyError, NodeKey, PublicKey},
    node::NodeIdentity,
    responder::ChallengeResponder,
    token::JoinToken,
};

/// The path that join requests go to.
const PATH: &str = "/internal/cert-request";
/// How long the coordinator may take for one step; it calls back within that time.
const STEP_TIME: Duration = Duration::from_secs(15);
/// How long a node waits, in all, for a coordinator that takes no more requests from its address: others at the same address may be joining as well.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest single wait: the coordinator closes a connection on which nothing comes.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// From which difference on the clocks are reported.
const SKEW_MS: u64 = 5 * 60 * 1000;

/// What a node wants to join as.
pub struct JoinOptions {
    /// Its name for life; without one it gets `worker-xxxxxx`, where the letters are its key's, so that it asks for the same name when it
    /// has to ask again.
    pub node_id: Option<NodeId>,
    /// Its role, which must be the token's.
    pub role: Role,
    /// The addresses under which others reach it.
    pub addresses: Vec<Host>,
    /// Its key, from [`NodeKey::load_or_create`]; without one a fresh key is made.
    pub key: Option<NodeKey>,
    /// What answers the challenge; nodes in one process share it.
    pub responder: ChallengeResponder,
    /// Is told what happens, for people to read.
    pub progress: Arc<dyn Fn(JoinEvent) + Send + Sync>,
    /// The cluster that it belongs to already, where it joins again: it asks no other.
    pub cluster: Option<ClusterId>,
}

/// What a node has after joining.
#[derive(Debug)]
pub struct Joined {
    /// Its identity; save it in the store.
    pub identity: NodeIdentity,
    /// Where it finds the cluster.
    pub seed: Seed,
    /// Claimed addresses that were not proved.
    pub left_out: Vec<LeftOut>,
}

/// A random node id, such as `worker-k3x7ap`.
///
/// # Errors
/// There is no randomness.
pub fn random_node_id(role: Role) -> Result<NodeId, KeyError> {
    let mut bytes = [0; 6];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Generate("the system gave no random bytes".into()))?;
    named(role, &bytes)
}

/// The name of a node that chose none: a random one as its key is random.
fn node_id_of(role: Role, key: &PublicKey) -> Result<NodeId, KeyError> {
    named(role, key.thumbprint().as_bytes())
}

/// The role and a letter for each of the first six bytes.
fn named(role: Role, bytes: &[u8]) -> Result<NodeId, KeyError> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let name: String = bytes.iter().take(6).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    NodeId::new(&format!("{role}-{name}")).map_err(|e| KeyError::Generate(e.to_string()))
}

/// Joins the cluster of the coordinator at `authority` (`host:port`) with this token. Where an operator has to approve that, it waits. Where
/// another coordinator made the token, it joins there.
///
/// Nothing is stored: save the identity that comes back. When the answer is lost on the way, or the wait was interrupted, joining again
/// with the same key and token gets the certificate without using the token a second time.
///
/// # Errors
/// [`JoinError`] says at which step it failed and what to do.
pub async fn join(
    network: Arc<dyn Network>,
    authority: &str,
    token: JoinToken,
    options: JoinOptions,
) -> Result<Joined, JoinError> {
    let JoinOptions { node_id, role, addresses, key, responder, progress, cluster } = options;
    let key = key.map_or_else(NodeKey::generate, Ok)?;
    let node_id = node_id.map_or_else(|| node_id_of(role, &key.public()), Ok)?;
    let root = token.root();
    let joiner = Joiner::new(token, node_id, role, addresses, key)?;
    let mut approach = Approach { network, authority: authority.to_owned(), root, cluster, joiner, responder, progress };
    let issued = join_at_the_maker(&mut approach).await?;
    let identity = approach.joiner.finish(&issued)?;
    (approach.progress)(JoinEvent::Issued { left_out: issued.left_out.clone() });
    Ok(Joined { identity, seed: issued.coordinator, left_out: issued.left_out })
}

/// A node, and the coordinator that it joins at.
pub(super) struct Approach {
    network: Arc<dyn Network>,
    pub(super) authority: String,
    root: RootKeyHash,
    /// The only cluster that the node will join.
    cluster: Option<ClusterId>,
    pub(super) joiner: Joiner,
    responder: ChallengeResponder,
    pub(super) progress: Arc<dyn Fn(JoinEvent) + Send + Sync>,
}

/// What an attempt to join came to.
pub(super) enum Heard {
    /// The certificate.
    Issued(Box<Issued>),
    /// An operator has to approve it.
    OnHold(Box<OnHold>),
}

/// A connection to a coordinator.
struct Connection {
    http: HttpConnection,
    channel: ChannelBinding,
    /// What the coordinator has shown: its own certificate first.
    chain: Vec<CertificateDer<'static>>,
}

/// The connection on which a node has proved itself, and waits.
pub(super) struct OnHold {
    http: HttpConnection,
    nonce: Nonce,
    pub(super) told: Waiting,
}

impl Approach {
    /// Joins, as far as that goes without an operator. Only a first attempt tells of its steps.
    pub(super) async fn attempt(&self, is_first: bool) -> Result<Heard, JoinError> {
        let Self { authority, joiner, responder, progress, .. } = self;
        let tell = |event| {
            if is_first {
                progress(event);
            }
        };
        tell(JoinEvent::Connecting { authority: authority.clone() });
        let Connection { mut http, channel, chain } = self.connect().await?;
        tell(JoinEvent::Verified { node_id: joiner.hello().node_id.clone() });

        let hello = CertRequest::Hello(joiner.hello().clone());
        let CertReply::Hello(hello) = post(&mut http, authority, &hello, &**progress).await? else {
            return Err(answer(authority, "it skipped a step"));
        };
        if let Some(ahead_s) = skew(UnixMillis::now(), hello.clock) {
            tell(JoinEvent::ClockSkew { ahead_s });
        }
        self.verify_at(hello.clock, &chain)?;
        let text = challenge_answer(&hello.challenge, &joiner.key().public());
        let busy = |addr: std::net::SocketAddr| progress(JoinEvent::WaitingForPort { port: addr.port() });
        let answering = responder.answer(&joiner.hello().addresses, hello.port, &hello.challenge, &text, &busy).await?;
        tell(JoinEvent::Answering { port: hello.port });

        let prove = CertRequest::Prove(joiner.prove(&channel, &hello)?);
        let reply = post(&mut http, authority, &prove, &**progress).await?;
        drop(answering);
        match reply {
            CertReply::Issued(issued) => Ok(Heard::Issued(Box::new(issued))),
            CertReply::Waiting(told) => Ok(Heard::OnHold(Box::new(OnHold { http, nonce: hello.nonce, told }))),
            CertReply::Hello(_) => Err(answer(authority, "it went back a step")),
        }
    }

    /// Checks that the coordinator's certificate is valid by the coordinator's own clock, before anything is proved to it. This machine's clock is not
    /// asked: where it is wrong, that was told, and it is no fault of the certificate.
    fn verify_at(&self, clock: UnixMillis, chain: &[CertificateDer<'_>]) -> Result<(), JoinError> {
        let clock = bound(Check::ToldClock, clock, UnixMillis::now());
        let (now, algorithms) = (UnixTime::since_unix_epoch(Duration::from_millis(clock.0)), TlsMaterial::empty().algorithms());
        let verified = verify_coordinator(self.root, chain, now, &algorithms);
        verified.map(drop).map_err(|source| JoinError::Tls { authority: self.authority.clone(), source })
    }

    /// A connection to the coordinator that has the root key which the token names.
    async fn connect(&self) -> Result<Connection, JoinError> {
        let authority = &*self.authority;
        let connect = async {
            self.network.connect(authority).await.map_err(|source| JoinError::Connect { authority: authority.to_owned(), source })
        };
        let stream = within(authority, connect).await?;
        let tls_error = |source| JoinError::Tls { authority: authority.to_owned(), source };
        let tls = ClientTls::new(TlsMaterial::empty());
        let stream = tls.connect(stream, Expect::PinnedRoot(self.root), &[ALPN_HTTP1]).await.map_err(tls_error)?;
        if let Some(ours) = &self.cluster {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let theirs = shown.map(peer_identity).transpose().map_err(tls_error)?.map(|peer| peer.cluster);
            if theirs.as_ref() != Some(ours) {
                return Err(JoinError::OtherCluster { ours: ours.clone() });
            }
        }
        let channel = ChannelBinding::of_client(&stream).map_err(tls_error)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let http = HttpConnection::open(stream, authority).await.map_err(|e| failed(authority, e))?;
        Ok(Connection { http, channel, chain })
    }

    /// Asks whether an operator has decided. The coordinator takes its time to answer that nobody has.
    pub(super) async fn ask(&self, on_hold: &mut OnHold) -> Result<Waiting, JoinError> {
        let wait = CertRequest::Wait(Wait { nonce: on_hold.nonce });
        match post(&mut on_hold.http, &self.authority, &wait, &*self.progress).await? {
            CertReply::Waiting(told) => Ok(told),
            _ => Err(answer(&self.authority, "it skipped a step")),
        }
    }
}

async fn post(
    http: &mut HttpConnection,
    authority: &str,
    message: &CertRequest,
    progress: &(dyn Fn(JoinEvent) + Send + Sync),
) -> Result<CertReply, JoinError> {
    let body = serde_json::to_vec(message).map_err(|e| answer(authority, e))?;
    let give_up = Instant::now() + PATIENCE;
    let response = loop {
        let sent = async { http.request(Method::POST, PATH, body.clone(), MAX_REPLY).await.map_err(|e| failed(authority, e)) };
        let response = within(authority, sent).await?;
        let Some(wait) = told_to_wait(&response) else { break response };
        if wait > LONGEST_WAIT || Instant::now() + wait > give_up {
            let text = format!("it takes no more requests from this address for now; join again in {} s", wait.as_secs() + 1);
            return Err(answer(authority, text));
        }
        progress(JoinEvent::WaitingForTurn { wait });
        sleep(wait).await;
    };
    if response.status.is_success() {
        return serde_json::from_slice(&response.body).map_err(|e| answer(authority, e));
    }
    match Refused::from_body(&response.body) {
        Some(refused) => Err(JoinError::Refused(refused)),
        None => Err(answer(authority, format_args!("HTTP status {}", response.status))),
    }
}

/// For how long, if the coordinator takes no more requests from this address for now.
fn told_to_wait(response: &Response) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Told {
        error: RpcError,
    }
    if response.status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let told: Told = serde_json::from_slice(&response.body).ok()?;
    RetryAfter::of(&told.error)
}

async fn within<T>(authority: &str, step: impl Future<Output = Result<T, JoinError>>) -> Result<T, JoinError> {
    let late = || JoinError::Timeout { authority: authority.to_owned(), after: STEP_TIME };
    tokio::time::timeout(STEP_TIME, step).await.unwrap_or_else(|_| Err(late()))
}

fn failed(authority: &str, error: HttpError) -> JoinError {
    match error {
        HttpError::BrokenOff(reason) => JoinError::BrokenOff { authority: authority.to_owned(), reason },
        HttpError::Other(reason) => answer(authority, reason),
    }
}

fn answer(authority: &str, reason: impl std::fmt::Display) -> JoinError {
    JoinError::Answer { authority: authority.to_owned(), reason: reason.to_string() }
}

/// How far this clock is ahead of the coordinator's, in seconds, if that is worth a word.
fn skew(here: UnixMillis, there: UnixMillis) -> Option<i64> {
    let ahead_ms = i64::try_from(here.0).ok()? - i64::try_from(there.0).ok()?;
    (ahead_ms.unsigned_abs() > SKEW_MS).then_some(ahead_ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_reported_only_when_they_differ_by_more_than_five_minutes() {
        let there = UnixMillis(1_000_000_000_000);
        assert_eq!(skew(UnixMillis(there.0 + 300_000), there), None);
        assert_eq!(skew(UnixMillis(there.0 + 301_000), there), Some(301));
        assert_eq!(skew(UnixMillis(there.0 - 3_600_000), there), Some(-3600));
    }

    #[test]
    fn a_random_name_is_a_node_id_with_the_role_in_front() {
        let (a, b) = (random_node_id(Role::Worker).unwrap(), random_node_id(Role::Worker).unwrap());
        assert!(a.as_str().starts_with("worker-") && a.as_str().len() == 13 && a != b, "{a} {b}");
    }

    #[test]
    fn a_node_without_a_name_has_its_keys() {
        let (one, other) = (NodeKey::generate().unwrap().public(), NodeKey::generate().unwrap().public());
        let name = |key| node_id_of(Role::Worker, key).unwrap();
        assert!(name(&one).as_str().starts_with("worker-") && name(&one).as_str().len() == 13);
        assert!(name(&one) == name(&one) && name(&one) != name(&other));
    }
}
