//! Carries what was revoked from node to node, until all have the same.
//!
//! ```text
//! made here ──────► Statements to all members at once
//! heard of  ──────► accept (signature, store), then News to some others ──► who lacks it pulls
//! a member appears, and now and then ──► Digest ──► where it differs: Ids ──► Pull, Statements
//! ```
//!
//! So a statement reaches whoever can be reached within moments, and who was away or parted has it as soon as it meets anybody again. Nobody is
//! trusted with it: the [`Ledger`] checks each signature, and nothing is passed on before it is durable here. Messages ride in
//! membership's frames, which know nothing of them.

mod allowance;
mod asked;
mod catching_up;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod message;
mod roots;
mod stranded;
#[cfg(test)]
mod tests;

use std::{cell::Cell, collections::HashSet, sync::Arc, time::Duration};

use p2p_client::{
    protocol::{NodeId, NodeInfo, Role},
    revocation::{Changes, Digest, SetFull, StatementId},
};
use rand::{RngExt, seq::SliceRandom};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use self::{
    allowance::Allowances,
    asked::Asked,
    catching_up::CatchingUp,
    message::{Talk, chunks},
};
use super::{
    Audience, EventStream, Expelled, MemberEvent, Members, Membership,
    inbox::{Heard, Inbox},
    standing::{OwnState, Remembered},
};
use crate::{
    audit::AuditLog,
    identity::{
        Ledger,
        revocation::{Accepted, SignedStatement, revoked_line},
    },
    once_a_minute::OnceAMinute,
};

/// How many members are told at once what this node revokes; in a larger cluster they tell the others.
const TOLD_AT_ONCE: usize = 128;
/// How many members are told of what was heard.
const TOLD_ON: usize = 4;
/// How often members are compared with, about.
const ROUND: Duration = Duration::from_secs(10);
/// The same, until the first comparison is done.
const FIRST_ROUND: Duration = Duration::from_millis(300);
/// How many members are compared with at a time until then.
const ASKED_AT_START: usize = 8;
/// Members that appear are compared with at once, so many within [`GREETING_TIME`]: after a split all appear together.
const GREETINGS: usize = 3;
const GREETING_TIME: Duration = Duration::from_secs(1);
/// How long somebody who was asked for a statement may take until another is.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so many bytes that others were told, nothing more is heard until they are on their way: a few bytes ask for all that was ever
/// revoked.
const TOLD_AT_A_TIME: usize = 256 * 1024;

/// Keeps a ledger the same as those of the other nodes.
pub(crate) struct Courier {
    ledger: Ledger,
    membership: Membership,
    /// What the others were told of, or told this node.
    known: HashSet<StatementId>,
    asked: Asked,
    /// What the others may still say.
    allowances: Allowances,
    /// Who was said to say too much.
    warned: OnceAMinute,
    /// How many bytes others were told since that was waited for.
    told: Cell<usize>,
    greeted: Vec<Instant>,
    /// The others that were there before this node started.
    once_there: Vec<NodeId>,
    /// Until this node has caught up.
    catching_up: Option<CatchingUp>,
    compared: watch::Sender<bool>,
    /// Is told when this node has caught up with others after its start, and again after its store turned out to have gone back in time.
    caught_up: Box<dyn Fn() + Send>,
    own: Arc<dyn OwnState>,
    /// How far the others had come.
    remembered: Remembered,
    /// What is known of the roots, as the others were last told.
    roots_told: roots::Standing,
    /// What others keep from under an earlier root and this node's operator was told of.
    open: stranded::Hints,
    audit: AuditLog,
}

