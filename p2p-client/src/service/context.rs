//! What a method is told about the call that it serves, and what the calls that it makes inherit.

use std::{
    borrow::Cow,
    fmt,
    future::{Future, pending},
    num::{NonZeroU64, NonZeroU128},
    pin::pin,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::select;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    protocol::{CallerId, NodeId},
    proxy::{Caller, Proxy},
    service::Metrics,
};

use super::{
    Due,
    cancellation::Cancellation,
    due::Deadline,
    stream::{StreamSink, StreamState},
};

/// What a method is told about the call that it serves: who asks, how much time is left, whether anybody still waits, and a proxy for calls of
/// its own.
///
/// A method that wants it takes `cx: &CallContext` as its first parameter; callers never see that parameter. What the method spawns takes a
/// clone of it, and learns by that when nobody waits any more ([`cancelled`](Self::cancelled)).
#[derive(Clone)]
pub struct CallContext {
    node: Arc<dyn Caller>,
    /// Nobody said: the node itself.
    caller: Option<CallerId>,
    deadline: Deadline,
    trace: OwnTrace,
    origin: Option<Arc<str>>,
    /// The service that is called, where that is known.
    service: Option<Cow<'static, str>>,
    /// Of a method that streams, and of a caller that takes a stream.
    stream: Option<Arc<StreamState>>,
    cancellation: Cancellation,
}

/// The trace of a call: empty until somebody asks, where the caller named none.
#[derive(Debug, Default)]
struct OwnTrace(OnceLock<Trace>);

impl OwnTrace {
    fn get(&self) -> Trace {
        *self.0.get_or_init(Trace::begin)
    }
}

impl From<Option<Trace>> for OwnTrace {
    fn from(trace: Option<Trace>) -> Self {
        Self(trace.map_or_else(OnceLock::new, OnceLock::from))
    }
}

/// It is begun before: else each would begin one of its own.
impl Clone for OwnTrace {
    fn clone(&self) -> Self {
        Self(OnceLock::from(self.get()))
    }
}

/// No time limit: longer than any node runs.
const UNLIMITED: Duration = Duration::from_hours(30 * 365 * 24);

impl CallContext {
    /// Used by what serves calls: the runtime, a mock, a test.
    #[inline]
    pub fn new(node: Arc<dyn Caller>, caller: CallerId, deadline: Instant) -> Self {
        Self {
            node,
            caller: Some(caller),
            deadline: Due::from(deadline).into(),
            trace: OwnTrace::default(),
            origin: None,
            service: None,
            stream: None,
            cancellation: Cancellation::default(),
        }
    }

    /// For a call to `service` that a node makes to itself, in its own name.
    pub(crate) fn of_own(
        node: Arc<dyn Caller>,
        due: Due,
        chain: Option<&Chain>,
        service: Cow<'static, str>,
        stream: Option<Arc<StreamState>>,
    ) -> Self {
        let (trace, origin) = chain.map_or((None, None), |chain| (chain.trace, chain.origin.clone()));
        let cancellation = Cancellation::default();
        Self {
            node,
            caller: None,
            deadline: due.into(),
            trace: trace.into(),
            origin,
            service: Some(service),
            stream,
            cancellation,
        }
    }

    /// The same context, for a call to this service.
    #[inline]
    #[must_use]
    pub fn for_service(mut self, service: Cow<'static, str>) -> Self {
        self.service = Some(service);
        self
    }

    /// The same context, as part of a chain of calls that began elsewhere.
    #[inline]
    #[must_use]
    pub fn within(mut self, trace: Option<Trace>, origin: Option<Arc<str>>) -> Self {
        self.trace = trace.into();
        self.origin = origin;
        self
    }

    /// The same context, for a caller that takes a stream.
    #[inline]
    #[must_use]
    pub fn with_items(mut self, items: Option<StreamSink>) -> Self {
        self.stream = items.map(|sink| StreamState::new(Some(sink)));
        self
    }

    /// Where a method that streams puts its items as JSON; `None` where its caller asked for a single result, or takes them as they are.
    pub(crate) fn items(&self) -> Option<&StreamSink> {
        self.stream.as_ref().and_then(|stream| stream.sink())
    }

    /// What is known of the call's stream.
    pub(crate) fn stream_state(&self) -> Arc<StreamState> {
        self.stream.clone().unwrap_or_else(|| StreamState::new(None))
    }

    /// The method has opened its stream: its caller is told so, and no time limit holds any more.
    pub(crate) fn stream_opened(&self) {
        if let Some(stream) = &self.stream {
            stream.open();
        }
    }

