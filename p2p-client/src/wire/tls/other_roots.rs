//! Roots of this cluster's name that others have shown and that are not trusted here: a hint for people, and no proof of anything.
//!
//! Where the halves of a split cluster have each changed the root, none believes the other any more. All that they see of each other are handshakes that
//! fail, and in these the roots that the others have.

use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::{RootKeyHash, TrustedRoot, peer_identity};
use crate::protocol::NodeId;

/// So many are kept; a newer one takes the place of the oldest. Whoever makes them up does not fill the memory.
const MAX: usize = 8;

/// A root that is not trusted, by a chain that names this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRoot {
    /// The hash of its key.
    pub root: RootKeyHash,
    /// Who showed it last, by a certificate that nobody here could check.
    pub shown_by: NodeId,
}

/// Those that were shown.
#[derive(Debug)]
pub(super) struct OtherRoots(watch::Sender<Vec<OtherRoot>>);

impl Default for OtherRoots {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl OtherRoots {
    pub(super) fn subscribe(&self) -> watch::Receiver<Vec<OtherRoot>> {
        self.0.subscribe()
    }

    /// Takes note of a chain that leads to none of the roots that are trusted, the first of which is `ours`.
    pub(super) fn note(&self, ours: &TrustedRoot, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) {
        // The root comes last, above the authority.
        let Some(shown) = others.get(1..).and_then(<[_]>::last).map(|root| root.clone().into_owned()) else { return };
        let (Ok(shown), Ok(peer)) = (TrustedRoot::from_der(shown), peer_identity(leaf)) else { return };
        if shown.cluster() != ours.cluster() || peer.cluster != *ours.cluster() || shown.key_hash() == ours.key_hash() {
            return;
        }
        let other = OtherRoot { root: shown.key_hash(), shown_by: peer.node_id };
        self.0.send_if_modified(|known| {
            if known.contains(&other) {
                return false;
            }
            known.retain(|known| known.root != other.root);
            if known.len() >= MAX {
                known.remove(0);
            }
            known.push(other);
            true
        });
    }
}
