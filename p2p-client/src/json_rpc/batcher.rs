//! [`Batcher`]: which waiting calls go into which request, and when. It does no IO and reads no clock.
//!
//! A call that comes while nothing is under way goes at once. While a request is under way, calls gather, and go together: as soon as
//! a request has ended, as soon as they fill a batch, or when the oldest has waited long enough that a slow request should not
//! hold it up; each as far as a further request may be under way.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use tokio::time::Instant;

/// Bounds of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most calls in a request; 1 turns batches off. Default: 100. Where a server finds a request too large, fewer go together for a while.
    pub max_calls: NonZeroUsize,
    /// The most bytes in a request. A call that is larger by itself goes alone. Default: 1 MiB.
    pub max_bytes: usize,
    /// The most requests under way at a time. Default: 4.
    pub max_in_flight: NonZeroUsize,
    /// How long a call waits for company while a request is under way, if another may be. `Duration::MAX`: until that ends, or a batch is
    /// full. Default: 2 ms.
    pub max_wait: Duration,
    /// The most calls that wait to be sent; further ones are refused. Default: 65,536.
    pub max_waiting: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            max_calls: NonZeroUsize::MIN.saturating_add(99),
            max_bytes: 1024 * 1024,
            max_in_flight: NonZeroUsize::MIN.saturating_add(3),
            max_wait: Duration::from_millis(2),
            max_waiting: 65_536,
        }
    }
}

/// The brackets around a batch, and the comma after each call but the last.
const BRACKETS: usize = 2;
const COMMA: usize = 1;

/// The calls that wait, and what is under way.
#[derive(Debug)]
pub(super) struct Batcher {
    limits: BatchLimits,
    /// By number, which is the order in which they were made.
    waiting: BTreeMap<u64, Waiting>,
    in_flight: usize,
    /// How many calls go into a request at present.
    most: usize,
    /// How many requests with so many calls were taken in a row.
    taken: u32,
    /// Whether the server takes no batches at all.
    singly: bool,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    since: Instant,
}

/// After how many requests that were as large as they may be more calls go into one again, as what was too large may have been one call.
const TAKEN_IN_A_ROW: u32 = 16;

