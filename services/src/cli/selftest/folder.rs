//! What another program of the same machine could do: guess the password, use the store beside the node, read its files.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::fill;
use p2p_client::protocol::ErrorCode;
use p2p_runtime::{
    storage::{Secret, StoreCommand},
    web::StoreRequest,
};
use tokio::task::spawn_blocking;

use super::{
    super::{
        error::CliError,
        output, quoted,
        socket::{Ask, Socket},
    },
    Check,
    finding::{Finding, Found},
};

/// How many of the files that others may read are named.
const NAMED: usize = 3;

/// The checks.
pub(super) fn checks<'a>(socket: &'a Socket<'a>, dir: &'a Path) -> Vec<Check<'a>> {
    vec![
        Check::case(7, "a wrong password for the store", wrong_password(socket)),
        Check::case(9, "a second process with the store", async move {
            let lock = dir.join("store.lock");
            Ok(spawn_blocking(move || lock_is_held(&lock)).await??)
        }),
        Check::other("other users' access to the node's files", async move {
            let dir = dir.to_owned();
            Ok(spawn_blocking(move || private_files(&dir)).await??)
        }),
    ]
}

async fn wrong_password(socket: &Socket<'_>) -> Found {
    let mut guess = [0; 16];
    fill(&mut guess)?;
    let command = StoreCommand::List { prefix: "selftest/".to_owned() };
    let request = StoreRequest { password: Secret::from(&guess[..]), command };
    match socket.ask(Ask::post_secret("/admin/store", &request)?).await {
        Err(CliError::Refused { error }) if error.code == ErrorCode::DENIED => Ok(Finding::held("refused it")),
        Ok(_) => Ok(Finding::failed("opened the store; let nobody else use its machine until another version runs")),
        Err(error) => Err(error.into()),
    }
}

fn lock_is_held(lock: &Path) -> io::Result<Finding> {
    match OpenOptions::new().read(true).open(lock)?.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(Finding::held("holds the lock of its store")),
        Err(TryLockError::Error(error)) => Err(error),
        // The lock goes with the file, at once.
        Ok(()) => Ok(Finding::failed(
            "does not hold the lock of its store; stop it before another process writes there, and start it again",
        )),
    }
}

/// Whether only their owner may use the files in the folder.
#[cfg(unix)]
fn private_files(dir: &Path) -> io::Result<Finding> {
    let mut open = Vec::new();
    let of = visit(dir, &mut open)?;
    if open.is_empty() {
        return Ok(Finding::held(format!("keeps all {of} for its own user")));
    }
    open.sort();
    let mut names: Vec<_> =
        open.iter().take(NAMED).map(|path| path.strip_prefix(dir).unwrap_or(path).display().to_string()).collect();
    if open.len() > NAMED {
        names.push(format!("{} more", open.len() - NAMED));
    }
    let repair = format!("chmod -R go= {}", quoted(&dir.to_string_lossy()));
    Ok(Finding::failed(format!("lets others use {}; take that back with `{repair}`", output::list(names))))
}

#[cfg(not(unix))]
fn private_files(_: &Path) -> io::Result<Finding> {
    Ok(Finding::Skipped("who may read a file is looked at on Unix only".to_owned()))
}

/// Goes through a folder; gives the number of its files, and collects those that others may use.
#[cfg(unix)]
fn visit(dir: &Path, open: &mut Vec<PathBuf>) -> io::Result<usize> {
    use std::os::unix::fs::PermissionsExt;
    let mut seen = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let about = match fs::symlink_metadata(&path) {
            // The node has replaced it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() {
            seen += visit(&path, open)?;
        } else if !about.is_symlink() {
            seen += 1;
            if about.permissions().mode() & 0o077 != 0 {
                open.push(path);
            }
        }
    }
    Ok(seen)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_that_others_may_read_are_named_with_what_closes_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        for (name, mode) in [("a", 0o600), ("state/b", 0o600)] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(private_files(dir.path()).unwrap(), Finding::held("keeps all 2 for its own user"));
        fs::set_permissions(dir.path().join("state/b"), fs::Permissions::from_mode(0o604)).unwrap();
        let found = private_files(dir.path()).unwrap();
        assert!(found.result() == "FAILED" && found.text().contains("lets others use state/b;"), "{found:?}");
        assert!(found.text().contains("chmod -R go= "), "{found:?}");
    }

    #[test]
    fn a_store_that_nobody_holds_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("store.lock");
        let file = fs::File::create(&lock).unwrap();
        assert_eq!(lock_is_held(&lock).unwrap().result(), "FAILED");
        file.lock().unwrap();
        assert_eq!(lock_is_held(&lock).unwrap().result(), "ok");
    }
}
