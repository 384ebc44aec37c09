//! The log: on standard error, so that it never mixes with results.

use std::{fmt, io::IsTerminal, sync::Arc};

use p2p_runtime::config::LogLevel;
use tracing_subscriber::EnvFilter;

/// The log, of which a node's configuration says how much there is.
#[derive(Clone, Default)]
pub(super) struct Log {
    set: Option<Arc<dyn Fn(LogLevel) + Send + Sync>>,
}

impl Log {
    /// Logs so much from now on, unless somebody said something else when the program was called.
    pub(super) fn set_level(&self, level: LogLevel) {
        if let Some(set) = &self.set {
            set(level);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("follows_the_configuration", &self.set.is_some()).finish()
    }
}

/// What the levels mean: what others log of their insides is a level behind.
fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info,foca=warn",
        LogLevel::Debug => "debug,foca=info,h2=info,hyper=info,hyper_util=info,rustls=info",
        LogLevel::Trace => "trace,h2=debug,hyper=debug,hyper_util=debug",
    }
}

/// The same for a node that runs: its audit log is written whatever the level, as whoever reads it later relies on it.
fn node_directives(level: LogLevel) -> String {
    format!("{},audit=info", directives(level))
}

/// Sets up the log, unless the program has done so. A node in the foreground logs what its configuration says, the other commands only warnings.
pub(super) fn set_up(verbose: u8, foreground: bool) -> Log {
    let level = match verbose + u8::from(foreground) {
        0 => LogLevel::Warn,
        1 => LogLevel::Info,
        2 => LogLevel::Debug,
        _ => LogLevel::Trace,
    };
    let named = EnvFilter::try_from_default_env().ok();
    let follows = foreground && verbose == 0 && named.is_none();
    let filter = named.unwrap_or_else(|| EnvFilter::new(directives(level)));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let log = log.with_filter_reloading();
    let reload = log.reload_handle();
    // Fails only where the program has a log of its own, which stays.
    let is_ours = log.try_init().is_ok();
    let set = move |level| {
        // Fails only where the log is gone, which it is not before the process is.
        let _ = reload.reload(EnvFilter::new(node_directives(level)));
    };
    Log { set: (follows && is_ours).then(|| Arc::new(set) as Arc<dyn Fn(LogLevel) + Send + Sync>) }
}
