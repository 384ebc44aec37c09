//! The client against a small server on this machine, which answers as each test says.

use std::{
    convert::Infallible,
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{future::join_all, poll};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::wire::tls::TlsMaterial;

use super::*;

/// Nothing here takes this long unless it hangs.
const HANGING: Duration = Duration::from_secs(30);

type Answers = dyn Fn(&Value) -> (u16, String) + Send + Sync;

/// A server that keeps what it is asked, and answers when it is let.
struct Server {
    url: String,
    shared: Arc<Shared>,
    _running: JoinSet<()>,
}

struct Shared {
    answers: Box<Answers>,
    /// One permit for each answer that may be given.
    open: Semaphore,
    asked: Mutex<Vec<Value>>,
    headers: Mutex<Vec<http::HeaderMap>>,
    /// How many requests have come.
    count: watch::Sender<usize>,
    /// How many connections have been made.
    connections: watch::Sender<usize>,
}

impl Server {
    /// Answers at once.
    async fn start(answers: impl Fn(&Value) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::held(Semaphore::MAX_PERMITS, None, answers).await
    }

    /// Answers so many requests at once, and further ones when it is let.
    async fn held(
        permits: usize,
        tls: Option<TlsAcceptor>,
        answers: impl Fn(&Value) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            answers: Box::new(answers),
            open: Semaphore::new(permits),
            asked: Mutex::default(),
            headers: Mutex::default(),
            count: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let mut running = JoinSet::new();
        running.spawn(accept(listener, tls, shared.clone()));
        Self { url: format!("{scheme}://127.0.0.1:{port}/rpc"), shared, _running: running }
    }

    fn client(&self) -> JsonRpcClient {
        JsonRpcClient::builder(&self.url).build().unwrap()
    }

    /// One that has at most one request under way, and waits for its end.
    fn patient_client(&self) -> JsonRpcClient {
        let limits = BatchLimits { max_in_flight: NonZeroUsize::MIN, ..BatchLimits::default() };
        JsonRpcClient::builder(&self.url).batches(limits).build().unwrap()
    }

    async fn has_been_asked(&self, times: usize) {
        let mut count = self.shared.count.subscribe();
        soon(count.wait_for(|count| *count >= times)).await.unwrap();
    }

    fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(HANGING, what).await.expect("this should have happened long ago")
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.send_modify(|count| *count += 1);
        connections.spawn(serve(stream, tls.clone(), shared.clone()));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(&shared, request));
    let server = hyper::server::conn::http1::Builder::new();
    // How a client leaves is no matter of these tests.
    let _ = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => Ok(()),
        },
    };
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    shared.asked.lock().unwrap().push(body.clone());
    shared.headers.lock().unwrap().push(parts.headers);
    shared.count.send_modify(|count| *count += 1);
    shared.open.acquire().await.unwrap().forget();
    let (status, text) = (shared.answers)(&body);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// What a good server answers: to `double`, twice its only parameter; to `fail`, an error; a batch in reverse.
fn good(asked: &Value) -> (u16, String) {
    let Value::Array(batch) = asked else { return (200, good_one(asked).map_or_else(String::new, |answer| answer.to_string())) };
    let answers: Vec<Value> = batch.iter().rev().filter_map(good_one).collect();
    if answers.is_empty() { (204, String::new()) } else { (200, Value::Array(answers).to_string()) }
}

fn good_one(request: &Value) -> Option<Value> {
    let id = request.get("id")?;
    Some(match request["method"].as_str() {
        Some("double") => json!({ "jsonrpc": "2.0", "id": id, "result": request["params"][0].as_u64().unwrap() * 2 }),
        _ => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32001, "message": "I will not", "data": [1] } }),
    })
}

