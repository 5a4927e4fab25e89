//! What a house knows, as one hash: equal for two houses that know the same, whatever ids, keys, salts and nonces chance gave
//! them, on whatever engine. It covers the opened records and what memory made of them: standing, columns, bitmaps, reach.
//!
//! Read as of an instant: what has expired is not there, swept or not. A form counts with all its fields, so that a new
//! one counts from its first day; what does not count is blanked here by name, each with its reason.
//!
//! Deliberately not: who read what and when (uses, hours, alarms), counters of outcomes, the log itself (it is a chain with
//! salts), keys.

use crate::Vault;
use crate::VaultError;
use crate::commit::Command;
use crate::engine::Keyspace;
use crate::format::{
    self, Bytes16, CoreForm, DecisionForm, ItemForm, LedgerForm, LeftForm, OutboxForm, ReviewForm, SaleForm,
};
use crate::house::House;
use crate::log::{Hash, sha256};
use crate::open::send;
use crate::person::{self, Open};
use crate::retention;
use crate::seal::RecordKind;
use crate::snapshot::Snapshot;
use crate::state::Person;
use model::{ArtefactId, At, MessageId, ProfileId, Trust};
use promise::ReviewRole;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Sixteen zeros: in the place of an id that chance made.
const NO_ID: [u8; 16] = [0; 16];

/// The parts of what a house knows, each as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateHash {
    /// How many people.
    pub n_people: u64,
    /// Everybody: records, and what memory made of them, in order of coming.
    pub people: Hash,
    /// Messages that wait.
    pub outbox: Hash,
    /// Catalogue, sales of nobody, reviews, named records of the house.
    pub house: Hash,
    /// What stays of those who were erased: how many, since when, and whether they are to be left alone.
    pub left: Hash,
}

impl StateHash {
    /// Of everything.
    #[must_use]
    pub fn whole(&self) -> Hash {
        sha256(&[b"fineline state 1", &self.of_the_living(), &self.left])
    }

    /// Of everything but what stays of those who were erased: what a house knows that was built from the records of the people
    /// who are left.
    #[must_use]
    pub fn of_the_living(&self) -> Hash {
        sha256(&[b"fineline living 1", &self.n_people.to_be_bytes(), &self.people, &self.outbox, &self.house])
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_people, people, outbox, house, left } = self;
        let parts = [("people", people), ("outbox", outbox), ("house", house), ("left", left)];
        writeln!(f, "state {}", hex(&self.whole()))?;
        writeln!(f, "living {}", hex(&self.of_the_living()))?;
        parts.iter().try_for_each(|(name, hash)| writeln!(f, "  {name} {}", hex(hash)))?;
        write!(f, "  {n_people} people")
    }
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Vault {
    /// What the house knows now, as a hash. What was acknowledged and waits is written first. Opens every record.
    ///
    /// # Errors
    /// A record that cannot be opened; [`VaultError::Closed`].
    pub fn state_hash(&self) -> Result<StateHash, VaultError> {
        send(self, Command::Turn)?.wait()?;
        of(&self.snapshot())
    }
}

/// What a reading knows.
pub(crate) fn of(snapshot: &Snapshot) -> Result<StateHash, VaultError> {
    let house = &*snapshot.house;
    let (mut own, mut messages, mut ties) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for id in house.people() {
        let Some(open) = Open::load(house, snapshot.store(), &id)? else { continue };
        let label = person_hash(snapshot, open, &mut messages, &mut ties)?;
        own.push((id, label));
    }
    // Ties name others by what those others are, because ids are chance.
    let labels: BTreeMap<ProfileId, Hash> = own.iter().copied().collect();
    let mut people = Vec::new();
    for (id, label) in &own {
        let mut known: Vec<Vec<u8>> = Vec::new();
        for (other, proof, at) in ties.get(id).into_iter().flatten() {
            let other = labels.get(other).copied().unwrap_or_default();
            known.push([other.as_slice(), &[*proof], &i64::to_be_bytes(*at)].concat());
        }
        known.sort();
        people.push(sha256(&[label, &known.concat()]).to_vec());
    }
    Ok(StateHash {
        n_people: u64::try_from(own.len()).unwrap_or(u64::MAX),
        people: sha256(&[&people.concat()]),
        outbox: outbox(snapshot, &messages)?,
        house: house_records(snapshot)?,
        left: left(snapshot)?,
    })
}

