//! Cases 44 to 50 and 53 of the project's list of security and fault cases, each with the control that shows what the unsafe variant
//! would do.
//!
//! Attackers write HTTP/2 frame by frame (RFC 9113, section 4.1). Nodes and strangers are served by different code, so that most is tried
//! as either.

use axum::{response::IntoResponse, routing::post};

use super::*;
use crate::web::rpc::{BodyLimits, read_body_within};

const LONG: Duration = Duration::from_hours(1);

// The parts of HTTP/2 that attacks are made of (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const ENHANCE_YOUR_CALM: u8 = 11;

/// `GET https://x/` (RFC 7541, appendix A).
const GET: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 1, b'x'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// What becomes of an attacker's connection.
#[derive(Debug, PartialEq)]
enum Fate {
    /// It is served on.
    Served,
    /// It is told to go, with this code.
    SentAway(u8),
    Closed,
}

/// Sends this on an HTTP/2 connection, and sees what becomes of it.
async fn attack(fixture: &Fixture, protocol: u8, frames: &[Vec<u8>]) -> Fate {
    let mut stream = fixture.connect(protocol).await;
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..]].concat();
    let all = [preface, frames.concat(), frame(PING, 0, 0, b"alive? ?")].concat();
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let writing = async {
        // An attacker who is cut off in the middle of it is judged by what was said to him.
        let _ = writer.write_all(&all).await;
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]).try_into().unwrap()];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            match (head[3], head[4]) {
                (PING, ACK) if payload == b"alive? ?" => return Fate::Served,
                (GOAWAY, _) => return Fate::SentAway(payload[7]),
                _ => {}
            }
        }
        Fate::Closed
    };
    tokio::select! {
        fate = reading => fate,
        () = writing => unreachable!("it waits for ever"),
    }
}

/// Does the same to two servers, as a node and as a stranger: one with its bounds, which cuts the attacker off and serves others on, and one
/// without them, which goes on serving it.
async fn is_cut_off(unbounded: ListenerLimits, frames: &[Vec<u8>]) {
    let never = || Router::new().route("/", get(std::future::pending::<()>)).route("/well", get(|| async { "well" }));
    for protocol in [b'2', b'n'] {
        let fixture = start(ListenerLimits::default()).await;
        fixture.http.set(never());
        assert_eq!(attack(&fixture, protocol, frames).await, Fate::SentAway(ENHANCE_YOUR_CALM), "{}", char::from(protocol));
        assert_eq!(fixture.send(http::Request::get("/well"), "").await.body(), "well");

        let control = start(unbounded.clone()).await;
        control.http.set(never());
        assert_eq!(attack(&control, protocol, frames).await, Fate::Served, "the control, as {}", char::from(protocol));
    }
}

#[tokio::test]
async fn case_44_a_rapid_reset_costs_the_attacker_his_connection() {
    let begun_and_given_up =
        |stream: u32| [frame(HEADERS, END_STREAM | END_HEADERS, stream, &GET), frame(RST_STREAM, 0, stream, &CANCEL)].concat();
    let frames: Vec<_> = (0..200).map(|number| begun_and_given_up(2 * number + 1)).collect();
    is_cut_off(ListenerLimits { max_pending_resets: usize::MAX, ..ListenerLimits::default() }, &frames).await;
}

#[tokio::test]
async fn case_45_a_flood_of_continuations_costs_the_attacker_his_connection() {
    // A header `a: b` that is not to be indexed (RFC 7541, 6.2.2), in a frame of its own, again and again.
    let more = |flags| frame(CONTINUATION, flags, 1, &[0, 1, b'a', 1, b'b']);
    let mut frames = vec![frame(HEADERS, END_STREAM, 1, &GET)];
    frames.extend((0..50).map(|_| more(0)));
    frames.push(more(END_HEADERS));
    is_cut_off(ListenerLimits { max_header_bytes: 64 << 20, ..ListenerLimits::default() }, &frames).await;
}

#[tokio::test]
async fn case_46_resets_that_the_server_is_made_to_send_cost_the_attacker_his_connection() {
    // A window that grows beyond what is allowed is an error of its stream (RFC 9113, 6.9.1), which the server has to reset.
    let provoked = |stream: u32| {
        let grown = (u32::MAX >> 1).to_be_bytes();
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, &GET), frame(WINDOW_UPDATE, 0, stream, &grown)].concat()
    };
    let frames: Vec<_> = (0..200).map(|number| provoked(2 * number + 1)).collect();
    is_cut_off(ListenerLimits { max_error_resets: usize::MAX, ..ListenerLimits::default() }, &frames).await;
}

