//! The coordinator's end of joining: makes tokens, answers join requests, and keeps what it gave out.
//!
//! Data flows so: request → [`Desk`] (who proved what) → limits of the token, binding of the node id here and at the other coordinators (`records`) →
//! challenge of every address → certificate, with the token's use and the node's binding as one durable write. The limits are looked at
//! twice, before anybody is called and again at the write, where one lock makes sure that a token used twice at once
//! lets in one. Where the token asks for an operator's approval, the write notes a request instead (`approving`), until the node of an
//! approved one asks again.

mod admitting;
mod approving;
mod authority;
mod certified;
mod in_time;
mod records;
mod renewing;
mod searched;
mod seen;
mod told;
mod turns;

pub use self::{
    authority::Authority,
    records::{NoOthers, NotedElsewhere, OtherCoordinators},
};
pub(crate) use self::{
    authority::{Voided, VoidedOne, let_in_coordinators},
    certified::certified,
    in_time::Arrival,
};

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{KeyHash, Reason, Subject},
    wire::tls::ChannelBinding,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::records::Records;
use super::{
    address::Host,
    approval::Approvals,
    ca::{CaError, CertificateHash, IssuingCa, RootCa},
    challenge::{self, CHALLENGE_PORT, ChallengeFetcher, Question},
    checks::carried,
    error::IdentityError,
    join::{Applicant, Candidate, CertReply, CertRequest, Desk, Prove, Refused, Seed, Wait},
    key::{KeyThumbprint, NodeKey},
    revocation::{Ledger, RevokeError},
    rotation::GrantedAuthority,
    token::{JoinToken, TokenId},
    token_table::{TokenOptions, TokenRecord, TokenTable},
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
pub(super) const NODES: &str = "ca/nodes/";

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
    /// How it asks the other coordinators of the cluster.
    pub others: Arc<dyn OtherCoordinators>,
    /// The port on which it calls them.
    pub challenge_port: u16,
    /// The time.
    pub clock: Clock,
}

