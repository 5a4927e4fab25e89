//! Dates that have passed: values that change without an event follow at once; what has outlived itself is removed, and
//! day secrets are destroyed. Reading never waits for this: expiry is true at read time.

use super::batch::{Batch, Values};
use super::{Committer, Reply, uses};
use crate::VaultError;
use crate::alarm::ALARM_DAYS;
use crate::engine::{EngineSnapshot, Keyspace, Op};
use crate::format::{self, RecoveryForm, SaleForm, UseRunForm};
use crate::house::House;
use crate::person::{self, Open};
use crate::record::{Erasure, Swept};
use crate::retention::{self, MARK_DAYS, UNDO_DAYS, USE_DAYS};
use crate::seal::RecordKind;
use crate::state::Person;
use model::{At, Day, Fact, ProfileId, Value};
use promise::{RetentionId, Since};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Counts of what became of events: `outcome/<day>/<source>/<event>/<word>`.
pub(super) const OUTCOMES: &str = "outcome/";

/// How long they are kept, in days.
const OUTCOME_DAYS: i32 = 30;

/// What a use run still says of anybody.
enum Left {
    All,
    Some(UseRunForm),
    Nobody,
}

/// Takes out the numbers of nobody: what an erasure left behind in the lists of who was read.
fn of_the_living(run: &UseRunForm, known: &RoaringBitmap) -> Result<Left, VaultError> {
    let read = |bytes: &[u8]| {
        RoaringBitmap::deserialize_from(bytes).map_err(|error| format::damaged("house", &error.to_string()))
    };
    let people = read(&run.people)?;
    if people.is_subset(known) {
        return Ok(Left::All);
    }
    let people = people & known;
    if people.is_empty() {
        return Ok(Left::Nobody);
    }
    let mut next = run.clone();
    next.people = uses::serialised(&people)?;
    for (_, apart) in next.apart.iter_mut().flatten() {
        *apart = uses::serialised(&(read(apart)? & known))?.into();
    }
    Ok(Left::Some(next))
}

/// Profiles swept per batch.
const PEOPLE_PER_BATCH: usize = 200;

/// Profiles whose values are moved to a new day in one slice: some milliseconds of work. Few in this room's tests, so that a
/// small house has slices.
const PEOPLE_PER_TURN: usize = if cfg!(test) { 2 } else { 200 };

/// The columns on their way to a day: everybody whose values change by date alone. No store write, values follow from
/// buckets.
pub(crate) struct Turning {
    day: Day,
    due: RoaringBitmap,
    /// They wait until everybody is there.
    replies: Vec<Reply<()>>,
}

impl Committer {
    /// Answers once the columns are those of today.
    pub(crate) fn ask_to_turn(&mut self, reply: Reply<()>) {
        if !self.begin_turn() {
            let _ = reply.send(Ok(()));
        } else if let Some(turning) = &mut self.turning {
            turning.replies.push(reply);
        }
    }

    /// Whether there is, or was, anything to move.
    fn begin_turn(&mut self) -> bool {
        let today = self.house.now().day();
        if self.house.generation().state.day >= today {
            return false;
        }
        let turning = self.turning.take();
        let (mut due, replies) = turning.map_or_else(Default::default, |turning| (turning.due, turning.replies));
        due |= self.wheel.due(today);
        self.turn_dates(today);
        self.turning = Some(Turning { day: today, due, replies });
        true
    }

    /// People's own dates that have come: a yes lapsed, a hold over. At once for everybody, nothing is opened for it.
    fn turn_dates(&mut self, today: Day) {
        let house = Arc::clone(&self.house);
        let (now, promise) = (house.now(), &house.household.promise);
        let generation = house.generation();
        let mut dated = Vec::new();
        for number in &self.dates.due(today) {
            let Some(person) = generation.state.by_number(number) else { continue };
            let next = promise.next_date(&person.wishes.standing, now.max(today.start()));
            self.dates.set(number, next.map(At::day));
            dated.push(number);
        }
        drop(generation);
        house.publish(|generation| {
            for number in dated {
                if let Some(person) = generation.state.by_number(number).cloned() {
                    generation.state.put(person, now);
                }
            }
        });
    }

    /// Notes on which day something changes for a person by date alone.
    pub(super) fn set_dates(&mut self, person: &Person, next_values: Option<Day>) {
        self.wheel.set(person.number, next_values);
        let next = self.house.household.promise.next_date(&person.wishes.standing, self.house.now());
        self.dates.set(person.number, next.map(At::day));
    }

