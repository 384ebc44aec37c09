//! The service that tests call: it tells what it sees of a call, and does on demand what services do at their worst.

use std::{future::pending, time::Duration};

use p2p_services::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a method saw of the call that it served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Seen {
    /// The node that served it.
    pub(crate) node: String,
    /// Who asked.
    pub(crate) caller: String,
    /// Who began the chain.
    pub(crate) origin: Option<String>,
}

impl Seen {
    fn of(cx: &CallContext) -> Self {
        Self { node: cx.node().to_string(), caller: cx.caller().to_string(), origin: cx.origin().map(str::to_owned) }
    }
}

/// The time left of a call, here and in the call that it made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TimeLeft {
    /// In this method, in milliseconds.
    pub(crate) here_ms: u64,
    /// In the method that it called, in milliseconds.
    pub(crate) there_ms: Option<u64>,
}

/// What tests may look at and turn from outside of the service.
pub(crate) struct Probe {
    /// How many calls that wait have begun.
    pub(crate) begun: watch::Sender<u32>,
    /// How many of them were dropped before their end.
    pub(crate) dropped: watch::Sender<u32>,
    /// How many of them came to their end.
    pub(crate) ended: watch::Sender<u32>,
    /// Whether they may go on.
    pub(crate) open: watch::Sender<bool>,
    /// How many calls learned, while they or what they had spawned ran, that nobody waited for them any more.
    pub(crate) cancelled: watch::Sender<u32>,
    /// How many calls there were of the methods that only count.
    pub(crate) counted: watch::Sender<u32>,
}

/// A call that was begun; if it does not say that it ended, it was dropped.
struct Begun<'a>(&'a Probe, bool);

impl Begun<'_> {
    fn end(mut self) {
        self.1 = true;
        self.0.ended.send_modify(|count| *count += 1);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.send_modify(|count| *count += 1);
        }
    }
}

impl Probe {
    pub(crate) fn new() -> Self {
        let zero = || watch::Sender::new(0);
        Self {
            begun: zero(),
            dropped: zero(),
            ended: zero(),
            open: watch::Sender::new(false),
            cancelled: zero(),
            counted: zero(),
        }
    }

    /// Waits until a counter has reached `count`.
    pub(crate) async fn reached(counter: &watch::Sender<u32>, count: u32) {
        super::soon(counter.subscribe().wait_for(|now| *now >= count)).await.unwrap();
    }

    fn begin(&self) -> Begun<'_> {
        self.begun.send_modify(|count| *count += 1);
        Begun(self, false)
    }

    async fn until_open(&self) {
        let begun = self.begin();
        if self.open.subscribe().wait_for(|open| *open).await.is_err() {
            pending::<()>().await;
        }
        begun.end();
    }
}

/// An error without fields: its JSON is null.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is full")
    }
}

impl std::error::Error for Full {}

/// Looks at calls from the inside.
#[service(version = "1.0.0")]
impl Probe {
    /// What is seen of the call. Anyone may ask.
    #[service_method(anonymous, idempotent)]
    pub(crate) async fn look(&self, cx: &CallContext) -> Result<Seen> {
        Ok(Seen::of(cx))
    }

    /// The same, of a call that this method makes to a node.
    #[service_method(anonymous)]
    pub(crate) async fn look_from_here(&self, cx: &CallContext, node: String) -> Result<Seen> {
        Ok(cx.proxy().probe().on(node).look().await?)
    }

    /// Calls a method of this service on a node, while it serves a call.
    #[service_method(anonymous)]
    pub(crate) async fn relay(&self, cx: &CallContext, node: String, method: String) -> Result<u8> {
        let answer = cx.proxy().call(&format!("probe/{method}"), serde_json::json!({ "number": 7 })).on(node).await?;
        Ok(serde_json::from_str(answer.get())?)
    }

    /// Counts to a number, for clients with the scope.
    #[service_method(scope = "probe:read")]
    pub(crate) async fn count_for_scope(&self, number: u8) -> Result<impl Stream<Item = u8>> {
        Ok(futures::stream::iter(1..=number))
    }

    /// For nodes and operators.
    #[service_method]
    pub(crate) async fn for_nodes(&self, number: u8) -> Result<u8> {
        self.counted.send_modify(|count| *count += 1);
        Ok(number)
    }

