//! Running a method's future so that neither a panic nor a missed deadline reaches beyond the call.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Due;

/// What knows when a call's time is over, should it ever wait.
pub trait TimeLimit {
    /// The time of timers at which it is over.
    fn deadline(&self) -> Instant;
}

impl TimeLimit for Instant {
    fn deadline(&self) -> Instant {
        *self
    }
}

impl TimeLimit for Due {
    fn deadline(&self) -> Instant {
        Due::deadline(self)
    }
}

/// Why a call was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its time ran out.
    Deadline,
    /// The method panicked. (The panic's text is in the node's log, not at the caller.)
    Panicked,
}

pin_project! {
    /// A future that ends when `inner` does, when its deadline has passed, or when `inner` panics.
    ///
    /// The timer is made only once `inner` really waits: most methods never do, and a timer costs more than the rest of a call.
    pub struct Guarded<F, L> {
        #[pin]
        inner: F,
        limit: L,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future, L: TimeLimit> Guarded<F, L> {
    /// Guards `inner`.
    pub fn new(inner: F, limit: L) -> Self {
        Self { inner, limit, timer: None }
    }

    /// What it was given to know the end of its time.
    pub fn limit(&self) -> &L {
        &self.limit
    }
}

impl<F: Future, L: TimeLimit> Future for Guarded<F, L> {
    type Output = Result<F::Output, Cut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The future is never polled again after a panic, so nobody sees what the panic left half done in it.
        match catch_unwind(AssertUnwindSafe(|| this.inner.poll(cx))) {
            Ok(Poll::Ready(output)) => return Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Err(Cut::Panicked)),
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(this.limit.deadline())));
        timer.as_mut().poll(cx).map(|()| Err(Cut::Deadline))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline() {
        let deadline = Instant::now() + Duration::from_secs(3);
        assert_eq!(Guarded::new(pending::<()>(), deadline).await, Err(Cut::Deadline));
        assert_eq!(Instant::now(), deadline);
    }

    #[tokio::test]
    async fn a_panic_stays_within_its_call() {
        let deadline = Instant::now() + Duration::from_secs(3);
        let broken = async { panic!("expected by this test") };
        assert_eq!(Guarded::new(broken, deadline).await, Err::<(), _>(Cut::Panicked));
        assert_eq!(Guarded::new(async { 1 }, deadline).await, Ok(1));
    }
}
