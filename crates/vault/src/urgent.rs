//! Responsible for the urgent log: a small file of its own, with a sync of its own, that holds withdrawals, objections,
//! erasures and stops from their acknowledgement until the store has them, also while the store stalls or is full.
//!
//! File = magic · first sequence number 8 · entries. Entry = length 4 · sequence 8 · head check 8 · sealed bytes · check 16.
//!
//! Deliberately not: what an entry says (it comes sealed), and applying it (the committer, in memory and then the store).

use crate::VaultError;
use crate::disk::Disk;
use crate::failpoint::{Step, around};
use crate::log::sha256;
use std::fs::File;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"FLURGE1\n";
const FILE_HEAD_BYTES: usize = MAGIC.len() + 8;
const ENTRY_HEAD_BYTES: usize = 4 + 8 + 8;
const CHECK_BYTES: usize = 16;

/// Largest entry, in bytes: a sealed command about one person.
pub(crate) const ENTRY_BYTES_MAX: usize = 64 << 10;

/// Largest file, in bytes: some 100,000 commands; more means that the store has been away for very long.
pub(crate) const FILE_BYTES_MAX: u64 = 64 << 20;

/// A file above this is written anew with what still waits, in bytes.
const REWRITE_ABOVE_BYTES: u64 = 1 << 20;

/// The open urgent log.
pub(crate) struct UrgentLog {
    path: PathBuf,
    file: File,
    /// Bytes that hold whole entries.
    n_bytes: u64,
    /// The next entry gets this number.
    next: u64,
    waiting: Vec<(u64, Vec<u8>)>,
}

impl UrgentLog {
    /// Makes an empty log; refuses when there is a file.
    pub(crate) fn create(path: &Path) -> Result<(), VaultError> {
        Disk::create(path, &file_head(1))
    }

    /// Opens a log. A torn last entry (never acknowledged) is cut off at the next append; anything else that cannot be
    /// read is damage.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        let damaged = |what: &str| damaged(path, what);
        let bytes = Disk::read(path)?.ok_or_else(|| damaged("the file is missing"))?;
        let first = bytes.strip_prefix(MAGIC).and_then(<[u8]>::first_chunk).ok_or_else(|| damaged("it has no head"))?;
        let first = u64::from_be_bytes(*first);
        let (mut next, mut at, mut waiting) = (first, FILE_HEAD_BYTES, Vec::new());
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some((number, entry, n_bytes)) = entry(rest, next) else {
                if (1..rest.len()).any(|skip| rest.get(skip..).is_some_and(|rest| later_entry(rest, next))) {
                    return Err(damaged("an entry in the middle cannot be read"));
                }
                break;
            };
            waiting.push((number, entry.to_vec()));
            at += n_bytes;
            next = number + 1;
        }
        let file = Disk::open_to_append(path)?;
        Ok(Self { path: path.to_path_buf(), file, n_bytes: at as u64, next, waiting })
    }

    /// Adds an entry, on the disk before this returns; its number.
    pub(crate) fn append(&mut self, sealed: &[u8]) -> Result<u64, VaultError> {
        if sealed.len() > ENTRY_BYTES_MAX {
            return Err(VaultError::TooLarge { what: "an urgent entry", bytes: sealed.len(), limit: ENTRY_BYTES_MAX });
        }
        if self.n_bytes > FILE_BYTES_MAX {
            return Err(VaultError::Busy);
        }
        let number = self.next;
        let bytes = framed(number, sealed);
        around(Step::UrgentAppend, || Disk::append(&mut self.file, &self.path, self.n_bytes, &bytes))?;
        self.n_bytes += bytes.len() as u64;
        self.next += 1;
        self.waiting.push((number, sealed.to_vec()));
        Ok(number)
    }

    /// What the store may not have yet, oldest first.
    pub(crate) fn replay(&self) -> &[(u64, Vec<u8>)] {
        &self.waiting
    }

    /// The store has these. Empties the file once that is all of it; one that has grown keeps what still waits alone, so
    /// that an entry that cannot be written does not keep the others on the disk.
    pub(crate) fn drained(&mut self, numbers: &[u64]) -> Result<(), VaultError> {
        self.waiting.retain(|(each, _)| !numbers.contains(each));
        let is_grown = self.n_bytes > REWRITE_ABOVE_BYTES && !numbers.is_empty();
        match self.n_bytes > FILE_HEAD_BYTES as u64 && (self.waiting.is_empty() || is_grown) {
            true => self.write_anew(),
            false => Ok(()),
        }
    }

    /// The same, and they leave the file at once: for entries that the store does not know again.
    pub(crate) fn remove(&mut self, numbers: &[u64]) -> Result<(), VaultError> {
        self.waiting.retain(|(each, _)| !numbers.contains(each));
        self.write_anew()
    }

    fn write_anew(&mut self) -> Result<(), VaultError> {
        let first = self.waiting.first().map_or(self.next, |(number, _)| *number);
        let mut bytes = file_head(first);
        self.waiting.iter().for_each(|(number, sealed)| bytes.extend(framed(*number, sealed)));
        around(Step::UrgentRewrite, || Disk::replace_and_wipe(&self.path, &bytes))?;
        self.file = Disk::open_to_append(&self.path)?;
        self.n_bytes = bytes.len() as u64;
        Ok(())
    }
}

fn framed(number: u64, sealed: &[u8]) -> Vec<u8> {
    let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = [length.as_slice(), &number.to_be_bytes()].concat();
    let head_check = sha256(&[&bytes]);
    bytes.extend(head_check.iter().take(8));
    bytes.extend_from_slice(sealed);
    let check = sha256(&[&bytes]);
    bytes.extend(check.iter().take(CHECK_BYTES));
    bytes
}

fn file_head(first: u64) -> Vec<u8> {
    [MAGIC.as_slice(), &first.to_be_bytes()].concat()
}

/// The head of an entry: its length, when it is whole and has this number.
fn head(bytes: &[u8]) -> Option<(usize, u64)> {
    let (fields, rest) = bytes.split_first_chunk::<12>()?;
    let check = rest.first_chunk::<8>()?;
    let (length, number) = fields.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    sha256(&[fields]).starts_with(check).then_some((length, number))
}

/// An entry of this number or, where others were written before it, a later one.
fn entry(bytes: &[u8], next: u64) -> Option<(u64, &[u8], usize)> {
    let (length, number) = head(bytes).filter(|(_, found)| *found >= next)?;
    let end = ENTRY_HEAD_BYTES.checked_add(length)?;
    let (checked, rest) = bytes.split_at_checked(end)?;
    let check = rest.get(..CHECK_BYTES)?;
    let sealed = checked.get(ENTRY_HEAD_BYTES..)?;
    sha256(&[checked]).starts_with(check).then_some((number, sealed, end + CHECK_BYTES))
}

/// Whether these bytes begin a later entry: then what came before is not a torn tail.
fn later_entry(bytes: &[u8], next: u64) -> bool {
    bytes.first() == Some(&0) && head(bytes).is_some_and(|(_, number)| number > next)
}

fn damaged(path: &Path, what: &str) -> VaultError {
    let is_sealed = path.file_name().is_some_and(|name| name == "sealed.log");
    VaultError::Damaged { keyspace: if is_sealed { "sealed.log" } else { "urgent.log" }, what: what.to_owned() }
}

#[cfg(test)]
mod tests;
