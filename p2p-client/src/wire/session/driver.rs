//! The IO around the [`Machine`](super::machine::Machine): one stream pair of an HTTP/2 connection, and the calls that come in on it.
//!
//! [`Driver::poll`] is called by the task that also drives the connection, so that a batch of messages goes from the socket to
//! its answers and back to the socket in one go. What is served is polled once right here: most methods end with that, and
//! need no task. What waits gets a task of its own. The driver shares the machine with callers ([`Session`](super::Session)) and with
//! those tasks; it holds the lock for short, and never while it runs anybody's code.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use h2::{RecvStream, SendStream};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::protocol::{ErrorCode, RpcError};

use super::{
    Parting, Shared,
    frame::FrameReader,
    items::ItemSink,
    machine::{Ended, Event},
    message::{Incoming, Message},
};

/// Serves the calls that come in on a session.
pub trait Serve: Send + Sync + 'static {
    /// Serves a call: checks access, runs it under its deadline, and gives its result's JSON. Dropping the future cancels it.
    fn serve(&self, call: Incoming, received: Instant, items: Option<ItemSink>) -> ServeCall;
}

/// A call that is being served, and until when its result is worth keeping.
pub type ServeCall = BoxFuture<'static, Served>;

/// What a served call ended with.
#[derive(Debug)]
pub struct Served {
    /// The result's JSON, or the error.
    pub outcome: Result<Vec<u8>, RpcError>,
    /// When its caller stops waiting.
    pub deadline: Instant,
    /// When it ended, where whoever served it has looked at the clock: once is enough for both.
    pub ended: Option<Instant>,
}

impl Served {
    /// With an error, without having been run.
    pub fn refused(error: RpcError, deadline: Instant) -> Self {
        Self { outcome: Err(error), deadline, ended: None }
    }
}

/// How many messages are taken at most before anything else gets its turn.
const MOST_IN_A_TURN: usize = 256;
/// How many of them go from step to step together: few enough to stay in the processor's nearest memory from the first step to the last, and
/// for the allocator to hand their pieces from one to the next; enough for a lock to be worth its price.
const BATCH: usize = 8;
/// So many answers are taken in any case, if they are there: fewer cost more than they bring.
const FEW_ANSWERS: usize = 32;
/// How long calls are polled right where they came in. After that they get tasks of their own until the next turn.
const INLINE_BUDGET: Duration = Duration::from_micros(500);
/// The most bytes that are handed to the connection at once: one HTTP/2 frame's.
const MAX_CHUNK: usize = super::connect::FRAME as usize;

/// One end of a session's streams.
pub struct Driver {
    shared: Arc<Shared>,
    serve: Arc<dyn Serve>,
    send: SendStream<Bytes>,
    receive: RecvStream,
    frames: FrameReader,
    /// Taken from the machine, and not yet by the connection.
    unsent: Bytes,
    batch: Vec<Message>,
    events: Vec<Event<Waker>>,
    answers: Vec<(u64, Served)>,
    /// How long calls have been polled in this turn, once one was.
    inline: Option<Inline>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when the connection has taken nothing of what waits.
    stalled: Option<Instant>,
    /// Callers had their turn to add to what is sent next.
    gathered: bool,
    /// The last words were said.
    closing: bool,
}

/// What is left to do after a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing until something happens.
    Idle,
    /// The connection has something to send.
    Sent,
}

/// What was taken in one turn.
#[derive(Default)]
struct Taken {
    messages: usize,
    answers: usize,
    /// As many answers as one turn takes.
    most_answers: usize,
}

impl Taken {
    fn is_enough(&self) -> bool {
        self.messages >= MOST_IN_A_TURN || self.answers >= self.most_answers
    }
}

