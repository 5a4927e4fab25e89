//! Responsible for the last room on a disk: a file of 64 MiB that means nothing and is let go when the disk fills up, so that
//! people can still say no, object and leave.
//!
//! The disk is *full* when less of it is free than is to be kept free (2 % unless set otherwise), or when a write said so.
//! Then the file goes, what would make the store grow is refused ([`VaultError::DiskFull`]), and urgent commands go on: on
//! the urgent log and in the tombstones, and into the store in small batches as long as [`OWN_BYTES`] are left. When there
//! is room again, with the file put back, everything goes on.
//!
//! A store that met the end of the disk in the middle of a write is *broken off*: it is read, and written no more until the
//! house is opened anew. Urgent commands go on meanwhile.
//!
//! Deliberately not: looking by itself. The program asks ([`Vault::mind_disk`](crate::Vault::mind_disk)), the committer before
//! each batch.

use crate::VaultError;
use crate::disk::Disk;
use model::Rng;
use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// The file that is let go, in bytes.
pub(crate) const BALLAST_BYTES: u64 = 64 << 20;

/// What stays for the urgent log and the tombstones alone, in bytes: the committer writes nothing below it.
const OWN_BYTES: u64 = 16 << 20;

/// Free room below which readiness says so, in hundredths.
const LOW_PERCENT: u64 = 5;

/// How much of the disk is kept free unless set otherwise, in hundredths.
pub const DISK_KEPT_PERCENT: u8 = 2;

/// How the disk under the data folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskRoom {
    /// More than 5 % is free.
    Plenty,
    /// Everything is taken, and it is time to act.
    Low,
    /// Only opt-outs and erasures are taken.
    Full,
}

/// What a look at the disk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskState {
    /// How it is.
    pub room: DiskRoom,
    /// Free for us, in bytes.
    pub free_bytes: u64,
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// The store met the end of the disk in a write: it takes nothing until the house is opened anew, which helps once the
    /// disk is not full any more.
    pub is_broken_off: bool,
}

/// What is left of the disk, for one house.
pub(crate) struct Room {
    /// The data folder; `None` in memory, where there is no disk.
    folder: Option<PathBuf>,
    kept_percent: AtomicU8,
    full: AtomicBool,
    broken_off: AtomicBool,
    /// Held while the file is made or let go.
    ballast: Mutex<()>,
    /// Free and all bytes of the disk that a test pretends to have.
    #[cfg(test)]
    pub disk: Mutex<Option<(u64, u64)>>,
}

