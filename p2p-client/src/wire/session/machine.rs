//! The protocol of a session as a pure state machine: messages in, messages out, time as an argument.
//!
//! Both ends run the same machine. It keeps the calls that this end has made ([`begin`](Machine::begin) to
//! [`take`](Machine::take)) and those that it serves ([`Event::Serve`] to [`answer`](Machine::answer)); what it wants sent gathers
//! in one buffer, which its owner drains whole ([`take_output`](Machine::take_output)): that is how the frames of many calls
//! travel together. `W` is whatever wakes a caller; the machine only keeps it.
//!
//! Ids grow with each call, so that one used twice is noticed without remembering any; the lower bits of an id are the place where
//! its sender keeps the call. Every call is answered exactly once, also a cancelled one: until then it occupies its place.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasherDefault,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::protocol::RpcError;

use super::{
    frame::FrameError,
    limits::{MAX_INLINE, SessionLimits},
    message::{
        self, Answer, Incoming, Message, MessageError, Outgoing, write_answer, write_body, write_cancel, write_credit,
        write_go_away, write_item, write_open,
    },
};

/// How many bits of an id tell its place.
const PLACE_BITS: u32 = 16;
/// The most calls of one end, whatever the other allows.
const MAX_PLACES: u32 = 1 << PLACE_BITS;

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// This end closed it in good order.
    #[error("the session was closed: {0}")]
    Closed(String),
    /// The other end closed it in good order.
    #[error("the peer closed the session: {0}")]
    Left(String),
    /// The connection broke, or its other end is gone.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The other end broke the rules of the protocol.
    #[error("the peer broke the session's protocol: {0}")]
    Violation(#[from] Violation),
    /// The other end takes nothing of what is sent.
    #[error("the peer has not read for {} s", .0.as_secs())]
    NotReading(Duration),
    /// The other end gives no sign of life.
    #[error("the peer gave no sign of life for {} s", .0.as_secs())]
    Silent(Duration),
    /// A certificate of one of the ends is not valid any more.
    #[error("the certificate of the connection has expired")]
    CertificateExpired,
}

/// A broken rule of the protocol: the session ends with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that holds no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A call's id is not above all before it.
    #[error("the call id {id} was used before, or is below {last}; ids must grow")]
    DuplicateId {
        /// The id.
        id: u64,
        /// The highest before it.
        last: u64,
    },
    /// An answer or item for a call that was never made, or was answered already.
    #[error("there is no call {id} that could be answered")]
    UnknownId {
        /// The id.
        id: u64,
    },
    /// More calls at a time than were allowed.
    #[error("more than {limit} calls at a time")]
    TooManyCalls {
        /// How many were allowed.
        limit: u32,
    },
    /// More items of a stream than there was leave for.
    #[error("more items of the stream {id} than there was credit for")]
    TooManyItems {
        /// The call that opened it.
        id: u64,
    },
}

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

/// How a call ended for its caller.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With an answer of the other end.
    Answered(Answer),
    /// It was surely not served.
    NotSent(Ended),
    /// It was sent, and may have run; the session ended before it was answered.
    Lost(Ended),
    /// Its time ran out.
    Deadline,
}

/// What there is for the caller of a call.
#[derive(Debug)]
pub enum Progress {
    /// Nothing yet.
    Pending,
    /// The stream that it asked for is open. Its items follow; its time cannot run out any more.
    Open,
    /// An item of the stream that it opened.
    Item(Bytes),
    /// Its end. The call is forgotten with it.
    Done(Outcome),
}

/// The place of a call in its machine, and the call's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallKey(u64);

impl CallKey {
    /// The id on the wire.
    pub const fn id(self) -> u64 {
        self.0
    }

    fn place(self) -> usize {
        usize::try_from(self.0 & u64::from(MAX_PLACES - 1)).unwrap_or(usize::MAX)
    }
}

/// Why a call cannot be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// As many calls are unanswered as the other end takes; wait for [`Event::Freed`].
    TooManyCalls,
    /// The session takes no further calls.
    Ended(Ended),
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
    serving: HashMap<u64, Serving, BuildHasherDefault<IdHasher>>,
    /// Calls handed out to be served at once that are not in `serving` yet.
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

