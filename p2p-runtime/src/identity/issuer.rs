//! The coordinator's end of joining: makes tokens, answers join requests, and keeps what it gave out.
//!
//! Data flows so: request → [`Desk`] (who proved what) → limits of the token, binding of the node id → challenge of every
//! address → certificate, with the token's use and the node's binding as one durable write. The limits are looked at
//! twice, before anybody is called and again at the write, where one lock makes sure that a token used twice at once
//! lets in one.

mod authority;
mod renewing;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{KeyHash, Reason, RevocationSet, Subject},
    wire::tls::ChannelBinding,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    address::Host,
    ca::{CaError, CertificateHash, IssuingCa, NodeNames, RootCa},
    challenge::{self, CHALLENGE_PORT, ChallengeFetcher, Question},
    error::IdentityError,
    join::{Candidate, CertReply, CertRequest, Desk, Issued, LeftOut, Refused, Seed},
    key::{KeyThumbprint, NodeKey},
    revocation::{Ledger, RevokeError},
    token::{JoinToken, TokenId},
    token_table::{TokenOptions, TokenRecord, TokenRefused, TokenTable},
    vault::{Change, Vault, VaultError, json},
};

/// Where the root's key stands, on coordinators that hold it.
pub(super) const ROOT_KEY: &str = "ca/root.key";
/// Where the key of the root that is to come after it stands, while the root is being changed.
pub(super) const NEXT_ROOT_KEY: &str = "ca/next-root.key";
pub(super) const ISSUING_KEY: &str = "ca/issuing.key";
pub(super) const ISSUING_CERT: &str = "ca/issuing.cert";
/// Where the tokens stand in the store.
pub(crate) const TOKENS: &str = "ca/tokens.json";
const NODES: &str = "ca/nodes/";

/// Where an issuer takes the time from.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Where an issuer takes from what it tells new nodes of itself.
pub type SeedSource = Arc<dyn Fn() -> Seed + Send + Sync>;

/// What an issuer needs besides its authority.
pub struct IssuerOptions {
    /// Where a new node finds this coordinator. Asked at each join, as the port is known only once the coordinator listens.
    pub seed: SeedSource,
    /// The addresses that this coordinator tells others; loopback is proved only if one of these is loopback.
    pub advertised: Vec<Host>,
    /// How it calls joining nodes.
    pub fetcher: Arc<dyn ChallengeFetcher>,
    /// The port on which it calls them.
    pub challenge_port: u16,
    /// The time.
    pub clock: Clock,
}

impl IssuerOptions {
    /// The usual options: port 8802, this machine's clock.
    pub fn new(seed: Seed, advertised: Vec<Host>, fetcher: Arc<dyn ChallengeFetcher>) -> Self {
        let seed: SeedSource = Arc::new(move || seed.clone());
        Self { seed, advertised, fetcher, challenge_port: CHALLENGE_PORT, clock: Arc::new(UnixMillis::now) }
    }

    /// The same options, with a seed that is asked for at each join.
    #[must_use]
    pub fn with_seed(mut self, seed: impl Fn() -> Seed + Send + Sync + 'static) -> Self {
        self.seed = Arc::new(seed);
        self
    }
}

/// A node that has a certificate: its id belongs to this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedNode {
    /// The node.
    pub node_id: NodeId,
    /// Its role.
    pub role: Role,
    /// The key that its id is bound to.
    pub key: KeyThumbprint,
    /// The token that it joined with; the first coordinator has none.
    pub token: Option<TokenId>,
    /// When it got its last certificate.
    pub issued: UnixMillis,
    /// That certificate.
    #[serde(default)]
    pub certificate: Option<CertificateHash>,
    /// The one before it.
    #[serde(default)]
    pub previous: Option<CertificateHash>,
    /// The key of the root under which the last one was made.
    #[serde(default)]
    pub root: Option<KeyHash>,
    /// Whether it has left for good since.
    #[serde(default)]
    pub has_left: bool,
}

/// A coordinator's power to let nodes in. Clones share it.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    /// None until a coordinator that joined has been given its own.
    ca: ArcSwapOption<IssuingCa>,
    vault: Arc<dyn Vault>,
    ledger: Ledger,
    options: IssuerOptions,
    /// Read without waiting for the disk; replaced only by who holds `writing`.
    tokens: ArcSwap<TokenTable>,
    /// Held from the decision through the durable write, so that both are one.
    writing: Mutex<()>,
    desk: Mutex<Desk>,
    renewals: Mutex<renewing::Waiting>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("roots", self.0.ledger.roots()).finish_non_exhaustive()
    }
}