impl Courier {
    /// For this ledger, among these members, where those were there before that are `once_there`. The receiver says whether it was compared with those of
    /// enough others, since the node started or learned that its store went back in time.
    pub(crate) fn new(
        ledger: Ledger,
        membership: Membership,
        once_there: Vec<NodeId>,
        own: Arc<dyn OwnState>,
        caught_up: Box<dyn Fn() + Send>,
        audit: AuditLog,
    ) -> (Self, watch::Receiver<bool>) {
        let (compared, first) = watch::channel(false);
        let known = ledger.ids().into_iter().collect();
        let roots_told = roots::standing(&ledger);
        (
            Self {
                ledger,
                membership,
                known,
                asked: Asked::default(),
                allowances: Allowances::default(),
                warned: OnceAMinute::default(),
                told: Cell::default(),
                greeted: Vec::new(),
                once_there,
                catching_up: Some(CatchingUp::default()),
                compared,
                caught_up,
                own,
                remembered: Remembered::default(),
                roots_told,
                open: stranded::Hints::default(),
                audit,
            },
            first,
        )
    }

    /// Works until membership stops.
    pub(crate) async fn run(mut self, mut inbox: Inbox, mut events: EventStream, mut changes: Changes) {
        self.expel();
        self.ledger.set_aside().await;
        let mut roots = self.ledger.roots().subscribe();
        let mut round = Instant::now() + FIRST_ROUND;
        loop {
            tokio::select! {
                received = inbox.recv() => match received {
                    Some(Heard::Said { from, content }) => self.receive(&from, &content).await,
                    Some(Heard::Unreachable(node_id)) => self.catching_up(|so_far| so_far.is_unreachable(&node_id)),
                    None => return,
                },
                () = changes.next() => self.changed(),
                // The sender lives as long as the ledger, which lives as long as this.
                _ = roots.changed() => self.roots_changed().await,
                event = events.next() => match event {
                    Some(MemberEvent::Joined(info) | MemberEvent::Recovered(info)) => {
                        self.greet(&info.node_id);
                        self.show_stranded(&info);
                    }
                    Some(_) => {}
                    None => return,
                },
                () = sleep_until(round) => round = Instant::now() + self.round().await,
            }
            self.see_whether_caught_up();
            if self.told.get() > TOLD_AT_A_TIME {
                self.told.set(0);
                self.membership.carried().await;
            }
        }
    }

    /// Whatever was said here and not heard from others is told to all.
    fn changed(&mut self) {
        let made: Vec<_> = self.ledger.ids().into_iter().filter(|id| self.known.insert(*id)).collect();
        for statements in chunks(self.ledger.get(&made)) {
            self.tell(Audience::Some(TOLD_AT_ONCE), &Talk::Statements(statements));
        }
        self.expel();
    }

    /// Revoked nodes are no members; those that were readmitted are others than before.
    fn expel(&self) {
        let set = self.ledger.revocations().set();
        let readmitted = set.readmitted().map(|(node_id, key)| (node_id.clone(), *key)).collect();
        self.membership.expel(Expelled { nodes: set.nodes().cloned().collect(), readmitted });
    }

    fn greet(&mut self, node_id: &NodeId) {
        let now = Instant::now();
        self.catching_up(|so_far| so_far.is_there(node_id));
        self.greeted.retain(|at| now < *at + GREETING_TIME);
        let greetings = if self.catching_up.is_some() { ASKED_AT_START } else { GREETINGS };
        if self.greeted.len() < greetings {
            self.greeted.push(now);
            self.compare(Audience::Node(node_id.clone()));
        }
    }

    /// The comparisons of a node that starts want an answer also where nothing differs.
    fn compare(&self, with: Audience) {
        let claim = self.own.claim();
        self.tell(
            with,
            &Talk::Digest { digest: self.ledger.digest(), roots: self.roots_id(), ask: self.catching_up.is_some(), claim },
        );
    }

