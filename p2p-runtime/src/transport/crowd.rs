//! The tasks of a listener's connections: not too many, and not too many of one address.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinSet, time::timeout};

use crate::limits::addresses::CountedAddress;

use super::limits::ListenerLimits;

/// The tasks of a listener's connections.
pub(super) struct Crowd {
    tasks: JoinSet<()>,
    seats: Seats,
    max: usize,
    grace: Duration,
    full: bool,
}

impl Crowd {
    pub(super) fn new(limits: &ListenerLimits) -> Self {
        let seats = Seats { taken: Arc::default(), max: limits.max_per_address };
        Self { tasks: JoinSet::new(), seats, max: limits.max_connections, grace: limits.grace, full: false }
    }

    /// Serves a connection, unless there are too many. What is not served is dropped, and so closed.
    pub(super) fn take<F: Future<Output = ()> + Send + 'static>(&mut self, remote: &impl Remote, serve: impl FnOnce() -> F) {
        if self.tasks.len() >= self.max {
            let text = "too many connections; new ones are closed until some end (connections.max)";
            return self.tell(remote, self.max, text);
        }
        let seat = remote.address().map(|address| self.seats.take(address));
        if matches!(seat, Some(None)) {
            let text = "too many connections of one address; new ones are closed until some end (connections.max_per_address)";
            return self.tell(remote, self.seats.max, text);
        }
        let serving = serve();
        self.tasks.spawn(async move {
            serving.await;
            drop(seat);
        });
    }

    /// Once for each time that a limit is reached, so that a flood does not fill the log too.
    fn tell(&mut self, remote: &impl fmt::Debug, max: usize, text: &'static str) {
        if !self.full {
            tracing::warn!(?remote, max, "{text}");
        }
        self.full = true;
    }

    /// Waits until a connection has ended; forever while there is none.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(ended) => {
                self.full = false;
                if let Err(error) = ended
                    && error.is_panic()
                {
                    tracing::error!(%error, "the task of a connection panicked; this is a defect, please report it");
                }
            }
        }
    }

    /// Gives the connections some time to end by themselves, then ends them.
    pub(super) async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.grace, all).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "connections still busy after the grace period; closing them");
            self.tasks.shutdown().await;
        }
    }
}

/// Where a connection comes from.
pub(super) trait Remote: fmt::Debug {
    /// The address that it counts for, if it comes from a network.
    fn address(&self) -> Option<IpAddr>;
}

impl Remote for std::net::SocketAddr {
    fn address(&self) -> Option<IpAddr> {
        Some(self.ip())
    }
}

/// The node's own socket: whoever may open it may do worse.
impl Remote for &'static str {
    fn address(&self) -> Option<IpAddr> {
        None
    }
}

/// How many connections each address has.
struct Seats {
    taken: Arc<Mutex<HashMap<CountedAddress, usize>>>,
    max: usize,
}

/// One connection of an address, until it is dropped: also by a task that panics.
struct Seat {
    taken: Arc<Mutex<HashMap<CountedAddress, usize>>>,
    address: CountedAddress,
}

impl Seats {
    fn take(&self, address: IpAddr) -> Option<Seat> {
        let address = CountedAddress::from(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Seat { taken: self.taken.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}