/// What these locks guard changes by single insertions and removals, so that a panic leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Issuer {
    /// Takes the authority and the tokens from a coordinator's store; `None` where there is no authority.
    ///
    /// # Errors
    /// The store fails, or what it holds does not belong together.
    pub fn load(vault: Arc<dyn Vault>, ledger: Ledger, options: IssuerOptions) -> Result<Option<Self>, IdentityError> {
        let this = Self::open(vault, ledger, options)?;
        Ok(this.0.ca.load().is_some().then_some(this))
    }

    /// The same for a coordinator that may not have its authority yet: until it [has](Self::adopt_authority), it refuses.
    ///
    /// # Errors
    /// The store fails, or what it holds does not belong together.
    pub fn open(vault: Arc<dyn Vault>, ledger: Ledger, options: IssuerOptions) -> Result<Self, IdentityError> {
        let ca = match (vault.get(ISSUING_KEY)?, vault.get(ISSUING_CERT)?) {
            (Some(key), Some(cert)) => {
                let (key, cert) = (NodeKey::from_pkcs8(&key)?, CertificateDer::from(cert.to_vec()));
                Some(Arc::new(IssuingCa::from_parts(key, cert, ledger.roots().known().wanted().clone())?))
            }
            _ => None,
        };
        let tokens = match vault.get(TOKENS)? {
            Some(stored) => serde_json::from_slice(&stored).map_err(|error| unreadable_tokens(&error))?,
            None => TokenTable::default(),
        };
        Ok(Self(Arc::new(Inner {
            ca: ArcSwapOption::new(ca),
            vault,
            ledger,
            options,
            tokens: ArcSwap::from_pointee(tokens),
            writing: Mutex::default(),
            desk: Mutex::default(),
            renewals: Mutex::default(),
        })))
    }

    /// Makes a join token. It is durable when this returns; its secret exists only in the result.
    ///
    /// # Errors
    /// There is no randomness, or the store fails.
    pub async fn create_token(&self, options: TokenOptions) -> Result<JoinToken, IdentityError> {
        self.blocking(move |inner| {
            let token_error = |e: super::token::TokenKeyError| IdentityError::Key(super::key::KeyError::Generate(e.to_string()));
            inner.ca(None).map_err(|_| IdentityError::NoAuthority)?;
            let token = JoinToken::generate(inner.ledger.roots().current().key_hash()).map_err(token_error)?;
            let _writing = lock(&inner.writing);
            let mut next = TokenTable::clone(&inner.tokens.load());
            next.create(&token, options, inner.now()).map_err(token_error)?;
            inner.vault.update(vec![tokens_change(&next)?])?;
            inner.tokens.store(Arc::new(next));
            Ok(token)
        })
        .await
        .unwrap_or_else(|stopped| Err(stopped.into()))
    }

    /// Takes a token back, whichever coordinator made it. False when it was taken back before.
    ///
    /// # Errors
    /// [`RevokeError`]; the token then still works.
    pub async fn revoke_token(&self, id: TokenId, reason: Reason) -> Result<bool, RevokeError> {
        let expires = self.0.tokens.load().get(id).map(|record| record.expires);
        let made = self.0.ledger.revoke(vec![Subject::JoinToken { id: id.to_string(), expires }], reason).await?;
        Ok(!made.is_empty())
    }

    /// The tokens that are remembered, in the order of their ids.
    pub fn tokens(&self) -> Vec<TokenRecord> {
        let set = self.0.ledger.revocations().set();
        let is_revoked = |record: &TokenRecord| record.revoked || set.is_join_token_revoked(&record.id.to_string());
        let tokens = self.0.tokens.load();
        tokens.list().map(|record| TokenRecord { revoked: is_revoked(record), ..record.clone() }).collect()
    }

    /// What is known of a node that this coordinator has let in.
    ///
    /// # Errors
    /// The store fails, or its record is damaged.
    pub fn issued(&self, node_id: &NodeId) -> Result<Option<IssuedNode>, Refused> {
        self.0.bound(node_id)
    }

    /// Answers one join request that came over the connection with this binding, from this address.
    ///
    /// Once a token is spent, the certificate is made even if the caller hangs up; it can ask again with the same key.
    ///
    /// # Errors
    /// Why the node is not let in. Refusals that only a holder of the token can cause are logged with its id.
    pub async fn handle(&self, request: CertRequest, channel: ChannelBinding, remote: SocketAddr) -> Result<CertReply, Refused> {
        let now = (self.0.options.clock)();
        match request {
            CertRequest::Hello(hello) => {
                let port = self.0.options.challenge_port;
                lock(&self.0.desk).hello(hello, channel, remote.ip(), port, now).map(CertReply::Hello)
            }
            CertRequest::Prove(prove) => {
                let candidate = lock(&self.0.desk).prove(&prove, &channel, &self.0.tokens.load(), now);
                let outcome = match candidate {
                    Ok(candidate) => self.enrol(candidate).await,
                    Err(refused) => Err(refused),
                };
                if let Err(refused) = &outcome {
                    tracing::warn!(%remote, %refused, "refused to let a node join");
                }
                outcome.map(CertReply::Issued)
            }
        }
    }

    async fn enrol(&self, candidate: Candidate) -> Result<Issued, Refused> {
        let candidate = Arc::new(candidate);
        let first = candidate.clone();
        self.blocking(move |inner| inner.admit(&first).map(drop)).await.unwrap_or_else(|e| Err(e.into()))?;

        let options = &self.0.options;
        let question = Question {
            challenge: &candidate.challenge,
            answer: &super::join::challenge_answer(&candidate.challenge, &candidate.key),
            port: options.challenge_port,
            loopback: options.advertised.iter().any(Host::is_loopback),
        };
        let (proved, left_out) = challenge::prove(&*options.fetcher, &candidate.addresses, question).await;
        if proved.is_empty() {
            return Err(Refused::NoAddressProved { port: options.challenge_port, tried: left_out });
        }
        self.blocking(move |inner| inner.issue(&candidate, &proved, left_out)).await.unwrap_or_else(|e| Err(e.into()))
    }

    /// Runs what blocks on the disk where it may. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Result<T, VaultError> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(VaultError::new)
    }
}

