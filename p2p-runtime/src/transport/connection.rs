//! One HTTP connection, from its first byte to its end.

use std::{convert::Infallible, future::Future, io, sync::Arc};

use http_body_util::Either;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use p2p_client::wire::net::BoxStream;
use tokio::{
    io::{AsyncReadExt, join},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    handler::{HttpHandler, Origin},
    limits::ListenerLimits,
    own_wakes::OwnWakes,
    timer::ConnectionTimer,
};

/// What every HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE_LEN: usize = 24;
/// How much is read of an HTTP/1 connection at a time, and the least that hyper takes for it.
const MIN_BUFFER: usize = 8 * 1024;
/// How much a client may send ahead of what is read. Nodes move large bodies; strangers must not be able to fill the memory.
struct Windows {
    frame: u32,
    stream: u32,
    connection: u32,
}

const FOR_NODES: Windows = Windows { frame: 1 << 20, stream: 16 << 20, connection: 32 << 20 };
const FOR_OTHERS: Windows = Windows { frame: 16 << 10, stream: 256 << 10, connection: 1 << 20 };

/// Serves the requests of a connection until it ends, or until its running requests are answered after `stop`.
pub(super) async fn serve_http(
    stream: BoxStream,
    http2: bool,
    origin: Origin,
    handler: HttpHandler,
    limits: &ListenerLimits,
    stop: CancellationToken,
) {
    let remote = origin.remote;
    // hyper times the headers of HTTP/1, and asks HTTP/2 clients for signs of life, but only once they have said their preface.
    let stream = if http2 {
        match timeout(limits.header_timeout, preface(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(?remote, %error, "HTTP/2 client left before it began"),
            Err(_) => return tracing::debug!(?remote, "HTTP/2 client did not begin in time"),
        }
    } else {
        stream
    };
    let windows = if origin.peer.is_some() { FOR_NODES } else { FOR_OTHERS };
    let shared = Arc::new((handler, origin));
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let shared = shared.clone();
        async move {
            let (handler, origin) = &*shared;
            Ok::<_, Infallible>(handler.answer(origin, request.map(Either::Left)).await)
        }
    });
    let stream = TokioIo::new(stream);
    // The protocol is agreed on in the handshake, so that nothing has to be guessed (which nothing would time).
    let ended = if http2 {
        let connection = Box::pin(http2_builder(limits, &windows).serve_connection(stream, service));
        until_stopped(connection, |connection| connection.as_mut().graceful_shutdown(), &stop).await
    } else {
        let connection = OwnWakes::new(Box::pin(http1_builder(limits).serve_connection(stream, service)));
        until_stopped(connection, |connection| connection.get_mut().as_mut().graceful_shutdown(), &stop).await
    };
    if let Err(error) = ended {
        tracing::debug!(?remote, %error, "HTTP connection ended with an error");
    }
}

/// Runs a connection, and tells it to take no more requests once `stop` is cancelled.
async fn until_stopped<C: Future + Unpin>(
    mut connection: C,
    wind_down: impl FnOnce(&mut C),
    stop: &CancellationToken,
) -> C::Output {
    tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            wind_down(&mut connection);
            connection.await
        }
    }
}

/// Waits for the first words of an HTTP/2 client, and puts them back.
async fn preface(mut stream: BoxStream) -> io::Result<BoxStream> {
    let mut said = [0; PREFACE_LEN];
    stream.read_exact(&mut said).await?;
    let (reader, writer) = tokio::io::split(stream);
    Ok(Box::new(join(io::Cursor::new(said).chain(reader), writer)))
}

fn http1_builder(limits: &ListenerLimits) -> http1::Builder {
    let header_bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .timer(ConnectionTimer::default())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.max_headers)
        .max_buf_size(header_bytes.max(MIN_BUFFER));
    builder
}

fn http2_builder(limits: &ListenerLimits, windows: &Windows) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_local_error_reset_streams(limits.max_error_resets)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive_timeout)
        .max_frame_size(windows.frame)
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection);
    builder
}