    /// One slice, between the batches of others; false when a shared store cannot be read just now.
    pub(crate) fn turn_on(&mut self) -> bool {
        if self.turning.is_none() && !self.begin_turn() {
            return true;
        }
        let house = Arc::clone(&self.house);
        if !house.generation().store.is_readable() {
            house.publish_reading();
        }
        let Some(mut turning) = self.turning.take() else { return true };
        house.failpoints.passes("turn_slice");
        let some: Vec<u32> = turning.due.iter().take(PEOPLE_PER_TURN).collect();
        let changes: Vec<(u32, Values)> =
            some.iter().filter_map(|number| Some((*number, moved(&house, *number, turning.day)?))).collect();
        if !house.generation().store.is_readable() {
            // Nobody's values are taken away because a server is.
            self.turning = Some(turning);
            return false;
        }
        for (number, (_, _, next)) in &changes {
            self.wheel.set(*number, *next);
        }
        turning.due.remove_smallest(some.len() as u64);
        let is_done = turning.due.is_empty();
        house.publish(|generation| {
            if is_done {
                generation.state.day = turning.day;
            }
            for (number, (values, members, _)) in &changes {
                if generation.state.by_number(*number).is_some() {
                    generation.state.put_values(*number, values, members);
                }
            }
        });
        match is_done {
            true => turning.replies.into_iter().for_each(|reply| drop(reply.send(Ok(())))),
            false => self.turning = Some(turning),
        }
        true
    }

    /// The whole of it, for work that needs today's columns at once.
    pub(crate) fn turn_whole(&mut self) -> Result<(), VaultError> {
        while self.turning.is_some() || self.begin_turn() {
            if !self.turn_on() {
                return Err(VaultError::Away { source: "no reading could be opened".into() });
            }
        }
        Ok(())
    }

    /// Whether the secret of a day that is over is still there.
    pub(crate) fn has_days_over(&self) -> bool {
        let days = first_days(&self.house, self.house.now().day());
        days.into_iter().any(|(class, first_kept)| self.house.has_days_before(class, first_kept))
    }

    /// Removes what has expired; one batch per some hundred people.
    pub(crate) fn sweep(&mut self) -> Result<Swept, VaultError> {
        let began_at = self.house.now();
        self.turn_whole()?;
        let (mut swept, mut fated) = (Swept::default(), Fated::default());
        let people: Vec<ProfileId> = self.house.people();
        for some in people.chunks(PEOPLE_PER_BATCH) {
            swept.n_records += self.write(|batch| {
                some.iter().try_fold(0u64, |n, id| Ok(n.saturating_add(batch.sweep_person(id, &mut fated)?)))
            })?;
        }
        swept.n_records += self.write(|batch| batch.sweep_house())?;
        self.prune_narrowings()?;
        swept.n_day_secrets = self.write(|batch| batch.sweep_days())?;
        for id in &fated.to_erase {
            // A day with the recovery key, as for anybody who did not say "now": nobody typed this one.
            self.house.begin_erasure(*id, Erasure::WithinADay)?;
        }
        self.drain_erasures()?;
        (swept.n_lapsed, swept.n_reminded, swept.n_left) =
            (fated.n_lapsed, fated.n_reminded, u64::try_from(fated.to_erase.len()).unwrap_or(u64::MAX));
        self.write(|batch| batch.note_swept(began_at))?;
        Ok(swept)
    }
}

/// One person's values as of a day; `None` when nothing is to be changed. Who cannot be opened has no values: nobody reads
/// them either.
fn moved(house: &House, number: u32, day: Day) -> Option<Values> {
    let generation = house.generation();
    let person = generation.state.by_number(number)?;
    let open = Open::load(house, &*generation.store, &person.id);
    let values =
        open.and_then(|open| open.map(|mut open| house.values(&mut open, &*generation.store, day)).transpose());
    values.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a profile could not be moved to a new day");
        let projection = &house.household.projection;
        Some((vec![None; projection.columns().len()], vec![false; projection.segments().len()], None))
    })
}

/// The classes whose records end with their day, and the first day of each that is not over.
fn first_days(house: &House, today: Day) -> Vec<(RetentionId, Day)> {
    let terms = house.terms();
    let by_day = terms.classes().iter().filter(|(_, retention)| retention.since == Since::Receipt);
    by_day.map(|(class, retention)| (*class, today.plus(1_i32.saturating_sub(retention.keep_days)))).collect()
}

/// What a sweep finds that people's own dates have brought.
#[derive(Default)]
pub(crate) struct Fated {
    /// Everything about them has ended.
    pub to_erase: Vec<ProfileId>,
    pub n_lapsed: u64,
    pub n_reminded: u64,
}

