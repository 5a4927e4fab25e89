//! Responsible for the answer after a theft: who is concerned, which categories of data about them there are, and whether
//! whoever took them can read them. One pass over the people, in memory that grows with what the promise declares.
//!
//! No permit is asked for each person: it counts, it discloses no value, and it has to count those too who took every yes
//! back. Whom it counted is written down like any set-wise read, under the built-in artefact "breach_notice".
//!
//! Deliberately not: addresses (a permit of that artefact opens them), finding out what was taken (`census` looks into
//! folders), or whether an authority has to be told, which is for people to judge; the clock is shown by the command.

use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::FactForm;
use crate::key::Ring;
use crate::person::Open;
use crate::snapshot::Snapshot;
use model::{Class, FactName, ProfileId, ProfileKind};
use promise::{Artefact, ArtefactKind, Refusal, RefusalReason};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;

/// Bytes read at a time from what was stolen.
const CHUNK_BYTES: usize = 1 << 20;

/// Under which name it is counted that somebody's categories were counted.
const CATEGORIES: &str = "record categories";

/// What was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Theft {
    /// Rows of everybody.
    pub everybody: bool,
    /// Rows of these people.
    pub people: BTreeSet<ProfileId>,
    /// These versions of the key-encryption key, each by itself.
    pub versions: BTreeSet<u32>,
    /// The root key and a key ring went with the rows of `everybody` or `people`: they can be opened.
    pub has_keys: bool,
}

/// One thing that is kept about people: what, how it is called, how sensitive it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Category {
    /// "fact", "trait", "event", "identifier", "answer", "decision".
    pub kind: &'static str,
    /// Declared name.
    pub name: String,
    /// How sensitive.
    pub class: Class,
}

/// How much of a category was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CategoryCount {
    /// People.
    pub n_people: u64,
    /// Of them: readable for whoever took it.
    pub n_people_readable: u64,
    /// Records.
    pub n_records: u64,
}

/// One person who is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concerned {
    /// Who.
    pub person: ProfileId,
    /// Person or device.
    pub kind: ProfileKind,
    /// Whoever took it can read it.
    pub is_readable: bool,
    /// The most sensitive thing that is kept.
    pub class: Class,
    /// Records.
    pub n_records: u64,
}

impl Concerned {
    /// Whether the person has to be told: it can be read, and says more than what everybody may know.
    #[must_use]
    pub fn has_to_be_told(&self) -> bool {
        self.is_readable && self.class > Class::Plain
    }
}

/// Everything about a theft, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breach {
    /// People concerned.
    pub n_people: u64,
    /// Of them: readable for whoever took it.
    pub n_readable: u64,
    /// Of them: to be told.
    pub n_to_tell: u64,
    /// Named, and nobody is here by this id: erased, or of another house.
    pub n_unknown: u64,
    /// Concerned, and our own record of them cannot be opened: not counted below.
    pub n_damaged: u64,
    /// By category.
    pub categories: BTreeMap<Category, CategoryCount>,
    /// Versions that were taken and still wrap rows here: rotate now.
    pub versions_alive: Vec<u32>,
    /// Versions that were taken and are destroyed here. They open copies from before that, so everybody is concerned who
    /// may have been in one: everybody.
    pub versions_destroyed: Vec<u32>,
    /// Versions that there never were here: nobody is concerned by them.
    pub versions_unknown: Vec<u32>,
}

impl Snapshot {
    /// Who is concerned, one by one as they are found, and the numbers.
    ///
    /// # Errors
    /// The refusal (inside) when the reads could not be written down; [`VaultError`] when the store cannot be read.
    pub fn breach(
        &self,
        theft: &Theft,
        each: &mut dyn FnMut(&Concerned),
    ) -> Result<Result<Breach, Refusal>, VaultError> {
        let notice = self.promise().artefact(ArtefactKind::Page, Artefact::BREACH_NOTICE);
        let Some(notice) = notice else { return Ok(Err(Refusal::because(RefusalReason::UnknownArtefact))) };
        let Some(slot) = self.house.unwritten.set_place() else {
            return Ok(Err(Refusal::because(RefusalReason::NotCounted)));
        };
        let alive = self.house.ring.versions();
        // Numbers are given in order, from 1, and never twice.
        let was_here = |version: &&u32| (1..=self.house.ring.current()).contains(*version);
        let (known, versions_unknown): (Vec<u32>, Vec<u32>) = theft.versions.iter().partition(was_here);
        let (versions_alive, versions_destroyed) = known.iter().partition(|version| alive.contains(version));
        let mut breach = Breach { versions_alive, versions_destroyed, versions_unknown, ..Breach::default() };
        let state = &self.generation.state;
        breach.n_unknown = theft.people.iter().filter(|id| state.number(id).is_none()).count() as u64;
        let mut counted = RoaringBitmap::new();
        for person in state.everybody().iter().filter_map(|number| state.by_number(number)) {
            let Some(is_readable) = self.is_concerned(theft, &breach, &person.id)? else { continue };
            breach.n_people = breach.n_people.saturating_add(1);
            breach.n_readable = breach.n_readable.saturating_add(u64::from(is_readable));
            let mut concerned =
                Concerned { person: person.id, kind: person.kind, is_readable, class: Class::Plain, n_records: 0 };
            match self.categories(&person.id, person.number) {
                Ok(found) => {
                    counted.insert(person.number);
                    for (category, n) in found {
                        concerned.class = concerned.class.max(category.class);
                        concerned.n_records = concerned.n_records.saturating_add(n);
                        let count = breach.categories.entry(category).or_default();
                        count.n_people = count.n_people.saturating_add(1);
                        count.n_people_readable = count.n_people_readable.saturating_add(u64::from(is_readable));
                        count.n_records = count.n_records.saturating_add(n);
                    }
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a profile could not be counted");
                    // Of whom we cannot say what is kept, the worst is assumed.
                    concerned.class = Class::Sensitive;
                    breach.n_damaged = breach.n_damaged.saturating_add(1);
                }
            }
            breach.n_to_tell = breach.n_to_tell.saturating_add(u64::from(concerned.has_to_be_told()));
            each(&concerned);
        }
        self.leave_run(&slot, notice, BTreeMap::from([(CATEGORIES.to_owned(), counted)]));
        Ok(Ok(breach))
    }

