//! Responsible for reading a whole data folder and naming what is not as it was written: changed, missing, swapped or put
//! back. One function per check; each says what it found and goes on.
//!
//! Reading order: [`fsck`] (files, then the checks in order) → `log` (chain, tree, entries) → `person` (everything under one
//! person's keys) → `row` (index, outbox, marks, keys and the rows of the house).
//!
//! Rows are counted (`tally`): one that is taken away or put back is missed, and mostly named by its person. A wrapped key row
//! put back as it was under the same key version is not: it opens, and what it should not open is gone.
//!
//! Deliberately not: mending. Nothing is written but what an engine writes when it opens its own files.

mod log;
mod person;
mod row;

use crate::chain::Head;
use crate::engine::{self, Engine, EngineSnapshot, Keyspace};
use crate::folder::{Folder, Holds};
use crate::format;
use crate::house::{House, Parts};
use crate::key::{DaySecrets, HouseKeys};
use crate::log::Hash;
use crate::narrowing::Narrowings;
use crate::seal::{self, Place, RecordKind};
use crate::state::{Generation, State};
use crate::tombstone::Tombstones;
use crate::urgent::UrgentLog;
use crate::wish::Wish;
use crate::witness::Witness;
use crate::{EngineKind, Household, Options, VaultError};
use model::ProfileId;
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which keyspace or file.
    pub place: &'static str,
    /// Which record: `per_…`, a batch, a row key in hex.
    pub record: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.record, self.what)
    }
}

/// What is told while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something is wrong.
    Found(Finding),
    /// How far it is.
    Progress {
        /// "batches", "people" or "rows".
        what: &'static str,
        /// So many are done.
        n_done: u64,
    },
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Batches of the log.
    pub n_batches: u64,
    /// People with a key row.
    pub n_people: u64,
    /// Rows of people and of the house.
    pub n_rows: u64,
    /// Findings.
    pub n_findings: u64,
}

/// Reads everything in a data folder that nobody serves, and tells what it finds. Memory grows with the number of people.
///
/// # Errors
/// What stands before any check: no house here, another version, another root key, a folder that is being served.
pub fn fsck(options: &Options, household: Household, tell: &mut dyn FnMut(Told)) -> Result<Checked, VaultError> {
    let mut teller = Teller { checked: Checked::default(), tell };
    let holds = Holds::of(options.engine);
    let (folder, ring) = match Folder::open(&options.data, &options.root, holds) {
        Ok(opened) => opened,
        Err(VaultError::Damaged { keyspace, what }) => {
            teller.found(keyspace, "the file", what);
            return Ok(teller.checked);
        }
        Err(error) => return Err(error),
    };
    let keys = Arc::new(ring.house_keys()?);
    if matches!(options.engine, EngineKind::Fjall | EngineKind::Redb) && !folder.store().exists() {
        teller.found("store", "the folder", "is missing");
        return Ok(teller.checked);
    }
    let engine = match engine::open(options.engine, &folder.store()) {
        Ok(engine) => engine,
        Err(error) => {
            teller.found("store", "the engine's files", told(&error));
            return Ok(teller.checked);
        }
    };
    let store = engine.snapshot();
    if let Some(nodes) = engine.nodes() {
        nodes.check_house(*folder.house().as_bytes())?;
    }
    let tombstones = tombstones(&mut teller, &folder, engine.as_ref(), &keys, &*store);
    let narrowings = match engine.nodes() {
        Some(nodes) => nodes.narrowings().and_then(|rows| Narrowings::from_store(&keys, &rows, &*store)),
        None => Narrowings::open(&folder.narrowings(), &keys, &*store),
    };
    let narrowings = narrowings.unwrap_or_else(|error| {
        teller.found("narrowings", "the file", told(&error));
        Narrowings::in_memory(&keys)
    });
    let log = if engine.nodes().is_some() { None } else { urgent_log(&mut teller, &folder) };
    if engine.nodes().is_none()
        && folder.sealed_log().exists()
        && let Err(error) = UrgentLog::open(&folder.sealed_log())
    {
        teller.found("sealed.log", "the file", told(&error));
    }
    let days = DaySecrets::load_whole(&*store, &ring, &folder.house(), &mut |key| {
        teller.found(Keyspace::Keys.name(), hex(key), "a day secret does not open");
    })?;
    let today = household.clock.now().day();
    let state = State::new(&household.promise, household.projection.as_ref(), today);
    let parts = Parts {
        id: folder.house(),
        generation: Generation { store: Arc::clone(&store), state, batch: 0 },
        household,
        engine,
        keys,
        ring,
        days,
        log,
        sealed: None,
        tombstones,
        narrowings,
        head: None,
        watch: None,
        folder: None,
    };
    let mut check = Check {
        house: House::new(parts),
        store,
        people: BTreeSet::new(),
        numbers: RoaringBitmap::new(),
        erased_at: BTreeSet::new(),
        size: 0,
        teller,
    };
    let root = check.log()?;
    check.head(&folder, root)?;
    if let Some(path) = &options.witness {
        check.witness(path, root)?;
    }
    check.keys()?;
    check.wishes();
    check.people()?;
    check.waiting()?;
    check.orphans()?;
    check.index()?;
    check.outbox()?;
    check.marks()?;
    check.house_rows()?;
    check.tallies()?;
    Ok(check.teller.checked)
}

