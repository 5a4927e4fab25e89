//! One batch in the making: rows over a reading of the store, opened profiles, entries for the one log, and the answers
//! that go out once it is synced. Later commands of a batch see what earlier ones did.

use super::Command;
use super::erase::OWN;
use super::times::Stage;
use crate::VaultError;
use crate::alarm::Finding;
use crate::chain::Chain;
use crate::engine::{EngineSnapshot, Keyspace, Op};
use crate::failpoint::{Step, around};
use crate::format::{self, Bytes16, CoreForm, LogForm, ProofForm};
use crate::house::House;
use crate::house::Waiting;
use crate::key::PersonKey;
use crate::log::LogLeaf;
use crate::narrowing::{self, Narrowing, Prepared, What};
use crate::person::{self, Open, Rows};
use crate::record::{Identifier, IdentifierKind, Outcome, OutcomeReason, Subject};
use crate::retention::CORE;
use crate::state::{Person, Reach, Wheel, Wishes};
use crate::tally::{self, HouseTally, Tallies};
use model::{At, EventName, Kind, ProfileId, ProfileKind, SourceName};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Most profiles that one batch touches: the low bits of the touch order.
pub(super) const TOUCH_BITS: u32 = 20;

/// Ops that a batch adds about itself: chain, nodes, checkpoint, tally.
const OWN_OPS: usize = 32;

/// What runs once the batch is on the disk and published.
type After = Box<dyn FnOnce(&House, u64) + Send>;

/// A batch in the making.
pub(crate) struct Batch<'h> {
    pub house: &'h House,
    pub store: Arc<dyn EngineSnapshot>,
    pub now: At,
    pub number: u64,
    rows: BTreeMap<Keyspace, BTreeMap<Vec<u8>, Row>>,
    ops: Vec<Op>,
    people: BTreeMap<ProfileId, Open>,
    leaves: Vec<LogLeaf>,
    outcomes: BTreeMap<(SourceName, EventName, &'static str), u64>,
    after: Vec<After>,
    /// Taken from the urgent log, by number and id.
    drained: Vec<(u64, Bytes16)>,
    /// Staff who opened many people.
    pub findings: Vec<Finding>,
    /// An artefact asked for what it never asked for before.
    pub habit_grew: bool,
    /// What people took back in this batch.
    narrowings: Vec<Narrowing>,
    first_number: u32,
    next_number: u32,
    n_touched: u64,
    /// A key was deleted: only the next rotation makes it unrecoverable.
    forgets: bool,
    /// What was read and is written down in this batch; left again by one that fails where the house goes on.
    pub taken: crate::unwritten::Taken,
}

/// A row that this batch writes, or (`None`) takes away.
struct Row {
    value: Option<Vec<u8>>,
    /// What lies there; the outer `None` = nobody has looked.
    before: Option<Option<Vec<u8>>>,
}

/// The rows of a batch over the store: what commands read.
impl Rows for Batch<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        match self.rows.get(&keyspace).and_then(|rows| rows.get(key)) {
            Some(row) => Ok(row.value.clone()),
            None => self.store.get(keyspace, key),
        }
    }
}

/// About whom a door speaks, resolved.
pub(crate) enum Found {
    Known(ProfileId),
    New(Vec<Identifier>),
    Nobody,
}

impl<'h> Batch<'h> {
    pub(crate) fn new(house: &'h House, number: u64) -> Self {
        let generation = house.generation();
        Self {
            house,
            store: Arc::clone(&generation.store),
            now: house.now(),
            number,
            rows: BTreeMap::new(),
            ops: Vec::new(),
            people: BTreeMap::new(),
            leaves: Vec::new(),
            outcomes: BTreeMap::new(),
            after: Vec::new(),
            drained: Vec::new(),
            findings: Vec::new(),
            habit_grew: false,
            narrowings: Vec::new(),
            first_number: generation.state.next_number,
            next_number: generation.state.next_number,
            n_touched: 0,
            forgets: false,
            taken: crate::unwritten::Taken::default(),
        }
    }

