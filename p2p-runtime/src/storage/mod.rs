//! The encrypted store: where a node keeps its certificates, keys and configuration.
//!
//! In the node's folder the archive `store.p2p` holds everything as of the last save, and a log what was acknowledged since. [`Store`]
//! reads both when opened, keeps the entries in memory, appends single writes to the log, and now and then saves everything anew:
//!
//! ```text
//! password ─PBKDF2─┐
//!                  ├─ opens a slot ─> data key ─HKDF(random bytes of this save)─> key of the records
//! recovery key ────┘                     ├─ MAC over the header
//!                                        └─HKDF(random bytes of this log)──> keys of the log
//!
//! update ─> one sealed record ─> the log, sync
//! save   ─> archive (header, sealed records, sealed end mark) and its log ─> new files, sync, read back, rename, sync the folder
//! ```
//!
//! - [`store`](Store): entries in memory, whose turn it is to write; `options`: making and opening; `entries`: what may be stored.
//! - `header` and `archive`: the archive's format, bytes in and bytes out; `log`: the log's; `crypto`: the primitives below them.
//! - `checks`: the checks that stop somebody's changes, by name.
//! - `load`: from files to entries; `replace`: the order of steps that makes a save durable; `files`: the seam to the file system.
//! - `survey` and `recover`: what of a store is good, and bringing it back; `backup`: one file of everything, and back.
//! - `admin`: what an operator does with it.
//! - `secret` and `recovery`: what must not be seen; `error`: what can go wrong, and what to do then.
//!
//! Beside `store.p2p` there are `store-7.log`, the log of save 7; `store.p2p.1` to `.3`, the saves before it, with their logs;
//! `store.lock`, locked while a process has the store open; and, during a save, `store.p2p.new`.

mod admin;
mod archive;
mod backup;
mod checks;
mod crypto;
mod entries;
mod error;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod header;
mod load;
mod log;
mod options;
mod recover;
mod recovery;
mod replace;
mod secret;
mod store;
mod survey;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use admin::base64_secret;
pub use admin::{EntrySize, StoreCommand, StoreReply};
pub use entries::Entries;
pub use error::{MalformedKey, Place, StoreError};
pub use header::Unlock;
pub use options::StoreOptions;
pub use recover::Recovery;
pub use recovery::RecoveryKey;
pub use secret::{Password, Secret};
pub use store::{Revision, Store};
pub use survey::{Condition, SaveReport, Verification};
