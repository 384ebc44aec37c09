//! Counts the requests that are being answered, so that a node which stops can wait for them, and cut off what does not end.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The requests that are being answered. Counting one is one atomic step, so that threads do not wait for each other over it.
#[derive(Debug, Clone)]
pub(crate) struct RunningRequests {
    count: TaskTracker,
    cut: CancellationToken,
}

/// One of them, until it is dropped.
pub(crate) struct RunningRequest {
    _counted: TaskTrackerToken,
}

impl RunningRequests {
    pub(crate) fn new() -> Self {
        Self { count: TaskTracker::new(), cut: CancellationToken::new() }
    }

    /// Counts one, unless no more are taken.
    pub(crate) fn enter(&self) -> Option<RunningRequest> {
        // Counted first: whoever closes sees either the count or no request.
        let running = RunningRequest { _counted: self.count.token() };
        (!self.count.is_closed()).then_some(running)
    }

    /// Runs what answers a request, unless it is cut off before it ends. (Pinned where the caller has it: an argument that is
    /// awaited would be kept twice, and it is large.)
    pub(crate) async fn unless_cut<F: Future>(&self, mut answering: Pin<&mut F>) -> Option<F::Output> {
        // Most are answered at once, and waiting for the cut means standing in one queue with all others.
        match futures::poll!(answering.as_mut()) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => self.cut.run_until_cancelled(answering).await,
        }
    }

    /// Takes no more, waits until there are none, and cuts off those that are left after `grace`. Gives how many that were.
    pub(crate) async fn finish(&self, grace: Duration) -> usize {
        self.count.close();
        if tokio::time::timeout(grace, self.count.wait()).await.is_ok() {
            return 0;
        }
        let left = self.count.len();
        self.cut.cancel();
        // They end as soon as they are looked at; the bound is for one that blocks its thread.
        let _ended = tokio::time::timeout(Duration::from_secs(1), self.count.wait()).await;
        left
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::pin,
    };

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_is_cut_off_after_the_grace_and_no_new_one_is_taken() {
        let requests = RunningRequests::new();
        let running = requests.clone();
        let (entered, has_entered) = oneshot::channel();
        let stuck = tokio::spawn(async move {
            let _running = running.enter().unwrap();
            entered.send(()).unwrap();
            running.unless_cut(pin!(pending::<()>())).await
        });
        has_entered.await.unwrap();
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

    #[tokio::test]
    async fn a_request_that_is_answered_at_once_is_not_cut_off_and_one_that_waits_is() {
        let requests = RunningRequests::new();
        requests.cut.cancel();
        assert_eq!(requests.unless_cut(pin!(ready(1))).await, Some(1));
        assert_eq!(requests.unless_cut(pin!(pending::<()>())).await, None);
    }

    #[tokio::test]
    async fn a_request_that_comes_while_the_node_stops_is_neither_taken_nor_waited_for() {
        let requests = RunningRequests::new();
        assert_eq!(requests.finish(Duration::ZERO).await, 0);
        assert!(requests.enter().is_none());
        assert_eq!(requests.count.len(), 0);
    }
}
