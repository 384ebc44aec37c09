//! The seam between the store and the file system.
//!
//! Everything the store does to files goes through [`Files`]: [`DiskFiles`] in programs, and in tests a simulated disk that
//! fails any step and forgets what was not synced. Each method is one system call's worth of work, so that a test can cut
//! the power between any two.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What the store needs of a file system.
pub(super) trait Files: Send + Sync {
    /// Makes the folder and those above it where they are missing, for this user only, durably.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether anything has this name, be it a link to nowhere.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// The first `limit` bytes of a file.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// A new file that only this user can read; an error where the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Gives a file another name, taking that name from whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name; an error where that is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock that this file stands for, without waiting, until the returned value is dropped or the process ends.
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError>;
}

/// A file being written.
pub(super) trait NewFile: Send {
    /// Writes behind what was written before.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Writes over what is there.
    fn write_at(&mut self, start: usize, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content durable. After an error nothing is known about the file, and asking again proves nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// Holds a lock until dropped.
pub(super) trait FileLock: Send + Sync {}

/// Why a lock was not taken.
pub(super) enum LockError {
    /// Someone has it; their process id, where it can be read.
    Held(Option<u32>),
    /// The system refused.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The real file system.
pub(super) struct DiskFiles;

impl Files for DiskFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(dir) {
            // Someone else made it in between.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => parent.map_or(Ok(()), |parent| self.sync_dir(parent)),
        }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.try_into().unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private(&mut options);
        Ok(Box::new(DiskFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Elsewhere folders cannot be opened as files, and the file system keeps names in order itself.
    #[cfg(not(unix))]
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.take(20).read_to_string(&mut text).is_ok();
                return Err(LockError::Held(text.trim().parse().ok().filter(|_| read)));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // For whoever finds it locked. The file stays when the lock goes: removing it would let two processes lock two files.
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Box::new(DiskLock(file)))
    }
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

struct DiskFile(File);

impl NewFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn write_at(&mut self, start: usize, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(start as u64))?;
        self.0.write_all(bytes)
    }

    /// What is needed to read it again goes with the data, its length too; its times may be lost.
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

struct DiskLock(File);

impl FileLock for DiskLock {}

impl Drop for DiskLock {
    fn drop(&mut self) {
        // Said aloud, since closing alone keeps the lock while a process being started still has a copy of the descriptor.
        // Should it fail, closing does it a moment later.
        let _ = self.0.set_len(0);
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_with_those_above_it_and_only_this_user_may_enter() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("a/b/c");
        DiskFiles.create_dir(&dir).unwrap();
        DiskFiles.create_dir(&dir).unwrap();
        assert!(dir.is_dir());
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&dir).unwrap().permissions()) & 0o777, 0o700);
    }

    #[test]
    fn a_name_that_is_taken_is_not_created_over_even_when_it_is_a_link_to_nowhere() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("file");
        DiskFiles.create(&path).unwrap().write(b"first").unwrap();
        assert_eq!(DiskFiles.create(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(DiskFiles.read(&path, 3).unwrap(), b"fir");
        #[cfg(unix)]
        {
            let link = base.path().join("link");
            std::os::unix::fs::symlink(base.path().join("nowhere"), &link).unwrap();
            assert!(DiskFiles.exists(&link).unwrap());
            assert_eq!(DiskFiles.create(&link).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        }
    }

    #[test]
    fn a_lock_that_is_held_names_its_holder_and_is_free_again_when_dropped() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("lock");
        let held = DiskFiles.lock(&path).ok().unwrap();
        assert!(matches!(DiskFiles.lock(&path), Err(LockError::Held(Some(pid))) if pid == std::process::id()));
        drop(held);
        assert!(DiskFiles.lock(&path).is_ok());
    }
}
