//! Responsible for collecting every key that can be found and trying all of them on what was noted of one person: the
//! wrapped rows and sealed records as they stood before an erasure, as if somebody had kept the old disk.
//!
//! Deliberately not: knowing what a record means. Each is tried at every place and with every key it could have; what
//! opens is searched for the person's words.

use super::memory::MemoryNeedle;
use super::needle::Needle;
use super::walk::{Unread, capture};
use crate::engine::{self, Engine, EngineSnapshot, Keyspace};
use crate::key::ring::{FILE_BYTES_MAX as RING_BYTES_MAX, MAGIC as RING_MAGIC};
use crate::key::{DaySecrets, HouseKeys, KEY_BYTES, PersonKey, RecordKey, Ring, Root, RootSource, Secret, person};
use crate::seal::{self, Place, RecordKind};
use crate::{EngineKind, VaultError, folder};
use model::{HouseId, ProfileId};
use promise::RetentionId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A sealed value may stand behind a short head in its row (class, day, person): it is looked for up to here, in bytes.
const HEAD_BYTES_MAX: usize = 48;

/// One wrapped key row, as it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedRow {
    /// Its key in the keys keyspace: a person's id, or a day.
    pub key: Vec<u8>,
    /// The wrapped bytes.
    pub wrapped: Vec<u8>,
}

/// One sealed record, as it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedRecord {
    /// Which keyspace.
    pub keyspace: String,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, sealed.
    pub value: Vec<u8>,
}

/// What somebody who kept the old disk would have of one person: rows and records, no keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Whose.
    pub profile: [u8; 16],
    /// The person's wrapped row.
    pub rows: Vec<NotedRow>,
    /// The wrapped secrets of all days, which belong to everybody.
    pub days: Vec<NotedRow>,
    /// The person's records.
    pub records: Vec<NotedRecord>,
}

impl Notes {
    /// What may be left of the person in no file: the id, the wrapped rows, the sealed records. A record that names the
    /// person in clear (a row of an index) is looked for by its key: the rest of such a value may be somebody else's too,
    /// who was decided for in the same millisecond.
    #[must_use]
    pub fn needles(&self) -> Vec<Needle> {
        // A needle of 32 bytes names a row well enough, and costs 30 patterns less than all of it.
        let middle = |bytes: &[u8]| bytes.get(4..36.min(bytes.len())).unwrap_or_default().to_vec();
        let is_clear = |record: &NotedRecord| names(&record.value, &self.profile);
        let id = std::iter::once(("person id".to_owned(), self.profile.to_vec()));
        let rows = self.rows.iter().map(|row| ("wrapped key row".to_owned(), middle(&row.wrapped)));
        let records = self.records.iter().map(|record| {
            let own = if is_clear(record) { &record.key } else { &record.value };
            (format!("record in {}", record.keyspace), tail(own))
        });
        id.chain(rows).chain(records).filter_map(|(what, bytes)| Needle::new(&what, &bytes)).collect()
    }

    /// Reads what [`Notes::to_json`] wrote.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// For a file between two runs of a census. Holds no key and no plain value.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether bytes hold a person's id.
fn names(bytes: &[u8], profile: &[u8; 16]) -> bool {
    bytes.windows(16).any(|window| window == profile)
}

/// The last bytes of a sealed value (ciphertext and tag) or of a key: different in every record.
fn tail(bytes: &[u8]) -> Vec<u8> {
    bytes.get(bytes.len().saturating_sub(32)..).unwrap_or_default().to_vec()
}

/// A key ring that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRing {
    /// In which file, or "held by the server".
    pub file: PathBuf,
    /// Versions of the key-encryption key in it.
    pub versions: Vec<u32>,
}

/// What could be opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Rows that opened, of how many.
    pub n_rows_opened: usize,
    /// Records that opened.
    pub n_records_opened: usize,
    /// Records that did not.
    pub n_records_closed: usize,
    /// The person's words that stood in what opened.
    pub reached: Vec<Reached>,
    /// Names of the needles that were not reached.
    pub out_of_reach: Vec<String>,
}

/// One of the person's words, reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reached {
    /// Which, by its name.
    pub what: String,
    /// In a record of which keyspace.
    pub keyspace: String,
}

