//! The task of a client: takes calls in, asks the [`Batcher`] what goes when, and hands each call its outcome.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use http::Response;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use crate::wire::http::SendFailure;

use super::{
    BatchLimits, JsonRpcError,
    answers::{Asked, Outcome, Takes, settle},
    batcher::Batcher,
    link::Link,
};

/// What callers tell the task.
pub(super) enum Command {
    /// A call is to be made.
    Call(Outgoing),
    /// Nobody waits for this call any more.
    GiveUp(u64),
}

/// A call on its way out.
pub(super) struct Outgoing {
    pub(super) number: u64,
    /// The request object, as JSON.
    pub(super) message: Bytes,
    pub(super) notification: bool,
    /// Set while it may have been sent.
    pub(super) sent: Arc<AtomicBool>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// The calls of a request that is under way, and how it ended.
struct Ended {
    request: u64,
    asked: Vec<Asked>,
    outcome: Option<Result<Response<Bytes>, SendFailure>>,
}

/// A request that is under way.
struct UnderWay {
    /// How many of its calls somebody waits for.
    awaited: usize,
    abort: AbortHandle,
}

/// Everything that the task holds.
pub(super) struct Driver {
    link: Arc<Link>,
    commands: mpsc::UnboundedReceiver<Command>,
    batcher: Batcher,
    calls: HashMap<u64, Outgoing>,
    /// The request that each sent call is in.
    sent_in: HashMap<u64, u64>,
    under_way: HashMap<u64, UnderWay>,
    requests: u64,
    posts: FuturesUnordered<BoxFuture<'static, Ended>>,
}

/// How many commands are taken at a time.
const TAKEN: usize = 256;

impl Driver {
    pub(super) fn new(link: Link, limits: BatchLimits, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        Self {
            link: Arc::new(link),
            commands,
            batcher: Batcher::new(limits),
            calls: HashMap::new(),
            sent_in: HashMap::new(),
            under_way: HashMap::new(),
            requests: 0,
            posts: FuturesUnordered::new(),
        }
    }

    /// Runs until every client and every call is gone.
    pub(super) async fn run(mut self) {
        let mut taken = Vec::with_capacity(TAKEN);
        loop {
            let wake = self.batcher.wake_at();
            let waiting = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                count = self.commands.recv_many(&mut taken, TAKEN) => {
                    if count == 0 {
                        return;
                    }
                    // What is called in the same turn of the scheduler goes together: everyone who is ready speaks first.
                    tokio::task::yield_now().await;
                    while let Ok(more) = self.commands.try_recv() {
                        taken.push(more);
                    }
                    taken.drain(..).for_each(|command| self.obey(command));
                }
                Some(ended) = self.posts.next() => self.settle(ended),
                () = waiting => {}
            }
            while let Some(numbers) = self.batcher.next(Instant::now()) {
                self.post(&numbers);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Call(call) => match self.batcher.push(call.number, call.message.len(), Instant::now()) {
                Ok(()) => {
                    self.calls.insert(call.number, call);
                }
                Err(_) => tell(call.reply, Err(JsonRpcError::TooMany)),
            },
            Command::GiveUp(number) => self.give_up(number),
        }
    }

    /// Takes a call out, or ends its request if nobody waits for any of the request's calls.
    fn give_up(&mut self, number: u64) {
        self.calls.remove(&number);
        if self.batcher.remove(number) {
            return;
        }
        if let Some(request) = self.sent_in.remove(&number)
            && let Some(under_way) = self.under_way.get_mut(&request)
        {
            under_way.awaited -= 1;
            if under_way.awaited == 0 {
                under_way.abort.abort();
            }
        }
    }

    fn post(&mut self, numbers: &[u64]) {
        let request = self.requests;
        self.requests += 1;
        let mut asked = Vec::with_capacity(numbers.len());
        let mut messages = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(call) = self.calls.get(number) {
                call.sent.store(true, Ordering::Release);
                self.sent_in.insert(*number, request);
                asked.push(Asked { number: *number, notification: call.notification });
                messages.push(call.message.clone());
            }
        }
        let (abort, registration) = AbortHandle::new_pair();
        self.under_way.insert(request, UnderWay { awaited: asked.len(), abort });
        let link = self.link.clone();
        let post = Abortable::new(async move { link.post(body(&messages)).await }, registration);
        self.posts.push(post.map(move |outcome| Ended { request, asked, outcome: outcome.ok() }).boxed());
    }

    fn settle(&mut self, ended: Ended) {
        let Ended { request, asked, outcome } = ended;
        self.batcher.ended();
        self.under_way.remove(&request);
        for call in &asked {
            self.sent_in.remove(&call.number);
        }
        match outcome {
            // It was ended because nobody waited.
            None => {}
            Some(Err(failure)) => asked.iter().for_each(|call| self.tell(call.number, Err(failure.clone().into()))),
            Some(Ok(response)) => {
                let settled = settle(&asked, response.status(), response.body());
                match settled.takes {
                    Takes::AsMany => self.batcher.taken(asked.len()),
                    Takes::Fewer => self.batcher.too_large(asked.len()),
                    Takes::Singly => {
                        tracing::info!(link = ?self.link, "a JSON-RPC server takes no batches; calls go singly from now on");
                        self.batcher.speak_singly();
                    }
                }
                if settled.outcomes.is_empty() {
                    self.send_again(&asked);
                }
                settled.outcomes.into_iter().for_each(|(number, outcome)| self.tell(number, outcome));
            }
        }
    }

    fn send_again(&mut self, asked: &[Asked]) {
        let still_awaited = asked.iter().filter_map(|asked| self.calls.get(&asked.number)).map(|call| {
            call.sent.store(false, Ordering::Release);
            (call.number, call.message.len())
        });
        self.batcher.put_back(still_awaited, Instant::now());
    }

    fn tell(&mut self, number: u64, outcome: Outcome) {
        if let Some(call) = self.calls.remove(&number) {
            tell(call.reply, outcome);
        }
    }
}

/// Whoever stopped waiting needs no answer.
fn tell(reply: oneshot::Sender<Outcome>, outcome: Outcome) {
    let _ = reply.send(outcome);
}

/// One request as it is, several as a batch.
fn body(messages: &[Bytes]) -> Bytes {
    if let [one] = messages {
        return one.clone();
    }
    let mut body = Vec::with_capacity(messages.iter().map(|message| message.len() + 1).sum::<usize>() + 1);
    for message in messages {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(message);
    }
    body.push(b']');
    body.into()
}