/// The place of one call of ours.
#[derive(Debug)]
struct Slot<W> {
    id: u64,
    /// None once its stream is open.
    deadline: Option<Instant>,
    /// Where its bytes end, counted as `written` is.
    end: u64,
    /// Its number among all calls of this end, beginning with 1.
    number: u64,
    waiter: Waiter<W>,
    /// Whether the other end still has to answer.
    is_owed: bool,
    stream: Option<Box<Items>>,
}

#[derive(Debug)]
enum Waiter<W> {
    /// The call was given up, or was ended by taking its outcome.
    Gone,
    /// The caller was woken and has not looked yet.
    Looking,
    Waiting(W),
    /// The outcome waits for its caller.
    Ready(Outcome),
}

/// What came in of a stream.
#[derive(Debug)]
struct Items {
    /// The other end said that it is open, and the caller has yet to be told.
    is_news: bool,
    waiting: VecDeque<Bytes>,
    /// How many items the other end may still send.
    credit: u32,
    /// How many were taken by the caller since credit was last given.
    consumed: u32,
    window: u32,
}

/// A call that is being served.
#[derive(Debug)]
struct Serving {
    credit: u32,
    /// Its caller knows that the stream is open.
    is_open: bool,
}

/// A large answer that waits to be fetched.
#[derive(Debug)]
struct Parked {
    body: Bytes,
    until: Instant,
}

