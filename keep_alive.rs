//! Asking the other end of a connection for signs of life, by HTTP/2 pings (RFC 9113, section 6.7).

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{SessionLimits, machine::Ended};

/// Sends a ping now and then, and notices when none is answered.
pub struct KeepAlive {
    pings: Option<PingPong>,
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
    limits: SessionLimits,
}

impl KeepAlive {
    /// Watches a connection by its pings.
    pub fn new(pings: Option<PingPong>, limits: &SessionLimits) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + limits.keep_alive));
        Self { pings, timer, is_asked: false, limits: limits.clone() }
    }

    /// To be polled beside the connection.
    ///
    /// # Errors
    /// [`Ended::Silent`] when the other end did not answer in time.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        if self.is_asked
            && let Poll::Ready(answer) = pings.poll_pong(cx)
        {
            answer.map_err(|error| Ended::Broken(error.to_string()))?;
            self.is_asked = false;
            self.timer.as_mut().reset(Instant::now() + self.limits.keep_alive);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.is_asked {
                return Err(Ended::Silent(self.limits.keep_alive + self.limits.keep_alive_timeout));
            }
            pings.send_ping(Ping::opaque()).map_err(|error| Ended::Broken(error.to_string()))?;
            self.is_asked = true;
            self.timer.as_mut().reset(Instant::now() + self.limits.keep_alive_timeout);
            // Registers for the answer.
            if pings.poll_pong(cx).is_ready() {
                self.is_asked = false;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAlive").field("is_asked", &self.is_asked).finish_non_exhaustive()
    }
}