// ── one person ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Ties of each person: to whom, by which proof, since when.
type Ties = BTreeMap<ProfileId, BTreeSet<(ProfileId, u8, i64)>>;

fn person_hash(
    snapshot: &Snapshot,
    mut open: Open,
    messages: &mut BTreeMap<[u8; 16], Bytes16>,
    ties: &mut Ties,
) -> Result<Hash, VaultError> {
    let now = snapshot.now();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let decisions = decisions(snapshot, &open)?;
    for decision in &decisions {
        if let Some(message) = &decision.message {
            messages.insert(*message.id, decision.id);
        }
    }
    let joins = open.core.joins.iter().map(|join| (ProfileId::from_bytes(*join.other), join.proof, join.at));
    ties.insert(open.id, joins.collect());
    parts.push(format::encode(&core(&open.core, messages, now, snapshot.promise().cap.per_days)));
    let mut leads = Vec::new();
    for form in &open.core.identifiers {
        let identifier = House::identifier(form);
        let found = identifier.and_then(|identifier| snapshot.find(&identifier));
        leads.push((format::encode(form), found == Some(open.id)));
    }
    leads.sort();
    parts.extend(leads.into_iter().map(|(form, is_its)| [form, vec![u8::from(is_its)]].concat()));
    parts.extend(ledger(snapshot, &open)?.iter().map(format::encode));
    parts.extend(decisions.iter().map(|decision| format::encode(&without_ids(decision))));
    parts.extend(events(snapshot, &open)?);
    parts.extend(facts_and_buckets(snapshot, &mut open)?);
    if let Some(person) = snapshot.generation.state.person(&open.id) {
        parts.push(in_memory(snapshot, person));
    }
    let parts: Vec<Vec<u8>> = parts.into_iter().map(|part| sha256(&[&part]).to_vec()).collect();
    Ok(sha256(&[&parts.concat()]))
}

/// The core record without what is chance, order of work, or about readers.
fn core(core: &CoreForm, messages: &BTreeMap<[u8; 16], Bytes16>, now: At, cap_days: i32) -> CoreForm {
    let mut core = core.clone();
    // Chance, and the order in which rows were written.
    (core.number, core.touched, core.tally) = (0, 0, None);
    core.wishes_done.clear();
    // Who read, and who may come back by which link: keyed by the house.
    core.uses.clear();
    core.tokens.clear();
    // Told apart, by what others are.
    core.joins.clear();
    core.identifiers.clear();
    let oldest = retention::oldest_decision(now).ms();
    core.decided.retain(|known| known.at >= oldest);
    core.decided.sort_by_key(|known| (known.at, *known.decision));
    let window = now.plus_days(cap_days.saturating_neg()).ms();
    core.contacts.retain(|contact| contact.at > window);
    for contact in &mut core.contacts {
        contact.message = messages.get(&*contact.message).copied().unwrap_or(NO_ID.into());
    }
    core.contacts.sort_by_key(|contact| (contact.at, *contact.message));
    core.relations.sort_by(|a, b| a.purpose.cmp(&b.purpose));
    core
}

fn ledger(snapshot: &Snapshot, open: &Open) -> Result<Vec<LedgerForm>, VaultError> {
    let mut entries = Vec::new();
    for row in snapshot.store().scan(Keyspace::Ledger, open.id.as_bytes()) {
        let (key, sealed) = row?;
        let mut entry = open.open_ledger(&snapshot.house, &key, &sealed)?;
        // Where it stands in the log, and until when it must.
        (entry.id, entry.proof, entry.included_by) = (NO_ID.into(), None, None);
        entries.push(entry);
    }
    Ok(entries)
}

/// Decisions that may still be read, by id: whoever decided chose it.
pub(crate) fn decisions(snapshot: &Snapshot, open: &Open) -> Result<Vec<DecisionForm>, VaultError> {
    let oldest = retention::oldest_decision(snapshot.now()).ms();
    let mut decisions = Vec::new();
    for row in snapshot.store().scan(Keyspace::Decisions, open.id.as_bytes()) {
        let (key, sealed) = row?;
        let plain = open.open_own(&snapshot.house, RecordKind::Decision, person::tail(&key), &sealed)?;
        let decision: DecisionForm = format::decode("decisions", &plain)?;
        if decision.at >= oldest {
            decisions.push(decision);
        }
    }
    decisions.sort_by_key(|decision| *decision.id);
    Ok(decisions)
}

