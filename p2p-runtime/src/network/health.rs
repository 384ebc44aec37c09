//! How well this node itself is doing (Lifeguard's local health).
//!
//! A node that is starved of CPU or network sees everybody else fail. The signs that the fault is its own: its timers fire late,
//! others suspect it though it lives, or a probe fails while it hears from nobody at all. Each sign makes its own probes and
//! suspicions more patient, each success less so.

use std::time::Duration;

/// Patience beyond this helps nobody: a cluster must still notice a death that only this node can see.
const WORST: u32 = 4;

/// 0 is healthy; probe times are stretched by this plus one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LocalHealth(u32);

impl LocalHealth {
    /// A sign that this node is the slow one.
    pub(super) fn worse(&mut self) {
        self.0 = (self.0 + 1).min(WORST);
    }

    /// A probe went well.
    pub(super) fn better(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// How long to wait for an answer where a healthy node would wait `time`.
    pub(super) fn stretch(self, time: Duration) -> Duration {
        time * (self.0 + 1)
    }

    /// How long to wait for a refutation: twice as long at most, since others carry it here too.
    pub(super) fn stretch_verdict(self, time: Duration) -> Duration {
        time * (self.0 + 1).min(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_trouble_stretch_time_within_bounds_and_successes_bring_it_back() {
        let mut health = LocalHealth::default();
        let second = Duration::from_secs(1);
        assert_eq!(health.stretch(second), second);
        (0..20).for_each(|_| health.worse());
        assert_eq!(health.stretch(second), second * (WORST + 1));
        assert_eq!(health.stretch_verdict(second), second * 2);
        (0..20).for_each(|_| health.better());
        assert_eq!(health.stretch(second), second);
    }
}
