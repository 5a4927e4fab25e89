//! One profile, opened: its keys, its core record and the class records read so far. The committer changes and writes it;
//! a permit only reads. Key material lives as long as this value.
//!
//! It judges nothing: whoever holds one has been judged, or is the committer.

use crate::VaultError;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::format::{self, ClassForm, CoreForm, EventForm, LedgerForm, damaged};
use crate::house::House;
use crate::key::PersonKey;
use crate::retention::{self, CORE};
use crate::seal::{self, Place, RecordKind};
use model::{At, Awareness, Day, Event, EventId, ProfileId, PurposeName, Trust};
use promise::{Retention, RetentionId, Standing};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes before the sealed part of an event row: class id and clock day, needed to find the key.
const EVENT_HEAD: usize = 8;
/// Stands for "no day secret".
const NO_DAY: i32 = i32::MIN;

/// Where rows are read: a reading of the store, or one with a batch in the making on top.
pub(crate) trait Rows {
    /// The value under a key.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError>;
}

impl Rows for dyn EngineSnapshot + '_ {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        EngineSnapshot::get(self, keyspace, key)
    }
}

/// A row as it lies in the store; `None` = there is none.
pub(crate) type Sealed = Option<Vec<u8>>;

/// An opened profile.
pub(crate) struct Open {
    pub id: ProfileId,
    pub key: PersonKey,
    pub core: CoreForm,
    /// The core record as it was read: what has not changed is not written again.
    before: CoreForm,
    classes: BTreeMap<RetentionId, ClassForm>,
    /// Rows as they were read, the core record among them.
    read: BTreeMap<RetentionId, Sealed>,
    /// Class records to write.
    pub changed: BTreeSet<RetentionId>,
    /// The key row has a new class secret.
    pub key_changed: bool,
    /// Buckets changed: trait values follow.
    pub folded: bool,
    /// Made in this batch.
    pub is_new: bool,
}

impl Open {
    pub(crate) fn new(id: ProfileId, key: PersonKey, core: CoreForm) -> Self {
        let (classes, changed, before) = (BTreeMap::new(), BTreeSet::new(), CoreForm::default());
        let read = BTreeMap::from([(CORE, None)]);
        Self { id, key, core, before, classes, read, changed, key_changed: true, folded: true, is_new: true }
    }