/// How a candidate is let in.
struct Admission {
    /// It takes a use of its token.
    spends: bool,
    /// It was revoked, and that ends for its new key.
    readmits: bool,
}

impl Inner {
    /// Now, and later than everything that is known to be revoked, whatever the clocks of other coordinators say.
    fn now(&self) -> UnixMillis {
        let after = self.ledger.revocations().set().latest().map_or(0, |latest| latest.0.saturating_add(1));
        UnixMillis((self.options.clock)().0.max(after))
    }

    /// Whether and how this candidate is let in. A node that has its certificate by this token and this key asks again,
    /// because the answer was lost: that takes no use of its token.
    fn admit(&self, candidate: &Candidate) -> Result<Admission, Refused> {
        let (key, node_id) = (candidate.key.thumbprint(), &candidate.node_id);
        let set = self.ledger.revocations().set();
        if set.is_key_revoked(&key.into()) {
            return Err(Refused::KeyRevoked { node_id: node_id.clone() });
        }
        if set.is_join_token_revoked(&candidate.token.to_string()) {
            return Err(TokenRefused::Revoked.into());
        }
        let bound = self.bound(node_id)?;
        let again = bound.as_ref().is_some_and(|node| node.token == Some(candidate.token) && node.role == candidate.role);
        // Another coordinator may have let a node of this name in; then it is known by what it says of itself.
        let is_seen = || self.ledger.roots().key_seen(node_id).map(|seen| seen == key.into());
        let is_bound = bound.map(|node| node.key == key).or_else(is_seen);
        let readmits = self.readmits(candidate, &set, is_bound == Some(true))?;
        if is_bound == Some(false) && !readmits {
            return Err(Refused::NodeBound { node_id: node_id.clone() });
        }
        match self.tokens.load().authorise(candidate.token, candidate.role, node_id, (self.options.clock)()) {
            Ok(_) => Ok(Admission { spends: !again || readmits, readmits }),
            Err(TokenRefused::Used) if again && !readmits => Ok(Admission { spends: false, readmits }),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Whether this candidate is a revoked node that an operator lets in again: by a token that was made for it by name after it
    /// was revoked, and with another key.
    fn readmits(&self, candidate: &Candidate, set: &RevocationSet, has_old_key: bool) -> Result<bool, Refused> {
        let node_id = &candidate.node_id;
        let Some(revoked_at) = set.revoked_at(node_id) else { return Ok(false) };
        let tokens = self.tokens.load();
        let token = tokens.get(candidate.token);
        if !token.is_some_and(|token| token.node_id.as_ref() == Some(node_id) && token.created > revoked_at) {
            return Err(Refused::NodeRevoked { node_id: node_id.clone() });
        }
        if has_old_key { Err(Refused::KeyRevoked { node_id: node_id.clone() }) } else { Ok(true) }
    }

    fn bound(&self, node_id: &NodeId) -> Result<Option<IssuedNode>, Refused> {
        let Some(stored) = self.vault.get(&format!("{NODES}{node_id}.json"))? else { return Ok(None) };
        serde_json::from_slice(&stored).map(Some).map_err(|e| {
            tracing::error!(%node_id, error = %e, "the record of this node is damaged");
            Refused::Unavailable { reason: "a damaged record".into() }
        })
    }

    /// Issues the certificate. The use of the token and the binding of the node id are one durable write, before which
    /// the certificate exists nowhere but here.
    fn issue(&self, candidate: &Candidate, proved: &[Host], left_out: Vec<LeftOut>) -> Result<Issued, Refused> {
        let writing = lock(&self.writing);
        let mut next = TokenTable::clone(&self.tokens.load());
        let Admission { spends, readmits } = self.admit(candidate)?;
        if spends {
            next.spend(candidate.token);
        }
        let clock = (self.options.clock)();
        let names = NodeNames { node_id: &candidate.node_id, role: candidate.role, addresses: proved };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(clock.0));
        let (chain, root) = self.certify(&candidate.key, &names, now, None)?;
        let record = IssuedNode {
            node_id: candidate.node_id.clone(),
            role: candidate.role,
            key: candidate.key.thumbprint(),
            token: Some(candidate.token),
            issued: clock,
            certificate: chain.first().map(CertificateHash::of),
            previous: None,
            root: Some(root),
            has_left: false,
        };
        let mut changes = vec![tokens_change(&next)?, node_change(&record)?];
        let mut readmission = None;
        if readmits {
            let prepared = self.ledger.prepare_readmission(record.node_id.clone(), record.key.into())?;
            changes.push(prepared.change()?);
            readmission = Some(prepared);
        }
        self.vault.update(changes)?;
        self.tokens.store(Arc::new(next));
        if let Some(readmission) = readmission {
            self.ledger.take_effect(readmission).map_err(RevokeError::from)?;
        }
        drop(writing);
        tracing::info!(node_id = %record.node_id, role = %record.role, token = %candidate.token, "let a node join");
        Ok(Issued::new(&chain, self.ledger.roots().current().cluster().clone(), (self.options.seed)(), left_out, clock))
    }
}

impl From<VaultError> for Refused {
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "a join failed at the store");
        Self::Unavailable { reason: "its store failed".into() }
    }
}

