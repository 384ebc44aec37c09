//! What a node knows of the cluster's roots: a pure value that only moves forward.

use std::collections::HashSet;

use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{KeyHash, StatementId},
    wire::tls::{RootKeyHash, TrustedRoot},
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{
    super::{ca::is_signed_by, codec, error::IdentityError, vault::json},
    RefusedRoot, SignedAnnouncement, SignedCompletion, Told,
    said::{Announced, key_of},
};
use zeroize::Zeroizing;

/// The version of the stored form.
const FORMAT: u32 = 1;

/// The cluster's root, how it came to be the root, and the one that is to come after it.
#[derive(Debug, Clone)]
pub struct Succession {
    current: TrustedRoot,
    completed: Option<Completed>,
    announced: Option<Announced>,
}

/// The change that led to the current root.
#[derive(Debug, Clone)]
struct Completed {
    announcement: SignedAnnouncement,
    completion: SignedCompletion,
    from: KeyHash,
    at: UnixMillis,
    by: NodeId,
    revocations: HashSet<StatementId>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(with = "codec::base64_vec")]
    root: Vec<u8>,
    told: Told,
}

impl Succession {
    /// A root of which nothing more was said.
    pub fn of(root: TrustedRoot) -> Self {
        Self { current: root, completed: None, announced: None }
    }

    /// The cluster's root.
    pub fn current(&self) -> &TrustedRoot {
        &self.current
    }

    /// The root that is to come after it, while it is being changed.
    pub fn next(&self) -> Option<&TrustedRoot> {
        self.announced.as_ref().map(|announced| &announced.root)
    }

    /// The root under which new certificates are to be made.
    pub fn wanted(&self) -> &TrustedRoot {
        self.next().unwrap_or(&self.current)
    }

    /// The roots that are trusted: the cluster's, and the one that is to come after it.
    pub fn trusted(&self) -> impl Iterator<Item = &TrustedRoot> {
        std::iter::once(&self.current).chain(self.next())
    }

    /// When the change that is under way was begun, by whom, and which time it was tried.
    pub fn begun(&self) -> Option<(UnixMillis, &NodeId, u32)> {
        self.announced.as_ref().map(|announced| (announced.said.at, &announced.said.by, announced.said.attempt))
    }

    /// When the current root became the only one, and by whom; of a cluster's first root nothing is known.
    pub fn completed(&self) -> Option<(UnixMillis, &NodeId)> {
        self.completed.as_ref().map(|completed| (completed.at, &completed.by))
    }

    /// The key of the root before the current one, if a change is known.
    pub fn replaced(&self) -> Option<KeyHash> {
        self.completed.as_ref().map(|completed| completed.from)
    }

    /// Whether a node that shows this root has gone another way: it is none that is trusted, nor the one before, at which whoever missed the last change
    /// stands.
    pub fn is_unheard_of(&self, root: RootKeyHash) -> bool {
        self.replaced() != Some(root.into()) && self.trusted().all(|trusted| trusted.key_hash() != root)
    }

    /// Whether this revocation is believed, whoever's certificate signed it: it was known when the root was changed.
    pub fn endorses(&self, id: &StatementId) -> bool {
        self.completed.as_ref().is_some_and(|completed| completed.revocations.contains(id))
    }

    /// The announcement that is under way.
    pub(super) fn announcement(&self) -> Option<&SignedAnnouncement> {
        self.announced.as_ref().map(|announced| &announced.signed)
    }

    /// What to tell other nodes.
    pub fn told(&self) -> Told {
        Told {
            completed: self.completed.as_ref().map(|completed| (completed.announcement.clone(), completed.completion.clone())),
            announced: self.announced.as_ref().map(|announced| announced.signed.clone()),
        }
    }

    /// What two nodes compare: who has the same knows the same.
    pub fn id(&self) -> StatementId {
        let mut known = self.current.key_hash().as_bytes().to_vec();
        known.extend(self.completed.iter().flat_map(|completed| *completed.completion.id().as_bytes()));
        known.push(u8::from(self.completed.is_some()));
        known.extend(self.announced.iter().flat_map(|announced| *announced.said.to.as_bytes()));
        StatementId::of(&known)
    }

