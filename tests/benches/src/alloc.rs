//! Counts allocations, so that a bench can say how many a call makes.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with a counter before it. A bench makes it its `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

// Implementing the trait is unsafe; each method only counts and passes its arguments on as they came.
#[allow(unsafe_code, reason = "an allocator cannot be written without; this crate is never part of a product")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise for this method is that of the method called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// How many allocations were made since the program began, growing ones included.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}
