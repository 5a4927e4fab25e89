//! Responsible for the locks, queues and threads on which acknowledgements, second looks and commits meet: those of the
//! standard library, and in the build of `./gate interleave` (`--cfg shuttle`) those of shuttle, whose scheduler tries one order
//! after the other and finds a deadlock.
//!
//! Deliberately not: locks that no two of these ever wait for (nonces, the key ring, the engines' own counters of readings).
//! They stay the standard library's: nothing is awaited while one is held.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    thread,
};
