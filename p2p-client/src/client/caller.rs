//! [`ClientCaller`]: what stands below the proxies of a client.
//!
//! Where a call goes is settled by the node that is asked: here it is only written down, in the header `p2p-on`. What is resolved here is which of the
//! [endpoints](Endpoints) is asked; whether another is tried after it decides the call, as ever.

use std::{borrow::Cow, collections::BTreeMap, fmt, future::ready, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use http_body_util::Full;

use super::{
    BearerToken,
    dial::RootedDial,
    endpoints::{Endpoint, Endpoints},
};
use crate::{
    call::{AskingAll, Failure, Head, Opened, Opening, Sending},
    protocol::{Access, CallerId, ErrorCode, Many, NodeAnswer, NodeId, One, RpcError, Target, headers},
    proxy::{Caller, Leg, Peer, Route},
    service::Trace,
    wire::{
        pool::{HttpPool, PoolConfig},
        rpc::{self, Exchange, hopeless},
    },
};

/// How much of a stream may be on its way, in bytes: the method waits while that is not taken.
const STREAM_WINDOW: u32 = 64 << 10;
/// So many streams may stand still on a connection, and the next one still moves: as many as a node lets there be.
const STREAMS: u32 = 1_024;
/// The longest target that is sent, in bytes; a node takes headers of 16 KiB in all.
const MAX_ON: usize = 8 << 10;
/// How long the answers of a fan-out are waited for after the time that each node has: some may have come in time where others did not.
const GATHERING: Duration = Duration::from_secs(1);

/// Each node's answer to a fan-out.
type AllAnswers = Vec<(NodeId, Result<Bytes, Failure>)>;

/// Sends the calls of a client.
pub(super) struct ClientCaller {
    /// What failures are told by that concern no node.
    me: NodeId,
    endpoints: Endpoints,
    calls: HttpPool,
    /// Connections of their own, so that streams which nobody reads hold no call up.
    streams: HttpPool,
    token: ArcSwapOption<BearerToken>,
}

impl ClientCaller {
    pub(super) fn new(endpoints: Vec<Endpoint>, dial: RootedDial, token: Option<BearerToken>) -> Self {
        let dial = Arc::new(dial);
        let for_streams =
            PoolConfig { response_window: STREAM_WINDOW, connection_window: STREAM_WINDOW * STREAMS, ..PoolConfig::default() };
        Self {
            me: NodeId::known("client"),
            endpoints: Endpoints::new(endpoints),
            calls: HttpPool::new(dial.clone()),
            streams: HttpPool::with_config(dial, for_streams),
            token: ArcSwapOption::new(token.map(Arc::new)),
        }
    }

    pub(super) fn set_token(&self, token: Option<BearerToken>) {
        self.token.store(token.map(Arc::new));
    }

    /// The request of a call: its target, and the client's token.
    fn request(&self, head: &Head, params: &[u8]) -> Result<Request<Full<Bytes>>, Failure> {
        if head.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str())) {
            let text =
                "the header authorization is the client's own; give it the token by .token(…) as it is built, or by set_token(…)";
            return Err(hopeless(text.to_owned()));
        }
        let mut request = rpc::request(head, true, head.trace().unwrap_or_else(Trace::begin), params)?;
        if let Some(on) = on(&head.target)? {
            request.headers_mut().insert(headers::ON, on);
        }
        if let Some(token) = &*self.token.load() {
            request.headers_mut().insert(AUTHORIZATION, token.header());
        }
        Ok(request)
    }

    fn whom<'a>(&'a self, to: &'a Peer) -> Whom<'a> {
        Whom(self.endpoints.of(to).map_or(&to.authority, Endpoint::url))
    }

    async fn call(&self, head: &Head, to: &Peer, params: &[u8]) -> Result<Bytes, Failure> {
        let request = self.request(head, params)?;
        let answer = Exchange { pool: &self.calls, to, whom: &self.whom(to), head }.answer(request).await;
        self.learn(&self.calls, head, to, answer)
    }

    async fn open_stream(&self, head: &Head, to: &Peer, params: &[u8]) -> Result<Opened, Failure> {
        let request = self.request(head, params)?;
        let opened = Exchange { pool: &self.streams, to, whom: &self.whom(to), head }.open(request).await;
        self.learn(&self.streams, head, to, opened)
    }

    /// Asks all nodes that fit, by one request to an endpoint; to another, where that may be.
    async fn fan_out(&self, mut head: Head, params: &[u8]) -> Result<AllAnswers, Failure> {
        let mut failed = None;
        loop {
            let Some(to) = self.endpoints.next(&head.tried).cloned() else {
                return Err(failed.unwrap_or_else(nobody_left));
            };
            match self.gather(&head, &to, params).await {
                Ok(json) => return answers(&json, &self.whom(&to)),
                // As it is for a node that asks: nobody fits, and nobody was asked, unless a request before this one got further.
                Err(Failure::Answered(error)) if error.code == ErrorCode::NO_ROUTE => {
                    return failed.filter(|lost| !lost.surely_not_run()).map_or_else(|| Ok(Vec::new()), Err);
                }
                Err(failure) => drop(head.elsewhere(self, to, failure, &mut failed).await?),
            }
        }
    }

    /// One request for the answers of all. Each node has the call's time; the answers have a little more, to come together.
    async fn gather(&self, head: &Head, to: &Peer, params: &[u8]) -> Result<Bytes, Failure> {
        let request = self.request(head, params)?;
        let patient = Head { deadline: head.deadline + GATHERING, ..head.clone() };
        let answer = Exchange { pool: &self.calls, to, whom: &self.whom(to), head: &patient }.answer(request).await;
        self.learn(&self.calls, head, to, answer)
    }

    /// What an answer, or its absence, says of the endpoint; and what the caller is told.
    fn learn<T>(&self, pool: &HttpPool, head: &Head, to: &Peer, answer: Result<T, Failure>) -> Result<T, Failure> {
        let failure = match answer {
            Ok(answer) => {
                self.endpoints.took(to);
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        Err(match failure {
            Failure::NotSent(reason) => Failure::NotSent(self.endpoints.refused(to, reason, &head.tried)),
            Failure::Answered(error) if error.code == ErrorCode::UNAVAILABLE => {
                let reason = format!("{}: {}", self.whom(to), error.message);
                Failure::NotSent(self.endpoints.refused(to, reason, &head.tried))
            }
            Failure::Answered(error) if error.code == ErrorCode::RATE_LIMITED => {
                self.endpoints.note(to, &format!("{}: {}", self.whom(to), error.message));
                Failure::Answered(error)
            }
            Failure::Answered(error) if error.code == ErrorCode::DENIED => Failure::Answered(self.denied(error, head)),
            lost @ Failure::Lost(_) => {
                self.endpoints.avoid(to);
                lost
            }
            // Nobody answers there, else the node would have said so.
            late @ Failure::Deadline(_) if !pool.connected().contains(&to.node_id) => {
                self.endpoints.avoid(to);
                late
            }
            other => other,
        })
    }

    /// A refusal, and what a token would change about it.
    fn denied(&self, mut error: RpcError, head: &Head) -> RpcError {
        if self.token.load().is_none() {
            let help: Cow<'_, str> = match head.method.spec().map(|spec| &spec.access) {
                Some(Access::Public) => "one that the cluster issued, given by .token(…), lets it call this".into(),
                Some(Access::Scope(scope)) => {
                    format!("one with the scope {scope:?}, given by .token(…), lets it call this").into()
                }
                Some(Access::Nodes | Access::Role(_)) => {
                    "none would open this, which is not for clients; call a method that is public, or has a scope".into()
                }
                Some(Access::Anonymous) | None => ".token(…) gives it one, for methods that are for clients".into(),
            };
            error.message = format!("{}; this client sends no token: {help}", error.message);
        }
        error
    }
}

