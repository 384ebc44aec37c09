//! Who waits until something can be sent.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// Those who found that too much waits to be sent, or that there is no credit for another item.
///
/// They register while they hold the lock of the machine that told them so, so that no change can pass unnoticed in between. Wakers are woken
/// and dropped with no lock held: the last one of a task takes the task along, and what that held.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Whether anybody waits for room. It saves the lock where nobody does, as nearly always.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Calls that wait for room, in the order in which they came.
    calls: BTreeMap<Place, Waker>,
    places: u64,
    /// Streams that wait for room, by their calls.
    items: HashMap<u64, Waker>,
    /// Streams that wait for credit. Room is nothing to them.
    without_credit: HashMap<u64, Waker>,
}

/// A call's place among those that wait for room. It keeps the place while it is polled for other reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Waiters {
    /// A call waits for room, in its place if it has one.
    pub(super) fn add_call(&self, place: &mut Option<Place>, waker: &Waker) {
        let mut waiting = self.lock();
        let place = *place.get_or_insert_with(|| {
            waiting.places += 1;
            Place(waiting.places)
        });
        let _earlier = replaced(waiting, |waiting| waiting.calls.insert(place, waker.clone()));
        self.any.store(true, Ordering::Release);
    }

    /// A stream waits for room.
    pub(super) fn add_items(&self, id: u64, waker: &Waker) {
        let _earlier = replaced(self.lock(), |waiting| waiting.items.insert(id, waker.clone()));
        self.any.store(true, Ordering::Release);
    }

    /// A stream waits for credit.
    pub(super) fn add_without_credit(&self, id: u64, waker: &Waker) {
        let _earlier = replaced(self.lock(), |waiting| waiting.without_credit.insert(id, waker.clone()));
    }

    /// There is credit for the stream of a call.
    pub(super) fn wake(&self, id: u64) {
        let waker = replaced(self.lock(), |waiting| waiting.without_credit.remove(&id));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The stream of a call is over, and waits for nothing.
    pub(super) fn forget(&self, id: u64) {
        let _wakers = replaced(self.lock(), |waiting| (waiting.items.remove(&id), waiting.without_credit.remove(&id)));
    }

    /// Wakes everyone who waits for room.
    pub(super) fn wake_for_room(&self) {
        if !self.any.swap(false, Ordering::AcqRel) {
            return;
        }
        let take = |waiting: &mut Waiting| (std::mem::take(&mut waiting.calls), std::mem::take(&mut waiting.items));
        let (calls, items) = replaced(self.lock(), take);
        calls.into_values().chain(items.into_values()).for_each(Waker::wake);
    }

    /// Wakes everyone: there will be neither room nor credit.
    pub(super) fn wake_all(&self) {
        let all = replaced(self.lock(), std::mem::take);
        let streams = all.items.into_values().chain(all.without_credit.into_values());
        all.calls.into_values().chain(streams).for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize, usize) {
        let waiting = self.lock();
        (waiting.calls.len(), waiting.items.len(), waiting.without_credit.len())
    }
}

/// What a change takes out, with the lock released.
fn replaced<T>(mut waiting: MutexGuard<'_, Waiting>, change: impl FnOnce(&mut Waiting) -> T) -> T {
    change(&mut waiting)
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
        waiters.wake_for_room();
        assert_eq!(counts(), (1, 0));
        waiters.wake(2);
        assert_eq!(counts(), (1, 1));
        assert_eq!(waiters.count(), (0, 0, 0));
    }

    #[test]
    fn everyone_is_woken_at_the_end() {
        let waiters = Waiters::default();
        let (all, waker) = woken();
        waiters.add_call(&mut None, &waker);
        waiters.add_items(1, &waker);
        waiters.add_without_credit(2, &waker);
        waiters.wake_all();
        assert_eq!((all.0.load(Ordering::Relaxed), waiters.count()), (3, (0, 0, 0)));
    }

    #[test]
    fn a_call_that_is_polled_again_keeps_its_one_place() {
        let waiters = Waiters::default();
        let ((first, first_waker), (second, second_waker)) = (woken(), woken());
        let (mut one, mut other) = (None, None);
        for _ in 0..10 {
            waiters.add_call(&mut one, &first_waker);
            waiters.add_call(&mut other, &second_waker);
        }
        assert_eq!(waiters.count(), (2, 0, 0));
        waiters.wake_for_room();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (1, 1));
    }
}