/// Tells and counts.
struct Teller<'t> {
    checked: Checked,
    tell: &'t mut dyn FnMut(Told),
}

impl Teller<'_> {
    fn found(&mut self, place: &'static str, record: impl Into<String>, what: impl Into<String>) {
        self.checked.n_findings = self.checked.n_findings.saturating_add(1);
        (self.tell)(Told::Found(Finding { place, record: record.into(), what: what.into() }));
    }

    fn progress(&mut self, what: &'static str, n_done: u64) {
        (self.tell)(Told::Progress { what, n_done });
    }
}

/// One run over a folder.
struct Check<'t> {
    house: House,
    store: Arc<dyn EngineSnapshot>,
    /// Everybody with a key row.
    people: BTreeSet<ProfileId>,
    /// Their numbers.
    numbers: RoaringBitmap,
    /// When erasures were asked for.
    erased_at: BTreeSet<i64>,
    /// Batches of the log.
    size: u64,
    teller: Teller<'t>,
}

impl Check<'_> {
    fn found(&mut self, place: Keyspace, record: impl Into<String>, what: impl Into<String>) {
        self.teller.found(place.name(), record, what);
    }

    fn row(&mut self) {
        self.teller.checked.n_rows = self.teller.checked.n_rows.saturating_add(1);
        if self.teller.checked.n_rows.is_multiple_of(PROGRESS_ROWS) {
            self.teller.progress("rows", self.teller.checked.n_rows);
        }
    }

    /// How far the log was seen to reach.
    fn head(&mut self, folder: &Folder, root: Hash) -> Result<(), VaultError> {
        if !folder.head().exists() {
            if self.size > 0 {
                self.teller.found("head", "the file", "is missing");
            }
            return Ok(());
        }
        match Head::open(&folder.head())?.check((self.size, root), &*self.store) {
            Ok(()) => {}
            Err(VaultError::Damaged { what, .. }) => self.teller.found("head", "the newest slot", what),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What was seen in a second place.
    fn witness(&mut self, path: &Path, root: Hash) -> Result<(), VaultError> {
        if !path.exists() {
            self.teller.found("witness", path.display().to_string(), "is missing");
            return Ok(());
        }
        let urgent = self.house.urgent();
        let opened = Witness::open(path, Arc::clone(&self.house.keys), &self.house.id);
        let checked = opened.and_then(|witness| witness.check((self.size, root), &*self.store, &urgent.tombstones));
        drop(urgent);
        if let Err(error) = checked {
            self.teller.found("witness", "the newest note", told(&error));
        }
        Ok(())
    }

    /// What was acknowledged and is not yet in the store.
    fn wishes(&mut self) {
        let log = self.house.urgent();
        let mut entries = log.log.as_ref().map(|log| log.replay().to_vec()).unwrap_or_default();
        drop(log);
        if let Some(nodes) = self.house.engine.nodes() {
            match nodes.news(u64::MAX) {
                Ok(news) => entries.extend(
                    news.urgent.into_iter().map(|(seq, person, sealed)| (seq, [person.as_slice(), &sealed].concat())),
                ),
                Err(error) => self.teller.found("urgent.log", "the table", told(&error)),
            }
        }
        for (seq, bytes) in entries {
            let opened = bytes.split_first_chunk::<16>().ok_or(VaultError::Seal).and_then(|(person, sealed)| {
                let person = ProfileId::from_bytes(*person);
                let kind = RecordKind::Urgent;
                let place =
                    Place { house: &self.house.id, profile: &person, class: crate::retention::CORE, kind, id: &[] };
                format::decode::<Wish>("urgent.log", &seal::open(&self.house.keys.urgent, &place, sealed)?)
            });
            if opened.is_err() {
                self.teller.found("urgent.log", format!("entry {seq}"), "does not open");
            }
        }
    }
}

/// Rows between two words about progress.
const PROGRESS_ROWS: u64 = 10_000;

fn tombstones(
    teller: &mut Teller<'_>,
    folder: &Folder,
    engine: &dyn Engine,
    keys: &HouseKeys,
    store: &dyn EngineSnapshot,
) -> Tombstones {
    let opened = match engine.nodes() {
        Some(nodes) => nodes.news(0).and_then(|news| Tombstones::from_store(keys, &news.tombstones)),
        None => Tombstones::open(&folder.tombstones(), keys),
    };
    let tombstones = opened.unwrap_or_else(|error| {
        teller.found("tombstones", "the file", told(&error));
        Tombstones::in_memory(keys)
    });
    if (tombstones.is_a_file() || engine.nodes().is_some()) && tombstones.check(store).is_err() {
        teller.found("tombstones", "the file", "is not, or does not reach, what the store noted of it");
    }
    tombstones
}

fn urgent_log(teller: &mut Teller<'_>, folder: &Folder) -> Option<UrgentLog> {
    let opened = UrgentLog::open(&folder.urgent_log());
    opened.inspect_err(|error| teller.found("urgent.log", "the file", told(error))).ok()
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A row key as it is shown.
fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
