//! Replacing the store's files by those of its next save, so that at every instant one whole save stands under its name, with
//! its log.
//!
//! 1. [`prepare`]: the new log under its own name, the new archive beside the old one; sync both, read both back, sync the folder;
//!    keep the old archive under `store.p2p.1`.
//! 2. [`commit`]: rename the new archive over the old one, sync the folder.
//! 3. [`sweep`]: remove the logs of saves that are not kept any more.
//!
//! The old files are never written to. A log bears the number of its save, so that it is at its place before the save is, and
//! the old one still there. A file whose sync failed is thrown away: the system may have dropped the bytes and report
//! success the next time.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use super::{
    StoreError,
    archive::MAX_FILE,
    checks::{Check, bound, holds},
    files::{Files, NewFile},
    header::{MAX_HEADER, Unverified},
    log::MAX_LOG,
};

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
            new: dir.join(bound(Check::OwnName, "store.p2p.new", "store.p2p")),
            lock: dir.join("store.lock"),
        }
    }

    /// The save `back` saves before the current one.
    pub(super) fn kept(&self, back: usize) -> PathBuf {
        self.dir.join(format!("store.p2p.{back}"))
    }

    /// The current save and those before it, the newest first.
    pub(super) fn saves(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(self.current.clone()).chain((1..=KEPT).map(|back| self.kept(back)))
    }

    /// The log of the save with this number.
    pub(super) fn log(&self, generation: u64) -> PathBuf {
        self.dir.join(format!("store-{generation}.log"))
    }

    /// The number of the save whose log has this name.
    pub(super) fn generation_of_log(path: &Path) -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("store-")?.strip_suffix(".log")?.parse().ok()
    }

    /// The logs that are in the folder, by the numbers of their saves.
    pub(super) fn logs(&self, files: &dyn Files) -> io::Result<Vec<(u64, PathBuf)>> {
        let named = |path: PathBuf| Some((Self::generation_of_log(&path)?, path));
        Ok(files.list(&self.dir)?.into_iter().filter_map(named).collect())
    }
}

/// What a save writes.
pub(super) struct Save {
    pub(super) generation: u64,
    pub(super) archive: Vec<u8>,
    pub(super) log: Vec<u8>,
    /// Whether the file that it replaces is worth keeping.
    pub(super) keep: bool,
}

/// Writes a save under names of its own, durably. `verify` is given what was read back of the archive. Gives the log, to append to.
///
/// After an error the old files are there as before.
pub(super) fn prepare(
    files: &dyn Files,
    names: &Names,
    save: &Save,
    verify: impl FnOnce(&[u8]) -> bool,
) -> Result<Box<dyn NewFile>, StoreError> {
    let log = names.log(save.generation);
    let prepared = write_new(files, &log, &save.log, MAX_LOG + 1, |_| true).and_then(|appending| {
        write_new(files, &names.new, &save.archive, MAX_FILE + 1, verify)?;
        sync_dir(files, &names.dir)?;
        if save.keep {
            keep_current(files, names)?;
        }
        Ok(appending)
    });
    if prepared.is_err() {
        // A leftover is harmless and goes with the next save; the error that matters is the first.
        let _ = files.remove(&names.new);
        let _ = files.remove(&log);
    }
    prepared
}

/// Makes the prepared save the store.
///
/// After an error it is not known which of the two the store is, the old one or the new one.
pub(super) fn commit(files: &dyn Files, names: &Names) -> Result<(), StoreError> {
    files.rename(&names.new, &names.current).map_err(|error| StoreError::io("renaming", &names.new, error))?;
    sync_dir(files, &names.dir)
}

/// Removes the logs that belong to no save in the folder. It removes none where it cannot tell.
pub(super) fn sweep(files: &dyn Files, names: &Names) {
    let _ = (|| {
        let mut used = BTreeSet::new();
        for path in names.saves() {
            if files.exists(&path)? {
                used.insert(generation_of(files, &path).ok_or(io::ErrorKind::InvalidData)?);
            }
        }
        for (generation, path) in names.logs(files)? {
            if !used.contains(&generation) {
                files.remove(&path)?;
            }
        }
        io::Result::Ok(())
    })();
}

/// The number that a save says it has.
fn generation_of(files: &dyn Files, path: &Path) -> Option<u64> {
    let start = files.read(path, MAX_HEADER).ok()?;
    Some(Unverified::decode(&start).ok()?.claimed().generation)
}

fn sync_dir(files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
    files.sync_dir(dir).map_err(|error| StoreError::io("syncing the folder", dir, error))
}

/// Writes a file in the place of what an unfinished save may have left, and reads it back.
pub(super) fn write_new(
    files: &dyn Files,
    path: &Path,
    bytes: &[u8],
    limit: usize,
    verify: impl FnOnce(&[u8]) -> bool,
) -> Result<Box<dyn NewFile>, StoreError> {
    let failed = |doing| move |error| StoreError::io(doing, path, error);
    if files.exists(path).map_err(failed("looking for"))? {
        files.remove(path).map_err(failed("removing the unfinished"))?;
    }
    let mut file = files.create(path).map_err(failed("creating"))?;
    file.write(bytes).map_err(failed("writing"))?;
    file.sync().map_err(failed("syncing"))?;
    let again = files.read(path, limit).map_err(failed("reading back"))?;
    if holds(Check::ReadBack, again == bytes && verify(&again)) {
        Ok(file)
    } else {
        Err(StoreError::Unfaithful { file: path.to_path_buf() })
    }
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
            copy(files, &names.current, &newest, MAX_FILE + 1)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(()),
    }
    .map_err(|error| StoreError::io("keeping the earlier save as", &newest, error))
}

/// Writes a file's content under another name, durably.
pub(super) fn copy(files: &dyn Files, from: &Path, to: &Path, limit: usize) -> io::Result<()> {
    let bytes = files.read(from, limit)?;
    let mut file = files.create(to)?;
    let written = file.write(&bytes).and_then(|()| file.sync());
    drop(file);
    if written.is_err() {
        let _ = files.remove(to);
    }
    written
}
