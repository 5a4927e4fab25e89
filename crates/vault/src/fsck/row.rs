//! Rows that are not under one person's keys: wrapped keys, the index, the outbox, marks, and what belongs to the house. Each
//! must be of a known form at a key of a known form, and what it leads to must lead back.

use super::{Check, hex, told};
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{
    self, AlarmForm, EraseCallForm, HabitForm, HourForm, ItemForm, LeftForm, MessageState, OutboxForm, RecoveryForm,
    RequestForm, ReviewForm, SaleForm, SourceKeyForm, UseRunForm,
};
use crate::house::House;
use crate::key::{DaySecrets, PersonKey};
use crate::person::own_key;
use crate::seal::RecordKind;
use crate::tombstone::Tombstones;
use crate::{review, statement, tally};
use model::{ArtefactId, At, ItemCode, MessageId, ProfileId, RequestId};
use roaring::RoaringBitmap;
use std::sync::Arc;

impl Check<'_> {
    /// Who has a key row; nothing else but day secrets stands there.
    pub(super) fn keys(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Keys, &[]) {
            let (key, _) = row?;
            self.row();
            match <[u8; 16]>::try_from(key.as_slice()) {
                Ok(id) => drop(self.people.insert(ProfileId::from_bytes(id))),
                Err(_) if DaySecrets::is_row(&key) => {}
                Err(_) => self.found(Keyspace::Keys, hex(&key), "is the key of nobody and of no day"),
            }
        }
        Ok(())
    }

    /// Identifiers, decisions, messages and tokens lead to somebody who knows of them.
    pub(super) fn index(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Index, &[]) {
            let (key, value) = row?;
            self.row();
            let what = match (key.split_first(), key.len()) {
                (Some((b'b', _)), 17) => self.identifier(&key, &value),
                (Some((b'd', id)), 17) => self.way_to_decision(id, &value)?,
                (Some((b'm', id)), 17) => self.way_to_message(id, &value)?,
                (Some((b't', hash)), 33) => self.token(hash, &value),
                _ => Some("is a row of no known kind"),
            };
            if let Some(what) = what {
                self.found(Keyspace::Index, hex(&key), what);
            }
        }
        Ok(())
    }

    fn identifier(&self, key: &[u8], value: &[u8]) -> Option<&'static str> {
        let Some(id) = self.somebody(value) else { return Some("an identifier leads to nobody") };
        // Who cannot be opened was named already.
        let open = self.load(&id)?;
        let mut known = open.core.identifiers.iter().filter_map(House::identifier);
        let is_named = known.any(|identifier| self.house.index_row(&identifier) == key);
        (!is_named).then_some("an identifier leads to somebody who does not have it")
    }

    fn way_to_decision(&self, decision: &[u8], value: &[u8]) -> Result<Option<&'static str>, VaultError> {
        let Some(id) = self.somebody(value) else { return Ok(Some("a decision leads to nobody")) };
        let row = self.store.get(Keyspace::Decisions, &own_key(&id, decision))?;
        Ok(row.is_none().then_some("a decision leads to somebody who does not have it"))
    }

    fn way_to_message(&self, message: &[u8], value: &[u8]) -> Result<Option<&'static str>, VaultError> {
        let Ok(due) = value.try_into().map(i64::from_be_bytes) else {
            return Ok(Some("a message without its instant"));
        };
        let row = self.store.get(Keyspace::Outbox, &House::outbox_row(At::from_ms(due), message))?;
        Ok(row.is_none().then_some("a message leads nowhere in the outbox"))
    }

    fn token(&self, hash: &[u8], value: &[u8]) -> Option<&'static str> {
        let (person, rest) = value.split_at_checked(16).filter(|_| value.len() == 72)?;
        let Some(id) = self.somebody(person) else { return Some("the link of a message leads to nobody") };
        let open = self.load(&id)?;
        let known = open.core.tokens.iter().find(|known| known.hash.as_slice() == hash);
        let Some(known) = known.filter(|known| rest.starts_with(known.decision.as_slice())) else {
            return Some("the link of a message leads to somebody who does not have it");
        };
        let decision = self.decision(&open, &known.decision)?;
        let is_its = rest.get(16..48) == Some(decision.artefact.as_slice());
        (!is_its).then_some("the link of a message names another artefact than its decision")
    }

    fn somebody(&self, value: &[u8]) -> Option<ProfileId> {
        let id = ProfileId::from_bytes(value.try_into().ok()?);
        self.people.contains(&id).then_some(id)
    }

    /// Each opens at its instant, and is the message of a decision that says the same.
    pub(super) fn outbox(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Outbox, &[]) {
            let (key, sealed) = row?;
            self.row();
            let read = self.house.open_house(RecordKind::Outbox, &key, &sealed);
            let form = match read.and_then(|plain| format::decode::<OutboxForm>("outbox", &plain)) {
                Ok(form) => form,
                Err(error) => {
                    self.found(Keyspace::Outbox, hex(&key), told(&error));
                    continue;
                }
            };
            let message = MessageId::from_bytes(*form.message);
            let way = store.get(Keyspace::Index, &House::message_row(&message))?;
            let person = self.somebody(form.person.as_slice());
            let open = person.and_then(|id| self.load(&id));
            let is_closed = person.is_some() && open.is_none();
            let decision = open.and_then(|open| self.decision(&open, &form.decision));
            let due = key.split_first_chunk::<8>();
            let agrees = decision.and_then(|decision| decision.message).is_some_and(|its| {
                let state = if form.trying { MessageState::Trying } else { MessageState::Waiting };
                (its.id, its.state, its.n_attempts) == (form.message, state, form.n_attempts)
                    && due.is_some_and(|(due, id)| *due == its.due_at.to_be_bytes() && id == its.id.as_slice())
            });
            let what = match way {
                _ if person.is_none() => "is a message to nobody",
                // Who cannot be opened was named already.
                _ if is_closed => continue,
                _ if !agrees => "is not how its decision says that the message stands",
                Some(way) if due.is_some_and(|(due, _)| way == due) => continue,
                _ => "nothing leads to the message",
            };
            self.found(Keyspace::Outbox, message.to_string(), what);
        }
        Ok(())
    }

    /// A keyed hash and a day; nothing counts them.
    pub(super) fn marks(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Marks, &[]) {
            let (key, value) = row?;
            self.row();
            if (key.len(), value.len()) != (16, 4) {
                self.found(Keyspace::Marks, hex(&key), "is no mark of a message");
            }
        }
        Ok(())
    }

    /// Every row of the house, by what its key begins with.
    pub(super) fn house_rows(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        self.requests()?;
        let mut has_number = false;
        for row in store.scan(Keyspace::House, &[]) {
            let (key, value) = row?;
            self.row();
            has_number |= key == House::NUMBER;
            let checked = match key.as_slice() {
                key if Tombstones::is_note(key) || key == House::NARROWINGS => Ok(()),
                [0, ..] => self.log_row(&key),
                key if key.starts_with(House::LOG) => self.log_row(key),
                House::NUMBER => self.number(&value),
                House::COLUMNS if value.len() == 32 => Ok(()),
                // Read by the check of the tallies.
                House::TALLY => Ok(()),
                key => self.house_row(key, &value),
            };
            match checked {
                Ok(()) => {}
                Err(error @ (VaultError::Seal | VaultError::Damaged { .. })) => {
                    self.found(Keyspace::House, named(&key), told(&error));
                }
                Err(error) => return Err(error),
            }
        }
        if !has_number && !self.numbers.is_empty() {
            self.found(Keyspace::House, "n/number", "is missing: numbers would be given out twice");
        }
        Ok(())
    }

    /// Whether the rows of the house are those that it counts.
    pub(super) fn tallies(&mut self) -> Result<(), VaultError> {
        match tally::of_house(&self.house, &*self.store, self.size) {
            Ok(differing) => {
                for (keyspace, counted, found) in differing {
                    let what = match counted.n == found.n {
                        true => "a row is not the one that was written last: changed, or put back as it was".to_owned(),
                        false => format!("{} rows are counted, and {} are there", counted.n, found.n),
                    };
                    self.found(keyspace, "the tally", what);
                }
                Ok(())
            }
            Err(error @ (VaultError::Seal | VaultError::Damaged { .. })) => {
                self.found(Keyspace::House, "the tally", told(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// When erasures were asked for.
    fn requests(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::House, House::REQUESTS) {
            let (key, sealed) = row?;
            // One that does not open is named in its turn.
            let read = self.house.open_house(RecordKind::Request, &key, &sealed);
            let form = read.and_then(|plain| format::decode::<RequestForm>("house", &plain));
            self.erased_at.extend(form.map(|form| form.at));
        }
        Ok(())
    }

    /// The next number is above all that were given out.
    fn number(&mut self, value: &[u8]) -> Result<(), VaultError> {
        let next = <[u8; 4]>::try_from(value).map(u32::from_be_bytes).map_err(|_| damaged("is no number"))?;
        match self.numbers.max() {
            Some(highest) if highest >= next => Err(damaged("the next person number was given out already")),
            _ => Ok(()),
        }
    }

    fn house_row(&mut self, key: &[u8], value: &[u8]) -> Result<(), VaultError> {
        let open = |check: &Self, kind| check.house.open_house(kind, key, value);
        match key {
            [b's', b'/', ..] => {
                format::decode::<SaleForm>("house", &open(self, RecordKind::Sale)?)?.line.line().map(drop)
            }
            [b'u', b'/', ..] => {
                let run: UseRunForm = format::decode("house", &open(self, RecordKind::UseRun)?)?;
                let apart = run.apart.unwrap_or_default();
                let mut sets =
                    std::iter::once(run.people.as_slice()).chain(apart.iter().map(|(_, people)| people.as_slice()));
                let is_whole = sets.all(|people| RoaringBitmap::deserialize_from(people).is_ok());
                let has_fields = apart.iter().all(|(at, _)| run.fields.get(*at as usize).is_some());
                if is_whole && has_fields { Ok(()) } else { Err(damaged("a use run without its people")) }
            }
            House::HABIT => format::decode::<HabitForm>("house", &open(self, RecordKind::House)?).map(drop),
            [b'w', b'/', ..] => {
                let form: HourForm = format::decode("house", &open(self, RecordKind::House)?)?;
                if House::hour_row(form.hour) == key { Ok(()) } else { Err(damaged("is another hour")) }
            }
            [b'a', b'/', ..] => {
                let form: AlarmForm = format::decode("house", &open(self, RecordKind::House)?)?;
                crate::commit::uses::kind_of(form.kind).map(drop)
            }
            [b'i', b'/', code @ ..] => {
                let item = format::decode::<ItemForm>("house", &open(self, RecordKind::House)?)?.item()?;
                let is_its = Some(item.code) == std::str::from_utf8(code).ok().and_then(ItemCode::parse);
                if is_its { Ok(()) } else { Err(damaged("is the item of another code")) }
            }
            [b'h', b'/', ..] => open(self, RecordKind::House).map(drop),
            [b'r', b'/', ..] => {
                let form: ReviewForm = format::decode("house", &open(self, RecordKind::Review)?)?;
                let is_its = House::review_row(&ArtefactId::from_bytes(*form.artefact), &form.staff) == key;
                let is_signed = review::is_signed(&form, &self.house.keys.review);
                if is_its && is_signed { Ok(()) } else { Err(damaged("is not the review that was signed")) }
            }
            [b'k', b'/', ..] => {
                let form: SourceKeyForm = format::decode("house", &open(self, RecordKind::House)?)?;
                if House::source_key_row(&form.token) == key { Ok(()) } else { Err(damaged("is another source's key")) }
            }
            [b'q', b'/', ..] => {
                let form: RequestForm = format::decode("house", &open(self, RecordKind::Request)?)?;
                let id = RequestId::from_bytes(*form.id);
                let statement = statement::of_erasure(&self.house, &form)?;
                let (record, is_its) = (id.to_string(), House::request_row(&id) == key);
                let written = (form.at, i64::MAX);
                self.in_log(
                    Keyspace::House,
                    &record,
                    form.proof.as_ref(),
                    "erase",
                    Some(statement.as_bytes()),
                    written,
                )?;
                if let Some(at) = form.taken_back_at {
                    let statement = statement::of_undo(&self.house, &form)?;
                    let (proof, content) = (form.taken_back_proof.as_ref(), Some(statement.as_bytes()));
                    self.in_log(Keyspace::House, &record, proof, "undo", content, (at, i64::MAX))?;
                }
                if is_its { Ok(()) } else { Err(damaged("is another request")) }
            }
            [b'e', b'/', ..] => {
                let form: EraseCallForm = format::decode("house", &open(self, RecordKind::EraseCall)?)?;
                let is_its = House::call_row(&RequestId::from_bytes(*form.request), &form.recipient) == key;
                if is_its { Ok(()) } else { Err(damaged("is the call of another request or recipient")) }
            }
            [b'y', b'/', ..] => {
                let form: RecoveryForm = format::decode("house", value)?;
                let id = House::recovery_of(key).ok_or_else(|| damaged("a recovery key of nobody"))?;
                let urgent = self.house.urgent();
                // Taken back, and cut short: the next opening finishes it.
                let is_known = urgent.tombstones.contains(&id) || urgent.tombstones.is_taken_back(&id);
                drop(urgent);
                if !is_known {
                    return Err(damaged("waits for somebody who was not erased"));
                }
                PersonKey::from_recovery(&form.sealed, &self.house.ring, &self.house.id, &id).map(drop)
            }
            [b'g', b'/', token @ ..] if token.len() == 32 => {
                let form: LeftForm = format::decode("house", value)?;
                if self.erased_at.contains(&form.erased_at) {
                    Ok(())
                } else {
                    Err(damaged("of an erasure nobody asked for"))
                }
            }
            _ => Err(damaged("is a row of no known kind")),
        }
    }
}

/// A house row's key: readable where it is text.
fn named(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if text.chars().all(|letter| !letter.is_control()) => text.to_owned(),
        _ => hex(key),
    }
}

fn damaged(what: &str) -> VaultError {
    format::damaged("house", what)
}
