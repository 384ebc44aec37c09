//! Who waits until something can be sent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use tokio::time::Instant;

use super::machine::Room;

/// Those who found that the other end takes no more calls, that too much waits to be sent, or that there is no credit for another item.
///
/// Calls begin in the order in which they came, and only as many are woken as there is room for: were all of them, each answer would cost a turn of
/// everyone who waits, and a node that had fallen behind would never catch up. Whoever is woken has its turn until it begins or leaves; the
/// room for it is nobody else's.
///
/// They register, leave and are admitted while the lock of the machine is held, so that no change can pass unnoticed in between. Wakers are woken
/// and dropped with no lock held: the last one of a task takes the task along, and what that held.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Whether anybody waits for room. It saves the locks where nobody does, as nearly always.
    any: AtomicBool,
    /// Whether calls stand in line, or have a turn that they did not use yet.
    line: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Calls that wait for their turn, in the order in which they came.
    calls: BTreeMap<Place, Call>,
    /// The same by the time until which they wait.
    by_deadline: BTreeSet<(Instant, Place)>,
    /// Those that have their turn, and how many bytes each takes.
    woken: BTreeMap<Place, usize>,
    /// How many bytes they take together.
    woken_bytes: usize,
    places: u64,
    /// Streams that wait for room, by their calls.
    items: HashMap<u64, Waker>,
    /// Streams that wait for credit. Room is nothing to them.
    without_credit: HashMap<u64, Waker>,
}

#[derive(Debug)]
struct Call {
    waker: Waker,
    deadline: Instant,
    bytes: usize,
}

/// A call's place among those that wait for their turn. It keeps the place while it is polled for other reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// Who is to be woken, with no lock held.
#[derive(Debug, Default)]
#[must_use = "they wait to be woken"]
pub(super) struct Woken(Vec<Waker>);

impl Woken {
    pub(super) fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

/// A call that has left the line.
#[derive(Debug)]
pub(super) struct Left {
    /// Whether it had a turn.
    pub(super) had_turn: bool,
    /// To be dropped with no lock held.
    _waker: Option<Waker>,
}

impl Waiting {
    fn remove_call(&mut self, place: Place) -> Option<Call> {
        let call = self.calls.remove(&place)?;
        self.by_deadline.remove(&(call.deadline, place));
        Some(call)
    }

    /// Gives a call its turn.
    fn wake_call(&mut self, place: Place, to: &mut Woken) {
        if let Some(call) = self.remove_call(place) {
            self.woken.insert(place, call.bytes);
            self.woken_bytes += call.bytes;
            to.0.push(call.waker);
        }
    }

    /// A call has its turn no longer. Says whether it had one.
    fn end_turn(&mut self, place: Place) -> bool {
        let bytes = self.woken.remove(&place);
        self.woken_bytes -= bytes.unwrap_or_default();
        bytes.is_some()
    }

    /// The first in line, if there is room for it beside those who have their turn. One may always be longer than what is left.
    fn next_in(&self, room: Room) -> Option<Place> {
        let (place, call) = self.calls.first_key_value()?;
        let fits = self.woken.is_empty() || self.woken_bytes + call.bytes <= room.bytes;
        (self.woken.len() < room.calls && fits).then_some(*place)
    }
}

impl Waiters {
    /// A call of so many bytes waits for its turn until the deadline, in its place if it has one. What is returned is to be dropped with no lock held.
    #[must_use = "it is to be dropped with no lock held"]
    pub(super) fn add_call(&self, place: &mut Option<Place>, waker: &Waker, deadline: Instant, bytes: usize) -> Option<Waker> {
        let mut waiting = self.lock();
        let place = *place.get_or_insert_with(|| {
            waiting.places += 1;
            Place(waiting.places)
        });
        let earlier = self.changed(waiting, |waiting| {
            let earlier = waiting.remove_call(place);
            waiting.end_turn(place);
            waiting.by_deadline.insert((deadline, place));
            waiting.calls.insert(place, Call { waker: waker.clone(), deadline, bytes });
            earlier
        });
        self.any.store(true, Ordering::Release);
        earlier.map(|call| call.waker)
    }

    /// Whether this call may begin, where there is this room. One without a place has just come.
    pub(super) fn is_turn_of(&self, place: Option<Place>, room: Room) -> bool {
        if !self.line.load(Ordering::Acquire) {
            return room.calls > 0;
        }
        let waiting = self.lock();
        match place {
            Some(place) if waiting.woken.contains_key(&place) => room.calls > 0,
            Some(place) => waiting.next_in(room) == Some(place),
            None => {
                let has_bytes = waiting.woken.is_empty() || waiting.woken_bytes < room.bytes;
                waiting.calls.is_empty() && waiting.woken.len() < room.calls && has_bytes
            }
        }
    }

    /// A call waits no longer.
    pub(super) fn leave(&self, place: Place) -> Left {
        self.changed(self.lock(), |waiting| {
            let waker = waiting.remove_call(place).map(|call| call.waker);
            Left { had_turn: waiting.end_turn(place), _waker: waker }
        })
    }

