//! Sessions: one long-lived HTTP/2 stream pair to a peer, on which JSON-RPC 2.0 messages flow both ways.
//!
//! A session saves what a stream a call costs: it is opened once, by `POST /internal/session` over mutual TLS, and then carries
//! thousands of calls at a time, whose frames travel together. Either end may call the other.
//!
//! ```text
//! Session::call -> Machine (who waits for what) -> Driver -> HTTP/2 stream -> Driver -> Machine -> Serve
//!        ^                                                                                            |
//!        +--------------------------------- the answers, in any order --------------------------------+
//! ```
//! [`frame`] cuts bytes into messages, [`message`] is what they say, [`machine`] is the protocol without IO or clock, [`driver`]
//! moves bytes and runs what is called. [`connect`] opens a session; the runtime accepts them. A session ends when its connection does, when
//! one end breaks a rule, when one end is silent or takes nothing, or in good order after `$/goaway`; whoever waits for an
//! answer is then told whether the call may have run.

pub mod connect;
pub mod driver;
pub mod frame;
#[doc(hidden)]
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod items;
mod keep_alive;
mod limits;
pub mod machine;
pub mod message;
mod waiters;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::task::AtomicWaker;
use h2::{RecvStream, SendStream};
use rustc_hash::FxHashMap;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
    task::AbortHandle,
    time::Instant,
};

pub use driver::{Driver, Serve, ServeCall, Served, Turn};
pub use items::{ItemError, ItemSink, ItemStream, StreamOpening};
pub use keep_alive::KeepAlive;
pub use limits::{MAX_INLINE, SessionLimits};
pub use machine::{Ended, Outcome};

use machine::{CallKey, Machine, Progress, Refused};
use message::Outgoing;

use crate::protocol::{NodeId, RpcError};

/// The versions of the session protocol that are spoken here, best first.
pub const VERSIONS: [u32; 1] = [1];
/// The header by which the ends agree on a version: the client names those that it speaks, the server the one that is spoken.
pub const VERSION_HEADER: &str = "p2p-session";
/// How many bytes a call takes besides its params, about.
const AROUND_A_CALL: usize = 256;
/// The header by which each end says how many calls it takes at a time.
pub const CALLS_HEADER: &str = "p2p-session-calls";
/// Where sessions are opened.
pub const PATH: &str = "/internal/session";

/// An open session, to call by. Clones are the same session.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// What callers, served calls and the driver share.
pub(crate) struct Shared {
    peer: NodeId,
    limits: SessionLimits,
    machine: Mutex<Machine<Waker>>,
    driver: AtomicWaker,
    waiters: waiters::Waiters,
    /// What serves the calls that did not end at once. It is changed only under the machine's lock, so that it holds a task exactly as long
    /// as the machine holds its call.
    tasks: Mutex<FxHashMap<u64, AbortHandle>>,
    /// Whether callers run on other threads than the driver, so that it waits a turn for them.
    gathers: bool,
    cut: Mutex<Option<Ended>>,
    parting: watch::Sender<Parting>,
    /// Grows with use.
    used: AtomicU64,
}

/// How far the ends have come in parting. It is one value to watch, since each costs an idle session more than the rest of its state.
#[derive(Debug, Default)]
struct Parting {
    /// One of the ends takes no further calls.
    leaving: bool,
    /// This end left, and has answered what it took.
    served: bool,
    /// Why the session is over, once it is.
    over: Option<Ended>,
}

