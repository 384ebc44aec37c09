//! A simulated disk: it fails any step it is told to, and at a power cut it forgets what was not synced.
//!
//! It is harsher than real ones: of the writes and name changes that were not synced, any may be lost and any may stay,
//! whatever their order; a write may stay in parts; after a failed sync the data is gone and the next sync reports success.
//! Syncing a folder makes the names in that folder durable, and no others.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::storage::files::{FileLock, Files, LockError, NewFile};

/// Bytes that a disk writes as one.
const SECTOR: usize = 64;
/// Up to how many things that were not synced every subset of them is tried.
const EXHAUSTIVE: u32 = 8;
/// How many subsets are tried otherwise.
const RANDOM: u64 = 60;

/// A handle on the disk; clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Disk>>);

#[derive(Clone, Default)]
struct Disk {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Name changes since their folder was synced.
    renames: Vec<NameChange>,
    /// The folders that were made: durably, as [`Files::create_dir`] promises.
    dirs: BTreeSet<PathBuf>,
    locked: HashSet<PathBuf>,
    steps: Vec<&'static str>,
    trouble: Trouble,
    /// Syncs that do nothing: the control that shows what they are for.
    idle_syncs: &'static [&'static str],
    /// Copies of files instead of second names.
    no_links: bool,
    /// Files whose sync failed, and whether one was synced again.
    sync_failed: HashSet<usize>,
    sync_retried: bool,
}

#[derive(Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    synced: bool,
}

/// From one name, if any, to another, if any, for a file.
type NameChange = (Option<PathBuf>, Option<PathBuf>, usize);

/// What goes wrong, and at which step, counted from 0.
#[derive(Clone, Copy, Default)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// That step fails, the next ones work.
    FailAt(usize, io::ErrorKind),
    /// The power is gone from that step on.
    CutAt(usize),
}

impl SimDisk {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk with the same content, on which `trouble` happens. Steps are counted anew; nobody holds a lock.
    pub(crate) fn copy(&self, trouble: Trouble) -> Self {
        let mut disk = self.disk().clone();
        disk.trouble = trouble;
        disk.steps.clear();
        disk.locked.clear();
        Self(Arc::new(Mutex::new(disk)))
    }

    /// What a computer may find after the power came back: all that is possible where that is not too much, otherwise the
    /// plain cases and some at random.
    pub(crate) fn after_power_cut(&self) -> Vec<Self> {
        let mut choices = 0;
        self.cut(|| {
            choices += 1;
            true
        });
        if choices <= EXHAUSTIVE {
            return (0..1_u64 << choices).map(|mask| self.cut(bits(mask))).collect();
        }
        (0..RANDOM).map(|seed| self.after_random_power_cut(seed)).collect()
    }

    /// One of the ends, by a seed.
    pub(super) fn after_random_power_cut(&self, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        // The first seeds are the plain cases: nothing stayed, or everything.
        let likely = match seed {
            0 => 0.0,
            1 => 1.0,
            _ => random.random(),
        };
        self.cut(|| random.random_bool(likely))
    }

    /// What is found where `stays` says of each thing that was not synced whether it stayed.
    fn cut(&self, mut stays: impl FnMut() -> bool) -> Self {
        let before = self.disk().clone();
        let mut disk =
            Disk { no_links: before.no_links, names: before.durable_names.clone(), dirs: before.dirs.clone(), ..Disk::default() };
        for (from, to, file) in &before.renames {
            if stays() {
                if let Some(from) = from {
                    disk.names.remove(from);
                }
                if let Some(to) = to {
                    disk.names.insert(to.clone(), *file);
                }
            }
        }
        disk.durable_names.clone_from(&disk.names);
        for content in &before.files {
            let mut found = content.durable.clone();
            if !content.synced {
                // The length may be known although the bytes are not.
                if content.seen.len() != found.len() && stays() {
                    found.resize(content.seen.len(), 0);
                }
                for at in (0..found.len()).step_by(SECTOR) {
                    let sector = at..(at + SECTOR).min(found.len());
                    if found[sector.clone()] != content.seen[sector.clone()] && stays() {
                        found[sector.clone()].copy_from_slice(&content.seen[sector]);
                    }
                }
            }
            disk.files.push(Content { seen: found.clone(), durable: found, synced: true });
        }
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Makes `sync` or `sync_dir` or both report success and do nothing.
    pub(super) fn let_idle(&self, syncs: &'static [&'static str]) {
        self.disk().idle_syncs = syncs;
    }

    pub(super) fn have_no_links(&self) {
        self.disk().no_links = true;
    }

