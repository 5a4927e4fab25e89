//! Responsible for the tombstone file: who was erased, as keyed tokens that name nobody, so that no restored backup and
//! no replayed event brings anybody back.
//!
//! File = magic · entries. Entry = token 32 · time 8 · how 1 · epoch 7 · mac 32, where each mac covers the one before: an
//! entry cannot be taken out of the middle. How: 0 at once (also every entry from before this was written down), 1 within a
//! day. How far the file reaches is noted in the store too ([`Tombstones::note`]): a file
//! that is missing or shorter than the store knows is refused.
//!
//! Deliberately not: tokens of addresses (`index`), and what erasing does (the committer).

use crate::VaultError;
use crate::disk::{Disk, file_error};
use crate::engine::{EngineSnapshot, Keyspace, Op};
use crate::key::{HouseKeys, MacKey};
use crate::record::Erasure;
use model::{At, ProfileId, RequestId};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"FLTOMB1\n";
const ENTRY_BYTES: usize = 32 + 8 + 1 + 7 + 32;
/// What a disk writes whole or not at all, at the least, in bytes.
const SECTOR_BYTES: usize = 512;
const NOTE: &[u8] = b"\0tombstones";

/// The open tombstone file.
pub(crate) struct Tombstones {
    /// `None` in memory.
    file: Option<(PathBuf, File)>,
    key: MacKey,
    tokens: HashMap<[u8; 32], (At, Erasure)>,
    /// The first entry of each token.
    first: HashMap<[u8; 32], u64>,
    epoch: u64,
    mac: [u8; 32],
}

impl Tombstones {
    /// Makes an empty file; refuses when there is one.
    pub(crate) fn create(path: &Path) -> Result<(), VaultError> {
        Disk::create(path, MAGIC)
    }

    /// Without a file: for the memory engine.
    pub(crate) fn in_memory(keys: &HouseKeys) -> Self {
        let key = keys.tombstone().clone();
        Self { file: None, key, tokens: HashMap::new(), first: HashMap::new(), epoch: 0, mac: [0; 32] }
    }

    /// Opens the file. A missing one, or an entry that is not ours, refuses; a torn last entry was never acknowledged.
    pub(crate) fn open(path: &Path, keys: &HouseKeys) -> Result<Self, VaultError> {
        let bytes = Disk::read(path)?.ok_or(VaultError::Tombstones)?;
        let mut tombstones = Self::in_memory(keys);
        let n_entries = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?.len() / ENTRY_BYTES;
        for number in 0..n_entries {
            let begin = MAGIC.len() + number * ENTRY_BYTES;
            let entry = bytes.get(begin..begin + ENTRY_BYTES).ok_or_else(damaged)?;
            match tombstones.verified(entry) {
                Some((token, at, how)) => tombstones.push(token, at, how),
                None if number + 1 == n_entries && is_torn(entry, begin) => break,
                None => return Err(damaged()),
            }
        }
        tombstones.file = Some((path.to_path_buf(), Disk::open_to_append(path)?));
        Ok(tombstones)
    }

    /// Notes that somebody was erased, on the disk before this returns; since when, and how. Twice is once: the first time
    /// counts, and of the two ways the one that forgets sooner.
    pub(crate) fn add(&mut self, profile: &ProfileId, at: At, how: Erasure) -> Result<(At, Erasure), VaultError> {
        let token = self.token(profile);
        let known = self.tokens.get(&token).copied();
        let stands = match known {
            None => (at, how),
            Some((first, _)) if how == Erasure::Now => (first, Erasure::Now),
            Some(known) => known,
        };
        if known != Some(stands) {
            let (at, how) = stands;
            let entry = self.entry(&token, at, how);
            let begins = (MAGIC.len() as u64) + self.epoch * ENTRY_BYTES as u64;
            if let Some((path, file)) = &mut self.file {
                Disk::append(file, path, begins, &entry)?;
            }
            self.push(token, at, how);
        }
        Ok(stands)
    }

    /// The request under which a profile is erased: the same after a crash, so that a receipt finds it on record.
    pub(crate) fn request(&self, profile: &ProfileId, at: At) -> RequestId {
        let mac = self.key.mac(&[b"request", profile.as_bytes(), &at.ms().to_be_bytes()]);
        RequestId::from_bytes(*mac.first_chunk().unwrap_or(&[0; 16]))
    }

    /// When and how this profile was erased; `None` when it was not.
    pub(crate) fn erased(&self, profile: &ProfileId) -> Option<(At, Erasure)> {
        self.tokens.get(&self.token(profile)).copied()
    }

    /// Which entry was the first about this profile, from 1.
    pub(crate) fn first_epoch(&self, profile: &ProfileId) -> Option<u64> {
        self.first.get(&self.token(profile)).copied()
    }

    /// How many were first erased after an entry.
    pub(crate) fn n_first_after(&self, epoch: u64) -> usize {
        self.first.values().filter(|first| **first > epoch).count()
    }

