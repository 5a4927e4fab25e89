//! One consistent reading: engine snapshot + columns + bitmaps of the same generation.
//!
//! It opens no value about a person: that takes a permit, and this is its only maker.

use crate::VaultError;
use crate::alarm::Alarm;
use crate::commit::queue::Queue;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::format::{self, AlarmForm, ItemForm, LogForm, OutboxForm, SaleForm};
use crate::house::House;
use crate::permit::Permit;
use crate::person::Open;
use crate::record::{
    AnonymousSales, ArtefactState, CampaignNumbers, DecisionView, Identifier, IdentifierKind, Item, LogEntryView,
    OutboxEntry, TokenTarget,
};
use crate::retention::{WHY_DAYS, oldest_decision};
use crate::review;
use crate::seal::RecordKind;
use crate::set::PermitSet;
use crate::state::Generation;
use crate::statement;
use crate::unwritten::{SetUse, Slot};
use model::{AlarmId, ArtefactId, At, Day, DecisionId, ItemCode, MessageId, ProfileId, RequestId, SegmentName};
use promise::{Artefact, ArtefactKind, HoldsOn, Promise, Refusal, RefusalReason, Verdict};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One consistent reading of the house. Consistent, not recent: acting needs a commit with the `consent_seq` seen here.
pub struct Snapshot {
    pub(crate) house: Arc<House>,
    pub(crate) generation: Arc<Generation>,
    pub(crate) queue: Queue,
    now: At,
    /// Its trait values and segments are those of today. Not so for a moment after midnight, for whoever does not wait.
    is_of_today: bool,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot(batch {}, {})", self.generation.batch, self.now)
    }
}

impl Snapshot {
    pub(crate) fn new(house: Arc<House>, queue: Queue) -> Self {
        let (now, generation) = (house.now(), house.generation());
        let is_of_today = generation.state.day >= now.day();
        Self { house, generation, queue, now, is_of_today }
    }

    pub(crate) fn store(&self) -> &dyn EngineSnapshot {
        &*self.generation.store
    }

    /// A trait value out of the columns. Values of another day are no values: missing means no.
    pub(crate) fn value(&self, column: usize, number: u32) -> Option<i64> {
        self.generation.state.value(column, number).filter(|_| self.is_of_today)
    }

    /// The members of a segment; nobody as long as they are those of another day.
    pub(crate) fn segment(&self, at: usize) -> Option<&RoaringBitmap> {
        self.generation.state.segment(at).filter(|_| self.is_of_today)
    }

    /// The day that trait values are as of.
    pub(crate) fn columns_day(&self) -> Day {
        if self.is_of_today { self.generation.state.day } else { self.now.day() }
    }

    /// Whether trait values and segments are those of today. When they are not, a person's own are worked out one by one.
    pub(crate) const fn is_of_today(&self) -> bool {
        self.is_of_today
    }

    /// When it was opened; every judgement in it uses this instant.
    #[must_use]
    pub fn now(&self) -> At {
        self.now
    }

    /// Which holds are on, as the notice tells it; `None` = none is.
    #[must_use]
    pub fn holds_on(&self) -> Option<HoldsOn> {
        let state = &self.generation.state;
        let of = |number| state.by_number(number)?.wishes.standing.any_held_until(self.now);
        let until = state.held().iter().filter_map(of).max()?;
        Some(HoldsOn { n_people: state.held().len(), until: until.day() })
    }

    /// The promise in force.
    #[must_use]
    pub fn promise(&self) -> &Promise {
        &self.house.household.promise
    }