    /// Whether anybody waits for room.
    pub(super) fn any_for_room(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Gives a turn to those who have waited longest, as far as there is room for them; and to all streams, which take what room there is.
    pub(super) fn admit(&self, room: Room) -> Woken {
        self.changed(self.lock(), |waiting| {
            let mut woken = Woken::default();
            while let Some(place) = waiting.next_in(room) {
                waiting.wake_call(place, &mut woken);
            }
            woken.0.extend(waiting.items.drain().map(|(_, waker)| waker));
            self.any.store(!waiting.calls.is_empty(), Ordering::Release);
            woken
        })
    }

    /// Wakes the calls whose time has run out, and says when it does for the next one.
    pub(super) fn wake_late(&self, now: Instant) -> Option<Instant> {
        if !self.line.load(Ordering::Acquire) {
            return None;
        }
        let (late, next) = self.changed(self.lock(), |waiting| {
            let late: Vec<_> = waiting.by_deadline.iter().take_while(|(at, _)| *at <= now).map(|(_, place)| *place).collect();
            let mut woken = Woken::default();
            for place in late {
                waiting.wake_call(place, &mut woken);
            }
            (woken, waiting.by_deadline.first().map(|(at, _)| *at))
        });
        late.wake();
        next
    }

    /// Wakes every call: none will have a turn.
    pub(super) fn wake_calls(&self) {
        let calls = self.changed(self.lock(), |waiting| {
            waiting.by_deadline.clear();
            std::mem::take(&mut waiting.calls)
        });
        for call in calls.into_values() {
            call.waker.wake();
        }
    }

    /// A stream waits for room.
    pub(super) fn add_items(&self, id: u64, waker: &Waker) {
        let _earlier = self.changed(self.lock(), |waiting| waiting.items.insert(id, waker.clone()));
        self.any.store(true, Ordering::Release);
    }

    /// A stream waits for credit.
    pub(super) fn add_without_credit(&self, id: u64, waker: &Waker) {
        let _earlier = self.changed(self.lock(), |waiting| waiting.without_credit.insert(id, waker.clone()));
    }

    /// There is credit for the stream of a call.
    pub(super) fn wake(&self, id: u64) {
        let waker = self.changed(self.lock(), |waiting| waiting.without_credit.remove(&id));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The stream of a call is over, and waits for nothing.
    pub(super) fn forget(&self, id: u64) {
        let _wakers = self.changed(self.lock(), |waiting| (waiting.items.remove(&id), waiting.without_credit.remove(&id)));
    }

    /// Wakes everyone: there will be neither turns, room nor credit.
    pub(super) fn wake_all(&self) {
        self.wake_calls();
        let take = |waiting: &mut Waiting| (std::mem::take(&mut waiting.items), std::mem::take(&mut waiting.without_credit));
        let (items, without_credit) = self.changed(self.lock(), take);
        items.into_values().chain(without_credit.into_values()).for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a change takes out, with the lock released.
    fn changed<T>(&self, mut waiting: MutexGuard<'_, Waiting>, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let taken = change(&mut waiting);
        self.line.store(!waiting.calls.is_empty() || !waiting.woken.is_empty(), Ordering::Release);
        taken
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize, usize) {
        let waiting = self.lock();
        (waiting.calls.len(), waiting.items.len(), waiting.without_credit.len())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicU32},
        time::Duration,
    };

    use super::*;

    const BYTES: usize = 100;

    /// A waker that counts how often it was woken.
    #[derive(Default)]
    struct Counter(AtomicU32);

    impl std::task::Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counter() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (counter.clone(), counter.into())
    }

    fn count(counter: &Counter) -> u32 {
        counter.0.load(Ordering::Relaxed)
    }

    fn room(calls: usize) -> Room {
        Room { calls, bytes: 100 * BYTES }
    }

    /// Calls in a line, each of so many bytes.
    struct Line {
        waiters: Waiters,
        calls: Vec<(Arc<Counter>, Waker)>,
        places: Vec<Option<Place>>,
        until: Instant,
    }

    impl Line {
        fn of(calls: usize, bytes: usize) -> Self {
            let calls: Vec<_> = (0..calls).map(|_| counter()).collect();
            let mut line = Self { waiters: Waiters::default(), places: vec![None; calls.len()], calls, until: Instant::now() };
            for index in 0..line.calls.len() {
                line.wait(index, bytes);
            }
            line
        }

        fn wait(&mut self, index: usize, bytes: usize) {
            drop(self.waiters.add_call(&mut self.places[index], &self.calls[index].1, self.until, bytes));
        }

        fn leave(&self, index: usize) -> bool {
            self.waiters.leave(self.places[index].unwrap()).had_turn
        }

        fn counts(&self) -> Vec<u32> {
            self.calls.iter().map(|(counter, _)| count(counter)).collect()
        }
    }

    #[test]
    fn who_waits_for_credit_is_not_woken_by_room_and_who_waits_for_room_not_by_credit() {
        let waiters = Waiters::default();
        let ((room_counter, room_waker), (credit, credit_waker)) = (counter(), counter());
        waiters.add_items(1, &room_waker);
        waiters.add_without_credit(2, &credit_waker);
        let counts = || (count(&room_counter), count(&credit));
        waiters.wake(1);
        assert_eq!(counts(), (0, 0));
        // Items take no place of a call: there need not be one.
        waiters.admit(room(0)).wake();
        assert_eq!(counts(), (1, 0));
        waiters.wake(2);
        assert_eq!(counts(), (1, 1));
        assert_eq!(waiters.count(), (0, 0, 0));
    }

    #[test]
    fn everyone_is_woken_at_the_end() {
        let waiters = Waiters::default();
        let (all, waker) = counter();
        drop(waiters.add_call(&mut None, &waker, Instant::now(), BYTES));
        waiters.add_items(1, &waker);
        waiters.add_without_credit(2, &waker);
        waiters.wake_all();
        assert_eq!((count(&all), waiters.count()), (3, (0, 0, 0)));
    }

    #[test]
    fn a_call_that_is_polled_again_keeps_its_one_place() {
        let mut line = Line::of(2, BYTES);
        for _ in 0..10 {
            line.wait(0, BYTES);
            line.wait(1, BYTES);
        }
        assert_eq!(line.waiters.count(), (2, 0, 0));
        let is_turn_of = |place| line.waiters.is_turn_of(place, room(1));
        assert!(is_turn_of(line.places[0]) && !is_turn_of(line.places[1]) && !is_turn_of(None));
        line.waiters.admit(room(2)).wake();
        assert_eq!(line.counts(), [1, 1]);
    }

    #[test]
    fn as_many_calls_are_woken_as_there_is_room_for_and_those_first_that_came_first() {
        let mut line = Line::of(5, BYTES);
        let admit = |line: &Line, calls| line.waiters.admit(room(calls)).wake();
        admit(&line, 0);
        assert_eq!(line.counts(), [0; 5]);
        admit(&line, 2);
        admit(&line, 2);
        assert_eq!(line.counts(), [1, 1, 0, 0, 0], "the two that were woken have not begun yet");
        assert!(line.leave(0));
        admit(&line, 2);
        assert_eq!(line.counts(), [1, 1, 1, 0, 0]);
        // Who finds no room after all is the next again.
        line.wait(1, BYTES);
        assert!(line.leave(2));
        admit(&line, 1);
        assert_eq!(line.counts(), [1, 2, 1, 0, 0]);
        assert!(!line.leave(4), "it had no turn");
        admit(&line, 9);
        assert_eq!(line.counts(), [1, 2, 1, 1, 0]);
        assert!(!line.waiters.any_for_room());
    }

    #[test]
    fn who_has_just_come_does_not_take_the_turn_of_one_that_was_woken() {
        let line = Line::of(1, BYTES);
        line.waiters.admit(room(1)).wake();
        assert!(!line.waiters.is_turn_of(None, room(1)), "the one place is given");
        assert!(line.waiters.is_turn_of(None, room(2)));
        assert!(line.waiters.is_turn_of(line.places[0], room(1)));
        assert!(line.leave(0));
        assert!(line.waiters.is_turn_of(None, room(1)));
        let large = Line::of(1, 1_000);
        let room = Room { calls: 9, bytes: 1_000 };
        large.waiters.admit(room).wake();
        assert!(!large.waiters.is_turn_of(None, room), "the bytes are given, too");
    }

    #[test]
    fn of_large_calls_no_more_are_woken_than_fit_but_always_one() {
        let line = Line::of(3, 1_000);
        let admit = |bytes| line.waiters.admit(Room { calls: 9, bytes }).wake();
        admit(1);
        assert_eq!(line.counts(), [1, 0, 0]);
        admit(1_999);
        assert_eq!(line.counts(), [1, 0, 0]);
        admit(2_000);
        assert_eq!(line.counts(), [1, 1, 0]);
        assert!(line.leave(0) && line.leave(1));
        admit(1);
        assert_eq!(line.counts(), [1, 1, 1]);
    }

    #[test]
    fn calls_whose_time_has_run_out_are_woken_wherever_they_stand() {
        let waiters = Waiters::default();
        let now = Instant::now();
        let ((patient, patient_waker), (late, late_waker)) = (counter(), counter());
        let next = now + Duration::from_secs(1);
        drop(waiters.add_call(&mut None, &patient_waker, next, BYTES));
        drop(waiters.add_call(&mut None, &late_waker, now, BYTES));
        assert_eq!(waiters.wake_late(now), Some(next));
        assert_eq!((count(&patient), count(&late)), (0, 1));
        assert_eq!(waiters.wake_late(next), None);
        assert_eq!(count(&patient), 1);
    }
}
