//! The cases of the store in the project's list of security and fault cases, each with the control that shows what the
//! unsafe variant would do.
//!
//! | case | where |
//! |---|---|
//! | 1 killed while writing; 9 two processes | `kills`, `usage` |
//! | 2 power cuts | `power_cuts`, `cut_commands` |
//! | 3 bits flipped; 4 cut short; 5 swapped and spliced; 7 wrong password; 8 hostile parameters | `tampering`, `log` |
//! | 6 failing and full disks | `failures` |
//! | 10 older files put back | `rollback` |
//! | 11 a canary searched for | `canary` |
//! | 12 nonces | `nonces` |
//! | the attacks of 3, 4, 5, 7, 8 on the archive, and their controls | `attacks`, `controls` |
//!
//! The controls of 1, 3, 4, 5, 7, 8, 11 and 12, and that of 2 which saves in place, are the store itself less one of its
//! [checks](crate::storage::checks), or less all of those of which each one would have been enough.

mod attacks;
mod canary;
mod controls;
mod cut_commands;
mod failures;
mod kills;
mod log;
mod nonces;
mod power_cuts;
mod rollback;
mod tampering;

use super::{disk::SimDisk, put_all, reopen, stored};
use crate::storage::RecoveryKey;

/// A disk whose store was saved often enough that every earlier save has its place, last with these entries.
fn seasoned(last: &[(&str, &str)]) -> (SimDisk, RecoveryKey) {
    let (disk, key) = stored(&[("certs/node.pem", "older still")]);
    for round in ["1", "2", "3"] {
        put_all(&reopen(&disk, &key).unwrap(), &[("kept", round)]).unwrap();
    }
    put_all(&reopen(&disk, &key).unwrap(), last).unwrap();
    (disk, key)
}
