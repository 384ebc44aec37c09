//! Responses that are streams: lines of JSON, or Server-Sent Events, by what the request accepts.
//!
//! ```text
//! POST /rpc, Accept -> Form -> Dispatcher::open -> items -> a piece of the body for each -> how it ended
//! ```
//! Each item is fetched when the client takes it: a client that reads slowly slows the method down, on whichever node that runs, and one that
//! goes away ends it. The last piece tells how the stream ended, so that a body which was cut is told from one that is complete. While nothing comes,
//! an event stream says so from time to time: proxies close what is silent, and browsers do not notice that it is gone.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use p2p_client::{
    call::{Failure, Items},
    protocol::{ErrorCode, NDJSON, RpcError},
};
use serde::Serialize;
use tokio::time::timeout;

use crate::identity::{
    BearerRefused,
    client_token::{Standing, TokenVerifier},
};

use super::running::RunningStream;

/// The media type of Server-Sent Events.
const EVENT_STREAM: &str = "text/event-stream";
/// How long an event stream is silent at most.
const QUIET: Duration = Duration::from_secs(15);
/// Asks nginx, and those that follow it, to pass each piece on as it comes.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// In which form items are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/x-ndjson`: a JSON object in each line.
    Lines,
    /// `text/event-stream`: an event for each item.
    Events,
}

impl Form {
    /// The first of the two forms that a request names in its `Accept`, if it names one.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let named = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        named.flat_map(|value| value.split(',')).find_map(Self::named)
    }

    fn named(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next()?;
        let is_refused = parts.any(|part| {
            part.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|weight| weight == 0.0)
            })
        });
        let form = match media {
            _ if media.eq_ignore_ascii_case(NDJSON) => Self::Lines,
            _ if media.eq_ignore_ascii_case(EVENT_STREAM) => Self::Events,
            _ => return None,
        };
        (!is_refused).then_some(form)
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => NDJSON,
            Self::Events => EVENT_STREAM,
        }
    }

    /// What says that the stream goes on though there is no item; in lines of JSON nothing can.
    fn heartbeat(self) -> Option<Bytes> {
        match self {
            // A comment (HTML, 9.2.6): clients pass it over.
            Self::Events => Some(Bytes::from_static(b":\n\n")),
            Self::Lines => None,
        }
    }

    fn item(self, json: &[u8]) -> Bytes {
        let mut piece = Vec::with_capacity(json.len() + 16);
        piece.extend_from_slice(match self {
            Self::Lines => b"{\"item\":".as_slice(),
            Self::Events => b"data: ",
        });
        let begun = piece.len();
        piece.extend_from_slice(json);
        // Between the tokens of JSON a line may end; within a string it cannot.
        piece[begun..].iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        piece.extend_from_slice(match self {
            Self::Lines => b"}\n".as_slice(),
            Self::Events => b"\n\n",
        });
        piece.into()
    }

    /// How the stream ended. `id` is that of the JSON-RPC request, if it was one.
    fn end(self, id: Option<&str>, ended: Result<(), &RpcError>) -> Bytes {
        let text = match (self, ended) {
            (Self::Lines, ended) => {
                let outcome = match ended {
                    Ok(()) => "\"result\":null".to_owned(),
                    Err(error) => format!("\"error\":{}", json(error)),
                };
                match id {
                    Some(id) => format!("{{\"jsonrpc\":\"2.0\",{outcome},\"id\":{id}}}\n"),
                    None => format!("{{{outcome}}}\n"),
                }
            }
            (Self::Events, Ok(())) => "event: end\ndata: null\n\n".to_owned(),
            (Self::Events, Err(error)) => format!("event: failed\ndata: {}\n\n", json(error)),
        };
        text.into()
    }

    /// The response that sends the items on as they are taken. It counts as running until its body ends.
    pub(super) fn response(self, id: Option<String>, items: Items, running: Running) -> Response<Body> {
        let sending = Some(Sending { form: self, id, items, running });
        let pieces = stream::unfold(sending, |sending| async { Some(sending?.next().await) });
        let mut response = Response::new(Body::from_stream(pieces.map(Ok::<_, Infallible>)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type()));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
        response
    }
}

