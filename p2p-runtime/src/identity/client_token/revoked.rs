//! [`RevokedTokens`]: which tokens are good no longer, though their time is not over.

use p2p_client::{
    protocol::{NodeId, UnixMillis},
    revocation::{ClientTokenId, InvalidTokenName, Reason, RevocationSet, Subject},
};

use super::{GrantRefused, claims::TokenId};
use crate::identity::Ledger;

/// The node's record of what was revoked, as far as tokens go: those of single tokens, of whole credentials, and of coordinators, which take
/// all tokens that they signed with them. Coordinators revoke, and every node learns of it.
#[derive(Clone)]
pub(crate) struct RevokedTokens(Ledger);

impl RevokedTokens {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }

    /// Whether this token, or the credential that it was made for, is revoked.
    pub(super) fn is_revoked(&self, id: &TokenId) -> bool {
        let set = self.0.revocations().set();
        !set.is_empty() && (is_in(&set, id.as_str()) || is_in(&set, id.credential()))
    }

    /// Whether all of this credential is.
    pub(crate) fn is_credential_revoked(&self, credential: &str) -> bool {
        is_in(&self.0.revocations().set(), credential)
    }

    /// Whether a coordinator is, and with it what it signed.
    pub(super) fn is_coordinator_revoked(&self, node: &NodeId) -> bool {
        self.0.revocations().set().revoked_at(node).is_some()
    }

    /// Revokes a token, or a credential with all its tokens, and has it remembered until then. It is durable when this returns.
    ///
    /// # Errors
    /// This node is no coordinator, or its store fails; then nothing is revoked.
    pub(crate) async fn revoke(&self, id: &str, until: UnixMillis) -> Result<(), GrantRefused> {
        let invalid = |error: InvalidTokenName| GrantRefused::Damaged(error.to_string());
        let id = ClientTokenId::try_from(id.to_owned()).map_err(invalid)?;
        self.0.revoke(vec![Subject::ClientToken { id, expires: until }], Reason::default()).await?;
        Ok(())
    }
}

fn is_in(set: &RevocationSet, id: &str) -> bool {
    ClientTokenId::try_from(id.to_owned()).is_ok_and(|id| set.is_client_token_revoked(&id))
}
