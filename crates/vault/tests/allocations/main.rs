//! A process whose n-th allocation fails. The allocator of this binary counts, and refuses once; what must hold then stands in
//! `life`.
#![expect(unsafe_code, reason = "an allocator that refuses is the only way to be refused")]

#[cfg(test)]
#[path = "../it/fixture.rs"]
#[expect(dead_code, reason = "the tests of the whole room need more of it")]
mod fixture;
#[cfg(test)]
mod life;
#[cfg(test)]
#[path = "../../src/engine/postgres/tests/local.rs"]
#[expect(dead_code, reason = "the tests of the whole room need more of it")]
mod local;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

struct Refusing;

/// Allocations until one is refused; never when negative.
static LEFT: AtomicI64 = AtomicI64::new(-1);

impl Refusing {
    fn refuses() -> bool {
        LEFT.load(SeqCst) >= 0 && LEFT.fetch_sub(1, SeqCst) == 0
    }
}

// SAFETY: everything that is not refused is the system's.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is handed on.
        if Self::refuses() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        if Self::refuses() { std::ptr::null_mut() } else { unsafe { System.realloc(pointer, layout, size) } }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;
