//! Counts the bytes that are allocated and not yet freed, for all threads and for each.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

static ALL: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static HERE: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, with a balance before it. A bench makes it its `#[global_allocator]`.
#[derive(Debug)]
pub struct Balanced;

fn note(bytes: i64) {
    ALL.fetch_add(bytes, Relaxed);
    // A thread that ends may still free something when its own balance is gone already.
    let _gone = HERE.try_with(|here| here.set(here.get() + bytes));
}

#[allow(clippy::cast_possible_wrap, reason = "no allocation is longer than isize::MAX")]
const fn signed(bytes: usize) -> i64 {
    bytes as i64
}

// Implementing the trait is unsafe; each method only counts and passes its arguments on as they came.
#[allow(unsafe_code, reason = "an allocator cannot be written without; this crate is never part of a product")]
unsafe impl GlobalAlloc for Balanced {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()));
        // SAFETY: the caller's promise for this method is that of the method called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(signed(new_size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// The bytes that all threads hold.
pub fn held() -> i64 {
    ALL.load(Relaxed)
}

/// What this thread has allocated less what it has freed. What one thread allocates and another frees counts for both.
pub fn held_here() -> i64 {
    HERE.with(Cell::get)
}
