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
    /// Responses that are streams. They may be open for days, and nobody waits for those that do not end when they are told to.
    streams: TaskTracker,
    end_streams: CancellationToken,
}

/// One of them, until it is dropped.
pub(crate) struct RunningRequest {
    _counted: TaskTrackerToken,
}

/// One of those that are streams, until it is dropped.
pub(crate) struct RunningStream {
    _counted: TaskTrackerToken,
    end: CancellationToken,
}

impl RunningStream {
    /// Waits for what comes next of the stream, unless it is to end before that.
    pub(crate) async fn unless_ended<F: Future>(&self, next: F) -> Option<F::Output> {
        self.end.run_until_cancelled(next).await
    }
}

/// How long what was cut off has to notice it.
const TO_NOTICE: Duration = Duration::from_secs(1);

impl RunningRequests {
    pub(crate) fn new() -> Self {
        Self {
            count: TaskTracker::new(),
            cut: CancellationToken::new(),
            streams: TaskTracker::new(),
            end_streams: CancellationToken::new(),
        }
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

    /// Counts a request as a stream from now on: it is open.
    pub(crate) fn stream(&self, running: RunningRequest) -> RunningStream {
        let stream = RunningStream { _counted: self.streams.token(), end: self.end_streams.clone() };
        drop(running);
        stream
    }

    /// Has the streams end that are open, and those that will be.
    pub(crate) fn end_streams(&self) {
        self.end_streams.cancel();
    }

    /// Takes no more, waits until there are none, and cuts off those that are left after `grace`, streams sooner where they were told to
    /// end. Gives how many requests were cut off.
    pub(crate) async fn finish(&self, grace: Duration) -> usize {
        self.count.close();
        self.streams.close();
        let (left, ()) = tokio::join!(self.finish_requests(grace), self.finish_streams(grace));
        left
    }

    /// Streams whose readers have stopped reading do not even notice that they are to end.
    async fn finish_streams(&self, grace: Duration) {
        let told = async {
            let _told = tokio::time::timeout(grace, self.end_streams.cancelled()).await;
            self.end_streams();
            tokio::time::sleep(TO_NOTICE).await;
        };
        tokio::select! {
            () = self.streams.wait() => {}
            () = told => {}
        }
    }

    async fn finish_requests(&self, grace: Duration) -> usize {
        if tokio::time::timeout(grace, self.count.wait()).await.is_ok() {
            return 0;
        }
        let left = self.count.len();
        self.cut.cancel();
        // They end as soon as they are looked at; the bound is for one that blocks its thread.
        let _ended = tokio::time::timeout(TO_NOTICE, self.count.wait()).await;
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

    #[tokio::test(start_paused = true)]
    async fn streams_that_are_open_are_waited_for_only_until_they_are_told_to_end() {
        for reads in [true, false] {
            let requests = RunningRequests::new();
            let stream = requests.stream(requests.enter().unwrap());
            let finishing = tokio::spawn({
                let requests = requests.clone();
                async move { requests.finish(Duration::from_secs(10)).await }
            });
            let reading = tokio::spawn(async move {
                if reads {
                    stream.unless_ended(pending::<()>()).await
                } else {
                    let _held = stream;
                    pending().await
                }
            });
            tokio::task::yield_now().await;
            assert!(!finishing.is_finished());
            let began = tokio::time::Instant::now();
            requests.end_streams();
            assert_eq!(finishing.await.unwrap(), 0);
            assert_eq!(began.elapsed().as_secs(), u64::from(!reads), "one that nobody reads does not notice");
            if reads {
                assert_eq!(reading.await.unwrap(), None);
            }
        }
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