    /// Where each question is a journey to a server: asks for what these commands will read in a few.
    pub(super) fn warm(&self, commands: &[Command]) {
        if self.house.engine.nodes().is_none() {
            return;
        }
        let (mut rows, mut people) = (Vec::new(), BTreeSet::new());
        let mut meet = |subject: &Subject, rows: &mut Vec<(Keyspace, Vec<u8>)>| match subject {
            Subject::Profile(id) => drop(people.insert(*id)),
            Subject::Identifiers { user, anonymous } => {
                let main = user.as_ref().or(anonymous.as_ref());
                rows.extend(main.map(|identifier| (Keyspace::Index, self.house.index_row(identifier))));
            }
        };
        for command in commands {
            match command {
                Command::Take(events, _) => {
                    for event in events {
                        meet(&event.subject, &mut rows);
                        if let crate::record::MessageKey::Wire(message) = &event.message_key {
                            rows.push((Keyspace::Marks, self.house.mark(&event.source, message).to_vec()));
                        }
                    }
                }
                Command::Consent(change, ..) => meet(&change.subject, &mut rows),
                Command::Decide(decision, _) => meet(&Subject::Profile(decision.person), &mut rows),
                Command::Finish(attempt, ..) => meet(&Subject::Profile(attempt.person), &mut rows),
                _ => {}
            }
        }
        let found: Vec<Vec<u8>> =
            rows.iter().filter(|(keyspace, _)| *keyspace == Keyspace::Index).map(|(_, key)| key.clone()).collect();
        self.store.warm(rows, Vec::new());
        let led = found.iter().filter_map(|key| self.store.get(Keyspace::Index, key).ok()??.try_into().ok());
        people.extend(led.map(ProfileId::from_bytes));
        warm_people(&*self.store, people);
    }

    /// The same for the rows that are about to be counted.
    fn warm_rows(&self) {
        if self.house.engine.nodes().is_none() {
            return;
        }
        let unread = self.rows.iter().flat_map(|(keyspace, rows)| {
            let unread = rows.iter().filter(|(key, row)| {
                row.before.is_none()
                    && (tally::is_of_house(*keyspace, key) || tally::person_of(*keyspace, key).is_some())
            });
            unread.map(move |(key, _)| (*keyspace, key.clone()))
        });
        self.store.warm(unread.collect(), Vec::new());
    }

    /// Serves one command; its error is its own answer and not the batch's.
    pub(crate) fn serve(&mut self, command: Command) {
        match command {
            Command::Take(events, reply) => {
                let outcomes = events.into_iter().map(|event| self.take(event)).collect();
                self.answer(reply, outcomes);
            }
            Command::Consent(change, ticket, reply) => {
                let answered = self.consent(&change, ticket.as_ref());
                self.answer_with_receipt(reply, answered);
                // A no that comes before this yes is published has to find it waiting.
                self.then(move |_, _| drop(ticket));
            }
            Command::Facts(writes, reply) => {
                let written = writes.into_iter().map(|write| self.write_fact(write)).collect();
                self.answer(reply, written);
            }
            Command::Items(items, reply) => {
                let put = self.put_items(&items);
                self.answer(reply, put);
            }
            Command::Sales(sales, reply) => {
                let outcomes = sales.iter().map(|sale| self.put_sale(sale)).collect();
                self.answer(reply, outcomes);
            }
            Command::Join(join, reply) => {
                let joined = self.join(&join);
                self.answer(reply, joined);
            }
            Command::HouseRecord(name, bytes, reply) => {
                let put = self.put_house_record(&name, bytes.as_deref());
                self.answer(reply, put);
            }
            Command::Decide(decision, reply) => {
                let decided = self.decide(*decision);
                self.answer(reply, decided);
            }
            Command::Begin(message, reply) => {
                let begun = self.begin_attempt(message);
                self.answer(reply, begun);
            }
            Command::Finish(attempt, end, reply) => {
                let finished = self.finish_attempt(attempt, end);
                self.answer(reply, finished);
            }
            Command::Token(decision, reply) => {
                let token = self.message_token(decision);
                self.answer(reply, token);
            }
            Command::Review(review, reply) => {
                let reviewed = self.review(&review);
                self.answer(reply, reviewed);
            }
            Command::Staff(act, reply) => {
                let written = self.staff_act(&act);
                self.answer(reply, written);
            }
            Command::SourceKey(source, change, reply) => {
                let key = self.source_key(&source, change);
                self.answer(reply, key);
            }
            Command::Replay(recorded, reply) => {
                let replayed = self.replay(recorded);
                self.answer(reply, replayed);
            }
            Command::Breach(statement, reply) => {
                self.leaf("breach", statement.as_bytes());
                self.answer(reply, Ok(()));
            }
            Command::Visit(person, reply) => {
                let visited = self.visit(&person);
                self.answer(reply, visited);
            }
            Command::Fate(choice, reply) => {
                let chosen = self.choose_fate(choice);
                self.answer(reply, chosen);
            }
            Command::Hold(order, reply) => {
                let held = self.hold(&order);
                self.answer(reply, held);
            }
            Command::LiftHold(person, id, reply) => {
                let lifted = self.lift_hold(&person, id);
                self.answer(reply, lifted);
            }
            Command::Acknowledge(alarm, staff, reason, reply) => {
                let acknowledged = self.acknowledge(alarm, &staff, &reason);
                self.answer(reply, acknowledged);
            }
            Command::HandOn(new, reply) => {
                let handed = self.hand_on(&new);
                self.answer(reply, handed);
            }
            Command::Called(id, end, reply) => {
                let called = self.finish_call(&id, &end);
                self.answer(reply, called);
            }
            Command::Wake => {}
            Command::Turn(_)
            | Command::Sweep(_)
            | Command::Rotate(_)
            | Command::Backup(_)
            | Command::Undo(..)
            | Command::Close(_) => {}
        }
    }