    /// Whether anything has to be written.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_new || self.key_changed || !self.changed.is_empty() || self.core != self.before
    }

    /// The core record as it was read.
    pub(crate) const fn before(&self) -> &CoreForm {
        &self.before
    }

    /// Opens a profile; `None` when it is not there.
    pub(crate) fn load(house: &House, rows: &(impl Rows + ?Sized), id: &ProfileId) -> Result<Option<Self>, VaultError> {
        let Some(row) = rows.get(Keyspace::Keys, id.as_bytes())? else { return Ok(None) };
        let key = house.unwrap_person(id, &row)?;
        Self::load_under(house, rows, id, key).map(Some)
    }

    /// Opens a profile under keys that were found elsewhere than in its key row.
    pub(crate) fn load_under(
        house: &House,
        rows: &(impl Rows + ?Sized),
        id: &ProfileId,
        key: PersonKey,
    ) -> Result<Self, VaultError> {
        let sealed = rows.get(Keyspace::Profiles, &class_key(id, CORE))?;
        let sealed = sealed.ok_or_else(|| damaged("profiles", "a key without its core record"))?;
        let place = Place { house: &house.id, profile: id, class: CORE, kind: RecordKind::Person, id: &[] };
        let core: CoreForm = format::decode("profiles", &seal::open(key.core_key(), &place, &sealed)?)?;
        let (before, classes, changed) = (core.clone(), BTreeMap::new(), BTreeSet::new());
        let read = BTreeMap::from([(CORE, Some(sealed))]);
        Ok(Self {
            id: *id,
            key,
            core,
            before,
            classes,
            read,
            changed,
            key_changed: false,
            folded: false,
            is_new: false,
        })
    }

    /// Whether the record of a class was opened.
    pub(crate) fn has_class(&self, class: RetentionId) -> bool {
        self.classes.contains_key(&class)
    }

    /// The facts and buckets of a class; empty when there is none.
    pub(crate) fn class(
        &mut self,
        house: &House,
        rows: &(impl Rows + ?Sized),
        class: RetentionId,
    ) -> Result<&mut ClassForm, VaultError> {
        if !self.classes.contains_key(&class) {
            let form = match self.read_class(house, rows, class)? {
                Some((sealed, form)) => {
                    self.read.insert(class, sealed);
                    form
                }
                None => ClassForm::default(),
            };
            self.classes.insert(class, form);
        }
        Ok(self.classes.entry(class).or_default())
    }

    /// The row of a class and what it says; `None` when there is no key to it, and it was not looked for.
    fn read_class(
        &self,
        house: &House,
        rows: &(impl Rows + ?Sized),
        class: RetentionId,
    ) -> Result<Option<(Sealed, ClassForm)>, VaultError> {
        let Some(key) = self.key.record_key(class) else { return Ok(None) };
        // Nothing lies under an id that was drawn in this batch.
        let sealed = if self.is_new { None } else { rows.get(Keyspace::Profiles, &class_key(&self.id, class))? };
        let Some(sealed) = sealed else {
            return Ok(Some((None, ClassForm::default())));
        };
        let place = Place { house: &house.id, profile: &self.id, class, kind: RecordKind::Profile, id: &[] };
        let form = format::decode("profiles", &seal::open(key, &place, &sealed)?)?;
        Ok(Some((Some(sealed), form)))
    }

    /// A row of this profile as it was read (the core record: class `CORE`); the outer `None` = it was not.
    pub(crate) fn take_read(&mut self, class: RetentionId) -> Option<Sealed> {
        self.read.remove(&class)
    }

    /// Takes a class away altogether: its secret, its facts and buckets.
    pub(crate) fn drop_class(&mut self, class: RetentionId) {
        self.key.drop_class(class);
        self.classes.insert(class, ClassForm::default());
        self.changed.insert(class);
        self.key_changed = true;
        self.folded = true;
    }

    /// The sealed core record.
    pub(crate) fn seal_core(&self, house: &House) -> Result<Vec<u8>, VaultError> {
        let place = Place { house: &house.id, profile: &self.id, class: CORE, kind: RecordKind::Person, id: &[] };
        house.seal(self.key.core_key(), &place, &format::encode(&self.core))
    }

    /// A sealed class record; `None` = nothing is left in it.
    pub(crate) fn seal_class(&self, house: &House, class: RetentionId) -> Result<Option<Vec<u8>>, VaultError> {
        let Some(form) = self.classes.get(&class).filter(|form| !form.is_empty()) else { return Ok(None) };
        let key = self.key.record_key(class).ok_or(VaultError::Seal)?;
        let place = Place { house: &house.id, profile: &self.id, class, kind: RecordKind::Profile, id: &[] };
        house.seal(key, &place, &format::encode(form)).map(Some)
    }

    /// Makes the secret of a class, when there is none.
    pub(crate) fn make_class(&mut self, house: &House, class: RetentionId) {
        if self.key.class_secret(class).is_none() {
            self.key.class_secret_or_make(class, house.rng());
            self.key_changed = true;
        }
    }

    /// Seals an event under its class and the clock day's secret; the class secret must have been made.
    pub(crate) fn seal_event(
        &self,
        house: &House,
        retention: &Retention,
        kept_since: At,
        day_secret: Option<&[u8; 32]>,
        plain: &[u8],
        key: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let class = retention.id();
        let day_key = day_secret.and_then(|day| self.key.day_key(class, day));
        let key_of = if day_secret.is_some() { day_key.as_ref() } else { self.key.record_key(class) };
        let place = Place { house: &house.id, profile: &self.id, class, kind: RecordKind::Event, id: tail(key) };
        let day = retention::secret_day(retention, kept_since).map_or(NO_DAY, Day::number);
        let mut row = Vec::from(class.0);
        row.extend(day.to_be_bytes());
        row.extend(house.seal(key_of.ok_or(VaultError::Seal)?, &place, plain)?);
        Ok(row)
    }

    /// Seals an event under its class alone: no day ends it.
    pub(crate) fn seal_event_for_itself(
        &self,
        house: &House,
        class: RetentionId,
        plain: &[u8],
        key: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let place = Place { house: &house.id, profile: &self.id, class, kind: RecordKind::Event, id: tail(key) };
        let mut row = Vec::from(class.0);
        row.extend(NO_DAY.to_be_bytes());
        row.extend(house.seal(self.key.record_key(class).ok_or(VaultError::Seal)?, &place, plain)?);
        Ok(row)
    }

    /// Opens an event row; `None` when its class or its day has been closed for ever.
    pub(crate) fn open_event(&self, house: &House, key: &[u8], row: &[u8]) -> Result<Option<StoredEvent>, VaultError> {
        let Some((head, sealed)) = row.split_first_chunk::<EVENT_HEAD>() else {
            return Err(damaged("events", "a row shorter than its head"));
        };
        let [a, b, c, d, day @ ..] = *head;
        let (class, day) = (RetentionId([a, b, c, d]), i32::from_be_bytes(day));
        let secret = if day == NO_DAY { None } else { Some(house.day_secret(class, Day::from_number(day))) };
        let secret = match secret {
            None => None,
            Some(None) => return Ok(None),
            Some(Some(secret)) => Some(secret),
        };
        let day_key = secret.as_ref().and_then(|day| self.key.day_key(class, day));
        let key_of = if secret.is_some() { day_key.as_ref() } else { self.key.record_key(class) };
        let Some(record_key) = key_of else { return Ok(None) };
        let place = Place { house: &house.id, profile: &self.id, class, kind: RecordKind::Event, id: tail(key) };
        let form: EventForm = format::decode("events", &seal::open(record_key, &place, sealed)?)?;
        let event = form.event(self.id)?;
        let not_for = format::purposes(&form.not_for)?;
        let kept_since = kept_since(&event);
        Ok(Some(StoredEvent { event, not_for, kept_since, class }))
    }

    /// A record sealed under the person's core key: ledger entries, decisions.
    pub(crate) fn seal_own(
        &self,
        house: &House,
        kind: RecordKind,
        id: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let place = Place { house: &house.id, profile: &self.id, class: CORE, kind, id };
        house.seal(self.key.core_key(), &place, plain)
    }

    pub(crate) fn open_own(
        &self,
        house: &House,
        kind: RecordKind,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let place = Place { house: &house.id, profile: &self.id, class: CORE, kind, id };
        seal::open(self.key.core_key(), &place, sealed)
    }

    /// The newest ledger entry about a purpose.
    pub(crate) fn latest_entry(
        &self,
        house: &House,
        rows: &(impl Rows + ?Sized),
        purpose: &str,
    ) -> Result<Option<LedgerForm>, VaultError> {
        for number in (0..self.core.n_ledger).rev() {
            let key = numbered_key(&self.id, number);
            let Some(row) = rows.get(Keyspace::Ledger, &key)? else { continue };
            let entry = self.open_ledger(house, &key, &row)?;
            if entry.purpose == purpose {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    pub(crate) fn open_ledger(&self, house: &House, key: &[u8], sealed: &[u8]) -> Result<LedgerForm, VaultError> {
        format::decode("ledger", &self.open_own(house, RecordKind::Ledger, tail(key), sealed)?)
    }
}

/// An event as stored, with what decides how long it may be read.
pub(crate) struct StoredEvent {
    pub event: Event,
    /// Purposes taken away for this event alone.
    pub not_for: Vec<model::PurposeName>,
    /// What started its clock.
    pub kept_since: At,
    pub class: RetentionId,
}

/// When and how a person was told of what is worked out about them: with the first answer to one of its purposes, in the
/// notice that came with it. Nobody is told by a calculation.
pub(crate) fn told(standing: &Standing, purposes: &[PurposeName]) -> (Option<At>, Awareness) {
    let answers = purposes.iter().filter_map(|purpose| standing.relations.get(purpose)).map(|known| known.at);
    let told_at = answers.min().filter(|_| standing.told_version > 0);
    (told_at, if told_at.is_some() { Awareness::InNotice } else { Awareness::Never })
}

/// Whether an event row ends with the secret of a day.
pub(crate) fn has_day(row: &[u8]) -> bool {
    row.get(4..EVENT_HEAD).is_some_and(|day| day != NO_DAY.to_be_bytes())
}

/// What starts the clock of an event: receipt, and for a history the day on which it happened.
pub(crate) fn kept_since(event: &Event) -> At {
    if event.trust == Trust::Import { event.occurred_at } else { event.received_at }
}

/// `profile | class`
pub(crate) fn class_key(id: &ProfileId, class: RetentionId) -> Vec<u8> {
    [id.as_bytes().as_slice(), &class.0].concat()
}

/// `profile | occurred_at | event`, in order of time also before 1970.
pub(crate) fn event_key(id: &ProfileId, occurred_at: At, event: EventId) -> Vec<u8> {
    let ms = occurred_at.ms().cast_unsigned() ^ (1 << 63);
    [id.as_bytes().as_slice(), &ms.to_be_bytes(), event.as_bytes()].concat()
}

/// `profile | number`
pub(crate) fn numbered_key(id: &ProfileId, number: u64) -> Vec<u8> {
    [id.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

/// `profile | id`
pub(crate) fn own_key(id: &ProfileId, own: &[u8]) -> Vec<u8> {
    [id.as_bytes().as_slice(), own].concat()
}

/// A key without its profile.
pub(crate) fn tail(key: &[u8]) -> &[u8] {
    key.get(16..).unwrap_or(&[])
}

/// The instant in an event key.
pub(crate) fn occurred_at(key: &[u8]) -> Option<At> {
    let ms = u64::from_be_bytes(*tail(key).first_chunk::<8>()?) ^ (1 << 63);
    Some(At::from_ms(ms.cast_signed()))
}

#[cfg(test)]
mod tests;
