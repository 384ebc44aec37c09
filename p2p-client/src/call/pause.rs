//! How long a call that is tried again waits before its next round.

use std::time::Duration;

/// What the first pause is at most.
const FIRST: Duration = Duration::from_millis(50);
/// What any pause is at most.
const LONGEST: Duration = Duration::from_secs(2);

/// The pause before a round (0 is the first that is tried again): twice that of the round before, less up to a half by chance, so that
/// callers who failed together do not come back together (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
pub(super) fn pause(round: u8, chance: u8) -> Duration {
    let whole = FIRST.saturating_mul(1 << round.min(16)).min(LONGEST);
    whole.saturating_sub(whole * u32::from(chance) / 512)
}

/// A number that differs between callers. Where there is no randomness, pauses are merely equal.
pub(super) fn chance() -> u8 {
    let mut random = [0];
    let _unlikely_to_fail = aws_lc_rs::rand::fill(&mut random);
    random[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_by_chance() {
        let longest: Vec<u128> = (0..8).map(|round| pause(round, 0).as_millis()).collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(pause(u8::MAX, 0), LONGEST);
        for round in 0..8 {
            let (most, least) = (pause(round, 0), pause(round, u8::MAX));
            assert!(least < most && least >= most / 2, "{least:?} of {most:?}");
        }
    }
}
