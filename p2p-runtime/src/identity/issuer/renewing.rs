//! Renewals: another certificate for a node that has one, for the same key and the same role.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::KeyHash,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    super::{
        address::Host,
        ca::{CertificateHash, NodeNames},
        challenge::{self, Question},
        codec,
        join::{Issued, LeftOut, Nonce, Refused, challenge_answer},
        key::PublicKey,
        renewal::{RenewReply, RenewRequest},
        shown::{Shown, TakenBack},
    },
    Arrival, Inner, IssuedNode, Issuer, NotedElsewhere, lock, node_change,
    records::{Times, after_certificate},
};

/// How many challenges wait at once, each of another node.
const MAX_WAITING: usize = 1024;
/// How long one waits, in milliseconds.
const WAITS: u64 = 60_000;

/// The challenges of nodes with new addresses, one for each.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<NodeId, Challenge>);

#[derive(Debug)]
struct Challenge {
    nonce: Nonce,
    text: String,
    until: UnixMillis,
}

impl Waiting {
    fn begin(&mut self, node_id: &NodeId, now: UnixMillis) -> Result<(Nonce, String), Refused> {
        self.0.retain(|_, challenge| challenge.until > now);
        if self.0.len() >= MAX_WAITING && !self.0.contains_key(node_id) {
            return Err(Refused::Busy);
        }
        let (mut nonce, mut text) = ([0; 32], [0; 16]);
        let random = aws_lc_rs::rand::fill(&mut nonce).and_then(|()| aws_lc_rs::rand::fill(&mut text));
        random.map_err(|_| Refused::Unavailable { reason: "no random bytes".into() })?;
        let (nonce, text) = (Nonce(nonce), codec::encode(&text));
        let until = UnixMillis(now.0.saturating_add(WAITS));
        self.0.insert(node_id.clone(), Challenge { nonce, text: text.clone(), until });
        Ok((nonce, text))
    }

    fn end(&mut self, node_id: &NodeId, nonce: &Nonce, now: UnixMillis) -> Result<String, Refused> {
        match self.0.get(node_id) {
            Some(challenge) if challenge.nonce == *nonce && challenge.until > now => {}
            _ => return Err(Refused::UnknownAttempt),
        }
        self.0.remove(node_id).map(|challenge| challenge.text).ok_or(Refused::UnknownAttempt)
    }
}

/// What a renewal is to say.
struct Renewal {
    shown: Shown,
    key: PublicKey,
    addresses: Vec<Host>,
    left_out: Vec<LeftOut>,
    under: Option<KeyHash>,
}

/// What this coordinator has noted of a node that is to be renewed, and the times of what is noted next.
pub(super) struct Noted {
    own: Option<IssuedNode>,
    times: Times,
}

impl Noted {
    fn stood_on(&self) -> BTreeSet<KeyHash> {
        self.own.as_ref().map(|own| own.stood_on.clone()).unwrap_or_default()
    }
}