    /// Whether there is a file; in memory there is none.
    pub(crate) fn is_a_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether a house row is what the store noted.
    pub(crate) fn is_note(key: &[u8]) -> bool {
        key == NOTE
    }

    /// How far the store knows the file to reach: entries, and the mac of the last.
    pub(crate) fn noted(&self, snapshot: &dyn EngineSnapshot) -> Result<Option<(u64, [u8; 32])>, VaultError> {
        let Some(note) = snapshot.get(Keyspace::House, NOTE)? else { return Ok(None) };
        let (epoch, mac) = note.split_first_chunk::<8>().ok_or_else(damaged)?;
        Ok(Some((u64::from_be_bytes(*epoch), mac.try_into().map_err(|_| damaged())?)))
    }

    /// Whether this profile was erased.
    pub(crate) fn contains(&self, profile: &ProfileId) -> bool {
        self.erased(profile).is_some()
    }

    /// The op that notes this epoch in the store, for the batch that follows an [`Tombstones::add`].
    pub(crate) fn note(&self) -> Op {
        let note = [self.epoch.to_be_bytes().as_slice(), &self.mac].concat();
        Op::Put(Keyspace::House, NOTE.to_vec(), note)
    }

    /// Refuses a file that does not reach what the store noted, or is another one.
    pub(crate) fn check(&self, snapshot: &dyn EngineSnapshot) -> Result<(), VaultError> {
        let Some((epoch, mac)) = self.noted(snapshot)? else { return Ok(()) };
        self.reaches(epoch, &mac)?.then_some(()).ok_or(VaultError::Tombstones)
    }

    /// How many entries it has, and the mac of the last one.
    pub(crate) fn end(&self) -> (u64, [u8; 32]) {
        (self.epoch, self.mac)
    }

    /// How many entries it has.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the file has so many entries, and the mac of the last of these is this one.
    pub(crate) fn reaches(&self, epoch: u64, mac: &[u8; 32]) -> Result<bool, VaultError> {
        if epoch == self.epoch {
            return Ok(*mac == self.mac);
        }
        let Some((path, file)) = self.file.as_ref().filter(|_| epoch < self.epoch) else { return Ok(false) };
        if epoch == 0 {
            return Ok(*mac == [0; 32]);
        }
        // Each entry was verified when the file was opened; its mac is its end.
        let end = (MAGIC.len() as u64).saturating_add(epoch.saturating_mul(ENTRY_BYTES as u64));
        let mut found = [0; 32];
        let read = file.read_exact_at(&mut found, end.saturating_sub(32));
        read.map_err(|source| file_error("reading", path, source))?;
        Ok(found == *mac)
    }

    fn token(&self, profile: &ProfileId) -> [u8; 32] {
        self.key.mac(&[b"profile", profile.as_bytes()])
    }

    /// What an entry says, if it is the next one of this file.
    fn verified(&self, entry: &[u8]) -> Option<([u8; 32], At, Erasure)> {
        let (token, rest) = entry.split_first_chunk::<32>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let at = At::from_ms(i64::from_be_bytes(*at));
        let how = match rest.first()? {
            0 => Erasure::Now,
            1 => Erasure::WithinADay,
            _ => return None,
        };
        (self.entry(token, at, how) == entry).then_some((*token, at, how))
    }

    fn entry(&self, token: &[u8; 32], at: At, how: Erasure) -> Vec<u8> {
        let mut epoch = (self.epoch + 1).to_be_bytes();
        // Nobody gets as far as the eighth byte of a number of erasures.
        if let Some(first) = epoch.first_mut() {
            *first = match how {
                Erasure::Now => 0,
                Erasure::WithinADay => 1,
            };
        }
        let mut entry = [token.as_slice(), &at.ms().to_be_bytes(), &epoch].concat();
        let mac = self.key.mac(&[b"entry", &self.mac, &entry]);
        entry.extend_from_slice(&mac);
        entry
    }

    fn push(&mut self, token: [u8; 32], at: At, how: Erasure) {
        let entry = self.entry(&token, at, how);
        if let Some((_, mac)) = entry.split_last_chunk() {
            self.mac = *mac;
        }
        self.epoch += 1;
        self.first.entry(token).or_insert(self.epoch);
        self.tokens.insert(token, (at, how));
    }
}

/// Whether an entry that does not verify is one that a power cut left half on the disk: the file has its length already,
/// and what lies in one sector, or all of it, is zeros.
fn is_torn(entry: &[u8], begin: usize) -> bool {
    let in_first = (begin.next_multiple_of(SECTOR_BYTES) - begin).min(entry.len());
    let is_zeros = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| *byte == 0);
    entry.split_at_checked(in_first).is_some_and(|(first, second)| is_zeros(first) || is_zeros(second))
}

fn damaged() -> VaultError {
    VaultError::Damaged { keyspace: "tombstones", what: "an entry is not the one that was written".to_owned() }
}

#[cfg(test)]
mod tests;