fn without_ids(decision: &DecisionForm) -> DecisionForm {
    let mut decision = decision.clone();
    decision.proof = None;
    decision.message.iter_mut().for_each(|message| message.id = NO_ID.into());
    decision
}

/// Events that may still be read, each with when it ends. Of a history the id says what it is; any other is chance.
fn events(snapshot: &Snapshot, open: &Open) -> Result<Vec<Vec<u8>>, VaultError> {
    let house = &*snapshot.house;
    let mut events = Vec::new();
    for row in snapshot.store().scan(Keyspace::Events, open.id.as_bytes()) {
        let (key, row) = row?;
        let Some(mut stored) = open.open_event(house, &key, &row)? else { continue };
        let ends = house.event_expires_at(&open.core, &stored);
        if ends <= snapshot.now() || !snapshot.promise().events.contains_key(&stored.event.name) {
            continue;
        }
        if stored.event.trust != Trust::Import {
            stored.event.id = model::EventId::from_bytes(NO_ID);
        }
        let form = format::EventForm::of(&stored.event, &stored.not_for);
        events.push([format::encode(&form), ends.ms().to_be_bytes().to_vec()].concat());
    }
    events.sort();
    Ok(events)
}

fn facts_and_buckets(snapshot: &Snapshot, open: &mut Open) -> Result<Vec<Vec<u8>>, VaultError> {
    let house = &*snapshot.house;
    let columns = house.household.projection.columns();
    let (mut parts, today) = (Vec::new(), snapshot.now().day());
    let (terms, clocks) = (house.terms(), house.clocks(&open.core));
    for class in terms.classes().keys() {
        let record = open.class(house, snapshot.store(), *class)?;
        for form in &record.facts {
            let fact = form.fact()?;
            let Some(ends) = terms.fact_ends(&clocks, &fact).filter(|ends| *ends > snapshot.now()) else { continue };
            parts.push([format::encode(form), ends.ms().to_be_bytes().to_vec()].concat());
        }
        let mut buckets = record.buckets(columns);
        terms.retain_living(*class, &clocks, today, &mut buckets);
        for bucket in &buckets {
            let name = columns.get(usize::from(bucket.column)).map_or("", |column| column.name.as_str());
            let day = bucket.day.number().to_be_bytes();
            parts.push([name.as_bytes(), b"\n", &day, &bucket.amount.to_be_bytes()].concat());
        }
    }
    parts.sort();
    Ok(parts)
}

/// What memory made of a person: kind, wishes, reach, columns, and every bitmap.
fn in_memory(snapshot: &Snapshot, person: &Person) -> Vec<u8> {
    let (state, projection) = (&snapshot.generation.state, &snapshot.house.household.projection);
    let mut out = vec![format::kind_code(person.kind)];
    let standing = &person.wishes.standing;
    out.extend(person.wishes.seq.to_be_bytes());
    out.extend(standing.told_version.to_be_bytes());
    for (purpose, relation) in &standing.relations {
        let is_in_force = state.in_force(purpose, snapshot.now()).contains(person.number);
        out.extend(format!("{purpose} {relation:?} {is_in_force}\n").bytes());
    }
    let window = snapshot.now().plus_days(snapshot.promise().cap.per_days.saturating_neg());
    let mut contacts: Vec<At> = person.reach.contacts.iter().copied().filter(|at| *at > window).collect();
    contacts.sort_unstable();
    let until = person.reach.address_until.filter(|until| *until > snapshot.now());
    let (suppressed, at_most, less) = (person.reach.suppressed, person.reach.at_most, person.reach.less);
    out.extend(format!("{until:?} {suppressed} {contacts:?} {at_most:?} {less:?}\n").bytes());
    for column in 0..projection.columns().len() {
        out.extend(format!("{:?}\n", state.value(column, person.number)).bytes());
    }
    for at in 0..projection.segments().len() {
        out.push(u8::from(state.segment(at).is_some_and(|members| members.contains(person.number))));
    }
    let sets = [state.everybody(), state.restrained()];
    out.extend(sets.iter().map(|set| u8::from(set.contains(person.number))));
    out
}

