//! By which name a client went whose handshake failed. What rustls keeps of it has room for the reason, but for no name; so the certificate
//! that was shown goes beside it, within the task of the handshake.

use std::cell::Cell;

use rustls_pki_types::CertificateDer;

use super::{PeerIdentity, peer_identity};

tokio::task_local! {
    static SHOWN: Cell<Option<CertificateDer<'static>>>;
}

/// Runs the serving end of a handshake; says as well whose the certificate is that the client has shown to [`super::ClusterClients`] in it.
/// That is what the certificate says: anybody can write one, or show a copy of another's, until the handshake is done.
pub async fn with_claim<F: Future>(handshake: F) -> (F::Output, Option<PeerIdentity>) {
    let noting = async {
        let outcome = handshake.await;
        (outcome, SHOWN.with(Cell::take))
    };
    let (outcome, shown) = SHOWN.scope(Cell::default(), noting).await;
    (outcome, shown.and_then(|leaf| peer_identity(&leaf).ok()))
}

/// Notes the certificate that a client shows, where somebody asks for it.
pub(super) fn note(leaf: &CertificateDer<'_>) {
    // Outside of `with_claim` nobody asks.
    let _ = SHOWN.try_with(|shown| shown.set(Some(leaf.clone().into_owned())));
}
