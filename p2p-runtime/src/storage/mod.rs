//! The encrypted store: where a node keeps its certificates, keys and configuration.
//!
//! One file in the node's folder, `store.p2p`, holds everything. [`Store`] reads it whole when opened, keeps the entries in
//! memory, and writes it whole when saved:
//!
//! ```text
//! password ─PBKDF2─┐
//!                  ├─ opens a slot ─> data key ─HKDF(random bytes of this save)─> key of the records
//! recovery key ────┘                     │
//!                                        └─ MAC over the header
//!
//! entries ─> archive (header, sealed records, sealed end mark) ─> new file, sync, read back, rename, sync the folder
//! ```
//!
//! - [`store`](Store): opening, entries in memory, whose turn it is to write; `entries`: what may be stored.
//! - `header` and `archive`: the file format, bytes in and bytes out; `crypto`: the primitives below them.
//! - `replace`: the order of steps that makes a save durable; `files`: the seam to the file system.
//! - `secret` and `recovery`: what must not be seen; `error`: what can go wrong, and what to do then.
//!
//! Beside the file there are `store.p2p.1` to `.3`, the saves before it; `store.lock`, locked while a process has the store
//! open; and, during a save, `store.p2p.new`.

mod archive;
mod crypto;
mod entries;
mod error;
mod files;
mod header;
mod recovery;
mod replace;
mod secret;
mod store;
#[cfg(test)]
mod tests;

pub use entries::Entries;
pub use error::{MalformedKey, Place, StoreError};
pub use recovery::RecoveryKey;
pub use secret::{Password, Secret};
pub use store::{Store, StoreOptions};
