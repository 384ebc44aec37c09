//! Answers that are ready before the body of their request is there. Virtual time goes on only when nothing is left to do: what was to be sent
//! by then was sent.

use super::*;

const DATA: u8 = 0;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `POST https://a/`, with a body to follow.
const POST: &[u8] = b"\x83\x87\x84\x41\x01a";
/// The same, which waits for leave to send it (RFC 9110, 10.1.1).
const POST_EXPECTING: &[u8] = b"\x83\x87\x84\x41\x01a\x00\x06expect\x0c100-continue";
/// The same to `/internal/session`.
const POST_SESSION: &[u8] = b"\x83\x87\x04\x11/internal/session\x41\x01a";
/// HTTP/2 by a stranger, and by a node.
const HTTP2: [u8; 2] = [b'n', b'2'];

/// Answers without having a look at the body, and says so.
async fn hasty() -> (Fixture, Arc<Notify>) {
    hasty_within(ListenerLimits::default()).await
}

async fn hasty_within(limits: ListenerLimits) -> (Fixture, Arc<Notify>) {
    let fixture = start(limits).await;
    let answered = Arc::new(Notify::new());
    let tell = answered.clone();
    let refuse = move || async move {
        tell.notify_one();
        (http::StatusCode::FORBIDDEN, "no")
    };
    fixture.http.set(Router::new().fallback(refuse));
    (fixture, answered)
}

/// A connection on which a request was begun.
async fn begun(fixture: &Fixture, protocol: u8, head: &[u8]) -> BoxStream {
    let mut stream = fixture.connect(protocol).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    write_frame(&mut stream, SETTINGS, 0, 0, b"").await;
    write_frame(&mut stream, HEADERS, END_HEADERS, 1, head).await;
    stream
}

/// The frames of the answer up to its end, which a ping is answered after.
async fn answer(stream: &mut BoxStream) -> Vec<u8> {
    let mut kinds = Vec::new();
    while kinds.last() != Some(&DATA) {
        kinds.push(read_frame_of(stream, &[HEADERS, DATA, RST_STREAM]).await.kind);
    }
    write_frame(stream, PING, 0, 0, b"answered").await;
    loop {
        let frame = read_frame_of(stream, &[HEADERS, DATA, RST_STREAM, PING]).await;
        if frame.kind == PING && frame.payload == b"answered" {
            return kinds;
        }
        if frame.kind != PING {
            kinds.push(frame.kind);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn over_http2_an_early_answer_waits_for_the_rest_of_a_small_body_and_no_stream_is_reset() {
    for protocol in HTTP2 {
        let (fixture, answered) = hasty().await;
        let mut stream = begun(&fixture, protocol, POST).await;
        answered.notified().await;
        let began = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await; // of paused time
        write_frame(&mut stream, DATA, 0, 1, &[b'x'; 16 * 1024]).await;
        tokio::time::sleep(Duration::from_millis(1)).await; // of paused time
        write_frame(&mut stream, DATA, END_STREAM, 1, b"all").await;
        assert_eq!(answer(&mut stream).await, [HEADERS, DATA], "{}", char::from(protocol));
        assert!(began.elapsed() < Duration::from_millis(10), "it goes out as soon as the body has ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_or_is_large_is_cut_off_within_a_bound() {
    for protocol in HTTP2 {
        let (fixture, answered) = hasty().await;
        let mut slow = begun(&fixture, protocol, POST).await;
        answered.notified().await;
        let began = Instant::now();
        assert_eq!(answer(&mut slow).await, [HEADERS, DATA, RST_STREAM], "{}", char::from(protocol));
        assert_eq!(began.elapsed().as_millis(), 1_000);

        let mut large = begun(&fixture, protocol, POST).await;
        answered.notified().await;
        // More fits into the window that the node has opened, once that is agreed on.
        write_frame(&mut large, SETTINGS, ACK, 0, b"").await;
        let began = Instant::now();
        for _ in 0..5 {
            write_frame(&mut large, DATA, 0, 1, &[b'x'; 14 * 1024]).await;
        }
        assert_eq!(answer(&mut large).await, [HEADERS, DATA, RST_STREAM], "{}", char::from(protocol));
        assert!(began.elapsed().is_zero(), "it is not waited for");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_counts_among_the_requests_of_its_connection() {
    for protocol in HTTP2 {
        let (fixture, answered) = hasty_within(ListenerLimits { max_streams: 1, ..ListenerLimits::default() }).await;
        let mut stream = begun(&fixture, protocol, POST).await;
        answered.notified().await;
        let began = Instant::now();
        write_frame(&mut stream, HEADERS, END_HEADERS | END_STREAM, 3, POST).await;
        // REFUSED_STREAM: nothing was done.
        let refused = read_frame_of(&mut stream, &[RST_STREAM, HEADERS]).await;
        assert_eq!(refused, Frame { kind: RST_STREAM, stream: 3, payload: 7_u32.to_be_bytes().to_vec() });
        assert!(began.elapsed().is_zero(), "{}", char::from(protocol));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_leave_to_send_a_body_and_who_would_have_a_session_are_answered_at_once() {
    let (fixture, _) = hasty().await;
    for (protocol, head) in [(b'n', POST_EXPECTING), (b'2', POST_EXPECTING), (b'n', POST_SESSION)] {
        let began = Instant::now();
        let mut stream = begun(&fixture, protocol, head).await;
        assert_eq!(answer(&mut stream).await[..2], [HEADERS, DATA]);
        assert!(began.elapsed().is_zero(), "{protocol}");
    }
    let mut stream = fixture.connect(b'1').await;
    let began = Instant::now();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n").await.unwrap();
    let (_, said) = until_closed(stream).await;
    assert!(said.starts_with(b"HTTP/1.1 403 ") && began.elapsed().is_zero(), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn over_http1_an_early_answer_leaves_the_connection_open_for_the_next_request() {
    let (fixture, answered) = hasty().await;
    let mut stream = fixture.connect(b'1').await;
    for _ in 0..2 {
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n").await.unwrap();
        answered.notified().await;
        tokio::time::sleep(Duration::from_millis(1)).await; // of paused time
        stream.write_all(b"all").await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\nno") {
            said.push(stream.read_u8().await.unwrap());
        }
        assert!(said.starts_with(b"HTTP/1.1 403 "), "{said:?}");
    }
    // One that never comes, or says that it is large, is cut off with its connection, and its client is answered before that.
    for (length, ms) in [(3, 1_000), (70_000, 0)] {
        let mut stream = fixture.connect(b'1').await;
        let began = Instant::now();
        stream.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
        let (_, said) = until_closed(stream).await;
        assert!(said.starts_with(b"HTTP/1.1 403 "), "{said:?}");
        assert_eq!(began.elapsed().as_millis(), ms, "{length}");
    }
}