/// There are too many calls waiting already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Batcher {
    pub(super) fn new(limits: BatchLimits) -> Self {
        let most = limits.max_calls.get();
        Self { limits, waiting: BTreeMap::new(), in_flight: 0, most, taken: 0, singly: most == 1 }
    }

    /// Takes a call. Of those that wait, the lowest numbers go first.
    pub(super) fn push(&mut self, number: u64, bytes: usize, now: Instant) -> Result<(), Full> {
        if self.waiting.len() >= self.limits.max_waiting {
            return Err(Full);
        }
        self.waiting.insert(number, Waiting { bytes, since: now });
        Ok(())
    }

    /// Puts calls back that were sent and refused unprocessed. They go first, as they have waited longest.
    pub(super) fn put_back(&mut self, calls: impl IntoIterator<Item = (u64, usize)>, now: Instant) {
        self.waiting.extend(calls.into_iter().map(|(number, bytes)| (number, Waiting { bytes, since: now })));
    }

    /// Takes a call out that nobody waits for any more. Says whether it had not been sent.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        self.waiting.remove(&number).is_some()
    }

    /// The server takes no batches: from now on each call goes alone.
    pub(super) fn speak_singly(&mut self) {
        self.singly = true;
    }

    /// The server refused a request of so many calls: half as many go together from now on.
    pub(super) fn too_large(&mut self, calls: usize) {
        self.most = self.most.min(calls / 2).max(1);
        self.taken = 0;
    }

    /// The server took a request of so many calls. Once it has taken enough that were as large as they may be, twice as many go together.
    pub(super) fn taken(&mut self, calls: usize) {
        if calls < self.most {
            return;
        }
        self.taken += 1;
        if self.taken >= TAKEN_IN_A_ROW {
            self.most = self.most.saturating_mul(2).min(self.limits.max_calls.get());
            self.taken = 0;
        }
    }

    /// The calls of the next request, if one is due; it is under way from then on.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<u64>> {
        if self.in_flight >= self.limits.max_in_flight.get() || !self.is_due(now) {
            return None;
        }
        let batch = self.first_batch();
        for number in &batch {
            self.waiting.remove(number);
        }
        self.in_flight += 1;
        Some(batch)
    }

    /// A request has ended, however it did.
    pub(super) fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// When [`Batcher::next`] is to be asked again, should nothing happen before.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.in_flight >= self.limits.max_in_flight.get() {
            return None;
        }
        self.patience_ends()
    }

    /// When the oldest call has waited long enough. Never, where that is too far away to be told.
    fn patience_ends(&self) -> Option<Instant> {
        let (_, oldest) = self.waiting.first_key_value()?;
        oldest.since.checked_add(self.limits.max_wait)
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.waiting.is_empty()
            && (self.in_flight == 0 || self.singly || self.patience_ends().is_some_and(|end| now >= end) || self.fills_a_batch())
    }

    fn fills_a_batch(&self) -> bool {
        let batch = self.first_batch();
        batch.len() == self.most || batch.len() < self.waiting.len()
    }

    /// The oldest calls, as many as fit into one request; at least one.
    fn first_batch(&self) -> Vec<u64> {
        let most = if self.singly { 1 } else { self.most };
        let mut total = BRACKETS;
        let mut batch = Vec::new();
        for (number, call) in self.waiting.iter().take(most) {
            total = total.saturating_add(call.bytes).saturating_add(COMMA);
            if !batch.is_empty() && total > self.limits.max_bytes + COMMA {
                break;
            }
            batch.push(*number);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn limits(max_calls: usize, max_bytes: usize, max_in_flight: usize) -> BatchLimits {
        BatchLimits {
            max_calls: NonZeroUsize::new(max_calls).unwrap(),
            max_bytes,
            max_in_flight: NonZeroUsize::new(max_in_flight).unwrap(),
            max_waiting: 50,
            ..BatchLimits::default()
        }
    }

    fn batcher(limits: BatchLimits, calls: u64, now: Instant) -> Batcher {
        let mut batcher = Batcher::new(limits);
        (0..calls).for_each(|number| batcher.push(number, 10, now).unwrap());
        batcher
    }

    #[test]
    fn a_call_goes_at_once_while_nothing_is_under_way() {
        let now = Instant::now();
        let mut batcher = batcher(BatchLimits::default(), 1, now);
        assert_eq!(batcher.next(now), Some(vec![0]));
        assert_eq!(batcher.next(now), None);
    }

    #[test]
    fn calls_gather_while_a_request_is_under_way_and_go_together_when_it_ends() {
        let now = Instant::now();
        let mut batcher = batcher(BatchLimits::default(), 1, now);
        batcher.next(now).unwrap();
        (1..4).for_each(|number| batcher.push(number, 10, now).unwrap());
        assert_eq!(batcher.next(now), None);
        batcher.ended();
        assert_eq!(batcher.next(now), Some(vec![1, 2, 3]));
    }

    #[test]
    fn a_full_batch_does_not_wait_for_the_request_that_is_under_way() {
        let now = Instant::now();
        let mut batcher = batcher(limits(3, 1000, 2), 1, now);
        batcher.next(now).unwrap();
        (1..9).for_each(|number| batcher.push(number, 10, now).unwrap());
        assert_eq!(batcher.next(now), Some(vec![1, 2, 3]));
        assert_eq!(batcher.next(now), None, "two requests are under way");
        batcher.ended();
        assert_eq!(batcher.next(now), Some(vec![4, 5, 6]));
    }

    #[test]
    fn a_slow_request_holds_a_call_up_for_a_bounded_time() {
        let now = Instant::now();
        let mut batcher = batcher(limits(10, 1000, 2), 1, now);
        batcher.next(now).unwrap();
        batcher.push(1, 10, now).unwrap();
        assert_eq!(batcher.next(now), None);
        let later = batcher.wake_at().unwrap();
        assert_eq!(later, now + BatchLimits::default().max_wait);
        assert_eq!(batcher.next(later), Some(vec![1]));
        batcher.push(2, 10, now).unwrap();
        assert_eq!((batcher.wake_at(), batcher.next(later)), (None, None), "only the end of a request can help now");
    }

    #[test]
    fn bytes_bound_a_batch_to_the_letter_and_a_call_that_is_too_large_goes_alone() {
        let now = Instant::now();
        // Three calls of ten bytes, two commas, two brackets: 34.
        for (max_bytes, together) in [(34, 3), (33, 2)] {
            assert_eq!(batcher(limits(10, max_bytes, 1), 3, now).next(now).unwrap().len(), together);
        }
        let mut batcher = batcher(limits(10, 5, 1), 2, now);
        assert_eq!(batcher.next(now), Some(vec![0]));
    }

    #[test]
    fn a_call_that_is_taken_out_is_never_sent() {
        let now = Instant::now();
        let mut batcher = batcher(BatchLimits::default(), 3, now);
        assert!(batcher.remove(1));
        assert_eq!(batcher.next(now), Some(vec![0, 2]));
        assert!(!batcher.remove(0), "it was sent");
    }

    #[test]
    fn to_a_server_that_takes_no_batches_calls_go_singly_what_was_refused_first() {
        let now = Instant::now();
        let mut batcher = batcher(limits(10, 1000, 2), 2, now);
        assert_eq!(batcher.next(now), Some(vec![0, 1]));
        batcher.push(2, 10, now).unwrap();
        batcher.ended();
        batcher.speak_singly();
        batcher.put_back([(0, 10), (1, 10)], now);
        assert_eq!((batcher.next(now), batcher.next(now), batcher.next(now)), (Some(vec![0]), Some(vec![1]), None));
        batcher.ended();
        assert_eq!(batcher.next(now), Some(vec![2]));
    }

    #[test]
    fn a_call_that_may_wait_for_ever_waits_for_the_end_of_a_request_or_a_full_batch() {
        let now = Instant::now();
        let mut batcher = batcher(BatchLimits { max_wait: Duration::MAX, ..limits(2, 1000, 2) }, 1, now);
        batcher.next(now).unwrap();
        batcher.push(1, 10, now).unwrap();
        assert_eq!((batcher.wake_at(), batcher.next(now + Duration::from_hours(1))), (None, None));
        batcher.push(2, 10, now).unwrap();
        assert_eq!(batcher.next(now), Some(vec![1, 2]));
    }

    #[test]
    fn half_as_many_calls_go_together_after_a_refusal_and_more_again_once_many_requests_were_taken() {
        let now = Instant::now();
        let mut batcher = batcher(limits(10, 1000, 1), 10, now);
        let calls = batcher.next(now).unwrap();
        batcher.ended();
        batcher.too_large(calls.len());
        batcher.put_back(calls.into_iter().map(|number| (number, 10)), now);
        assert_eq!(batcher.next(now).unwrap().len(), 5);
        for (calls, most) in [(5, 10), (10, 10)] {
            batcher.taken(calls - 1);
            (1..TAKEN_IN_A_ROW).for_each(|_| batcher.taken(calls));
            assert_eq!(batcher.most, calls, "not yet");
            batcher.taken(calls);
            assert_eq!(batcher.most, most);
        }
        batcher.too_large(1);
        assert_eq!(batcher.most, 1, "a call that is too large by itself is told so; it does not make less than one");
    }

    #[test]
    fn more_calls_than_may_wait_are_refused() {
        let now = Instant::now();
        assert_eq!(batcher(limits(10, 1000, 1), 50, now).push(50, 10, now), Err(Full));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Remove(u64),
        Ended,
        Passes(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_usize..60).prop_map(Step::Push),
            1 => (0_u64..40).prop_map(Step::Remove),
            2 => Just(Step::Ended),
            1 => (0_u64..4).prop_map(Step::Passes),
        ]
    }

    proptest! {
        #[test]
        fn every_call_is_sent_once_or_taken_out_in_order_and_within_the_bounds(
            steps in prop::collection::vec(step(), 1..200),
            max_calls in 1_usize..6,
            max_in_flight in 1_usize..4,
        ) {
            let limits = BatchLimits { max_waiting: 1000, ..limits(max_calls, 100, max_in_flight) };
            let (mut batcher, mut now) = (Batcher::new(limits), Instant::now());
            let (mut sizes, mut sent, mut removed, mut under_way) = (Vec::new(), BTreeSet::new(), BTreeSet::new(), 0);
            let mut last = None;
            for step in steps.into_iter().chain(std::iter::repeat_n(Step::Ended, 1000)) {
                match step {
                    Step::Push(bytes) => {
                        batcher.push(sizes.len() as u64, bytes, now).unwrap();
                        sizes.push(bytes);
                    }
                    Step::Remove(number) => {
                        if batcher.remove(number) {
                            prop_assert!(!sent.contains(&number));
                            removed.insert(number);
                        }
                    }
                    Step::Ended => {
                        under_way = usize::saturating_sub(under_way, 1);
                        batcher.ended();
                    }
                    Step::Passes(ms) => now += Duration::from_millis(ms),
                }
                while let Some(batch) = batcher.next(now) {
                    under_way += 1;
                    prop_assert!(under_way <= max_in_flight && !batch.is_empty() && batch.len() <= max_calls);
                    let bytes = batch.iter().map(|number| sizes[usize::try_from(*number).unwrap()] + 1).sum::<usize>() + 1;
                    prop_assert!(batch.len() == 1 || bytes <= 100, "{} bytes", bytes);
                    for number in batch {
                        prop_assert!(last < Some(number) && !removed.contains(&number) && sent.insert(number));
                        last = Some(number);
                    }
                }
                // Nothing waits for nothing.
                prop_assert!(under_way > 0 || batcher.waiting.is_empty());
            }
            prop_assert_eq!(sent.len() + removed.len(), sizes.len());
        }
    }
}