#[tokio::test]
async fn a_call_alone_is_a_single_request_and_its_answer_is_typed() {
    let server = Server::start(good).await;
    let client = server.client();
    assert_eq!(soon(client.call::<u64>("double", [21])).await.unwrap(), 42);
    assert_eq!(server.asked(), [json!({ "jsonrpc": "2.0", "method": "double", "params": [21], "id": 1 })]);
    match soon(client.call::<u64>("fail", ())).await.unwrap_err() {
        JsonRpcError::Answered(error) => {
            assert_eq!((error.code.0, error.message.as_str(), error.data.unwrap().get()), (-32001, "I will not", "[1]"));
        }
        other => panic!("{other}"),
    }
    assert!(server.asked()[1].get("params").is_none());
    let wrong = soon(client.call::<String>("double", [1])).await.unwrap_err().to_string();
    assert!(wrong.starts_with("the result of double is not what was asked for: invalid type: integer `2`"), "{wrong}");
    assert_eq!(*server.shared.connections.borrow(), 1, "the connection is kept");
}

#[tokio::test]
async fn calls_of_one_turn_go_together_and_each_gets_its_own_answer() {
    let server = Server::start(good).await;
    let client = server.client();
    let doubled = soon(join_all((0..50_u64).map(|n| client.call::<u64>("double", [n])))).await;
    let doubled: Vec<u64> = doubled.into_iter().map(Result::unwrap).collect();
    assert_eq!(doubled, (0..50).map(|n| n * 2).collect::<Vec<_>>());
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].as_array().unwrap().len()), (1, 50));
}

#[tokio::test]
async fn calls_gather_while_a_request_is_under_way() {
    let server = Server::held(0, None, good).await;
    let client = server.patient_client();
    let first = tokio::spawn(client.call::<u64>("double", [1]));
    server.has_been_asked(1).await;
    let mut rest = Box::pin(join_all((2..5_u64).map(|n| client.call::<u64>("double", [n]))));
    assert!(poll!(rest.as_mut()).is_pending());
    server.shared.open.add_permits(2);
    assert_eq!(soon(first).await.unwrap().unwrap(), 2);
    assert_eq!(soon(rest).await.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [4, 6, 8]);
    let asked = server.asked();
    assert_eq!((asked.len(), asked[1].as_array().unwrap().len()), (2, 3));
}

#[tokio::test]
async fn a_slow_answer_does_not_hold_up_other_calls() {
    let server = Server::held(0, None, good).await;
    let client = server.client();
    let slow = tokio::spawn(client.call::<u64>("double", [1]));
    server.has_been_asked(1).await;
    let other = tokio::spawn(client.call::<u64>("double", [2]));
    server.has_been_asked(2).await;
    server.shared.open.add_permits(2);
    assert_eq!((soon(slow).await.unwrap().unwrap(), soon(other).await.unwrap().unwrap()), (2, 4));
    assert_eq!(*server.shared.connections.borrow(), 2);
}

