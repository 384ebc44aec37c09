//! Who waits until something can be sent.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

/// Those who found that too much waits to be sent, or that there is no credit for another item.
///
/// They register while they hold the lock of the machine that told them so, so that no change can pass unnoticed in between.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Saves the lock where nobody waits, as nearly always.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<Waker>,
    items: HashMap<u64, Waker>,
}

impl Waiters {
    /// A call waits for room.
    pub(super) fn add_call(&self, waker: Waker) {
        self.change(|waiting| waiting.calls.push(waker));
    }

    /// A stream waits for credit or room.
    pub(super) fn add_items(&self, id: u64, waker: Waker) {
        self.change(|waiting| {
            waiting.items.insert(id, waker);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.any.store(true, Ordering::Release);
    }

    /// Wakes the stream of a call.
    pub(super) fn wake(&self, id: u64) {
        let waker = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).items.remove(&id);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes everyone.
    pub(super) fn wake_all(&self) {
        if !self.any.swap(false, Ordering::AcqRel) {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.calls.into_iter().chain(waiting.items.into_values()).for_each(Waker::wake);
    }
}
