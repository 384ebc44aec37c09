//! Counts the requests that are being answered, so that a node which stops can wait for them, and cut off what does not end.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The requests that are being answered.
#[derive(Debug, Clone)]
pub(crate) struct RunningRequests {
    state: Arc<watch::Sender<State>>,
    cut: CancellationToken,
}

#[derive(Debug)]
struct State {
    count: usize,
    /// No more are taken.
    closed: bool,
}

/// One of them, until it is dropped.
pub(crate) struct RunningRequest(Arc<watch::Sender<State>>);

impl RunningRequests {
    pub(crate) fn new() -> Self {
        let state = Arc::new(watch::Sender::new(State { count: 0, closed: false }));
        Self { state, cut: CancellationToken::new() }
    }

    /// Counts one, unless no more are taken.
    pub(crate) fn enter(&self) -> Option<RunningRequest> {
        let taken = self.state.send_if_modified(|state| {
            state.count += usize::from(!state.closed);
            !state.closed
        });
        taken.then(|| RunningRequest(self.state.clone()))
    }

    /// Runs what answers a request, unless it is cut off before it ends.
    pub(crate) async fn unless_cut<F: Future>(&self, answering: F) -> Option<F::Output> {
        self.cut.run_until_cancelled(answering).await
    }

    /// Takes no more, waits until there are none, and cuts off those that are left after `grace`. Gives how many that were.
    pub(crate) async fn finish(&self, grace: Duration) -> usize {
        self.state.send_modify(|state| state.closed = true);
        let mut state = self.state.subscribe();
        if tokio::time::timeout(grace, state.wait_for(|state| state.count == 0)).await.is_ok() {
            return 0;
        }
        let left = state.borrow().count;
        self.cut.cancel();
        // They end as soon as they are looked at; the bound is for one that blocks its thread.
        let _ended = tokio::time::timeout(Duration::from_secs(1), state.wait_for(|state| state.count == 0)).await;
        left
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_is_cut_off_after_the_grace_and_no_new_one_is_taken() {
        let requests = RunningRequests::new();
        let running = requests.clone();
        let stuck = tokio::spawn(async move {
            let _running = running.enter().unwrap();
            running.unless_cut(pending::<()>()).await
        });
        let mut seen = requests.state.subscribe();
        seen.wait_for(|state| state.count == 1).await.unwrap();
        assert_eq!(requests.finish(Duration::from_secs(10)).await, 1);
        assert_eq!(stuck.await.unwrap(), None);
        assert!(requests.enter().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ends_in_time_is_waited_for() {
        let requests = RunningRequests::new();
        let running = requests.enter().unwrap();
        let finishing = requests.clone();
        let finished = tokio::spawn(async move { finishing.finish(Duration::from_secs(10)).await });
        drop(running);
        assert_eq!(finished.await.unwrap(), 0);
    }
}
