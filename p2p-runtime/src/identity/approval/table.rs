//! The requests of a coordinator and what becomes of them: pure, with time coming from outside.

use std::{collections::BTreeMap, time::Duration};

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::{KeyHash, Reason},
};
use serde::{Deserialize, Serialize};

use super::ApprovalError;
use crate::identity::{
    address::Host,
    join::{Candidate, Refused},
    token::TokenId,
    token_table::millis,
};

/// How many requests wait at once.
pub const MAX_WAITING: usize = 256;
/// How many are remembered that are decided or expired.
const MAX_CLOSED: usize = 1024;
/// How long a request waits for an operator, and an approval for its node.
pub(in crate::identity) const WAITS: Duration = Duration::from_hours(7 * 24);
/// How long it is remembered what became of a request.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// A node that waits for an operator: what the operator is shown, and approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingNode {
    /// The name that it wants.
    pub node_id: NodeId,
    /// The role that it wants.
    pub role: Role,
    /// The addresses that it has proved to be its own.
    pub addresses: Vec<Host>,
    /// Its key.
    pub key: KeyHash,
    /// The token that it has, of which it took a use.
    pub token: TokenId,
    /// Since when it waits.
    pub since: UnixMillis,
    /// Until when.
    pub expires: UnixMillis,
    /// When it was approved; then its certificate waits for it.
    #[serde(default)]
    pub approved: Option<UnixMillis>,
}

impl PendingNode {
    /// As the audit log names it.
    pub(crate) fn in_audit(&self) -> String {
        format!("{} ({}), key sha256:{}", self.node_id, self.role, self.key)
    }
}

/// What was decided about a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(in crate::identity) enum Decision {
    /// Nothing yet.
    Waiting,
    /// The node gets its certificate when it asks next.
    Approved {
        /// When that was decided.
        at: UnixMillis,
    },
    /// It has its certificate, and gets it again where the answer was lost.
    Joined,
    /// It gets none.
    Denied {
        /// Why.
        reason: Reason,
    },
}

/// A request to join, and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::identity) struct JoinRequest {
    node_id: NodeId,
    role: Role,
    key: KeyHash,
    token: TokenId,
    /// All addresses that the node named.
    claimed: Vec<Host>,
    /// Those that it proved.
    addresses: Vec<Host>,
    since: UnixMillis,
    expires: UnixMillis,
    decision: Decision,
}

impl JoinRequest {
    /// What this candidate asks, at the addresses that it has proved.
    pub(in crate::identity) fn of(candidate: &Candidate, proved: &[Host], now: UnixMillis) -> Self {
        Self {
            node_id: candidate.node_id.clone(),
            role: candidate.role,
            key: candidate.key.thumbprint().into(),
            token: candidate.token,
            claimed: candidate.addresses.clone(),
            addresses: proved.to_vec(),
            since: now,
            expires: later(now),
            decision: Decision::Waiting,
        }
    }

    /// It as an operator is shown it.
    pub(in crate::identity) fn shown(&self) -> PendingNode {
        PendingNode {
            node_id: self.node_id.clone(),
            role: self.role,
            addresses: self.addresses.clone(),
            key: self.key,
            token: self.token,
            since: self.since,
            expires: self.expires,
            approved: if let Decision::Approved { at } = self.decision { Some(at) } else { None },
        }
    }

    /// Whether it is this node's, by this token.
    fn is_of(&self, node_id: &NodeId, role: Role, token: TokenId) -> bool {
        (&self.node_id, self.role, self.token) == (node_id, role, token)
    }

    /// Whether this is what was shown: all that the operator saw, but for the time left and the decision itself.
    fn is(&self, shown: &PendingNode) -> bool {
        let Self { node_id, role, key, token, addresses, since, .. } = self;
        (node_id, role, key, token, addresses, since)
            == (&shown.node_id, &shown.role, &shown.key, &shown.token, &shown.addresses, &shown.since)
    }

    fn is_over(&self, now: UnixMillis) -> bool {
        now >= self.expires
    }

    /// Whether something can still be decided about it.
    pub(super) fn is_open(&self, now: UnixMillis) -> bool {
        !self.is_over(now) && matches!(self.decision, Decision::Waiting | Decision::Approved { .. })
    }

    /// Why nothing can be decided about it any more.
    fn closed(&self) -> ApprovalError {
        let node_id = self.node_id.clone();
        match &self.decision {
            Decision::Joined => ApprovalError::Joined { node_id },
            Decision::Denied { .. } => ApprovalError::Denied { node_id },
            Decision::Waiting | Decision::Approved { .. } => ApprovalError::Expired { node_id },
        }
    }
}

