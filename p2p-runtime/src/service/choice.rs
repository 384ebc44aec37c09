//! Which of several hosts a call goes to: the better of two.
//!
//! To look at two hosts and take the less busy one is nearly as good as to look at all, and unlike taking the best of all it does not
//! send everybody to the same host at once (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE Transactions
//! on Parallel and Distributed Systems 12 (10), 2001). One of the two is the host whose turn it is, so that equal ones share evenly;
//! the other is drawn. What "busy" means is [`PeerLoad`](p2p_client::call::PeerLoad)'s to say.

/// Of two costs, the drawn host's has to be lower by this factor (4/5) to be worth leaving the turn: below that it is noise.
const WORTH_IT: (u64, u64) = (5, 4);

/// Chooses among `candidates`, which gives the same ones each time it is called. `turn` is one more with each call of anything, `random` any number.
pub(super) fn choose<T, C: Iterator<Item = T>>(
    candidates: impl Fn() -> C,
    turn: u64,
    random: impl FnOnce() -> usize,
    cost: impl Fn(&T) -> u64,
) -> Option<T> {
    let count = candidates().count();
    if count == 0 {
        return None;
    }
    let first = place(turn, count);
    if count == 1 {
        return candidates().next();
    }
    // Any but the first.
    let second = (first + 1 + random() % (count - 1)) % count;
    let two = candidates().enumerate().filter(|(place, _)| [first, second].contains(place));
    let mut two = two.map(|(_, candidate)| candidate);
    let (lower, higher) = (two.next()?, two.next()?);
    let (in_turn, drawn) = if first < second { (lower, higher) } else { (higher, lower) };
    let is_better = cost(&drawn).saturating_mul(WORTH_IT.0) < cost(&in_turn).saturating_mul(WORTH_IT.1);
    Some(if is_better { drawn } else { in_turn })
}

