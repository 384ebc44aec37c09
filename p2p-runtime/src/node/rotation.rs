//! A node's part in the authorities of its cluster while it runs: a coordinator gets its issuing authority, everybody is reissued when the root is
//! being changed, and the holder of the new root's key drops the old one when nobody is missing.
//!
//! What was said of the roots is in [`Roots`](crate::identity::Roots). This looks at it whenever it or the membership has changed, does the one thing that is to be done
//! next, and looks again: so it goes on wherever the node was killed.

mod look;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use p2p_client::{
    audit::{Line, Outcome},
    protocol::{NodeId, NodeInfo, NodeStatus, Role},
    revocation::KeyHash,
    wire::{
        PeerRef,
        net::Network,
        tls::{OtherRoot, TrustedRoot},
    },
};
use rand::RngExt;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    context::Context,
    identity::{
        Issuer, Ledger, NodeIdentity, NodeKey, RootKeys, RotateError, Voided, Way,
        rotation::{self, NoAuthority, NotShared, Progress, Rotation, Succession},
    },
    network::{MemberEvent, Membership},
};

use self::look::{Look, Said};
use super::{
    counting::Elsewhere,
    renewer::{Renewer, other_coordinators},
};

/// Under which name a coordinator says, in what it says of itself, of which roots it holds the key.
pub(super) const HELD_ROOTS: &str = "root_keys";
/// The same, to which coordinators it has given such a key.
pub(super) const GIVEN_ROOTS: &str = "root_keys_given_to";
/// The same, for the key of its own issuing authority.
pub(super) const ISSUING_KEY: &str = "issuing_key";
/// Who is missing is counted once in so long, while the root is being changed.
const COUNTING: Duration = Duration::from_secs(1);
/// Revocations that have to be said again are looked for again after so long.
const SETTLING: Duration = Duration::from_mins(1);
/// Nodes do not all ask for their certificates at once: for each member there is so much time, up to a limit.
const TIME_EACH: Duration = Duration::from_millis(20);
const LONGEST_SPREAD: Duration = Duration::from_secs(30);
/// The old root is dropped so long after the last node was reissued: until then the others have heard of that, too, and nobody's calls are cut.
const SETTLES: Duration = Duration::from_secs(5);

/// Of so many roots of others it is remembered that the operator was told.
const TOLD_ROOTS: usize = 64;
/// How often another one is told of at most: who shows them need not be of this cluster, and is not to fill the log.
const BETWEEN_ROOTS: Duration = Duration::from_mins(1);

/// What it takes.
pub(super) struct RotatorParts {
    pub(super) cx: Context,
    pub(super) identity: NodeIdentity,
    pub(super) ledger: Ledger,
    pub(super) network: Arc<dyn Network>,
    pub(super) issuer: Option<Issuer>,
    /// On coordinators.
    pub(super) keys: Option<RootKeys>,
    pub(super) renewer: Renewer,
    /// What other coordinators have issued.
    pub(super) elsewhere: Mutex<Elsewhere>,
}

/// A node's part in the authorities of its cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rotator(Arc<RotatorParts>);

impl Rotator {
    pub(super) fn new(parts: RotatorParts) -> Self {
        Self(Arc::new(parts))
    }

    pub(super) fn parts(&self) -> &RotatorParts {
        &self.0
    }