impl Session {
    /// One end of a session whose streams are open, and what drives it. `peer_calls` is how many calls the other end takes at a time.
    pub fn new(
        peer: NodeId,
        limits: SessionLimits,
        peer_calls: u32,
        serve: Arc<dyn Serve>,
        send: SendStream<Bytes>,
        receive: RecvStream,
    ) -> (Self, Driver) {
        let machine = Machine::new(limits.clone(), peer_calls, first_ticket());
        let shared = Arc::new(Shared {
            peer,
            machine: Mutex::new(machine),
            limits,
            driver: AtomicWaker::new(),
            waiters: waiters::Waiters::default(),
            tasks: Mutex::default(),
            gathers: Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() != RuntimeFlavor::CurrentThread),
            cut: Mutex::default(),
            parting: watch::Sender::default(),
            used: AtomicU64::new(0),
        });
        (Self { shared: shared.clone() }, Driver::new(shared, serve, send, receive))
    }

    /// The node at the other end.
    pub fn peer(&self) -> &NodeId {
        &self.shared.peer
    }

    /// Makes a call and waits for its outcome, until the deadline at most. Where the other end takes no more, or too much waits to be sent,
    /// it waits for its turn. Dropping the future cancels the call.
    pub async fn call(&self, call: &Outgoing<'_>, deadline: Instant) -> Outcome {
        match self.begin(call, deadline).await {
            Err(outcome) => outcome,
            Ok(key) => InFlight { shared: self.shared.clone(), key: Some(key) }.await,
        }
    }

    /// Makes a call whose method may stream. The deadline holds until the stream is open ([`ItemStream::opened`]); after that nothing
    /// limits it but its own end, that of the session, and the caller, who drops it. Of the calls that the other end takes at a time, at most
    /// half are streams.
    ///
    /// # Errors
    /// The outcome of a call that was not sent; [`Outcome::Busy`] where too many streams are open.
    pub async fn open(&self, call: &Outgoing<'_>, deadline: Instant) -> Result<ItemStream, Outcome> {
        let key = self.begin(call, deadline).await?;
        Ok(ItemStream::new(self.shared.clone(), key))
    }

    /// Makes a call at once; `None` where it would have to wait for its turn, or the session takes no calls. What is returned waits for its
    /// outcome, and cancels it when it is dropped. Its outcome wakes `waker`, until another one polls it.
    pub fn start(self, call: &Outgoing<'_>, deadline: Instant, waker: Option<&Waker>) -> Option<InFlight> {
        let mut machine = self.shared.machine();
        if !self.shared.has_turn(&machine, None) {
            return None;
        }
        let needs_driver = needs_driver(&machine, deadline);
        let key = machine.begin(call, deadline, waker.cloned()).ok()?;
        drop(machine);
        if needs_driver {
            self.shared.driver.wake();
        }
        Some(InFlight { shared: self.shared, key: Some(key) })
    }

    async fn begin(&self, call: &Outgoing<'_>, deadline: Instant) -> Result<CallKey, Outcome> {
        let mut line = InLine { shared: &self.shared, place: None };
        poll_fn(|cx| self.shared.poll_begin(call, deadline, &mut line, cx)).await
    }

    /// Takes no further calls of the other end and tells it so. The session ends when neither end has calls left that run.
    pub fn leave(&self, reason: &str) {
        self.shared.machine().leave(reason);
        self.shared.note_leaving();
        self.shared.driver.wake();
    }

    /// Ends the session at once, with all that is in flight.
    pub fn cut(&self, reason: Ended) {
        self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.shared.driver.wake();
    }

    /// Waits, after [`leave`](Self::leave), until every call of the other end is answered.
    pub async fn served(&self) {
        let mut parting = self.shared.parting.subscribe();
        let _served = parting.wait_for(|parting| parting.served).await;
    }

    /// Whether neither end has left.
    pub fn is_open(&self) -> bool {
        self.shared.machine().is_open()
    }

    /// Whether no call is open in either direction.
    pub fn is_quiet(&self) -> bool {
        self.shared.machine().is_quiet()
    }

    /// Waits until the session is over.
    pub async fn ended(&self) -> Ended {
        let mut parting = self.shared.parting.subscribe();
        let ended = parting.wait_for(|parting| parting.over.is_some()).await;
        ended
            .ok()
            .and_then(|parting| parting.over.clone())
            .unwrap_or_else(|| Ended::Broken("its connection was closed".to_owned()))
    }

    /// Waits until one of the ends takes no further calls.
    pub async fn leaves(&self) {
        let mut parting = self.shared.parting.subscribe();
        let _left = parting.wait_for(|parting| parting.leaving).await;
    }

    /// Whether this end has left, and every call of the other end is answered.
    pub fn is_served(&self) -> bool {
        self.shared.parting.borrow().served
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        self.shared.parting.borrow().over.is_some()
    }

    /// Gives out a large answer that waits to be fetched by the other end.
    pub fn fetch(&self, ticket: u64) -> Option<Bytes> {
        let body = self.shared.machine().fetch(ticket);
        // It may have been the last thing that was left to do.
        self.shared.driver.wake();
        body
    }

    /// Grows as long as the session is used.
    pub fn used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// Whether two handles are of the same session.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.shared.peer).field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Machine<Waker>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the ends takes no further calls.
    fn note_leaving(&self) {
        self.parting.send_if_modified(|parting| !std::mem::replace(&mut parting.leaving, true));
    }

    /// This end has left and has answered what it took.
    fn note_served(&self) {
        self.parting.send_if_modified(|parting| !std::mem::replace(&mut parting.served, true));
    }

    fn cut_reason(&self) -> Option<Ended> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a call may begin now: the other end takes it, there is room for it, and nobody has waited for longer.
    fn has_turn(&self, machine: &Machine<Waker>, place: Option<waiters::Place>) -> bool {
        machine.room().is_some_and(|room| self.waiters.is_turn_of(place, room))
    }

    /// Lets those begin who have waited longest, as many as there is room for.
    fn admit(&self) {
        if self.waiters.any_for_room() {
            let machine = self.machine();
            let woken = machine.room().map(|room| self.waiters.admit(room));
            drop(machine);
            woken.unwrap_or_default().wake();
        }
    }

    /// Hands the call to the machine, or has it wait for its turn.
    fn poll_begin(
        &self,
        call: &Outgoing<'_>,
        deadline: Instant,
        line: &mut InLine<'_>,
        cx: &Context<'_>,
    ) -> Poll<Result<CallKey, Outcome>> {
        let mut machine = self.machine();
        // It can only be late where it had to wait.
        if line.place.is_some() && deadline <= Instant::now() {
            return Poll::Ready(Err(Outcome::Deadline));
        }
        if machine.ended().is_none() && !self.has_turn(&machine, line.place) {
            let is_first_to_be_late = machine.next_deadline().is_none_or(|next| deadline < next);
            machine.wake_at(deadline);
            let earlier = self.waiters.add_call(&mut line.place, cx.waker(), deadline, call.params.len() + AROUND_A_CALL);
            drop(machine);
            drop(earlier);
            if is_first_to_be_late {
                self.driver.wake();
            }
            return Poll::Pending;
        }
        let needs_driver = needs_driver(&machine, deadline);
        let begun = machine.begin(call, deadline, cx.waker().clone());
        // While the machine is held, so that its room is counted once, as taken or as given.
        let left = if begun.is_ok() { line.place.take().map(|place| self.waiters.leave(place)) } else { None };
        drop(machine);
        drop(left);
        match begun {
            Ok(key) => {
                if needs_driver {
                    self.driver.wake();
                }
                Poll::Ready(Ok(key))
            }
            Err(Refused::Ended(ended)) => Poll::Ready(Err(Outcome::NotSent(ended))),
            Err(Refused::TooManyStreams { open }) => Poll::Ready(Err(Outcome::Busy { streams: open })),
            Err(Refused::TooManyCalls) => {
                let ended = Ended::Closed("the peer has too much to do".to_owned());
                Poll::Ready(Err(Outcome::NotSent(ended)))
            }
        }
    }

    /// What there is for a caller.
    fn take(&self, key: CallKey, cx: &Context<'_>) -> Progress {
        // Dropped with no lock held: see `Waiters`.
        let mut replaced = None;
        let mut machine = self.machine();
        let was_empty = machine.waiting() == 0;
        let progress = machine.take(key, |earlier| match earlier {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            other => {
                replaced = other;
                cx.waker().clone()
            }
        });
        let wrote = was_empty && machine.waiting() > 0;
        drop(machine);
        if wrote {
            self.driver.wake();
        }
        progress
    }

    fn abandon(&self, key: CallKey) {
        // Kept until no lock is held: see `Waiters`.
        let _waker = self.machine().abandon(key);
        self.driver.wake();
    }

    fn tasks(&self) -> MutexGuard<'_, FxHashMap<u64, AbortHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what serves a call, unless it has ended by now.
    fn keep_task(&self, id: u64, task: AbortHandle) {
        let machine = self.machine();
        if machine.is_serving(id) {
            self.tasks().insert(id, task);
        }
    }

    fn take_task(&self, id: u64) -> Option<AbortHandle> {
        self.tasks().remove(&id)
    }

    fn abort_tasks(&self) {
        for (_, task) in self.tasks().drain() {
            task.abort();
        }
    }

    /// Answers a call that had a task of its own.
    fn answer(&self, id: u64, served: Served) {
        let mut machine = self.machine();
        // Where it was cancelled meanwhile, it has been answered.
        if machine.is_serving(id) {
            self.tasks().remove(&id);
            machine.answer(id, served.outcome, served.deadline);
        }
        drop(machine);
        self.driver.wake();
    }

    fn answer_if_serving(&self, id: u64, error: RpcError) {
        self.answer(id, Served::refused(error, Instant::now()));
    }
}

