//! The timer of an HTTP/1 connection.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

/// One timer for the whole of a connection. hyper makes a new one for the head of every request and drops it when the head is there;
/// this moves the runtime's own on instead, which is one atomic step where making and dropping take the lock of all timers twice.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionTimer {
    kept: Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>,
}

/// What hyper holds of a [`ConnectionTimer`]. A connection waits for one at a time.
#[derive(Debug)]
struct Until {
    kept: ConnectionTimer,
    deadline: tokio::time::Instant,
}

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { kept: self.clone(), deadline: deadline.into() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut kept = self.kept.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = kept.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        if sleep.deadline() != self.deadline {
            sleep.as_mut().reset(self.deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_sleep_ends_at_its_own_time_however_the_one_before_it_ended() {
        let timer = ConnectionTimer::default();
        let began = timer.now();
        timer.sleep(Duration::from_secs(3)).await;
        assert_eq!(timer.now() - began, Duration::from_secs(3));
        // Dropped before its time, also after it was waited for.
        drop(timer.sleep(Duration::from_secs(1)));
        assert!(tokio::time::timeout(Duration::from_secs(1), timer.sleep(Duration::from_secs(9))).await.is_err());
        timer.sleep(Duration::from_secs(2)).await;
        assert_eq!(timer.now() - began, Duration::from_secs(6));
        timer.sleep(Duration::from_secs(20)).await;
        assert_eq!(timer.now() - began, Duration::from_secs(26));
    }
}
