//! Responsible for the file of what people took back: per answer that narrowed, a keyed token of the person and of what it
//! was about. It lies beside the tombstones and never goes into a backup, so that a restored backup does not bring back a
//! yes that was withdrawn after it, or write to somebody who asked to be left alone.
//!
//! File = magic · base (epoch 8 · mac 32 · check 32) · entries. Entry = token 32 · time 8 · value 4 · mac 32, where each
//! mac covers the one before and its number: nothing can be taken out of the middle. The base is what was there before the
//! oldest entries went: they go after [`NARROWING_DAYS`], when no backup from before them may be restored any more.
//!
//! Entries come from the committer alone, synced before the batch that holds the change, whose note in the store says how
//! far the file must reach. So a restore knows without any clock which entries are later than a backup: those whose number
//! is above the backup's note.
//!
//! Deliberately not: what is done with it (`backup::restore`), and "never this item again", of which no token can be
//! turned back into an item.

use crate::VaultError;
use crate::disk::{Disk, has_lost_a_sector};
use crate::engine::{EngineSnapshot, Keyspace};
use crate::failpoint::{Step, around};
use crate::format::{CoreForm, RelationForm, status_of};
use crate::house::House;
use crate::key::{HouseKeys, MacKey};
use model::{At, ProfileId};
use promise::Promise;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How long an entry is kept, in days; a backup that is older cannot be restored any more.
pub const NARROWING_DAYS: i32 = 400;

const MAGIC: &[u8; 8] = b"FLNARR1\n";
const HEAD_BYTES: usize = MAGIC.len() + 8 + 32 + 32;
const ENTRY_BYTES: usize = 32 + 8 + 4 + 32;

/// How far a file of entries in a chain reaches: their number, and the mac of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub epoch: u64,
    pub mac: [u8; 32],
}

impl Reach {
    /// Before the first entry.
    pub(crate) const NOTHING: Self = Self { epoch: 0, mac: [0; 32] };

    pub(crate) fn from_note(note: &[u8]) -> Option<Self> {
        let (epoch, mac) = note.split_first_chunk::<8>()?;
        Some(Self { epoch: u64::from_be_bytes(*epoch), mac: mac.try_into().ok()? })
    }

    pub(crate) fn to_note(self) -> Vec<u8> {
        [self.epoch.to_be_bytes().as_slice(), &self.mac].concat()
    }
}

/// What was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// A yes to this purpose, or its fuller level.
    Purpose(&'a str),
    /// "Leave me alone".
    Alone,
    /// The address complained or bounced.
    Suppressed,
    /// Fewer messages: the new limit.
    AtMost(u32),
}

impl What<'_> {
    fn words(&self) -> [&str; 2] {
        match self {
            Self::Purpose(name) => ["purpose", name],
            Self::Alone => ["alone", ""],
            Self::Suppressed => ["suppressed", ""],
            Self::AtMost(_) => ["at most", ""],
        }
    }

    const fn value(&self) -> u32 {
        match self {
            Self::AtMost(limit) => *limit,
            _ => 0,
        }
    }
}

/// What one change of a person's core record took back.
pub(crate) fn taken_back<'a>(promise: &Promise, before: &CoreForm, after: &'a CoreForm) -> Vec<What<'a>> {
    let mut taken = Vec::new();
    for now in &after.relations {
        let was = before.relations.iter().find(|was| was.purpose == now.purpose);
        if was.is_some_and(|was| is_taken_back(promise, was, now)) {
            taken.push(What::Purpose(&now.purpose));
        }
    }
    if after.restrained && !before.restrained {
        taken.push(What::Alone);
    }
    if after.suppressed && !before.suppressed {
        taken.push(What::Suppressed);
    }
    match after.at_most {
        Some(limit) if before.at_most.is_none_or(|was| limit < was) => taken.push(What::AtMost(limit)),
        _ => {}
    }
    taken
}