#[tokio::test]
async fn a_call_that_is_dropped_before_it_was_sent_never_is() {
    let server = Server::held(0, None, good).await;
    let client = server.patient_client();
    let first = tokio::spawn(client.call::<u64>("double", [1]));
    server.has_been_asked(1).await;
    let mut dropped = Box::pin(client.call::<u64>("double", [2]));
    let mut kept = pin!(client.call::<u64>("double", [3]));
    assert!(poll!(dropped.as_mut()).is_pending() && poll!(kept.as_mut()).is_pending());
    drop(dropped);
    server.shared.open.add_permits(2);
    assert_eq!((soon(first).await.unwrap().unwrap(), soon(kept).await.unwrap()), (2, 6));
    assert_eq!(server.asked()[1]["params"], json!([3]), "{:?}", server.asked());
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_frees_its_place() {
    let server = Server::held(0, None, good).await;
    let client = server.patient_client();
    let mut stuck = Box::pin(client.call::<u64>("double", [1]));
    assert!(poll!(stuck.as_mut()).is_pending());
    server.has_been_asked(1).await;
    drop(stuck);
    server.shared.open.add_permits(2);
    assert_eq!(soon(client.call::<u64>("double", [2])).await.unwrap(), 4);
}

#[tokio::test]
async fn a_call_that_was_sent_and_got_no_answer_in_time_says_so_and_that_it_may_have_run() {
    let server = Server::held(0, None, good).await;
    let mut stuck = pin!(server.client().call::<u64>("double", [1]).timeout(HANGING));
    assert!(poll!(stuck.as_mut()).is_pending());
    server.has_been_asked(1).await;
    // The time passes only now, so that the request is surely under way.
    tokio::time::pause();
    let error = stuck.await.unwrap_err();
    assert!(matches!(&error, JsonRpcError::Deadline { .. }) && !error.is_safe_to_retry(), "{error}");
    assert!(error.to_string().starts_with("double did not answer within 30000 ms"), "{error}");
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_again_in_parts_and_batches_go_on() {
    let server = Server::start(|asked| match asked {
        Value::Array(calls) if calls.len() > 3 => (413, "too large".to_owned()),
        _ => good(asked),
    })
    .await;
    let client = server.patient_client();
    let outcomes = soon(join_all((0..12_u64).map(|n| client.call::<u64>("double", [n])))).await;
    assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (0..12).map(|n| 2 * n).collect::<Vec<_>>());
    let sizes: Vec<_> = server.asked().iter().map(|asked| asked.as_array().map_or(1, Vec::len)).collect();
    assert_eq!(sizes, [12, 6, 3, 3, 3, 3], "{sizes:?}");
}

#[tokio::test]
async fn notifications_bear_no_id_and_share_batches_with_calls() {
    let server = Server::start(good).await;
    let client = server.client();
    soon(client.notify("seen", [1])).await.unwrap();
    assert_eq!(server.asked()[0], json!({ "jsonrpc": "2.0", "method": "seen", "params": [1] }));
    let (noted, doubled) = soon(async { tokio::join!(client.notify("seen", [2]), client.call::<u64>("double", [2])) }).await;
    assert_eq!((noted.unwrap(), doubled.unwrap()), ((), 4));
    assert_eq!(server.asked()[1].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_bad_answer_in_a_batch_concerns_its_call_only() {
    let server = Server::start(|asked| {
        let (status, text) = good(asked);
        let Ok(Value::Array(mut answers)) = serde_json::from_str(&text) else { return (status, text) };
        // Reversed: the last is the first call's. It is missing, the next is there twice, and there is one of nobody.
        answers.pop();
        answers.push(answers.last().unwrap().clone());
        answers.push(json!({ "jsonrpc": "2.0", "id": 999_999, "result": 0 }));
        (status, Value::Array(answers).to_string())
    })
    .await;
    let client = server.client();
    let outcomes = soon(join_all((0..4_u64).map(|n| client.call::<u64>("double", [n])))).await;
    assert!(matches!(outcomes[0], Err(JsonRpcError::Missing { hint: None })), "{outcomes:?}");
    assert!(matches!(outcomes[1], Err(JsonRpcError::Duplicate { times: 2 })), "{outcomes:?}");
    assert!(matches!(outcomes[2..], [Ok(4), Ok(6)]), "{outcomes:?}");
}

#[tokio::test]
async fn a_server_that_takes_no_batches_is_spoken_to_singly_from_then_on() {
    for status in [200, 400] {
        let server = Server::start(move |asked| {
            if asked.is_array() {
                let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "one at a time" } });
                return (status, error.to_string());
            }
            good(asked)
        })
        .await;
        let client = server.client();
        for _ in 0..2 {
            let outcomes = soon(join_all((0..5_u64).map(|n| client.call::<u64>("double", [n])))).await;
            assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
        }
        let batches = server.asked().iter().filter(|asked| asked.is_array()).count();
        assert_eq!((batches, server.asked().len()), (1, 11));
    }
}

