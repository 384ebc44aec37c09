//! The protocol of a session as a pure state machine: messages in, messages out, time as an argument.
//!
//! Both ends run the same machine. It keeps the calls that this end has made ([`begin`](Machine::begin) to
//! [`take`](Machine::take)) and those that it serves ([`Event::Serve`] to [`answer`](Machine::answer)); what it wants sent gathers
//! in one buffer, which its owner drains whole ([`take_output`](Machine::take_output)): that is how the frames of many calls
//! travel together. `W` is whatever wakes a caller; the machine only keeps it.
//!
//! Ids grow with each call, so that one used twice is noticed without remembering any; the lower bits of an id are the place where
//! its sender keeps the call. Every call is answered exactly once, also a cancelled one: until then it occupies its place.

mod ended;
mod made;
mod served;

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{
    limits::SessionLimits,
    message::{Incoming, Message, write_go_away},
};

pub use ended::{Ended, Violation};
pub use made::{CallKey, Outcome, Progress, Refused};
pub use served::ItemSent;

use made::{MAX_PLACES, Slot};
use served::{ById, Parked};

/// What the owner of a machine has to do after it took a message.
#[derive(Debug)]
pub enum Event<W> {
    /// Wake this caller: there is something for it.
    Wake(W),
    /// Serve this call, and then [`answer`](Machine::answer) it.
    Serve(Incoming),
    /// Nobody waits any more for a call, if it is still being served. It is to be answered all the same.
    Cancel(u64),
    /// There is new credit for the items of a call that is being served.
    Credit(u64),
    /// This many calls less are unanswered by the other end: others may go out.
    Freed,
}

/// One end of a session.
#[derive(Debug)]
pub struct Machine<W> {
    limits: SessionLimits,
    /// How many calls of ours the other end takes at a time.
    peer_calls: u32,
    out: BytesMut,
    /// Bytes ever written to `out`, and taken from it: a call whose bytes were not taken was surely not sent.
    written: u64,
    taken: u64,
    calls: Vec<Slot<W>>,
    free: Vec<u32>,
    /// Calls that the other end has not answered.
    owed: u32,
    /// Calls ever made.
    made: u64,
    /// No call's time runs out before this.
    next_deadline: Option<Instant>,
    serving: ById,
    /// Calls without credit that were handed out to be served, and are not in `serving` yet.
    handed_out: u32,
    /// Calls that wait until what is to be sent has become less.
    backlog: VecDeque<Incoming>,
    last_incoming: u64,
    /// Calls of the other end that were taken.
    accepted: u64,
    parked: HashMap<u64, Parked>,
    parked_bytes: usize,
    tickets: u64,
    /// We said that we take no more.
    leaving: bool,
    /// The other end said so, or the session is over.
    ended: Option<Ended>,
}

impl<W> Machine<W> {
    /// One end of a fresh session, of which the other end takes `peer_calls` calls at a time. Tickets are counted from `first_ticket`,
    /// which has to keep those of different sessions apart.
    pub fn new(limits: SessionLimits, peer_calls: u32, first_ticket: u64) -> Self {
        Self {
            limits,
            peer_calls: peer_calls.min(MAX_PLACES),
            out: BytesMut::new(),
            written: 0,
            taken: 0,
            calls: Vec::new(),
            free: Vec::new(),
            owed: 0,
            made: 0,
            next_deadline: None,
            serving: HashMap::default(),
            handed_out: 0,
            backlog: VecDeque::new(),
            last_incoming: 0,
            accepted: 0,
            parked: HashMap::new(),
            parked_bytes: 0,
            tickets: first_ticket,
            leaving: false,
            ended: None,
        }
    }

    // ---- what comes in

    /// Takes a message, and adds what is to be done to `events`.
    ///
    /// # Errors
    /// The rule that it breaks. The session is over then; see [`end`](Self::end).
    pub fn receive(&mut self, message: Message, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        match message {
            Message::Answer { id, answer } => self.answered(id, answer, events),
            Message::Call(call) => self.called(call, events),
            Message::Cancel { id } => {
                self.cancelled(id, events);
                Ok(())
            }
            Message::Open { id } => self.open_came(id, events),
            Message::Item { id, item } => self.item_came(id, item, events),
            Message::Credit { id, n } => {
                self.credit_came(id, n, events);
                Ok(())
            }
            Message::GoAway { taken, reason } => {
                self.go_away_came(taken, &reason, events);
                Ok(())
            }
            Message::Unknown => Ok(()),
        }
    }