/// Whether an answer takes back the one before, or some of it.
pub(crate) fn is_taken_back(promise: &Promise, was: &RelationForm, now: &RelationForm) -> bool {
    let is_given = |form: &RelationForm| status_of(form.status).is_ok_and(model::ConsentStatus::is_given);
    is_given(was) && (!is_given(now) || is_lower(promise, was, now))
}

/// Whether a level shows less than the one before; a plain yes means the fullest.
fn is_lower(promise: &Promise, was: &RelationForm, now: &RelationForm) -> bool {
    if was.level == now.level {
        return false;
    }
    let Some((_, purpose)) = promise.purposes.iter().find(|(name, _)| name.as_str() == now.purpose) else {
        return true;
    };
    let names = |form: &RelationForm| {
        let level = form.level.as_deref()?;
        purpose.levels.iter().find(|(name, _)| name == level).map(|(_, names)| names)
    };
    match (names(was), names(now)) {
        (_, None) => now.level.is_some(),
        (None, Some(_)) => true,
        (Some(was), Some(now)) => !now.is_superset(was),
    }
}

/// One entry, not yet in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Narrowing {
    token: [u8; 32],
    at: At,
    value: u32,
}

/// Entries as they will stand, and how far the file then reaches.
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    pub reach: Reach,
    first_at: At,
}

