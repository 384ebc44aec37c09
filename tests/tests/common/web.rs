//! HTTPS clients of a node: as anonymous, as a node, and as the operator on the node's own socket.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use h2::Ping;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, Full};
use p2p_client::{
    protocol::ErrorCode,
    wire::{
        http::{Lost, RequestLimits, SendFailure, one_shot},
        net::{BoxStream, Network},
        tls::{ALPN_H2, ALPN_HTTP1, ChannelBinding, ClientTls, Expect, TlsError, TlsMaterial},
    },
};
use p2p_runtime::node::Node;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::{identity, soon};

/// Sends requests to one node.
#[derive(Clone)]
pub(crate) struct Web {
    way: Way,
    /// Added to every request.
    headers: Vec<(&'static str, String)>,
    /// By HTTP/2 instead of HTTP/1.1.
    is_http2: bool,
}

#[derive(Clone)]
enum Way {
    Tls { network: Arc<dyn Network>, authority: String, tls: ClientTls },
    Socket(PathBuf),
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Web {
    /// Nobody: trusts the cluster's root, and shows no certificate.
    pub(crate) fn anonymous(network: impl Network, node: &Node) -> Self {
        let tls = ClientTls::new(TlsMaterial::trusting(identity(node).root().clone()));
        Self::with_tls(network, node, tls)
    }

    /// With the certificate of `as_node`.
    pub(crate) fn node(network: impl Network, node: &Node, as_node: &Node) -> Self {
        Self::with_tls(network, node, identity(as_node).client_tls())
    }

    /// A client with a token.
    pub(crate) fn client(network: impl Network, node: &Node, token: &str) -> Self {
        Self::anonymous(network, node).header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn with_tls(network: impl Network, node: &Node, tls: ClientTls) -> Self {
        Self {
            way: Way::Tls { network: Arc::new(network), authority: node.authority(), tls },
            headers: Vec::new(),
            is_http2: false,
        }
    }

    /// The operator of the node with this folder.
    pub(crate) fn operator(dir: impl Into<PathBuf>) -> Self {
        Self { way: Way::Socket(dir.into().join("p2p.sock")), headers: Vec::new(), is_http2: false }
    }

    /// The same by HTTP/2: over TLS only. A stream that is reset has no answer here, whatever came before, as with some clients of others.
    pub(crate) fn over_http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }

    /// The same, with a header on every request.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn protocol(&self) -> &'static [u8] {
        if self.is_http2 { ALPN_H2 } else { ALPN_HTTP1 }
    }

    /// A connection on which a request can be sent.
    pub(crate) async fn connect(&self) -> Result<BoxStream, TlsError> {
        match &self.way {
            Way::Tls { network, authority, tls } => {
                let stream = soon(network.connect(authority)).await.unwrap();
                Ok(Box::new(soon(tls.connect(stream, Expect::AnyNode, &[self.protocol()])).await?))
            }
            Way::Socket(path) => Ok(Box::new(UnixStream::connect(path).await.unwrap())),
        }
    }

    pub(crate) async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<Answer, SendFailure> {
        self.send_on(self.connect().await.unwrap(), request).await
    }

    async fn send_on(&self, stream: BoxStream, mut request: Request<Full<Bytes>>) -> Result<Answer, SendFailure> {
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let response = if self.is_http2 {
            soon(by_http2(stream, request)).await.map_err(|error| Lost::Broken(Arc::new(error)))?
        } else {
            soon(one_shot(stream, request, RequestLimits::default())).await?
        };
        let (head, body) = response.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_send(Request::get(path).body(Full::default()).unwrap()).await.unwrap()
    }

    /// A form, as OAuth 2.0 has it.
    pub(crate) async fn form(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.try_send(request.body(Full::new(form.to_owned().into())).unwrap()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(path).header("content-type", "application/json").body(Full::new(body.into())).unwrap();
        self.try_send(request).await.unwrap()
    }

    /// The same with a body that is made for the connection on which it goes: over TLS only.
    pub(crate) async fn post_bound(&self, path: &str, body: impl FnOnce(&ChannelBinding) -> Vec<u8>) -> Answer {
        let Way::Tls { network, authority, tls } = &self.way else { panic!("a socket has no channel") };
        let stream = soon(network.connect(authority)).await.unwrap();
        let stream = soon(tls.connect(stream, Expect::AnyNode, &[self.protocol()])).await.unwrap();
        let body = body(&ChannelBinding::of_client(&stream).unwrap());
        let request = Request::post(path).header("content-type", "application/json").body(Full::new(body.into())).unwrap();
        self.send_on(Box::new(stream), request).await.unwrap()
    }

    /// A JSON-RPC request in these very bytes.
    pub(crate) async fn rpc(&self, body: impl Into<Bytes>) -> Answer {
        self.post("/rpc", body).await
    }

    /// One call by JSON-RPC: its result, or its error's code and message.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, (i64, String)> {
        self.call_at("/rpc", method, params).await
    }

    /// The same to `/rpc` with a query.
    pub(crate) async fn call_at(&self, path: &str, method: &str, params: Value) -> Result<Value, (i64, String)> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = self.post(path, body).await.json();
        match answer.get("error") {
            None => Ok(answer["result"].clone()),
            Some(error) => Err((error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())),
        }
    }

    /// Whether a request is answered at this moment: neither where nobody listens or the connection is refused, nor while there are no routes.
    pub(crate) async fn is_answered(&self) -> bool {
        let Way::Tls { network, authority, tls } = &self.way else { panic!("a socket is not asked") };
        let Ok(stream) = soon(network.connect(authority)).await else { return false };
        let Ok(stream) = soon(tls.connect(stream, Expect::AnyNode, &[ALPN_HTTP1])).await else { return false };
        let request = Request::get("/health").body(Full::default()).unwrap();
        self.send_on(Box::new(stream), request).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Whether the node still does its work.
    pub(crate) async fn is_served(&self) -> bool {
        let health = self.get("/health").await;
        health.status == 200 && health.json()["status"] == "healthy"
    }
}

/// Sends a request: its head, and its body once the node has seen that.
async fn by_http2(stream: BoxStream, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, h2::Error> {
    let (requests, mut connection) = h2::client::handshake(stream).await?;
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    head.uri = Uri::builder().scheme("https").authority("node").path_and_query(head.uri.to_string()).build().unwrap();
    let body = body.collect().await.unwrap().to_bytes();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let (response, mut send) = requests.ready().await?.send_request(Request::from_parts(head, ()), body.is_empty())?;
    if !body.is_empty() {
        pings.ping(Ping::opaque()).await?;
        send.send_data(body, true)?;
    }
    let (head, mut body) = response.await?.into_parts();
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(Response::from_parts(head, whole.into()))
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The code and the message of the error that it holds.
    pub(crate) fn error(&self) -> (i64, String) {
        let json = self.json();
        let error = &json["error"];
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }
}

/// The error of this code whose message contains all of these.
#[track_caller]
pub(crate) fn assert_error<T: std::fmt::Debug>(outcome: Result<T, (i64, String)>, code: ErrorCode, said: &[&str]) {
    let (got, message) = outcome.expect_err("it should have been refused");
    assert_eq!(got, code.0, "{message}");
    for part in said {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}
