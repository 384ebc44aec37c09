//! SIGINT and SIGTERM.

use std::{future::Future, io};

/// Resolves at the first signal that asks the process to end.
#[cfg(unix)]
pub(crate) fn terminate() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves at the first signal that asks the process to end. (Where there is no SIGTERM, Ctrl-C alone does.)
#[cfg(not(unix))]
pub(crate) fn terminate() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
    })
}

/// Ends the process at the next signal: whoever asks twice does not want to wait.
pub(crate) async fn exit_on_the_next() {
    if let Ok(signalled) = terminate() {
        signalled.await;
        std::process::exit(130);
    }
}
