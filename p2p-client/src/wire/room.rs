//! [`Room`]: how many bytes several answers may take together.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// A number of bytes that several answers share. Each takes its part as it comes; what does not fit is refused and gives its part back, so
/// that smaller ones may still fit.
#[derive(Debug)]
pub struct Room {
    max: usize,
    left: AtomicUsize,
    whose: Whose,
    /// What has to fit in there has to fit in here as well.
    around: Option<Arc<Self>>,
    has_refused: AtomicBool,
}

/// Whose answers share a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whose {
    /// Those of many nodes, to one call.
    Call,
    /// Those to the calls of a batch.
    Batch,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Batch => "batch",
        })
    }
}

impl Whose {
    const fn advice(self) -> &'static str {
        match self {
            Self::Call => "ask fewer nodes at a time, or for less",
            Self::Batch => "split the batch, or ask for less",
        }
    }
}

/// An answer does not fit beside those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was left out: all answers to this {whose} may take {max} bytes together; {}", .whose.advice())]
#[non_exhaustive]
pub struct NoRoom {
    /// The bytes that there are for all.
    pub max: usize,
    /// Whose they are.
    pub whose: Whose,
}

impl Room {
    /// Room for so many bytes of answers to one call, all of it free.
    pub fn of(max: usize) -> Arc<Self> {
        Self::within(max, None)
    }

    /// The same, where all of it is a part of another room, in which there may be less.
    pub fn within(max: usize, around: Option<Arc<Self>>) -> Arc<Self> {
        Self::new(max, Whose::Call, around)
    }

    /// Room for so many bytes of answers to the calls of a batch, all of it free.
    pub fn of_batch(max: usize) -> Arc<Self> {
        Self::new(max, Whose::Batch, None)
    }

    fn new(max: usize, whose: Whose, around: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { max, left: AtomicUsize::new(max), whose, around, has_refused: AtomicBool::new(false) })
    }

    /// How many bytes it had when all of it was free.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Whether anything did not fit so far.
    pub fn has_refused(&self) -> bool {
        self.has_refused.load(Relaxed)
    }

    fn no_room(&self) -> NoRoom {
        self.has_refused.store(true, Relaxed);
        NoRoom { max: self.max, whose: self.whose }
    }

    /// Whether so many bytes are free.
    ///
    /// # Errors
    /// They are not.
    pub fn has(&self, bytes: usize) -> Result<(), NoRoom> {
        if self.left.load(Relaxed) < bytes {
            return Err(self.no_room());
        }
        self.around.as_ref().map_or(Ok(()), |around| around.has(bytes))
    }

    /// Takes so many bytes, for good.
    ///
    /// # Errors
    /// They are not free. Nothing was taken.
    pub fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).map_err(|_| self.no_room())?;
        if let Some(around) = &self.around {
            around.take(bytes).inspect_err(|_| _ = self.left.fetch_add(bytes, Relaxed))?;
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Relaxed);
        if let Some(around) = &self.around {
            around.give_back(bytes);
        }
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
        self.room.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ROOM: NoRoom = NoRoom { max: 10, whose: Whose::Call };

    #[test]
    fn what_has_to_fit_into_two_rooms_takes_both_or_neither_and_the_full_one_says_so() {
        let batch = Room::of_batch(10);
        let [one, other] = [8, 8].map(|max| Room::within(max, Some(batch.clone())));
        one.take(8).unwrap();
        assert_eq!(one.take(1).unwrap_err().whose, Whose::Call);
        assert!(one.has_refused() && !batch.has_refused());
        let no_room = other.take(3).unwrap_err();
        assert_eq!(
            no_room.to_string(),
            "the answer was left out: all answers to this batch may take 10 bytes together; split the batch, or ask for less"
        );
        assert_eq!(other.has(3), Err(no_room));
        assert!(batch.has_refused() && !other.has_refused());
        let mut given_up = other.part();
        given_up.grow(2).unwrap();
        drop(given_up);
        other.take(2).unwrap();
        assert_eq!(batch.take(1), Err(no_room));
    }

    #[test]
    fn what_does_not_fit_takes_nothing_and_what_is_given_up_is_free_again() {
        let room = Room::of(10);
        room.take(4).unwrap();
        assert_eq!(room.take(7), Err(NO_ROOM));
        room.has(6).unwrap();
        assert_eq!(room.has(7), Err(NO_ROOM));
        let mut given_up = room.part();
        given_up.grow(3).unwrap();
        given_up.grow(3).unwrap();
        assert_eq!(given_up.grow(1), Err(NO_ROOM));
        room.has(1).unwrap_err();
        drop(given_up);
        let mut kept = room.part();
        kept.grow(6).unwrap();
        kept.keep();
        room.has(1).unwrap_err();
        room.take(0).unwrap();
    }
}