/// How much of what came in has its place in the batch.
enum Gathered {
    /// All of it.
    All,
    /// A batch; there may be more.
    Batch,
    /// As much as one turn may take; the rest has to wait.
    Enough,
    /// All of it, and nothing will follow.
    TheLast,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, serve: Arc<dyn Serve>, send: SendStream<Bytes>, receive: RecvStream) -> Self {
        let frames = FrameReader::new(shared.limits.max_message);
        Self {
            shared,
            serve,
            send,
            receive,
            frames,
            unsent: Bytes::new(),
            batch: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            inline: None,
            timer: None,
            stalled: None,
            gathered: false,
            closing: false,
        }
    }

    /// One turn: reads what there is, serves it, hands on what is to be sent. The connection has to be polled after it said
    /// [`Turn::Sent`].
    ///
    /// # Errors
    /// Why the session is over. Whoever waited has been told.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Result<Turn, Ended> {
        let turn = self.turn(cx);
        if let Err(ended) = &turn {
            self.end(ended);
        }
        turn
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Turn, Ended> {
        self.shared.driver.register(cx.waker());
        self.inline = None;
        if let Some(reason) = self.shared.cut_reason() {
            return Err(reason);
        }
        let follows_at_once = self.read(cx)?;
        let sent = self.write(cx)?;
        // Whoever was answered in this turn adds the next call before the one that follows, and that sends it. Were yet another turn waited for,
        // the halves in which answers are taken would go out as one.
        self.gathered |= follows_at_once;
        self.watch_the_time(cx)?;
        Ok(if sent { Turn::Sent } else { Turn::Idle })
    }

    /// Takes what came in, at most so many messages a turn, however they were cut on their way. Says whether it took as much as one turn may, so
    /// that another follows at once.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let most_answers = answers_at_once(self.shared.machine().in_flight());
        let mut taken = Taken { most_answers, ..Taken::default() };
        loop {
            let gathered = self.gather(&mut taken, cx);
            // What came before the end, or before a broken rule, still counts.
            self.handle_batch()?;
            return match gathered? {
                Gathered::Batch => continue,
                Gathered::All => Ok(false),
                Gathered::Enough => {
                    cx.waker().wake_by_ref();
                    Ok(true)
                }
                // It has said its farewell, and fetches what it was told of.
                Gathered::TheLast if self.shared.machine().waits_to_be_fetched() => {
                    self.frames.end()?;
                    Ok(false)
                }
                Gathered::TheLast => Err(self.stream_ended()?),
            };
        }
    }

    /// Fills the batch from what came in.
    fn gather(&mut self, taken: &mut Taken, cx: &mut Context<'_>) -> Result<Gathered, Ended> {
        loop {
            while self.batch.len() < BATCH
                && !taken.is_enough()
                && let Some(frame) = self.frames.next()?
            {
                let message = Message::parse(frame)?;
                taken.messages += 1;
                taken.answers += usize::from(matches!(message, Message::Answer { .. }));
                self.batch.push(message);
            }
            if taken.is_enough() {
                return Ok(Gathered::Enough);
            }
            if self.batch.len() >= BATCH {
                return Ok(Gathered::Batch);
            }
            match self.receive.poll_data(cx) {
                Poll::Pending => return Ok(Gathered::All),
                Poll::Ready(None) => return Ok(Gathered::TheLast),
                Poll::Ready(Some(Err(error))) => return Err(broken(&error)),
                Poll::Ready(Some(Ok(piece))) => {
                    let length = piece.len();
                    self.frames.push(piece);
                    self.receive.flow_control().release_capacity(length).map_err(|error| broken(&error))?;
                }
            }
        }
    }

    fn stream_ended(&self) -> Result<Ended, Ended> {
        self.frames.end()?;
        let machine = self.shared.machine();
        Ok(machine.ended().cloned().unwrap_or_else(|| {
            if machine.is_leaving() {
                Ended::Closed("it was left in good order".to_owned())
            } else {
                Ended::Broken("its stream was closed".to_owned())
            }
        }))
    }

    fn handle_batch(&mut self) -> Result<(), Ended> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.shared.used.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut machine = self.shared.machine();
        let taken = self.batch.drain(..).try_for_each(|message| machine.receive(message, &mut self.events));
        let (is_open, takes_no_more) = (machine.is_open(), machine.ended().is_some());
        drop(machine);
        if takes_no_more {
            // Whoever waits for its turn has to look elsewhere.
            self.shared.waiters.wake_calls();
        }
        if !is_open {
            self.shared.note_leaving();
        }
        self.handle_events();
        Ok(taken?)
    }

    /// Does what the machine asks for, with the lock released.
    fn handle_events(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let mut freed = false;
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Event::Wake(waker) => waker.wake(),
                Event::Freed => freed = true,
                Event::Serve(call) => self.serve(call),
                Event::Cancel(id) => self.cancel(id),
                Event::Credit(id) => self.shared.waiters.wake(id),
            }
        }
        self.events = events;
        if freed {
            self.shared.admit();
        }
        self.send_answers();
    }

    fn serve(&mut self, mut call: Incoming) {
        // The clock is looked at once a turn, and after each call that is polled here, unless that tells when it ended.
        let inline = self.inline.get_or_insert_with(Inline::begin);
        let (id, credit) = (call.id, call.credit);
        if credit.is_some() {
            // It lives as long as its stream does.
            call.detach();
        }
        let items = credit.map(|_| ItemSink::new(self.shared.clone(), id));
        let serve = &self.serve;
        let Ok(mut serving) = catch_unwind(AssertUnwindSafe(|| serve.serve(call, inline.now, items))) else {
            return self.answers.push((id, panicked(inline.now)));
        };
        // A stream's items go out by this very driver: it would only find that it has to wait.
        if credit.is_none() && inline.has_time() {
            let mut nobody = Context::from_waker(Waker::noop());
            // Never polled again after a panic, so nobody sees what it left half done.
            let polled = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(&mut nobody)));
            inline.now = polled.as_ref().ok().and_then(ended).unwrap_or_else(Instant::now);
            match polled {
                Ok(Poll::Ready(served)) => return self.answers.push((id, served)),
                Ok(Poll::Pending) => {}
                Err(_) => return self.answers.push((id, panicked(inline.now))),
            }
        }
        // Before the task begins, since it may end before we could note it.
        self.shared.machine().serving(id);
        let shared = self.shared.clone();
        let task = tokio::spawn(async move {
            let served = AssertUnwindSafe(serving);
            let served = futures::FutureExt::catch_unwind(served).await.unwrap_or_else(|_| panicked(Instant::now()));
            shared.answer(id, served);
        });
        self.shared.keep_task(id, task.abort_handle());
    }

    /// Answers what ended at once, all of a batch under one lock.
    fn send_answers(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let mut machine = self.shared.machine();
        for (id, served) in self.answers.drain(..) {
            machine.answer(id, served.outcome, served.deadline);
        }
    }

    fn cancel(&mut self, id: u64) {
        if let Some(task) = self.shared.take_task(id) {
            task.abort();
            let error = RpcError::new(ErrorCode::CANCELLED, "the call was cancelled by its caller");
            self.shared.answer_if_serving(id, error);
        }
    }

    /// Hands what waits to the connection, as far as the other end takes it. Says whether anything was handed on.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let mut sent = false;
        loop {
            if self.unsent.is_empty() && !self.take_output(cx) {
                self.stalled = None;
                if self.leave_in_turn()? {
                    continue;
                }
                return Ok(sent);
            }
            self.send.reserve_capacity(self.unsent.len());
            let capacity = self.send.capacity();
            if capacity == 0 {
                match self.send.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(0))) | Poll::Pending => {
                        self.stalled.get_or_insert_with(Instant::now);
                        return Ok(sent);
                    }
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(error))) => return Err(broken(&error)),
                    Poll::Ready(None) => return Err(Ended::Broken("its stream was reset".to_owned())),
                }
            }
            let chunk = self.unsent.split_to(capacity.min(self.unsent.len()));
            self.send.send_data(chunk, false).map_err(|error| broken(&error))?;
            self.stalled = None;
            sent = true;
        }
    }

    /// Fetches what the machine wants sent. Where several calls are under way, their callers get one turn first to add theirs: on a
    /// runtime with several threads the first of them would else be alone in its frame.
    fn take_output(&mut self, cx: &mut Context<'_>) -> bool {
        let mut machine = self.shared.machine();
        if machine.waiting() == 0 {
            self.gathered = false;
            return false;
        }
        if !self.gathered && self.shared.gathers && machine.in_flight() > 1 && !machine.is_congested() {
            drop(machine);
            self.gathered = true;
            cx.waker().wake_by_ref();
            return false;
        }
        self.gathered = false;
        self.unsent = machine.take_output(MAX_CHUNK, &mut self.events);
        drop(machine);
        self.shared.admit();
        self.handle_events();
        true
    }

    /// What both ends do to part in good order, once nothing runs any more. Says whether there is something to send again.
    fn leave_in_turn(&mut self) -> Result<bool, Ended> {
        let mut machine = self.shared.machine();
        if machine.is_open() {
            return Ok(false);
        }
        if machine.should_leave() {
            machine.leave("there is nothing left to do");
            return Ok(true);
        }
        if machine.is_served() {
            self.shared.note_served();
        }
        if !machine.is_drained() {
            return Ok(false);
        }
        let ended = machine.ended().cloned();
        drop(machine);
        // The last words are on their way; an empty last frame ends the stream.
        self.closing = self.send.send_data(Bytes::new(), true).is_ok();
        Err(ended.unwrap_or_else(|| Ended::Closed("it was left in good order".to_owned())))
    }

    /// Ends calls whose time is over, and the session where the other end takes nothing.
    fn watch_the_time(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        loop {
            let due = self.shared.machine().next_deadline();
            let patience = self.shared.limits.write_timeout;
            let give_up = self.stalled.map(|since| since + patience);
            let Some(next) = due.into_iter().chain(give_up).min() else {
                self.timer = None;
                return Ok(());
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
            // Moving a timer costs a lock: one that fires early does no harm, so it is moved only to be earlier, or when it fired.
            if timer.deadline() > next {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            let now = Instant::now();
            self.timer = None;
            if give_up.is_some_and(|at| at <= now) {
                return Err(Ended::NotReading(patience));
            }
            let waiting = self.shared.machine().waiting();
            self.shared.machine().tick(now, &mut self.events);
            self.handle_events();
            // Those that have not even begun look at the time themselves.
            let next = self.shared.waiters.wake_late(now);
            let mut machine = self.shared.machine();
            if let Some(next) = next {
                machine.wake_at(next);
            }
            // There is something to send, or it was the last thing that a session which is left was kept for.
            if machine.waiting() > waiting || !machine.is_open() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Ends the session for a reason that lies outside of it.
    pub fn end_with(&mut self, ended: &Ended) {
        if self.shared.parting.borrow().over.is_none() {
            self.end(ended);
        }
    }

    /// After the end: waits, where last words were said, until the other end has closed its side too, and so has read them. To drop the
    /// streams before that would take them back. What still comes in is passed over.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.closing {
            match self.receive.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    self.closing = self.receive.flow_control().release_capacity(piece.len()).is_ok();
                }
                Poll::Ready(Some(Err(_)) | None) => self.closing = false,
            }
        }
        Poll::Ready(())
    }

    /// Tells everyone that it is over, and the other end why, where that is its fault.
    fn end(&mut self, ended: &Ended) {
        let mut machine = self.shared.machine();
        if !matches!(ended, Ended::Violation(_)) {
            // The connection never got it, and now never will.
            machine.was_not_sent(std::mem::take(&mut self.unsent).len());
        }
        machine.end(ended, &mut self.events);
        drop(machine);
        self.handle_events();
        self.shared.waiters.wake_all();
        self.shared.abort_tasks();
        if let Ended::Violation(violation) = ended {
            let mut last_words = bytes::BytesMut::new();
            super::message::write_go_away(self.shared.machine().accepted(), &violation.to_string(), &mut last_words);
            // They would else be taken for the rest of a message that was cut.
            if !self.unsent.is_empty() {
                let _sent = self.send.send_data(std::mem::take(&mut self.unsent), false);
            }
            // It may be refused for want of room: the stream is closed all the same.
            self.closing = self.send.send_data(last_words.freeze(), true).is_ok();
        }
        self.shared.parting.send_replace(Parting { leaving: true, served: true, over: Some(ended.clone()) });
    }
}