    async fn round(&mut self) -> Duration {
        match &self.catching_up {
            Some(so_far) => self.ask_those_missing(so_far),
            None => self.compare(Audience::Some(1)),
        }
        self.show_stranded_to_any();
        if let Err(error) = self.ledger.forget_expired().await {
            tracing::warn!(%error, "revocations of expired tokens could not be forgotten");
        }
        self.asked.forget_late(Instant::now());
        self.allowances.forget_unused(Instant::now());
        let pause = if self.catching_up.is_some() { FIRST_ROUND } else { ROUND };
        pause.mul_f64(rand::rng().random_range(0.8..1.2))
    }

    /// Who starts asks many, and the coordinators first: one alone may not have heard of what happened last, or be the one that was revoked.
    fn ask_those_missing(&self, so_far: &CatchingUp) {
        let members = self.membership.members();
        let mut missing: Vec<_> = others(&members).filter(|info| !so_far.has_answered(&info.node_id)).collect();
        missing.shuffle(&mut rand::rng());
        missing.sort_by_key(|info| (!so_far.waits_for(&info.node_id), info.role != Role::Coordinator));
        for info in missing.into_iter().take(ASKED_AT_START) {
            self.compare(Audience::Node(info.node_id.clone()));
        }
    }

    /// Deals with what another says, as long as that is no more than an honest node does.
    async fn receive(&mut self, from: &NodeId, bytes: &[u8]) {
        if !self.allowances.is_left(from, Instant::now()) {
            if self.warned.is_due(from) {
                tracing::warn!(
                    %from,
                    "this node says and asks more on revocations than an honest one does, and what is too much is ignored; look into that node"
                );
            }
            return;
        }
        let told_before = self.told.get();
        self.heed(from, bytes).await;
        let answered = self.told.get().saturating_sub(told_before);
        self.allowances.use_up(from, bytes.len().saturating_add(answered), Instant::now());
    }

    async fn heed(&mut self, from: &NodeId, bytes: &[u8]) {
        let talk = match Talk::decode(bytes) {
            Ok(talk) => talk,
            Err(error) => {
                tracing::debug!(%from, %error, "a message on revocations was ignored");
                return;
            }
        };
        match talk {
            Talk::Digest { digest, roots, ask, claim } => {
                // Before anything by which the other takes itself for compared.
                if let Some(furthest) = claim.and_then(|claim| self.remembered.heard(from, claim)) {
                    tracing::debug!(%from, "a node that started again is given what it said before");
                    self.answer(from, &Talk::Remembered(furthest));
                }
                // The roots first: by them revocations are believed.
                self.compare_roots(from, roots);
                self.digest(from, digest, ask);
            }
            Talk::Ids(theirs) => self.even_out(from, theirs),
            Talk::Pull(ids) => {
                self.give(from, &message::once_each(ids));
            }
            Talk::News(ids) => self.pull(from, ids),
            Talk::Statements(statements) => self.take(from, statements).await,
            Talk::Stranded(statements) => self.take_up(from, statements).await,
            Talk::Told { told, ask } => self.take_roots(from, *told, ask).await,
            Talk::Remembered(claim) => {
                if self.own.shown(claim).await {
                    self.catching_up = Some(CatchingUp::default());
                    self.compared.send_replace(false);
                }
            }
        }
    }

    fn digest(&mut self, from: &NodeId, digest: Digest, ask: bool) {
        if digest != self.ledger.digest() {
            self.answer(from, &Talk::Ids(self.ledger.ids()));
            return;
        }
        self.catching_up(|so_far| so_far.answered(from, Instant::now()));
        if ask {
            self.answer(from, &Talk::Digest { digest, roots: self.roots_id(), ask: false, claim: None });
        }
    }

    /// Gives the other what it lacks, and asks for what this node lacks.
    fn even_out(&mut self, from: &NodeId, theirs: Vec<StatementId>) {
        let there: HashSet<_> = theirs.iter().copied().collect();
        let lacking: Vec<_> = self.ledger.ids().into_iter().filter(|id| !there.contains(id)).collect();
        self.give(from, &lacking);
        let set = self.ledger.revocations().set();
        self.catching_up(|so_far| so_far.owes(from, theirs.iter().copied().filter(|id| !set.contains(id)), Instant::now()));
        self.pull(from, theirs);
    }

