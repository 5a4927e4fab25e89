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
use crate::record::Swept;
use crate::retention::{self, MARK_DAYS, UNDO_DAYS, USE_DAYS};
use crate::seal::RecordKind;
use model::{At, Day, ProfileId};
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
        self.turning = Some(Turning { day: today, due, replies });
        true
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

    /// Removes what has expired; one batch per some hundred people.
    pub(crate) fn sweep(&mut self) -> Result<Swept, VaultError> {
        self.turn_whole()?;
        let mut swept = Swept::default();
        let people: Vec<ProfileId> = self.house.people();
        for some in people.chunks(PEOPLE_PER_BATCH) {
            swept.n_records +=
                self.write(|batch| some.iter().try_fold(0u64, |n, id| Ok(n.saturating_add(batch.sweep_person(id)?))))?;
        }
        swept.n_records += self.write(|batch| batch.sweep_house())?;
        self.prune_narrowings()?;
        swept.n_day_secrets = self.write(|batch| batch.sweep_days())?;
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
        let promise = Arc::clone(&house.household.promise);
        let columns = house.household.projection.columns();
        for class in open.key.classes().collect::<Vec<_>>() {
            open.class(house, &*store, class)?.set_buckets(columns, &[]);
            open.changed.insert(class);
        }
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, value) = row?;
            let Some(stored) = open.open_event(house, &key, &value)? else { continue };
            let Some(retention) = promise.retention_classes().get(&stored.class) else { continue };
            let first = retention::first_day(retention, &open.core, self.now.day());
            if !house.is_kept_out(&stored.event.name, &stored.not_for) {
                house.fold(open, &*store, stored.class, first, None, Some(&stored.event))?;
            }
        }
        open.folded = true;
        Ok(())
    }

    fn sweep_person(&mut self, id: &ProfileId) -> Result<u64, VaultError> {
        Ok(self.with(id, |batch, open| batch.sweep_open(open))?.unwrap_or(0))
    }

    fn sweep_open(&mut self, open: &mut Open) -> Result<u64, VaultError> {
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
        Ok(n_records)
    }

    /// Whether every purpose of a class was taken back at least a week ago. One that is not declared (any more, or as it
    /// was) has no reader and stays: a changed promise closes, and destroys nothing by itself.
    fn is_over(&self, open: &Open, class: RetentionId) -> Result<bool, VaultError> {
        let promise = &self.house.household.promise;
        let Some(retention) = promise.retention_classes().get(&class) else { return Ok(false) };
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
        let promise = Arc::clone(&self.house.household.promise);
        let Some(retention) = promise.retention_classes().get(&class) else { return Ok(0) };
        let house = self.house;
        let (core, today, now) = (open.core.clone(), self.now.day(), self.now);
        let record = open.class(house, &*self.store, class)?;
        let before = (record.facts.len(), record.n_buckets());
        let mut kept = Vec::new();
        for form in std::mem::take(&mut record.facts) {
            let fact = form.fact()?;
            if retention::ends_at(&promise, retention, &core, &fact) > now {
                kept.push(form);
            }
        }
        record.facts = kept;
        let columns = house.household.projection.columns();
        let first = retention::first_day(retention, &core, today);
        let mut buckets = record.buckets(columns);
        buckets.retain(|bucket| bucket.day >= first);
        record.set_buckets(columns, &buckets);
        let after = (record.facts.len(), record.n_buckets());
        if before != after {
            open.changed.insert(class);
        }
        Ok(before.0.saturating_sub(after.0).try_into().unwrap_or(0))
    }

    /// Deletes events that have expired or whose class is closed for ever; not those of a class that is not declared.
    pub(super) fn sweep_events(&mut self, open: &Open) -> Result<u64, VaultError> {
        let (store, promise) = (Arc::clone(&self.store), Arc::clone(&self.house.household.promise));
        let mut n_records = 0u64;
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, value) = row?;
            let expired = match open.open_event(self.house, &key, &value)? {
                None => true,
                Some(stored) if !promise.retention_classes().contains_key(&stored.class) => false,
                Some(stored) => self.house.event_expires_at(&open.core, &stored) <= self.now,
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
            let decision: format::DecisionForm = format::decode("decisions", &plain)?;
            if decision.at < oldest {
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
        let promise = Arc::clone(&self.house.household.promise);
        let today = self.now.day();
        let mut ops: Vec<Op> = Vec::new();
        let mut n_secrets = 0usize;
        for (class, retention) in promise.retention_classes() {
            if retention.since == Since::Receipt {
                let first_kept = today.plus(1_i32.saturating_sub(retention.keep_days));
                n_secrets = n_secrets.saturating_add(self.house.destroy_days_before(*class, first_kept, &mut ops));
            }
        }
        self.ops().extend(ops);
        Ok(u64::try_from(n_secrets).unwrap_or(u64::MAX))
    }
}