impl Drop for Driver {
    /// The connection's task was ended: so are the session and what it serves.
    fn drop(&mut self) {
        self.end_with(&Ended::Broken("its connection was closed".to_owned()));
    }
}

/// How many answers are taken before anything else gets its turn, of so many calls: half of them. Callers who are answered together make their
/// next calls together. If all were answered in one turn, the ends would work by turns, one waiting for the other; so one half is on its
/// way while the other is looked at. (64 callers make nearly twice as many calls a second so, at the same cost of each.)
fn answers_at_once(in_flight: u32) -> usize {
    (in_flight as usize / 2).max(FEW_ANSWERS)
}

/// How long calls have been polled in this turn.
struct Inline {
    began: Instant,
    now: Instant,
}

impl Inline {
    fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, now }
    }

    fn has_time(&self) -> bool {
        self.now - self.began < INLINE_BUDGET
    }
}

/// When a call ended, where it did and that was looked at.
fn ended(polled: &Poll<Served>) -> Option<Instant> {
    match polled {
        Poll::Ready(served) => served.ended,
        Poll::Pending => None,
    }
}

fn panicked(deadline: Instant) -> Served {
    let error = RpcError::new(ErrorCode::INTERNAL, "the call failed inside the node; its log tells more");
    Served::refused(error, deadline)
}

fn broken(error: &h2::Error) -> Ended {
    Ended::Broken(error.to_string())
}