/// An endpoint as callers are told of it.
struct Whom<'a>(&'a str);

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The target as a header; none for any node.
fn on(target: &Target) -> Result<Option<HeaderValue>, Failure> {
    let text = match target {
        Target::One(One::Any) => return Ok(None),
        // Nobody calls from outside but the client, so that all nodes are others.
        Target::Many(Many::Others) => Many::All.to_string(),
        other => other.to_string(),
    };
    let is_read_so = text.parse().is_ok_and(|read: Target| read == *target || *target == Target::Many(Many::Others));
    let Some(value) = HeaderValue::try_from(&text).ok().filter(|_| is_read_so) else {
        let form = "a node id looks like \"worker-123\", a capability has 1 to 63 printable characters without spaces and commas";
        return Err(Failure::NoRoute(format!("no node can fit {text:?}; {form}")));
    };
    if text.len() > MAX_ON {
        let text = "so many nodes cannot be named in one call; name a role or a capability, or make several calls";
        return Err(hopeless(text.to_owned()));
    }
    Ok(Some(value))
}

/// The answers of a fan-out.
fn answers(json: &[u8], from: &Whom<'_>) -> Result<AllAnswers, Failure> {
    let answers: BTreeMap<NodeId, NodeAnswer> = serde_json::from_slice(json)
        .map_err(|error| Failure::Lost(format!("{from}: its answers of many nodes cannot be read: {error}")))?;
    let of_one = |answer| match answer {
        NodeAnswer::Result(json) => Ok(Bytes::from(Box::<str>::from(json).into_boxed_bytes())),
        NodeAnswer::Error(error) => Err(Failure::Answered(error)),
    };
    Ok(answers.into_iter().map(|(node, answer)| (node, of_one(answer))).collect())
}

