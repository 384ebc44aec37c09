//! What must hold, and whether it does: ratios within one run.

use crate::{
    cases::{Case, Runtime},
    designs::Design,
    run::Row,
};

/// Two workers keep at least this share of a target on one thread. (No share is of the open loop's: there no worse is no worse.)
const KEPT_BY_TWO_WORKERS: f64 = 0.8;
/// Keys in a foreign order keep at least this share of a target.
const KEPT_BY_FOREIGN_KEYS: f64 = 0.5;

/// At least so many calls per CPU-second for each one of the peer.
const AT_ONCE: [(Case, Design, f64); 8] = [
    (Case::Echo64, Design::Tonic, 6.0),
    (Case::Echo64, Design::TarpcBincode, 1.5),
    (Case::Echo64, Design::HyperH2, 4.0),
    (Case::Echo64, Design::JsonrpseeHttp, 7.0),
    (Case::Echo512, Design::Tonic, 10.0),
    (Case::Echo512, Design::TarpcBincode, 2.2),
    (Case::Echo512, Design::HyperH2, 6.0),
    (Case::Echo512, Design::JsonrpseeHttp, 12.0),
];

const LARGE: [(Case, Design, f64); 3] =
    [(Case::Body64k, Design::HyperH2, 1.0), (Case::Body1m, Design::HyperH2, 0.7), (Case::Body1m, Design::Tonic, 1.2)];

/// A target and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) what: String,
    pub(super) bound: Bound,
    /// `None` where a design of it was not measured.
    pub(super) value: Option<f64>,
}

/// Where a value must lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Verdict {
    pub(super) fn holds(&self) -> Option<bool> {
        self.value.map(|value| match self.bound {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        })
    }
}

/// All targets, in the order of their specification.
pub(super) fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let rows = Rows(rows);
    let one = Runtime::CurrentThread;
    let mut verdicts = Vec::new();
    for (runtime, kept) in [(one, 1.0), (Runtime::TwoWorkers, KEPT_BY_TWO_WORKERS)] {
        verdicts.extend(AT_ONCE.map(|(case, peer, least)| rows.per_cpu(runtime, case, Design::P2p, peer, least * kept)));
        for (peer, most) in [(Design::HyperH2, 1.0), (Design::Tonic, 0.8)] {
            verdicts.push(rows.latency(runtime, Case::Echo1, ("p50", |row| row.p50_us), peer, most / kept));
        }
        verdicts.extend(LARGE.map(|(case, peer, least)| rows.per_cpu(runtime, case, Design::P2p, peer, least * kept)));
        verdicts.push(rows.latency(runtime, Case::OpenLoop, ("p99.9", |row| row.p999_us), Design::Tonic, 1.0));
    }
    verdicts.extend(
        AT_ONCE.map(|(case, peer, least)| rows.per_cpu(one, case, Design::P2pForeign, peer, least * KEPT_BY_FOREIGN_KEYS)),
    );
    verdicts
}

struct Rows<'a>(&'a [Row]);

impl Rows<'_> {
    fn find(&self, runtime: Runtime, case: Case, design: Design) -> Option<&Row> {
        self.0.iter().find(|row| (row.runtime, row.case, row.design) == (runtime, case, design))
    }

    fn per_cpu(&self, runtime: Runtime, case: Case, ours: Design, peer: Design, least: f64) -> Verdict {
        let value = self
            .find(runtime, case, ours)
            .zip(self.find(runtime, case, peer))
            .map(|(ours, peer)| ours.calls_per_cpu_s() / peer.calls_per_cpu_s());
        Verdict { what: format!("{case}, {runtime}: {ours} / {peer}, calls per CPU-second"), bound: Bound::AtLeast(least), value }
    }

    fn latency(&self, runtime: Runtime, case: Case, (name, of): (&str, fn(&Row) -> f64), peer: Design, most: f64) -> Verdict {
        let value =
            self.find(runtime, case, Design::P2p).zip(self.find(runtime, case, peer)).map(|(ours, peer)| of(ours) / of(peer));
        Verdict { what: format!("{case}, {runtime}: {} / {peer}, {name}", Design::P2p), bound: Bound::AtMost(most), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::made_up::row;

    const ONE: Runtime = Runtime::CurrentThread;

    fn verdict(rows: &[Row], what: &str) -> Verdict {
        verdicts(rows).into_iter().find(|verdict| verdict.what.contains(what)).unwrap()
    }

    #[test]
    fn a_ratio_per_cpu_second_is_the_peers_processor_time_over_ours() {
        let rows = [row(Design::P2p, ONE, Case::Echo64, 2.0), row(Design::Tonic, ONE, Case::Echo64, 13.0)];
        let verdict = verdict(&rows, "echo-64, current_thread: p2p / tonic");
        assert_eq!((verdict.value, verdict.bound, verdict.holds()), (Some(6.5), Bound::AtLeast(6.0), Some(true)));
    }

    #[test]
    fn a_target_that_is_missed_does_not_hold() {
        let rows = [row(Design::P2p, ONE, Case::Echo512, 2.0), row(Design::TarpcBincode, ONE, Case::Echo512, 4.0)];
        assert_eq!(verdict(&rows, "echo-512, current_thread: p2p / tarpc").holds(), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_neither_held_nor_missed() {
        let rows = [row(Design::P2p, ONE, Case::Echo64, 2.0)];
        assert!(verdicts(&rows).iter().all(|verdict| verdict.holds().is_none()));
    }

    #[test]
    fn latencies_must_be_at_most_their_share_of_the_peers() {
        let mut rows = [row(Design::P2p, ONE, Case::Echo1, 2.0), row(Design::Tonic, ONE, Case::Echo1, 2.0)];
        rows[0].p50_us = 80.0;
        rows[1].p50_us = 100.0;
        assert_eq!(verdict(&rows, "p2p / tonic, p50").holds(), Some(true));
        rows[0].p50_us = 81.0;
        assert_eq!(verdict(&rows, "p2p / tonic, p50").holds(), Some(false));
    }

    #[test]
    fn two_workers_and_foreign_keys_keep_their_share_of_the_targets() {
        let two = Runtime::TwoWorkers;
        let rows = [
            row(Design::P2p, two, Case::Echo64, 1.0),
            row(Design::Tonic, two, Case::Echo64, 5.0),
            row(Design::P2pForeign, ONE, Case::Echo64, 1.0),
            row(Design::Tonic, ONE, Case::Echo64, 2.9),
        ];
        assert_eq!(verdict(&rows, "echo-64, two_workers: p2p / tonic").holds(), Some(true));
        assert_eq!(verdict(&rows, "p2p-foreign / tonic").holds(), Some(false));
    }

    #[test]
    fn every_target_is_judged_on_two_workers_as_well() {
        let on = |runtime: Runtime| {
            let runtime = format!(", {runtime}: p2p /");
            verdicts(&[]).iter().filter(|verdict| verdict.what.contains(&runtime)).count()
        };
        assert_eq!((on(ONE), on(Runtime::TwoWorkers)), (14, 14));
        assert_eq!(verdict(&[], "echo-1, two_workers: p2p / tonic, p50").bound, Bound::AtMost(1.0));
        assert_eq!(verdict(&[], "open-loop, two_workers: p2p / tonic, p99.9").bound, Bound::AtMost(1.0));
    }
}