impl Room {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(Path::to_path_buf),
            // Nobody minds the disk yet: only its very end counts.
            kept_percent: AtomicU8::new(0),
            full: AtomicBool::new(false),
            broken_off: AtomicBool::new(false),
            ballast: Mutex::default(),
            #[cfg(test)]
            disk: Mutex::default(),
        }
    }

    /// Whether only opt-outs and erasures are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Whether the store is written no more.
    pub(crate) fn is_broken_off(&self) -> bool {
        self.broken_off.load(Ordering::SeqCst)
    }

    /// A write of the store met the end of the disk.
    pub(crate) fn break_off(&self) {
        self.broken_off.store(true, Ordering::SeqCst);
        self.fill();
    }

    /// From now on the disk counts as full; the file is let go.
    pub(crate) fn fill(&self) {
        if !self.full.swap(true, Ordering::SeqCst) {
            tracing::error!("the disk is full: only opt-outs and erasures are taken");
        }
        self.let_go();
    }

    /// Looks at the disk, lets the file go or puts it back.
    pub(crate) fn look(&self, kept_percent: u8, rng: &dyn Rng) -> Result<DiskState, VaultError> {
        self.kept_percent.store(kept_percent, Ordering::SeqCst);
        let Some(folder) = &self.folder else {
            let (free_bytes, total_bytes) = (u64::MAX, u64::MAX);
            return Ok(DiskState { room: DiskRoom::Plenty, free_bytes, total_bytes, is_broken_off: false });
        };
        let (mut free, total) = self.probed(folder)?;
        if free < self.kept(total) {
            self.fill();
        } else if let Some(missing) = self.missing_ballast(folder) {
            // A little more than what fills it, so that it does not turn with every file that comes and goes.
            let enough = self.kept(total).saturating_add(missing).saturating_add(missing / 4);
            if free >= enough && self.put_back(folder, rng)? {
                free = self.probed(folder)?.0;
            }
        }
        if self.is_full() && free >= self.kept(total) && self.missing_ballast(folder).is_none() {
            self.full.store(false, Ordering::SeqCst);
            tracing::info!("there is room on the disk again");
        }
        // Whoever keeps nothing free does not mind how little is left.
        let is_low = kept_percent > 0 && free < percent(total, LOW_PERCENT);
        let room = match () {
            () if self.is_full() => DiskRoom::Full,
            () if is_low => DiskRoom::Low,
            () => DiskRoom::Plenty,
        };
        Ok(DiskState { room, free_bytes: free, total_bytes: total, is_broken_off: self.is_broken_off() })
    }

    /// Whether the committer may write a batch of so many bytes: of everything, of what is owed to people alone, or nothing.
    pub(crate) fn for_batch(&self) -> Allowed {
        let Some(folder) = &self.folder else { return Allowed::Everything };
        if self.is_broken_off() {
            return Allowed::Nothing;
        }
        // A disk that cannot be looked at is written to: its own error says more.
        let Ok((free, total)) = self.probed(folder) else { return Allowed::Everything };
        if free < self.kept(total) {
            self.fill();
        }
        match self.is_full() {
            false => Allowed::Everything,
            // What was let go may have made room just now.
            true if self.probed(folder).is_ok_and(|(free, _)| free < OWN_BYTES) => Allowed::Nothing,
            true => Allowed::Owed,
        }
    }

    /// Writes what must not fail for want of room: once more, with the room of the file, when the first time there was none.
    pub(crate) fn with_reserve<T>(&self, mut write: impl FnMut() -> Result<T, VaultError>) -> Result<T, VaultError> {
        match write() {
            Err(error) if is_no_room(&error) && !is_sync(&error) => {
                self.fill();
                write()
                    .map_err(|error| if is_no_room(&error) && !is_sync(&error) { VaultError::DiskFull } else { error })
            }
            done => done,
        }
    }

    /// What has to be free.
    fn kept(&self, total: u64) -> u64 {
        percent(total, self.kept_percent.load(Ordering::SeqCst).into()).max(OWN_BYTES)
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "a test pretends a disk"))]
    fn probed(&self, folder: &Path) -> Result<(u64, u64), VaultError> {
        #[cfg(test)]
        if let Some((free, total)) = *self.disk.lock().unwrap_or_else(PoisonError::into_inner) {
            // What the file takes is not free, as on a real disk.
            let taken = std::fs::metadata(ballast(folder)).map_or(0, |metadata| metadata.len());
            return Ok((free.saturating_sub(taken), total));
        }
        probe(folder).map_err(|source| crate::disk::file_error("looking at the disk under", folder, source))
    }

    /// The bytes that the file lacks; `None` when it is whole.
    fn missing_ballast(&self, folder: &Path) -> Option<u64> {
        let there = std::fs::metadata(ballast(folder)).map_or(0, |metadata| metadata.len());
        (there != BALLAST_BYTES).then_some(BALLAST_BYTES)
    }

    /// Makes the file; false when there was no room for it after all.
    fn put_back(&self, folder: &Path, rng: &dyn Rng) -> Result<bool, VaultError> {
        let _turn = self.ballast.lock().unwrap_or_else(PoisonError::into_inner);
        let path = ballast(folder);
        match Disk::reserve(&path, BALLAST_BYTES, rng) {
            Ok(()) => Ok(true),
            Err(error) if is_no_room(&error) => Disk::remove(&path).map(|()| false),
            Err(error) => Err(error),
        }
    }

    fn let_go(&self) {
        let Some(folder) = &self.folder else { return };
        let _turn = self.ballast.lock().unwrap_or_else(PoisonError::into_inner);
        // Also when its folder cannot be synced: the room is there.
        let _ = std::fs::remove_file(ballast(folder));
    }
}

/// What a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// There is room.
    Everything,
    /// Only what people are owed: their wishes, erasures, what was read of them.
    Owed,
    /// Nothing: what they said waits on the urgent log.
    Nothing,
}

fn ballast(folder: &Path) -> PathBuf {
    folder.join("ballast")
}

fn percent(total: u64, percent: u64) -> u64 {
    (total / 100).saturating_mul(percent)
}

fn probe(folder: &Path) -> std::io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}

/// Whether an error says that the disk, or our part of it, has no room.
pub(crate) fn is_no_room(error: &VaultError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(each) = cause {
        let kind = each.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = each.source();
    }
    false
}

/// Whether an error came from a sync: then nobody knows what is on the disk.
fn is_sync(error: &VaultError) -> bool {
    matches!(error, VaultError::File { doing: "syncing", .. })
}

#[cfg(test)]
mod tests;
