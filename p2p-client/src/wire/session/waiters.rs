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

/// Those who found that the other end takes no more calls, that too much waits to be sent, or that there is no credit for another item.
///
/// Calls begin in the order in which they came, and only as many are woken as there is room for: were all of them, each answer would cost a turn of
/// everyone who waits, and a node that had fallen behind would never catch up.
///
/// They register while they hold the lock of the machine that told them so, so that no change can pass unnoticed in between. Wakers are woken
/// and dropped with no lock held: the last one of a task takes the task along, and what that held.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Whether anybody waits for room. It saves the locks where nobody does, as nearly always.
    any: AtomicBool,
    /// Whether calls are among them that nobody has woken.
    calls: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Calls that wait for their turn, in the order in which they came.
    calls: BTreeMap<Place, (Waker, Instant)>,
    /// The same by the time until which they wait.
    by_deadline: BTreeSet<(Instant, Place)>,
    /// Those that were woken, and have not been seen since.
    woken: BTreeSet<Place>,
    places: u64,
    /// Streams that wait for room, by their calls.
    items: HashMap<u64, Waker>,
    /// Streams that wait for credit. Room is nothing to them.
    without_credit: HashMap<u64, Waker>,
}

/// A call's place among those that wait for their turn. It keeps the place while it is polled for other reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Waiting {
    fn remove_call(&mut self, place: Place) -> Option<Waker> {
        let (waker, deadline) = self.calls.remove(&place)?;
        self.by_deadline.remove(&(deadline, place));
        Some(waker)
    }

    /// Takes out a call that is about to be woken.
    fn wake_call(&mut self, place: Place) -> Option<Waker> {
        self.woken.insert(place);
        self.remove_call(place)
    }
}

impl Waiters {
    /// A call waits for its turn until the deadline, in its place if it has one.
    pub(super) fn add_call(&self, place: &mut Option<Place>, waker: &Waker, deadline: Instant) {
        let mut waiting = self.lock();
        let place = *place.get_or_insert_with(|| {
            waiting.places += 1;
            Place(waiting.places)
        });
        let _earlier = self.changed(waiting, |waiting| {
            let earlier = waiting.remove_call(place);
            waiting.woken.remove(&place);
            waiting.by_deadline.insert((deadline, place));
            waiting.calls.insert(place, (waker.clone(), deadline));
            earlier
        });
        self.any.store(true, Ordering::Release);
    }

    /// Whether nobody is before this call. One without a place has just come.
    pub(super) fn is_turn_of(&self, place: Option<Place>) -> bool {
        if !self.calls.load(Ordering::Acquire) {
            return true;
        }
        let Some(place) = place else { return false };
        let waiting = self.lock();
        waiting.woken.contains(&place) || waiting.calls.first_key_value().is_none_or(|(first, _)| place <= *first)
    }

    /// A call waits no longer. Says whether it was given a turn.
    pub(super) fn leave(&self, place: Place) -> bool {
        let (_waker, was_woken) = self.changed(self.lock(), |waiting| (waiting.remove_call(place), waiting.woken.remove(&place)));
        was_woken
    }

