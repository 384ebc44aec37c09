//! Changing the cluster's root: both roots are trusted, everyone is reissued, the old root is dropped.
//!
//! Data flows so. A coordinator that holds the root key makes the next root ([`RootKeys::begin`]) and *announces* it, signed by the old root's key. Each
//! node that learns of it ([`Roots::learn`]) keeps it and trusts both; coordinators get a new issuing authority, and everybody a new certificate,
//! whose chain carries the next root as the old one signed it (RFC 4210, section 4.4), so that those who have not heard yet find their way.
//! When nobody is [missing](Progress), the holder *completes* the change, signed by the new root's key ([`RootKeys::complete`]): whoever learns
//! of that trusts the new root alone, and cuts those who were not reissued.
//!
//! [`Succession`] is what a node knows of the roots: a pure value. [`Roots`] keeps it in the store and in the TLS material. The network carries
//! what was said (`network/revocations/roots.rs`), and is not trusted with it.

mod authority;
mod granted;
mod holder;
mod holders;
mod progress;
mod published;
mod roots;
mod said;
mod succession;
#[cfg(test)]
mod tests;

pub(crate) use authority::{
    AUTHORITY_PATH, AllIssued, AuthorityReply, BadAuthorityRequest, ISSUED_PATH, RECORD_PATH, ROOT_PATH, RootHandover,
    ask_for_authority, ask_for_issued, ask_for_record, hand_over,
};
pub use authority::{AuthorityRequest, NoAuthority, NotShared};
pub use granted::GrantedAuthority;
pub use holder::{RootKeys, RotateError, Rotation};
pub(crate) use holders::RootHolder;
pub use progress::{Known, Missing, Presence, Progress};
pub(crate) use published::{ISSUING_CERT, published_authority, to_metadata as authority_to_metadata};
pub use roots::Roots;
pub(crate) use roots::begin_anew;
pub(super) use roots::load_succession;
pub use said::{Announcement, Completion, RefusedRoot, SignedAnnouncement, SignedCompletion, Told};
pub use succession::Succession;