fn later(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_add(millis(WAITS)))
}

/// How a candidate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::identity) enum Standing {
    /// It has asked for nothing yet.
    New,
    /// It has asked, and nothing is decided.
    Waiting,
    /// It has asked at other addresses.
    Moved,
    /// It was approved, at these addresses.
    Approved(Vec<Host>),
}

/// The requests of a coordinator: one for each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::identity) struct Approvals(BTreeMap<KeyHash, JoinRequest>);

impl Approvals {
    /// Those that were stored.
    pub(in crate::identity) fn restored(requests: impl IntoIterator<Item = JoinRequest>) -> Self {
        Self(requests.into_iter().map(|request| (request.key, request)).collect())
    }

    /// The request of this key.
    pub(in crate::identity) fn get(&self, key: &KeyHash) -> Option<&JoinRequest> {
        self.0.get(key)
    }

    /// How this candidate stands.
    ///
    /// # Errors
    /// It was denied, or nobody approved it in time.
    pub(in crate::identity) fn standing(&self, candidate: &Candidate, now: UnixMillis) -> Result<Standing, Refused> {
        let key = candidate.key.thumbprint().into();
        let Some(request) = self.0.get(&key).filter(|request| request.is_of(&candidate.node_id, candidate.role, candidate.token))
        else {
            return Ok(Standing::New);
        };
        let node_id = request.node_id.clone();
        match &request.decision {
            Decision::Denied { reason } => Err(Refused::Denied { node_id, reason: reason.clone() }),
            Decision::Joined if request.is_over(now) => Ok(Standing::New),
            Decision::Waiting | Decision::Approved { .. } if request.is_over(now) => Err(Refused::NotApproved { node_id }),
            Decision::Approved { .. } | Decision::Joined => Ok(Standing::Approved(request.addresses.clone())),
            Decision::Waiting if request.claimed == candidate.addresses => Ok(Standing::Waiting),
            Decision::Waiting => Ok(Standing::Moved),
        }
    }

    /// Whether the request of this key still waits, so that there is nothing to tell its node.
    pub(in crate::identity) fn is_waiting(&self, key: &KeyHash, now: UnixMillis) -> bool {
        self.0.get(key).is_some_and(|request| !request.is_over(now) && request.decision == Decision::Waiting)
    }

    /// Takes a request, in the place of an earlier one of the same key.
    ///
    /// # Errors
    /// Too many wait.
    pub(in crate::identity) fn ask(&mut self, request: JoinRequest, now: UnixMillis) -> Result<(), Refused> {
        self.forget(now);
        let others = self.0.values().filter(|other| other.key != request.key && other.is_open(now)).count();
        if others >= MAX_WAITING {
            return Err(Refused::TooManyWait { max: MAX_WAITING });
        }
        let is_earlier = |other: &&JoinRequest| other.is_open(now) && other.is_of(&request.node_id, request.role, request.token);
        let earlier = self.0.get(&request.key).filter(is_earlier);
        // Whoever moves does not wait longer by it.
        let expires = earlier.map_or(request.expires, |earlier| earlier.expires);
        self.0.insert(request.key, JoinRequest { expires, ..request });
        Ok(())
    }

    /// Those that can be decided about, the oldest first.
    pub(in crate::identity) fn open(&self, now: UnixMillis) -> Vec<PendingNode> {
        let mut open: Vec<_> = self.0.values().filter(|request| request.is_open(now)).map(JoinRequest::shown).collect();
        open.sort_by_key(|request| request.since);
        open
    }

    /// The one request that is meant by a name, or by a name and a key.
    ///
    /// # Errors
    /// There is none, or more than one, or nothing can be decided about it any more.
    pub(in crate::identity) fn find(
        &self,
        node_id: &NodeId,
        key: Option<&KeyHash>,
        now: UnixMillis,
    ) -> Result<PendingNode, ApprovalError> {
        let of_name = || self.0.values().filter(|request| request.node_id == *node_id);
        let meant: Vec<_> = of_name().filter(|request| key.is_none_or(|key| request.key == *key)).collect();
        let open: Vec<_> = meant.iter().filter(|request| request.is_open(now)).collect();
        match (open.as_slice(), meant.iter().max_by_key(|request| request.since)) {
            ([one], _) => Ok(one.shown()),
            ([], Some(last)) => Err(last.closed()),
            ([], None) => Err(self.unknown(node_id, key, now)),
            (several, _) => {
                let keys = several.iter().map(|request| request.key).collect();
                Err(ApprovalError::Several { node_id: node_id.clone(), keys })
            }
        }
    }