    /// Whether anybody waits for room.
    pub(super) fn any_for_room(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Wakes those who have waited longest, so that no more than `room` calls have a turn that they did not use yet; and all streams if there is any.
    pub(super) fn admit(&self, room: usize) {
        if room == 0 {
            return;
        }
        let (calls, items) = self.changed(self.lock(), |waiting| {
            let turns = room.saturating_sub(waiting.woken.len()).min(waiting.calls.len());
            let places: Vec<_> = waiting.calls.keys().copied().take(turns).collect();
            let calls: Vec<_> = places.into_iter().filter_map(|place| waiting.wake_call(place)).collect();
            self.any.store(!waiting.calls.is_empty(), Ordering::Release);
            (calls, std::mem::take(&mut waiting.items))
        });
        calls.into_iter().chain(items.into_values()).for_each(Waker::wake);
    }

    /// Wakes the calls whose time has run out, and says when it does for the next one.
    pub(super) fn wake_late(&self, now: Instant) -> Option<Instant> {
        if !self.calls.load(Ordering::Acquire) {
            return None;
        }
        let (late, next) = self.changed(self.lock(), |waiting| {
            let late: Vec<_> = waiting.by_deadline.iter().take_while(|(at, _)| *at <= now).map(|(_, place)| *place).collect();
            let late: Vec<_> = late.into_iter().filter_map(|place| waiting.wake_call(place)).collect();
            (late, waiting.by_deadline.first().map(|(at, _)| *at))
        });
        for waker in late {
            waker.wake();
        }
        next
    }

    /// Wakes every call: none will have a turn.
    pub(super) fn wake_calls(&self) {
        let calls = self.changed(self.lock(), |waiting| {
            waiting.by_deadline.clear();
            std::mem::take(&mut waiting.calls)
        });
        for (waker, _) in calls.into_values() {
            waker.wake();
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
        self.calls.store(!waiting.calls.is_empty(), Ordering::Release);
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
    use std::sync::{Arc, atomic::AtomicU32};

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicU32);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn woken() -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (woken.clone(), woken.into())
    }

    #[test]
    fn who_waits_for_credit_is_not_woken_by_room_and_who_waits_for_room_not_by_credit() {
        let waiters = Waiters::default();
        let ((room, room_waker), (credit, credit_waker)) = (woken(), woken());
        waiters.add_items(1, &room_waker);
        waiters.add_without_credit(2, &credit_waker);
        let counts = || (room.0.load(Ordering::Relaxed), credit.0.load(Ordering::Relaxed));
        waiters.wake(1);
        assert_eq!(counts(), (0, 0));
        waiters.admit(1);
        assert_eq!(counts(), (1, 0));
        waiters.wake(2);
        assert_eq!(counts(), (1, 1));
        assert_eq!(waiters.count(), (0, 0, 0));
    }

    #[test]
    fn everyone_is_woken_at_the_end() {
        let waiters = Waiters::default();
        let (all, waker) = woken();
        waiters.add_call(&mut None, &waker, Instant::now());
        waiters.add_items(1, &waker);
        waiters.add_without_credit(2, &waker);
        waiters.wake_all();
        assert_eq!((all.0.load(Ordering::Relaxed), waiters.count()), (3, (0, 0, 0)));
    }

    fn count(woken: &Woken) -> u32 {
        woken.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_call_that_is_polled_again_keeps_its_one_place() {
        let waiters = Waiters::default();
        let ((first, first_waker), (second, second_waker)) = (woken(), woken());
        let (mut one, mut other) = (None, None);
        let deadline = Instant::now();
        for _ in 0..10 {
            waiters.add_call(&mut one, &first_waker, deadline);
            waiters.add_call(&mut other, &second_waker, deadline);
        }
        assert_eq!(waiters.count(), (2, 0, 0));
        assert!(waiters.is_turn_of(one) && !waiters.is_turn_of(other) && !waiters.is_turn_of(None));
        waiters.admit(2);
        assert_eq!((count(&first), count(&second)), (1, 1));
        assert!(waiters.is_turn_of(other) && waiters.is_turn_of(None));
    }

    #[test]
    fn as_many_calls_are_woken_as_there_is_room_for_and_those_first_that_came_first() {
        let waiters = Waiters::default();
        let deadline = Instant::now();
        let calls: Vec<_> = (0..5).map(|_| woken()).collect();
        let mut places = [None; 5];
        for (place, (_, waker)) in places.iter_mut().zip(&calls) {
            waiters.add_call(place, waker, deadline);
        }
        let counts = || calls.iter().map(|(woken, _)| count(woken)).collect::<Vec<_>>();
        waiters.admit(0);
        assert_eq!(counts(), [0; 5]);
        waiters.admit(2);
        assert_eq!(counts(), [1, 1, 0, 0, 0]);
        waiters.admit(2);
        assert_eq!(counts(), [1, 1, 0, 0, 0], "the two that were woken have not begun yet");
        assert!(waiters.leave(places[0].unwrap()));
        waiters.admit(2);
        assert_eq!(counts(), [1, 1, 1, 0, 0]);
        // Who finds no room after all is the next again.
        waiters.add_call(&mut places[1], &calls[1].1, deadline);
        assert!(waiters.leave(places[2].unwrap()));
        waiters.admit(1);
        assert_eq!(counts(), [1, 2, 1, 0, 0]);
        assert!(!waiters.leave(places[4].unwrap()), "it had no turn");
        waiters.admit(9);
        assert_eq!(counts(), [1, 2, 1, 1, 0]);
        assert!(!waiters.any_for_room());
    }

    #[test]
    fn calls_whose_time_has_run_out_are_woken_wherever_they_stand() {
        let waiters = Waiters::default();
        let now = Instant::now();
        let ((patient, patient_waker), (late, late_waker)) = (woken(), woken());
        let next = now + std::time::Duration::from_secs(1);
        waiters.add_call(&mut None, &patient_waker, next);
        waiters.add_call(&mut None, &late_waker, now);
        assert_eq!(waiters.wake_late(now), Some(next));
        assert_eq!((count(&patient), count(&late)), (0, 1));
        assert_eq!(waiters.wake_late(next), None);
        assert_eq!(count(&patient), 1);
    }
}