/// What nobody is told: a client has one endpoint at least, whose failure comes first.
fn nobody_left() -> Failure {
    Failure::NotSent("no endpoint is left to be tried".to_owned())
}

impl Caller for ClientCaller {
    fn node_id(&self) -> &NodeId {
        &self.me
    }

    fn identity(&self) -> &CallerId {
        &CallerId::Anonymous
    }

    fn resolve(&self, head: &Head) -> Result<Route, Failure> {
        on(&head.target)?;
        self.endpoints.next(&head.tried).cloned().map(Route::Peer).ok_or_else(nobody_left)
    }

    /// Unused, as [`ask_all`](Self::ask_all) answers.
    fn resolve_all(&self, _: &Head) -> Result<Vec<Leg>, Failure> {
        Err(Failure::NoRoute("a client outside of the cluster does not know its nodes; have its caller ask_all".to_owned()))
    }

    fn ask_all(self: Arc<Self>, head: &Head, params: &Bytes) -> Option<AskingAll> {
        if matches!(&head.target, Target::Many(Many::Nodes(ids)) if ids.is_empty()) {
            return Some(Box::pin(ready(Ok(Vec::new()))));
        }
        let (head, params) = (head.clone(), params.clone());
        Some(Box::pin(async move { self.fan_out(head, &params).await }))
    }

    fn send<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Sending<'a> {
        let sending: BoxFuture<'a, _> = Box::pin(self.call(head, to, body));
        sending.into()
    }

    fn open<'a>(&'a self, head: &'a Head, to: &'a Peer, body: &'a [u8]) -> Opening<'a> {
        Box::pin(self.open_stream(head, to, body))
    }
}

