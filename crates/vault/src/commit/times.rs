//! Where the committer's time goes, so that a slow disk and a slow fold can be told apart. Sums since the start; nothing
//! is decided by them.

use crate::pulse::Latest;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the committer does with a batch, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Open profiles, judge each command, fold what it says.
    Judge,
    /// Work out traits, encode, seal, chain.
    Seal,
    /// Write the batch and sync it.
    Write,
    /// Bring memory up to it and hand out the answers.
    Publish,
}

impl Stage {
    /// In order.
    pub const ALL: [Self; 4] = [Self::Judge, Self::Seal, Self::Write, Self::Publish];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Seal => "seal",
            Self::Write => "write",
            Self::Publish => "publish",
        }
    }
}

/// Sums of one vault since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Times {
    stages: [AtomicU64; 4],
    n_batches: AtomicU64,
    /// Of the latest batches: writing and syncing.
    pub batches: Latest,
    /// Of the latest urgent commands: the same.
    pub urgent: Latest,
    longest_write: AtomicU64,
    plain_bytes: AtomicU64,
}

impl Times {
    pub(crate) fn add(&self, stage: Stage, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(sum) = self.stages.get(stage as usize) {
            sum.fetch_add(ns, Ordering::Relaxed);
        }
        if stage == Stage::Write {
            self.batches.add(took);
            self.longest_write.fetch_max(ns, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_batch(&self) {
        self.n_batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Time spent in a stage.
    pub(crate) fn of(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.stages.get(stage as usize).map_or(0, |sum| sum.load(Ordering::Relaxed)))
    }

    /// The longest that a batch was written and synced.
    pub(crate) fn longest_write(&self) -> Duration {
        Duration::from_nanos(self.longest_write.load(Ordering::Relaxed))
    }

    pub(crate) fn count_plain(&self, n_bytes: usize) {
        self.plain_bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of records before they were compressed and sealed.
    pub(crate) fn n_plain_bytes(&self) -> u64 {
        self.plain_bytes.load(Ordering::Relaxed)
    }

    /// Batches written.
    pub(crate) fn n_batches(&self) -> u64 {
        self.n_batches.load(Ordering::Relaxed)
    }
}