impl From<RevokeError> for Refused {
    fn from(error: RevokeError) -> Self {
        tracing::error!(%error, "a join failed as the node could not be readmitted");
        Self::Unavailable { reason: "it could not sign that the node is let in again".into() }
    }
}

impl From<CaError> for Refused {
    fn from(error: CaError) -> Self {
        tracing::error!(%error, "a join failed at the authority");
        Self::Unavailable { reason: "its authority failed".into() }
    }
}

/// What a new cluster's authority leaves in the store.
pub(super) fn authority_changes(root: &RootCa, issuing: &IssuingCa) -> [Change; 3] {
    [
        Change::Put(ROOT_KEY.into(), root.key().to_pkcs8()),
        Change::Put(ISSUING_KEY.into(), issuing.key().to_pkcs8()),
        Change::Put(ISSUING_CERT.into(), issuing.certificate().to_vec().into()),
    ]
}

pub(super) fn tokens_change(tokens: &TokenTable) -> Result<Change, VaultError> {
    Ok(Change::Put(TOKENS.into(), json(tokens)?))
}

/// The token table of a store that goes back in time, with its open tokens taken back, and how many there were.
pub(crate) fn void_open_tokens(stored: &[u8], now: UnixMillis) -> Result<(zeroize::Zeroizing<Vec<u8>>, usize), IdentityError> {
    let mut tokens: TokenTable = serde_json::from_slice(stored).map_err(|error| unreadable_tokens(&error))?;
    let voided = tokens.void_open(now);
    Ok((json(&tokens)?, voided))
}

fn unreadable_tokens(error: &serde_json::Error) -> IdentityError {
    IdentityError::Damaged(format!("the token table: {error}"))
}

pub(super) fn node_change(node: &IssuedNode) -> Result<Change, VaultError> {
    Ok(Change::Put(format!("{NODES}{}.json", node.node_id), json(node)?))
}
