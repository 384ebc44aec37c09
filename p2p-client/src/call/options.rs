//! What can be said of a call before it is awaited.

use std::{fmt, time::Duration};

/// What `.timeout(…)`, `.retry(…)` and `.header(…)` set.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: u8,
    pub(crate) headers: Headers,
}

/// Headers that a caller added. Their values may be secret, and are not printed.
#[derive(Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The names and values, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl CallOptions {
    /// The time that a call gets when neither it, nor its method, nor the call around it says otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
}
