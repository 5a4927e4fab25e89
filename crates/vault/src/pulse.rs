//! Responsible for how the house is doing, as figures: how old the oldest thing is that was asked for and is not done, how
//! long the disk takes for what it is asked to keep, and how much of it is free. Nothing is decided by them, and nobody is
//! in them; the program makes them metrics (`docs/reference/metrics.md`).
//!
//! Deliberately not: when to be woken by one of them.

use crate::backup::BackupNote;
use crate::house::House;
use crate::{ROTATED_WITHIN_DAYS, Vault};
use model::At;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Within how many days after its date, or after it was deleted, something is off the disk.
pub const REMOVED_WITHIN_DAYS: i32 = 7;

/// Samples from which the slowest hundredth is told.
const SAMPLES_MAX: usize = 1_024;

/// The figures at one moment. An age is that of the oldest; `None` = there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulse {
    /// How long the oldest command has waited for its answer; zero under a clock that does not tick.
    pub unacknowledged: Option<Duration>,
    /// When the oldest wish on the urgent log was taken that the store does not have yet.
    pub wish_at: Option<At>,
    /// When the oldest erasure was acknowledged whose rows are not gone yet.
    pub erasure_at: Option<At>,
    /// The time that 99 of the last 100 batches took at most to be written and synced; `None` = no batch yet.
    pub batch_p99: Option<Duration>,
    /// The same of what goes to the urgent log and the tombstones.
    pub urgent_p99: Option<Duration>,
    /// The share of the data folder's disk that is free for us, from 0 to 1; `None` in memory.
    pub disk_free: Option<f64>,
    /// The last backup; `None` = this folder knows of none.
    pub backup: Option<BackupNote>,
    /// Days until something that was deleted or has expired could still lie on the disk although it was promised to be gone,
    /// were the keys not rotated before; below 0 it is so. `None` = the keys were never rotated.
    pub removal_days_left: Option<i32>,
}

impl Vault {
    /// The figures now. Looks at the disk: not for a thread that must not wait.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let house = &self.inner.house;
        Pulse {
            unacknowledged: house.waits.oldest(house.ticks()),
            wish_at: house.oldest_wish(),
            erasure_at: house.leaving().iter().map(|leaving| leaving.at).min(),
            batch_p99: house.times.batches.p99(),
            urgent_p99: house.times.urgent.p99(),
            disk_free: disk_free(house),
            backup: house.data().and_then(|data| BackupNote::read(data).ok().flatten()),
            removal_days_left: self.rotation().ended_at.map(|ended_at| removal_days_left(ended_at, house.now())),
        }
    }
}

/// What was deleted right after a rotation waits for the next one.
fn removal_days_left(rotated_at: At, now: At) -> i32 {
    rotated_at.day().plus(REMOVED_WITHIN_DAYS).number().saturating_sub(now.day().number())
}

const _: () = assert!(ROTATED_WITHIN_DAYS <= REMOVED_WITHIN_DAYS, "a rotation comes before the bound");

fn disk_free(house: &House) -> Option<f64> {
    let stat = rustix::fs::statvfs(house.data()?).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    (stat.f_blocks > 0).then(|| share(stat.f_bavail, stat.f_blocks))
}

/// Since when each command waits that has no answer yet, in the order in which they were asked.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<VecDeque<Duration>>);

impl Waits {
    /// A command goes into the queue.
    pub(crate) fn begin(&self, now: Duration) {
        self.lock().push_back(now);
    }

    /// It did not find room after all.
    pub(crate) fn take_back(&self) {
        self.lock().pop_back();
    }

    /// So many have been served.
    pub(crate) fn end(&self, n_served: usize) {
        let mut waits = self.lock();
        let n_served = n_served.min(waits.len());
        waits.drain(..n_served);
    }

    fn oldest(&self, now: Duration) -> Option<Duration> {
        self.lock().front().map(|since| now.saturating_sub(*since))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest times that something took.
#[derive(Debug, Default)]
pub(crate) struct Latest(Mutex<VecDeque<Duration>>);

impl Latest {
    pub(crate) fn add(&self, took: Duration) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(took);
    }

    /// The least that 99 of 100 samples do not exceed.
    pub(crate) fn p99(&self) -> Option<Duration> {
        let mut samples: Vec<Duration> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        samples.sort_unstable();
        let at = samples.len().saturating_mul(99).div_ceil(100).saturating_sub(1);
        samples.get(at).copied()
    }
}

#[cfg(test)]
mod tests;
