//! Bounds of a session.

use std::time::Duration;

/// The largest params or result that travel on the session itself, in bytes. Larger ones take a stream of their own, so that
/// nothing small waits behind them.
pub const MAX_INLINE: usize = 64 * 1024;

/// Bounds of a session, for each end.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// The most calls that the other end may have unanswered at a time. It is told so, and holds further ones back; one that does
    /// not has its session ended. Default: 1,024.
    pub max_calls: u32,
    /// The longest message that is taken, in bytes. Default: 80 KiB, which is [`MAX_INLINE`] and room for what is around it.
    pub max_message: usize,
    /// How many bytes may wait to be sent until callers have to wait, and until calls that come in are not begun. Default: 256 KiB.
    pub max_waiting: usize,
    /// How many bytes of answers may wait to be fetched ([`Answer::Body`](super::message::Answer::Body)). Default: 64 MiB.
    pub max_parked: usize,
    /// How long the other end may take no byte of what waits for it, until the session ends. Default: 30 s.
    pub write_timeout: Duration,
    /// How often the other end is asked for a sign of life. Default: 10 s.
    pub keep_alive: Duration,
    /// How long it may take to give one. Default: 5 s.
    pub keep_alive_timeout: Duration,
    /// How long a session without calls is kept by the end that opened it. Default: 5 minutes.
    pub idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_calls: 1_024,
            max_message: 80 * 1024,
            max_waiting: 256 * 1024,
            max_parked: 64 * 1024 * 1024,
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
            idle: Duration::from_mins(5),
        }
    }
}
