//! Builds a house anew from the records of another: the people who are left, their answers, events, facts, ties and decisions,
//! in the order in which they came, and the house's own records through its own commands. Everything that is worked out
//! (standing, traits, segments, bitmaps, the index, the outbox) is worked out again, by the functions that did it the first time.
//!
//! Nothing is judged again: it was judged when it came, under what was promised then. What no record tells any more is
//! carried over as it stands, and [`carried`] is the whole list of it.
//!
//! Who was erased is not among the records, so what is built never saw them; whatever differs between the two houses then
//! (`state_hash`) is something that an erasure, an expiry or a rotation should have changed and did not, or should not have.

use crate::Vault;
use crate::VaultError;
use crate::commit::{Batch, Command};
use crate::engine::Keyspace;
use crate::format::{self, CoreForm, DecisionForm, JoinForm, LedgerForm, ReviewForm, SaleForm};
use crate::house::House;
use crate::key::PersonKey;
use crate::open::send;
use crate::person::Open;
use crate::record::{AnonymousSale, Review};
use crate::seal::RecordKind;
use crate::snapshot::Snapshot;
use crate::state_hash;
use model::{ArtefactId, At, Event, EventName, Fact, ProfileId, PurposeName};

/// People per batch.
const PEOPLE_PER_BATCH: usize = 100;

/// Everything that is on record about one person.
pub(crate) struct Recorded {
    id: ProfileId,
    core: CoreForm,
    /// Which of the identifiers lead here.
    leads: Vec<bool>,
    ledger: Vec<LedgerForm>,
    events: Vec<(Event, Vec<PurposeName>)>,
    facts: Vec<Fact>,
    decisions: Vec<DecisionForm>,
}

impl Vault {
    /// Builds in an empty house what this one knows; how many people. Both must have the same promise and the same time.
    ///
    /// # Errors
    /// A record that cannot be opened; [`VaultError::Busy`].
    pub fn replay_into(&self, empty: &Self) -> Result<u64, VaultError> {
        send(self, Command::Turn)?.wait()?;
        let snapshot = self.snapshot();
        let mut n_people = 0u64;
        let people = snapshot.house.people();
        for some in people.chunks(PEOPLE_PER_BATCH) {
            let recorded: Vec<Recorded> =
                some.iter().filter_map(|id| read(&snapshot, id).transpose()).collect::<Result<_, _>>()?;
            n_people = n_people.saturating_add(u64::try_from(recorded.len()).unwrap_or(u64::MAX));
            send(empty, |reply| Command::Replay(recorded, reply))?.wait()?;
        }
        replay_house(&snapshot, empty)?;
        Ok(n_people)
    }
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────

fn read(snapshot: &Snapshot, id: &ProfileId) -> Result<Option<Recorded>, VaultError> {
    let (house, store) = (&*snapshot.house, snapshot.store());
    let Some(mut open) = Open::load(house, store, id)? else { return Ok(None) };
    let leads = open
        .core
        .identifiers
        .iter()
        .map(|form| House::identifier(form).is_some_and(|identifier| snapshot.find(&identifier) == Some(*id)));
    let leads = leads.collect();
    let mut ledger = Vec::new();
    for row in store.scan(Keyspace::Ledger, id.as_bytes()) {
        let (key, sealed) = row?;
        ledger.push(open.open_ledger(house, &key, &sealed)?);
    }
    let mut events = Vec::new();
    for row in store.scan(Keyspace::Events, id.as_bytes()) {
        let (key, row) = row?;
        let Some(stored) = open.open_event(house, &key, &row)? else { continue };
        if house.event_expires_at(&open.core, &stored) > snapshot.now() {
            events.push((stored.event, stored.not_for));
        }
    }
    // In the order in which they came, which is not the one in which they happened.
    events.sort_by_key(|(event, _)| event.received_at);
    let mut facts = Vec::new();
    let core = open.core.clone();
    let (terms, clocks) = (house.terms(), house.clocks(&core));
    for class in terms.classes().keys() {
        for form in &open.class(house, store, *class)?.facts {
            let fact = form.fact()?;
            if terms.fact_ends(&clocks, &fact).is_some_and(|ends| ends > snapshot.now()) {
                facts.push(fact);
            }
        }
    }
    let decisions = state_hash::decisions(snapshot, &open)?;
    Ok(Some(Recorded { id: *id, core, leads, ledger, events, facts, decisions }))
}

/// What no record tells any more: when somebody came and as what, contracts and clocks whose first or latest event has expired,
/// answers that came over a tie without words, which notice was served, taps that were no answer about a purpose, and
/// leaving, reminders and holds.
fn carried(recorded: &Recorded) -> CoreForm {
    let core = &recorded.core;
    let is_told = |purpose: &str| recorded.ledger.iter().any(|entry| entry.purpose == purpose);
    CoreForm {
        kind: core.kind,
        created_at: core.created_at,
        relations: core.relations.iter().filter(|relation| !is_told(&relation.purpose)).cloned().collect(),
        last: core.last.clone(),
        told_version: core.told_version,
        restrained: core.restrained,
        contacts: core.contacts.clone(),
        at_most: core.at_most,
        less: core.less,
        turned_down: core.turned_down.clone(),
        staff_reads: core.staff_reads.clone(),
        left_at: core.left_at,
        last_act: core.last_act,
        given: core.given.clone(),
        fate: core.fate,
        reminder: core.reminder,
        holds: core.holds.clone(),
        ..CoreForm::default()
    }
}

// ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────

impl Batch<'_> {
    /// Makes people anew from what is recorded about them.
    pub(crate) fn replay(&mut self, recorded: Vec<Recorded>) -> Result<(), VaultError> {
        recorded.into_iter().try_for_each(|recorded| self.replay_person(recorded))
    }

