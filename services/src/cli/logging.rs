//! The log: on standard error, so that it never mixes with results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets up the log, unless the program has done so. A node in the foreground logs what happens, the other commands only warnings.
pub(super) fn set_up(verbose: u8, foreground: bool) {
    let usual = match verbose + u8::from(foreground) {
        0 => "warn",
        1 => "info,foca=warn",
        2 => "debug,foca=info,h2=info,hyper=info,hyper_util=info,rustls=info",
        _ => "trace,h2=debug,hyper=debug,hyper_util=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Fails only where the program has a log of its own, which stays.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).try_init();
}