/// Whether the driver has to be woken for a call that is about to begin. Whoever finds something that waits to be sent has been preceded by
/// one who woke it for that; but where the other end does not read, that may wait for long, and the driver has to learn of a time that runs
/// out sooner than any before.
fn needs_driver(machine: &Machine<Waker>, deadline: Instant) -> bool {
    machine.waiting() == 0 || machine.next_deadline().is_none_or(|next| deadline < next)
}

/// A call that has not begun, and its place if it had to wait.
struct InLine<'a> {
    shared: &'a Shared,
    place: Option<waiters::Place>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        // While the machine is held: who finds just now that it is not its turn stands in line before this one's is passed on.
        let machine = self.shared.machine();
        let left = self.shared.waiters.leave(place);
        drop(machine);
        if left.had_turn {
            self.shared.admit();
        }
    }
}

/// A call that waits for its outcome. Dropping it cancels the call.
pub struct InFlight {
    shared: Arc<Shared>,
    key: Option<CallKey>,
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("call", &self.key).finish_non_exhaustive()
    }
}

impl Future for InFlight {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(key) = self.key else { return Poll::Pending };
        match self.shared.take(key, cx) {
            // Without credit there are no items: the machine ends a session that sends one.
            Progress::Pending | Progress::Open | Progress::Item(_) => Poll::Pending,
            Progress::Done(outcome) => {
                self.key = None;
                Poll::Ready(outcome)
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.abandon(key);
        }
    }
}

/// Where the tickets of a session begin: somewhere else for each, as one peer may have two.
fn first_ticket() -> u64 {
    let mut random = [0; 4];
    let _unlikely_to_fail = aws_lc_rs::rand::fill(&mut random);
    u64::from(u32::from_be_bytes(random)) << 20
}

/// Serves nothing: for an end that only calls.
#[derive(Debug, Clone, Copy)]
pub struct ServesNobody;

impl Serve for ServesNobody {
    fn serve(&self, call: message::Incoming, received: Instant, _: Option<ItemSink>) -> ServeCall {
        let text = format!("{} cannot be called here: this end of the session only calls", call.method());
        let error = RpcError::new(crate::protocol::ErrorCode::UNAVAILABLE, text);
        Box::pin(std::future::ready(Served::refused(error, received)))
    }
}

/// How long a session that is over may take to say its last words.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(super) mod tests;