    fn replay_person(&mut self, recorded: Recorded) -> Result<(), VaultError> {
        let carried = carried(&recorded);
        let Recorded { id, core, leads, ledger, events, facts, decisions } = recorded;
        self.create_as(id, PersonKey::generate(self.house.rng()), carried);
        self.with(&id, |batch, open| {
            for entry in ledger {
                batch.apply_answer(open, entry)?;
            }
            for (event, not_for) in events {
                batch.replay_event(open, event, &not_for)?;
            }
            for fact in &facts {
                batch.put_fact(open, fact)?;
            }
            open.core.suppressed = core.suppressed;
            for decision in decisions {
                batch.replay_decision(open, decision, &core)?;
            }
            let ties: Vec<JoinForm> = core.joins.clone();
            open.core.joins = ties;
            // Taps that were no answer moved it as well.
            open.core.consent_seq = core.consent_seq;
            // What came again is no new act of theirs.
            open.core.last_act = core.last_act;
            // Whoever gave an address first keeps it, and that is not always who is first here.
            open.core.identifiers.clone_from(&core.identifiers);
            for (form, leads) in core.identifiers.iter().zip(leads) {
                let Some(identifier) = House::identifier(form) else { continue };
                let row = batch.house.index_row(&identifier);
                if leads {
                    batch.put(Keyspace::Index, row, id.as_bytes().to_vec());
                } else if batch.find(&identifier)? == Some(id) {
                    batch.delete(Keyspace::Index, row);
                }
            }
            Ok(())
        })
        .map(|_| ())
    }

    fn replay_event(&mut self, open: &mut Open, event: Event, not_for: &[PurposeName]) -> Result<(), VaultError> {
        let promise = std::sync::Arc::clone(&self.house.household.promise);
        let Some(plan) = promise.events.get(&event.name) else { return Ok(()) };
        self.store_event(open, plan, event, not_for).map(|_| ())
    }

    fn replay_decision(
        &mut self,
        open: &mut Open,
        mut decision: DecisionForm,
        core: &CoreForm,
    ) -> Result<(), VaultError> {
        let is_over = core.decided.iter().find(|known| known.decision == decision.id).and_then(|known| known.is_over);
        decision.proof = None;
        decision.proof = Some(self.leaf("decision", &format::encode(&decision)));
        self.put_decided(open, &decision, is_over)
    }
}

/// The house's own records, through its own commands.
fn replay_house(snapshot: &Snapshot, empty: &Vault) -> Result<(), VaultError> {
    let (house, store) = (&*snapshot.house, snapshot.store());
    empty.put_items(snapshot.items()?)?.wait()?;
    let mut sales = Vec::new();
    for row in store.scan(Keyspace::House, House::SALES) {
        let (key, sealed) = row?;
        let form: SaleForm = format::decode("house", &house.open_house(RecordKind::Sale, &key, &sealed)?)?;
        sales.extend(sale(&key, &form)?.filter(|_| state_hash::is_kept(snapshot, &form)));
    }
    for some in sales.chunks(PEOPLE_PER_BATCH) {
        empty.put_anonymous_sales(some.to_vec())?.wait()?;
    }
    for row in store.scan(Keyspace::House, House::REVIEWS) {
        let (key, sealed) = row?;
        let form: ReviewForm = format::decode("house", &house.open_house(RecordKind::Review, &key, &sealed)?)?;
        let artefact = ArtefactId::from_bytes(*form.artefact);
        let review = Review { artefact, staff: form.staff, role: form.role, at: At::from_ms(form.at) };
        empty.review(review)?.wait()?;
    }
    for (name, bytes) in snapshot.house_records("", usize::MAX)? {
        if state_hash::is_knowledge(&name) {
            empty.put_house_record(&name, Some(bytes))?.wait()?;
        }
    }
    Ok(())
}

fn sale(key: &[u8], form: &SaleForm) -> Result<Option<AnonymousSale>, VaultError> {
    let Some((invoice, row)) = key.strip_prefix(House::SALES).and_then(|rest| rest.split_first_chunk::<16>()) else {
        return Ok(None);
    };
    let (Some(row), Ok(event)) = (row.first_chunk::<8>(), EventName::parse(&form.event)) else { return Ok(None) };
    Ok(Some(AnonymousSale {
        row: u64::from_be_bytes(*row),
        invoice: *invoice,
        occurred_at: model::Day::from_number(form.day).start(),
        line: form.line.line()?,
        event,
    }))
}