    /// How other coordinators are asked.
    pub(super) fn way(&self) -> Way<'_> {
        Way { network: &self.0.network, identity: &self.0.identity, audit: self.0.cx.audit() }
    }

    pub(super) fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.0.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to change the cluster's root, or goes on.
    pub(crate) async fn begin(&self, start_over: bool) -> Result<Rotation, RotateError> {
        self.keys()?.begin(start_over).await
    }

    /// Drops the old root although nodes have not been reissued. Gives those.
    pub(crate) async fn finish(&self) -> Result<Progress, RotateError> {
        let keys = self.keys()?;
        self.ask_elsewhere().await;
        let progress = self.progress().await?.ok_or(RotateError::NotBegun)?;
        keys.complete().await?;
        Ok(progress)
    }

    /// Gives the root key to another coordinator.
    pub(crate) async fn share(&self, node_id: &NodeId) -> Result<(), ShareError> {
        self.keys()?.must_hold_any().await?;
        let members = self.0.cx.membership().map(Membership::members);
        let to = members.as_ref().and_then(|members| members.alive().find(|info| info.node_id == *node_id));
        let to = to.ok_or_else(|| NotShared::NotThere { node_id: node_id.clone() })?;
        if to.role != Role::Coordinator {
            return Err(NotShared::NotCoordinator { node_id: node_id.clone() }.into());
        }
        let peer = PeerRef { node_id: to.node_id.clone(), authority: to.authority().into() };
        let keys = self.keys()?.to_share(node_id.clone()).await?;
        // Before the other can have it, and whatever it says then.
        self.publish(&mut None).await;
        Ok(rotation::hand_over(self.way(), &peer, keys).await?)
    }

    /// Says at once that this node holds the root key, when it has been given that: all hear it, this node too, and what has failed for want of it is tried
    /// again.
    pub(crate) async fn took_over(&self) {
        self.publish(&mut None).await;
    }

    /// The root keys in this node's store, on a coordinator.
    pub(crate) fn keys(&self) -> Result<&RootKeys, RotateError> {
        self.0.keys.as_ref().ok_or_else(|| RotateError::NotCoordinator { me: self.0.cx.node_id().clone() })
    }

    /// The coordinators that say that they hold the key of this root.
    pub(crate) fn holders(&self, root: &TrustedRoot) -> Vec<NodeId> {
        let Some(membership) = self.0.cx.membership() else { return Vec::new() };
        let key = root.key_hash().to_string();
        let members = membership.members();
        let says = |held: &String| held.split(' ').any(|held| held == key);
        let holders = members.iter().filter(|info| info.role == Role::Coordinator && info.is_callable());
        holders.filter(|info| info.metadata.get(HELD_ROOTS).is_some_and(says)).map(|info| info.node_id.clone()).collect()
    }

    /// Does what is to be done, for as long as the node runs.
    pub(super) async fn run(self) {
        let Some(membership) = self.0.cx.membership().cloned() else { return };
        let roots = self.0.ledger.roots().clone();
        let mut changed = roots.subscribe();
        // This coordinator's own authority may be among what is revoked.
        let mut revoked = self.0.ledger.revocations().subscribe();
        let mut shown = self.0.identity.material().other_roots();
        // What was shown while the node started, too.
        shown.mark_changed();
        let (members, mut events) = membership.subscribe();
        let mut look = Look::new((&*roots.known()).into(), members.iter().map(|info| &**info));
        look.settles = roots.known().completed().map(|_| Instant::now() + SETTLES);
        loop {
            let again = self.look(&mut look).await;
            let timer = async {
                match again {
                    Some(pause) => sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changed.changed() => {}
                () = revoked.next() => {}
                // The sender lives as long as this node's TLS.
                _ = shown.changed() => self.tell_of_other_roots(&mut look),
                event = events.next() => match event {
                    Some(event) => {
                        look.hear(&event, self.spread());
                        look.holders_unnoted |= self.note_holders(std::iter::once(event.info())).await.is_err();
                        self.note_left(&event).await;
                    }
                    None => return,
                },
                () = timer => {}
                () = at(look.settles) => look.settles = self.settle().await,
                () = at(look.next_told) => {
                    look.next_told = None;
                    self.tell_of_other_roots(&mut look);
                }
            }
        }
    }

    /// Notes, on a coordinator, which others say that they hold the key of a root, or have given it to somebody: what they said once counts when they are
    /// revoked, whatever they say by then.
    async fn note_holders(&self, members: impl Iterator<Item = &Arc<NodeInfo>> + Send) -> Result<(), ()> {
        let Some(keys) = &self.0.keys else { return Ok(()) };
        let known = self.0.ledger.roots().known();
        let mut said: BTreeMap<NodeId, BTreeSet<KeyHash>> = BTreeMap::new();
        for info in members.filter(|info| info.role == Role::Coordinator && info.node_id != *self.0.cx.node_id()) {
            let held = said_to_hold(info, &known);
            for other in said_to_have_given(info).filter(|_| !held.is_empty()) {
                said.entry(other).or_default().extend(held.iter().copied());
            }
            said.entry(info.node_id.clone()).or_default().extend(held);
        }
        for (node_id, roots) in said.into_iter().filter(|(_, roots)| !roots.is_empty()) {
            if let Err(error) = keys.note_holder(node_id.clone(), roots).await {
                tracing::warn!(node = %node_id, %error, "that this coordinator holds the root key was not noted; it is tried again");
                return Err(());
            }
        }
        Ok(())
    }

    /// Notes, on a coordinator, that a node has left for good.
    async fn note_left(&self, event: &MemberEvent) {
        let (Some(issuer), MemberEvent::Left(info)) = (&self.0.issuer, event) else { return };
        if info.status != NodeStatus::Left {
            return;
        }
        if let Err(error) = issuer.note_left(info.node_id.clone()).await {
            tracing::warn!(node = %info.node_id, %error, "that a node has left could not be noted");
        }
    }

    /// The roots of this cluster's name that others have shown, and of which nothing was ever heard here.
    pub(crate) fn unheard_of(&self) -> Vec<OtherRoot> {
        let known = self.0.ledger.roots().known();
        let shown = self.0.identity.material().other_roots();
        let all = shown.borrow();
        all.iter().filter(|other| known.is_unheard_of(other.root)).cloned().collect()
    }

    /// Tells the operator that the root was changed elsewhere, too: once for each root, and of one [at a time](BETWEEN_ROOTS).
    fn tell_of_other_roots(&self, look: &mut Look) {
        if look.next_told.is_some() {
            return;
        }
        let own = self.0.ledger.roots().current().key_hash();
        for OtherRoot { root, shown_by } in self.unheard_of() {
            if look.told_roots.contains(&root) {
                continue;
            }
            if look.told_roots.len() >= TOLD_ROOTS {
                look.told_roots.remove(0);
            }
            look.told_roots.push(root);
            tracing::error!(
                node = %shown_by,
                %root,
                %own,
                "another node has a root of this cluster that was never heard of here: two holders of the root key have each changed it while they were parted, or one of \
                 the two nodes missed a change; compare `p2p ca show` on both: the halves do not become one again by themselves; decide which root stays; each node of \
                 the other joins again in its folder, with a fresh token of the half that stays (`p2p token create` there, `p2p join` here), and what the \
                 other half has revoked is revoked there once more"
            );
            let line = Line::new("this node", "meet another root of the cluster", Outcome::Pending);
            line.whom(format_args!("root {root}"))
                .from(format_args!("node {shown_by}"))
                .reason(format_args!("own root {own}"))
                .write();
            look.next_told = Some(Instant::now() + BETWEEN_ROOTS);
            return;
        }
    }

    /// Does the next thing that is to be done. Gives when to look again, if nothing changes before.
    async fn look(&self, look: &mut Look) -> Option<Duration> {
        self.take_up(look);
        if look.holders_unnoted {
            let members = self.0.cx.membership().map(Membership::members);
            look.holders_unnoted = self.note_holders(members.iter().flat_map(|members| members.iter())).await.is_err();
        }
        if let Some(left) = look.pause.left() {
            // Which keys are here may have changed all the same.
            self.publish(&mut look.said).await;
            return Some(left);
        }
        let voided = self.void_outdated_tokens(look).await;
        let authority = self.authority().await;
        self.publish(&mut look.said).await;
        let done = match authority {
            Ok(()) => self.reissue(look).await,
            Err(error) => Err(error.to_string()),
        };
        match done {
            Ok(_) if !voided => Some(look.pause.failed()),
            Ok(wait) => {
                look.pause.end();
                if wait.is_some() { wait } else { self.complete(look).await }
            }
            Err(error) => {
                let pause = look.pause.failed();
                tracing::warn!(error, again_in_ms = pause.as_millis(), "not certified anew");
                Some(pause)
            }
        }
    }

    /// Takes up what was said of the roots meanwhile.
    fn take_up(&self, look: &mut Look) {
        let roots = self.0.ledger.roots();
        if !look.is_dropped_by((&*roots.known()).into()) {
            return;
        }
        let root = roots.current().key_hash();
        // The others have heard of the drop by then.
        look.settles = Some(Instant::now() + SETTLES);
        tracing::info!(%root, "the cluster has another root");
        if roots.is_outdated() {
            tracing::error!(
                "this node was not certified anew before the cluster's old root was dropped, and no other node speaks with it; stop it, and join \
                 again in the same folder with a fresh token: `p2p token create` on a coordinator, `p2p join` here"
            );
        }
    }

    /// Has revocations that stand under the old root, and that its successor does not vouch for, said again. Gives when to look again.
    async fn settle(&self) -> Option<Instant> {
        match self.0.ledger.settle().await {
            Ok(0) => return None,
            Ok(left) => tracing::debug!(left, "revocations from before the change of the root wait to be said again"),
            Err(error) => tracing::warn!(%error, "revocations from before the change of the root were not said again"),
        }
        Some(Instant::now() + SETTLING)
    }

    /// Join tokens that name a root before this one let nobody in any more. Asked at each start, too: the node may have died right after the drop.
    /// Says whether it is done.
    async fn void_outdated_tokens(&self, look: &mut Look) -> bool {
        let root = self.0.ledger.roots().current().key_hash();
        let Some(issuer) = self.0.issuer.as_ref().filter(|_| look.tokens_of != Some(root)) else { return true };
        match issuer.void_outdated().await {
            Ok(Voided { tokens, requests }) => {
                look.tokens_of = Some(root);
                if tokens.len() + requests.len() > 0 {
                    tracing::info!(
                        tokens = tokens.len(),
                        requests = requests.len(),
                        "join tokens name the old root, and let nobody in any more, nor those who wait by them"
                    );
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "open join tokens name the old root, and still stand in the list; it is tried again");
                false
            }
        }
    }

    /// Says of which roots this node holds the key, and by which key it issues, if that has changed.
    async fn publish(&self, said: &mut Option<Said>) {
        let (Some(keys), Some(membership)) = (&self.0.keys, self.0.cx.membership()) else { return };
        let known = self.0.ledger.roots().known();
        let held: Vec<_> =
            known.trusted().filter(|root| keys.is_held(root).unwrap_or(false)).map(|root| root.key_hash().to_string()).collect();
        let authority = self.0.issuer.as_ref().and_then(Issuer::authority);
        let given = keys.may_hold().await.map(|may| may.given_here).unwrap_or_default();
        let given = given.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let now = Said { roots: held.join(" "), given, authority: authority.map(|authority| authority.key) };
        if said.as_ref() == Some(&now) || said.is_none() && now == Said::default() {
            return;
        }
        let (roots, given) = (now.roots.clone(), now.given.clone());
        let authority = now.authority.map(|key| key.to_string()).unwrap_or_default();
        let done = membership.update_me(move |me| {
            me.metadata.insert(HELD_ROOTS.to_owned(), roots);
            if given.is_empty() {
                me.metadata.remove(GIVEN_ROOTS);
            } else {
                me.metadata.insert(GIVEN_ROOTS.to_owned(), given);
            }
            me.metadata.insert(ISSUING_KEY.to_owned(), authority);
        });
        match done.await {
            Ok(()) => *said = Some(now),
            Err(error) => tracing::warn!(%error, "which keys this node holds was not made known"),
        }
    }

    /// A coordinator gets its issuing authority: by its own root key, or from another coordinator.
    async fn authority(&self) -> Result<(), NoAuthority> {
        let parts = &self.0;
        let (Some(issuer), Some(keys)) = (&parts.issuer, &parts.keys) else { return Ok(()) };
        let me = parts.cx.node_id().clone();
        // One that was revoked itself makes itself no authority of which nobody knows, although it may hold the root key still.
        let own = parts.identity.key().public().thumbprint().into();
        if !issuer.needs_authority() || parts.ledger.revocations().is_revoked(&me, &own) {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| NoAuthority::NotGiven { coordinator: me.clone(), reason: error.to_string() };
        let key = NodeKey::generate().map_err(|error| failed(&error))?;
        let cert = match keys.issue_authority(me.clone(), key.public()).await.map_err(|error| failed(&error))? {
            Some(cert) => cert,
            None => self.ask_others(&key).await?,
        };
        let public = KeyHash::from(key.public().thumbprint());
        issuer.adopt_authority(key, cert).await.map_err(|error| failed(&error))?;
        let line = Line::new("this node", "get an issuing authority", Outcome::Done);
        line.whom(format_args!("key {public}")).from("here").write();
        tracing::info!(node = %me, "this coordinator issues certificates by an authority of its own");
        Ok(())
    }

    async fn ask_others(&self, key: &NodeKey) -> Result<rustls_pki_types::CertificateDer<'static>, NoAuthority> {
        let mut last = NoAuthority::Nobody;
        for coordinator in other_coordinators(&self.0.cx) {
            match rotation::ask_for_authority(self.way(), &coordinator, key).await {
                Ok(cert) => return Ok(cert),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Has this node's certificate made anew under the next root, in its turn.
    async fn reissue(&self, look: &mut Look) -> Result<Option<Duration>, String> {
        let roots = self.0.ledger.roots();
        let known = roots.known();
        let Some(next) = known.next().filter(|_| roots.is_outdated()) else { return Ok(None) };
        let turn = *look.turn.get_or_insert_with(|| Instant::now() + self.spread());
        let wait = turn.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            return Ok(Some(wait));
        }
        self.0.renewer.reissue(next.key_hash().into()).await.map(|()| None).map_err(|error| error.to_string())
    }

    /// Coordinators go first; workers come when they can be served, one after the other.
    fn spread(&self) -> Duration {
        if self.0.issuer.is_some() {
            return Duration::ZERO;
        }
        let members = self.0.cx.membership().map_or(0, |membership| membership.members().len());
        let spread = TIME_EACH.saturating_mul(u32::try_from(members).unwrap_or(u32::MAX)).min(LONGEST_SPREAD);
        spread.mul_f64(rand::rng().random_range(0.0..1.0))
    }

    /// Drops the old root when nobody is missing any more.
    async fn complete(&self, look: &mut Look) -> Option<Duration> {
        let keys = self.0.keys.as_ref().filter(|_| self.0.ledger.roots().known().next().is_some())?;
        if let Some(left) = look.dropping.left() {
            return Some(left);
        }
        // Each certificate that is shown is an event; who is missing is counted once for many.
        let early = look.counted.map_or(Duration::ZERO, |at| COUNTING.saturating_sub(at.elapsed()));
        if !early.is_zero() {
            return Some(early);
        }
        look.counted = Some(Instant::now());
        if !keys.can_complete() {
            return None;
        }
        if look.asked.is_none_or(|at| at.elapsed() >= SETTLES) {
            self.ask_elsewhere().await;
            look.asked = Some(Instant::now());
        }
        let progress = match self.progress().await {
            Ok(progress) => progress?,
            Err(error) => {
                let pause = look.dropping.failed();
                tracing::warn!(%error, again_in_ms = pause.as_millis(), "it cannot be told how far the change of the root is");
                return Some(pause);
            }
        };
        if !progress.is_done() {
            look.done_since = None;
            return Some(COUNTING);
        }
        let since = *look.done_since.get_or_insert_with(Instant::now);
        let left = SETTLES.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Some(left);
        }
        match keys.complete().await {
            Ok(()) => None,
            Err(error) => {
                let pause = look.dropping.failed();
                tracing::warn!(%error, again_in_ms = pause.as_millis(), "the old root was not dropped");
                Some(pause)
            }
        }
    }
}

/// The roots that are trusted and whose keys a coordinator says that it holds.
pub(super) fn said_to_hold(info: &NodeInfo, known: &Succession) -> BTreeSet<KeyHash> {
    let said: Vec<_> = info.metadata.get(HELD_ROOTS).iter().flat_map(|held| held.split(' ')).collect();
    let is_said = |root: &&TrustedRoot| said.contains(&root.key_hash().to_string().as_str());
    known.trusted().filter(is_said).map(|root| root.key_hash().into()).collect()
}

/// To whom it says that it has given them.
fn said_to_have_given(info: &NodeInfo) -> impl Iterator<Item = NodeId> {
    info.metadata.get(GIVEN_ROOTS).into_iter().flat_map(|given| given.split(' ')).filter_map(|name| name.parse().ok())
}

/// Waits until then; without a time, for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Why the root key was not shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// It is not here.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// The other did not get it.
    #[error(transparent)]
    NotShared(#[from] NotShared),
}