    fn give(&self, to: &NodeId, ids: &[StatementId]) {
        for statements in chunks(self.ledger.get(ids)) {
            self.answer(to, &Talk::Statements(statements));
        }
    }

    /// Asks for those of these statements that are not here.
    fn pull(&mut self, from: &NodeId, ids: Vec<StatementId>) {
        let set = self.ledger.revocations().set();
        let wanted = self.asked.ask(from, ids.into_iter().filter(|id| !set.contains(id)), Instant::now());
        for ids in wanted.chunks(message::MAX_PULL) {
            self.answer(from, &Talk::Pull(ids.to_vec()));
        }
    }

    async fn take(&mut self, from: &NodeId, statements: Vec<SignedStatement>) {
        let ids: Vec<_> = statements.iter().map(SignedStatement::id).collect();
        let accepted = match self.ledger.accept(statements).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%from, %error, "revocations could not be kept; they will be asked for again");
                return;
            }
        };
        write_down(&self.audit, from, &accepted);
        if accepted.without_room > 0 {
            tracing::error!(%from, left_out = accepted.without_room, error = %SetFull, "revocations were not kept");
        }
        self.came(from, &ids);
        if !accepted.fresh.is_empty() {
            self.known.extend(accepted.fresh.iter().copied());
            self.tell(Audience::Some(TOLD_ON), &Talk::News(accepted.fresh));
        }
    }

    /// Notes what another gave: what was believed has come for all, the rest only from this one.
    fn came(&mut self, from: &NodeId, given: &[StatementId]) {
        let (set, now) = (self.ledger.revocations().set(), Instant::now());
        let here: Vec<_> = given.iter().copied().filter(|id| set.contains(id)).collect();
        self.asked.came(&here);
        self.catching_up(|so_far| {
            so_far.came(&here, now);
            so_far.gave(from, given, now);
        });
    }

    /// Lets this be noted, where it still matters.
    fn catching_up(&mut self, note: impl FnOnce(&mut CatchingUp)) {
        self.catching_up.as_mut().map(note);
    }

    fn see_whether_caught_up(&mut self) {
        let Some(so_far) = &self.catching_up else { return };
        let (members, set) = (self.membership.members(), self.ledger.revocations().set());
        let is_told_of = |node_id: &NodeId| members.get(node_id).is_some() || set.revoked_at(node_id).is_some();
        let once_there = self.once_there.iter().filter(|node_id| !is_told_of(node_id)).map(|node_id| (node_id, None));
        let there = others(&members).map(|info| (&info.node_id, Some(info.role)));
        if so_far.is_done(there.chain(once_there), Instant::now()) {
            self.catching_up = None;
            self.compared.send_replace(true);
            (self.caught_up)();
        }
    }

    fn answer(&self, to: &NodeId, talk: &Talk) {
        self.tell(Audience::Node(to.clone()), talk);
    }

    fn tell(&self, audience: Audience, talk: &Talk) {
        let content = talk.encode();
        self.told.set(self.told.get() + content.len());
        self.membership.carry(audience, content);
    }
}

/// The members but this node that are there.
fn others(members: &Members) -> impl Iterator<Item = &Arc<NodeInfo>> {
    members.iter().filter(|info| info.is_callable() && info.node_id != *members.me())
}

/// The audit log is told what other coordinators have revoked, and of what was not believed the last, by which it was left.
fn write_down(audit: &AuditLog, from: &NodeId, accepted: &Accepted) {
    let carrier = format!("node {from}");
    for statement in &accepted.statements {
        revoked_line(statement, &carrier).write();
    }
    if let Some(refused) = accepted.refused.last() {
        audit.refused(&carrier, "revoke", &carrier, refused);
    }
}