    /// The steps taken so far.
    pub(crate) fn steps(&self) -> Vec<&'static str> {
        self.disk().steps.clone()
    }

    /// Whether a file was synced again after its sync had failed.
    pub(super) fn sync_was_retried(&self) -> bool {
        self.disk().sync_retried
    }

    pub(super) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        Some(disk.files[*disk.names.get(path)?].seen.clone())
    }

    pub(super) fn set_content(&self, path: &Path, bytes: &[u8]) {
        let mut disk = self.disk();
        let file = disk.files.len();
        disk.files.push(Content { seen: bytes.to_vec(), durable: bytes.to_vec(), synced: true });
        disk.names.insert(path.to_path_buf(), file);
        disk.durable_names.insert(path.to_path_buf(), file);
    }

    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.disk().names.keys().cloned().collect()
    }

    fn step(&self, name: &'static str) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk();
        let at = disk.steps.len();
        disk.steps.push(name);
        match disk.trouble {
            Trouble::FailAt(step, kind) if step == at => Err(kind.into()),
            Trouble::CutAt(step) if at >= step => Err(io::Error::other("the power is off")),
            _ => Ok(disk),
        }
    }
}

/// The bits of a number, the last one first.
fn bits(mut mask: u64) -> impl FnMut() -> bool {
    move || {
        let bit = mask & 1 == 1;
        mask >>= 1;
        bit
    }
}

impl Disk {
    fn file(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, from: Option<&Path>, to: Option<&Path>, file: usize) {
        if let Some(from) = from {
            self.names.remove(from);
        }
        if let Some(to) = to {
            self.names.insert(to.to_path_buf(), file);
        }
        self.renames.push((from.map(Path::to_path_buf), to.map(Path::to_path_buf), file));
    }

    fn make_names_durable(&mut self, dir: &Path) {
        let is_inside = |name: &PathBuf| name.parent() == Some(dir);
        self.durable_names.retain(|name, _| !is_inside(name));
        self.durable_names
            .extend(self.names.iter().filter(|(name, _)| is_inside(name)).map(|(name, file)| (name.clone(), *file)));
        // Nothing is renamed from one folder to another, so that a change is of the folder of either name.
        self.renames.retain(|(from, to, _)| !from.iter().chain(to).any(is_inside));
    }

    fn refuse_taken(&self, path: &Path) -> io::Result<()> {
        if self.names.contains_key(path) { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }
}

impl Files for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.step("create_dir")?.dirs.insert(dir.to_path_buf());
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let disk = self.step("exists")?;
        Ok(disk.names.contains_key(path) || disk.dirs.contains(path))
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let disk = self.step("read")?;
        let mut bytes = disk.files[disk.file(path)?].seen.clone();
        bytes.truncate(limit);
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut disk = self.step("create")?;
        disk.refuse_taken(path)?;
        let file = disk.files.len();
        disk.files.push(Content::default());
        disk.change_name(None, Some(path), file);
        drop(disk);
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.step("rename")?;
        assert_eq!(from.parent(), to.parent(), "a rename from folder to folder is two changes, of which one may be lost");
        let file = disk.file(from)?;
        disk.change_name(Some(from), Some(to), file);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.step("link")?;
        if disk.no_links {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        disk.refuse_taken(to)?;
        let file = disk.file(from)?;
        disk.change_name(None, Some(to), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.step("remove")?;
        let file = disk.file(path)?;
        disk.change_name(Some(path), None, file);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let disk = self.step("list")?;
        Ok(disk.names.keys().filter(|name| name.parent() == Some(dir)).cloned().collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.step("sync_dir")?;
        if !disk.idle_syncs.contains(&"sync_dir") {
            disk.make_names_durable(dir);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        if !self.step("lock")?.locked.insert(path.to_path_buf()) {
            return Err(LockError::Held(Some(4711)));
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_path_buf() }))
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SimFile {
    fn put(&mut self, step: &'static str, start: usize, bytes: &[u8]) -> io::Result<()> {
        let result = self.disk.step(step).map(drop);
        // One that fails, for want of room or power, has written a part.
        let written = if result.is_ok() { bytes.len() } else { bytes.len() / 2 };
        let content = &mut self.disk.disk().files[self.file];
        let end = start + written;
        content.seen.resize(content.seen.len().max(end), 0);
        content.seen[start..end].copy_from_slice(&bytes[..written]);
        content.synced = false;
        result
    }
}

impl NewFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.disk.disk().files[self.file].seen.len();
        self.put("write", end, bytes)
    }

    fn write_at(&mut self, start: usize, bytes: &[u8]) -> io::Result<()> {
        self.put("write_at", start, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let failed = self.disk.step("sync").err();
        let mut disk = self.disk.disk();
        if disk.sync_failed.contains(&self.file) {
            disk.sync_retried = true;
            return Ok(());
        }
        let idle = disk.idle_syncs.contains(&"sync");
        let content = &mut disk.files[self.file];
        if let Some(error) = failed {
            // What was not written is forgotten, and thought clean from now on.
            content.synced = !content.durable.is_empty();
            disk.sync_failed.insert(self.file);
            return Err(error);
        }
        if !idle {
            content.durable = content.seen.clone();
            content.synced = true;
        }
        Ok(())
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.disk().locked.remove(&self.path);
    }
}
