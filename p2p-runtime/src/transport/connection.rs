//! One HTTP connection, from its first byte to its end.

use std::{io, pin::pin, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use p2p_client::wire::net::BoxStream;
use tokio::{
    io::{AsyncReadExt, join},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    handler::{HttpHandler, Origin},
    limits::ListenerLimits,
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
    let origin = Arc::new(origin);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (handler, origin) = (handler.clone(), origin.clone());
        async move { handler.answer(&origin, request.map(axum::body::Body::new)).await }
    });
    let builder = builder(http2, limits, &windows);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?remote, %error, "HTTP connection ended with an error");
    }
}

/// Waits for the first words of an HTTP/2 client, and puts them back.
async fn preface(mut stream: BoxStream) -> io::Result<BoxStream> {
    let mut said = [0; PREFACE_LEN];
    stream.read_exact(&mut said).await?;
    let (reader, writer) = tokio::io::split(stream);
    Ok(Box::new(join(io::Cursor::new(said).chain(reader), writer)))
}

fn builder(http2: bool, limits: &ListenerLimits, windows: &Windows) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    // The protocol is agreed on in the handshake, so that nothing has to be guessed (which nothing would time).
    let mut builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    let header_bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.max_headers)
        .max_buf_size(header_bytes.max(MIN_BUFFER));
    builder
        .http2()
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