    /// Where the node says that it stops, if it does say so.
    pub(crate) fn stopping(&self) -> Option<watch::Receiver<bool>> {
        self.node.stopping()
    }

    pub(crate) fn is_stream_open(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_open())
    }

    /// Who asks, as verified by this node.
    pub fn caller(&self) -> &CallerId {
        self.caller.as_ref().unwrap_or_else(|| self.node.identity())
    }

    /// The node that serves the call.
    pub fn node(&self) -> &NodeId {
        self.node.node_id()
    }

    /// When the caller stops waiting. It waits for the opening of a stream; once that is open, no time is set (this is in many years).
    pub fn deadline(&self) -> Instant {
        if self.is_stream_open() { Instant::now() + UNLIMITED } else { self.deadline.get() }
    }

    /// How long the caller still waits.
    pub fn time_left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    pub(super) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Whether nobody waits for the call any more: its caller has let it go or was lost, its time is over, or its open stream has ended. See
    /// [`cancelled`](Self::cancelled).
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled() || Instant::now() >= self.deadline()
    }

    /// Ends when nobody waits for the call any more: its caller has dropped it, or was lost with its connection; its time is over; or its
    /// method panicked. A call that was answered is over, but not cancelled: what it has left behind may go on until the
    /// [`deadline`](Self::deadline).
    ///
    /// Once a stream is open no time is set: this ends with the stream, whether its caller has dropped it or it came to its end by itself, with
    /// an error or without.
    ///
    /// A method is dropped together with its call, so that it need not look. This is for a `detached` method, which runs on, and for the tasks
    /// that a method has spawned, which nobody else would stop: give each a clone of the context.
    ///
    /// ```
    /// use p2p_client::service::{CallContext, Result};
    /// # async fn thumbnail(page: usize) {}
    ///
    /// async fn thumbnails(cx: &CallContext, pages: usize) -> Result<()> {
    ///     let cx = cx.clone();
    ///     let work = tokio::spawn(async move {
    ///         for page in 0..pages {
    ///             tokio::select! {
    ///                 () = thumbnail(page) => {}
    ///                 () = cx.cancelled() => return, // nobody will look at them
    ///             }
    ///         }
    ///     });
    ///     Ok(work.await?)
    /// }
    /// ```
    ///
    /// # Panics
    /// The future does, where it is polled outside of a tokio runtime that has timers.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let (told, stream, deadline) = (self.cancellation.cancelled(), self.stream.clone(), self.deadline.get());
        async move {
            let late = async move {
                sleep_until(deadline).await;
                if stream.is_some_and(|stream| stream.is_open()) {
                    // It was the time for the opening.
                    pending::<()>().await;
                }
            };
            select(pin!(told), pin!(late)).await;
        }
    }

    /// The metrics of the called service on this node, for what it counts of its own; its methods are counted by themselves. What is
    /// kept here is shown in `/services`. A mock has no such place: there it is kept nowhere.
    pub fn metrics(&self) -> Metrics {
        self.service.as_deref().and_then(|service| self.node.metrics(service)).unwrap_or_default()
    }

    /// The W3C trace that the call belongs to: its caller's, or where that named none, one that begins with this call. The calls made
    /// while serving it belong to the same.
    pub fn trace(&self) -> Trace {
        self.trace.get()
    }

    /// Who began the chain of calls, for the audit log only: it gives no rights.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// A proxy for calls made while serving this one: they inherit its deadline, trace and origin, and are made in
    /// this node's own name. (From a stream that is open, they inherit no deadline: each has the time of a call of its own.)
    pub fn proxy(&self) -> Proxy {
        Proxy::new(self.node.clone()).within(self.chain())
    }

    /// What calls inherit that are made while serving this one.
    fn chain(&self) -> Chain {
        let origin = self.origin.clone().unwrap_or_else(|| self.caller().to_string().into());
        Chain { deadline: (!self.is_stream_open()).then(|| self.deadline.get()), trace: Some(self.trace()), origin: Some(origin) }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("node", self.node())
            .field("caller", self.caller())
            .field("time_left", &self.time_left())
            .field("trace", &self.trace.0.get())
            .finish_non_exhaustive()
    }
}

/// What a call inherits from the call during which it is made.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// No call of the chain may outlive this.
    pub deadline: Option<Instant>,
    /// The trace that the calls belong to.
    pub trace: Option<Trace>,
    /// Who began the chain.
    pub origin: Option<Arc<str>>,
}

