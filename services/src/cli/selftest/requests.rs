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
    vec![
        Check::case(47, "headers that come byte by byte", slow_headers(target)),
        Check::case(49, "a handshake that stalls", stalled_handshake(target)),
        Check::case(50, "a body of 1 TiB, announced", oversized(target)),
        Check::case(51, "JSON nested 128 levels deep", not_understood(target, nested(128))),
        Check::case(52, "JSON with a key that stands twice", not_understood(target, TWICE.to_owned())),
        Check::other("an operator's route over the network", operators_route(target)),
    ]
}

/// What came of a connection that was left waiting: after how long it was closed.
fn closed(began: Instant) -> Finding {
    let took = began.elapsed();
    Finding::withstood(took <= PATIENCE, format!("closed the connection after {} s", took.as_secs()))
}

fn left_open() -> Finding {
    Finding::withstood(false, format!("left the connection open for {} s", PATIENCE.as_secs()))
}

async fn slow_headers(target: &Target) -> Found {
    let mut stream = target.nameless().await?;
    let began = Instant::now();
    let end = tokio::time::Instant::now() + PATIENCE;
    stream.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").await?;
    let mut drip = interval(DRIP);
    drip.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answer = [0; 256];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => match read {
                Ok(0) | Err(_) => return Ok(closed(began)),
                // It says why before it closes.
                Ok(_) => {}
            },
            _ = drip.tick() => if send(&mut stream, b"x").await.is_err() { return Ok(closed(began)) },
            () = sleep_until(end) => return Ok(left_open()),
        }
    }
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn stalled_handshake(target: &Target) -> Found {
    let mut stream = target.tcp().await?;
    let began = Instant::now();
    // The beginning of a record with a client hello, of which no more comes.
    send(&mut stream, &[22, 3, 1, 0, 200, 1]).await?;
    let mut answer = Vec::new();
    match timeout(PATIENCE, (&mut stream).take(256).read_to_end(&mut answer)).await {
        Ok(_) => Ok(closed(began)),
        Err(_) => Ok(left_open()),
    }
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
        assert_eq!(closed(long_ago).result(), "FAILED");
        assert_eq!(closed(Instant::now()), Finding::held("closed the connection after 0 s"));
    }
}
