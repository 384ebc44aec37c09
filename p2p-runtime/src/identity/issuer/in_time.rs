//! Nothing is written for a request that nobody waits for any more.
//!
//! A node gives up after 15 seconds, and asks another coordinator. What this one wrote after that, as its disk was slow, would be later than what the other one
//! wrote: the node would hold a certificate that was renewed since, as its copies do.

use std::time::Duration;

use tokio::time::Instant;

use super::super::join::Refused;

/// How long after it arrived a request may still have something written: less than nodes wait.
const IN_TIME: Duration = Duration::from_secs(12);

/// When a request arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival(Instant);

impl Arrival {
    /// It arrives now.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Whether whoever sent it still waits. To be asked right before the write, under the lock that this waits for.
    pub(super) fn must_be_in_time(self) -> Result<(), Refused> {
        if self.0.elapsed() <= IN_TIME { Ok(()) } else { Err(Refused::TooLate { seconds: IN_TIME.as_secs() }) }
    }
}
