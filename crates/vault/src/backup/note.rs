//! Responsible for the file `backed-up` of a data folder: of which batch the last backup was, and when. A house that nobody
//! backs up looks like any other until the day it is needed; with this, `doctor` and a metric say so.
//!
//! It is in no backup itself: a restored house has none until the next one is made.

use crate::VaultError;
use crate::disk::Disk;
use model::At;
use std::path::{Path, PathBuf};

/// Days after which a backup is overdue: run it daily, and one night may fail.
pub const BACKUP_DUE_DAYS: i32 = 2;

/// Days after which no key stream of the last backup is left that may be kept: from here on there is no backup.
pub const BACKUP_GONE_DAYS: i32 = super::KEY_BACKUP_DAYS;

/// When the last backup of a folder was taken, and of which batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupNote {
    /// The batch it is the state of.
    pub batch: u64,
    /// When it was whole.
    pub at: At,
}

fn path(data: &Path) -> PathBuf {
    data.join("backed-up")
}

impl BackupNote {
    /// Notes a backup that is whole on its disk. The data folder may be served meanwhile.
    ///
    /// # Errors
    /// [`VaultError::File`].
    pub fn write(&self, data: &Path) -> Result<(), VaultError> {
        Disk::replace(&path(data), format!("batch {}\nat {}\n", self.batch, self.at).as_bytes())
    }

    /// The last one; `None` when there is no note, or one that cannot be read: it is made anew by the next backup.
    ///
    /// # Errors
    /// [`VaultError::File`] when the file is there and the disk does not give it.
    pub fn read(data: &Path) -> Result<Option<Self>, VaultError> {
        let Some(bytes) = Disk::read(&path(data))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
        let batch = field("batch ").and_then(|batch| batch.parse().ok());
        let at = field("at ").and_then(At::parse);
        Ok(batch.zip(at).map(|(batch, at)| Self { batch, at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_backup_is_remembered_and_nonsense_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let read = || BackupNote::read(folder.path()).unwrap();
        assert_eq!(read(), None);
        let note = BackupNote { batch: 12, at: At::parse("2026-11-23T03:10:00Z").unwrap() };
        note.write(folder.path()).unwrap();
        assert_eq!(read(), Some(note));
        let newer = BackupNote { batch: 40, at: note.at.plus_days(1) };
        newer.write(folder.path()).unwrap();
        assert_eq!(read(), Some(newer));
        for text in ["", "batch 12", "batch x\nat 2026-11-23T03:10:00Z\n", "batch 1\nat yesterday\n"] {
            Disk::replace(&path(folder.path()), text.as_bytes()).unwrap();
            assert_eq!(read(), None, "{text:?}");
        }
    }
}
