//! Counts the requests that are being answered, so that a node which stops can wait for them.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// The requests that are being answered.
#[derive(Debug, Clone)]
pub(crate) struct RunningRequests(Arc<watch::Sender<usize>>);

/// One of them, until it is dropped.
pub(crate) struct RunningRequest(Arc<watch::Sender<usize>>);

impl RunningRequests {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Counts one.
    pub(crate) fn enter(&self) -> RunningRequest {
        self.0.send_modify(|count| *count += 1);
        RunningRequest(self.0.clone())
    }

    /// Waits until there are none, or until the time is over. Gives how many are left.
    pub(crate) async fn finished(&self, within: Duration) -> usize {
        let mut count = self.0.subscribe();
        match tokio::time::timeout(within, count.wait_for(|count| *count == 0)).await {
            Ok(_) => 0,
            Err(_) => *self.0.borrow(),
        }
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
