//! The calls that this end has made: from [`begin`](Machine::begin) to [`take`](Machine::take).

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    super::message::{Answer, Outgoing, write_cancel, write_credit},
    Ended, Event, Machine, Violation, earlier,
};

/// How many bits of an id tell its place.
const PLACE_BITS: u32 = 16;
/// The most calls of one end, whatever the other allows.
pub(super) const MAX_PLACES: u32 = 1 << PLACE_BITS;

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
    /// It was not sent: so many streams are open at the other end from here, which is as many as may be. Other calls can still be made.
    Busy {
        /// How many streams that are.
        streams: u32,
    },
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

    pub(super) fn place(self) -> usize {
        usize::try_from(self.0 & u64::from(MAX_PLACES - 1)).unwrap_or(usize::MAX)
    }
}

/// Why a call cannot be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// As many calls are unanswered as the other end takes; wait for [`Event::Freed`].
    TooManyCalls,
    /// As many of them are streams as may be; calls with one answer are to find room as well.
    TooManyStreams {
        /// How many that are.
        open: u32,
    },
    /// The session takes no further calls.
    Ended(Ended),
}

/// The place of one call of ours.
#[derive(Debug)]
pub(super) struct Slot<W> {
    pub(super) id: u64,
    /// None once its stream is open.
    pub(super) deadline: Option<Instant>,
    /// Where its bytes end, counted as `written` is.
    pub(super) end: u64,
    /// Its number among all calls of this end, beginning with 1.
    pub(super) number: u64,
    pub(super) waiter: Waiter<W>,
    /// Whether the other end still has to answer.
    pub(super) is_owed: bool,
    pub(super) stream: Option<Box<Items>>,
}

#[derive(Debug)]
pub(super) enum Waiter<W> {
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
pub(super) struct Items {
    /// The other end said that it is open, and the caller has yet to be told.
    pub(super) is_news: bool,
    pub(super) waiting: VecDeque<Bytes>,
    /// How many items the other end may still send.
    pub(super) credit: u32,
    /// How many were taken by the caller since credit was last given.
    pub(super) consumed: u32,
    pub(super) window: u32,
}

impl<W> Machine<W> {
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
        if call.credit.is_some() && self.streams >= self.max_streams() {
            return Err(Refused::TooManyStreams { open: self.streams });
        }
        let place = self.free_place().ok_or(Refused::TooManyCalls)?;
        self.made += 1;
        let id = (self.made << PLACE_BITS) | u64::from(place);
        let before = self.out.len();
        call.write(id, &mut self.out);
        self.written += (self.out.len() - before) as u64;
        self.owed += 1;
        self.streams += u32::from(call.credit.is_some());
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

    /// A stream may last for days, and occupies the place of a call at the other end.
    fn max_streams(&self) -> u32 {
        (self.peer_calls / 2).max(1)
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

    /// Gives a call up: its caller has gone. The other end is told so. What is returned is the waker that was kept for the caller.
    pub fn abandon(&mut self, key: CallKey) -> Option<W> {
        let slot = self.calls.get_mut(key.place()).filter(|slot| slot.id == key.id())?;
        let waiter = std::mem::replace(&mut slot.waiter, Waiter::Gone);
        if let Some(items) = &mut slot.stream {
            items.waiting.clear();
        }
        if slot.is_owed {
            self.write(|out| write_cancel(key.id(), out));
        }
        self.release(key.place());
        if let Waiter::Waiting(waker) = waiter { Some(waker) } else { None }
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

    fn slot(&mut self, id: u64) -> Result<(usize, &mut Slot<W>), Violation> {
        let place = CallKey(id).place();
        match self.calls.get_mut(place) {
            Some(slot) if slot.id == id && slot.is_owed => Ok((place, slot)),
            _ => Err(Violation::UnknownId { id }),
        }
    }

    pub(super) fn answered(&mut self, id: u64, answer: Answer, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
        let (place, _) = self.slot(id)?;
        self.settle(place, Outcome::Answered(answer), events);
        Ok(())
    }

    pub(super) fn open_came(&mut self, id: u64, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
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

    pub(super) fn item_came(&mut self, id: u64, item: Bytes, events: &mut Vec<Event<W>>) -> Result<(), Violation> {
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
            // Its caller is behind. A slice would keep all that was read with it, for as long as that lasts.
            Waiter::Looking => items.waiting.push_back(Bytes::copy_from_slice(&item)),
            // Nobody wants it any more.
            kept @ (Waiter::Gone | Waiter::Ready(_)) => slot.waiter = kept,
        }
        Ok(())
    }

    pub(super) fn go_away_came(&mut self, taken: u64, reason: &str, events: &mut Vec<Event<W>>) {
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
        self.streams -= u32::from(slot.stream.is_some());
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

    /// Ends the calls whose time has run out, tells the other end of them, and says when the next one's does.
    pub(super) fn end_late(&mut self, now: Instant, events: &mut Vec<Event<W>>) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut late = Vec::new();
        for slot in &mut self.calls {
            if !matches!(slot.waiter, Waiter::Waiting(_) | Waiter::Looking) {
                continue;
            }
            let Some(deadline) = slot.deadline else { continue };
            if deadline > now {
                next = Some(earlier(next, deadline));
                continue;
            }
            if let Waiter::Waiting(waker) = std::mem::replace(&mut slot.waiter, Waiter::Ready(Outcome::Deadline)) {
                events.push(Event::Wake(waker));
            }
            late.extend(slot.is_owed.then_some(slot.id));
        }
        for id in late {
            self.write(|out| write_cancel(id, out));
        }
        next
    }

    /// Tells everyone who waits for an answer that the session is over, and the truth about whether the call may have run.
    pub(super) fn end_all(&mut self, ended: &Ended, events: &mut Vec<Event<W>>) {
        for place in 0..self.calls.len() {
            if self.calls[place].is_owed {
                // Its last byte was not even taken: the other end cannot have read it whole.
                let unsent = self.calls[place].end > self.taken;
                let outcome = if unsent { Outcome::NotSent(ended.clone()) } else { Outcome::Lost(ended.clone()) };
                self.settle(place, outcome, events);
            }
        }
    }
}
