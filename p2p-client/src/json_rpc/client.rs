//! [`JsonRpcClient`], and the calls that it makes.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{call::CallOptions, wire::http::RequestLimits};

use super::{
    BatchLimits, JsonRpcClientError, JsonRpcError,
    answers::Outcome,
    driver::{Command, Driver, Outgoing},
    link::Link,
};

/// Makes a [`JsonRpcClient`].
pub struct JsonRpcClientBuilder {
    url: String,
    roots: RootCertStore,
    headers: HeaderMap,
    timeout: Duration,
    limits: BatchLimits,
    max_response: usize,
    /// The first thing that went wrong.
    wrong: Option<JsonRpcClientError>,
}

impl JsonRpcClientBuilder {
    /// Trusts servers that one of these certificates (PEM) vouches for.
    #[must_use]
    pub fn root_pem(mut self, pem: &[u8]) -> Self {
        let before = self.roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            match certificate {
                Ok(certificate) => self = self.root_der(certificate),
                Err(error) => self.note(JsonRpcClientError::Root(error.to_string())),
            }
        }
        if self.roots.len() == before {
            self.note(JsonRpcClientError::Root("the text holds no certificate in PEM form".to_owned()));
        }
        self
    }

    /// Trusts servers that this certificate vouches for.
    #[must_use]
    pub fn root_der(mut self, certificate: CertificateDer<'_>) -> Self {
        if let Err(error) = self.roots.add(certificate.into_owned()) {
            self.note(JsonRpcClientError::Root(error.to_string()));
        }
        self
    }

    /// Sends a header with every request, such as `authorization`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(parsed), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.append(parsed, value);
            }
            _ => self.note(JsonRpcClientError::Header { name: name.to_owned() }),
        }
        self
    }

    /// Gives each call this much time unless it says otherwise. Default: 30 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bounds the batches.
    #[must_use]
    pub fn batches(mut self, limits: BatchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes responses of at most this many bytes. Default: 64 MiB.
    #[must_use]
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Makes the client. It connects with its first call. Use it inside a tokio runtime, which then runs the client's task.
    ///
    /// # Errors
    /// [`JsonRpcClientError`], of the first thing that was wrong.
    pub fn build(self) -> Result<JsonRpcClient, JsonRpcClientError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let link = Link::new(&self.url, self.roots, self.headers, self.max_response)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| JsonRpcClientError::NoRuntime)?;
        let (commands, taken) = mpsc::unbounded_channel();
        runtime.spawn(Driver::new(link, self.limits, taken).run());
        Ok(JsonRpcClient { commands, numbers: Arc::new(AtomicU64::new(1)), timeout: self.timeout })
    }

    fn note(&mut self, wrong: JsonRpcClientError) {
        self.wrong.get_or_insert(wrong);
    }
}

/// Calls one JSON-RPC 2.0 server. Cheap to clone; clones share connections and batches.
///
/// See the [module](super) for what it does, with an example.
#[derive(Clone)]
pub struct JsonRpcClient {
    commands: mpsc::UnboundedSender<Command>,
    numbers: Arc<AtomicU64>,
    timeout: Duration,
}

impl fmt::Debug for JsonRpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonRpcClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl JsonRpcClient {
    /// A client of the server at `url`, with the usual settings: `https://…`, or `http://…` for a server on this machine.
    pub fn builder(url: impl Into<String>) -> JsonRpcClientBuilder {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        JsonRpcClientBuilder {
            url: url.into(),
            roots: RootCertStore::empty(),
            headers,
            timeout: CallOptions::DEFAULT_TIMEOUT,
            limits: BatchLimits::default(),
            max_response: RequestLimits::default().max_response,
            wrong: None,
        }
    }

    /// Calls a method. `params` is what serialises to an object or an array, or `()` for none.
    pub fn call<T: DeserializeOwned>(&self, method: &str, params: impl Serialize) -> JsonRpcCall<T> {
        self.prepare(method, params, false)
    }

    /// Tells the server something that it does not answer. It has been taken when the future ends; whether it was carried out,
    /// nobody knows.
    pub fn notify(&self, method: &str, params: impl Serialize) -> JsonRpcCall<()> {
        self.prepare(method, params, true)
    }

