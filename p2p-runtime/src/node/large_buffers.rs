//! What the system's allocator is to expect of a node: that large buffers come and go.
//!
//! glibc gives the memory of a large block back to the system as soon as it is freed, and a node that answers with results of 64 KiB or
//! more gets and frees several such blocks a call: the system takes each page away and clears it again, which cost a third of
//! such a call when it was measured. Once a program has freed a large block, though, glibc takes it that there will be more, and keeps
//! blocks up to that size, and twice that much at the end of the heap (`mallopt(3)`, "dynamic mmap threshold"). A node tells it so before the first
//! call rather than by luck.

use std::hint::black_box;

/// The largest block that is expected to come and go; up to twice that much free memory may stay with the process.
const LARGE: usize = 16 << 20;

/// Has glibc keep what large results are made in. Elsewhere it does nothing that would matter: the block is not even touched.
pub(super) fn expect_large_buffers() {
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
}