/// Every key that could be found.
pub struct Census {
    house: HouseId,
    root: Option<Root>,
    rings: Vec<(FoundRing, Ring)>,
    house_keys: Vec<HouseKeys>,
    held: Vec<Secret>,
    /// The engine stays open as long as its snapshot is read.
    store: Option<(Arc<dyn EngineSnapshot>, Arc<dyn Engine>)>,
    /// What could not be searched for keys.
    pub unread: Vec<Unread>,
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Census of {} with {} rings and {} held keys", self.house, self.rings.len(), self.held.len())
    }
}

impl Census {
    /// Reads the root key and looks for key rings in every byte of every file of these folders (the data folder, key
    /// backups, temp, anywhere). A root key that is missing or wrong is noted: then there are only held keys.
    ///
    /// # Errors
    /// [`VaultError::NoHouse`] when `data` is not a data folder.
    pub fn begin(data: &Path, root: &RootSource, folders: &[PathBuf]) -> Result<Self, VaultError> {
        let house = folder::read_house(data)?.0;
        let root = folder::open_root(data, root).ok().map(|(_, root)| root);
        let (captured, unread) = capture(folders, RING_MAGIC, RING_BYTES_MAX)?;
        let (rings, house_keys, held) = (Vec::new(), Vec::new(), Vec::new());
        let mut census = Self { house, root, rings, house_keys, held, store: None, unread };
        for (file, bytes) in captured {
            census.add_ring(&file, &bytes);
        }
        Ok(census)
    }

    /// Adds 32-byte keys that the running server says it holds, of whatever kind: each is tried as all kinds.
    pub fn hold(&mut self, keys: &[[u8; KEY_BYTES]]) {
        self.held.extend(keys.iter().filter_map(|key| Secret::copy(key)));
    }

    /// Reads rows from a copy of the store (made with the committer paused). The copy is opened, and thereby changed.
    ///
    /// # Errors
    /// What opening the engine says.
    pub fn read_store(&mut self, kind: EngineKind, copy: &Path) -> Result<(), VaultError> {
        let engine = engine::open(kind, copy)?;
        self.store = Some((engine.snapshot(), engine));
        Ok(())
    }

    /// Whose wrapped key rows lie in the copy of the store, and under which version of the key-encryption key.
    ///
    /// # Errors
    /// What reading says; [`VaultError::Closed`] without [`Census::read_store`].
    pub fn wrapped_people(&self) -> Result<BTreeMap<ProfileId, Option<u32>>, VaultError> {
        let store = self.snapshot().ok_or(VaultError::Closed)?;
        let mut people = BTreeMap::new();
        for row in store.scan(Keyspace::Keys, b"") {
            let (key, wrapped) = row?;
            if let Ok(id) = <[u8; 16]>::try_from(key) {
                people.insert(ProfileId::from_bytes(id), Ring::version_of(&wrapped));
            }
        }
        Ok(people)
    }

    /// The key rings that were found and opened.
    #[must_use]
    pub fn rings(&self) -> Vec<FoundRing> {
        self.rings.iter().map(|(found, _)| found.clone()).collect()
    }

    /// Whether the root key was there and the right one.
    #[must_use]
    pub fn has_root(&self) -> bool {
        self.root.is_some()
    }

    /// Notes everything of a person in the copy of the store: rows, and every record that carries the person's id in its
    /// key or its value.
    ///
    /// # Errors
    /// What reading says; [`VaultError::Closed`] without [`Census::read_store`].
    pub fn note(&self, profile: &ProfileId) -> Result<Notes, VaultError> {
        let store = self.snapshot().ok_or(VaultError::Closed)?;
        let (mut rows, mut days, mut records) = (Vec::new(), Vec::new(), Vec::new());
        let is_theirs = |bytes: &[u8]| names(bytes, profile.as_bytes());
        for keyspace in Keyspace::ALL {
            for row in store.scan(keyspace, b"") {
                let (key, value) = row?;
                match keyspace {
                    Keyspace::Keys if key.as_slice() == profile.as_bytes() => {
                        rows.push(NotedRow { key, wrapped: value })
                    }
                    Keyspace::Keys if DaySecrets::is_row(&key) => days.push(NotedRow { key, wrapped: value }),
                    _ if is_theirs(&key) || is_theirs(&value) => {
                        records.push(NotedRecord { keyspace: keyspace.name().to_owned(), key, value });
                    }
                    _ => {}
                }
            }
        }
        Ok(Notes { profile: *profile.as_bytes(), rows, days, records })
    }

