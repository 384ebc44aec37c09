//! What a test's nodes write to the log.

use std::{
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{Dispatch, Level, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged on this thread, from its making to its end. (A test's tasks run on its thread.)
pub(crate) struct Log {
    lines: Lines,
    _capturing: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Wants everything, and keeps nothing. Where there is one subscriber alone, `tracing` asks that of the thread which comes to a line first whether anybody
/// wants it, and remembers the answer for all threads: a test beside this one that captures nothing would answer no.
static WANTS_ALL: LazyLock<Dispatch> =
    LazyLock::new(|| tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::sink).finish().into());

impl Log {
    /// Captures all that is logged, down to the finest.
    pub(crate) fn capture() -> Self {
        LazyLock::force(&WANTS_ALL);
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer(lines.clone()).finish();
        Self { lines, _capturing: tracing::subscriber::set_default(subscriber) }
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// How far it has come: for [`Self::denials_since`].
    pub(crate) fn mark(&self) -> usize {
        self.lines.0.lock().unwrap().len()
    }

    /// What the audit log says from then on was denied.
    pub(crate) fn denials_since(&self, mark: usize) -> Vec<String> {
        let lines = self.lines.0.lock().unwrap();
        let text = std::str::from_utf8(&lines[mark..]).unwrap();
        text.lines().filter(|line| line.contains(" audit: ") && line.contains(" outcome=\"denied\"")).map(str::to_owned).collect()
    }

    /// The lines of the audit log.
    pub(crate) fn audit(&self) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(" audit: ")).map(str::to_owned).collect()
    }

    /// The one line of the audit log with all of these in it.
    #[track_caller]
    pub(crate) fn one(&self, parts: &[&str]) -> String {
        let audit = self.audit();
        let found: Vec<_> = audit.iter().filter(|line| parts.iter().all(|part| line.contains(part))).collect();
        assert_eq!(found.len(), 1, "{parts:?} in {audit:#?}");
        found[0].clone()
    }
}