#[tokio::test(start_paused = true)]
async fn case_47_slow_headers_are_cut_off_in_http1_and_http2() {
    let words: [(u8, &[u8]); 5] = [
        (b'1', b"GET / HTTP/1.1\r\nhost:"),
        // Silence after the handshake, silence within the preface, and silence after it (which the ping finds).
        (b'1', b""),
        (b'2', b"PRI * HTTP"),
        (b'n', b"PRI * HTTP"),
        (b'2', b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ];
    let patient = ListenerLimits { header_timeout: LONG, keep_alive: LONG, ..ListenerLimits::default() };
    for (said, seconds) in words.into_iter().zip([10, 10, 10, 10, 15]) {
        for (limits, seconds) in [(ListenerLimits::default(), seconds), (patient.clone(), 3_600)] {
            let fixture = start(limits).await;
            let mut slow = fixture.connect(said.0).await;
            slow.write_all(said.1).await.unwrap();
            let held = until_closed(slow).await.0;
            assert!((seconds..=seconds + 5).contains(&held), "{said:?} held its connection for {held} s, not for {seconds}");
        }
    }
}

/// A server whose one route takes a body within these bounds.
async fn takes_bodies(limits: BodyLimits) -> Fixture {
    let fixture = start(ListenerLimits::default()).await;
    let take = move |request: Request| async move {
        match read_body_within(request.into_body(), limits).await {
            Ok(body) => body.into_response(),
            Err(refused) => refused.into_response(),
        }
    };
    fixture.http.set(Router::new().route("/", post(take)));
    fixture
}

#[tokio::test(start_paused = true)]
async fn case_48_a_slow_body_is_given_up_after_its_time() {
    // A byte a second, of a body of a minute.
    for (timeout, status, seconds) in [(Duration::from_secs(30), "408", 30), (LONG, "200", 59)] {
        let fixture = takes_bodies(BodyLimits { timeout, ..BodyLimits::default() }).await;
        let (mut reader, mut writer) = tokio::io::split(fixture.connect(b'1').await);
        let began = Instant::now();
        let sending = tokio::spawn(async move {
            writer.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n").await.unwrap();
            for _ in 0..60 {
                if writer.write_all(b"x").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await; // of paused time
            }
        });
        let mut said = [0; 12];
        reader.read_exact(&mut said).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said), format!("HTTP/1.1 {status}"));
        assert_eq!(began.elapsed().as_secs(), seconds);
        sending.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn case_49_a_stalled_handshake_is_cut_off() {
    for (handshake_timeout, seconds) in [(ListenerLimits::default().handshake_timeout, 10), (LONG, 3_600)] {
        let fixture = start(ListenerLimits { handshake_timeout, ..ListenerLimits::default() }).await;
        let stalled = fixture.client.connect(SERVER).await.unwrap();
        assert_eq!(until_closed(stalled).await, (seconds, vec![]));
    }
}

#[tokio::test]
async fn case_50_an_oversized_body_gets_413_before_it_is_read() {
    let fixture = takes_bodies(BodyLimits { max: 8, ..BodyLimits::default() }).await;
    assert_eq!(fixture.send(http::Request::post("/"), "12345678").await.body(), "12345678");
    let response = fixture.send(http::Request::post("/"), "123456789").await;
    assert_eq!(response.status(), 413);
    assert!(response.body().starts_with(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600"), "{:?}", response.body());
    // One that says how large it will be is not waited for; one that does not say is counted.
    for (declared, sent) in [("content-length: 1000000000000", ""), ("transfer-encoding: chunked", "9\r\n123456789\r\n")] {
        let mut stream = fixture.connect(b'1').await;
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: x\r\n{declared}\r\n\r\n{sent}").as_bytes()).await.unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 413", "{declared}");
    }
    let control = takes_bodies(BodyLimits { max: usize::MAX, ..BodyLimits::default() }).await;
    assert_eq!(control.send(http::Request::post("/"), "123456789").await.body(), "123456789");
}

/// So many connections that say nothing, from so many addresses.
async fn idle(fixture: &Fixture, addresses: u8, of_each: usize) -> Vec<BoxStream> {
    let mut idle = Vec::new();
    for address in 0..addresses {
        let host = fixture.network.host([10, 1, 0, address]);
        for _ in 0..of_each {
            idle.push(fixture.connect_from(&host, b'1').await);
            // The listener is let in between, as its queue of waiting connections has an end.
            tokio::task::yield_now().await;
        }
    }
    idle
}

#[tokio::test(start_paused = true)]
async fn case_53_ten_thousand_idle_connections_hold_nobody_up_and_end_when_their_time_is_over() {
    let bounded = ListenerLimits::default();
    // The control: without a time they stay, all but for ever. A hundredth of them shows it.
    let unbounded = ListenerLimits { header_timeout: LONG, ..ListenerLimits::default() };
    for (limits, addresses, seconds) in [(bounded, 100, 10), (unbounded, 1, 3_600)] {
        let fixture = start(limits).await;
        fixture.http.set(Router::new().route("/", get(|| async { "well" })));
        let began = Instant::now();
        let mut idle = idle(&fixture, addresses, 100).await;
        assert_eq!(fixture.get().await.body(), "well");
        assert_eq!(idle.len(), usize::from(addresses) * 100);
        for stream in &mut idle {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it was closed after its time");
        }
        let held = began.elapsed().as_secs();
        assert!((seconds..=seconds + 5).contains(&held), "{} were held for {held} s, not for {seconds}", idle.len());
        assert_eq!(fixture.get().await.body(), "well");
    }
}

#[tokio::test(start_paused = true)]
async fn case_53_one_address_cannot_take_all_connections() {
    let one_for_each = ListenerLimits { max_connections: 100, max_per_address: 10, ..ListenerLimits::default() };
    let unlimited = ListenerLimits { max_per_address: usize::MAX, ..one_for_each.clone() };
    for (limits, others_are_served) in [(one_for_each, true), (unlimited, false)] {
        let fixture = start(limits).await;
        fixture.http.set(Router::new().route("/", get(|| async { "well" })));
        let mut held = idle(&fixture, 1, 100).await;
        let request = http::Request::get("/").body(Full::<Bytes>::default()).unwrap();
        let answer = one_shot(fixture.connect(b'1').await, request, RequestLimits::default()).await;
        assert_eq!(answer.is_ok(), others_are_served, "{answer:?}");
        if others_are_served {
            assert_eq!(held[10].read(&mut [0]).await.unwrap(), 0, "the eleventh was closed at once");
            // A place that becomes free is taken by the next.
            drop(held);
            let again = fixture.network.host([10, 1, 0, 0]);
            while {
                let mut stream = fixture.connect_from(&again, b'1').await;
                stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
                stream.read(&mut [0]).await.unwrap_or(0) == 0
            } {
                tokio::task::yield_now().await;
            }
        }
    }
}