impl Issuer {
    /// Answers a request to renew, of the node that has shown these certificates on the connection, its own first.
    ///
    /// # Errors
    /// Why it is not renewed.
    pub async fn renew(&self, request: RenewRequest, shown: &[CertificateDer<'_>]) -> Result<RenewReply, Refused> {
        self.renew_since(Arrival::now(), request, shown).await
    }

    /// The same, where the request arrived before it could be read.
    pub(crate) async fn renew_since(
        &self,
        arrived: Arrival,
        request: RenewRequest,
        shown: &[CertificateDer<'_>],
    ) -> Result<RenewReply, Refused> {
        let renewal = check(&request, shown)?;
        self.0.is_good(&renewal.shown)?;
        // Where nothing can be issued, or the own record is enough to refuse, nobody is asked in vain.
        self.0.ca(request.under)?;
        let first = renewal.shown.clone();
        self.blocking(move |inner| inner.may_be_renewed(&first)).await.unwrap_or_else(|lost| Err(lost.into()))?;
        let turn = self.0.turns.take(renewal.shown.node_id())?;
        let elsewhere = self.0.options.others.records_of(renewal.shown.node_id()).await?;
        let known = |host: &Host| renewal.shown.certificate.addresses.contains(host);
        let (mut addresses, new): (Vec<_>, Vec<_>) = request.addresses.into_iter().partition(known);
        let mut left_out = Vec::new();
        if !new.is_empty() {
            let now = (self.0.options.clock)();
            let node_id = renewal.shown.node_id();
            let Some(nonce) = request.nonce else {
                let first = renewal.shown.clone();
                self.blocking(move |inner| inner.may_renew(&first, &elsewhere).map(drop))
                    .await
                    .unwrap_or_else(|lost| Err(lost.into()))?;
                let (nonce, challenge) = lock(&self.0.renewals).begin(node_id, now)?;
                return Ok(RenewReply::Challenge { nonce, challenge, port: self.0.options.challenge_port });
            };
            let challenge = lock(&self.0.renewals).end(node_id, &nonce, now)?;
            let (mut proved, not) = self.prove(&new, &challenge, &renewal.key).await;
            addresses.append(&mut proved);
            left_out = not;
        }
        let renewal = Renewal { addresses, left_out, ..renewal };
        let renew = move |inner: &Inner| {
            // It ends with the write, although the caller may have hung up before.
            let _turn = turn;
            inner.renew_for(renewal, &elsewhere, arrived)
        };
        let renewed = self.blocking(renew).await;
        renewed.unwrap_or_else(|lost| Err(lost.into())).map(RenewReply::Issued)
    }

    /// Renews the certificate of this coordinator itself, which vouches for its addresses. It may use an older one than the last: where it could
    /// not keep that, nobody else could give it another.
    ///
    /// # Errors
    /// Why it is not renewed.
    pub async fn renew_own(&self, request: RenewRequest, shown: &[CertificateDer<'_>]) -> Result<Issued, Refused> {
        let renewal = Renewal { addresses: request.addresses.clone(), ..check(&request, shown)? };
        let renewed = self.blocking(move |inner| inner.renew_own(renewal)).await;
        renewed.unwrap_or_else(|lost| Err(lost.into()))
    }

    async fn prove(&self, claimed: &[Host], challenge: &str, key: &PublicKey) -> (Vec<Host>, Vec<LeftOut>) {
        let options = &self.0.options;
        let question = Question {
            challenge,
            answer: &challenge_answer(challenge, key),
            port: options.challenge_port,
            loopback: options.advertised.iter().any(Host::is_loopback),
        };
        challenge::prove(&*options.fetcher, claimed, question).await
    }
}

/// The request is signed by the key of the certificate that was shown, so that both are the same node's.
fn check(request: &RenewRequest, shown: &[CertificateDer<'_>]) -> Result<Renewal, Refused> {
    let bad = |reason: String| Refused::BadRequest { reason };
    let shown = Shown::read(shown).map_err(|error| bad(error.to_string()))?;
    let key = PublicKey::from_request(&request.csr).map_err(|error| bad(error.to_string()))?;
    if shown.certificate.key != key.thumbprint().into() {
        return Err(Refused::NodeBound { node_id: shown.node_id().clone() });
    }
    Ok(Renewal { shown, key, addresses: Vec::new(), left_out: Vec::new(), under: request.under })
}

impl Inner {
    fn taken_back(&self, shown: &Shown) -> Option<TakenBack> {
        shown.taken_back(&self.ledger.revocations().set())
    }

    /// Whether nothing was taken back that this node needs to get anything from another: its name, its key, and the authority on which it stands.
    fn is_good(&self, shown: &Shown) -> Result<(), Refused> {
        self.taken_back(shown).map_or(Ok(()), |what| Err(refused(shown, what)))
    }

    /// Whether a node may have another certificate, as far as this coordinator knows by itself.
    fn may_be_renewed(&self, shown: &Shown) -> Result<(), Refused> {
        let own = self.bound(shown.node_id())?;
        let may_be = self.records(own.as_ref(), &[]).may_be_renewed(&shown.certificate, (self.options.clock)());
        may_be.inspect_err(|refused| self.told.of(refused))
    }

    /// Whether a node may have another certificate, and what is noted of it.
    pub(super) fn may_renew(&self, shown: &Shown, elsewhere: &[NotedElsewhere]) -> Result<Noted, Refused> {
        self.is_good(shown)?;
        let (own, clock) = (self.bound(shown.node_id())?, (self.options.clock)());
        let records = self.records(own.as_ref(), elsewhere);
        records.may_renew(&shown.certificate, clock).inspect_err(|refused| self.told.of(refused))?;
        Ok(Noted { times: records.after(clock), own })
    }

    /// Renews the certificate of another node. On which authority that stood is durable before it gets the new one: by it, it is found when that
    /// authority turns out to be somebody else's.
    fn renew_for(&self, renewal: Renewal, elsewhere: &[NotedElsewhere], arrived: Arrival) -> Result<Issued, Refused> {
        let _writing = lock(&self.writing);
        arrived.must_be_in_time()?;
        let noted = self.may_renew(&renewal.shown, elsewhere)?;
        let mut stood_on = noted.stood_on();
        stood_on.extend(&renewal.shown.authorities);
        let shown = renewal.shown.clone();
        let issued = self.renew(renewal, noted, stood_on)?;
        // Once more: whoever revoked that authority meanwhile looked for what descends from it either before this was written, and then it is seen here, or
        // after that, and has found it.
        self.is_good(&shown)?;
        Ok(issued)
    }

    /// Renews this coordinator's own. It may stand on an authority that was revoked: it has one of its own.
    fn renew_own(&self, renewal: Renewal) -> Result<Issued, Refused> {
        let _writing = lock(&self.writing);
        match self.taken_back(&renewal.shown) {
            None | Some(TakenBack::Authority) => {}
            Some(what) => return Err(refused(&renewal.shown, what)),
        }
        let (own, clock) = (self.bound(renewal.shown.node_id())?, (self.options.clock)());
        let records = self.records(own.as_ref(), &[]);
        records.is_bound(&renewal.shown.certificate).inspect_err(|refused| self.told.of(refused))?;
        let noted = Noted { times: records.after(clock), own };
        let stood_on = noted.stood_on();
        self.renew(renewal, noted, stood_on)
    }

    /// The caller holds `writing`.
    fn renew(&self, renewal: Renewal, noted: Noted, stood_on: BTreeSet<KeyHash>) -> Result<Issued, Refused> {
        let Renewal { shown: Shown { certificate: shown, .. }, key, addresses, left_out, under } = renewal;
        let clock = (self.options.clock)();
        let now = UnixTime::since_unix_epoch(Duration::from_millis(clock.0));
        let names = NodeNames { node_id: &shown.peer.node_id, role: shown.peer.role, addresses: &addresses };
        let (chain, root) = self.certify(&key, &names, now, under)?;
        let times = noted.times.no_sooner_than(after_certificate(&shown));
        let record = IssuedNode {
            node_id: shown.peer.node_id.clone(),
            role: shown.peer.role,
            key: key.thumbprint(),
            token: noted.own.and_then(|own| own.token),
            issued: times.issued,
            written: times.written(),
            certificate: chain.first().map(CertificateHash::of),
            previous: Some(shown.hash),
            root: Some(root),
            has_left: false,
            stood_on,
        };
        self.vault.update(vec![node_change(&record)?])?;
        tracing::info!(node_id = %record.node_id, "renewed a node's certificate");
        Ok(Issued::new(&chain, self.ledger.roots().current().cluster().clone(), (self.options.seed)(), left_out, clock))
    }
}

fn refused(shown: &Shown, what: TakenBack) -> Refused {
    let node_id = shown.node_id().clone();
    match what {
        TakenBack::Key => Refused::KeyRevoked { node_id },
        TakenBack::Node => Refused::NodeRevoked { node_id },
        TakenBack::Authority => Refused::AuthorityRevoked { node_id },
    }
}
