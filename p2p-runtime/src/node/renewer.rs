//! Renews the node's certificate in time, and moves what is open to the new one.

use std::{fmt, sync::Arc, time::Duration};

use p2p_client::{
    protocol::{Role, UnixMillis},
    revocation::KeyHash,
    wire::{PeerRef, net::Network, pool::HttpPool, sessions::Sessions},
};
use rustls_pki_types::UnixTime;
use tokio::{sync::Mutex, task::spawn_blocking, time::sleep};

use crate::{
    context::Context,
    identity::{
        ChallengeResponder, Host, Issuer, NodeIdentity, Roots, Vault, Way,
        join::LeftOut,
        renewal::{self, Next, Pace, RENEW_VERSION, RenewError, RenewRequest, Renewed},
    },
};

/// A node that has just started finds its coordinators first.
const AFTER_START: Duration = Duration::from_secs(5);

/// What renewing takes.
pub(super) struct RenewerParts {
    pub(super) cx: Context,
    pub(super) identity: NodeIdentity,
    pub(super) roots: Roots,
    pub(super) vault: Arc<dyn Vault>,
    pub(super) network: Arc<dyn Network>,
    pub(super) responder: ChallengeResponder,
    /// A coordinator renews its own.
    pub(super) issuer: Option<Issuer>,
    /// What it is to be certified for.
    pub(super) addresses: Vec<Host>,
    pub(super) sessions: Sessions,
    pub(super) pool: HttpPool,
}

/// Renews the node's certificate. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Renewer(Arc<Inner>);

struct Inner {
    parts: RenewerParts,
    /// One renewal at a time.
    turn: Mutex<()>,
}

/// The other coordinators that are alive.
pub(super) fn other_coordinators(cx: &Context) -> Vec<PeerRef> {
    let Some(membership) = cx.membership() else { return Vec::new() };
    let members = membership.members();
    let alive = members.alive().filter(|info| info.role == Role::Coordinator && info.node_id != *cx.node_id());
    alive.map(|info| PeerRef { node_id: info.node_id.clone(), authority: info.authority().into() }).collect()
}

impl fmt::Debug for Renewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewer").field("identity", &self.0.parts.identity).finish_non_exhaustive()
    }
}

impl Renewer {
    pub(super) fn new(parts: RenewerParts) -> Self {
        Self(Arc::new(Inner { parts, turn: Mutex::default() }))
    }

    /// Renews now. The new certificate is durable, and shown on new connections, when this returns; calls go on, and sessions move to new
    /// connections as they can. Gives the addresses that could not be proved.
    ///
    /// # Errors
    /// [`RenewError`]; the old certificate is still in use then.
    pub(crate) async fn renew(&self) -> Result<Vec<LeftOut>, RenewError> {
        self.renew_under(None).await
    }

    /// Renews under the root with this key, while the root is being changed.
    ///
    /// # Errors
    /// [`RenewError`], also where no coordinator can issue under that root yet; the old certificate is still in use then.
    pub(super) async fn reissue(&self, root: KeyHash) -> Result<(), RenewError> {
        self.renew_under(Some(root)).await.map(drop)
    }

    async fn renew_under(&self, root: Option<KeyHash>) -> Result<Vec<LeftOut>, RenewError> {
        let _turn = self.0.turn.lock().await;
        let parts = &self.0.parts;
        let renewed = match &parts.issuer {
            // One that has no authority yet is renewed by others, as a worker is.
            Some(issuer) if issuer.authority().is_some() => self.by_itself(issuer, root).await?,
            _ => self.by_a_coordinator(root).await?,
        };
        let (identity, vault, roots, chain) = (parts.identity.clone(), parts.vault.clone(), parts.roots.clone(), renewed.chain);
        let taken = spawn_blocking(move || identity.take_renewed(&*vault, &roots, &chain)).await;
        taken.map_err(|lost| crate::identity::VaultError::new(lost).into()).flatten()?;
        self.say_so().await;
        // New connections show it from now on; what is open moves over as its calls end.
        parts.pool.renew();
        parts.sessions.renew("the certificate was renewed").await;
        tracing::info!(left_out = renewed.left_out.len(), "the node's certificate was renewed");
        Ok(renewed.left_out)
    }

    /// A coordinator vouches for itself.
    async fn by_itself(&self, issuer: &Issuer, under: Option<KeyHash>) -> Result<Renewed, RenewError> {
        let parts = &self.0.parts;
        let own = parts.identity.material().own().ok_or(RenewError::NoCoordinator)?;
        let request = RenewRequest {
            version: RENEW_VERSION,
            csr: parts.identity.key().request()?,
            addresses: parts.addresses.clone(),
            nonce: None,
            under,
        };
        let answer = issuer.renew_own(request, &own.cert).await?;
        Ok(Renewed { chain: answer.chain(), left_out: Vec::new() })
    }

    /// The first coordinator that answers, and can. What it refuses for good, no other one is asked for: that might not know of it.
    async fn by_a_coordinator(&self, under: Option<KeyHash>) -> Result<Renewed, RenewError> {
        let parts = &self.0.parts;
        let way = Way { network: &parts.network, identity: &parts.identity, audit: parts.cx.audit() };
        let mut last = RenewError::NoCoordinator;
        for coordinator in self.coordinators() {
            let addresses = parts.addresses.clone();
            match renewal::renew(way, &coordinator, addresses, under, &parts.responder).await {
                Ok(renewed) => return Ok(renewed),
                Err(error) if error.is_final() => {
                    tracing::error!(coordinator = %coordinator.node_id, %error, "no other coordinator is asked");
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn coordinators(&self) -> Vec<PeerRef> {
        other_coordinators(&self.0.parts.cx)
    }

    /// What the node says of itself is signed anew: those who join later check it by the certificate that was in use then.
    async fn say_so(&self) {
        let Some(membership) = self.0.parts.cx.membership() else { return };
        let Ok(certificate) = self.0.parts.identity.certificate() else { return };
        let until = UnixMillis(certificate.until.as_secs().saturating_mul(1000)).0.to_string();
        let hash = certificate.hash.to_string();
        let said = membership.update_me(move |me| {
            me.metadata.insert("certificate".to_owned(), hash);
            me.metadata.insert("certificate_until".to_owned(), until);
        });
        if let Err(error) = said.await {
            tracing::warn!(%error, "the others were not told of the new certificate");
        }
    }

    /// Renews whenever it is due, for as long as the node runs.
    pub(super) async fn run(self) {
        sleep(AFTER_START).await;
        let parts = &self.0.parts;
        let mut pace = Pace::new(parts.identity.peer().node_id.clone());
        loop {
            let Ok(certificate) = parts.identity.certificate() else { return };
            let now = UnixTime::now();
            let pause = match pace.next(&certificate, &parts.addresses, now) {
                Next::Wait(pause) => pause,
                Next::Renew => match self.renew().await {
                    Ok(left_out) => {
                        for address in left_out {
                            tracing::warn!(
                                %address,
                                "an address could not be proved, and is not in the new certificate; once it leads here, `p2p cert renew` has it proved"
                            );
                        }
                        pace.renewed()
                    }
                    Err(error) => {
                        let left = Duration::from_secs(certificate.until.as_secs().saturating_sub(now.as_secs()));
                        let pause = pace.failed(left);
                        let (failures, days_left) = (pace.failures(), left.as_secs() / 86_400);
                        tracing::warn!(%error, failures, again_in_s = pause.as_secs(), days_left, "not renewed");
                        pause
                    }
                },
            };
            sleep(pause).await;
        }
    }
}
