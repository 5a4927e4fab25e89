//! Responsible for the folders in which streams lie: their names, which of them build on which, how old a key stream may
//! get, and the copies of the two files beside them.
//!
//! `data-<batch>-full.flb` · `data-<batch>-after-<batch>.flb` · `keys-<batch>.flk` · `tombstones` · `narrowings`. A file is
//! written as `….part` and gets its name once it is on the disk.
//!
//! Deliberately not: what is in a stream.

use super::KEY_BACKUP_DAYS;
use super::frame::unusable;
use super::stream::{Head, Kind, StreamReader};
use crate::disk::{Disk, file_error};
use crate::failpoint::{Step, around};
use crate::folder::{NARROWINGS, TOMBSTONES};
use crate::{VaultError, narrowing, tombstone};
use model::{At, HouseId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Streams of changes on one full stream, at most: then a full one is due.
pub(super) const CHAIN_MAX: usize = 30;

/// The two folders of a backup.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Data streams; may be kept for any time.
    pub data: PathBuf,
    /// Key streams; kept for [`KEY_BACKUP_DAYS`].
    pub keys: PathBuf,
}

/// The files that are in no stream: who was erased, and what people took back.
#[derive(Debug, Clone)]
pub struct Beside {
    /// Who was erased.
    pub tombstones: PathBuf,
    /// What people took back.
    pub narrowings: PathBuf,
}

impl Beside {
    /// Those of a folder: a data folder, or one to which they were copied.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self { tombstones: folder.join(TOMBSTONES), narrowings: folder.join(NARROWINGS) }
    }
}

/// One data stream by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DataFile {
    base: Option<u64>,
    path: PathBuf,
}

pub(super) fn data_name(batch: u64, base: Option<u64>) -> String {
    match base {
        None => format!("data-{batch}-full.flb"),
        Some(base) => format!("data-{batch}-after-{base}.flb"),
    }
}

pub(super) fn keys_name(batch: u64) -> String {
    format!("keys-{batch}.flk")
}

fn data_of(name: &str) -> Option<(u64, Option<u64>)> {
    let (batch, rest) = name.strip_prefix("data-")?.strip_suffix(".flb")?.split_once('-')?;
    let base = match rest {
        "full" => None,
        rest => Some(rest.strip_prefix("after-")?.parse().ok()?),
    };
    Some((batch.parse().ok()?, base))
}

fn keys_of(name: &str) -> Option<u64> {
    name.strip_prefix("keys-")?.strip_suffix(".flk")?.parse().ok()
}

impl Shelf {
    /// Makes the folders, for their owner alone.
    pub(super) fn make(&self) -> Result<(), VaultError> {
        for folder in [&self.data, &self.keys] {
            if !folder.exists() {
                Disk::make_folder(folder)?;
            }
        }
        Ok(())
    }

    fn data_files(&self) -> Result<BTreeMap<u64, DataFile>, VaultError> {
        let mut files = BTreeMap::new();
        for (name, path) in names(&self.data)? {
            let Some((batch, base)) = data_of(&name) else { continue };
            let known = files.entry(batch).or_insert_with(|| DataFile { base, path: path.clone() });
            // A full stream of the same batch needs nothing else.
            if base.is_none() {
                *known = DataFile { base, path };
            }
        }
        Ok(files)
    }

    /// The newest data stream.
    pub(super) fn newest(&self) -> Result<Option<u64>, VaultError> {
        Ok(self.data_files()?.keys().next_back().copied())
    }

    /// The files that together give the state of a batch: the full stream first.
    pub(super) fn chain(&self, batch: u64) -> Result<Vec<PathBuf>, VaultError> {
        let files = self.data_files()?;
        let (mut chain, mut at) = (Vec::new(), Some(batch));
        while let Some(batch) = at {
            let what = || format!("there is no data stream of batch {batch}, on which others build");
            let file = files.get(&batch).ok_or_else(|| unusable(&self.data, what()))?;
            chain.push(file.path.clone());
            at = file.base;
            if at.is_some_and(|base| base >= batch) || chain.len() > CHAIN_MAX.saturating_add(1) {
                return Err(unusable(&file.path, "it builds on a later stream, or on too many"));
            }
        }
        chain.reverse();
        Ok(chain)
    }

    /// The key stream nearest to a batch, not older.
    pub(super) fn keys_for(&self, batch: u64) -> Result<PathBuf, VaultError> {
        let found = names(&self.keys)?.into_iter().filter_map(|(name, path)| Some((keys_of(&name)?, path)));
        let newer: BTreeMap<u64, PathBuf> = found.filter(|(at, _)| *at >= batch).collect();
        newer.into_values().next().ok_or_else(|| {
            let what = format!(
                "it has no key stream of batch {batch} or newer: older keys could open what was destroyed since, so they are \
                 not taken. A key stream is kept for {KEY_BACKUP_DAYS} days; choose an older state with --at, if its keys are \
                 here"
            );
            unusable(&self.keys, what)
        })
    }

    /// Takes away key streams of this house that are as old as they may get; what was taken.
    pub(super) fn prune(&self, house: HouseId, now: At) -> Result<Vec<PathBuf>, VaultError> {
        let mut gone = Vec::new();
        for (name, path) in names(&self.keys)? {
            if keys_of(&name).is_none() {
                continue;
            }
            let Ok(head) = head(&path) else { continue };
            let is_over = head.at().day().plus(KEY_BACKUP_DAYS) <= now.day();
            if head.kind == Kind::Keys && head.house() == house && is_over {
                around(Step::BackupPrune, || Disk::remove(&path))?;
                gone.push(path);
            }
        }
        Ok(gone)
    }

    /// Copies the two files that are in no stream into both folders. A copy is never replaced by one that reaches less far.
    pub(super) fn copy_beside(&self, from: &Beside) -> Result<(), VaultError> {
        let read = |path: &Path| Disk::read(path)?.ok_or_else(|| unusable(path, "it is missing"));
        let (tombstones, narrowings) = (read(&from.tombstones)?, read(&from.narrowings)?);
        let folders = if self.data == self.keys { vec![&self.data] } else { vec![&self.data, &self.keys] };
        for folder in folders {
            let to = Beside::of(folder);
            let shorter = |path: &Path| {
                unusable(path, "it reaches further than the data folder's own file, which is older: it is not replaced")
            };
            let whole = tombstone::whole(&tombstones);
            let old = Disk::read(&to.tombstones)?.unwrap_or_default();
            if !tombstone::goes_on_from(whole, &old) {
                return Err(shorter(&to.tombstones));
            }
            around(Step::BackupBeside, || Disk::replace(&to.tombstones, whole))?;
            let (whole, epoch) = narrowing::whole(&narrowings)?;
            if let Some(old) = Disk::read(&to.narrowings)?
                && narrowing::whole(&old).is_ok_and(|(_, known)| known > epoch)
            {
                return Err(shorter(&to.narrowings));
            }
            around(Step::BackupBeside, || Disk::replace(&to.narrowings, whole))?;
        }
        Ok(())
    }
}

/// Of what a stream is, by its file.
pub(super) fn head(path: &Path) -> Result<Head, VaultError> {
    let file = Disk::open_to_read(path)?;
    StreamReader::new(std::io::BufReader::new(file), path).map(|reader| reader.head)
}

/// Names and paths of the files of a folder, in order.
fn names(folder: &Path) -> Result<Vec<(String, PathBuf)>, VaultError> {
    let failed = |source| file_error("reading the folder", folder, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        names.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    names.sort();
    Ok(names)
}
