//! Responsible for knowing which snapshots are still open, and how old they are: what they see cannot be cleared away.
//!
//! Deliberately not: the snapshots themselves, which belong to each engine.

use super::StillRead;
use crate::VaultError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A reading lasts as long as a page or a page of an export: some milliseconds. How often to look, and the rest between.
const LOOKS_MAX: usize = 200;
const REST: Duration = Duration::from_millis(10);

/// Counts batches, and open readings by the batch they began at.
#[derive(Default)]
pub(super) struct Readings {
    batch: AtomicU64,
    open: Mutex<BTreeMap<u64, usize>>,
}

impl Readings {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Say this before opening the engine's own snapshot: it then sees this batch or a later one.
    pub(super) fn begin(self: &Arc<Self>) -> Reading {
        let mut open = self.open();
        let batch = self.batch.load(Ordering::SeqCst);
        *open.entry(batch).or_default() += 1;
        Reading { readings: Arc::clone(self), batch }
    }

    /// One more batch is visible.
    pub(super) fn step(&self) {
        self.batch.fetch_add(1, Ordering::SeqCst);
    }

    /// The oldest batch that somebody reads, or the last one.
    pub(super) fn oldest(&self) -> u64 {
        self.open().keys().next().copied().unwrap_or_else(|| self.batch.load(Ordering::SeqCst))
    }

    /// Waits a little for readers of an older state, and refuses when they stay.
    pub(super) fn none_older(&self, engine: &'static str) -> Result<(), VaultError> {
        for _ in 0..LOOKS_MAX {
            if self.oldest() >= self.batch.load(Ordering::SeqCst) {
                return Ok(());
            }
            std::thread::sleep(REST);
        }
        Err(VaultError::Engine { engine, source: Box::new(StillRead) })
    }
}

/// One open reading; ends when dropped.
pub(super) struct Reading {
    readings: Arc<Readings>,
    batch: u64,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut open = self.readings.open();
        if let Some(n_open) = open.get_mut(&self.batch) {
            *n_open -= 1;
            if *n_open == 0 {
                open.remove(&self.batch);
            }
        }
    }
}
