//! Requests that no honest client makes: too slow, too large, malformed, or for somebody else.

use std::{
    io,
    time::{Duration, Instant},
};

use http::{Request, StatusCode};
use http_body_util::Full;
use p2p_client::protocol::ErrorCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

use super::{
    Check,
    finding::{Finding, Found, NotTried},
    target::{LONGEST_WAIT, Target, post},
};

/// Within what time a connection that does not get on must be closed.
const PATIENCE: Duration = Duration::from_secs(35);
/// How often a slow client sends something.
const DRIP: Duration = Duration::from_secs(2);

/// The checks.
pub(super) fn checks(target: &Target) -> Vec<Check<'_>> {
    let mut checks = slow(target, PATIENCE);
    checks.extend(at_once(target));
    checks
}

/// Connections that do not get on, and must be closed within this time.
pub(super) fn slow(target: &Target, patience: Duration) -> Vec<Check<'_>> {
    vec![
        Check::case(47, "headers that come byte by byte", slow_headers(target, patience)),
        Check::case(49, "a handshake that stalls", stalled_handshake(target, patience)),
    ]
}

/// What is answered, or cut off, at once.
pub(super) fn at_once(target: &Target) -> Vec<Check<'_>> {
    vec![
        Check::case(45, "headers that go on in frame after frame (HTTP/2 CONTINUATION)", continuations(target)),
        Check::case(50, "a body of 1 TiB, announced", oversized(target)),
        Check::case(51, "JSON nested 128 levels deep", not_understood(target, nested(128))),
        Check::case(52, "JSON with a key that stands twice", not_understood(target, TWICE.to_owned())),
        Check::left_out(
            54,
            "an address made up in X-Forwarded-For",
            "not tried here: it would show only once the limit for nameless callers of this machine's address is used up",
        ),
        Check::other("an operator's route over the network", operators_route(target)),
    ]
}

/// What came of a connection that was left waiting: after how long it was closed.
fn closed(began: Instant, patience: Duration) -> Finding {
    let took = began.elapsed();
    Finding::withstood(took <= patience, format!("closed the connection after {} s", took.as_secs()))
}

fn left_open(patience: Duration) -> Finding {
    Finding::withstood(false, format!("left the connection open for {} s", patience.as_secs()))
}

async fn slow_headers(target: &Target, patience: Duration) -> Found {
    let mut stream = target.nameless().await?;
    let began = Instant::now();
    let end = tokio::time::Instant::now() + patience;
    stream.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").await?;
    let mut drip = interval(DRIP);
    drip.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = [0; 256];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => match read {
                Ok(0) | Err(_) => return Ok(closed(began, patience)),
                // It says why before it closes.
                Ok(_) => {}
            },
            _ = drip.tick() => if send(&mut stream, b"x").await.is_err() { return Ok(closed(began, patience)) },
            () = sleep_until(end) => return Ok(left_open(patience)),
        }
    }
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn stalled_handshake(target: &Target, patience: Duration) -> Found {
    let mut stream = target.tcp().await?;
    let began = Instant::now();
    // The beginning of a record with a client hello, of which no more comes.
    send(&mut stream, &[22, 3, 1, 0, 200, 1]).await?;
    let mut answer = Vec::new();
    match timeout(patience, (&mut stream).take(256).read_to_end(&mut answer)).await {
        Ok(_) => Ok(closed(began, patience)),
        Err(_) => Ok(left_open(patience)),
    }
}

// The parts of HTTP/2 that the flood is made of (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// How many frames the flood has.
const FLOOD: usize = 50;

/// A frame of HTTP/2 (RFC 9113, section 4.1), of up to 255 bytes.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], &payload[..length.into()]].concat()
}

/// One request whose headers take a frame each, and a question whether the connection is served on.
fn flood() -> Vec<u8> {
    /// `GET https://x/`, and a header `a: b` that is not to be indexed (RFC 7541, 6.2.2 and appendix A).
    const GET: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 1, b'x'];
    const MORE: [u8; 5] = [0, 1, b'a', 1, b'b'];
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    sent.extend(frame(HEADERS, END_STREAM, 1, &GET));
    sent.extend((0..FLOOD).flat_map(|_| frame(CONTINUATION, 0, 1, &MORE)));
    sent.extend(frame(CONTINUATION, END_HEADERS, 1, &MORE));
    sent.extend(frame(PING, 0, 0, b"selftest"));
    sent
}