    /// Tries every key on everything that was noted, and looks for the person's words in what opens.
    #[must_use]
    pub fn reach(&self, notes: &Notes, words: &[Needle]) -> Reach {
        let profile = ProfileId::from_bytes(notes.profile);
        let persons = self.persons(notes, &profile);
        let mut tries = Tries { census: self, profile, keys: self.record_keys(notes, &persons), last: BTreeMap::new() };
        let mut reach = Reach { n_rows_opened: persons.len(), ..Reach::default() };
        let mut reached = BTreeSet::new();
        for record in &notes.records {
            let Some(plain) = tries.open(record) else {
                reach.n_records_closed += 1;
                continue;
            };
            reach.n_records_opened += 1;
            for word in words.iter().filter(|word| contains(&plain, word.bytes())) {
                reached.insert(Reached { what: word.what.clone(), keyspace: record.keyspace.clone() });
            }
        }
        let found: BTreeSet<&str> = reached.iter().map(|reached| reached.what.as_str()).collect();
        let names = words.iter().map(|word| word.what.clone());
        reach.out_of_reach = names.filter(|what| !found.contains(what.as_str())).collect();
        reach.reached = reached.into_iter().collect();
        reach
    }

    /// The person's key bytes as hashes, for [`super::search_own_memory`] in the server's process: made before an
    /// erasure, looked for after it. `salt` is drawn for this search.
    #[must_use]
    pub fn memory_needles(&self, notes: &Notes, salt: u64) -> Vec<MemoryNeedle> {
        let persons = self.persons(notes, &ProfileId::from_bytes(notes.profile));
        let secrets = persons.iter().flat_map(PersonKey::secrets);
        let mut needles: Vec<_> = secrets.map(|secret| MemoryNeedle::new(salt, secret.bytes())).collect();
        let cores = persons.iter().map(PersonKey::core_key);
        needles.extend(cores.map(|key| MemoryNeedle::new(salt, key.bytes())));
        needles
    }

    /// A ring may be followed by anything (it lay in an archive), so each length it can have is tried.
    fn add_ring(&mut self, file: &Path, bytes: &[u8]) {
        let Some(root) = &self.root else { return };
        for n_bytes in Ring::file_sizes().take_while(|n_bytes| *n_bytes <= bytes.len()) {
            let Some(ring) =
                bytes.get(..n_bytes).and_then(|bytes| Ring::from_file(bytes, root, &self.house, None).ok())
            else {
                continue;
            };
            let found = FoundRing { file: file.to_path_buf(), versions: ring.versions() };
            // What is stored in an archive without being compressed is met twice.
            if self.rings.iter().all(|(known, _)| *known != found) {
                self.house_keys.extend(ring.house_keys());
                self.rings.push((found, ring));
            }
            return;
        }
    }

    fn snapshot(&self) -> Option<&dyn EngineSnapshot> {
        self.store.as_ref().map(|(snapshot, _)| snapshot.as_ref())
    }

    fn unwrap(&self, place: &[u8], wrapped: &[u8]) -> Option<crate::key::Wiped> {
        let from_rings = self.rings.iter().find_map(|(_, ring)| ring.unwrap(place, wrapped).ok());
        from_rings.or_else(|| self.held.iter().find_map(|key| Ring::unwrap_with(key, place, wrapped).ok()))
    }

    /// The person's opened rows: noted ones, and what the store has now.
    fn persons(&self, notes: &Notes, profile: &ProfileId) -> Vec<PersonKey> {
        let live = self.snapshot().and_then(|store| store.get(Keyspace::Keys, profile.as_bytes()).ok().flatten());
        let place = person::place(&self.house, profile);
        let rows = notes.rows.iter().map(|row| row.wrapped.clone()).chain(live);
        let mut seen = BTreeSet::new();
        let new_rows = rows.filter(|row| seen.insert(row.clone()));
        new_rows.filter_map(|row| PersonKey::from_plain(&self.unwrap(&place, &row)?.0)).collect()
    }