impl Committer {
    /// What people took back longer ago than any backup that may be restored.
    fn prune_narrowings(&mut self) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let Some(nodes) = house.engine.nodes() else {
            return house.narrowings().prune(&house.keys, house.now()).map(|_| ());
        };
        self.take_turn()?;
        let pruned =
            nodes.narrowings().and_then(|rows| house.narrowings().prune_shared(&house.keys, &rows, house.now()));
        let put = pruned.and_then(|pruned| match pruned {
            Some((head, last, _)) => nodes.set_narrowing_head(head, last),
            None => Ok(()),
        });
        self.give_back();
        put
    }
}

impl Batch<'_> {
    /// Folds a person's events anew: the traits are other ones than the buckets were made for.
    pub(crate) fn refold(&mut self, id: &ProfileId) -> Result<(), VaultError> {
        self.with(id, |batch, open| batch.refold_open(open)).map(|_| ())
    }

    pub(super) fn refold_open(&mut self, open: &mut Open) -> Result<(), VaultError> {
        let (house, store) = (self.house, Arc::clone(&self.store));
        let (promise, terms) = (Arc::clone(&house.household.promise), house.terms());
        let columns = house.household.projection.columns();
        for class in open.key.classes().collect::<Vec<_>>() {
            open.class(house, &*store, class)?.set_buckets(columns, &[]);
            open.changed.insert(class);
        }
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, value) = row?;
            let Some(stored) = open.open_event(house, &key, &value)? else { continue };
            let Some(plan) = promise.events.get(&stored.event.name) else { continue };
            let narrowed = plan.retention.purposes.iter().filter(|purpose| !terms.event_is_for(&stored, purpose));
            let not_for: Vec<_> = narrowed.chain(&stored.not_for).cloned().collect();
            if !house.is_kept_out(&stored.event.name, &not_for) {
                house.fold(open, &*store, stored.class, self.now.day(), None, Some(&stored.event))?;
            }
        }
        open.folded = true;
        Ok(())
    }

    fn sweep_person(&mut self, id: &ProfileId, fated: &mut Fated) -> Result<u64, VaultError> {
        Ok(self.with(id, |batch, open| batch.sweep_open(open, fated))?.unwrap_or(0))
    }

    fn sweep_open(&mut self, open: &mut Open, fated: &mut Fated) -> Result<u64, VaultError> {
        let n_before = fated.to_erase.len();
        let n_lapsed = self.settle_leaving(open, fated)?;
        fated.n_lapsed = fated.n_lapsed.saturating_add(n_lapsed);
        if fated.to_erase.len() > n_before {
            return Ok(0);
        }
        if let Some(holds) = &mut open.core.holds {
            holds.retain(|hold| Day::from_number(hold.until).start() > self.now);
        }
        if self.remind_if_due(open)? {
            fated.n_reminded = fated.n_reminded.saturating_add(1);
        }
        self.keep_held(open)?;
        if open.core.held(self.now).is_some_and(|held| held.is_all()) {
            return Ok(0);
        }
        let mut n_records = 0u64;
        for class in open.key.classes().collect::<Vec<_>>() {
            if self.is_over(open, class)? {
                open.drop_class(class);
                self.forgets();
                n_records = n_records.saturating_add(1);
            } else {
                n_records = n_records.saturating_add(self.sweep_class(open, class)?);
            }
        }
        n_records = n_records.saturating_add(self.sweep_events(open)?);
        n_records = n_records.saturating_add(self.sweep_decisions(open)?);
        let day = self.now.day().number();
        open.core.uses.retain(|known| day.saturating_sub(known.day) < USE_DAYS);
        open.core.decided.retain(|known| known.at >= retention::oldest_decision(self.now).ms());
        let window = self.house.household.promise.cap.per_days;
        let oldest = self.now.plus_days(window.saturating_neg()).ms();
        open.core.contacts.retain(|contact| contact.at > oldest);
        if self.has_outlived_the_minimum(open)? {
            fated.to_erase.push(open.id);
        }
        Ok(n_records)
    }

    /// Whether every purpose of a class was taken back at least a week ago. One that is not declared (any more, or as it
    /// was) has no reader and stays: a changed promise closes, and destroys nothing by itself.
    fn is_over(&self, open: &Open, class: RetentionId) -> Result<bool, VaultError> {
        if open.core.held(self.now).is_some() {
            return Ok(false);
        }
        let terms = self.house.terms();
        let Some(retention) = terms.class(class) else { return Ok(false) };
        let standing = open.core.standing()?;
        let closed_before = self.now.plus_days(-UNDO_DAYS);
        let mut n_closed = 0usize;
        for purpose in &retention.purposes {
            match standing.relations.get(purpose) {
                Some(relation) if relation.status.is_given() => return Ok(false),
                Some(relation) if relation.at > closed_before => return Ok(false),
                Some(_) => n_closed = n_closed.saturating_add(1),
                None => {}
            }
        }
        Ok(n_closed > 0)
    }

    pub(super) fn sweep_class(&mut self, open: &mut Open, class: RetentionId) -> Result<u64, VaultError> {
        let house = self.house;
        let terms = house.terms();
        if terms.class(class).is_none() {
            return Ok(0);
        }
        let (clocks, held, today, now) = (house.clocks(&open.core), open.core.held(self.now), self.now.day(), self.now);
        let is_held = |name: &str| held.as_ref().is_some_and(|held| held.covers(name));
        let record = open.class(house, &*self.store, class)?;
        let before = (record.facts.len(), record.n_buckets());
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for form in std::mem::take(&mut record.facts) {
            let fact = form.fact()?;
            if is_held(fact.name.as_str()) || terms.fact_ends(&clocks, &fact).is_none_or(|ends| ends > now) {
                kept.push(form);
            } else {
                gone.push(fact);
            }
        }
        record.facts = kept;
        let columns = house.household.projection.columns();
        let mut buckets = record.buckets(columns);
        let held_buckets: Vec<_> = buckets
            .iter()
            .filter(|bucket| held.as_ref().is_some_and(|held| held.covers_column(columns, bucket.column)))
            .copied()
            .collect();
        terms.retain_living(class, &clocks, today, &mut buckets);
        buckets.extend(held_buckets);
        buckets.sort_by_key(|bucket| (bucket.column, bucket.day));
        buckets.dedup();
        record.set_buckets(columns, &buckets);
        let after = (record.facts.len(), record.n_buckets());
        if before != after {
            open.changed.insert(class);
        }
        for fact in gone {
            self.forget_address(open, &fact)?;
        }
        Ok(before.0.saturating_sub(after.0).try_into().unwrap_or(0))
    }

    /// An address that has ended leads to nobody any more, and is named nowhere, unless another field has it too.
    fn forget_address(&mut self, open: &mut Open, gone: &Fact) -> Result<(), VaultError> {
        let Value::Text(_) = &gone.value else { return Ok(()) };
        let Some(address) = super::address(model::Kind::Email, &gone.value) else { return Ok(()) };
        if !open.core.identifiers.contains(&House::identifier_form(&address)) {
            return Ok(());
        }
        let (house, store) = (self.house, Arc::clone(&self.store));
        if !house.address_lives(open, &*store, &address, self.now)? {
            self.remove_identifier(open, &address)?;
        }
        Ok(())
    }

    /// Deletes events that have expired or whose class is closed for ever; what is not declared any more ends by the words
    /// it came under. Not those of a class that nobody remembers, nor what is held.
    pub(super) fn sweep_events(&mut self, open: &Open) -> Result<u64, VaultError> {
        let (store, terms) = (Arc::clone(&self.store), self.house.terms());
        let (clocks, held) = (self.house.clocks(&open.core), open.core.held(self.now));
        let mut n_records = 0u64;
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, value) = row?;
            let expired = match open.open_event(self.house, &key, &value)? {
                None => true,
                Some(stored) if held.as_ref().is_some_and(|held| held.covers(stored.event.name.as_str())) => false,
                Some(stored) => terms.event_ends(&clocks, &stored).is_some_and(|ends| ends <= self.now),
            };
            if expired {
                self.change(Keyspace::Events, key, None, Some(Some(value)));
                n_records = n_records.saturating_add(1);
            }
        }
        Ok(n_records)
    }

    fn sweep_decisions(&mut self, open: &Open) -> Result<u64, VaultError> {
        let store = Arc::clone(&self.store);
        let oldest = retention::oldest_decision(self.now).ms();
        let mut n_records = 0u64;
        for row in store.scan(Keyspace::Decisions, open.id.as_bytes()) {
            let (key, sealed) = row?;
            let plain = open.open_own(self.house, RecordKind::Decision, person::tail(&key), &sealed)?;
            let mut decision: format::DecisionForm = format::decode("decisions", &plain)?;
            if decision.at >= oldest {
                let stripped = decision.trace.strip(self.now);
                if stripped.pick {
                    decision.item = None;
                }
                if stripped.any {
                    self.put_decision(open, &decision)?;
                }
            } else {
                if let Some(message) = &decision.message {
                    self.delete_outbox(message);
                }
                let id = model::DecisionId::from_bytes(*decision.id);
                self.delete(Keyspace::Index, House::decision_row(&id));
                self.delete(Keyspace::Decisions, key);
                n_records = n_records.saturating_add(1);
            }
        }
        Ok(n_records)
    }

    /// Marks, sales of nobody, use runs, and keys that waited a day with the recovery key.
    fn sweep_house(&mut self) -> Result<u64, VaultError> {
        let store: Arc<dyn EngineSnapshot> = Arc::clone(&self.store);
        let promise = Arc::clone(&self.house.household.promise);
        let today = self.now.day();
        let mut gone: Vec<(Keyspace, Vec<u8>)> = Vec::new();
        for row in store.scan(Keyspace::Marks, &[]) {
            let (key, value) = row?;
            let day = <[u8; 4]>::try_from(value).map_or(i32::MIN, i32::from_be_bytes);
            if today.number().saturating_sub(day) >= MARK_DAYS {
                gone.push((Keyspace::Marks, key));
            }
        }
        for row in store.scan(Keyspace::House, House::SALES) {
            let (key, sealed) = row?;
            let sale: SaleForm = format::decode("house", &self.house.open_house(RecordKind::Sale, &key, &sealed)?)?;
            let plan = promise.events.iter().find(|(name, _)| name.as_str() == sale.event);
            let sold_at = Day::from_number(sale.day).start();
            if plan.is_some_and(|(_, plan)| plan.retention.expires_at(sold_at) <= self.now) {
                gone.push((Keyspace::House, key));
            }
        }
        let known = self.numbers()?;
        for row in store.scan(Keyspace::House, House::USES) {
            let (key, sealed) = row?;
            let run: UseRunForm = format::decode("house", &self.house.open_house(RecordKind::UseRun, &key, &sealed)?)?;
            if today.number().saturating_sub(run.day) >= USE_DAYS {
                gone.push((Keyspace::House, key));
                continue;
            }
            match of_the_living(&run, &known)? {
                Left::All => {}
                Left::Some(run) => self.put_house(RecordKind::UseRun, key, &format::encode(&run))?,
                Left::Nobody => gone.push((Keyspace::House, key)),
            }
        }
        let first_counted = today.plus(-OUTCOME_DAYS).to_string();
        let outcomes = House::record_row(OUTCOMES);
        for row in store.scan(Keyspace::House, &outcomes) {
            let (key, _) = row?;
            // `outcome/<day>/…`, and days as text are in the order of time.
            if key.strip_prefix(outcomes.as_slice()).is_some_and(|name| name < first_counted.as_bytes()) {
                gone.push((Keyspace::House, key));
            }
        }
        for row in store.scan(Keyspace::House, House::RECOVERIES) {
            let (key, value) = row?;
            let form: RecoveryForm = format::decode("house", &value)?;
            if At::from_ms(form.until) <= self.now {
                if let Some(id) = House::recovery_of(&key) {
                    self.delete_rows(&id)?;
                }
                gone.push((Keyspace::House, key));
                self.forgets();
            }
        }
        let oldest = self.now.plus_days(-ALARM_DAYS).ms();
        self.house.alarms().retain(|id, form| {
            let is_over = form.acknowledged.as_ref().is_some_and(|looked| looked.at < oldest);
            if is_over {
                gone.push((Keyspace::House, House::alarm_row(id)));
            }
            !is_over
        });
        let n_records = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        gone.into_iter().for_each(|(keyspace, key)| self.delete(keyspace, key));
        Ok(n_records)
    }

    /// Person numbers that somebody has: the living, and those whose erasure can still be taken back.
    fn numbers(&self) -> Result<RoaringBitmap, VaultError> {
        let mut numbers = RoaringBitmap::clone(self.house.generation().state.everybody());
        for row in self.store.scan(Keyspace::House, House::RECOVERIES) {
            let (key, _) = row?;
            let Some(id) = House::recovery_of(&key) else { continue };
            match self.house.waiting_person(&*self.store, &id) {
                Ok(waiting) => numbers.extend(waiting.map(|waiting| waiting.open.core.number)),
                // It can be taken back by nobody, and holds up nothing.
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "somebody who waits cannot be opened");
                }
            }
        }
        Ok(numbers)
    }

    /// One destroyed secret closes the records of everybody that are of that class and day.
    fn sweep_days(&mut self) -> Result<u64, VaultError> {
        let mut ops: Vec<Op> = Vec::new();
        let mut n_secrets = 0usize;
        for (class, first_kept) in first_days(self.house, self.now.day()) {
            n_secrets = n_secrets.saturating_add(self.house.destroy_days_before(class, first_kept, &mut ops));
        }
        self.ops().extend(ops);
        Ok(u64::try_from(n_secrets).unwrap_or(u64::MAX))
    }
}