/// Whether the node takes the headers of one request in any number of frames: each costs it more than the attacker (CVE-2024-27316).
async fn continuations(target: &Target) -> Found {
    let (mut reader, mut writer) = tokio::io::split(target.nameless_http2().await?);
    // Who is cut off in the middle of it is judged by what was said.
    let _ = send(&mut writer, &flood()).await;
    match timeout(LONGEST_WAIT, fate(&mut reader)).await {
        Ok(finding) => Ok(finding),
        Err(_) => Ok(Finding::withstood(false, "left the connection open, and answered nothing")),
    }
}

/// What becomes of a connection after the flood.
async fn fate(reader: &mut (impl AsyncReadExt + Unpin)) -> Finding {
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        match (head[3], head[4]) {
            (GOAWAY, _) => return Finding::held("cut off the connection (GOAWAY)"),
            (PING, ACK) => return Finding::withstood(false, "read them all, and served the connection on"),
            _ => {}
        }
        let mut payload = reader.take(length.into());
        if tokio::io::copy(&mut payload, &mut tokio::io::sink()).await.is_err() {
            break;
        }
    }
    Finding::held("cut off the connection")
}

async fn oversized(target: &Target) -> Found {
    let Some(status) = announce(target, 1 << 40).await? else { return Ok(Finding::withstood(false, "waited for the body")) };
    let status = match &status[..] {
        "429" => {
            sleep(LONGEST_WAIT).await;
            announce(target, 1 << 40).await?.unwrap_or_default()
        }
        _ => status,
    };
    match &status[..] {
        "413" => Ok(Finding::held("refused it at once (HTTP 413)")),
        "429" => Err(NotTried::TooSoon),
        _ => Ok(Finding::withstood(false, format!("answered with HTTP {status}"))),
    }
}

/// Announces a body of which nothing comes, and gives the status of the answer, if there is one.
async fn announce(target: &Target, length: u64) -> Result<Option<String>, NotTried> {
    let mut stream = target.nameless().await?;
    let head = format!(
        "POST /rpc HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n",
        target.authority
    );
    send(&mut stream, head.as_bytes()).await?;
    // "HTTP/1.1 413"
    let mut line = [0; 12];
    match timeout(PATIENCE, stream.read_exact(&mut line)).await {
        Err(_) => Ok(None),
        Ok(read) => {
            read?;
            Ok(Some(String::from_utf8_lossy(&line[9..]).into_owned()))
        }
    }
}

fn nested(levels: usize) -> String {
    // The object is the first level.
    let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"selftest/nothing","params":{open}{close}}}"#)
}

const TWICE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"selftest/nothing","method":"selftest/other"}"#;

/// Whether a body is refused before anybody asks which method it is for.
async fn not_understood(target: &Target, body: String) -> Found {
    let answer = target.ask(post("/rpc", body)?).await?;
    Ok(match answer.error().map(|error| error.code) {
        Some(code @ (ErrorCode::PARSE | ErrorCode::INVALID_REQUEST)) => Finding::held(format!("refused it (error {})", code.0)),
        Some(other) => Finding::withstood(false, format!("read it (error {})", other.0)),
        None => Finding::withstood(false, format!("took it (HTTP {})", answer.status.as_u16())),
    })
}

async fn operators_route(target: &Target) -> Found {
    // Reading is all that it would do.
    let answer = target.ask(Request::get("/admin/cert").body(Full::default())?).await?;
    let held = answer.status == StatusCode::FORBIDDEN;
    Ok(Finding::withstood(
        held,
        format!("{} (HTTP {})", if held { "refused it" } else { "did not refuse it" }, answer.status.as_u16()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_as_deep_as_it_says() {
        let depth = |text: &str| text.matches(['[', '{']).count();
        assert_eq!((depth(&nested(128)), depth(TWICE)), (128, 1));
    }

    #[test]
    fn a_connection_that_is_closed_too_late_has_failed() {
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(36)) else { return };
        assert_eq!(closed(long_ago, PATIENCE).result(), "FAILED");
        assert_eq!(closed(Instant::now(), PATIENCE), Finding::held("closed the connection after 0 s"));
    }
}
