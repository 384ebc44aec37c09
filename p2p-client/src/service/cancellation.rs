//! Whether somebody still waits for a call: for methods that run on without their caller, and for what a method has spawned.

use std::{
    fmt,
    future::{Future, pending},
    sync::OnceLock,
};

use tokio::sync::watch;

use super::CallContext;

/// Tells every clone of a context that its call was cancelled.
///
/// It is made when somebody asks for it or clones the context, so that all other calls do not pay for it: as long as there is one context
/// only, it ends together with the call.
#[derive(Default)]
pub(super) struct Cancellation(OnceLock<watch::Sender<bool>>);

impl Cancellation {
    fn told(&self) -> &watch::Sender<bool> {
        self.0.get_or_init(|| watch::Sender::new(false))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.get().is_some_and(|told| *told.borrow())
    }

    /// Ends when the call is cancelled; never, where it is answered.
    pub(super) fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut told = self.told().subscribe();
        async move {
            if told.wait_for(|cancelled| *cancelled).await.is_err() {
                // Nobody is left who could cancel it.
                pending::<()>().await;
            }
        }
    }

    fn cancel(&self) {
        if let Some(told) = self.0.get() {
            told.send_replace(true);
        }
    }
}

/// A clone is told what this one is told.
impl Clone for Cancellation {
    fn clone(&self) -> Self {
        Self(OnceLock::from(self.told().clone()))
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancellation").field(&self.is_cancelled()).finish()
    }
}

/// A call that runs: dropped before it is answered, it was cancelled, and its context says so. So it does at the end of an open stream.
#[must_use = "it cancels its call at once"]
pub(crate) struct UntilAnswered<'a>(Option<&'a CallContext>);

impl<'a> UntilAnswered<'a> {
    /// For what serves a call, as long as the method runs.
    pub(crate) fn of(cx: &'a CallContext) -> Self {
        Self(Some(cx))
    }

    /// For a call whose method takes no context: nobody could be told.
    pub(crate) fn untold() -> Self {
        Self(None)
    }

    /// The method has answered, well or not.
    pub(crate) fn answered(&mut self) {
        self.0 = None;
    }

    /// The method that streams has ended by itself, well or not. Of a stream that was open there is no deadline to tell what it has left behind
    /// that nobody waits any more: its end has to.
    pub(crate) fn stream_ended(&mut self) {
        if self.0.is_some_and(|cx| !cx.is_stream_open()) {
            self.answered();
        }
    }
}

impl Drop for UntilAnswered<'_> {
    fn drop(&mut self) {
        if let Some(cx) = self.0 {
            cx.cancellation().cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{proxy::Proxy, service::stream::StreamState};

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_stream_that_was_open_cancels_what_it_has_left_behind_and_that_of_one_never_opened_does_not() {
        for is_open in [true, false] {
            let (node, deadline) = (Proxy::mock().proxy().caller().clone(), Instant::now() + Duration::from_secs(1));
            let cx = CallContext::of_own(node, deadline.into(), None, "counter".into(), Some(StreamState::new(None)));
            let left_behind = cx.clone();
            let mut serving = UntilAnswered::of(&cx);
            if is_open {
                cx.stream_opened();
            }
            serving.stream_ended();
            assert!(!left_behind.is_cancelled(), "it is told when the call is over");
            drop(serving);
            assert_eq!(left_behind.is_cancelled(), is_open);
        }
    }
}
