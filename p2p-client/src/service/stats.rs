//! What is counted of each method: calls, errors, time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::{CallContext, Stopwatch};

/// The counters of one method. Writing them takes no lock.
#[derive(Debug, Default)]
pub struct MethodStats {
    started: AtomicU64,
    finished: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
}

/// What [`MethodStats`] held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MethodSnapshot {
    /// Calls begun.
    pub calls: u64,
    /// Calls that run now.
    pub in_flight: u64,
    /// Calls that ended with an error, or that nobody waited for to the end.
    pub errors: u64,
    /// Time spent in ended calls.
    pub total: Duration,
}

impl MethodStats {
    /// Counts a call that began then. Its end is counted when what is returned is dropped: as an error, unless it was told of success.
    pub(crate) fn begin(&self, began: Stopwatch) -> Running<'_> {
        self.started.fetch_add(1, Relaxed);
        Running { stats: Some(self), began, succeeded: false }
    }

    fn end(&self, took: Duration, succeeded: bool) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Relaxed);
        if !succeeded {
            self.errors.fetch_add(1, Relaxed);
        }
        self.finished.fetch_add(1, Relaxed);
    }

    /// The counters now.
    pub fn snapshot(&self) -> MethodSnapshot {
        let finished = self.finished.load(Relaxed);
        let calls = self.started.load(Relaxed);
        MethodSnapshot {
            calls,
            in_flight: calls.saturating_sub(finished),
            errors: self.errors.load(Relaxed),
            total: Duration::from_nanos(self.nanos.load(Relaxed)),
        }
    }
}

/// A stream that is being counted, from its opening to its end: one call. To let an open stream go is no error; its caller has had enough.
#[derive(Debug)]
pub struct RunningStream<'a> {
    running: Option<Running<'a>>,
    cx: &'a CallContext,
    failed: bool,
}

impl<'a> RunningStream<'a> {
    pub(crate) fn new(running: Option<Running<'a>>, cx: &'a CallContext) -> Self {
        Self { running, cx, failed: false }
    }

    /// The stream could not be opened, or ended with an error.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }
}

impl Drop for RunningStream<'_> {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running
            && !self.failed
            && self.cx.is_stream_open()
        {
            running.succeed();
        }
    }
}

/// A call that is being counted. A call that is cancelled is dropped, and so counted as well.
#[derive(Debug)]
pub struct Running<'a> {
    /// None once its end was counted.
    stats: Option<&'a MethodStats>,
    began: Stopwatch,
    succeeded: bool,
}

impl Running<'_> {
    /// Counts its end for who has looked at the clock just now.
    pub fn end(mut self, now: Instant, succeeded: bool) {
        if let Some(stats) = self.stats.take() {
            stats.end(self.began.elapsed_until(now), succeeded);
        }
    }

    /// The call ended well.
    pub fn succeed(&mut self) {
        self.succeeded = true;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(stats) = self.stats {
            stats.end(self.began.elapsed(), self.succeeded);
        }
    }
}
