//! Responsible for the tombstone file: who was erased, as keyed tokens that name nobody, so that no restored backup and
//! no replayed event brings anybody back.
//!
//! File = magic · entries. Entry = token 32 · time 8 · how 1 · epoch 7 · mac 32, where each mac covers the one before: an
//! entry cannot be taken out of the middle. How: 0 at once (also every entry from before this was written down), 1 within a
//! day, 2 an erasure within a day was taken back in its day: the newest entry of a token counts. How far the file reaches is noted in the store too ([`Tombstones::note`]): a file
//! that is missing or shorter than the store knows is refused.
//!
//! Deliberately not: tokens of addresses (`index`), and what erasing does (the committer).

use crate::VaultError;
use crate::disk::{Disk, has_lost_a_sector};
use crate::engine::{EngineSnapshot, Keyspace, Op};
use crate::failpoint::{Step, around};
use crate::key::{HouseKeys, MacKey};
use crate::narrowing::Reach;
use crate::record::Erasure;
use model::{At, ProfileId, RequestId};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"FLTOMB1\n";
const ENTRY_BYTES: usize = 32 + 8 + 1 + 7 + 32;
/// Where in an entry stands how.
const HOW: usize = 32 + 8;
const NOTE: &[u8] = b"\0tombstones";

/// The bytes of a file without a torn last entry; needs no key.
pub(crate) fn whole(bytes: &[u8]) -> &[u8] {
    let torn = bytes.len().saturating_sub(MAGIC.len()) % ENTRY_BYTES;
    bytes.get(..bytes.len().saturating_sub(torn)).unwrap_or_default()
}

/// Whether a file goes on where an older sight of it ended. Needs no key. What a power cut left half written at its end was
/// no entry, and another stands in its place.
pub(crate) fn goes_on_from(bytes: &[u8], older: &[u8]) -> bool {
    let begin = older.len().saturating_sub(ENTRY_BYTES);
    let torn = older.split_at_checked(begin).filter(|(_, last)| begin >= MAGIC.len() && has_lost_a_sector(last, begin));
    bytes.starts_with(older) || torn.is_some_and(|(before, _)| bytes.starts_with(before))
}

/// How far the store says that the file reaches.
pub(crate) fn noted(snapshot: &dyn EngineSnapshot) -> Result<Reach, VaultError> {
    match snapshot.get(Keyspace::House, NOTE)? {
        Some(note) => Reach::from_note(&note).ok_or_else(damaged),
        None => Ok(Reach::NOTHING),
    }
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Erased(Erasure),
    TakenBack,
}

impl Word {
    const fn code(self) -> u8 {
        match self {
            Self::Erased(Erasure::Now) => 0,
            Self::Erased(Erasure::WithinADay) => 1,
            Self::TakenBack => 2,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Erased(Erasure::Now)),
            1 => Some(Self::Erased(Erasure::WithinADay)),
            2 => Some(Self::TakenBack),
            _ => None,
        }
    }
}

/// The open tombstone file.
pub(crate) struct Tombstones {
    /// `None` in memory.
    file: Option<(PathBuf, File)>,
    key: MacKey,
    tokens: HashMap<[u8; 32], (At, Erasure)>,
    /// The first entry of each token that stands.
    first: HashMap<[u8; 32], u64>,
    /// Erasures that were taken back and not asked for again.
    taken_back: HashSet<[u8; 32]>,
    /// The mac of each entry: whether an older sight of the file is one of ours.
    macs: Vec<[u8; 32]>,
    /// Another node took an erasure back.
    undone_elsewhere: bool,
}

impl Tombstones {
    /// Makes an empty file; refuses when there is one.
    pub(crate) fn create(path: &Path) -> Result<(), VaultError> {
        Disk::create(path, MAGIC)
    }

