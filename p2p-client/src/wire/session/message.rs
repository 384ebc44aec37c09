//! Messages: JSON-RPC 2.0 as it is spoken on a session.
//!
//! Requests and responses are those of the specification; ids are numbers, and grow. A request has a few members more, which
//! over HTTP are headers. The last member of a request is `params`, the last of a response `result` or `error`. Each message is
//! written in one fixed form, which is read straight from the bytes; any other order or spacing is read by serde_json, and
//! means the same.
//!
//! | message | is |
//! |---|---|
//! | `{"jsonrpc":"2.0","id":65536,"method":"kv/get","timeout_ms":5000,"traceparent":"00-…","params":{…}}` | a call; `timeout_ms` and `traceparent` may be missing, `caller`, `origin` and `credit` may follow them |
//! | `{"jsonrpc":"2.0","id":65536,"result":…}`, `…"error":{…}}` | its answer |
//! | `{"jsonrpc":"2.0","method":"$/cancel","params":{"id":65536}}` | nobody waits for the answer any more (it is owed all the same) |
//! | `$/open {id}` | the call has opened a stream, whose items follow |
//! | `$/item {id, item}`, `$/credit {id, n}` | one item of a stream; leave to send `n` more |
//! | `$/body {id, ticket, size}` | the answer is large, and waits to be fetched |
//! | `$/goaway {taken, reason}` | no further call is taken; of those sent, the first `taken` were |

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{protocol::RpcError, service::Trace};

use super::frame::write_frame;

/// A message that came in.
#[derive(Debug)]
pub enum Message {
    /// A call.
    Call(Incoming),
    /// The answer to a call of ours.
    Answer {
        /// Which call.
        id: u64,
        /// How it ended.
        answer: Answer,
    },
    /// The stream that we asked for is open: its items follow.
    Open {
        /// The call that opened it.
        id: u64,
    },
    /// An item of a stream that we opened.
    Item {
        /// The call that opened it.
        id: u64,
        /// The item's JSON.
        item: Bytes,
    },
    /// Leave to send more items of a stream.
    Credit {
        /// The call that opened it.
        id: u64,
        /// How many more.
        n: u32,
    },
    /// Nobody waits any more for the answer of a call.
    Cancel {
        /// Which call.
        id: u64,
    },
    /// The other end takes no further calls.
    GoAway {
        /// How many of the calls that were sent to it were taken.
        taken: u64,
        /// Why, for people.
        reason: String,
    },
    /// A notification of a later version (`$/…`), which may be passed over.
    Unknown,
}

/// How a call ended at the other end.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With a result, as JSON. (It lies in the message, and has yet to be decoded.)
    Result(Bytes),
    /// With a result that is too large for the session, and waits to be fetched.
    Body {
        /// By what it is fetched.
        ticket: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// With an error.
    Error(RpcError),
}

/// A call that came in.
#[derive(Debug)]
pub struct Incoming {
    /// Its id, by which it is answered.
    pub id: u64,
    frame: Bytes,
    method: Text,
    params: Option<Range<usize>>,
    /// How long its caller waits from now on, if it says so.
    pub timeout: Option<Duration>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// Whether the peer sends it in nobody's name.
    pub is_anonymous: bool,
    /// Who began the chain of calls.
    pub origin: Option<Arc<str>>,
    /// How many items its caller takes, if it wants a stream.
    pub credit: Option<u32>,
}

/// A text in a frame, or beside it where it had escapes in it.
#[derive(Debug)]
enum Text {
    Span(Range<usize>),
    Owned(String),
}

impl Incoming {
    /// The path of the method.
    pub fn method(&self) -> &str {
        match &self.method {
            Text::Span(span) => self.text(span),
            Text::Owned(text) => text,
        }
    }

    /// The JSON of the params.
    pub fn params(&self) -> Option<&str> {
        self.params.as_ref().map(|span| self.text(span))
    }

    /// Gives up what the message was read with: a message is a part of what came in at once, all of which is kept for as long as the part is.
    pub fn detach(&mut self) {
        self.frame = Bytes::copy_from_slice(&self.frame);
    }

