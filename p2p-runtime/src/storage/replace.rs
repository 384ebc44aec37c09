//! Replacing the store's file by its next save, so that at every instant one whole save stands under its name.
//!
//! New file beside it, sync, read back, keep the old one under `store.p2p.1`, rename the new one over it, sync the folder.
//! The old file is never written to. A file whose sync failed is thrown away: the system may have dropped the bytes and
//! report success the next time.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{StoreError, archive::MAX_FILE, files::Files};

/// How many earlier saves are kept.
pub(super) const KEPT: usize = 3;

/// Enough of a file to tell one save from another: the header's random bytes are among these.
const START: usize = 128;

/// The names of a store's files.
pub(super) struct Names {
    pub(super) dir: PathBuf,
    /// The store itself.
    pub(super) current: PathBuf,
    /// The next save while it is being written.
    new: PathBuf,
    /// What is locked while the store is open.
    pub(super) lock: PathBuf,
}

impl Names {
    pub(super) fn in_dir(dir: &Path) -> Self {
        // An empty path means here, but cannot be opened as a folder.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        Self {
            dir: dir.to_path_buf(),
            current: dir.join("store.p2p"),
            new: dir.join("store.p2p.new"),
            lock: dir.join("store.lock"),
        }
    }

    /// The save `back` saves before the current one.
    pub(super) fn kept(&self, back: usize) -> PathBuf {
        self.dir.join(format!("store.p2p.{back}"))
    }
}

/// Makes `bytes` the store's content, durably. `verify` is given what was read back.
///
/// After an error the old content is there as before; only where the very last step failed, syncing the folder, the new one
/// may be there instead.
pub(super) fn replace(
    files: &dyn Files,
    names: &Names,
    bytes: &[u8],
    verify: impl FnOnce(&[u8]) -> bool,
) -> Result<(), StoreError> {
    let written = write_new(files, names, bytes, verify).and_then(|()| {
        keep_current(files, names)?;
        files.rename(&names.new, &names.current).map_err(|error| StoreError::io("renaming", &names.new, error))
    });
    if written.is_err() {
        // A leftover is harmless and goes with the next save; the error that matters is the first.
        let _ = files.remove(&names.new);
        return written;
    }
    files.sync_dir(&names.dir).map_err(|error| StoreError::io("syncing the folder", &names.dir, error))
}

fn write_new(files: &dyn Files, names: &Names, bytes: &[u8], verify: impl FnOnce(&[u8]) -> bool) -> Result<(), StoreError> {
    let failed = |doing| move |error| StoreError::io(doing, &names.new, error);
    if files.exists(&names.new).map_err(failed("looking for"))? {
        files.remove(&names.new).map_err(failed("removing the unfinished"))?;
    }
    let mut file = files.create(&names.new).map_err(failed("creating"))?;
    file.write(bytes).map_err(failed("writing"))?;
    file.sync().map_err(failed("syncing"))?;
    drop(file);
    let again = files.read(&names.new, MAX_FILE + 1).map_err(failed("reading back"))?;
    if again == bytes && verify(&again) { Ok(()) } else { Err(StoreError::Unfaithful { file: names.new.clone() }) }
}

/// Gives the current file the name of the newest earlier save as well, moving the earlier ones back by one.
///
/// It may have been cut off or have failed half way before, so it moves only what is in the way.
fn keep_current(files: &dyn Files, names: &Names) -> Result<(), StoreError> {
    let exists = |path: &Path| files.exists(path).map_err(|error| StoreError::io("looking for", path, error));
    let start = |path: &Path| files.read(path, START).map_err(|error| StoreError::io("reading", path, error));
    let newest = names.kept(1);
    if !exists(&names.current)? {
        return Ok(());
    }
    if exists(&newest)? && start(&newest)? == start(&names.current)? {
        return Ok(());
    }
    let mut gap = 1;
    while gap < KEPT && exists(&names.kept(gap))? {
        gap += 1;
    }
    for back in (1..gap).rev() {
        let (from, to) = (names.kept(back), names.kept(back + 1));
        files.rename(&from, &to).map_err(|error| StoreError::io("renaming", &from, error))?;
    }
    match files.link(&names.current, &newest) {
        // Some file systems give a file one name only; there it is copied.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            copy(files, &names.current, &newest)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(()),
    }
    .map_err(|error| StoreError::io("keeping the earlier save as", &newest, error))
}

fn copy(files: &dyn Files, from: &Path, to: &Path) -> io::Result<()> {
    let bytes = files.read(from, MAX_FILE + 1)?;
    let mut file = files.create(to)?;
    let written = file.write(&bytes).and_then(|()| file.sync());
    drop(file);
    if written.is_err() {
        let _ = files.remove(to);
    }
    written
}
