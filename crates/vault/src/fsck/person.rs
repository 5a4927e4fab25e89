//! Everything that lies under one person's keys: the wrapped key row, the core record, class records, events, the ledger and the
//! decisions, and that what one of them says of another is so.
//!
//! What the core record counts or names (ledger entries, decisions, tokens, identifiers) is found when it is missing.

use super::{Check, hex, told};
use crate::VaultError;
use crate::commit::erase::OWN;
use crate::engine::Keyspace;
use crate::format::{self, Bytes16, ClassForm, DecisionForm, LedgerForm, MessageState, ProofForm, RecoveryForm};
use crate::house::House;
use crate::key::PersonKey;
use crate::log::LogLeaf;
use crate::person::{self, Open, class_key, numbered_key, own_key, tail};
use crate::record::IdentifierKind;
use crate::retention::{CORE, DECISION_DAYS};
use crate::seal::{self, Place, RecordKind};
use crate::tally::{self, Tallies};
use crate::{statement, wish};
use model::{At, DecisionId, MessageId, ProfileId};
use promise::{Relation, RetentionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whose rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Somebody with a key row.
    Living,
    /// Somebody erased, whose sealed rows wait a day with the recovery key; nothing leads to them any more.
    Waiting,
}

/// People between two words about progress.
const PROGRESS_PEOPLE: u64 = 1_000;