/// A stream that is open, and what its reader is told when the node stops.
pub(super) struct Running {
    pub(super) stream: RunningStream,
    pub(super) stopped: Failure,
    /// The token of the client that reads it, and who knows whether it is still good.
    pub(super) token: Option<(TokenVerifier, Standing)>,
}

impl Running {
    /// Whether its reader may have another item: not after the token by which it was opened.
    fn may_go_on(&self) -> Result<(), Failure> {
        let Some((verifier, standing)) = &self.token else { return Ok(()) };
        let ended = |refused: BearerRefused| {
            Failure::Answered(RpcError::new(ErrorCode::DENIED, format!("the stream has ended: {refused}")))
        };
        verifier.still_good(standing).map_err(ended)
    }
}

/// A stream that is being sent.
struct Sending {
    form: Form,
    id: Option<String>,
    items: Items,
    running: Running,
}

impl Sending {
    /// The next piece of the body, and what sends the one after it.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        let heard = {
            let (form, items) = (self.form, &mut self.items);
            self.running.stream.unless_ended(hear(form, items)).await
        };
        let over = self.running.may_go_on().err().filter(|_| matches!(heard, Some(Heard::Nothing(_) | Heard::Item(_))));
        let heard = over.map_or(heard, |over| Some(Heard::Item(Err(over))));
        let failure = match heard {
            Some(Heard::Nothing(heartbeat)) => return (heartbeat, Some(self)),
            Some(Heard::Item(Ok(json))) => return (self.form.item(&json), Some(self)),
            Some(Heard::End) => return (self.form.end(self.id.as_deref(), Ok(())), None),
            Some(Heard::Item(Err(failure))) => failure,
            None => self.running.stopped.clone(),
        };
        (self.form.end(self.id.as_deref(), Err(&failure.into_rpc())), None)
    }
}

/// What came of waiting for an item.
enum Heard {
    Item(Result<Bytes, Failure>),
    End,
    /// Nothing yet, and this is to be said meanwhile.
    Nothing(Bytes),
}

async fn hear(form: Form, items: &mut Items) -> Heard {
    let next = match form.heartbeat() {
        None => items.next().await,
        Some(heartbeat) => match timeout(QUIET, items.next()).await {
            Ok(next) => next,
            Err(_) => return Heard::Nothing(heartbeat),
        },
    };
    next.map_or(Heard::End, Heard::Item)
}