/// A trace's place in a distributed trace: the `traceparent` of W3C Trace Context, version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The whole of which this is a part (`trace-id`).
    id: NonZeroU128,
    /// The call that began this part (`parent-id`).
    parent: NonZeroU64,
    flags: u8,
}

impl Trace {
    /// A trace that continues nothing.
    pub fn begin() -> Self {
        let mut random = [0; 24];
        // Without randomness it is the same as others', which misleads who reads it, and harms nobody.
        let _unlikely_to_fail = aws_lc_rs::rand::fill(&mut random);
        Self::root(random)
    }

    /// A trace that continues nothing; `random` is 24 bytes of randomness.
    pub fn root(random: [u8; 24]) -> Self {
        let (trace, span) = random.split_at(16);
        let id = u128::from_be_bytes(trace.try_into().unwrap_or([1; 16]));
        let parent = u64::from_be_bytes(span.try_into().unwrap_or([1; 8]));
        Self {
            id: NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN),
            parent: NonZeroU64::new(parent).unwrap_or(NonZeroU64::MIN),
            flags: 0,
        }
    }
}

impl Trace {
    /// How long the text of a trace is, in bytes.
    pub const TEXT_LEN: usize = 55;

    /// The trace as `traceparent` writes it.
    pub fn to_text(&self) -> [u8; Self::TEXT_LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.id.get().to_be_bytes(), &mut text[3..35]);
        write_hex(&self.parent.get().to_be_bytes(), &mut text[36..52]);
        write_hex(&[self.flags], &mut text[53..]);
        text
    }
}

fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// The value of each lower-case hexadecimal digit; of all else, one that no digit has.
const HEX: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0_u8;
    while digit < 16 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

/// Reads lower-case hexadecimal digits, at most 16. (Calls by the thousand carry one: the digits are checked together, at the end.)
fn read_hex(text: &[u8]) -> Option<u64> {
    let mut all = 0;
    let value = text.iter().fold(0, |value: u64, digit| {
        let digit = HEX[usize::from(*digit)];
        all |= digit;
        (value << 4) | u64::from(digit & 15)
    });
    (all < 16).then_some(value)
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

/// A text that is no `traceparent`. As the W3C recommendation asks, a receiver goes on without a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent (version 00)")]
pub struct ParseTraceError;

impl FromStr for Trace {
    type Err = ParseTraceError;

    fn from_str(text: &str) -> Result<Self, ParseTraceError> {
        let text: &[u8; Self::TEXT_LEN] = text.as_bytes().try_into().map_err(|_| ParseTraceError)?;
        if !text.starts_with(b"00-") || text[35] != b'-' || text[52] != b'-' {
            return Err(ParseTraceError);
        }
        let hex = |range: std::ops::Range<usize>| read_hex(&text[range]).ok_or(ParseTraceError);
        let id = (u128::from(hex(3..19)?) << 64) | u128::from(hex(19..35)?);
        let id = NonZeroU128::new(id).ok_or(ParseTraceError)?;
        let parent = NonZeroU64::new(hex(36..52)?).ok_or(ParseTraceError)?;
        let flags = u8::try_from(hex(53..55)?).map_err(|_| ParseTraceError)?;
        Ok(Self { id, parent, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Stopwatch;

    #[test]
    fn a_traceparent_survives_and_what_is_none_is_refused() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(text.parse::<Trace>().unwrap().to_string(), text);
        for bad in ["", "00-0-0-0", &text.replace("0af", "0AF"), &text.replace("00-", "01-"), &"0".repeat(55)] {
            assert_eq!(bad.parse::<Trace>(), Err(ParseTraceError), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_context_and_its_clones_tell_one_deadline_however_the_counter_runs_that_times_the_call() {
        let node = Proxy::mock().proxy().caller().clone();
        let due = Due::after(Stopwatch::counted(), Duration::from_secs(5));
        let cx = CallContext::of_own(node, due, None, "kv".into(), None);
        let (told, left, cancelled) = (cx.deadline(), cx.time_left(), cx.cancelled());
        // The clock of timers stands still meanwhile.
        Stopwatch::let_the_counter_run(Duration::from_millis(1));
        assert_eq!((cx.deadline(), cx.time_left()), (told, left));
        assert_eq!(cx.clone().deadline(), told);
        assert_eq!(cx.chain().deadline, Some(told), "it holds for the calls made meanwhile");
        cancelled.await;
        assert!(cx.is_cancelled() && cx.clone().is_cancelled(), "a task that was told so finds it so");
    }
}