impl IssuerOptions {
    /// The usual options: port 8802, this machine's clock, no other coordinators.
    pub fn new(seed: Seed, advertised: Vec<Host>, fetcher: Arc<dyn ChallengeFetcher>) -> Self {
        let seed: SeedSource = Arc::new(move || seed.clone());
        let (others, clock) = (Arc::new(NoOthers), Arc::new(UnixMillis::now));
        Self { seed, advertised, fetcher, others, challenge_port: CHALLENGE_PORT, clock }
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
    /// When it got its last certificate, and later than every record of it that was known then: by this, the last one is found.
    pub issued: UnixMillis,
    /// When that was by the clock of the coordinator that noted it, where `issued` had to be later than a record whose own day has not come yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<UnixMillis>,
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
    /// The authorities, by their keys, on which it stood whenever it was renewed here: whoever held one of these keys may have made it. Of renewals
    /// before this was noted nothing is known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stood_on: BTreeSet<KeyHash>,
}

impl IssuedNode {
    /// When it was noted, by the clock of the coordinator that has done it, or somewhat later where those of others are ahead.
    pub fn written(&self) -> UnixMillis {
        self.written.unwrap_or(self.issued)
    }
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
    /// Read and replaced in the same way.
    approvals: ArcSwap<Approvals>,
    /// Says that something was decided.
    decided: watch::Sender<()>,
    /// Held from the decision through the durable write, so that both are one.
    writing: Mutex<()>,
    desk: Mutex<Desk>,
    renewals: Mutex<renewing::Waiting>,
    /// Of the nodes that are being renewed.
    turns: turns::Turns,
    /// Of whom operators were told.
    told: told::Told,
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
        let approvals = approving::load(&*vault)?;
        Ok(Self(Arc::new(Inner {
            ca: ArcSwapOption::new(ca),
            vault,
            ledger,
            options,
            tokens: ArcSwap::from_pointee(tokens),
            approvals: ArcSwap::from_pointee(approvals),
            decided: watch::Sender::default(),
            writing: Mutex::default(),
            desk: Mutex::default(),
            renewals: Mutex::default(),
            turns: turns::Turns::default(),
            told: told::Told::default(),
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

    /// Whether this coordinator made the token, and remembers it; also where it lets nobody in any more.
    pub(crate) fn knows_token(&self, id: TokenId) -> bool {
        self.0.tokens.load().get(id).is_some()
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
    /// Once a token is spent, the certificate is made even if the caller hangs up; it can ask again with the same key. It is not spent once the caller has
    /// given up.
    ///
    /// # Errors
    /// Why the node is not let in.
    pub async fn handle(&self, request: CertRequest, channel: ChannelBinding, remote: SocketAddr) -> Result<CertReply, Refused> {
        self.answer(request, channel, remote).await.outcome
    }

    /// The same, with who asked.
    pub async fn answer(&self, request: CertRequest, channel: ChannelBinding, remote: SocketAddr) -> Answered {
        match request {
            CertRequest::Hello(hello) => {
                let (now, port) = ((self.0.options.clock)(), self.0.options.challenge_port);
                let node_id = Some(hello.node_id.clone());
                let tokens = self.0.tokens.load();
                let allowed = tokens.admits(hello.token_id, remote.ip(), &hello.addresses).map_err(Refused::from);
                let outcome = allowed.and_then(|()| lock(&self.0.desk).hello(hello, channel, remote.ip(), port, &tokens, now));
                Answered { node_id, outcome: outcome.map(CertReply::Hello) }
            }
            CertRequest::Prove(prove) => {
                let node_id = lock(&self.0.desk).claims(&prove.nonce);
                let outcome = self.take_proof(&prove, channel, remote.ip()).await;
                if let Err(refused) = &outcome {
                    // Anybody can bring this about, as often as they like. Operators find it in the audit log, which is bounded.
                    tracing::debug!(%remote, %refused, "refused to let a node join");
                }
                Answered { node_id, outcome }
            }
            CertRequest::Wait(wait) => self.answer_waiting(&wait, &channel).await,
        }
    }

    async fn take_proof(&self, prove: &Prove, channel: ChannelBinding, from: IpAddr) -> Result<CertReply, Refused> {
        let arrived = Arrival::now();
        let (now, tokens) = ((self.0.options.clock)(), self.0.tokens.load_full());
        let candidate = lock(&self.0.desk).prove(prove, &channel, &tokens, now)?;
        // Once more, by what is proved: the hello is only said.
        tokens.admits(candidate.token, from, &candidate.addresses)?;
        let who =
            Applicant { node_id: candidate.node_id.clone(), key: candidate.key.thumbprint().into(), token: candidate.token };
        let reply = self.enrol(candidate, arrived).await?;
        if matches!(reply, CertReply::Waiting(_)) {
            lock(&self.0.desk).let_wait(prove.nonce, channel, who, now);
        }
        Ok(reply)
    }

    /// A node asks every few seconds; that it waits was told before, and who it is counts where it is refused.
    async fn answer_waiting(&self, wait: &Wait, channel: &ChannelBinding) -> Answered {
        let who = lock(&self.0.desk).waiter(&wait.nonce, channel, (self.0.options.clock)());
        match who {
            Ok(who) => {
                let outcome = self.wait(&who).await;
                Answered { node_id: outcome.is_err().then_some(who.node_id), outcome }
            }
            Err(refused) => Answered { node_id: None, outcome: Err(refused) },
        }
    }

    async fn enrol(&self, candidate: Candidate, arrived: Arrival) -> Result<CertReply, Refused> {
        let candidate = Arc::new(candidate);
        let first = candidate.clone();
        let admission = self.blocking(move |inner| inner.admit(&first)).await.unwrap_or_else(|e| Err(e.into()))?;
        if admission.approving == admitting::Approving::Waits {
            return Ok(self.0.on_hold(&candidate.key.thumbprint().into()));
        }
        // Only who has proved that it has a token makes this coordinator ask the others.
        let elsewhere = self.0.options.others.records_of(&candidate.node_id).await?;
        self.0.is_free(&candidate, &admission, &elsewhere)?;

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
        let issue = move |inner: &Inner| inner.issue(&candidate, admission, &elsewhere, proved, left_out, arrived);
        self.blocking(issue).await.unwrap_or_else(|e| Err(e.into()))
    }

    /// Runs what blocks on the disk where it may. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Result<T, VaultError> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(carried(move || work(&inner))).await.map_err(VaultError::new)
    }
}

/// What was answered to a join request, and to whom.
#[derive(Debug)]
pub struct Answered {
    /// The name of the node that asked, where it said it; of one that waits for an operator, where it is refused. Nothing of it is proved where a first
    /// request is refused.
    pub node_id: Option<NodeId>,
    /// What came of it.
    pub outcome: Result<CertReply, Refused>,
}

impl Inner {
    /// Now, and later than everything that is known to be revoked, whatever the clocks of other coordinators say.
    fn now(&self) -> UnixMillis {
        let after = self.ledger.revocations().set().latest().map_or(0, |latest| latest.0.saturating_add(1));
        UnixMillis((self.options.clock)().0.max(after))
    }

    /// All records of a node: this coordinator's own, and those of others.
    fn records<'a>(&self, own: Option<&'a IssuedNode>, elsewhere: &'a [NotedElsewhere]) -> Records<'a> {
        let records = Records::of(own, elsewhere, &self.ledger.revocations().set(), (self.options.clock)());
        records.tell_of_those_ahead(&self.told.ahead);
        records
    }

    /// To which key the id of a node is bound. A key that was revoked since binds nobody: another coordinator may have let the node in again.
    fn bound_now(&self, node_id: &NodeId) -> Result<Option<IssuedNode>, Refused> {
        let is_good = |node: &IssuedNode| !self.ledger.revocations().is_revoked(node_id, &node.key.into());
        Ok(self.bound(node_id)?.filter(is_good))
    }

    fn bound(&self, node_id: &NodeId) -> Result<Option<IssuedNode>, Refused> {
        let Some(stored) = self.vault.get(&record_path(node_id))? else { return Ok(None) };
        serde_json::from_slice(&stored).map(Some).map_err(|e| {
            tracing::error!(%node_id, error = %e, "the record of this node is damaged");
            Refused::Unavailable { reason: "a damaged record".into() }
        })
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
pub(super) fn authority_changes(
    root: &RootCa,
    issuing: &IssuingCa,
    granted: &GrantedAuthority,
) -> Result<[Change; 4], VaultError> {
    Ok([
        Change::Put(ROOT_KEY.into(), root.key().to_pkcs8()),
        Change::Put(ISSUING_KEY.into(), issuing.key().to_pkcs8()),
        Change::Put(ISSUING_CERT.into(), issuing.certificate().to_vec().into()),
        granted.change()?,
    ])
}

pub(super) fn tokens_change(tokens: &TokenTable) -> Result<Change, VaultError> {
    Ok(Change::Put(TOKENS.into(), json(tokens)?))
}

/// The token table of a store that goes back in time, with its open tokens taken back, and which there were.
pub(crate) fn void_open_tokens(
    stored: &[u8],
    now: UnixMillis,
) -> Result<(zeroize::Zeroizing<Vec<u8>>, Vec<TokenId>), IdentityError> {
    let mut tokens: TokenTable = serde_json::from_slice(stored).map_err(|error| unreadable_tokens(&error))?;
    let voided = tokens.void_open(now);
    Ok((json(&tokens)?, voided))
}

fn unreadable_tokens(error: &serde_json::Error) -> IdentityError {
    IdentityError::Damaged(format!("the token table: {error}"))
}

pub(super) fn node_change(node: &IssuedNode) -> Result<Change, VaultError> {
    Ok(Change::Put(record_path(&node.node_id), json(node)?))
}

fn record_path(node_id: &NodeId) -> String {
    format!("{NODES}{node_id}.json")
}