    /// [`receive`](Self::receive), from the bytes of a message.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn receive_bytes(&mut self, message: Bytes, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        self.receive(Message::parse(message)?, events)
    }

    // ---- what goes out

    fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.out.len();
        write(&mut self.out);
        self.written += (self.out.len() - before) as u64;
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Whether so much waits to be sent that nothing should be added which can wait.
    pub fn is_congested(&self) -> bool {
        self.out.len() > self.limits.max_waiting
    }

    /// Takes what is to be sent, at most `max` bytes of it. Calls that waited for there to be less are handed out.
    pub fn take_output(&mut self, max: usize, events: &mut Vec<Event<W>>) -> Bytes {
        let chunk = if self.out.len() <= max { self.out.split() } else { self.out.split_to(max) };
        self.taken += chunk.len() as u64;
        while !self.is_congested()
            && let Some(call) = self.backlog.pop_front()
        {
            self.hand_out(call, events);
        }
        chunk.freeze()
    }

    /// Says that the last bytes that were taken have not been sent, and will not be: the session is about to [`end`](Self::end).
    pub fn was_not_sent(&mut self, bytes: usize) {
        self.taken -= bytes as u64;
    }

    // ---- time, and the end

    /// When [`tick`](Self::tick) is to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    /// Ends the calls whose time has run out, and forgets answers that nobody fetched.
    pub fn tick(&mut self, now: Instant, events: &mut Vec<Event<W>>) {
        if self.next_deadline.is_none_or(|next| next > now) {
            return;
        }
        self.next_deadline = self.forget_late(now);
        if let Some(next) = self.end_late(now, events) {
            self.wake_at(next);
        }
    }

    /// Says to the other end that no further call of it is taken. Calls to it can still be made, until it says the same; when both have
    /// said so and nothing runs any more, the session [`is_drained`](Self::is_drained).
    pub fn leave(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.leaving, true) {
            let accepted = self.accepted;
            self.write(|out| write_go_away(accepted, reason, out));
        }
    }

    /// How many calls of the other end were taken.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether a call is being served.
    pub fn is_serving(&self, id: u64) -> bool {
        self.serving.contains_key(&id)
    }

    /// Has [`tick`](Self::tick) called at this time at the latest.
    pub fn wake_at(&mut self, time: Instant) {
        self.next_deadline = Some(earlier(self.next_deadline, time));
    }

    /// Whether this end said that it takes no further call.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether neither end is leaving.
    pub fn is_open(&self) -> bool {
        self.ended.is_none() && !self.leaving
    }

    /// Whether the other end leaves, and nothing is left for which this end should not say so too.
    pub fn should_leave(&self) -> bool {
        self.ended.is_some() && !self.leaving && self.is_quiet()
    }

    /// Whether both ends have left and nothing is left to do.
    pub fn is_drained(&self) -> bool {
        self.leaving && self.ended.is_some() && self.is_quiet()
    }

    /// Whether this end has left, and every call of the other end that it took is answered, the answers on their way or fetched.
    pub fn is_served(&self) -> bool {
        self.leaving && self.unanswered() == 0 && self.out.is_empty() && self.parked.is_empty()
    }

    /// Whether the other end has left, and large answers still wait for it.
    pub fn waits_to_be_fetched(&self) -> bool {
        self.ended.is_some() && !self.parked.is_empty()
    }

    /// Whether no call is open in either direction, and nothing waits to be sent or fetched.
    pub fn is_quiet(&self) -> bool {
        self.owed == 0 && self.unanswered() == 0 && self.out.is_empty() && self.parked.is_empty()
    }

    /// How many calls of this end may be unanswered at a time.
    pub fn peer_calls(&self) -> u32 {
        self.peer_calls
    }

    /// Calls of this end that are not answered.
    pub fn in_flight(&self) -> u32 {
        self.owed
    }

    /// Ends the session: whoever waits is told the truth about whether the call may have run.
    pub fn end(&mut self, ended: &Ended, events: &mut Vec<Event<W>>) {
        self.ended = Some(ended.clone());
        self.end_all(ended, events);
        events.extend(self.serving.drain().map(|(id, _)| Event::Cancel(id)));
        self.backlog.clear();
        self.parked.clear();
        self.parked_bytes = 0;
        self.out.clear();
    }

    /// Why the session is over for new calls, if it is.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }
}

/// The earlier of two times.
fn earlier(one: Option<Instant>, other: Instant) -> Instant {
    one.map_or(other, |one| one.min(other))
}

#[cfg(test)]
mod tests;