// ── the house ─────────────────────────────────────────────────────────────────────────────────────────────────────────

fn outbox(snapshot: &Snapshot, messages: &BTreeMap<[u8; 16], Bytes16>) -> Result<Hash, VaultError> {
    let mut waiting = Vec::new();
    for row in snapshot.store().scan(Keyspace::Outbox, &[]) {
        let (key, sealed) = row?;
        let plain = snapshot.house.open_house(RecordKind::Outbox, &key, &sealed)?;
        let mut form: OutboxForm = format::decode("outbox", &plain)?;
        let is_kept = MessageId::from_bytes(*form.message).made_at() >= retention::oldest_decision(snapshot.now());
        if messages.get(&*form.message) != Some(&form.decision) || !is_kept {
            continue;
        }
        (form.message, form.person) = (NO_ID.into(), NO_ID.into());
        let due = key.first_chunk::<8>().copied().unwrap_or_default();
        waiting.push([due.to_vec(), format::encode(&form)].concat());
    }
    waiting.sort();
    Ok(sha256(&[&waiting.concat()]))
}

/// Whether a named record is about what the house knows, and not about how far its own work has come.
pub(crate) fn is_knowledge(name: &str) -> bool {
    name != House::ROTATION && name != crate::removal::RECORD && !name.starts_with("outcome/")
}

fn house_records(snapshot: &Snapshot) -> Result<Hash, VaultError> {
    let (house, store) = (&*snapshot.house, snapshot.store());
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for row in store.scan(Keyspace::House, House::ITEMS) {
        let (key, sealed) = row?;
        let form: ItemForm = format::decode("house", &house.open_house(RecordKind::House, &key, &sealed)?)?;
        parts.push(format::encode(&form));
    }
    for row in store.scan(Keyspace::House, House::SALES) {
        let (key, sealed) = row?;
        let form: SaleForm = format::decode("house", &house.open_house(RecordKind::Sale, &key, &sealed)?)?;
        if is_kept(snapshot, &form) {
            parts.push([key, format::encode(&form)].concat());
        }
    }
    let mut reviewed: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for row in store.scan(Keyspace::House, House::REVIEWS) {
        let (key, sealed) = row?;
        let form: ReviewForm = format::decode("house", &house.open_house(RecordKind::Review, &key, &sealed)?)?;
        let artefact = snapshot.promise().artefacts().get(&ArtefactId::from_bytes(*form.artefact));
        // What is part of the program needs nobody's word.
        if artefact.is_none_or(|artefact| artefact.review != ReviewRole::BuiltIn) {
            let n = reviewed.entry(*form.artefact).or_default();
            *n = n.saturating_add(1);
        }
    }
    parts.extend(reviewed.into_iter().map(|(artefact, n)| [artefact.as_slice(), &n.to_be_bytes()].concat()));
    for (name, bytes) in snapshot.house_records("", usize::MAX)? {
        if is_knowledge(&name) {
            parts.push([name.as_bytes(), b"\n", &bytes].concat());
        }
    }
    let parts: Vec<Vec<u8>> = parts.into_iter().map(|part| sha256(&[&part]).to_vec()).collect();
    Ok(sha256(&[&parts.concat()]))
}

/// Whether a sale of nobody may still be told.
pub(crate) fn is_kept(snapshot: &Snapshot, form: &SaleForm) -> bool {
    let plan = snapshot.promise().events.iter().find(|(name, _)| name.as_str() == form.event);
    let sold_at = model::Day::from_number(form.day).start();
    plan.is_some_and(|(_, plan)| plan.retention.expires_at(sold_at) > snapshot.now())
}

fn left(snapshot: &Snapshot) -> Result<Hash, VaultError> {
    let mut parts = Vec::new();
    for row in snapshot.store().scan(Keyspace::House, House::LEFT) {
        let form: LeftForm = format::decode("house", &row?.1)?;
        parts.push(format::encode(&form));
    }
    parts.sort();
    let n_requests = snapshot.store().scan(Keyspace::House, House::REQUESTS).count();
    parts.push(n_requests.to_be_bytes().to_vec());
    Ok(sha256(&[&parts.concat()]))
}