    /// The spans were found in text, on its boundaries.
    fn text(&self, span: &Range<usize>) -> &str {
        self.frame.get(span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Why a message cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is not text.
    #[error("a message is not UTF-8")]
    NotUtf8,
    /// It is not JSON, or not JSON-RPC 2.0 as sessions speak it.
    #[error("a message is no JSON-RPC 2.0: {0}")]
    NotJsonRpc(String),
}

impl Message {
    /// Reads the message of a frame.
    ///
    /// # Errors
    /// [`MessageError`]
    pub fn parse(frame: Bytes) -> Result<Self, MessageError> {
        let text = std::str::from_utf8(&frame).map_err(|_| MessageError::NotUtf8)?;
        match Fast::parse(text) {
            Some(Fast::Answer { id, result }) => Ok(Self::Answer { id, answer: Answer::Result(part(frame, &result)) }),
            Some(Fast::Call { id, timeout, method, trace, params }) => Ok(Self::Call(Incoming {
                id,
                frame,
                method: Text::Span(method),
                params: Some(params),
                timeout,
                trace,
                is_anonymous: false,
                origin: None,
                credit: None,
            })),
            None => Loose::parse(&frame, text),
        }
    }
}

/// What is read straight from the bytes: the two messages of which there are millions.
enum Fast {
    Call { id: u64, method: Range<usize>, timeout: Option<Duration>, trace: Option<Trace>, params: Range<usize> },
    Answer { id: u64, result: Range<usize> },
}

const BEGIN: &str = r#"{"jsonrpc":"2.0","id":"#;
const METHOD: &str = r#","method":""#;
const TIMEOUT: &str = r#","timeout_ms":"#;
const TRACE: &str = r#","traceparent":""#;
const CALLER: &str = r#","caller":"anonymous""#;
const ORIGIN: &str = r#","origin":"#;
const CREDIT: &str = r#","credit":"#;
const PARAMS: &str = r#","params":"#;
const RESULT: &str = r#","result":"#;
const ERROR: &str = r#","error":"#;

impl Fast {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(BEGIN)?;
        let (id, rest) = number(rest)?;
        // What follows is the last member: it ends one byte before the message does.
        let last = |rest: &str| (text.len() - rest.len())..(text.len() - 1);
        if !text.ends_with('}') {
            return None;
        }
        if let Some(result) = rest.strip_prefix(RESULT) {
            return Some(Self::Answer { id, result: last(result) }).filter(|_| result.len() > 1);
        }
        let rest = rest.strip_prefix(METHOD)?;
        let begin = text.len() - rest.len();
        let end = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        let method = begin..begin + end;
        let mut rest = rest[end..].strip_prefix('"')?;
        let mut timeout = None;
        if let Some(after) = rest.strip_prefix(TIMEOUT) {
            let (ms, after) = number(after)?;
            timeout = Some(Duration::from_millis(ms));
            rest = after;
        }
        let mut trace = None;
        if let Some(after) = rest.strip_prefix(TRACE) {
            trace = Some(after.get(..Trace::TEXT_LEN)?.parse().ok()?);
            rest = after[Trace::TEXT_LEN..].strip_prefix('"')?;
        }
        let params = rest.strip_prefix(PARAMS)?;
        Some(Self::Call { id, method, timeout, trace, params: last(params) }).filter(|_| params.starts_with(['{', '[']))
    }
}

/// Reads an integer as JSON writes it, if it is short enough to be one of ours.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take(19).take_while(u8::is_ascii_digit).count();
    let value = text.as_bytes()[..digits].iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    let well_formed =
        digits > 0 && (digits == 1 || !text.starts_with('0')) && !text[digits..].starts_with(|c: char| c.is_ascii_digit());
    well_formed.then(|| (value, &text[digits..]))
}

/// A message in any form that JSON allows.
#[derive(Deserialize)]
struct Loose<'a> {
    jsonrpc: crate::protocol::envelope::Version,
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    timeout_ms: Option<u64>,
    #[serde(borrow)]
    traceparent: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    caller: Option<std::borrow::Cow<'a, str>>,
    origin: Option<Arc<str>>,
    credit: Option<u32>,
    #[serde(borrow, default, deserialize_with = "crate::protocol::envelope::present_raw")]
    result: Option<&'a RawValue>,
    error: Option<RpcError>,
}

/// The params of our own notifications.
#[derive(Deserialize)]
struct Note<'a> {
    id: Option<u64>,
    n: Option<u32>,
    ticket: Option<u64>,
    size: Option<u64>,
    taken: Option<u64>,
    #[serde(default)]
    reason: String,
    #[serde(borrow, default, deserialize_with = "crate::protocol::envelope::present_raw")]
    item: Option<&'a RawValue>,
}

