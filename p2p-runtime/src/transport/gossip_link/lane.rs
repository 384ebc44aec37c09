//! One connection at work: what waits to be written, and the task that writes and reads.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use p2p_client::{protocol::NodeId, wire::net::BoxStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Notify,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    GossipLinkConfig,
    frames::{decode, encode},
    intake::{Intake, Share},
};

/// What is written at a time, and read before a sign of life is due.
const CHUNK: usize = 64 * 1024;
/// What is read at a time: most frames are small, and a connection should cost little while it is idle.
const READ: usize = 4 * 1024;

/// The frames that wait for a connection.
pub(super) struct Outbox {
    state: Mutex<Waiting>,
    wake: Notify,
    max: usize,
}

struct Waiting {
    frames: VecDeque<Bytes>,
    used: Instant,
    closed: bool,
}

impl Outbox {
    pub(super) fn new(max: usize) -> Self {
        let state = Waiting { frames: VecDeque::new(), used: Instant::now(), closed: false };
        Self { state: Mutex::new(state), wake: Notify::new(), max: max.max(1) }
    }

    /// Adds a frame; the oldest makes room. Newer news is better news.
    pub(super) fn push(&self, frame: Bytes) {
        let mut state = self.state();
        if state.frames.len() >= self.max {
            state.frames.pop_front();
        }
        state.frames.push_back(frame);
        state.used = Instant::now();
        self.wake.notify_one();
    }

    /// Lets the connection end once everything is written.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().frames.is_empty()
    }

    pub(super) fn used(&self) -> Instant {
        self.state().used
    }

    pub(super) fn drain(&self) -> Vec<Bytes> {
        self.state().frames.drain(..).collect()
    }

    /// Moves waiting frames into `out`, one chunk's worth, and says whether there were any.
    fn take_chunk(&self, out: &mut BytesMut) -> bool {
        let mut state = self.state();
        let before = out.len();
        while out.len() < CHUNK
            && let Some(frame) = state.frames.pop_front()
        {
            encode(&frame, out);
        }
        out.len() > before
    }

    fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// One of the two closed it on purpose.
    InOrder,
    /// It broke, or the peer fell silent.
    Broken,
    /// The peer broke the rules, or nobody takes frames here any more.
    Forbidden,
}

/// What the reading and the writing half tell each other.
#[derive(Default)]
struct Vital {
    /// Frames came in that nothing was answered to yet.
    owed: AtomicBool,
    /// The peer has said something.
    heard: AtomicBool,
    /// Since when the peer owes a sign of life.
    waiting: Mutex<Option<Instant>>,
    wrote: Notify,
}

impl Vital {
    fn waiting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries frames both ways until the connection ends, and says how it ended and whether the peer was ever heard.
pub(super) async fn pump(
    stream: BoxStream,
    outbox: &Outbox,
    from: &NodeId,
    intake: &Intake,
    config: &GossipLinkConfig,
    stop: &CancellationToken,
) -> (Ended, bool) {
    let (vital, share) = (Vital::default(), intake.share());
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        ended = read(reader, outbox, &vital, from, &share, config) => ended,
        ended = write(writer, outbox, &vital, config, stop) => ended,
        () = silence(&vital, config) => {
            tracing::debug!(peer = %from, "a member's connection fell silent");
            Ended::Broken
        }
    };
    (ended, vital.heard.into_inner())
}

async fn read(
    mut reader: ReadHalf<BoxStream>,
    outbox: &Outbox,
    vital: &Vital,
    from: &NodeId,
    share: &Share<'_>,
    config: &GossipLinkConfig,
) -> Ended {
    let mut buffer = BytesMut::new();
    let mut unanswered = 0;
    loop {
        buffer.reserve(READ);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return Ended::InOrder,
            Ok(count) => unanswered += count,
            Err(error) => {
                tracing::debug!(peer = %from, %error, "a member's connection broke");
                return Ended::Broken;
            }
        }
        vital.heard.store(true, Ordering::Relaxed);
        *vital.waiting() = None;
        let mut any = unanswered >= CHUNK;
        loop {
            match decode(&mut buffer, config.max_frame) {
                Ok(None) => break,
                Ok(Some(frame)) if frame.is_empty() => {}
                Ok(Some(frame)) => {
                    any = true;
                    if !share.put(from, frame).await {
                        return Ended::Forbidden;
                    }
                }
                Err(error) => {
                    tracing::warn!(peer = %from, %error, "a member broke the frame protocol; its connection is closed");
                    return Ended::Forbidden;
                }
            }
        }
        if buffer.is_empty() {
            // A large frame's room is given back.
            buffer = BytesMut::new();
        }
        if any {
            unanswered = 0;
            vital.owed.store(true, Ordering::Release);
            outbox.wake.notify_one();
        }
    }
}

async fn write(
    mut writer: WriteHalf<BoxStream>,
    outbox: &Outbox,
    vital: &Vital,
    config: &GossipLinkConfig,
    stop: &CancellationToken,
) -> Ended {
    let mut idle_since = Instant::now();
    loop {
        let mut chunk = BytesMut::new();
        let frames = outbox.take_chunk(&mut chunk);
        if vital.owed.swap(false, Ordering::Acquire) && !frames {
            encode(b"", &mut chunk);
        }
        if chunk.is_empty() {
            if outbox.is_closed() || stop.is_cancelled() {
                // The peer is told that this is on purpose, if it can still be told.
                let _ = timeout(config.write_timeout, writer.shutdown()).await;
                return Ended::InOrder;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                woken = timeout_at(idle_since + config.idle, outbox.wake.notified()) => {
                    if woken.is_err() {
                        outbox.close();
                    }
                }
            }
            continue;
        }
        for part in chunk.chunks(CHUNK) {
            if timeout(config.write_timeout, put(&mut writer, part)).await.is_ok_and(|done| done.is_ok()) {
                continue;
            }
            return Ended::Broken;
        }
        idle_since = Instant::now();
        if frames {
            vital.waiting().get_or_insert(idle_since);
            vital.wrote.notify_one();
        }
    }
}

async fn put(writer: &mut WriteHalf<BoxStream>, part: &[u8]) -> io::Result<()> {
    writer.write_all(part).await?;
    writer.flush().await
}

/// Ends when the peer has been silent for too long after something was written.
async fn silence(vital: &Vital, config: &GossipLinkConfig) {
    loop {
        let since = *vital.waiting();
        match since.map(|since| since + config.silence) {
            None => vital.wrote.notified().await,
            Some(due) if due > Instant::now() => sleep_until(due).await,
            Some(_) => return,
        }
    }
}