impl fmt::Debug for ClientCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_token = self.token.load().is_some();
        f.debug_struct("Client").field("endpoints", &self.endpoints).field("has_token", &has_token).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{
        call::{Headers, MethodRef},
        protocol::{Capability, Role},
    };

    fn sent(target: impl Into<Target>) -> Result<Option<String>, Failure> {
        on(&target.into()).map(|value| value.map(|value| value.to_str().unwrap().to_owned()))
    }

    fn node(id: &str) -> NodeId {
        id.parse().unwrap()
    }

    #[test]
    fn a_target_is_sent_as_it_is_written_and_any_is_not_sent() {
        assert_eq!(sent(One::Any).unwrap(), None);
        for (target, text) in [
            (Target::One("worker-1".into()), "node=worker-1"),
            (Target::One(Role::Worker.into()), "role=worker"),
            (Target::Many(Capability::from("gpu").into()), "all,capability=gpu"),
            (Target::Many(Many::Others), "all"),
            (Target::Many([node("a"), node("b")].into()), "all,node=a,node=b"),
        ] {
            assert_eq!(sent(target).unwrap().as_deref(), Some(text));
        }
    }

    #[test]
    fn what_can_be_no_nodes_is_not_sent_to_be_read_as_something_else() {
        for target in [
            Target::One("Not An Id".into()),
            Target::One(Capability::from("gpu,node=worker-1").into()),
            Target::Many(Capability::from("two words").into()),
            Target::One(Capability::from("größer\n").into()),
        ] {
            let failure = sent(target).unwrap_err();
            assert!(matches!(&failure, Failure::NoRoute(said) if said.contains("no node can fit")), "{failure}");
        }
        let many: Vec<NodeId> = (0..1_000).map(|number| node(&format!("worker-{number}"))).collect();
        let failure = sent(Many::from(many)).unwrap_err();
        assert!(failure.to_string().contains("name a role or a capability"), "{failure}");
    }

    fn client(token: Option<&str>) -> ClientCaller {
        let network = Arc::new(crate::wire::net::TcpNetwork);
        let dial = RootedDial::new(network, crate::wire::tls::RootKeyHash::new([7; 32]));
        let endpoints = vec![Endpoint::new(0, "https://10.0.0.5:8001").unwrap()];
        ClientCaller::new(endpoints, dial, token.map(|token| BearerToken::new(token).unwrap()))
    }

    fn head(target: Target) -> Head {
        let now = Instant::now();
        Head {
            method: MethodRef::Named(Arc::new(("a".to_owned(), "b".to_owned()))),
            target,
            deadline: now + Duration::from_secs(5),
            began: now,
            chain: None,
            headers: Headers::default(),
            tried: Vec::new(),
            is_first_try: true,
            room: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_says_where_it_goes_how_long_it_may_take_and_who_asks() {
        let client = client(Some("first.token"));
        let request = client.request(&head(Target::One(Role::Worker.into())), b"{}").unwrap();
        let sent = request.headers();
        assert_eq!(request.uri().path(), "/rpc");
        assert_eq!((sent[headers::ON].as_bytes(), sent[headers::TIMEOUT_MS].as_bytes()), (&b"role=worker"[..], &b"5000"[..]));
        assert!(sent[headers::TRACEPARENT].to_str().unwrap().parse::<Trace>().is_ok());
        assert_eq!(sent[AUTHORIZATION], "Bearer first.token");
        assert!(sent[AUTHORIZATION].is_sensitive() && !format!("{request:?} {client:?}").contains("first.token"));

        client.set_token(Some(BearerToken::new("second").unwrap()));
        assert_eq!(client.request(&head(Target::One(One::Any)), b"{}").unwrap().headers()[AUTHORIZATION], "Bearer second");
        client.set_token(None);
        let request = client.request(&head(Target::One(One::Any)), b"{}").unwrap();
        assert!(!request.headers().contains_key(AUTHORIZATION) && !request.headers().contains_key(headers::ON));
    }

    #[test]
    fn answers_of_many_are_read_as_they_are_and_all_else_is_lost() {
        let from = Whom("https://a");
        let json = br#"{"b":{"error":{"code":-32001,"message":"no"}},"a":{"result":{"x": null}}}"#;
        let read = answers(json, &from).unwrap();
        assert_eq!(read[0].0.as_str(), "a");
        assert_eq!(read[0].1.as_deref().unwrap(), br#"{"x": null}"#);
        assert!(matches!(&read[1].1, Err(Failure::Answered(error)) if error.code == ErrorCode::DENIED));
        for bad in ["3", r#"{"a":{}}"#, r#"{"a":{"result":1,"error":2}}"#, r#"{"Not An Id":{"result":1}}"#] {
            let failure = answers(bad.as_bytes(), &from).unwrap_err();
            assert!(matches!(&failure, Failure::Lost(said) if said.starts_with("https://a: ")), "{bad}: {failure}");
        }
    }
}
