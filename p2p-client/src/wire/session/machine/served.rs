//! The calls of the other end: from [`Event::Serve`] to [`answer`](Machine::answer).

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasherDefault,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::protocol::RpcError;

use super::{
    super::{
        limits::MAX_INLINE,
        message::{Incoming, write_answer, write_body, write_item, write_open},
    },
    Event, Machine, Violation, earlier,
};

/// A call that is being served.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) credit: u32,
    /// Its caller knows that the stream is open.
    pub(super) is_open: bool,
}

/// A large answer that waits to be fetched.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) body: Bytes,
    pub(super) until: Instant,
}

/// Ids are numbers that grow; their low bits differ most, and nobody but the peer of this one session chooses them.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

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

/// The calls that are being served, by their ids.
pub(super) type ById = HashMap<u64, Serving, BuildHasherDefault<IdHasher>>;

impl<W> Machine<W> {
    pub(super) fn called(&mut self, call: Incoming, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        if call.id <= self.last_incoming {
            return Err(Violation::DuplicateId { id: call.id, last: self.last_incoming });
        }
        self.last_incoming = call.id;
        if self.leaving {
            // It was sent before our `$/goaway` arrived, and is not among those that we said we took.
            return Ok(());
        }
        if self.unanswered() >= self.limits.max_calls {
            return Err(Violation::TooManyCalls { limit: self.limits.max_calls });
        }
        self.accepted += 1;
        if self.is_congested() {
            self.backlog.push_back(call);
        } else {
            self.hand_out(call, events);
        }
        Ok(())
    }

    /// Has a call served. One whose caller wants a stream is never over at once, and more credit for it may come in the same batch.
    pub(super) fn hand_out(&mut self, call: Incoming, events: &mut Vec<Event<W>>) {
        match call.credit {
            Some(credit) => drop(self.serving.insert(call.id, Serving { credit, is_open: false })),
            None => self.handed_out += 1,
        }
        events.push(Event::Serve(call));
    }

    pub(super) fn credit_came(&mut self, id: u64, n: u32, events: &mut Vec<Event<W>>) {
        if let Some(serving) = self.serving.get_mut(&id) {
            serving.credit = serving.credit.saturating_add(n);
            events.push(Event::Credit(id));
        } else if let Some(Incoming { credit: Some(credit), .. }) = self.backlog.iter_mut().find(|call| call.id == id) {
            *credit = credit.saturating_add(n);
        }
        // Otherwise it has been answered, and the answer is on its way.
    }

    /// Calls of the other end that we have not answered.
    pub(super) fn unanswered(&self) -> u32 {
        u32::try_from(self.serving.len() + self.backlog.len()).unwrap_or(u32::MAX).saturating_add(self.handed_out)
    }

    pub(super) fn cancelled(&mut self, id: u64, events: &mut Vec<Event<W>>) {
        if let Some(place) = self.backlog.iter().position(|call| call.id == id) {
            self.backlog.remove(place);
            self.write(|out| write_answer(id, Err(&cancelled_error()), out));
        } else if self.handed_out > 0 || self.serving.contains_key(&id) {
            events.push(Event::Cancel(id));
        }
        // Otherwise it has been answered, and the answer is on its way.
    }

    /// Says that a call did not end at once, and is being served: it may be cancelled from now on. (One whose caller wants a stream may be that
    /// since it was handed out.)
    pub fn serving(&mut self, id: u64) {
        if let Entry::Vacant(vacant) = self.serving.entry(id) {
            vacant.insert(Serving { credit: 0, is_open: false });
            self.handed_out = self.handed_out.saturating_sub(1);
        }
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
            let (size, max, parked) = (body.len(), self.limits.max_parked, self.parked_bytes);
            let text = format!(
                "the result has {size} bytes, and of the {max} for large results {parked} are taken until they are fetched; ask for fewer \
                 at a time, or for less"
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
            Some(serving) if serving.credit == 0 => ItemSent::NoCredit,
            Some(_) if congested => ItemSent::NoRoom,
            Some(serving) => {
                serving.credit -= 1;
                self.write(|out| write_item(id, item, out));
                ItemSent::Sent
            }
        }
    }

    /// Forgets large answers that nobody has fetched in time, and says when the next one's time is over.
    pub(super) fn forget_late(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let bytes = &mut self.parked_bytes;
        self.parked.retain(|_, parked| {
            let keep = parked.until > now;
            if keep {
                next = Some(earlier(next, parked.until));
            } else {
                *bytes -= parked.body.len();
            }
            keep
        });
        next
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemSent {
    /// It is on its way.
    Sent,
    /// There is no credit; wait for [`Event::Credit`].
    NoCredit,
    /// Too much waits to be sent; wait until some of it was taken.
    NoRoom,
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