    pub(super) fn tell(&mut self, act: impl FnOnce(&mut Self) -> Result<(), VaultError>) {
        if let Err(error) = act(self) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a read could not be counted");
        }
    }

    /// Answers after the sync; when the batch fails, the asker finds the vault closed.
    pub(crate) fn answer<T: Send + 'static>(&mut self, reply: super::Reply<T>, answer: Result<T, VaultError>) {
        self.then(move |_, _| {
            let _ = reply.send(answer);
        });
    }

    pub(crate) fn then(&mut self, act: impl FnOnce(&House, u64) + Send + 'static) {
        self.after.push(Box::new(act));
    }

    // ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn put(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Vec<u8>) {
        self.change(keyspace, key, Some(value), None);
    }

    /// Whether a row is there once this batch is written.
    pub(crate) fn is_there(&self, keyspace: Keyspace, key: &[u8]) -> Result<bool, VaultError> {
        Ok(Rows::get(self, keyspace, key)?.is_some())
    }

    /// Whether there is anything to write so far.
    pub(crate) fn is_writing(&self) -> bool {
        !self.rows.is_empty() || !self.leaves.is_empty()
    }

    pub(crate) fn delete(&mut self, keyspace: Keyspace, key: Vec<u8>) {
        self.change(keyspace, key, None, None);
    }

    /// The same, by somebody who has read what lies there in the store.
    pub(crate) fn change(
        &mut self,
        keyspace: Keyspace,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        before: Option<Option<Vec<u8>>>,
    ) {
        match self.rows.entry(keyspace).or_default().entry(key) {
            Entry::Occupied(mut row) => {
                row.get_mut().value = value;
            }
            Entry::Vacant(row) => {
                row.insert(Row { value, before });
            }
        }
    }

    /// Ops made by the floor (day secrets).
    pub(crate) fn ops(&mut self) -> &mut Vec<Op> {
        &mut self.ops
    }

    /// Adds an entry to the one log; the salt hides its content in its leaf.
    pub(crate) fn leaf(&mut self, kind: &'static str, entry: &[u8]) -> ProofForm {
        let salt: [u8; 16] = self.house.rng().bytes();
        let index = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        let leaf = LogLeaf::commit(&salt, entry);
        let form = LogForm { at: self.now.ms(), kind: kind.to_owned(), hash: leaf.0.into() };
        self.put(Keyspace::House, House::log_row(self.number, index), format::encode(&form));
        self.leaves.push(leaf);
        ProofForm { salt: salt.into(), batch: self.number, index }
    }

    pub(crate) fn count(&mut self, source: &SourceName, event: &EventName, word: &'static str) {
        let n = self.outcomes.entry((source.clone(), event.clone(), word)).or_default();
        *n = n.saturating_add(1);
    }

    // ── people ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A profile, opened once per batch; `None` when it is not there, or was erased.
    pub(crate) fn person(&mut self, id: &ProfileId) -> Result<Option<&mut Open>, VaultError> {
        if self.house.is_erased(id) {
            return Ok(None);
        }
        if !self.people.contains_key(id) {
            match Open::load(self.house, &*self.store, id)? {
                Some(open) => self.people.insert(*id, open),
                None => return Ok(None),
            };
        }
        Ok(self.people.get_mut(id))
    }

    /// Takes in a profile that was opened elsewhere and is part of this batch.
    pub(super) fn admit(&mut self, open: Open) {
        self.people.insert(open.id, open);
    }

    /// Works on a profile beside the rows; `None` when it is not there. What the work changed stays in the batch also
    /// when it ends in an error.
    pub(crate) fn with<T>(
        &mut self,
        id: &ProfileId,
        work: impl FnOnce(&mut Self, &mut Open) -> Result<T, VaultError>,
    ) -> Result<Option<T>, VaultError> {
        self.person(id)?;
        let Some(mut open) = self.people.remove(id) else { return Ok(None) };
        let done = work(self, &mut open);
        self.people.insert(open.id, open);
        done.map(Some)
    }

    /// Finds the profile of an identifier.
    pub(crate) fn find(&self, identifier: &Identifier) -> Result<Option<ProfileId>, VaultError> {
        Ok(self.find_row(identifier)?.filter(|id| !self.house.is_erased(id)))
    }

    /// Where an identifier leads, also when that profile is leaving.
    pub(crate) fn find_row(&self, identifier: &Identifier) -> Result<Option<ProfileId>, VaultError> {
        let row = self.get(Keyspace::Index, &self.house.index_row(identifier))?;
        Ok(row.and_then(|row| <[u8; 16]>::try_from(row).ok()).map(ProfileId::from_bytes))
    }

    pub(crate) fn resolve(&mut self, subject: &Subject) -> Result<Found, VaultError> {
        match subject {
            Subject::Profile(id) => {
                let known = self.person(id)?.is_some();
                Ok(if known { Found::Known(*id) } else { Found::Nobody })
            }
            Subject::Identifiers { user, anonymous } => {
                let Some(main) = user.as_ref().or(anonymous.as_ref()) else { return Ok(Found::Nobody) };
                match self.find(main)? {
                    Some(id) => Ok(Found::Known(id)),
                    None => Ok(Found::New(vec![main.clone()])),
                }
            }
        }
    }

    /// Makes a profile of which more is known than that it came.
    pub(crate) fn create_as(&mut self, id: ProfileId, key: PersonKey, core: CoreForm) {
        let core = CoreForm { number: self.next_number, ..core };
        self.next_number = self.next_number.saturating_add(1);
        self.people.insert(id, Open::new(id, key, core));
    }

    /// Makes a profile under fresh keys. Whoever calls it has found a purpose in force.
    pub(crate) fn create(&mut self, identifiers: &[Identifier]) -> Result<ProfileId, VaultError> {
        let id = ProfileId::random(self.house.rng());
        let is_person = identifiers.iter().any(|identifier| identifier.kind != IdentifierKind::Anonymous);
        let kind = if is_person { ProfileKind::Person } else { ProfileKind::Device };
        let (kind, created_at) = (format::kind_code(kind), self.now.ms());
        let core = CoreForm { kind, created_at, ..CoreForm::default() };
        self.create_as(id, PersonKey::generate(self.house.rng()), core);
        for identifier in identifiers {
            self.add_identifier(&id, identifier)?;
        }
        Ok(id)
    }

    /// Indexes an identifier and names it in the core record. One that leads elsewhere already stays where it leads.
    pub(crate) fn add_identifier(&mut self, id: &ProfileId, identifier: &Identifier) -> Result<(), VaultError> {
        match self.find(identifier)? {
            Some(other) if other != *id => return Ok(()),
            _ => {}
        }
        let row = self.house.index_row(identifier);
        self.put(Keyspace::Index, row, id.as_bytes().to_vec());
        let form = House::identifier_form(identifier);
        if let Some(open) = self.person(id)?
            && !open.core.identifiers.contains(&form)
        {
            open.core.identifiers.push(form);
        }
        Ok(())
    }

    /// Marks a profile as touched by events, for whoever follows.
    pub(crate) fn touch(&mut self, open: &mut Open) {
        if open.core.touched >> TOUCH_BITS != self.number {
            open.core.touched = (self.number << TOUCH_BITS) | self.n_touched;
            self.n_touched = self.n_touched.saturating_add(1);
        }
    }

    /// A key is deleted in this batch.
    pub(crate) fn forgets(&mut self) {
        self.forgets = true;
    }

    // ── urgent ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Writes what is on the urgent log into the store's records.
    pub(crate) fn drain_urgent(&mut self) {
        for Waiting { seq, person, wish } in self.house.waiting() {
            if let Err(error) = self.apply_wish(&person, &wish) {
                // It stays on the log and in force; the store gets it once it can be written. Nobody else waits for it.
                tracing::error!(error = &error as &dyn std::error::Error, "a wish could not be written");
                continue;
            }
            self.drained.push((seq, *wish.id()));
        }
    }

    // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Turns everything into ops with the chain's own; `None` when there is nothing to write (answers went out).
    pub(crate) fn seal(mut self, chain: &mut Chain, tally: &mut HouseTally) -> Result<Option<Sealed>, VaultError> {
        self.write_outcomes()?;
        self.write_forgotten(self.forgets)?;
        if self.next_number != self.first_number {
            self.put(Keyspace::House, House::NUMBER.to_vec(), self.next_number.to_be_bytes().to_vec());
        }
        for id in self.people_of_rows() {
            self.person(&id)?;
        }
        self.warm_rows();
        let mut changes = Vec::new();
        for (_, mut open) in std::mem::take(&mut self.people) {
            self.seal_classes(&mut open)?;
            self.tally_person(&mut open)?;
            if open.is_changed() {
                changes.push(self.seal_person(open)?);
            }
        }
        let narrowings = self.house.narrowings().prepare(&self.narrowings);
        if let Some(prepared) = &narrowings {
            self.put(Keyspace::House, House::NARROWINGS.to_vec(), prepared.reach.to_note());
        }
        self.tally_house(tally)?;
        let mut ops = self.ops;
        ops.reserve(self.rows.values().map(BTreeMap::len).sum::<usize>().saturating_add(OWN_OPS));
        for (keyspace, rows) in self.rows {
            ops.extend(rows.into_iter().map(|(key, row)| match row.value {
                Some(value) => Op::Put(keyspace, key, value),
                None => Op::Delete(keyspace, key),
            }));
        }
        if ops.is_empty() && self.leaves.is_empty() {
            // Wishes of somebody who was erased change nothing, and leave the log all the same.
            let written: Vec<u64> = self.drained.iter().map(|(seq, _)| *seq).collect();
            if let Some(nodes) = self.house.engine.nodes().filter(|_| !written.is_empty()) {
                nodes.drop_urgent(&written)?;
            }
            self.house.drained(&written)?;
            for act in self.after {
                act(self.house, chain.number());
            }
            return Ok(None);
        }
        let noted = tally.row(self.house, self.number)?;
        ops.push(Op::Put(Keyspace::House, House::TALLY.to_vec(), noted));
        chain.next(&mut ops, &self.leaves)?;
        Ok(Some(Sealed { ops, changes, after: self.after, drained: self.drained, narrowings }))
    }

    fn write_outcomes(&mut self) -> Result<(), VaultError> {
        for ((source, event, word), n) in std::mem::take(&mut self.outcomes) {
            let name = format!("{}{}/{source}/{event}/{word}", super::sweep::OUTCOMES, self.now.day());
            let known = self.house_record(&name)?;
            let known = known.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<u64>().ok()).unwrap_or(0);
            self.put_house_record(&name, Some(known.saturating_add(n).to_string().as_bytes()))?;
        }
        Ok(())
    }

    /// Profiles whose rows this batch changes.
    fn people_of_rows(&self) -> BTreeSet<ProfileId> {
        let rows = OWN.iter().filter_map(|keyspace| Some((*keyspace, self.rows.get(keyspace)?)));
        rows.flat_map(|(keyspace, rows)| rows.keys().filter_map(move |key| tally::person_of(keyspace, key))).collect()
    }

    fn seal_classes(&mut self, open: &mut Open) -> Result<(), VaultError> {
        for class in std::mem::take(&mut open.changed) {
            let row = open.seal_class(self.house, class)?;
            let before = open.take_read(class);
            self.change(Keyspace::Profiles, person::class_key(&open.id, class), row, before);
        }
        Ok(())
    }

    /// Counts the rows that this batch changes under a person's keys.
    fn tally_person(&self, open: &mut Open) -> Result<(), VaultError> {
        let mut changed = Tallies::default();
        for keyspace in OWN {
            let Some(rows) = self.rows.get(&keyspace) else { continue };
            let from = (Bound::Included(open.id.as_bytes().as_slice()), Bound::Unbounded);
            let rows = rows.range::<[u8], _>(from).take_while(|(key, _)| key.starts_with(open.id.as_bytes()));
            for (key, row) in rows.filter(|(key, _)| tally::person_of(keyspace, key).is_some()) {
                self.count_row(keyspace, key, row, |change| changed.count(&self.house.marker, change))?;
            }
        }
        if !changed.is_empty() {
            open.core.tally = Some(changed.onto(open.core.tally.as_ref()));
        }
        Ok(())
    }

    fn tally_house(&self, tally: &mut HouseTally) -> Result<(), VaultError> {
        for (keyspace, rows) in &self.rows {
            for (key, row) in rows.iter().filter(|(key, _)| tally::is_of_house(*keyspace, key)) {
                self.count_row(*keyspace, key, row, |change| tally.count(&self.house.marker, change))?;
            }
        }
        Ok(())
    }

    fn count_row(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        row: &Row,
        count: impl FnOnce(&tally::Change<'_>),
    ) -> Result<(), VaultError> {
        let looked_up = match &row.before {
            None => self.store.get(keyspace, key)?,
            Some(_) => None,
        };
        let before = row.before.as_ref().map_or(looked_up.as_deref(), |before| before.as_deref());
        count(&tally::Change { keyspace, key, before, after: row.value.as_deref() });
        Ok(())
    }

    /// Notes what a person took back; in one batch once, also when it was given again later in it.
    pub(super) fn take_back(&mut self, id: &ProfileId, what: What<'_>) {
        let narrowing = self.house.narrowings().entry(id, what, self.now);
        if !self.narrowings.contains(&narrowing) {
            self.narrowings.push(narrowing);
        }
    }

    fn seal_person(&mut self, mut open: Open) -> Result<Change, VaultError> {
        let house = self.house;
        let taken = narrowing::taken_back(&house.household.promise, open.before(), &open.core);
        taken.into_iter().for_each(|what| self.take_back(&open.id, what));
        if open.key_changed {
            let row = house.wrap_person(&open)?;
            self.put(Keyspace::Keys, open.id.as_bytes().to_vec(), row);
        }
        let row = open.seal_core(house)?;
        let before = open.take_read(CORE);
        self.change(Keyspace::Profiles, person::class_key(&open.id, CORE), Some(row), before);
        let values = if open.folded { Some(house.values(&mut open, &*self.store, self.now.day())?) } else { None };
        let generation = house.generation();
        let known = generation.state.person(&open.id).map(|person| &person.reach);
        let reach = house.reach(&mut open, &*self.store, known)?;
        Ok(Change { person: in_memory(&open, reach)?, values, is_new: open.is_new })
    }
}