    /// Without a file: for the memory engine.
    pub(crate) fn in_memory(keys: &HouseKeys) -> Self {
        let key = keys.tombstone().clone();
        Self {
            file: None,
            key,
            tokens: HashMap::new(),
            first: HashMap::new(),
            taken_back: HashSet::new(),
            macs: Vec::new(),
            undone_elsewhere: false,
        }
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
                Some((token, at, word)) => tombstones.push(token, at, word),
                None if number + 1 == n_entries && has_lost_a_sector(entry, begin) => break,
                None => return Err(damaged()),
            }
        }
        tombstones.file = Some((path.to_path_buf(), Disk::open_to_append(path)?));
        Ok(tombstones)
    }

    /// Those of a shared store, by number, with no file.
    pub(crate) fn from_store(keys: &HouseKeys, entries: &[(u64, Vec<u8>)]) -> Result<Self, VaultError> {
        let mut tombstones = Self::in_memory(keys);
        tombstones.follow(entries)?;
        Ok(tombstones)
    }

    /// Entries that other nodes added, as they come after those that are known.
    pub(crate) fn follow(&mut self, entries: &[(u64, Vec<u8>)]) -> Result<(), VaultError> {
        for (number, entry) in entries.iter().filter(|(number, _)| *number > self.epoch()).collect::<Vec<_>>() {
            if *number != self.epoch() + 1 {
                return Err(damaged());
            }
            self.push_own(entry)?;
            self.undone_elsewhere |= entry.get(HOW).is_some_and(|how| *how == Word::TakenBack.code());
        }
        Ok(())
    }

    /// The next entry, which stands in the shared store now.
    pub(crate) fn push_own(&mut self, entry: &[u8]) -> Result<(), VaultError> {
        let (token, at, word) = self.verified(entry).ok_or_else(damaged)?;
        self.push(token, at, word);
        Ok(())
    }

    /// Whether another node took an erasure back since this was asked the last time.
    pub(crate) fn take_undone_elsewhere(&mut self) -> bool {
        std::mem::take(&mut self.undone_elsewhere)
    }

    /// Whether an entry, the newest of its token, says that somebody is erased.
    pub(crate) fn is_of_erasure(entry: &[u8]) -> bool {
        entry.get(HOW).is_none_or(|how| *how != Word::TakenBack.code())
    }

    /// The token and the bytes of every entry of a file, for a shared store.
    pub(crate) fn entries(bytes: &[u8]) -> impl Iterator<Item = ([u8; 32], Vec<u8>)> {
        let entries = bytes.get(MAGIC.len()..).unwrap_or_default().chunks_exact(ENTRY_BYTES);
        entries.filter_map(|entry| Some((*entry.first_chunk::<32>()?, entry.to_vec())))
    }

    /// A file of these entries, for whoever keeps a copy.
    pub(crate) fn to_file(entries: &[(u64, Vec<u8>)]) -> Vec<u8> {
        entries.iter().fold(MAGIC.to_vec(), |mut file, (_, entry)| {
            file.extend_from_slice(entry);
            file
        })
    }

    /// What would stand about a profile, and the entry that says so; `None` when it stands already.
    pub(crate) fn next(&self, profile: &ProfileId, at: At, how: Erasure) -> ((At, Erasure), Option<Vec<u8>>) {
        let token = self.token(profile);
        let known = self.tokens.get(&token).copied();
        let stands = match known {
            None => (at, how),
            Some((first, _)) if how == Erasure::Now => (first, Erasure::Now),
            Some(known) => known,
        };
        (stands, (known != Some(stands)).then(|| self.entry(&token, stands.0, Word::Erased(stands.1))))
    }

    /// The entry that an erasure within a day was taken back; `None` when none stands.
    pub(crate) fn next_undo(&self, profile: &ProfileId, at: At) -> Option<Vec<u8>> {
        let token = self.token(profile);
        let stands = self.tokens.get(&token).is_some_and(|(_, how)| *how == Erasure::WithinADay);
        stands.then(|| self.entry(&token, at, Word::TakenBack))
    }

    /// Notes that somebody was erased, on the disk before this returns; since when, and how. Twice is once: the first time
    /// counts, and of the two ways the one that forgets sooner.
    pub(crate) fn add(&mut self, profile: &ProfileId, at: At, how: Erasure) -> Result<(At, Erasure), VaultError> {
        let (stands, entry) = self.next(profile, at, how);
        entry.map_or(Ok(()), |entry| self.append(&entry))?;
        Ok(stands)
    }

    /// Notes that an erasure within a day was taken back, on the disk before this returns; false when none stands.
    pub(crate) fn take_back(&mut self, profile: &ProfileId, at: At) -> Result<bool, VaultError> {
        let entry = self.next_undo(profile, at);
        let stands = entry.is_some();
        entry.map_or(Ok(()), |entry| self.append(&entry))?;
        Ok(stands)
    }

    /// Whether the last that was said about this profile is that its erasure is taken back.
    pub(crate) fn is_taken_back(&self, profile: &ProfileId) -> bool {
        self.taken_back.contains(&self.token(profile))
    }

    fn append(&mut self, entry: &[u8]) -> Result<(), VaultError> {
        let begins = (MAGIC.len() as u64) + self.epoch() * ENTRY_BYTES as u64;
        if let Some((path, file)) = &mut self.file {
            around(Step::TombstoneAppend, || Disk::append(file, path, begins, entry))?;
        }
        self.push_own(entry)
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

    /// Whether this profile was erased.
    pub(crate) fn contains(&self, profile: &ProfileId) -> bool {
        self.erased(profile).is_some()
    }

    /// The op that notes this epoch in the store, for the batch that follows an [`Tombstones::add`].
    pub(crate) fn note(&self) -> Op {
        Op::Put(Keyspace::House, NOTE.to_vec(), self.end().to_note())
    }

    /// Refuses a file that does not reach what the store noted, or is another one.
    pub(crate) fn check(&self, snapshot: &dyn EngineSnapshot) -> Result<(), VaultError> {
        self.reaches(noted(snapshot)?).then_some(()).ok_or(VaultError::Tombstones)
    }

    /// Whether the file has what somebody saw of it, and goes on from there.
    pub(crate) fn reaches(&self, seen: Reach) -> bool {
        let Some(before) = seen.epoch.checked_sub(1) else { return true };
        let at = usize::try_from(before).ok();
        at.and_then(|at| self.macs.get(at)).is_some_and(|mac| *mac == seen.mac)
    }

    /// How many entries it has.
    pub(crate) fn epoch(&self) -> u64 {
        self.macs.len() as u64
    }

    /// How far it reaches.
    pub(crate) fn end(&self) -> Reach {
        self.macs.last().map_or(Reach::NOTHING, |mac| Reach { epoch: self.epoch(), mac: *mac })
    }

    pub(crate) fn token(&self, profile: &ProfileId) -> [u8; 32] {
        self.key.mac(&[b"profile", profile.as_bytes()])
    }

    /// What an entry says, if it is the next one of this file.
    fn verified(&self, entry: &[u8]) -> Option<([u8; 32], At, Word)> {
        let (token, rest) = entry.split_first_chunk::<32>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let at = At::from_ms(i64::from_be_bytes(*at));
        let word = Word::of_code(*rest.first()?)?;
        (self.entry(token, at, word) == entry).then_some((*token, at, word))
    }

    fn entry(&self, token: &[u8; 32], at: At, word: Word) -> Vec<u8> {
        let mut epoch = (self.epoch() + 1).to_be_bytes();
        // Nobody gets as far as the eighth byte of a number of erasures.
        if let Some(first) = epoch.first_mut() {
            *first = word.code();
        }
        let mut entry = [token.as_slice(), &at.ms().to_be_bytes(), &epoch].concat();
        let mac = self.key.mac(&[b"entry", &self.end().mac, &entry]);
        entry.extend_from_slice(&mac);
        entry
    }

    fn push(&mut self, token: [u8; 32], at: At, word: Word) {
        let entry = self.entry(&token, at, word);
        if let Some((_, mac)) = entry.split_last_chunk() {
            self.macs.push(*mac);
        }
        match word {
            Word::Erased(how) => {
                self.first.entry(token).or_insert(self.macs.len() as u64);
                self.tokens.insert(token, (at, how));
                self.taken_back.remove(&token);
            }
            Word::TakenBack => {
                self.first.remove(&token);
                self.tokens.remove(&token);
                self.taken_back.insert(token);
            }
        }
    }
}

fn damaged() -> VaultError {
    VaultError::Damaged { keyspace: "tombstones", what: "an entry is not the one that was written".to_owned() }
}

#[cfg(test)]
mod tests;