    /// Whether a person is concerned, and then whether it can be read.
    fn is_concerned(&self, theft: &Theft, breach: &Breach, id: &ProfileId) -> Result<Option<bool>, VaultError> {
        let is_named = theft.everybody || theft.people.contains(id);
        if theft.versions.is_empty() {
            return Ok(is_named.then_some(theft.has_keys));
        }
        let row = self.store().get(Keyspace::Keys, id.as_bytes())?;
        let version = row.as_deref().and_then(Ring::version_of);
        let is_opened = version.is_some_and(|version| theft.versions.contains(&version));
        // A copy from before a rotation is opened by the version that is destroyed here.
        let is_opened = is_opened || !breach.versions_destroyed.is_empty();
        Ok((is_named || is_opened).then_some(is_opened || theft.has_keys))
    }

    /// What is kept about one person, by category.
    fn categories(&self, id: &ProfileId, number: u32) -> Result<BTreeMap<Category, u64>, VaultError> {
        let (house, store, promise) = (&self.house, self.store(), self.promise());
        let mut found: BTreeMap<Category, u64> = BTreeMap::new();
        let mut add = |kind, name: &str, class, n: u64| {
            if n > 0 {
                let count = found.entry(Category { kind, name: name.to_owned(), class }).or_default();
                *count = count.saturating_add(n);
            }
        };
        let Some(mut open) = Open::load(house, store, id)? else { return Ok(found) };
        add("identifier", "identifiers", Class::Personal, open.core.identifiers.len() as u64);
        for class in open.key.classes().collect::<Vec<_>>() {
            let facts = open.class(house, store, class)?.facts.iter().map(FactForm::fact);
            for fact in facts.collect::<Result<Vec<_>, _>>()? {
                let kind = if matches!(fact.name, FactName::Trait(_)) { "trait" } else { "fact" };
                add(kind, fact.name.as_str(), fact.class, 1);
            }
        }
        for (at, column) in house.household.projection.columns().iter().enumerate() {
            let class = promise.events.get(&column.event).map_or(Class::Personal, |event| event.class);
            add("trait", column.name.as_str(), class, self.generation.state.value(at, number).map_or(0, |_| 1));
        }
        for row in store.scan(Keyspace::Events, id.as_bytes()) {
            let (key, row) = row?;
            let Some(stored) = open.open_event(house, &key, &row)? else { continue };
            let class = promise.events.get(&stored.event.name).map_or(Class::Personal, |event| event.class);
            add("event", stored.event.name.as_str(), class, 1);
        }
        let count = |keyspace| store.scan(keyspace, id.as_bytes()).try_fold(0u64, |n, row| row.map(|_| n + 1));
        add("answer", "answers", Class::Personal, count(Keyspace::Ledger)?);
        add("decision", "decisions", Class::Personal, count(Keyspace::Decisions)?);
        Ok(found)
    }

    /// Which people of this house a file names by their id, which stands in clear before each of their rows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn people_named_in(&self, mut file: impl Read) -> std::io::Result<BTreeSet<ProfileId>> {
        let state = &self.generation.state;
        let people = state.everybody().iter().filter_map(|number| state.by_number(number));
        let known: HashSet<[u8; 16]> = people.map(|person| *person.id.as_bytes()).collect();
        let mut named = BTreeSet::new();
        let mut bytes: Vec<u8> = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let n = file.read(&mut chunk)?;
            if n == 0 {
                return Ok(named);
            }
            bytes.extend(chunk.iter().take(n));
            for window in bytes.windows(16).filter_map(|window| window.first_chunk::<16>()) {
                if known.contains(window) {
                    named.insert(ProfileId::from_bytes(*window));
                }
            }
            let kept = bytes.len().saturating_sub(15);
            bytes.drain(..kept);
        }
    }
}
