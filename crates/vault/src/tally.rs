//! Responsible for counting rows, so that one that is taken away, or put back as it was earlier, is missed. A tally is how
//! many rows there are and the sum of a keyed mark of each: MSet-Add-Hash (Clarke, Devadas, van Dijk, Gassend and Suh,
//! 2003), which a row enters and leaves without the others being read.
//!
//! Rows under a person's keys are tallied in the person's core record, so that a finding names the person. Core records and
//! the rows of the house are tallied by keyspace in one row of the house, together with the number of its batch.
//!
//! Deliberately not: wrapped keys, which rotation writes anew (a core record without its key row, or the other way round, is
//! noticed anyway), and the rows of log and tombstones, which prove themselves.

use crate::VaultError;
use crate::commit::erase::OWN;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::format::{self, HouseTallyForm, TallyForm};
use crate::house::House;
use crate::key::Secret;
use crate::log::sha256;
use crate::retention::CORE;
use crate::seal::RecordKind;
use model::ProfileId;
use std::collections::BTreeMap;

/// Marks rows.
pub(crate) struct Marker(Secret);

impl Marker {
    pub(crate) fn new(key: Secret) -> Self {
        Self(key)
    }

    /// What a row adds to a sum.
    fn mark(&self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> u128 {
        let length = (key.len() as u64).to_be_bytes();
        let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            sha256(&[self.0.bytes(), &[keyspace as u8], &length, key, value]);
        u128::from_be_bytes(head)
    }
}

/// Rows and the sum of their marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub n: u64,
    pub sum: u128,
}

impl Tally {
    fn enter(&mut self, mark: u128) {
        (self.n, self.sum) = (self.n.wrapping_add(1), self.sum.wrapping_add(mark));
    }

    fn leave(&mut self, mark: u128) {
        (self.n, self.sum) = (self.n.wrapping_sub(1), self.sum.wrapping_sub(mark));
    }
}

/// What one batch does to one row.
pub(crate) struct Change<'a> {
    pub keyspace: Keyspace,
    pub key: &'a [u8],
    pub before: Option<&'a [u8]>,
    pub after: Option<&'a [u8]>,
}

/// Rows by keyspace: of one person, or of the house.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tallies(BTreeMap<Keyspace, Tally>);

impl Tallies {
    pub(crate) fn count(&mut self, marker: &Marker, change: &Change<'_>) {
        let tally = self.0.entry(change.keyspace).or_default();
        if let Some(value) = change.before {
            tally.leave(marker.mark(change.keyspace, change.key, value));
        }
        if let Some(value) = change.after {
            tally.enter(marker.mark(change.keyspace, change.key, value));
        }
        if *tally == Tally::default() {
            self.0.remove(&change.keyspace);
        }
    }

    /// Of one keyspace.
    pub(crate) fn of(&self, keyspace: Keyspace) -> Tally {
        self.0.get(&keyspace).copied().unwrap_or_default()
    }

    /// As it stands in a core record: one sum over all keyspaces, because a record of a person is small.
    pub(crate) fn to_person(&self) -> TallyForm {
        let sum = self.0.values().fold(0u128, |sum, tally| sum.wrapping_add(tally.sum));
        TallyForm { n: OWN.map(|keyspace| self.of(keyspace).n).to_vec(), sum: sum.to_be_bytes().into() }
    }

