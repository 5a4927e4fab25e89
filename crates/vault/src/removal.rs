//! How far the removal of what has ended has come: taken out of the store by a sweep, out of the files by the rewriting that
//! ends a rotation, and never put into a new backup of keys. From this the notice prints its record, and `doctor` turns red
//! when the bound that people were told is past.
//!
//! It removes nothing, and it looks at no clock of its own.

use crate::VaultError;
use crate::commit::Batch;
use crate::format::{self, RemovalForm};
use crate::house::House;
use model::{At, DAY_MS, Day};
use promise::RemovalRecord;
use std::sync::Arc;

/// The named record.
pub(crate) const RECORD: &str = "retention/removal";
/// Rounds remembered: at one every night some two years.
const ROUNDS_MAX: usize = 800;
/// So many days before the bound a rotation is asked for, whatever else there is to do.
const AHEAD_DAYS: i32 = 2;

/// Where the removal of what has ended stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalState {
    /// What had ended by then was taken out of the store by the latest whole sweep; `None` = there was none yet.
    pub swept_at: Option<At>,
    /// What had ended by then is in no live file, and in no backup of keys made since.
    pub clean_at: At,
    /// Within how many days after its end a thing is removed, as people were told.
    pub within_days: i32,
    /// What was measured.
    pub record: Option<RemovalRecord>,
}

impl RemovalState {
    /// When the oldest thing that may still be there has to be gone at the latest. What ends, ends at a midnight.
    #[must_use]
    pub fn due_at(&self) -> At {
        self.clean_at.day().plus(1).plus(self.within_days).start()
    }

    /// Whether the bound is past.
    #[must_use]
    pub fn is_late(&self, now: At) -> bool {
        self.due_at() < now
    }

    /// Whether a rotation should rewrite the files now, so that the bound is kept.
    #[must_use]
    pub fn is_pressing(&self, now: At) -> bool {
        self.due_at().plus_days(-AHEAD_DAYS) <= now && self.swept_at.is_some_and(|swept| swept > self.clean_at)
    }
}

impl House {
    pub(crate) fn removal(&self) -> Result<RemovalForm, VaultError> {
        let store = Arc::clone(&self.generation().store);
        match self.house_record(&*store, RECORD)? {
            Some(bytes) => format::decode("house", &bytes),
            // Counted from the first opening on: what was before was not written down.
            None => Ok(RemovalForm { since: self.now().ms(), clean_at: self.now().ms(), ..RemovalForm::default() }),
        }
    }

    pub(crate) fn removal_state(&self) -> Result<RemovalState, VaultError> {
        let form = self.removal()?;
        let longest = form.rounds.iter().map(|(_, lag_ms)| *lag_ms).max();
        let record = longest.map(|longest| RemovalRecord {
            n_rounds: form.rounds.len() as u64,
            since: form.rounds.first().map_or_else(|| At::from_ms(form.since), |(at, _)| At::from_ms(*at)).day(),
            longest_days: i32::try_from(longest.saturating_add(DAY_MS - 1) / DAY_MS).unwrap_or(i32::MAX).max(1),
        });
        Ok(RemovalState {
            swept_at: form.swept_at.map(At::from_ms),
            clean_at: At::from_ms(form.clean_at),
            within_days: self.household.promise.notice.removed_within_days,
            record,
        })
    }
}

impl Batch<'_> {
    fn put_removal(&mut self, form: &RemovalForm) -> Result<(), VaultError> {
        self.put_house_record(RECORD, Some(&format::encode(form)))
    }

    /// The house begins to write this down.
    pub(crate) fn begin_removal(&mut self) -> Result<(), VaultError> {
        if self.house_record(RECORD)?.is_none() {
            let form = self.house.removal()?;
            self.put_removal(&form)?;
        }
        Ok(())
    }

    /// A whole sweep, begun at an instant, is in the store.
    pub(crate) fn note_swept(&mut self, began_at: At) -> Result<(), VaultError> {
        let form = self.house.removal()?;
        self.put_removal(&RemovalForm { swept_at: Some(began_at.ms()), ..form })
    }

    /// The files are about to be rewritten.
    pub(crate) fn note_covered(&mut self) -> Result<(), VaultError> {
        let form = self.house.removal()?;
        self.put_removal(&RemovalForm { covered_at: form.swept_at, ..form })
    }

    /// The files have been rewritten.
    pub(crate) fn note_clean(&mut self) -> Result<(), VaultError> {
        let mut form = self.house.removal()?;
        let Some(covered_at) = form.covered_at.take().filter(|covered| *covered > form.clean_at) else {
            return self.put_removal(&form);
        };
        // The oldest thing that this round can have removed ended on the first midnight after the round before.
        let oldest: Day = At::from_ms(form.clean_at).day().plus(1);
        if oldest.start().ms() <= covered_at {
            form.rounds.push((self.now.ms(), self.now.ms().saturating_sub(oldest.start().ms())));
            let surplus = form.rounds.len().saturating_sub(ROUNDS_MAX);
            form.rounds.drain(..surplus);
        }
        form.clean_at = covered_at;
        self.put_removal(&form)
    }
}

#[cfg(test)]
mod tests;