    fn prepare<T>(&self, method: &str, params: impl Serialize, notification: bool) -> JsonRpcCall<T> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let message = message(method, &params, (!notification).then_some(number))
            .map_err(|reason| JsonRpcError::Params { method: method.to_owned(), reason });
        let prepared = Prepared { number, method: method.to_owned(), notification, message, commands: self.commands.clone() };
        JsonRpcCall { timeout: self.timeout, state: State::Prepared(Some(prepared)), result: PhantomData }
    }
}

/// Writes a request object, or says why the params cannot stand in one.
fn message(method: &str, params: &impl Serialize, id: Option<u64>) -> Result<Bytes, String> {
    #[derive(Serialize)]
    struct Message<'a> {
        jsonrpc: &'static str,
        method: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    }
    let params = serde_json::value::to_raw_value(params).map_err(|error| error.to_string())?;
    let params = match params.get().as_bytes() {
        b"null" => None,
        [b'{' | b'[', ..] => Some(&*params),
        _ => return Err("they must be an object or an array: a struct, a map, a tuple or a sequence".to_owned()),
    };
    let message = Message { jsonrpc: "2.0", method, params, id };
    serde_json::to_vec(&message).map(Bytes::from).map_err(|error| error.to_string())
}

/// A call that has done nothing yet, and a future: awaiting it makes the call. Dropping it takes the call out if it was not sent.
#[must_use = "a call does nothing until it is awaited"]
pub struct JsonRpcCall<T> {
    timeout: Duration,
    state: State,
    result: PhantomData<fn() -> T>,
}

enum State {
    Prepared(Option<Prepared>),
    Running(BoxFuture<'static, (String, Outcome)>),
}

/// What is sent once the call is polled.
struct Prepared {
    number: u64,
    method: String,
    notification: bool,
    message: Result<Bytes, JsonRpcError>,
    commands: mpsc::UnboundedSender<Command>,
}

impl<T> JsonRpcCall<T> {
    /// Gives the call this much time, counted from when it is first polled.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<T> fmt::Debug for JsonRpcCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonRpcCall").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> Future for JsonRpcCall<T> {
    type Output = Result<T, JsonRpcError>;

    /// # Panics
    /// When it is polled again after it has ended.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let running = match &mut this.state {
            State::Running(running) => running,
            State::Prepared(prepared) => {
                let Some(prepared) = prepared.take() else { return Poll::Ready(Err(JsonRpcError::Closed)) };
                this.state = State::Running(Box::pin(run(prepared, this.timeout)));
                return self.poll(cx);
            }
        };
        running.as_mut().poll(cx).map(|(method, outcome)| {
            let json = outcome?;
            serde_json::from_str(json.get()).map_err(|error| JsonRpcError::Result { method, reason: error.to_string() })
        })
    }
}

/// Has a call made, and waits for its outcome.
async fn run(prepared: Prepared, timeout: Duration) -> (String, Outcome) {
    let Prepared { number, method, notification, message, commands } = prepared;
    let message = match message {
        Ok(message) => message,
        Err(error) => return (method, Err(error)),
    };
    let deadline = Instant::now().checked_add(timeout);
    let (reply, outcome) = oneshot::channel();
    let sent = Arc::new(AtomicBool::new(false));
    let outgoing = Outgoing { number, message, notification, sent: sent.clone(), reply };
    if commands.send(Command::Call(outgoing)).is_err() {
        return (method, Err(JsonRpcError::Closed));
    }
    let mut awaited = Awaited { number, commands, over: false };
    let answered = match deadline {
        Some(deadline) => timeout_at(deadline, outcome).await,
        None => Ok(outcome.await),
    };
    let outcome = match answered {
        Ok(answered) => {
            awaited.over = true;
            answered.unwrap_or(Err(JsonRpcError::Closed))
        }
        Err(_) => {
            let may_have_run = sent.load(Ordering::Acquire);
            Err(JsonRpcError::Deadline { method: method.clone(), after: timeout, may_have_run })
        }
    };
    (method, outcome)
}

/// Somebody waits for a call; when dropped before the call is over, nobody does.
struct Awaited {
    number: u64,
    commands: mpsc::UnboundedSender<Command>,
    over: bool,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.over {
            // Without the task there is nothing to take out.
            let _ = self.commands.send(Command::GiveUp(self.number));
        }
    }
}