    /// Returns nothing.
    #[service_method(idempotent)]
    pub(crate) async fn nothing(&self) -> Result<()> {
        self.counted.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Returns what it was given; 5, where nothing was said.
    #[service_method]
    pub(crate) async fn number_or_five(&self, #[arg(default = Some(5))] number: Option<u8>) -> Result<Option<u8>> {
        Ok(number)
    }

    /// Fails with an error that has no fields.
    #[service_method]
    pub(crate) async fn full(&self) -> Result<(), Full> {
        Err(Full)
    }

    /// Has an hour, if its caller does not say otherwise.
    #[service_method(anonymous, timeout = "1h")]
    pub(crate) async fn patient(&self, cx: &CallContext) -> Result<u64> {
        Ok(cx.time_left().as_secs())
    }

    /// Also for clients with a token.
    #[service_method(public)]
    pub(crate) async fn for_clients(&self, number: u8) -> Result<u8> {
        Ok(number)
    }

    /// For clients with the scope.
    #[service_method(scope = "probe:read")]
    pub(crate) async fn for_scope(&self, number: u8) -> Result<u8> {
        Ok(number)
    }

    /// For coordinators.
    #[service_method(role = "coordinator")]
    pub(crate) async fn for_coordinators(&self, number: u8) -> Result<u8> {
        Ok(number)
    }

    /// For workers.
    #[service_method(role = "worker")]
    pub(crate) async fn for_workers(&self, number: u8) -> Result<u8> {
        Ok(number)
    }

    /// Takes two parameters, one of which may be left out.
    #[service_method(anonymous)]
    pub(crate) async fn repeat(&self, text: String, times: Option<u8>) -> Result<String> {
        Ok(text.repeat(usize::from(times.unwrap_or(1))))
    }

    /// Waits until the test lets it go on.
    #[service_method]
    pub(crate) async fn wait(&self, cx: &CallContext) -> Result<String> {
        self.until_open().await;
        Ok(cx.node().to_string())
    }

    /// The same, of which two are as good as one.
    #[service_method(idempotent)]
    pub(crate) async fn wait_again(&self, cx: &CallContext) -> Result<String> {
        self.until_open().await;
        Ok(cx.node().to_string())
    }

    /// The same, for a second at most.
    #[service_method(timeout = "1s")]
    pub(crate) async fn wait_briefly(&self, cx: &CallContext) -> Result<String> {
        self.until_open().await;
        Ok(cx.node().to_string())
    }

    /// The same, which goes on when nobody waits for it any more.
    #[service_method(detached)]
    pub(crate) async fn wait_on(&self, cx: &CallContext) -> Result<String> {
        self.until_open().await;
        Ok(cx.node().to_string())
    }

    /// Runs on when nobody waits for it any more, until it learns that.
    #[service_method(anonymous, detached)]
    pub(crate) async fn until_cancelled(&self, cx: &CallContext) -> Result<()> {
        let begun = self.begin();
        cx.cancelled().await;
        self.cancelled.send_modify(|count| *count += u32::from(cx.is_cancelled()));
        begun.end();
        Ok(())
    }

    /// Leaves work to a task, which goes on until it learns that nobody waits for it any more.
    #[service_method(anonymous)]
    pub(crate) async fn spawn_until_cancelled(&self, cx: &CallContext) -> Result<()> {
        let _begun = self.begin();
        let (cx, cancelled) = (cx.clone(), self.cancelled.clone());
        let work = tokio::spawn(async move {
            cx.cancelled().await;
            cancelled.send_modify(|count| *count += u32::from(cx.is_cancelled()));
        });
        Ok(work.await?)
    }

    /// Breaks.
    #[service_method]
    pub(crate) async fn break_down(&self) -> Result<u8> {
        panic!("this panic is part of a test")
    }

    /// Fails with an error.
    #[service_method(anonymous)]
    pub(crate) async fn refuse(&self) -> Result<u8> {
        Err(Error::msg("not today"))
    }

    /// How much time is left; and how much in a call to another node that asks for a minute, made after a pause.
    #[service_method(idempotent)]
    pub(crate) async fn time_left(&self, cx: &CallContext, pause_ms: u64, node: Option<String>) -> Result<TimeLeft> {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let there_ms = match node {
            None => None,
            Some(node) => {
                let call = cx.proxy().probe().on(node).time_left(0, None).timeout(Duration::from_mins(1));
                Some(call.await?.here_ms)
            }
        };
        Ok(TimeLeft { here_ms: u64::try_from(cx.time_left().as_millis())?, there_ms })
    }
}