/// The bytes of a file without a torn last entry, and the number of its last: as it says itself, for no key is needed.
pub(crate) fn whole(bytes: &[u8]) -> Result<(&[u8], u64), VaultError> {
    let (found, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it has no head"))?;
    let base = found.get(MAGIC.len()..MAGIC.len() + 40).and_then(Reach::from_note);
    let base = base.filter(|_| found.starts_with(MAGIC)).ok_or_else(|| damaged("its head is not ours"))?;
    let n_entries = rest.len() / ENTRY_BYTES;
    let whole = bytes.get(..HEAD_BYTES + n_entries * ENTRY_BYTES).unwrap_or_default();
    Ok((whole, base.epoch.saturating_add(n_entries as u64)))
}

/// The rows of a shared store as a file.
pub(crate) fn to_file(rows: &[(u64, Vec<u8>)]) -> Vec<u8> {
    rows.iter().flat_map(|(_, row)| row.iter().copied()).collect()
}

/// A file as the rows of a shared store.
pub(crate) fn to_rows(file: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, VaultError> {
    let (_, last) = whole(file)?;
    let (head, rest) = file.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it has no head"))?;
    let n_entries = rest.chunks_exact(ENTRY_BYTES).len() as u64;
    let first = last.saturating_sub(n_entries).saturating_add(1);
    let entries = (first..).zip(rest.chunks_exact(ENTRY_BYTES)).map(|(number, entry)| (number, entry.to_vec()));
    Ok(std::iter::once((0, head.to_vec())).chain(entries).collect())
}

/// An empty list's head.
pub(crate) fn first_head(keys: &HouseKeys) -> Vec<u8> {
    head(keys.narrowing(), Reach::NOTHING)
}

/// How far the store says that the file reaches.
pub(crate) fn noted(snapshot: &dyn EngineSnapshot) -> Result<Reach, VaultError> {
    match snapshot.get(Keyspace::House, House::NARROWINGS)? {
        Some(note) => Reach::from_note(&note).ok_or_else(|| damaged("the store's note of it cannot be read")),
        None => Ok(Reach::NOTHING),
    }
}

/// The open file.
pub(crate) struct Narrowings {
    /// `None` in memory.
    file: Option<(PathBuf, File)>,
    key: MacKey,
    n_bytes: u64,
    reach: Reach,
    oldest: Option<At>,
}

/// All of a file, for a restore.
pub(crate) struct Taken {
    key: MacKey,
    base: Reach,
    /// With the mac that each ends with, oldest first.
    entries: Vec<(Narrowing, [u8; 32])>,
}

impl Narrowings {
    /// Makes an empty file; refuses when there is one.
    pub(crate) fn create(path: &Path, keys: &HouseKeys) -> Result<(), VaultError> {
        Disk::create(path, &head(keys.narrowing(), Reach::NOTHING))
    }

    /// Without a file: for the memory engine.
    pub(crate) fn in_memory(keys: &HouseKeys) -> Self {
        let key = keys.narrowing().clone();
        Self { file: None, key, n_bytes: HEAD_BYTES as u64, reach: Reach::NOTHING, oldest: None }
    }

    /// Opens the file, and refuses one that is missing, damaged, of another house, or does not reach what the store noted.
    /// A house from before there was such a file gets one.
    pub(crate) fn open(path: &Path, keys: &HouseKeys, snapshot: &dyn EngineSnapshot) -> Result<Self, VaultError> {
        let noted = noted(snapshot)?;
        if noted == Reach::NOTHING && !path.exists() {
            Self::create(path, keys)?;
        }
        let taken = Taken::read(path, keys)?;
        if !taken.reaches(noted) {
            return Err(VaultError::Narrowings { path: path.to_path_buf() });
        }
        let n_bytes = HEAD_BYTES.saturating_add(taken.entries.len().saturating_mul(ENTRY_BYTES)) as u64;
        let (reach, oldest) = (taken.reach(), taken.entries.first().map(|(entry, _)| entry.at));
        Ok(Self {
            file: Some((path.to_path_buf(), Disk::open_to_append(path)?)),
            key: taken.key,
            n_bytes,
            reach,
            oldest,
        })
    }

    /// Those of a shared store, by number; number 0 is the head. Refuses what [`Narrowings::open`] refuses.
    pub(crate) fn from_store(
        keys: &HouseKeys,
        rows: &[(u64, Vec<u8>)],
        snapshot: &dyn EngineSnapshot,
    ) -> Result<Self, VaultError> {
        let taken = Taken::from_bytes(&to_file(rows), keys)?;
        if !taken.reaches(noted(snapshot)?) {
            return Err(damaged("it does not reach what the store noted of it"));
        }
        let (reach, oldest) = (taken.reach(), taken.entries.first().map(|(entry, _)| entry.at));
        Ok(Self { file: None, key: taken.key, n_bytes: 0, reach, oldest })
    }

    /// Other nodes added entries: how far they reach now.
    pub(crate) fn follow(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// What was prepared last stands in the shared store.
    pub(crate) fn advance(&mut self, prepared: &Prepared) {
        self.reach = prepared.reach;
        self.oldest.get_or_insert(prepared.first_at);
    }

    /// Lets the oldest entries of a shared store go: the new head, the number of the last that goes, and how many go.
    pub(crate) fn prune_shared(
        &mut self,
        keys: &HouseKeys,
        rows: &[(u64, Vec<u8>)],
        now: At,
    ) -> Result<Option<(Vec<u8>, u64, u64)>, VaultError> {
        let first_kept = now.plus_days(-NARROWING_DAYS);
        let taken = Taken::from_bytes(&to_file(rows), keys)?;
        let n_gone = taken.entries.iter().take_while(|(entry, _)| entry.at < first_kept).count();
        self.oldest = taken.entries.get(n_gone).map(|(entry, _)| entry.at);
        let Some((_, mac)) = n_gone.checked_sub(1).and_then(|last| taken.entries.get(last)) else { return Ok(None) };
        let base = Reach { epoch: taken.base.epoch.saturating_add(n_gone as u64), mac: *mac };
        Ok(Some((head(&self.key, base), base.epoch, n_gone as u64)))
    }

    /// An entry about a person.
    pub(crate) fn entry(&self, profile: &ProfileId, what: What<'_>, at: At) -> Narrowing {
        Narrowing { token: token(&self.key, profile, what), at, value: what.value() }
    }

    /// Entries that follow what is there; `None` when there are none.
    pub(crate) fn prepare(&self, entries: &[Narrowing]) -> Option<Prepared> {
        let first_at = entries.first()?.at;
        let (mut bytes, mut reach) = (Vec::new(), self.reach);
        for entry in entries {
            let (written, mac) = written(&self.key, reach, entry);
            bytes.extend(written);
            reach = Reach { epoch: reach.epoch.saturating_add(1), mac };
        }
        Some(Prepared { bytes, reach, first_at })
    }

    /// Writes what was prepared last, on the disk before this returns.
    pub(crate) fn append(&mut self, prepared: &Prepared) -> Result<(), VaultError> {
        if let Some((path, file)) = &mut self.file {
            around(Step::NarrowingAppend, || Disk::append(file, path, self.n_bytes, &prepared.bytes))?;
        }
        self.n_bytes = self.n_bytes.saturating_add(prepared.bytes.len() as u64);
        self.reach = prepared.reach;
        self.oldest.get_or_insert(prepared.first_at);
        Ok(())
    }

    /// Lets the oldest entries go; how many went.
    pub(crate) fn prune(&mut self, keys: &HouseKeys, now: At) -> Result<u64, VaultError> {
        let first_kept = now.plus_days(-NARROWING_DAYS);
        let Some((path, _)) = self.file.as_ref().filter(|_| self.oldest.is_some_and(|oldest| oldest < first_kept))
        else {
            return Ok(0);
        };
        let path = path.clone();
        let taken = Taken::read(&path, keys)?;
        let n_gone = taken.entries.iter().take_while(|(entry, _)| entry.at < first_kept).count();
        let (gone, kept) = taken.entries.split_at(n_gone);
        let base = gone
            .last()
            .map_or(taken.base, |(_, mac)| Reach { epoch: taken.base.epoch.saturating_add(n_gone as u64), mac: *mac });
        let (mut bytes, mut reach) = (head(&self.key, base), base);
        for (entry, _) in kept {
            let (written, mac) = written(&self.key, reach, entry);
            bytes.extend(written);
            reach = Reach { epoch: reach.epoch.saturating_add(1), mac };
        }
        around(Step::NarrowingRewrite, || Disk::replace(&path, &bytes))?;
        self.n_bytes = bytes.len() as u64;
        self.oldest = kept.first().map(|(entry, _)| entry.at);
        self.file = Some((path.clone(), Disk::open_to_append(&path)?));
        Ok(n_gone as u64)
    }
}

impl Prepared {
    /// The entries, numbered.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let n_entries = self.bytes.chunks_exact(ENTRY_BYTES).len() as u64;
        let first = self.reach.epoch.saturating_sub(n_entries).saturating_add(1);
        (first..).zip(self.bytes.chunks_exact(ENTRY_BYTES)).map(|(number, entry)| (number, entry.to_vec()))
    }
}

impl Taken {
    /// Reads a file whole. What a power cut left half written at its end was never acknowledged; anything else that is not
    /// ours refuses.
    pub(crate) fn read(path: &Path, keys: &HouseKeys) -> Result<Self, VaultError> {
        let bytes = Disk::read(path)?.ok_or_else(|| VaultError::Narrowings { path: path.to_path_buf() })?;
        Self::from_bytes(&bytes, keys)
    }

    pub(crate) fn from_bytes(bytes: &[u8], keys: &HouseKeys) -> Result<Self, VaultError> {
        let key = keys.narrowing().clone();
        let (found, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it has no head"))?;
        let base = found.get(MAGIC.len()..MAGIC.len() + 40).and_then(Reach::from_note);
        let base = base.filter(|base| head(&key, *base) == found).ok_or_else(|| damaged("its head is not ours"))?;
        let (mut entries, mut reach) = (Vec::new(), base);
        for (bytes, at) in rest.chunks_exact(ENTRY_BYTES).zip((HEAD_BYTES..).step_by(ENTRY_BYTES)) {
            let entry = fields(bytes).ok_or_else(|| damaged("an entry cannot be read"))?;
            let (expected, mac) = written(&key, reach, &entry);
            if expected != bytes {
                // Entries of one batch are written at once: what lies behind a lost sector was not acknowledged either.
                if has_lost_a_sector(bytes, at) {
                    break;
                }
                return Err(damaged(&format!(
                    "entry {} is not the one that was written",
                    reach.epoch.saturating_add(1)
                )));
            }
            entries.push((entry, mac));
            reach = Reach { epoch: reach.epoch.saturating_add(1), mac };
        }
        Ok(Self { key, base, entries })
    }

    /// How far it reaches.
    pub(crate) fn reach(&self) -> Reach {
        let n_entries = self.entries.len() as u64;
        self.entries
            .last()
            .map_or(self.base, |(_, mac)| Reach { epoch: self.base.epoch.saturating_add(n_entries), mac: *mac })
    }

    /// Whether it has what somebody saw of it, and goes on from there.
    pub(crate) fn reaches(&self, seen: Reach) -> bool {
        if seen.epoch <= self.base.epoch {
            return seen.epoch < self.base.epoch || seen == self.base;
        }
        let at = usize::try_from(seen.epoch.saturating_sub(self.base.epoch).saturating_sub(1));
        at.ok().and_then(|at| self.entries.get(at)).is_some_and(|(_, mac)| *mac == seen.mac)
    }

    /// Whether nothing that came after this was let go.
    pub(crate) fn remembers(&self, since: Reach) -> bool {
        since.epoch >= self.base.epoch
    }

    /// What came after a point: token → when, and the least value.
    pub(crate) fn since(&self, seen: Reach) -> Later {
        let skip = usize::try_from(seen.epoch.saturating_sub(self.base.epoch)).unwrap_or(usize::MAX);
        let mut later = BTreeMap::new();
        for (entry, _) in self.entries.iter().skip(skip) {
            let known = later.entry(entry.token).or_insert((entry.at, entry.value));
            *known = (known.0.max(entry.at), known.1.min(entry.value));
        }
        Later { key: self.key.clone(), later }
    }
}

/// What people took back after a backup.
pub(crate) struct Later {
    key: MacKey,
    later: BTreeMap<[u8; 32], (At, u32)>,
}

impl Later {
    /// Whether this was taken back, when last, and the least value.
    pub(crate) fn of(&self, profile: &ProfileId, what: What<'_>) -> Option<(At, u32)> {
        self.later.get(&token(&self.key, profile, what)).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.later.is_empty()
    }
}

fn token(key: &MacKey, profile: &ProfileId, what: What<'_>) -> [u8; 32] {
    let [kind, name] = what.words();
    key.mac(&[b"token", profile.as_bytes(), kind.as_bytes(), name.as_bytes()])
}

fn head(key: &MacKey, base: Reach) -> Vec<u8> {
    let check = key.mac(&[b"base", &base.to_note()]);
    [MAGIC.as_slice(), &base.to_note(), &check].concat()
}

/// An entry as it stands after `before`, and its mac.
fn written(key: &MacKey, before: Reach, entry: &Narrowing) -> (Vec<u8>, [u8; 32]) {
    let mut bytes = [entry.token.as_slice(), &entry.at.ms().to_be_bytes(), &entry.value.to_be_bytes()].concat();
    let mac = key.mac(&[b"entry", &before.to_note(), &bytes]);
    bytes.extend(mac);
    (bytes, mac)
}

fn fields(bytes: &[u8]) -> Option<Narrowing> {
    let (token, rest) = bytes.split_first_chunk::<32>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let value = rest.first_chunk::<4>()?;
    Some(Narrowing { token: *token, at: At::from_ms(i64::from_be_bytes(*at)), value: u32::from_be_bytes(*value) })
}

fn damaged(what: &str) -> VaultError {
    VaultError::Damaged { keyspace: "narrowings", what: what.to_owned() }
}

#[cfg(test)]
mod tests;