    // ── permits ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// The only maker of a permit: loads artefact, review, consent, notice and clock itself.
    ///
    /// # Errors
    /// The refusal.
    pub fn permit(&self, person: ProfileId, artefact: ArtefactId) -> Result<Permit<'_>, Refusal> {
        let artefact = self.reviewed(artefact)?;
        let person = self.generation.state.person(&person);
        let person = person.ok_or(Refusal::because(RefusalReason::NoSuchPerson))?;
        match promise::judge(self.promise(), artefact, &person.wishes.standing, self.now) {
            Verdict::Yes { level } => {
                let slot = self.place(artefact, crate::unwritten::Unwritten::place)?;
                Ok(Permit::new(self, artefact, Arc::clone(person), level, slot))
            }
            Verdict::No(refusal) => Err(refusal),
        }
    }

    /// Everybody about whom this artefact may read, as one set.
    ///
    /// # Errors
    /// The refusal when the artefact is unknown or not reviewed.
    pub fn permit_set(&self, artefact: ArtefactId) -> Result<PermitSet<'_>, Refusal> {
        let artefact = self.reviewed(artefact)?;
        let slot = self.place(artefact, crate::unwritten::Unwritten::set_place)?;
        Ok(PermitSet::new(self, artefact, slot))
    }

    /// A place where a permit will say what it read; none is needed for people's own pages.
    fn place<'s>(
        &'s self,
        artefact: &Artefact,
        kept: impl FnOnce(&'s crate::unwritten::Unwritten) -> Option<Slot<'s>>,
    ) -> Result<Option<Slot<'s>>, Refusal> {
        if artefact.is_portal() {
            return Ok(None);
        }
        kept(&self.house.unwritten).map(Some).ok_or(Refusal::because(RefusalReason::NotCounted))
    }

    /// Says what was read of many without a set.
    pub(crate) fn leave_run(&self, slot: &Slot<'_>, artefact: &Artefact, fields: BTreeMap<String, RoaringBitmap>) {
        let people = fields.values().fold(RoaringBitmap::new(), |all, some| all | some);
        let run = SetUse {
            artefact: artefact.id,
            name: artefact.name.clone(),
            purpose: artefact.terms.purpose.as_ref().map(|purpose| purpose.as_str().to_owned()),
            at: self.now,
            people,
            fields,
        };
        if slot.leave_run(run, BTreeSet::new()) {
            self.queue.wake();
        }
    }

    /// An artefact of the promise with enough reviews on record.
    pub(crate) fn reviewed(&self, artefact: ArtefactId) -> Result<&Artefact, Refusal> {
        let artefact = self.promise().artefacts().get(&artefact);
        let artefact = artefact.ok_or(Refusal::because(RefusalReason::UnknownArtefact))?;
        if self.is_reviewed(artefact) { Ok(artefact) } else { Err(Refusal::because(RefusalReason::NotReviewed)) }
    }

    /// Whether enough different people reviewed exactly this artefact (an import mapping, say).
    #[must_use]
    pub fn is_reviewed(&self, artefact: &Artefact) -> bool {
        let reviews = self.house.reviews();
        review::is_effective(artefact, reviews.get(&artefact.id).map(Vec::as_slice).unwrap_or_default())
    }

    /// The three counts of a segment with their drop-offs; numbers below the smallest group are not told.
    ///
    /// # Errors
    /// The refusal when the segment is unknown or not reviewed.
    pub fn segment_count(&self, segment: &SegmentName) -> Result<SegmentCount, Refusal> {
        crate::segment::count(self, segment)
    }

    // ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Looks a proven identifier up in the blind index.
    #[must_use]
    pub fn find(&self, identifier: &Identifier) -> Option<ProfileId> {
        let row = logged(self.store().get(Keyspace::Index, &self.house.index_row(identifier)))?;
        let id = ProfileId::from_bytes(row.try_into().ok()?);
        let person = self.generation.state.person(&id)?;
        if self.promise().is_gone(&person.wishes.standing, self.now) {
            return None;
        }
        // An address leads to nobody any more from the instant on which it ends.
        if identifier.kind == IdentifierKind::Email {
            let mut open = logged(Open::load(&self.house, self.store(), &id))?;
            logged(self.house.address_lives(&mut open, self.store(), identifier, self.now).map(Some))
                .filter(|lives| *lives)?;
        }
        Some(person.id)
    }

    /// Whose decision this is; `None` when it is unknown or its person was erased.
    #[must_use]
    pub fn person_of(&self, decision: DecisionId) -> Option<ProfileId> {
        let row = logged(self.store().get(Keyspace::Index, &House::decision_row(&decision)))?;
        let id = ProfileId::from_bytes(row.try_into().ok()?);
        self.generation.state.person(&id).map(|person| person.id)
    }

    /// What a message token opens, if it still does.
    #[must_use]
    pub fn token(&self, token: &str) -> Option<TokenTarget> {
        let row = House::token_row(&self.house.blind("message", token));
        let row = logged(self.store().get(Keyspace::Index, &row))?;
        let (person, rest) = row.split_first_chunk::<16>()?;
        let (decision, rest) = rest.split_first_chunk::<16>()?;
        let (artefact, made_at) = rest.split_first_chunk::<32>()?;
        let made_at = At::from_ms(i64::from_be_bytes(made_at.try_into().ok()?));
        let person = self.generation.state.person(&ProfileId::from_bytes(*person))?.id;
        let made_for = DecisionId::from_bytes(*decision);
        let decision = (made_at.plus_days(WHY_DAYS) > self.now).then_some(made_for);
        Some(TokenTarget { person, decision, made_for, artefact: ArtefactId::from_bytes(*artefact) })
    }

    // ── catalogue and sales of nobody ─────────────────────────────────────────────────────────────────────────────

    /// A catalogue entry.
    #[must_use]
    pub fn item(&self, code: &ItemCode) -> Option<Item> {
        let key = House::item_row(code);
        let row = logged(self.store().get(Keyspace::House, &key))?;
        logged(self.read_item(&key, &row).map(Some))
    }

    fn read_item(&self, key: &[u8], row: &[u8]) -> Result<Item, VaultError> {
        format::decode::<ItemForm>("house", &self.house.open_house(RecordKind::House, key, row)?)?.item()
    }

    /// The whole catalogue, by code.
    ///
    /// # Errors
    /// [`VaultError`] when the store cannot be read.
    pub fn items(&self) -> Result<Vec<Item>, VaultError> {
        let rows = self.store().scan(Keyspace::House, House::ITEMS);
        rows.map(|row| row.and_then(|(key, row)| self.read_item(&key, &row))).collect()
    }

    /// Totals of sales of nobody that may still be kept.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn anonymous_sales(&self) -> Result<AnonymousSales, VaultError> {
        let mut total = AnonymousSales::default();
        for row in self.store().scan(Keyspace::House, House::SALES) {
            let (key, sealed) = row?;
            let form: SaleForm = format::decode("house", &self.house.open_house(RecordKind::Sale, &key, &sealed)?)?;
            let plan = self.promise().events.iter().find(|(name, _)| name.as_str() == form.event);
            let sold_at = model::Day::from_number(form.day).start();
            if plan.is_some_and(|(_, plan)| plan.retention.expires_at(sold_at) > self.now) {
                let line = form.line.line()?;
                let amount = line.price.times(i64::from(line.quantity)).map_or(0, |amount| amount.micros);
                total.n_lines = total.n_lines.saturating_add(1);
                total.micros = total.micros.saturating_add(amount);
            }
        }
        Ok(total)
    }

    // ── house records ─────────────────────────────────────────────────────────────────────────────────────────────

    /// A house record.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn house_record(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.house.house_record(self.store(), name)
    }

    /// House records whose name begins so, in order, at most `limit`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn house_records(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
        let mut records = Vec::new();
        for row in self.store().scan(Keyspace::House, &House::record_row(prefix)).take(limit) {
            let (key, sealed) = row?;
            let name = key.strip_prefix(House::RECORDS).unwrap_or_default().to_vec();
            let name = String::from_utf8(name).map_err(|_| format::damaged("house", "a record without a name"))?;
            records.push((name, self.house.open_house(RecordKind::House, &key, &sealed)?));
        }
        Ok(records)
    }

    /// People whose events were committed after a cursor, at most `limit`, and the new cursor: what `understand` follows.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn touched_since(&self, cursor: u64, limit: usize) -> Result<(Vec<ProfileId>, u64), VaultError> {
        let end = crate::commit::touch_end(self.generation.batch);
        let (mut people, cursor) = self.house.touched_since(cursor, end, limit);
        people.retain(|person| self.generation.state.person(person).is_some());
        Ok((people, cursor))
    }

    // ── outbox ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Messages that are due, oldest first, at most `limit`. Names no person's value.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn outbox_due(&self, limit: usize) -> Result<Vec<OutboxEntry>, VaultError> {
        let mut due = Vec::new();
        for row in self.store().scan(Keyspace::Outbox, &[]) {
            let (key, sealed) = row?;
            let due_at = due_at(&key)?;
            if due_at > self.now || due.len() >= limit {
                break;
            }
            let form = self.read_outbox(&key, &sealed)?;
            let person = ProfileId::from_bytes(*form.person);
            let is_kept = MessageId::from_bytes(*form.message).made_at() >= oldest_decision(self.now);
            if is_kept && self.generation.state.person(&person).is_some() {
                due.push(OutboxEntry {
                    message: MessageId::from_bytes(*form.message),
                    decision: DecisionId::from_bytes(*form.decision),
                    person,
                    artefact: ArtefactId::from_bytes(*form.artefact),
                    n_attempts: form.n_attempts,
                    due_at,
                    is_left_open: form.trying,
                });
            }
        }
        Ok(due)
    }

    fn read_outbox(&self, key: &[u8], sealed: &[u8]) -> Result<OutboxForm, VaultError> {
        format::decode("outbox", &self.house.open_house(RecordKind::Outbox, key, sealed)?)
    }

    /// How many messages are in the outbox, by state word.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn outbox_counts(&self) -> Result<Vec<(&'static str, u64)>, VaultError> {
        let (mut due, mut waiting, mut trying) = (0u64, 0u64, 0u64);
        for row in self.store().scan(Keyspace::Outbox, &[]) {
            let (key, sealed) = row?;
            let n = match self.read_outbox(&key, &sealed)?.trying {
                true => &mut trying,
                false if due_at(&key)? <= self.now => &mut due,
                false => &mut waiting,
            };
            *n = n.saturating_add(1);
        }
        Ok(vec![("due", due), ("waiting", waiting), ("trying", trying)])
    }

    // ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// A decision with its trace, readable under the permit of its own person (the why) or of its own campaign.
    ///
    /// # Errors
    /// The refusal.
    pub fn decision<'p>(&self, permit: &'p Permit<'_>, id: DecisionId) -> Result<Option<DecisionView<'p>>, Refusal> {
        permit.decision(id)
    }

    /// Campaign outcomes as numbers: per arm people, reached, buyers within the goal's days, revenue, refusals by reason.
    ///
    /// # Errors
    /// The refusal.
    pub fn campaign_numbers(&self, artefact: ArtefactId) -> Result<CampaignNumbers, Refusal> {
        let artefact = self.reviewed(artefact)?;
        if artefact.kind != ArtefactKind::Campaign {
            return Err(Refusal::because(RefusalReason::UnknownArtefact));
        }
        crate::lift::numbers(self, artefact)
    }

    // ── the house ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// The receipt of an erasure, with its proof once the log has it. `None` when there is no such request on record yet.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn erasure_receipt(&self, request: RequestId) -> Result<Option<String>, VaultError> {
        let Some(form) = self.house.request(self.store(), &request)? else { return Ok(None) };
        let payload = statement::of_erasure(&self.house, &form)?;
        statement::receipt(&self.house, self.store(), &payload, form.proof.as_ref()).map(Some)
    }

    /// Artefacts with their review state.
    #[must_use]
    pub fn artefacts(&self) -> Vec<ArtefactState> {
        let reviews = self.house.reviews();
        let state = |artefact: &Artefact| {
            let here = reviews.get(&artefact.id).map(Vec::as_slice).unwrap_or_default();
            ArtefactState {
                id: artefact.id,
                kind: artefact.kind,
                name: artefact.name.clone(),
                reviewed: here.iter().map(|review| (review.staff.clone(), At::from_ms(review.at))).collect(),
                is_effective: review::is_effective(artefact, here),
            }
        };
        self.promise().artefacts().values().map(state).collect()
    }

    /// The newest signed checkpoint of the one log (C2SP signed note); `None` before the first batch.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn log_checkpoint(&self) -> Result<Option<String>, VaultError> {
        crate::chain::checkpoint(self.store())
    }

    /// A tile of the one log, or a bundle of its leaves; `None` when the log is not that long.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn log_tile(&self, address: &crate::tile::TileAddress) -> Result<Option<Vec<u8>>, VaultError> {
        crate::tile::read(self.store(), address)
    }

    /// Alarms about reading, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`VaultError`] when one has an unknown kind.
    pub fn alarms(&self, limit: usize) -> Result<Vec<Alarm>, VaultError> {
        let alarms = self.house.alarms();
        let view = |(id, form): (&AlarmId, &AlarmForm)| {
            let acknowledged = form.acknowledged.as_ref();
            Ok(Alarm {
                id: *id,
                at: At::from_ms(form.at),
                kind: crate::commit::uses::kind_of(form.kind)?,
                who: form.who.clone(),
                fields: form.fields.clone(),
                n: form.n,
                usual: form.usual,
                acknowledged: acknowledged.map(|a| (a.staff.clone(), a.reason.clone(), At::from_ms(a.at))),
            })
        };
        alarms.iter().rev().take(limit).map(view).collect()
    }

    /// The newest entries of the one log, newest first, at most `limit`; no personal value in them.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn log_entries(&self, limit: usize) -> Result<Vec<LogEntryView>, VaultError> {
        let mut entries = Vec::new();
        for row in self.store().scan_back(Keyspace::House, House::LOG).take(limit) {
            let (key, row) = row?;
            let form: LogForm = format::decode("house", &row)?;
            let batch = key.strip_prefix(House::LOG).and_then(|rest| rest.first_chunk::<8>());
            let batch = batch.ok_or_else(|| format::damaged("house", "a log entry without its batch"))?;
            entries.push(LogEntryView {
                batch: u64::from_be_bytes(*batch),
                at: At::from_ms(form.at),
                kind: form.kind,
                hash: form.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            });
        }
        Ok(entries)
    }
}

fn due_at(key: &[u8]) -> Result<At, VaultError> {
    let ms = key.first_chunk::<8>().ok_or_else(|| format::damaged("outbox", "a message without its instant"))?;
    Ok(At::from_ms(i64::from_be_bytes(*ms)))
}

/// What cannot be read is not there, and is said in the log.
pub(crate) fn logged<T>(read: Result<Option<T>, VaultError>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a record could not be read");
        None
    })
}

/// Three counts and why they differ. `None` = fewer than the smallest group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentCount {
    /// Match the rule (counted under `counted_for`).
    pub matching: Option<u64>,
    /// May be told: consent, notice, not restrained.
    pub tellable: Option<u64>,
    /// Will hear this week: an address, and room under the cap.
    pub hearing: Option<u64>,
    /// Each drop-off: reason and how many.
    pub dropped: Vec<(RefusalReason, Option<u64>)>,
    /// The floor.
    pub floor: u32,
}