/// Whose turn it is of so many.
///
/// Turns are counted for all services together: the remainder would send a service that is called every second time to every second host.
/// The multiples of the golden ratio are spread evenly over the unit interval, and so are those of every other or every third one
/// (D. Knuth, "The Art of Computer Programming" 3, 6.4).
#[allow(clippy::cast_possible_truncation, reason = "it is less than `count`")]
fn place(turn: u64, count: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    ((u128::from(turn.wrapping_mul(GOLDEN)) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

    use p2p_client::call::PeerLoad;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use tokio::time::Instant;

    use super::*;

    /// A host of a simulation.
    #[derive(Clone, Copy)]
    enum Host {
        /// Its calls take so long.
        Well(Duration),
        /// It says after so long that something is wrong with it.
        Faulty(Duration),
        /// It cannot be reached.
        Away,
    }
    use Host::{Away, Faulty, Well};

    impl Host {
        fn time(self) -> Duration {
            match self {
                Well(time) | Faulty(time) => time,
                Away => MS / 10,
            }
        }
    }

    const MS: Duration = Duration::from_millis(1);

    /// How many calls each host gets of callers who make one call after the other for `time`. The clock is virtual.
    fn calls(hosts: &[Host], callers: usize, time: Duration) -> Vec<usize> {
        let seed = 7;
        let mut random = SmallRng::seed_from_u64(seed);
        let start = Instant::now();
        let loads: Vec<PeerLoad> = hosts.iter().map(|_| PeerLoad::new(start)).collect();
        let mut served = vec![0; hosts.len()];
        // When each caller is free again, and the call that it made.
        let mut free: BinaryHeap<_> = (0..callers).map(|caller| Reverse((start, caller, None))).collect();
        let mut turn = 0;
        while let Some(Reverse((now, caller, ended))) = free.pop().filter(|Reverse((now, ..))| *now < start + time) {
            if let Some((host, is_sample)) = ended {
                let load: &PeerLoad = &loads[host];
                load.end();
                match hosts[host] {
                    Well(took) if is_sample => load.measure(took, now),
                    Well(_) => {}
                    Faulty(took) => load.measure_fault(took, now),
                    Away => load.fail(now),
                }
            }
            turn += 1;
            let host =
                choose(|| 0..hosts.len(), turn, || random.random::<u32>() as usize, |host| loads[*host].cost(now)).unwrap();
            served[host] += 1;
            let is_sample = loads[host].begin(now);
            free.push(Reverse((now + hosts[host].time(), caller, Some((host, is_sample)))));
        }
        served
    }

    fn shares(served: &[usize]) -> Vec<f64> {
        let all: usize = served.iter().sum();
        #[allow(clippy::cast_precision_loss, reason = "of some thousands")]
        served.iter().map(|calls| *calls as f64 / all as f64).collect()
    }

    #[test]
    fn equal_hosts_share_evenly() {
        for callers in [1, 16] {
            let shares = shares(&calls(&[Well(MS); 4], callers, 5_000 * MS));
            assert!(shares.iter().all(|share| (0.24..0.26).contains(share)), "{callers} callers: {shares:?}");
        }
    }

    #[test]
    fn services_that_are_called_in_turn_share_evenly_each() {
        for (services, hosts) in [(2, 2), (2, 4), (3, 3), (4, 2), (6, 3), (7, 7)] {
            let mut served = vec![vec![0_u32; hosts]; services];
            for turn in 0..1_000 * services {
                let host = choose(|| 0..hosts, turn as u64, || 0, |_| 1).unwrap();
                served[turn % services][host] += 1;
            }
            let fair = 1_000 / u32::try_from(hosts).unwrap();
            let is_fair = |calls: &u32| calls.abs_diff(fair) <= 10;
            assert!(served.iter().flatten().all(is_fair), "{services} services on {hosts} hosts: {served:?}");
        }
    }

    #[test]
    fn a_slow_host_gets_fewer_calls() {
        for callers in [1, 16] {
            let shares = shares(&calls(&[Well(MS), Well(20 * MS), Well(MS)], callers, 5_000 * MS));
            assert!(shares[1] < 0.05, "{callers} callers: {shares:?}");
            assert!(shares[1] > 0.0, "it is not forgotten: {shares:?}");
            assert!((shares[0] - shares[2]).abs() < 0.2, "{callers} callers: {shares:?}");
        }
    }

    #[test]
    fn a_host_that_fails_at_once_does_not_draw_calls_by_being_fast() {
        let shares = shares(&calls(&[Well(MS), Away, Well(MS)], 16, 5_000 * MS));
        assert!(shares[1] < 0.01, "{shares:?}");
    }

    #[test]
    fn a_host_that_answers_at_once_that_it_cannot_does_not_draw_calls_either() {
        for callers in [1, 16, 100] {
            let shares = shares(&calls(&[Well(5 * MS), Faulty(MS / 20)], callers, 20_000 * MS));
            assert!(shares[1] < 0.05, "{callers} callers: {shares:?}");
            assert!(shares[1] > 0.0, "it is asked again whether it is well: {shares:?}");
        }
    }

    #[test]
    fn nobody_is_chosen_of_none_and_the_only_one_of_one() {
        let never = || panic!("there is nothing to draw");
        assert_eq!(choose(std::iter::empty::<u8>, 5, never, |_| 1), None);
        assert_eq!(choose(|| std::iter::once('a'), 5, never, |_| 1), Some('a'));
    }

    #[test]
    fn the_two_that_are_compared_are_never_one() {
        for (turn, random) in (0..4).flat_map(|turn| (0..9).map(move |random| (turn, random))) {
            // Everybody is better than the one whose turn it is.
            let in_turn = place(turn, 4);
            let chosen = choose(|| 0..4_usize, turn, || random, |host| if *host == in_turn { 10 } else { 1 });
            assert_ne!(chosen, Some(in_turn));
            let kept = choose(|| 0..4_usize, turn, || random, |host| if *host == in_turn { 10 } else { 9 });
            assert_eq!(kept, Some(in_turn), "a difference that small is noise");
        }
    }
}