impl Loose<'_> {
    fn parse(frame: &Bytes, text: &str) -> Result<Message, MessageError> {
        let malformed = |why: String| MessageError::NotJsonRpc(why);
        let loose: Loose<'_> = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let crate::protocol::envelope::Version = loose.jsonrpc;
        match loose {
            Loose { method: Some(method), id: Some(id), .. } => {
                let is_anonymous = loose.caller.is_some();
                let method = match method {
                    std::borrow::Cow::Borrowed(method) => Text::Span(span(text, method)),
                    std::borrow::Cow::Owned(method) => Text::Owned(method),
                };
                Ok(Message::Call(Incoming {
                    id,
                    frame: frame.clone(),
                    method,
                    params: loose.params.map(|params| span(text, params.get())),
                    timeout: loose.timeout_ms.map(Duration::from_millis),
                    trace: loose.traceparent.and_then(|text| text.parse().ok()),
                    is_anonymous,
                    origin: loose.origin,
                    credit: loose.credit,
                }))
            }
            Loose { method: Some(method), id: None, params, .. } => Note::parse(frame, &method, params),
            Loose { id: Some(id), result: Some(result), error: None, .. } => {
                Ok(Message::Answer { id, answer: Answer::Result(frame.slice_ref(result.get().as_bytes())) })
            }
            Loose { id: Some(id), error: Some(error), result: None, .. } => {
                Ok(Message::Answer { id, answer: Answer::Error(error) })
            }
            _ => Err(malformed("it is neither a request, nor a response, nor a notification".to_owned())),
        }
    }
}

impl Note<'_> {
    fn parse(frame: &Bytes, method: &str, params: Option<&RawValue>) -> Result<Message, MessageError> {
        let malformed = |why: String| MessageError::NotJsonRpc(format!("{method}: {why}"));
        if !matches!(method, "$/cancel" | "$/open" | "$/item" | "$/credit" | "$/body" | "$/goaway") {
            // Those of a later version may have params of any form.
            let is_later = method.starts_with("$/");
            return if is_later { Ok(Message::Unknown) } else { Err(malformed("a call on a session has an id".to_owned())) };
        }
        let note: Note<'_> =
            serde_json::from_str(params.map_or("{}", RawValue::get)).map_err(|error| malformed(error.to_string()))?;
        let missing = |name: &str| malformed(format!("there is no {name}"));
        if method == "$/goaway" {
            return Ok(Message::GoAway { taken: note.taken.ok_or_else(|| missing("taken"))?, reason: note.reason });
        }
        let id = note.id.ok_or_else(|| missing("id"))?;
        Ok(match method {
            "$/open" => Message::Open { id },
            "$/item" => {
                let item = note.item.ok_or_else(|| missing("item"))?;
                Message::Item { id, item: frame.slice_ref(item.get().as_bytes()) }
            }
            "$/credit" => Message::Credit { id, n: note.n.ok_or_else(|| missing("n"))? },
            "$/body" => {
                let ticket = note.ticket.ok_or_else(|| missing("ticket"))?;
                Message::Answer { id, answer: Answer::Body { ticket, size: note.size.ok_or_else(|| missing("size"))? } }
            }
            _ => Message::Cancel { id },
        })
    }
}

/// A part of a message that is not needed as a whole any more.
fn part(mut whole: Bytes, range: &Range<usize>) -> Bytes {
    whole.truncate(range.end);
    whole.advance(range.start);
    whole
}

/// Where `part` lies in `whole`, of which it is a slice.
fn span(whole: &str, part: &str) -> Range<usize> {
    let begin = part.as_ptr() as usize - whole.as_ptr() as usize;
    begin..begin + part.len()
}

/// A call that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The path of the method.
    pub method: &'a str,
    /// The JSON of the params.
    pub params: &'a [u8],
    /// How long the caller waits, if the other end is to know it.
    pub timeout: Option<Duration>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// Whether it is sent in nobody's name.
    pub is_anonymous: bool,
    /// Who began the chain of calls.
    pub origin: Option<&'a str>,
    /// How many items are taken, where a stream is wanted.
    pub credit: Option<u32>,
}

