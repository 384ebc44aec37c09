//! What can be said of a call before it is awaited.

use std::time::Duration;

/// What `.timeout(…)`, `.retry(…)` and `.header(…)` set.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: u8,
    pub(crate) headers: Vec<(String, String)>,
}

impl CallOptions {
    /// The time that a call gets when neither it, nor its method, nor the call around it says otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
}
