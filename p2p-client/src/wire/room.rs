//! [`Room`]: how many bytes several answers may take together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A number of bytes that several answers share. Each takes its part as it comes; what does not fit is refused and gives its part back, so
/// that smaller ones may still fit.
#[derive(Debug)]
pub struct Room {
    max: usize,
    left: AtomicUsize,
}

/// An answer does not fit beside those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the answer was left out: all answers to this call may take {max} bytes together; ask fewer nodes at a time, or for less"
)]
pub struct NoRoom {
    /// The bytes that there are for all.
    pub max: usize,
}

impl Room {
    /// Room for so many bytes, all of it free.
    pub fn of(max: usize) -> Arc<Self> {
        Arc::new(Self { max, left: AtomicUsize::new(max) })
    }

    /// Whether so many bytes are free.
    ///
    /// # Errors
    /// They are not.
    pub fn has(&self, bytes: usize) -> Result<(), NoRoom> {
        if self.left.load(Relaxed) >= bytes { Ok(()) } else { Err(NoRoom { max: self.max }) }
    }

    /// Takes so many bytes, for good.
    ///
    /// # Errors
    /// They are not free. Nothing was taken.
    pub fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| NoRoom { max: self.max })
    }

    /// A part for an answer of which nobody knows yet how long it is.
    pub(super) fn part(&self) -> Part<'_> {
        Part { room: self, taken: 0 }
    }
}

/// What an answer has taken while it is read. It is given back when the reading is given up.
#[derive(Debug)]
pub(super) struct Part<'a> {
    room: &'a Room,
    taken: usize,
}

impl Part<'_> {
    /// Takes so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.room.take(bytes)?;
        self.taken += bytes;
        Ok(())
    }

    /// The answer is read: what it took stays taken.
    pub(super) fn keep(mut self) {
        self.taken = 0;
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.taken, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_nothing_and_what_is_given_up_is_free_again() {
        let room = Room::of(10);
        room.take(4).unwrap();
        assert_eq!(room.take(7), Err(NoRoom { max: 10 }));
        room.has(6).unwrap();
        assert_eq!(room.has(7), Err(NoRoom { max: 10 }));
        let mut given_up = room.part();
        given_up.grow(3).unwrap();
        given_up.grow(3).unwrap();
        assert_eq!(given_up.grow(1), Err(NoRoom { max: 10 }));
        room.has(1).unwrap_err();
        drop(given_up);
        let mut kept = room.part();
        kept.grow(6).unwrap();
        kept.keep();
        room.has(1).unwrap_err();
        room.take(0).unwrap();
    }
}