impl Outgoing<'_> {
    /// Appends the call's frame.
    pub fn write(&self, id: u64, out: &mut BytesMut) {
        out.reserve(self.params.len() + self.method.len() + 192);
        write_frame(out, |out| {
            out.put_slice(BEGIN.as_bytes());
            write_number(id, out);
            out.put_slice(&METHOD.as_bytes()[..METHOD.len() - 1]);
            write_text(self.method, out);
            if let Some(timeout) = self.timeout {
                out.put_slice(TIMEOUT.as_bytes());
                // Rounded up: half a millisecond left is not none.
                write_number(u64::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX), out);
            }
            if let Some(trace) = self.trace {
                out.put_slice(TRACE.as_bytes());
                out.put_slice(&trace.to_text());
                out.put_u8(b'"');
            }
            if self.is_anonymous {
                out.put_slice(CALLER.as_bytes());
            }
            if let Some(origin) = self.origin {
                out.put_slice(ORIGIN.as_bytes());
                write_text(origin, out);
            }
            if let Some(credit) = self.credit {
                out.put_slice(CREDIT.as_bytes());
                write_number(credit.into(), out);
            }
            out.put_slice(PARAMS.as_bytes());
            out.put_slice(self.params);
            out.put_u8(b'}');
        });
    }
}

/// Appends the frame of an answer.
pub fn write_answer(id: u64, outcome: Result<&[u8], &RpcError>, out: &mut BytesMut) {
    out.reserve(outcome.map_or(128, <[u8]>::len) + 64);
    write_frame(out, |out| {
        out.put_slice(BEGIN.as_bytes());
        write_number(id, out);
        match outcome {
            Ok(result) => {
                out.put_slice(RESULT.as_bytes());
                out.put_slice(result);
            }
            Err(error) => {
                out.put_slice(ERROR.as_bytes());
                write_json(error, out);
            }
        }
        out.put_u8(b'}');
    });
}

fn write_note(method: &str, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    write_frame(out, |out| {
        out.put_slice(br#"{"jsonrpc":"2.0","method":""#);
        out.put_slice(method.as_bytes());
        out.put_slice(br#"","params":{"#);
        write(out);
        out.put_slice(b"}}");
    });
}

fn write_member(name: &str, value: u64, out: &mut BytesMut) {
    out.put_u8(b'"');
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    write_number(value, out);
}

/// Appends a `$/cancel`.
pub fn write_cancel(id: u64, out: &mut BytesMut) {
    write_note("$/cancel", out, |out| write_member("id", id, out));
}

/// Appends a `$/open`.
pub fn write_open(id: u64, out: &mut BytesMut) {
    write_note("$/open", out, |out| write_member("id", id, out));
}

/// Appends a `$/item`; `item` is JSON.
pub fn write_item(id: u64, item: &[u8], out: &mut BytesMut) {
    write_note("$/item", out, |out| {
        write_member("id", id, out);
        out.put_slice(br#","item":"#);
        out.put_slice(item);
    });
}

/// Appends a `$/credit`.
pub fn write_credit(id: u64, n: u32, out: &mut BytesMut) {
    write_note("$/credit", out, |out| {
        write_member("id", id, out);
        out.put_u8(b',');
        write_member("n", n.into(), out);
    });
}

/// Appends a `$/body`.
pub fn write_body(id: u64, ticket: u64, size: u64, out: &mut BytesMut) {
    write_note("$/body", out, |out| {
        write_member("id", id, out);
        out.put_u8(b',');
        write_member("ticket", ticket, out);
        out.put_u8(b',');
        write_member("size", size, out);
    });
}

/// Appends a `$/goaway`.
pub fn write_go_away(taken: u64, reason: &str, out: &mut BytesMut) {
    write_note("$/goaway", out, |out| {
        write_member("taken", taken, out);
        out.put_slice(br#","reason":"#);
        write_text(reason, out);
    });
}

fn write_number(value: u64, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_text(text: &str, out: &mut BytesMut) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        write_json(text, out);
    }
}

/// Writes what cannot fail to serialise: strings, and error objects whose `data` is JSON already.
fn write_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut BytesMut) {
    let before = out.len();
    if serde_json::to_writer((&mut *out).writer(), value).is_err() {
        out.truncate(before);
        out.put_slice(b"null");
    }
}

#[cfg(test)]
mod tests;