    /// What this knowledge becomes by what another node says. `None` where that is nothing new.
    ///
    /// # Errors
    /// [`RefusedRoot`]: it is not signed by the roots that this node trusts. Nothing of it is taken.
    pub fn learn(&self, told: &Told) -> Result<Option<Self>, RefusedRoot> {
        let mut known = self.clone();
        let mut is_new = false;
        if let Some((announcement, completion)) = &told.completed {
            is_new |= known.complete(announcement, completion)?;
        }
        if let Some(announcement) = &told.announced {
            is_new |= known.announce(announcement)?;
        }
        Ok(is_new.then_some(known))
    }

    fn announce(&mut self, announcement: &SignedAnnouncement) -> Result<bool, RefusedRoot> {
        let said = announcement.said()?;
        if said.to == key_of(&self.current) {
            // The other has not heard that it is completed.
            return Ok(false);
        }
        let rank = |said: &super::Announcement| (said.attempt, said.to);
        if self.announced.as_ref().is_some_and(|known| said.from == known.said.from && rank(&known.said) >= rank(&said)) {
            return Ok(false);
        }
        self.announced = Some(announcement.verify(&self.current)?);
        Ok(true)
    }

    fn complete(&mut self, announcement: &SignedAnnouncement, completion: &SignedCompletion) -> Result<bool, RefusedRoot> {
        let to = completion.said()?.to;
        let is_here = to == key_of(&self.current);
        // Known; or the other is a change behind, at the root from which the last one led here.
        let is_known = |last: &Completed| last.from == to || is_here && last.completion.id() >= completion.id();
        if self.completed.as_ref().is_some_and(is_known) {
            return Ok(false);
        }
        let root = if is_here { self.current.clone() } else { announcement.verify(&self.current)?.root };
        let said = completion.verify(&root, announcement)?;
        let completed = Completed {
            announcement: announcement.clone(),
            completion: completion.clone(),
            from: said.from,
            at: said.at,
            by: said.by,
            revocations: said.revocations.into_iter().collect(),
        };
        let announced = if is_here { self.announced.take() } else { None };
        *self = Self { current: root, completed: Some(completed), announced };
        Ok(true)
    }

    /// The chain to show for a certificate and its issuing authority, the first two in `chain`: they, and what leads from there to the current root, which is
    /// last. A chain that leads to neither root stays as it is.
    pub fn present(&self, chain: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
        let Some(issuer) = chain.get(1) else { return chain.to_vec() };
        let above = match &self.announced {
            Some(next) if is_signed_by(&next.root, issuer) => vec![next.cross.clone(), self.current.der().clone()],
            _ if is_signed_by(&self.current, issuer) => vec![self.current.der().clone()],
            _ => return chain.to_vec(),
        };
        chain.iter().take(2).cloned().chain(above).collect()
    }

    /// Whether this issuing authority stands directly under the root under which certificates are to be made.
    pub fn is_wanted(&self, authority: &CertificateDer<'_>) -> bool {
        is_signed_by(self.wanted(), authority)
    }

    /// Whether a certificate with this chain (leaf first) has to be made anew.
    pub fn is_outdated(&self, chain: &[CertificateDer<'_>]) -> bool {
        !chain.get(1).is_some_and(|issuer| self.is_wanted(issuer))
    }

    /// As it is stored.
    pub(super) fn to_stored(&self) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        Ok(json(&Stored { version: FORMAT, root: self.current.der().to_vec(), told: self.told() })?)
    }

    /// Reads it from its stored form.
    pub(super) fn from_stored(stored: &[u8]) -> Result<Self, IdentityError> {
        let damaged =
            |error: &dyn std::fmt::Display| IdentityError::Damaged(format!("what is known of the cluster's roots: {error}"));
        let stored: Stored = serde_json::from_slice(stored).map_err(|error| damaged(&error))?;
        if stored.version != FORMAT {
            return Err(IdentityError::NewerFormat(stored.version));
        }
        let root = Self::of(TrustedRoot::from_der(CertificateDer::from(stored.root))?);
        Ok(root.learn(&stored.told).map_err(|error| damaged(&error))?.unwrap_or(root))
    }
}