    /// Adds what a batch changed to what stood in a core record.
    pub(crate) fn onto(&self, before: Option<&TallyForm>) -> TallyForm {
        let mut form = self.to_person();
        let Some(before) = before else { return form };
        for (n, known) in form.n.iter_mut().zip(&before.n) {
            *n = n.wrapping_add(*known);
        }
        let sum = u128::from_be_bytes(*form.sum).wrapping_add(u128::from_be_bytes(*before.sum));
        form.sum = sum.to_be_bytes().into();
        form
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether the rows of a keyspace are tallied with the house, and not with a person or not at all.
pub(crate) fn is_of_house(keyspace: Keyspace, key: &[u8]) -> bool {
    match keyspace {
        Keyspace::Profiles => is_core(key),
        Keyspace::Marks | Keyspace::Index | Keyspace::Outbox => true,
        Keyspace::House => (key.first() != Some(&0) || key == House::NARROWINGS) && key != House::TALLY,
        Keyspace::Keys | Keyspace::Events | Keyspace::Ledger | Keyspace::Decisions => false,
    }
}

fn is_core(key: &[u8]) -> bool {
    key.split_first_chunk::<16>().is_some_and(|(_, class)| *class == CORE.0)
}

/// Whose tally a row belongs to, when it is a person's.
pub(crate) fn person_of(keyspace: Keyspace, key: &[u8]) -> Option<ProfileId> {
    let (id, _) = key.split_first_chunk()?;
    (OWN.contains(&keyspace) && !is_of_house(keyspace, key)).then(|| ProfileId::from_bytes(*id))
}

/// The rows of the house, held by the committer.
#[derive(Debug, Default)]
pub(crate) struct HouseTally {
    rows: Tallies,
}

impl HouseTally {
    /// As noted with a batch. A house without batches has none.
    pub(crate) fn open(house: &House, store: &dyn EngineSnapshot, batch: u64) -> Result<Self, VaultError> {
        let Some(noted) = noted(house, store)? else {
            return if batch == 0 { Ok(Self::default()) } else { Err(missing()) };
        };
        if noted.batch != batch {
            return Err(format::damaged("house", "the tally of rows is not that of the newest batch"));
        }
        Ok(Self { rows: noted.rows() })
    }

    pub(crate) fn count(&mut self, marker: &Marker, change: &Change<'_>) {
        self.rows.count(marker, change);
    }

    /// The row that notes it with a batch.
    pub(crate) fn row(&self, house: &House, batch: u64) -> Result<Vec<u8>, VaultError> {
        let rows =
            self.rows.0.iter().map(|(keyspace, tally)| (*keyspace as u8, tally.n, tally.sum.to_be_bytes().into()));
        let form = HouseTallyForm { batch, rows: rows.collect() };
        house.seal_house(RecordKind::House, House::TALLY, &format::encode(&form))
    }
}

fn missing() -> VaultError {
    format::damaged("house", "the tally of rows is missing")
}

fn noted(house: &House, store: &dyn EngineSnapshot) -> Result<Option<HouseTallyForm>, VaultError> {
    let Some(sealed) = store.get(Keyspace::House, House::TALLY)? else { return Ok(None) };
    format::decode("house", &house.open_house(RecordKind::House, House::TALLY, &sealed)?).map(Some)
}

impl HouseTallyForm {
    fn rows(&self) -> Tallies {
        let tally = |n: u64, sum: [u8; 16]| Tally { n, sum: u128::from_be_bytes(sum) };
        let rows = self.rows.iter().filter_map(|(code, n, sum)| {
            let keyspace = Keyspace::ALL.into_iter().find(|keyspace| *keyspace as u8 == *code)?;
            Some((keyspace, tally(*n, **sum)))
        });
        Tallies(rows.collect())
    }
}

/// Keyspaces of the house whose rows are not those of the newest batch: counted, found.
pub(crate) fn of_house(
    house: &House,
    store: &dyn EngineSnapshot,
    batch: u64,
) -> Result<Vec<(Keyspace, Tally, Tally)>, VaultError> {
    let noted = HouseTally::open(house, store, batch)?.rows;
    let mut found = Tallies::default();
    for keyspace in [Keyspace::Profiles, Keyspace::Marks, Keyspace::Index, Keyspace::Outbox, Keyspace::House] {
        for row in store.scan(keyspace, &[]) {
            let (key, value) = row?;
            if is_of_house(keyspace, &key) {
                found.count(&house.marker, &Change { keyspace, key: &key, before: None, after: Some(&value) });
            }
        }
    }
    let differs = |keyspace: &Keyspace| noted.of(*keyspace) != found.of(*keyspace);
    Ok(Keyspace::ALL.into_iter().filter(differs).map(|each| (each, noted.of(each), found.of(each))).collect())
}

/// The tally of a person's rows as they lie in the store.
pub(crate) fn of_person(house: &House, store: &dyn EngineSnapshot, id: &ProfileId) -> Result<TallyForm, VaultError> {
    let mut found = Tallies::default();
    for keyspace in OWN {
        for row in store.scan(keyspace, id.as_bytes()) {
            let (key, value) = row?;
            if person_of(keyspace, &key).is_some() {
                found.count(&house.marker, &Change { keyspace, key: &key, before: None, after: Some(&value) });
            }
        }
    }
    Ok(found.to_person())
}

#[cfg(test)]
mod tests;