/// An error's JSON, which cannot fail: its `data` is JSON already.
fn json(error: &impl Serialize) -> String {
    let text = serde_json::to_string(error).unwrap_or_else(|_| "null".to_owned());
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;
    use p2p_client::protocol::UnixMillis;
    use tokio::{sync::mpsc, time::Instant};

    use super::{super::running::RunningRequests, *};
    use crate::identity::{
        Clock,
        client_token::{KeyRing, RevokedTokens},
        tests::{cluster, ledger},
    };

    /// A body that sends what the sender is given.
    fn quiet(form: Form) -> (mpsc::UnboundedSender<Result<Bytes, Failure>>, RunningRequests, Body) {
        opened_by(form, None)
    }

    /// The same, for a client with a token.
    fn opened_by(
        form: Form,
        token: Option<(TokenVerifier, Standing)>,
    ) -> (mpsc::UnboundedSender<Result<Bytes, Failure>>, RunningRequests, Body) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let items = stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed();
        let requests = RunningRequests::new();
        let stopped = Failure::Lost("the node is stopping and has ended the stream".to_owned());
        let running = Running { stream: requests.stream(requests.enter().unwrap()), stopped, token };
        (sender, requests, form.response(None, items, running).into_body())
    }

    async fn piece(body: &mut Body) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_that_is_quiet_says_every_15_s_that_it_goes_on() {
        let (items, _requests, mut body) = quiet(Form::Events);
        let began = Instant::now();
        for beats in 1..=2 {
            assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
            assert_eq!(began.elapsed(), beats * Duration::from_secs(15));
        }
        items.send(Ok(Bytes::from_static(b"1"))).unwrap();
        assert_eq!(piece(&mut body).await.unwrap(), "data: 1\n\n");
        drop(items);
        assert_eq!(piece(&mut body).await.unwrap(), "event: end\ndata: null\n\n");
        assert_eq!(piece(&mut body).await, None);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_stream_that_a_token_opened_ends_when_that_expires_or_is_revoked() {
        const TOKEN: &str = "0123456789abcdef.0123456789abcdef0123456789abcdef";
        let (coordinator, vault) = cluster();
        let ledger = ledger(&coordinator, &vault);
        let clock: Clock = Arc::new(UnixMillis::now);
        let revoked = RevokedTokens::new(ledger.clone());
        let verifier = TokenVerifier::new(coordinator.peer().cluster.clone(), KeyRing::default(), revoked.clone(), clock);
        let later = UnixMillis(UnixMillis::now().0 + 600_000);
        for (standing, why) in [
            (Standing::of(TOKEN, "coordinator", UnixMillis(1_000)), "expired"),
            (Standing::of(TOKEN, "coordinator", later), "revoked"),
        ] {
            let (items, _requests, mut body) = opened_by(Form::Lines, Some((verifier.clone(), standing)));
            items.send(Ok(Bytes::from_static(b"1"))).unwrap();
            if why == "revoked" {
                assert_eq!(piece(&mut body).await.unwrap(), "{\"item\":1}\n", "it is good at first");
                revoked.revoke(TOKEN, later).await.unwrap();
                items.send(Ok(Bytes::from_static(b"2"))).unwrap();
            }
            let last = String::from_utf8(piece(&mut body).await.unwrap().into()).unwrap();
            assert!(last.contains("the stream has ended") && last.contains(why) && !last.contains("item"), "{last}");
            assert_eq!(piece(&mut body).await, None);
            assert!(items.is_closed(), "the method is told that nobody listens");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_say_nothing_while_there_is_nothing() {
        let (_items, _requests, mut body) = quiet(Form::Lines);
        assert!(timeout(Duration::from_hours(1), piece(&mut body)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_that_is_ended_says_that_it_failed() {
        let (_items, requests, mut body) = quiet(Form::Events);
        assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
        requests.end_streams();
        let last = String::from_utf8(piece(&mut body).await.unwrap().into()).unwrap();
        assert!(last.starts_with("event: failed\n") && last.contains("the node is stopping and has ended the stream"), "{last}");
        assert_eq!(piece(&mut body).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_whose_client_goes_away_ends() {
        let (items, _requests, mut body) = quiet(Form::Events);
        assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
        drop(body);
        items.closed().await;
    }

    fn accepted(values: &[&'static str]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        Form::accepted(&headers)
    }

    #[test]
    fn the_first_form_that_is_named_is_taken_and_a_wildcard_names_none() {
        for (values, form) in [
            (&["application/x-ndjson"][..], Some(Form::Lines)),
            (&["text/event-stream"], Some(Form::Events)),
            (&["application/json, Text/Event-Stream;q=0.9"], Some(Form::Events)),
            (&["application/json", "application/x-ndjson"], Some(Form::Lines)),
            (&["text/event-stream, application/x-ndjson"], Some(Form::Events)),
            (&["text/event-stream;q=0, application/x-ndjson"], Some(Form::Lines)),
            (&["application/x-ndjson; Q=0.0"], None),
            (&["*/*"], None),
            (&["application/json"], None),
            (&[], None),
        ] {
            assert_eq!(accepted(values), form, "{values:?}");
        }
    }

    #[test]
    fn an_item_is_one_line_whatever_white_space_is_in_it() {
        assert_eq!(Form::Lines.item(b"{\n \"a\":\r\n1}"), "{\"item\":{  \"a\":  1}}\n");
        assert_eq!(Form::Events.item(b"[\n1]"), "data: [ 1]\n\n");
    }

    #[test]
    fn a_good_end_and_a_bad_one_differ_in_each_form() {
        let error = RpcError::new(ErrorCode::INTERNAL, "no more");
        for (form, id, good, bad) in [
            (
                Form::Lines,
                Some("\"x\""),
                "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":\"x\"}\n",
                "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":\"no more\"},\"id\":\"x\"}\n",
            ),
            (Form::Lines, None, "{\"result\":null}\n", "{\"error\":{\"code\":-32603,\"message\":\"no more\"}}\n"),
            (
                Form::Events,
                Some("1"),
                "event: end\ndata: null\n\n",
                "event: failed\ndata: {\"code\":-32603,\"message\":\"no more\"}\n\n",
            ),
        ] {
            assert_eq!(form.end(id, Ok(())), good);
            assert_eq!(form.end(id, Err(&error)), bad);
        }
    }
}
