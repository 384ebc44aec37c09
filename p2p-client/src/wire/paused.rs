//! For tests whose clock stands still.

use std::time::Duration;

/// Lets this much time pass, with all that falls due in it, at once.
///
/// # Panics
/// Unless the clock is paused: a test is to wait for what happens, and never for the time.
pub(crate) async fn time_passes(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(time).await;
}