    /// Every key that could seal a record of this person, with the class it seals for when that is known.
    fn record_keys(&self, notes: &Notes, persons: &[PersonKey]) -> Vec<(Option<RetentionId>, RecordKey)> {
        let mut days: BTreeMap<RetentionId, Vec<Secret>> = BTreeMap::new();
        let stored = self.snapshot().into_iter().flat_map(|store| store.scan(Keyspace::Keys, DaySecrets::PREFIX));
        let live = stored.filter_map(Result::ok).map(|(key, wrapped)| NotedRow { key, wrapped });
        for row in notes.days.iter().cloned().chain(live) {
            let plain = self.unwrap(&DaySecrets::place(&self.house, &row.key), &row.wrapped);
            if let Some((class, secret)) =
                DaySecrets::class_of(&row.key).zip(plain.and_then(|plain| Secret::copy(&plain.0)))
            {
                days.entry(class).or_default().push(secret);
            }
        }
        let mut keys = Vec::new();
        for person in persons {
            keys.push((None, person.core_key().clone()));
            for class in person.classes() {
                let of_days = days.get(&class).into_iter().flatten().map(|day| person.day_key(class, day.bytes()));
                let all = std::iter::once(person.record_key(class).cloned()).chain(of_days);
                keys.extend(all.flatten().map(|key| (Some(class), key)));
            }
        }
        for house in &self.house_keys {
            keys.extend([&house.house_record, &house.urgent].map(|key| (None, key.clone())));
        }
        let classes = named_classes(notes, &days);
        for held in &self.held {
            // A held key may be a record key itself, a class secret, or a person's root.
            for class in std::iter::once(None).chain(classes.iter().copied().map(Some)) {
                keys.push((class, held.clone()));
                keys.push((class, held.derive(b"", b"record")));
                let of_days = class.and_then(|class| days.get(&class)).into_iter().flatten();
                keys.extend(of_days.map(|day| (class, held.derive(day.bytes(), b"record"))));
            }
            keys.push((None, held.derive(b"", b"core")));
        }
        keys
    }
}

/// Retention classes that stand in clear in what was noted: class names are no secret.
fn named_classes(notes: &Notes, days: &BTreeMap<RetentionId, Vec<Secret>>) -> BTreeSet<RetentionId> {
    let four = |bytes: Option<&[u8]>| bytes.and_then(<[u8]>::first_chunk).map(|class| RetentionId(*class));
    let of_days = notes.days.iter().filter_map(|row| DaySecrets::class_of(&row.key));
    let of_records = notes.records.iter().flat_map(|record| [four(record.key.get(16..)), four(Some(&record.value))]);
    days.keys().copied().chain(of_days).chain(of_records.flatten()).collect()
}

fn contains(plain: &[u8], word: &[u8]) -> bool {
    plain.windows(word.len()).any(|window| window == word)
}

/// Where a record of a keyspace opened last time: the next one is tried there first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    kind: u8,
    id: Id,
    of_house: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Id {
    Tail,
    Whole,
    Empty,
}

struct Tries<'a> {
    census: &'a Census,
    profile: ProfileId,
    keys: Vec<(Option<RetentionId>, RecordKey)>,
    last: BTreeMap<String, Vec<Form>>,
}

impl Tries<'_> {
    fn open(&mut self, record: &NotedRecord) -> Option<Vec<u8>> {
        let known = self.last.get(&record.keyspace).cloned().unwrap_or_default();
        let others = all_forms().filter(|form| !known.contains(form));
        let forms: Vec<Form> = known.iter().copied().chain(others).collect();
        for at in 0..HEAD_BYTES_MAX.min(record.value.len()) {
            let Some(sealed) = record.value.get(at..).filter(|sealed| seal::looks_sealed(sealed)) else { continue };
            for form in &forms {
                if let Some(plain) = self.try_form(*form, &record.key, sealed) {
                    let known = self.last.entry(record.keyspace.clone()).or_default();
                    if !known.contains(form) {
                        known.push(*form);
                    }
                    return Some(plain);
                }
            }
        }
        None
    }

    fn try_form(&self, form: Form, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let nobody = ProfileId::from_bytes([0; 16]);
        let id = match form.id {
            Id::Tail => key.get(16..).unwrap_or_default(),
            Id::Whole => key,
            Id::Empty => &[],
        };
        let kind = RecordKind::from_number(form.kind)?;
        let profile = if form.of_house { &nobody } else { &self.profile };
        self.keys.iter().find_map(|(class, key)| {
            let class = class.unwrap_or(RetentionId([0; 4]));
            let place = Place { house: &self.census.house, profile, class, kind, id };
            seal::open(key, &place, sealed).ok()
        })
    }
}

fn all_forms() -> impl Iterator<Item = Form> {
    let kinds = 1..=RecordKind::LAST;
    kinds.flat_map(|kind| {
        [Id::Tail, Id::Empty, Id::Whole]
            .into_iter()
            .flat_map(move |id| [false, true].into_iter().map(move |of_house| Form { kind, id, of_house }))
    })
}