    fn unknown(&self, node_id: &NodeId, key: Option<&KeyHash>, now: UnixMillis) -> ApprovalError {
        let open = self.open(now);
        let keys: Vec<_> = open.iter().filter(|request| request.node_id == *node_id).map(|request| request.key).collect();
        match key {
            Some(key) if !keys.is_empty() => ApprovalError::OtherKey { node_id: node_id.clone(), key: *key, keys },
            _ => {
                let waiting = open.into_iter().map(|request| request.node_id).collect();
                ApprovalError::Unknown { node_id: node_id.clone(), waiting }
            }
        }
    }

    /// Approves what was shown, and nothing else.
    ///
    /// # Errors
    /// It is not there any more as it was shown, was decided before, or its name was given to another key.
    pub(in crate::identity) fn approve(&mut self, shown: &PendingNode, now: UnixMillis) -> Result<&JoinRequest, ApprovalError> {
        let node_id = shown.node_id.clone();
        let approved = |other: &JoinRequest| matches!(other.decision, Decision::Approved { .. }) && !other.is_over(now);
        let rival = self.0.values().find(|other| other.node_id == node_id && other.key != shown.key && approved(other));
        let rival = rival.map(|other| other.key);
        let request = self.decidable(shown, now)?;
        match (&request.decision, rival) {
            (Decision::Approved { .. }, _) => Err(ApprovalError::Approved { node_id }),
            (_, Some(key)) => Err(ApprovalError::NameGiven { node_id, key }),
            _ => {
                (request.decision, request.expires) = (Decision::Approved { at: now }, later(now));
                Ok(request)
            }
        }
    }

    /// Denies what was shown; an approval that the node has not made use of is taken back by it.
    ///
    /// # Errors
    /// It is not there any more as it was shown, or was decided before.
    pub(in crate::identity) fn deny(
        &mut self,
        shown: &PendingNode,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<&JoinRequest, ApprovalError> {
        let request = self.decidable(shown, now)?;
        (request.decision, request.expires) = (Decision::Denied { reason }, now);
        Ok(request)
    }

    /// The request that was shown, as long as something can be decided about it.
    fn decidable(&mut self, shown: &PendingNode, now: UnixMillis) -> Result<&mut JoinRequest, ApprovalError> {
        let unknown = self.unknown(&shown.node_id, None, now);
        let request = self.0.get_mut(&shown.key).ok_or(unknown)?;
        match request {
            request if !request.is(shown) => Err(ApprovalError::Changed { node_id: shown.node_id.clone() }),
            request if request.is_open(now) => Ok(request),
            request => Err(request.closed()),
        }
    }

    /// Notes that the node of this key has its certificate.
    pub(in crate::identity) fn joined(&mut self, key: &KeyHash) {
        if let Some(request) = self.0.get_mut(key) {
            request.decision = Decision::Joined;
        }
    }

    /// Forgets the requests that came by tokens which let nobody in any more, also those that were approved and have not come. Others that are decided
    /// are remembered. Gives those that are forgotten.
    pub(in crate::identity) fn drop_those_by(&mut self, is_void: impl Fn(TokenId) -> bool, now: UnixMillis) -> Vec<PendingNode> {
        let mut dropped = Vec::new();
        self.0.retain(|_, request| {
            let goes = request.is_open(now) && is_void(request.token);
            if goes {
                dropped.push(request.shown());
            }
            !goes
        });
        dropped
    }

    /// Forgets the request of this key, whose node came in otherwise.
    pub(in crate::identity) fn remove(&mut self, key: &KeyHash) {
        self.0.remove(key);
    }

    /// Forgets what is long over, and the oldest where there is too much of it.
    fn forget(&mut self, now: UnixMillis) {
        self.0.retain(|_, request| now.0 < request.expires.0.saturating_add(millis(REMEMBERED)));
        let mut closed: Vec<_> =
            self.0.values().filter(|request| !request.is_open(now)).map(|request| (request.expires, request.key)).collect();
        let surplus = closed.len().saturating_sub(MAX_CLOSED);
        closed.sort_unstable();
        for (_, key) in closed.into_iter().take(surplus) {
            self.0.remove(&key);
        }
    }

    /// What makes the store hold this table, where it holds `before`: each key whose request differs, with what it is now.
    pub(in crate::identity) fn since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (KeyHash, Option<&'a JoinRequest>)> + 'a {
        let gone = before.0.keys().filter(|key| !self.0.contains_key(key)).map(|key| (*key, None));
        let put = self.0.iter().filter(|(key, request)| before.0.get(key) != Some(request));
        gone.chain(put.map(|(key, request)| (*key, Some(request))))
    }
}
