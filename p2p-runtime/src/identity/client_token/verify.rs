//! [`TokenVerifier`]: whose token it is, if it is good.

use std::{sync::Arc, time::Duration};

use p2p_client::protocol::{ClientIdentity, ClusterId, NodeId, UnixMillis};

use super::{
    BearerRefused, LEEWAY, MAX_TTL,
    bearer::BearerToken,
    checks::{Check, holds},
    claims::{Claims, TokenId, issuer_name},
    jws::{Unverified, shortened},
    revoked::RevokedTokens,
    ring::KeyRing,
    seconds,
};
use crate::identity::Clock;

/// Verifies tokens, on every node.
#[derive(Clone)]
pub(crate) struct TokenVerifier {
    cluster: ClusterId,
    ring: KeyRing,
    revoked: RevokedTokens,
    clock: Clock,
}

/// What a good token says, beside whose it is.
pub(crate) struct Verified {
    pub(crate) client: Arc<ClientIdentity>,
    pub(crate) id: TokenId,
    /// When it expires.
    pub(crate) expires: UnixMillis,
    /// The node that it was made for, where it is good with that one's certificate alone.
    pub(crate) bound: Option<NodeId>,
    /// Who signed it.
    by: NodeId,
}

/// A token that was good when a stream was opened by it, and may be so no longer.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    id: TokenId,
    expires: UnixMillis,
    by: NodeId,
}

#[cfg(test)]
impl Standing {
    /// That of a token of this coordinator, which expires then.
    pub(crate) fn of(id: &str, by: &str, expires: UnixMillis) -> Self {
        Self { id: id.parse().unwrap(), expires, by: by.parse().unwrap() }
    }
}

impl Verified {
    /// What is asked again of it while it is in use.
    pub(crate) fn standing(&self) -> Standing {
        Standing { id: self.id.clone(), expires: self.expires, by: self.by.clone() }
    }
}

impl TokenVerifier {
    pub(crate) fn new(cluster: ClusterId, ring: KeyRing, revoked: RevokedTokens, clock: Clock) -> Self {
        Self { cluster, ring, revoked, clock }
    }

    /// The keys of coordinators that are not revoked, as a JWK set.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.ring.jwks(self.now(), |node| !self.revoked.is_coordinator_revoked(node))
    }

    pub(crate) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    pub(crate) fn revoked(&self) -> &RevokedTokens {
        &self.revoked
    }

    /// The time.
    pub(crate) fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Whose token it is. `peer` is the node at the other end, if it has a certificate.
    ///
    /// # Errors
    /// The first rule that it breaks, in the order: form, algorithm, type, extensions, key, signature, issuer, its revocation, audience, time,
    /// revocation, certificate.
    pub(crate) fn verify(&self, token: &BearerToken, peer: Option<&NodeId>) -> Result<Verified, BearerRefused> {
        let now = self.now();
        let unverified = Unverified::parse(token.reveal())?;
        let Some((key, holders)) = self.ring.get(&unverified.kid, now) else {
            return Err(BearerRefused::UnknownKey(shortened(&unverified.kid)));
        };
        let claims = unverified.verify(&key)?;
        // Another coordinator may announce this one's key: that takes nothing from it.
        let Some(node) = holders.into_iter().find(|node| holds(Check::Issuer, claims.iss == issuer_name(&self.cluster, node)))
        else {
            return Err(BearerRefused::Issuer(shortened(&claims.iss)));
        };
        if self.revoked.is_coordinator_revoked(&node) {
            return Err(BearerRefused::CoordinatorRevoked(node));
        }
        if !holds(Check::Audience, claims.aud.0 == self.cluster.as_str()) {
            return Err(BearerRefused::Audience { got: shortened(&claims.aud.0), ours: self.cluster.to_string() });
        }
        check_times(&claims, seconds(now))?;
        if !holds(Check::Revoked, !self.revoked.is_revoked(&claims.jti)) {
            return Err(BearerRefused::Revoked);
        }
        let bound = claims.cnf.map(|cnf| cnf.node);
        if let Some(bound) = bound.clone().filter(|bound| !holds(Check::Certificate, peer == Some(bound))) {
            return Err(BearerRefused::OtherCertificate { bound });
        }
        let client = Arc::new(ClientIdentity::new(claims.sub, claims.scope, claims.jti.as_str()));
        Ok(Verified { client, id: claims.jti, expires: UnixMillis(claims.exp.saturating_mul(1000)), bound, by: node })
    }

    /// Whether a token that was verified is still good. (What stands in it does not change, so that its signature is not looked at again.)
    ///
    /// # Errors
    /// It has expired, or it, its credential or its coordinator was revoked.
    pub(crate) fn still_good(&self, token: &Standing) -> Result<(), BearerRefused> {
        let now = seconds(self.now());
        let ended = seconds(token.expires).saturating_add(LEEWAY.as_secs());
        if ended <= now {
            return Err(BearerRefused::Expired { ago: Duration::from_secs(now - seconds(token.expires)) });
        }
        if self.revoked.is_coordinator_revoked(&token.by) {
            return Err(BearerRefused::CoordinatorRevoked(token.by.clone()));
        }
        if self.revoked.is_revoked(&token.id) { Err(BearerRefused::Revoked) } else { Ok(()) }
    }
}

fn check_times(claims: &Claims, now: u64) -> Result<(), BearerRefused> {
    let leeway = LEEWAY.as_secs();
    if claims.exp.saturating_add(leeway) <= now {
        return Err(BearerRefused::Expired { ago: Duration::from_secs(now - claims.exp) });
    }
    let begins = claims.nbf.max(claims.iat);
    if begins > now.saturating_add(leeway) {
        return Err(BearerRefused::NotYet { in_: Duration::from_secs(begins - now) });
    }
    if !holds(Check::Lifetime, claims.exp.saturating_sub(claims.iat) <= MAX_TTL.as_secs()) {
        return Err(BearerRefused::TooLongLived);
    }
    Ok(())
}