/// Fetches the keys and records of these people ahead, where that saves journeys.
pub(crate) fn warm_people(store: &dyn EngineSnapshot, people: impl IntoIterator<Item = ProfileId>) {
    let ids: Vec<Vec<u8>> = people.into_iter().map(|id| id.as_bytes().to_vec()).collect();
    let keys = ids.iter().map(|id| (Keyspace::Keys, id.clone())).collect();
    store.warm(keys, ids.into_iter().map(|id| (Keyspace::Profiles, id)).collect());
}

/// A profile as memory holds it.
pub(crate) fn in_memory(open: &Open, reach: Reach) -> Result<Person, VaultError> {
    let wishes = Arc::new(Wishes { standing: open.core.standing()?, seq: open.core.consent_seq });
    Ok(Person {
        id: open.id,
        number: open.core.number,
        kind: format::kind_of(open.core.kind)?,
        wishes,
        pending: Vec::new(),
        reach,
        touched: open.core.touched,
    })
}

/// Trait values, segment memberships, next day of change.
pub(crate) type Values = (Vec<Option<i64>>, Vec<bool>, Option<model::Day>);

/// What a batch changes in memory about one profile.
struct Change {
    person: Person,
    values: Option<Values>,
    is_new: bool,
}

/// A batch ready to be written.
pub(crate) struct Sealed {
    ops: Vec<Op>,
    changes: Vec<Change>,
    after: Vec<After>,
    drained: Vec<(u64, Bytes16)>,
    narrowings: Option<Prepared>,
}

