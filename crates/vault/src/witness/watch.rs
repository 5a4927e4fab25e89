//! Responsible for keeping the witness of an open house: the check at opening, and a note when one is due: after growth at most
//! once a minute, after an erasure at once, and at close. Never on the way of an acknowledgement.
//!
//! A witness that cannot be read or written is told, and never stops the house: the second disk may be away. One that can be
//! read and saw more than we have refuses the opening.

use super::{Seen, Witness};
use crate::VaultError;
use crate::chain;
use crate::engine::EngineSnapshot;
use crate::house::House;
use crate::key::HouseKeys;
use crate::log::{Checkpoint, Hash};
use crate::narrowing::Reach;
use crate::tombstone::Tombstones;
use model::HouseId;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Between two notes of growth, in milliseconds.
const NOTE_EVERY_MS: i64 = 60_000;

/// How the witness of an open house is.
#[derive(Debug)]
pub enum WitnessState {
    /// No witness is set.
    None,
    /// It can be read and written; what it saw last.
    Kept(Option<Seen>),
    /// It cannot.
    Away(VaultError),
}

/// Whether a note may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Growth is noted once a minute.
    Sometimes,
    /// Now, when there is anything new.
    Now,
}

/// Where the witness lies, and what it was told last.
pub(crate) struct Watch {
    path: PathBuf,
    told: Mutex<Option<Seen>>,
}

impl Watch {
    /// Refuses a house that is older than its witness saw.
    pub(crate) fn begin(
        path: PathBuf,
        keys: &Arc<HouseKeys>,
        house: &HouseId,
        now: (u64, Hash),
        store: &dyn EngineSnapshot,
        tombstones: &Tombstones,
    ) -> Result<Self, VaultError> {
        let is_there = path.exists();
        let told = match Witness::open(&path, Arc::clone(keys), house) {
            Ok(witness) => {
                if !is_there && now.0 > 0 {
                    tracing::warn!(path = %path.display(), "there was no witness file: what came before is not witnessed");
                }
                witness.check(now, store, tombstones)?;
                witness.newest().copied()
            }
            Err(error @ VaultError::File { .. }) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the witness cannot be read: what was seen elsewhere is not compared");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path, told: Mutex::new(told) })
    }

    /// Appends a note when one is due; whether one was. The file is read anew: it may have been away, or replaced.
    pub(crate) fn note(&self, house: &House, due: Due) -> Result<bool, VaultError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = Self::sight(house)? else { return Ok(false) };
        let Seen { size, root, tombstone_epoch, at, .. } = seen;
        let is_due = told.is_none_or(|told| {
            let waited = at.ms().saturating_sub(told.at.ms());
            let has_waited = due == Due::Now || !(0..NOTE_EVERY_MS).contains(&waited);
            told.tombstone_epoch != tombstone_epoch || (told.size != size && has_waited)
        });
        if !is_due {
            return Ok(false);
        }
        let mut witness = Witness::open(&self.path, Arc::clone(&house.keys), &house.id)?;
        witness.check((size, root), &*house.generation().store, &house.urgent().tombstones)?;
        let is_told =
            witness.newest().is_some_and(|newest| (newest.size, newest.tombstone_epoch) == (size, tombstone_epoch));
        if !is_told {
            witness.note(seen)?;
        }
        *told = Some(witness.newest().copied().unwrap_or(seen));
        Ok(!is_told)
    }

    /// How far log and tombstones reach; `None` before the first batch.
    fn sight(house: &House) -> Result<Option<Seen>, VaultError> {
        let checkpoint = chain::checkpoint(&*house.generation().store)?.and_then(|note| Checkpoint::read(&note));
        let Reach { epoch: tombstone_epoch, mac: tombstone_mac } = house.urgent().tombstones.end();
        let at = house.now();
        Ok(checkpoint.map(|Checkpoint { size, root, .. }| Seen {
            size,
            root,
            tombstone_epoch,
            tombstone_mac,
            at,
            restored_from: None,
        }))
    }

    /// Notes that a restore set the log back, knowingly.
    pub(crate) fn note_restored(path: &Path, house: &House) -> Result<(), VaultError> {
        let mut witness = Witness::open(path, Arc::clone(&house.keys), &house.id)?;
        Self::sight(house)?.map_or(Ok(()), |seen| witness.note_restored(seen))
    }

    /// Whether it can be read and written now.
    pub(crate) fn state(&self, house: &House) -> WitnessState {
        match Witness::open(&self.path, Arc::clone(&house.keys), &house.id).and_then(|witness| {
            crate::disk::Disk::open_to_append(&self.path)?;
            Ok(witness.newest().copied())
        }) {
            Ok(newest) => WitnessState::Kept(newest),
            Err(error) => WitnessState::Away(error),
        }
    }
}
