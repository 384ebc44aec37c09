//! The node's Unix socket: local administration, for whoever may open the file.
//!
//! The file has mode 0600 before it can be reached: it is bound inside a folder of mode 0700, and moved to its place when it
//! is ready. A file that a dead process left behind is replaced; one that a live process serves is an error.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use p2p_client::wire::net::BoxStream;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{
    connection::serve_http,
    crowd::Crowd,
    handler::{HttpHandler, Ingress, Origin},
    limits::ListenerLimits,
    listener::pause_after,
};

/// Why there is no Unix socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnixSocketError {
    /// A live process serves the socket.
    #[error("{} is served by a running node; stop that node first, or use another folder", .path.display())]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// There is a file of another kind.
    #[error("{} is in the way: it is no socket; move it away", .path.display())]
    NotASocket {
        /// The socket's path.
        path: PathBuf,
    },
    /// The system does not take paths of this length.
    #[error("the path {} is too long for a socket ({} bytes at most); use a shorter folder", .path.display(), MAX_PATH)]
    PathTooLong {
        /// The socket's path.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot make the socket {}: {source}; check the folder's permissions", .path.display())]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The longest path of a socket on Linux; others take a few bytes less, and then say so themselves.
const MAX_PATH: usize = 107;

/// A bound socket. Dropping it removes the file, if it is still this one.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

impl UnixSocket {
    /// Binds a socket that only this user may open. Use it inside a tokio runtime.
    ///
    /// # Errors
    /// [`UnixSocketError`]; nothing was changed then.
    pub async fn bind(path: impl Into<PathBuf>) -> Result<Self, UnixSocketError> {
        let path = path.into();
        check_free(&path).await?;
        let failed = |source| UnixSocketError::Io { path: path.clone(), source };
        let folder = path.parent().unwrap_or(Path::new(".")).join(format!(".s{}", std::process::id()));
        let hidden = folder.join("s");
        if path.as_os_str().len().max(hidden.as_os_str().len()) > MAX_PATH {
            return Err(UnixSocketError::PathTooLong { path });
        }
        // Left behind by a process of the same id that was killed between two lines of this function.
        let _ = fs::remove_file(&hidden);
        let _ = fs::remove_dir(&folder);
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let bound = (|| {
            let listener = UnixListener::bind(&hidden)?;
            fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
            let data = fs::symlink_metadata(&hidden)?;
            fs::rename(&hidden, &path)?;
            Ok((listener, (data.dev(), data.ino())))
        })();
        let _ = fs::remove_file(&hidden);
        let _ = fs::remove_dir(&folder);
        let (listener, file) = bound.map_err(failed)?;
        Ok(Self { listener, path, file })
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|data| (data.dev(), data.ino()) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes sure that nothing is at the path, or only what a dead process left there.
async fn check_free(path: &Path) -> Result<(), UnixSocketError> {
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(UnixSocketError::Io { path, source }),
        Ok(data) if !data.file_type().is_socket() => return Err(UnixSocketError::NotASocket { path }),
        Ok(_) => {}
    }
    match UnixStream::connect(&path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        Ok(_) => Err(UnixSocketError::InUse { path }),
        // Its queue of waiting connections is full: somebody is there.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(UnixSocketError::InUse { path }),
        Err(source) => Err(UnixSocketError::Io { path, source }),
    }
}

/// Serves HTTP/1.1 on a Unix socket until `shutdown`. Requests carry [`Ingress::UnixSocket`].
pub async fn serve_unix(socket: UnixSocket, http: HttpHandler, limits: ListenerLimits, shutdown: CancellationToken) {
    let mut crowd = Crowd::new(&limits);
    let mut back_off = std::time::Duration::from_millis(10);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            () = crowd.one_ended() => continue,
            accepted = socket.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => crowd.take(&"unix socket", || {
                let (http, limits, stop) = (http.clone(), limits.clone(), shutdown.clone());
                let origin = Origin { ingress: Ingress::UnixSocket, remote: None, peer: None, shown: None, binding: None };
                async move { serve_http(Box::new(stream) as BoxStream, false, origin, http, &limits, stop).await }
            }),
            Err(error) => {
                if pause_after(&error, &mut back_off, &shutdown).await.is_break() {
                    break;
                }
            }
        }
    }
    drop(socket);
    crowd.finish().await;
}

#[cfg(test)]
mod tests;