impl Sealed {
    /// Writes and syncs; then memory; then the answers.
    pub(crate) fn write(
        self,
        house: &House,
        (wheel, dates): (&mut Wheel, &mut Wheel),
        chain: &Chain,
    ) -> Result<(), VaultError> {
        let began = house.ticks();
        let (written, drained): (Vec<u64>, Vec<Bytes16>) = self.drained.into_iter().unzip();
        match (&self.narrowings, house.engine.nodes()) {
            (narrowings, Some(nodes)) => {
                nodes.stage_drained(&written);
                nodes.stage_narrowings(narrowings.iter().flat_map(Prepared::rows));
                around(Step::EngineCommit, || house.engine.commit(self.ops))?;
                narrowings.iter().for_each(|narrowings| house.narrowings().advance(narrowings));
            }
            (narrowings, None) => {
                // First, so that what the store has, and the urgent log no longer holds, is never missing from the file.
                if let Some(narrowings) = narrowings {
                    house.narrowings().append(narrowings)?;
                }
                around(Step::EngineCommit, || house.engine.commit(self.ops))?;
            }
        }
        around(Step::HeadNote, || house.note_head(chain))?;
        house.took(Stage::Write, began);
        house.times.count_batch();
        let began = house.ticks();
        let number = chain.number();
        let store = house.engine.snapshot();
        let now = house.now();
        for change in &self.changes {
            if let Some((_, _, next)) = &change.values {
                wheel.set(change.person.number, *next);
            }
            let next = house.household.promise.next_date(&change.person.wishes.standing, now);
            dates.set(change.person.number, next.map(At::day));
        }
        house.publish(|generation| {
            generation.store = store;
            generation.batch = number;
            for change in self.changes {
                let here = generation.state.person(&change.person.id).cloned();
                if here.is_none() && !change.is_new {
                    // Erased while the batch was being written: what it wrote goes with the erasure.
                    continue;
                }
                let (id, person_number) = (change.person.id, change.person.number);
                let person = with_pending(change.person, here.as_deref(), &drained);
                house.follow(here.map(|here| here.touched), person.touched, id);
                generation.state.put(Arc::new(person), now);
                if let Some((values, members, _)) = &change.values {
                    generation.state.put_values(person_number, values, members);
                }
            }
        });
        if !written.is_empty() {
            around(Step::UrgentDrain, || house.drained(&written))?;
        }
        for act in self.after {
            act(house, number);
        }
        house.took(Stage::Publish, began);
        Ok(())
    }
}

/// What is on the urgent log and not in this batch stays on top.
pub(crate) fn with_pending(mut person: Person, here: Option<&Person>, drained: &[Bytes16]) -> Person {
    let pending = here.map(|here| here.pending.as_slice()).unwrap_or_default();
    person.pending = pending.iter().filter(|wish| !drained.contains(wish.id())).cloned().collect();
    for wish in &person.pending.clone() {
        wish.hold(&mut person);
    }
    person
}

/// The word of an outcome in the counters.
pub(crate) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Kept { .. } => "kept",
        Outcome::Repeated => "repeated",
        Outcome::Refused { reason, .. } => reason.as_str(),
    }
}

pub(crate) const fn refused(reason: OutcomeReason) -> Outcome {
    Outcome::Refused { reason, line: None }
}

/// An e-mail address among the values, as an identifier.
pub(crate) fn address(kind: Kind, value: &model::Value) -> Option<Identifier> {
    match (kind, value) {
        (Kind::Email, model::Value::Text(text)) => {
            Some(Identifier { kind: IdentifierKind::Email, value: text.trim().to_lowercase() })
        }
        _ => None,
    }
}