#[tokio::test]
async fn where_calls_of_a_refused_batch_may_have_run_they_fail_and_later_ones_go_singly() {
    let server = Server::start(|asked| if asked.is_array() { (500, "TypeError".to_owned()) } else { good(asked) }).await;
    let client = server.client();
    for outcome in soon(join_all((0..3_u64).map(|n| client.call::<u64>("double", [n])))).await {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("HTTP 500 Internal Server Error: TypeError") && !error.is_safe_to_retry(), "{error}");
    }
    for outcome in soon(join_all((0..3_u64).map(|n| client.call::<u64>("double", [n])))).await {
        outcome.unwrap();
    }
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_server_that_is_not_there_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = JsonRpcClient::builder(url).build().unwrap();
    let error = soon(client.call::<u64>("double", [1])).await.unwrap_err();
    assert!(error.is_safe_to_retry() && error.to_string().contains("nobody listens at 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_params_and_more_calls_than_may_wait_are_refused_unsent() {
    let server = Server::held(0, None, good).await;
    let client = server.client();
    let error = soon(client.call::<u64>("double", 7)).await.unwrap_err();
    assert!(error.to_string().contains("the params of double cannot be sent: they must be an object or an array"), "{error}");
    let limits = BatchLimits { max_waiting: 2, ..BatchLimits::default() };
    let client = JsonRpcClient::builder(&server.url).batches(limits).build().unwrap();
    let mut calls = Box::pin(join_all((0..3_u64).map(|n| client.call::<u64>("double", [n]))));
    assert!(poll!(calls.as_mut()).is_pending());
    server.shared.open.add_permits(1);
    let outcomes = soon(calls).await;
    assert!(matches!(outcomes[..], [Ok(0), Ok(2), Err(JsonRpcError::TooMany)]), "{outcomes:?}");
}

#[tokio::test]
async fn a_response_over_the_limit_is_not_taken() {
    let server = Server::start(|_| (200, "x".repeat(2_000))).await;
    let client = JsonRpcClient::builder(&server.url).max_response(1_000).build().unwrap();
    let error = soon(client.call::<u64>("double", [1])).await.unwrap_err();
    assert!(error.to_string().contains("the response is larger than 1000 bytes"), "{error}");
}

fn certificate() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(TlsMaterial::empty().provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

#[tokio::test]
async fn over_https_a_server_is_trusted_if_a_given_root_vouches_for_it_and_no_other() {
    let (acceptor, pem) = certificate();
    let server = Server::held(Semaphore::MAX_PERMITS, Some(acceptor), good).await;
    let client =
        JsonRpcClient::builder(&server.url).root_pem(pem.as_bytes()).header("authorization", "Bearer me").build().unwrap();
    assert_eq!(soon(client.call::<u64>("double", [4])).await.unwrap(), 8);
    assert_eq!(server.shared.headers.lock().unwrap()[0]["authorization"], "Bearer me");

    let (_, other) = certificate();
    let stranger = JsonRpcClient::builder(&server.url).root_pem(other.as_bytes()).build().unwrap();
    let error = soon(stranger.call::<u64>("double", [4])).await.unwrap_err();
    assert!(error.is_safe_to_retry() && error.to_string().contains("other end's certificate is not acceptable"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_a_client_is_refused_with_the_reason() {
    let (_, pem) = certificate();
    let build = |url: &str| JsonRpcClient::builder(url).build().unwrap_err().to_string();
    assert!(build("http://10.0.0.1/rpc").contains("plain HTTP is spoken on this machine only, so use https://"));
    assert!(build("http://localhost.example.org/rpc").contains("is not encrypted"));
    assert!(build("https://rpc.example.org").contains("no root certificate was given"));
    assert!(build("ftp://127.0.0.1").contains("it begins with neither https:// nor http://"));
    assert!(build("/rpc").contains("it names no host"));
    assert!(build("http://me:secret@127.0.0.1/").contains("send credentials by .header"));
    let root = |pem: &[u8]| JsonRpcClient::builder("https://h/").root_pem(pem).build().map(drop);
    assert!(root(b"nothing").unwrap_err().to_string().contains("holds no certificate in PEM form"));
    root(pem.as_bytes()).unwrap();
    let header = JsonRpcClient::builder("http://127.0.0.1/").header("a b", "c").build().unwrap_err();
    assert!(header.to_string().contains("\"a b\""), "{header}");
}

#[test]
fn a_client_needs_a_runtime() {
    let error = JsonRpcClient::builder("http://127.0.0.1/").build().unwrap_err();
    assert!(matches!(error, JsonRpcClientError::NoRuntime), "{error}");
}