/// Ids are numbers that grow; their low bits differ most, and nobody but the peer of this one session chooses them.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
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

    // ---- calls of this end

    /// Makes a call; `waker` is given back by [`Event::Wake`] when there is something for it. Without one, its caller is about to [`take`](Self::take).
    ///
    /// # Errors
    /// [`Refused`]; nothing was sent then.
    pub fn begin(&mut self, call: &Outgoing<'_>, deadline: Instant, waker: impl Into<Option<W>>) -> Result<CallKey, Refused> {
        if let Some(ended) = &self.ended {
            return Err(Refused::Ended(ended.clone()));
        }
        if self.owed >= self.peer_calls {
            return Err(Refused::TooManyCalls);
        }
        let place = self.free_place().ok_or(Refused::TooManyCalls)?;
        self.made += 1;
        let id = (self.made << PLACE_BITS) | u64::from(place);
        let before = self.out.len();
        call.write(id, &mut self.out);
        self.written += (self.out.len() - before) as u64;
        self.owed += 1;
        self.wake_at(deadline);
        let stream = call
            .credit
            .map(|credit| Box::new(Items { is_news: false, waiting: VecDeque::new(), credit, consumed: 0, window: credit }));
        let waiter = waker.into().map_or(Waiter::Looking, Waiter::Waiting);
        let slot = Slot { id, deadline: Some(deadline), end: self.written, number: self.made, waiter, is_owed: true, stream };
        match self.calls.get_mut(place as usize) {
            Some(free) => *free = slot,
            None => self.calls.push(slot),
        }
        Ok(CallKey(id))
    }

    fn free_place(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| u32::try_from(self.calls.len()).ok().filter(|place| *place < MAX_PLACES))
    }

    /// What there is for the caller of a call. While there is nothing, `waker` makes the waker to keep.
    pub fn take(&mut self, key: CallKey, waker: impl FnOnce(Option<W>) -> W) -> Progress {
        let Some(slot) = self.calls.get_mut(key.place()).filter(|slot| slot.id == key.id()) else {
            return Progress::Done(Outcome::Lost(Ended::Closed("the call was taken already".to_owned())));
        };
        if let Some(items) = &mut slot.stream
            && std::mem::take(&mut items.is_news)
        {
            return Progress::Open;
        }
        if let Some(items) = &mut slot.stream
            && let Some(item) = items.waiting.pop_front()
        {
            items.consumed += 1;
            // Half of the window at a time: few messages, and the stream never has to stop for want of one.
            if items.consumed * 2 >= items.window && slot.is_owed {
                let n = std::mem::take(&mut items.consumed);
                items.credit += n;
                self.write(|out| write_credit(key.id(), n, out));
            }
            return Progress::Item(item);
        }
        let earlier = match std::mem::replace(&mut slot.waiter, Waiter::Gone) {
            Waiter::Ready(outcome) => {
                self.release(key.place());
                return Progress::Done(outcome);
            }
            Waiter::Waiting(earlier) => Some(earlier),
            Waiter::Looking | Waiter::Gone => None,
        };
        slot.waiter = Waiter::Waiting(waker(earlier));
        Progress::Pending
    }

    /// Gives a call up: its caller has gone. The other end is told so.
    pub fn abandon(&mut self, key: CallKey) {
        let Some(slot) = self.calls.get_mut(key.place()).filter(|slot| slot.id == key.id()) else { return };
        slot.waiter = Waiter::Gone;
        if let Some(items) = &mut slot.stream {
            items.waiting.clear();
        }
        if slot.is_owed {
            self.write(|out| write_cancel(key.id(), out));
        }
        self.release(key.place());
    }

    /// Frees a place whose caller has what it wanted and whose answer is here.
    fn release(&mut self, place: usize) {
        if let Some(slot) = self.calls.get_mut(place)
            && !slot.is_owed
            && matches!(slot.waiter, Waiter::Gone)
            && slot.id != 0
        {
            slot.id = 0;
            slot.stream = None;
            self.free.push(u32::try_from(place).unwrap_or(u32::MAX));
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
                if let Some(serving) = self.serving.get_mut(&id) {
                    serving.credit = serving.credit.saturating_add(n);
                    events.push(Event::Credit(id));
                }
                Ok(())
            }
            Message::GoAway { taken, reason } => {
                self.go_away_came(taken, &reason, events);
                Ok(())
            }
            Message::Unknown => Ok(()),
        }
    }

    fn slot(&mut self, id: u64) -> Result<(usize, &mut Slot<W>), Violation> {
        let place = CallKey(id).place();
        match self.calls.get_mut(place) {
            Some(slot) if slot.id == id && slot.is_owed => Ok((place, slot)),
            _ => Err(Violation::UnknownId { id }),
        }
    }

    fn answered(&mut self, id: u64, answer: Answer, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        let (place, _) = self.slot(id)?;
        self.settle(place, Outcome::Answered(answer), events);
        Ok(())
    }

    fn open_came(&mut self, id: u64, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        let (_, slot) = self.slot(id)?;
        let Some(items) = &mut slot.stream else { return Err(Violation::UnknownId { id }) };
        // The time that the caller gave was for opening it.
        slot.deadline = None;
        match std::mem::replace(&mut slot.waiter, Waiter::Looking) {
            Waiter::Waiting(waker) => {
                items.is_news = true;
                events.push(Event::Wake(waker));
            }
            Waiter::Looking => items.is_news = true,
            kept @ (Waiter::Gone | Waiter::Ready(_)) => slot.waiter = kept,
        }
        Ok(())
    }

    fn item_came(&mut self, id: u64, item: Bytes, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        let (_, slot) = self.slot(id)?;
        let Some(items) = &mut slot.stream else { return Err(Violation::TooManyItems { id }) };
        if items.credit == 0 {
            return Err(Violation::TooManyItems { id });
        }
        items.credit -= 1;
        // An item says as much as that the stream is open.
        slot.deadline = None;
        match std::mem::replace(&mut slot.waiter, Waiter::Looking) {
            Waiter::Waiting(waker) => {
                items.waiting.push_back(item);
                events.push(Event::Wake(waker));
            }
            Waiter::Looking => items.waiting.push_back(item),
            // Nobody wants it any more.
            kept @ (Waiter::Gone | Waiter::Ready(_)) => slot.waiter = kept,
        }
        Ok(())
    }

    fn called(&mut self, call: Incoming, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        if call.id <= self.last_incoming {
            return Err(Violation::DuplicateId { id: call.id, last: self.last_incoming });
        }
        self.last_incoming = call.id;
        if self.leaving {
            // It was sent before our `$/goaway` arrived, and is not among those that we said we took.
            return Ok(());
        }
        self.accepted += 1;
        if self.unanswered() >= self.limits.max_calls {
            return Err(Violation::TooManyCalls { limit: self.limits.max_calls });
        }
        if self.is_congested() {
            self.backlog.push_back(call);
        } else {
            self.handed_out += 1;
            events.push(Event::Serve(call));
        }
        Ok(())
    }

    /// Calls of the other end that we have not answered.
    fn unanswered(&self) -> u32 {
        u32::try_from(self.serving.len() + self.backlog.len()).unwrap_or(u32::MAX).saturating_add(self.handed_out)
    }

    fn cancelled(&mut self, id: u64, events: &mut Vec<Event<W>>) {
        if let Some(place) = self.backlog.iter().position(|call| call.id == id) {
            self.backlog.remove(place);
            self.write(|out| write_answer(id, Err(&cancelled_error()), out));
        } else if self.handed_out > 0 || self.serving.contains_key(&id) {
            events.push(Event::Cancel(id));
        }
        // Otherwise it has been answered, and the answer is on its way.
    }

    fn go_away_came(&mut self, taken: u64, reason: &str, events: &mut Vec<Event<W>>) {
        let ended = Ended::Left(reason.to_owned());
        self.ended.get_or_insert(ended.clone());
        for place in 0..self.calls.len() {
            if self.calls[place].is_owed && self.calls[place].number > taken {
                self.settle(place, Outcome::NotSent(ended.clone()), events);
            }
        }
    }

    /// Ends a call for which nothing more will come.
    fn settle(&mut self, place: usize, outcome: Outcome, events: &mut Vec<Event<W>>) {
        let slot = &mut self.calls[place];
        slot.is_owed = false;
        self.owed -= 1;
        match std::mem::replace(&mut slot.waiter, Waiter::Gone) {
            Waiter::Waiting(waker) => {
                slot.waiter = Waiter::Ready(outcome);
                events.push(Event::Wake(waker));
            }
            Waiter::Looking => slot.waiter = Waiter::Ready(outcome),
            Waiter::Ready(earlier) => slot.waiter = Waiter::Ready(earlier),
            Waiter::Gone => self.release(place),
        }
        events.push(Event::Freed);
    }

    // ---- calls that are served

    /// Says that a call did not end at once, and is being served: it may be cancelled from now on.
    pub fn serving(&mut self, id: u64, credit: Option<u32>) {
        self.handed_out = self.handed_out.saturating_sub(1);
        self.serving.insert(id, Serving { credit: credit.unwrap_or(0), is_open: false });
    }

    /// Answers a call that was served, with a result of at most [`MAX_INLINE`] bytes (larger ones are parked until `until`) or an error.
    pub fn answer(&mut self, id: u64, outcome: Result<Vec<u8>, RpcError>, until: Instant) {
        if self.serving.remove(&id).is_none() {
            self.handed_out = self.handed_out.saturating_sub(1);
        }
        match outcome {
            Ok(result) if result.len() <= MAX_INLINE => self.write(|out| write_answer(id, Ok(&result), out)),
            Ok(result) => self.park(id, result.into(), until),
            Err(error) if error_size(&error) <= MAX_INLINE => self.write(|out| write_answer(id, Err(&error), out)),
            Err(error) => {
                let short = RpcError::new(error.code, error.message.chars().take(1_000).collect::<String>());
                self.write(|out| write_answer(id, Err(&short), out));
            }
        }
    }

    fn park(&mut self, id: u64, body: Bytes, until: Instant) {
        if self.parked_bytes + body.len() > self.limits.max_parked {
            let text = format!(
                "{} bytes of large results wait to be fetched already; ask for fewer at a time, or for less",
                self.parked_bytes
            );
            let error = RpcError::new(crate::protocol::ErrorCode::INTERNAL, text);
            return self.write(|out| write_answer(id, Err(&error), out));
        }
        self.tickets += 1;
        let (ticket, size) = (self.tickets, body.len());
        self.parked_bytes += size;
        self.parked.insert(ticket, Parked { body, until });
        self.wake_at(until);
        self.write(|out| write_body(id, ticket, size as u64, out));
    }

    /// Gives out an answer that waits to be fetched.
    pub fn fetch(&mut self, ticket: u64) -> Option<Bytes> {
        let parked = self.parked.remove(&ticket)?;
        self.parked_bytes -= parked.body.len();
        Some(parked.body)
    }

    /// Tells the caller that its stream is open, if the call is still being served; once, however often it is called.
    pub fn open_stream(&mut self, id: u64) {
        if let Some(serving) = self.serving.get_mut(&id)
            && !std::mem::replace(&mut serving.is_open, true)
        {
            self.write(|out| write_open(id, out));
        }
    }

    /// Sends an item of a stream, if there is credit for it and the call is still being served.
    pub fn send_item(&mut self, id: u64, item: &[u8]) -> ItemSent {
        let congested = self.is_congested();
        match self.serving.get_mut(&id) {
            None => ItemSent::Gone,
            Some(_) if item.len() > MAX_INLINE => ItemSent::TooLong,
            Some(serving) if serving.credit == 0 || congested => ItemSent::Wait,
            Some(serving) => {
                serving.credit -= 1;
                self.write(|out| write_item(id, item, out));
                ItemSent::Sent
            }
        }
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
            self.handed_out += 1;
            events.push(Event::Serve(call));
        }
        chunk.freeze()
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
        let mut next: Option<Instant> = None;
        let mut wait_for = |deadline: Instant| next = Some(next.map_or(deadline, |next| next.min(deadline)));
        let mut late = Vec::new();
        for slot in &mut self.calls {
            if !matches!(slot.waiter, Waiter::Waiting(_) | Waiter::Looking) {
                continue;
            }
            let Some(deadline) = slot.deadline else { continue };
            if deadline > now {
                wait_for(deadline);
                continue;
            }
            if let Waiter::Waiting(waker) = std::mem::replace(&mut slot.waiter, Waiter::Ready(Outcome::Deadline)) {
                events.push(Event::Wake(waker));
            }
            late.extend(slot.is_owed.then_some(slot.id));
        }
        let bytes = &mut self.parked_bytes;
        self.parked.retain(|_, parked| {
            let keep = parked.until > now;
            if keep {
                wait_for(parked.until);
            } else {
                *bytes -= parked.body.len();
            }
            keep
        });
        self.next_deadline = next;
        for id in late {
            self.write(|out| write_cancel(id, out));
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
        self.next_deadline = Some(self.next_deadline.map_or(time, |next| next.min(time)));
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

    /// Calls of this end that are not answered.
    pub fn in_flight(&self) -> u32 {
        self.owed
    }

    /// Ends the session: whoever waits is told the truth about whether the call may have run.
    pub fn end(&mut self, ended: &Ended, events: &mut Vec<Event<W>>) {
        self.ended = Some(ended.clone());
        for place in 0..self.calls.len() {
            if self.calls[place].is_owed {
                // Its last byte was not even taken: the other end cannot have read it whole.
                let unsent = self.calls[place].end > self.taken;
                let outcome = if unsent { Outcome::NotSent(ended.clone()) } else { Outcome::Lost(ended.clone()) };
                self.settle(place, outcome, events);
            }
        }
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

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemSent {
    /// It is on its way.
    Sent,
    /// There is no credit; wait for [`Event::Credit`].
    Wait,
    /// Nobody wants it any more.
    Gone,
    /// It is larger than [`MAX_INLINE`], which the other end would not take.
    TooLong,
}

/// The size of an error as it is written: some characters become longer by that.
fn error_size(error: &RpcError) -> usize {
    let written = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..b' ' => 6,
        _ => 1,
    };
    error.message.bytes().map(written).sum::<usize>() + error.data.as_ref().map_or(0, |data| data.get().len())
}

fn cancelled_error() -> RpcError {
    RpcError::new(crate::protocol::ErrorCode::CANCELLED, "the call was cancelled before it began")
}

impl From<FrameError> for Ended {
    fn from(error: FrameError) -> Self {
        Self::Violation(error.into())
    }
}

impl From<MessageError> for Ended {
    fn from(error: MessageError) -> Self {
        Self::Violation(error.into())
    }
}

impl<W> Machine<W> {
    /// [`receive`](Self::receive), from the bytes of a message.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn receive_bytes(&mut self, message: Bytes, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        self.receive(message::Message::parse(message)?, events)
    }
}

#[cfg(test)]
mod tests;
