//! Dates that have passed: values that change without an event follow at once; what has outlived itself is removed, and
//! day secrets are destroyed. Reading never waits for this: expiry is true at read time.

use super::Committer;
use super::batch::{Batch, Values};
use crate::VaultError;
use crate::alarm::ALARM_DAYS;
use crate::engine::{EngineSnapshot, Keyspace, Op};
use crate::format::{self, RecoveryForm, SaleForm, UseRunForm};
use crate::house::House;
use crate::person::{self, Open};
use crate::record::Swept;
use crate::retention::{self, DECISION_DAYS, MARK_DAYS, UNDO_DAYS, USE_DAYS};
use crate::seal::RecordKind;
use crate::state::Wheel;
use model::{At, Day, ProfileId};
use promise::{RetentionId, Since};
use std::sync::Arc;

/// Profiles swept per batch.
const PEOPLE_PER_BATCH: usize = 200;

/// Moves the columns to a day: everybody whose values change by date alone.
pub(crate) fn turn(house: &House, wheel: &mut Wheel, today: Day) -> Result<(), VaultError> {
    let generation = house.generation();
    let store = Arc::clone(&generation.store);
    let mut changes: Vec<(u32, Values)> = Vec::new();
    for number in &wheel.due(today) {
        let Some(person) = generation.state.by_number(number) else { continue };
        let Some(mut open) = Open::load(house, &*store, &person.id)? else { continue };
        changes.push((number, house.values(&mut open, &*store, today)?));
    }
    drop(generation);
    for (number, (_, _, next)) in &changes {
        wheel.set(*number, *next);
    }
    house.publish(|generation| {
        generation.state.day = today;
        for (number, (values, members, _)) in &changes {
            if generation.state.by_number(*number).is_some() {
                generation.state.put_values(*number, values, members);
            }
        }
    });
    Ok(())
}

impl Committer {
    /// Removes what has expired; one batch per some hundred people.
    pub(crate) fn sweep(&mut self) -> Result<Swept, VaultError> {
        self.turn_if_due()?;
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

    fn refold_open(&mut self, open: &mut Open) -> Result<(), VaultError> {
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
        open.core.decided.retain(|known| known.at >= self.now.plus_days(-DECISION_DAYS).ms());
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
        let oldest = self.now.plus_days(-DECISION_DAYS).ms();
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
        for row in store.scan(Keyspace::House, House::USES) {
            let (key, sealed) = row?;
            let run: UseRunForm = format::decode("house", &self.house.open_house(RecordKind::UseRun, &key, &sealed)?)?;
            if today.number().saturating_sub(run.day) >= USE_DAYS {
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