impl Check<'_> {
    /// Each person in turn.
    pub(super) fn people(&mut self) -> Result<(), VaultError> {
        let noted = crate::tombstone::noted(&*self.store).map_or(0, |reach| reach.epoch);
        let mut n_leaving = 0usize;
        for id in self.people.clone() {
            let erased = self.house.urgent().tombstones.first_epoch(&id);
            match erased {
                Some(epoch) if epoch <= noted => {
                    self.found(Keyspace::Keys, id.to_string(), "was erased, and its key row is back");
                }
                // The next opening takes it out.
                Some(_) => n_leaving = n_leaving.saturating_add(1),
                None => {}
            }
            self.person(&id)?;
            self.teller.checked.n_people = self.teller.checked.n_people.saturating_add(1);
            if self.teller.checked.n_people.is_multiple_of(PROGRESS_PEOPLE) {
                self.teller.progress("people", self.teller.checked.n_people);
            }
        }
        if self.house.urgent().tombstones.n_first_after(noted) > n_leaving {
            let what = "does not cover people who have left the store: it is an older one, or missing";
            self.found(Keyspace::House, "the note of the tombstone file", what);
        }
        Ok(())
    }

    fn person(&mut self, id: &ProfileId) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        let row = store.get(Keyspace::Keys, id.as_bytes())?.unwrap_or_default();
        if self.house.unwrap_person(id, &row).is_err() {
            let what = "the wrapped key row does not open: changed, of somebody else, or of a key version that is gone";
            self.found(Keyspace::Keys, id.to_string(), what);
            return Ok(());
        }
        let loaded = Open::load(&self.house, &*store, id);
        if let Some(open) = self.opened(id, loaded)? {
            self.core(&open);
            self.names(&open)?;
            self.records(&open, Whose::Living)?;
        }
        Ok(())
    }

    /// Those whose rows wait a day with the recovery key.
    pub(super) fn waiting(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::House, House::RECOVERIES) {
            let (key, value) = row?;
            let (Some(id), Ok(form)) = (House::recovery_of(&key), format::decode::<RecoveryForm>("house", &value))
            else {
                continue;
            };
            // A recovery row that does not open is named among the rows of the house.
            let Ok(keys) = PersonKey::from_recovery(&form.sealed, &self.house.ring, &self.house.id, &id) else {
                continue;
            };
            let loaded = Open::load_under(&self.house, &*store, &id, keys).map(Some);
            if let Some(open) = self.opened(&id, loaded)? {
                self.core(&open);
                self.records(&open, Whose::Waiting)?;
            }
        }
        Ok(())
    }

    fn opened(&mut self, id: &ProfileId, loaded: Result<Option<Open>, VaultError>) -> Result<Option<Open>, VaultError> {
        match loaded {
            Err(error @ (VaultError::Seal | VaultError::Damaged { .. })) => {
                self.found(Keyspace::Profiles, id.to_string(), format!("the core record: {}", told(&error)));
                Ok(None)
            }
            loaded => loaded,
        }
    }

    fn records(&mut self, open: &Open, whose: Whose) -> Result<(), VaultError> {
        self.tally(open)?;
        self.classes(open)?;
        self.events(open)?;
        self.ledger(open)?;
        self.decisions(open, whose)
    }

    /// The core record by itself.
    fn core(&mut self, open: &Open) {
        let id = open.id.to_string();
        if !self.numbers.insert(open.core.number) {
            self.found(Keyspace::Profiles, &id, "its number is another person's too");
        }
        if open.core.standing().is_err() || format::kind_of(open.core.kind).is_err() {
            self.found(Keyspace::Profiles, &id, "the core record says what cannot be");
        }
        if open.core.consent_seq < open.core.n_ledger {
            self.found(Keyspace::Profiles, &id, "the core record counts fewer wishes than answers");
        }
    }

    /// What the core record names in the index.
    fn names(&mut self, open: &Open) -> Result<(), VaultError> {
        let id = open.id.to_string();
        for form in &open.core.identifiers {
            let Some(identifier) = House::identifier(form) else {
                self.found(Keyspace::Profiles, &id, "the core record names an identifier of no known kind");
                continue;
            };
            let row = self.store.get(Keyspace::Index, &self.house.index_row(&identifier))?;
            // An address may have been given up, and an identifier erased, by somebody who shared it.
            let may_be_gone = identifier.kind == IdentifierKind::Email
                || self.store.get(Keyspace::House, &self.house.left_row(&identifier))?.is_some();
            let what = match row {
                None if may_be_gone => continue,
                None => "an identifier of it leads nowhere",
                Some(row) if identifier.kind == IdentifierKind::User && row != open.id.as_bytes() => {
                    "its own id of the company leads to somebody else"
                }
                Some(_) => continue,
            };
            self.found(Keyspace::Index, &id, what);
        }
        for token in &open.core.tokens {
            let row = self.store.get(Keyspace::Index, &House::token_row(&token.hash))?;
            let target = [open.id.as_bytes().as_slice(), token.decision.as_slice()].concat();
            if !row.is_some_and(|row| row.starts_with(&target)) {
                let decision = DecisionId::from_bytes(*token.decision);
                self.found(Keyspace::Index, &id, format!("the link of {decision} does not lead to it"));
            }
        }
        Ok(())
    }

    /// Whether the rows are those that the core record counts.
    fn tally(&mut self, open: &Open) -> Result<(), VaultError> {
        let found = tally::of_person(&self.house, &*self.store, &open.id)?;
        let counted = open.core.tally.clone().unwrap_or_else(|| Tallies::default().to_person());
        if found == counted {
            return Ok(());
        }
        let mut named = false;
        for ((keyspace, counted), found) in OWN.into_iter().zip(&counted.n).zip(&found.n) {
            if counted != found {
                named = true;
                let what = format!("the core record counts {counted} rows here, and {found} are there");
                self.found(keyspace, open.id.to_string(), what);
            }
        }
        if !named {
            let what = "a row of this person, or the core record itself, was put back as it was earlier";
            self.found(Keyspace::Profiles, open.id.to_string(), what);
        }
        Ok(())
    }

    /// Facts and buckets.
    fn classes(&mut self, open: &Open) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Profiles, open.id.as_bytes()) {
            let (key, sealed) = row?;
            self.row();
            let class = <[u8; 4]>::try_from(tail(&key)).map(RetentionId);
            if class.is_ok_and(|class| class == CORE) {
                continue;
            }
            let opened = class.map_err(|_| VaultError::Seal).and_then(|class| {
                let record_key = open.key.record_key(class).ok_or(VaultError::Seal)?;
                let kind = RecordKind::Profile;
                let place = Place { house: &self.house.id, profile: &open.id, class, kind, id: &[] };
                let form: ClassForm = format::decode("profiles", &seal::open(record_key, &place, &sealed)?)?;
                form.facts.iter().try_for_each(|fact| fact.fact().map(|_| ()))
            });
            if let Err(error) = opened {
                let record = format!("{} class {}", open.id, hex(tail(&key)));
                self.found(Keyspace::Profiles, record, told(&error));
            }
        }
        Ok(())
    }

    fn events(&mut self, open: &Open) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, row) = row?;
            self.row();
            let what = match open.open_event(&self.house, &key, &row) {
                Ok(Some(stored)) if person::event_key(&open.id, stored.event.occurred_at, stored.event.id) == key => {
                    continue;
                }
                Ok(Some(_)) => "is the event of another key".to_owned(),
                // What was closed by hand or by its date goes in the same batch as its rows, or after them.
                Ok(None) => "its class secret or its day secret is gone".to_owned(),
                Err(error) => told(&error),
            };
            self.found(Keyspace::Events, format!("{} event {}", open.id, hex(tail(&key))), what);
        }
        Ok(())
    }

    /// Numbered without a gap, each in the log, the newest of each purpose what the core record says.
    fn ledger(&mut self, open: &Open) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        let (mut next, mut newest) = (0u64, BTreeMap::new());
        for row in store.scan(Keyspace::Ledger, open.id.as_bytes()) {
            let (key, sealed) = row?;
            self.row();
            let number = <[u8; 8]>::try_from(tail(&key)).map(u64::from_be_bytes).unwrap_or(u64::MAX);
            let record = format!("{} answer {number}", open.id);
            if number >= open.core.n_ledger || numbered_key(&open.id, number) != key {
                self.found(Keyspace::Ledger, record, "stands beyond what the core record counts");
                continue;
            }
            self.missing_answers(open, next, number);
            next = number.saturating_add(1);
            let read =
                open.open_ledger(&self.house, &key, &sealed).and_then(|entry| Ok((wish::answer(&entry)?, entry)));
            match read {
                Ok(((purpose, relation), entry)) => {
                    self.answer_in_log(open, &record, &entry)?;
                    newest.insert(purpose, relation);
                }
                Err(error) => self.found(Keyspace::Ledger, record, told(&error)),
            }
        }
        self.missing_answers(open, next, open.core.n_ledger);
        let standing = open.core.standing().map(|standing| standing.relations).unwrap_or_default();
        for (purpose, relation) in newest {
            let stands = standing.get(&purpose);
            if self.house.is_by_consent(&purpose) && stands.is_none_or(|stands| !is_same(stands, &relation)) {
                let what = format!("the core record has another answer about {purpose} than the newest in the ledger");
                self.found(Keyspace::Profiles, open.id.to_string(), what);
            }
        }
        Ok(())
    }

    fn missing_answers(&mut self, open: &Open, first: u64, next: u64) {
        if first < next {
            let record = format!("{} answers {first} to {}", open.id, next.saturating_sub(1));
            self.found(Keyspace::Ledger, record, "are counted in the core record and missing");
        }
    }

    fn answer_in_log(&mut self, open: &Open, record: &str, entry: &LedgerForm) -> Result<(), VaultError> {
        let statement = statement::of_consent(&self.house, &open.id, entry)?;
        // An urgent answer is written later than it was given.
        let latest = if entry.included_by.is_some() { i64::MAX } else { entry.at };
        self.in_log(
            Keyspace::Ledger,
            record,
            entry.proof.as_ref(),
            "consent",
            Some(statement.as_bytes()),
            (entry.at, latest),
        )
    }

    /// Whether the log has an entry where a record says that it is.
    pub(super) fn in_log(
        &mut self,
        place: Keyspace,
        record: &str,
        proof: Option<&ProofForm>,
        kind: &str,
        content: Option<&[u8]>,
        written: (i64, i64),
    ) -> Result<(), VaultError> {
        let Some(proof) = proof else {
            self.found(place, record, "does not say where it stands in the log");
            return Ok(());
        };
        let is_it = self.entry(proof.batch, proof.index)?.is_some_and(|(hash, form)| {
            let is_content = content.is_none_or(|content| LogLeaf::commit(&proof.salt, content).0 == hash);
            is_content && form.kind == kind && (written.0..=written.1).contains(&form.at)
        });
        if !is_it {
            let what = format!("is not entry {} of batch {} of the log, as it says", proof.index, proof.batch);
            self.found(place, record, what);
        }
        Ok(())
    }

    /// Each in the log, in the index, named by the core record; its message in the outbox as long as it waits.
    fn decisions(&mut self, open: &Open, whose: Whose) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        // What is as old as this may have left the core record before its own row goes.
        let oldest = self.house.now().plus_days(1 - DECISION_DAYS).ms();
        let named: BTreeSet<[u8; 16]> = open.core.decided.iter().map(|decided| *decided.decision).collect();
        for row in store.scan(Keyspace::Decisions, open.id.as_bytes()) {
            let (key, sealed) = row?;
            self.row();
            let own = tail(&key);
            let record = match <[u8; 16]>::try_from(own) {
                Ok(id) => format!("{} {}", open.id, DecisionId::from_bytes(id)),
                Err(_) => format!("{} {}", open.id, hex(own)),
            };
            let read = open.open_own(&self.house, RecordKind::Decision, own, &sealed);
            let read = read.and_then(|plain| format::decode::<DecisionForm>("decisions", &plain));
            let form = match read.and_then(|form| form.trace.trace().map(|_| form)) {
                Ok(form) => form,
                Err(error) => {
                    self.found(Keyspace::Decisions, record, told(&error));
                    continue;
                }
            };
            if form.at >= oldest && !named.contains(&*form.id) {
                self.found(Keyspace::Decisions, &record, "the core record does not know it");
            }
            let content = as_decided(&form).map(|form| format::encode(&form));
            self.in_log(
                Keyspace::Decisions,
                &record,
                form.proof.as_ref(),
                "decision",
                content.as_deref(),
                (form.at, form.at),
            )?;
            if whose == Whose::Living {
                self.ways(open, &record, &form)?;
            }
        }
        for decided in &open.core.decided {
            let key = own_key(&open.id, decided.decision.as_slice());
            if decided.at >= oldest && store.get(Keyspace::Decisions, &key)?.is_none() {
                let record = format!("{} {}", open.id, DecisionId::from_bytes(*decided.decision));
                self.found(Keyspace::Decisions, record, "is named in the core record and missing");
            }
        }
        Ok(())
    }

    /// What leads to a decision, and to its message while it waits.
    fn ways(&mut self, open: &Open, record: &str, form: &DecisionForm) -> Result<(), VaultError> {
        let way = self.store.get(Keyspace::Index, &House::decision_row(&DecisionId::from_bytes(*form.id)))?;
        if way.as_deref() != Some(open.id.as_bytes().as_slice()) {
            self.found(Keyspace::Index, record, "the way from the decision does not lead to its person");
        }
        self.message(record, form)
    }

    fn message(&mut self, record: &str, form: &DecisionForm) -> Result<(), VaultError> {
        let Some(message) = &form.message else { return Ok(()) };
        let waits = matches!(message.state, MessageState::Waiting | MessageState::Trying);
        let due = House::outbox_row(At::from_ms(message.due_at), message.id.as_slice());
        let in_outbox = self.store.get(Keyspace::Outbox, &due)?.is_some();
        let way = self.store.get(Keyspace::Index, &House::message_row(&MessageId::from_bytes(*message.id)))?;
        let leads = way.is_some_and(|way| way == message.due_at.to_be_bytes());
        if waits != in_outbox || waits != leads {
            let what = if waits {
                "its message waits and is not in the outbox"
            } else {
                "its message has ended and is still in the outbox"
            };
            self.found(Keyspace::Outbox, record, what);
        }
        Ok(())
    }

    /// Rows under the keys of nobody.
    pub(super) fn orphans(&mut self) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for keyspace in OWN {
            let mut last: Option<(ProfileId, bool)> = None;
            for row in store.scan(keyspace, &[]) {
                let (key, _) = row?;
                let Some(id) = key.first_chunk::<16>().map(|id| ProfileId::from_bytes(*id)) else {
                    self.found(keyspace, hex(&key), "a row without a person");
                    continue;
                };
                let has_owner = match last {
                    Some((known, has_owner)) if known == id => has_owner,
                    // The rows of somebody erased wait a day with their recovery key.
                    _ => self.people.contains(&id) || store.get(Keyspace::House, &House::recovery_row(&id))?.is_some(),
                };
                last = Some((id, has_owner));
                if !has_owner {
                    self.found(keyspace, format!("{id} {}", hex(tail(&key))), "belongs to nobody with a key row");
                }
            }
        }
        Ok(())
    }

    /// A person's core record has a way to its class row alone; used by the checks of the index.
    pub(super) fn load(&self, id: &ProfileId) -> Option<Open> {
        debug_assert_eq!(class_key(id, CORE).len(), 20);
        Open::load(&self.house, &*self.store, id).ok().flatten()
    }

    /// The decision of a person.
    pub(super) fn decision(&self, open: &Open, id: &Bytes16) -> Option<DecisionForm> {
        self.house.decision(&*self.store, open, id).ok().flatten()
    }
}

fn is_same(one: &Relation, other: &Relation) -> bool {
    (one.status, one.notice_version, one.at) == (other.status, other.notice_version, other.at)
        && one.level == other.level
}

/// A decision as it was when it was entered in the log; `None` when its message has moved since, because nothing says from
/// which instant, or when a fact of it has ended and is gone.
fn as_decided(form: &DecisionForm) -> Option<DecisionForm> {
    let mut form = form.clone();
    (form.proof, form.reduced) = (None, false);
    let is_untouched = form.message.as_ref().is_none_or(|message| {
        message.state == MessageState::Waiting && message.n_attempts == 0 && message.why.is_none()
    });
    (is_untouched && !form.trace.is_stripped()).then_some(form)
}
