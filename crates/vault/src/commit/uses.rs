//! Who read what: what readers left unwritten is written into profiles and use runs, counted by the hour, and held
//! against habit; what is out of the ordinary becomes an alarm on record with one entry in the log.
//!
//! It does not judge (`alarm` does), and it stops nobody.

use super::{Batch, Committer};
use crate::VaultError;
use crate::alarm::{AlarmKind, Finding, Habit, judge};
use crate::engine::{EngineSnapshot, Keyspace};
use crate::format::{self, AcknowledgedForm, AlarmForm, CountForm, HabitForm, HourForm, UseForm, UseRunForm};
use crate::house::House;
use crate::person::{Open, Rows};
use crate::retention::USE_DAYS;
use crate::seal::RecordKind;
use crate::unwritten::{Asked, HOUR_MS, PersonKey, PersonUse, SetUse};
use model::{AlarmId, ArtefactId, At, Day};
use promise::{Artefact, ArtefactKind, ReviewRole};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// People whose reads one batch writes down.
const PEOPLE_PER_BATCH: usize = 250;

/// Set-wise reads that one batch writes down.
const RUNS_PER_BATCH: usize = 16;

/// How long counts by the hour may stand in memory alone, in milliseconds. A crash loses that much of what is usual, and
/// nothing of what people are shown.
const HABIT_WRITE_MS: i64 = 60_000;

/// Longest reason of an acknowledgement, in characters.
const REASON_CHARS_MAX: usize = 200;

impl Committer {
    /// Whether readers left something, as a command of the committer's own.
    pub(super) fn is_anything_read(&self) -> bool {
        !self.house.unwritten.is_empty()
    }

    /// Before the end: everything that was read is written down, and what is usual with it.
    pub(super) fn write_down(&mut self) -> Result<(), VaultError> {
        while self.is_anything_read() && !self.house.is_closed() {
            self.flush(Vec::new())?;
        }
        self.house.unwritten.close();
        self.write(|batch| batch.put_habit(true))
    }
}

/// What an artefact is called in counts and alarms: two kinds may share a name.
fn word(kind: ArtefactKind, name: &str) -> String {
    format!("{} {name}", kind.as_str())
}

impl Batch<'_> {
    /// Takes what readers left and writes it down.
    pub(super) fn count_reads(&mut self) {
        let house = self.house;
        let taken = house.unwritten.take(PEOPLE_PER_BATCH, RUNS_PER_BATCH);
        if taken.is_empty() {
            return;
        }
        self.tell(Self::turn_habit);
        for asked in &taken.asked {
            self.note_asked(asked);
        }
        for (key, used) in &taken.people {
            self.tell(|batch| batch.count_person(key, used));
        }
        for run in &taken.runs {
            self.tell(|batch| batch.write_use_run(run));
        }
        self.taken = taken;
    }

    /// Judges what this batch counted, and keeps what is usual. The last thing before a batch is sealed.
    pub(super) fn judge_reads(&mut self) {
        let (house, now) = (self.house, self.now);
        let mut findings = std::mem::take(&mut self.findings);
        findings.extend(judge(&house.habit().readings(now, |artefact| self.reviewed_at(artefact))));
        for finding in findings {
            self.tell(|batch| batch.raise(finding));
        }
        self.tell(|batch| batch.put_habit(false));
    }

    fn artefact_word(&self, id: &ArtefactId) -> Option<String> {
        let artefact = self.house.household.promise.artefacts().get(id)?;
        Some(word(artefact.kind, &artefact.name))
    }

    /// When an artefact was last reviewed as it stands; `None` = built in. One that the promise does not declare (a
    /// mapping) was reviewed in the moment it was used.
    fn reviewed_at(&self, artefact: &str) -> Option<At> {
        let promise = &self.house.household.promise;
        let mut all = promise.artefacts().values();
        let Some(known) = all.find(|known| word(known.kind, &known.name) == artefact) else { return Some(self.now) };
        if known.review == ReviewRole::BuiltIn {
            return None;
        }
        let reviews = self.house.reviews();
        let newest = reviews.get(&known.id).into_iter().flatten().map(|review| review.at).max();
        Some(At::from_ms(newest.unwrap_or(i64::MIN)))
    }

    // ── people ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn note_asked(&mut self, asked: &Asked) {
        if let Some(artefact) = self.artefact_word(&asked.artefact) {
            let is_new = self.house.habit().asked(&artefact, &asked.name, self.now);
            self.habit_grew |= is_new;
        }
    }

    fn count_person(&mut self, key: &PersonKey, used: &PersonUse) -> Result<(), VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let (person, artefact, hour) = key;
        let Some(artefact) = promise.artefacts().get(artefact) else { return Ok(()) };
        let day = At::from_ms(hour.saturating_mul(HOUR_MS)).day();
        let number = self.with(person, |batch, open| {
            batch.count_uses(open, artefact, day, used);
            Ok(open.core.number)
        })?;
        // Somebody who was erased meanwhile is nobody.
        let Some(number) = number else { return Ok(()) };
        let (who, people) = (word(artefact.kind, &artefact.name), RoaringBitmap::from_iter([number]));
        let mut habit = self.house.habit();
        used.read.keys().for_each(|field| habit.read(&who, field, &people));
        Ok(())
    }

    /// So many for the artefact and for each thing read, on the day it was read; older than [`USE_DAYS`] go.
    fn count_uses(&self, open: &mut Open, artefact: &Artefact, day: Day, used: &PersonUse) {
        let (today, day) = (self.now.day().number(), day.number());
        let uses = &mut open.core.uses;
        uses.retain(|known| today.saturating_sub(known.day) < USE_DAYS);
        let purpose = artefact.terms.purpose.as_ref().map(|purpose| purpose.as_str().to_owned());
        let read = used.read.iter().map(|(name, n)| (Some(name.as_str()), *n));
        for (fact, n) in std::iter::once((None, used.n)).chain(read) {
            let is_here = |known: &&mut UseForm| {
                let is_fact = known.fact.as_deref() == fact && known.purpose == purpose;
                known.day == day && known.artefact == artefact.name && is_fact
            };
            match uses.iter_mut().find(is_here) {
                Some(known) => known.n = known.n.saturating_add(n),
                None => uses.push(UseForm {
                    day,
                    artefact: artefact.name.clone(),
                    purpose: purpose.clone(),
                    fact: fact.map(str::to_owned),
                    n,
                }),
            }
        }
    }

    // ── sets ──────────────────────────────────────────────────────────────────────────────────────────────────────

    fn write_use_run(&mut self, run: &SetUse) -> Result<(), VaultError> {
        let mut apart = Vec::new();
        for ((_, people), at) in run.fields.iter().zip(0u32..) {
            if *people != run.people {
                apart.push((at, serialised(people)?.into()));
            }
        }
        let day = run.at.day();
        let form = UseRunForm {
            artefact: run.name.clone(),
            purpose: run.purpose.clone(),
            day: day.number(),
            fields: run.fields.keys().cloned().collect(),
            people: serialised(&run.people)?,
            apart: (!apart.is_empty()).then_some(apart),
        };
        let key = House::use_row(day, self.house.rng().bytes());
        self.put_house(RecordKind::UseRun, key, &format::encode(&form))?;
        let who = self.artefact_word(&run.artefact).unwrap_or_else(|| word(ArtefactKind::Mapping, &run.name));
        let mut habit = self.house.habit();
        for (field, people) in &run.fields {
            self.habit_grew |= habit.asked(&who, field, self.now);
            habit.read(&who, field, people);
        }
        Ok(())
    }

    // ── habit ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Goes to the present hour; what the last one had is written, and hours that are too old go.
    fn turn_habit(&mut self) -> Result<(), VaultError> {
        let (house, now) = (self.house, self.now);
        let is_later = house.habit().running().0 < now.ms().div_euclid(HOUR_MS);
        if is_later {
            self.put_habit(true)?;
        }
        let gone = house.habit().turn(now);
        gone.into_iter().for_each(|hour| self.delete(Keyspace::House, House::hour_row(hour)));
        Ok(())
    }

    /// Writes the running hour, when it is due, and what artefacts are known to ask for, when that grew.
    fn put_habit(&mut self, now: bool) -> Result<(), VaultError> {
        let house = self.house;
        // A house that begins to count says since when with the first thing it writes anyhow.
        let begins = self.is_writing() && std::mem::take(&mut house.habit().is_new);
        if std::mem::take(&mut self.habit_grew) || begins {
            let habit = house.habit();
            let known = habit.known.iter();
            let known = known.map(|(who, (at, fields))| (who.clone(), at.ms(), fields.iter().cloned().collect()));
            let form = HabitForm { since: habit.since.unwrap_or(self.now).ms(), known: known.collect() };
            drop(habit);
            self.put_house(RecordKind::House, House::HABIT.to_vec(), &format::encode(&form))?;
        }
        let mut habit = house.habit();
        if !habit.is_due(self.now, if now { 0 } else { HABIT_WRITE_MS }) {
            return Ok(());
        }
        let (hour, counts) = habit.running();
        let count = |((artefact, field), n): (&(String, String), u64)| CountForm {
            artefact: artefact.clone(),
            field: field.clone(),
            n,
        };
        let form = HourForm { hour, counts: counts.map(count).collect() };
        drop(habit);
        self.put_house(RecordKind::House, House::hour_row(hour), &format::encode(&form))
    }

    // ── alarms ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Puts a finding on record. What is found again in the same hour, or day, belongs to the same alarm; once somebody has
    /// looked at that one, only a field that is new is news.
    fn raise(&mut self, finding: Finding) -> Result<(), VaultError> {
        let mut alarms = self.house.alarms();
        let period = |at: At| match finding.kind {
            AlarmKind::ManyRead => at.ms().div_euclid(HOUR_MS),
            AlarmKind::FirstRead | AlarmKind::ManyOpened => i64::from(at.day().number()),
        };
        let is_same = |form: &AlarmForm| {
            let is_kind = form.kind == kind_code(finding.kind) && form.who == finding.who;
            is_kind && period(At::from_ms(form.at)) == period(self.now)
        };
        let known = alarms.iter_mut().rev().find(|(_, form)| is_same(form));
        let (id, form) = match known {
            Some((_, form)) if form.acknowledged.is_some() && finding.kind != AlarmKind::FirstRead => return Ok(()),
            Some((id, form)) if form.acknowledged.is_none() => {
                let new = finding.field.filter(|field| !form.fields.contains(field));
                let is_more = finding.n >= form.n.saturating_mul(2) && finding.n > form.n;
                if new.is_none() && !is_more {
                    return Ok(());
                }
                form.fields.extend(new);
                (form.n, form.usual) = (form.n.max(finding.n), form.usual.max(finding.usual));
                (*id, form.clone())
            }
            _ => {
                let id = AlarmId::new(self.now, self.house.rng());
                let form = AlarmForm {
                    kind: kind_code(finding.kind),
                    who: finding.who,
                    fields: finding.field.into_iter().collect(),
                    at: self.now.ms(),
                    n: finding.n,
                    usual: finding.usual,
                    acknowledged: None,
                };
                alarms.insert(id, form.clone());
                self.leaf("alarm", format!("{id}\n{}", finding.kind.as_str()).as_bytes());
                warn(finding.kind, &form);
                (id, form)
            }
        };
        drop(alarms);
        self.put_house(RecordKind::House, House::alarm_row(&id), &format::encode(&form))
    }

    /// A member of staff looked at an alarm. False when there is no such alarm, or somebody has looked already.
    pub(crate) fn acknowledge(&mut self, id: AlarmId, staff: &str, reason: &str) -> Result<bool, VaultError> {
        let reason: String = reason.trim().chars().take(REASON_CHARS_MAX).collect();
        let mut alarms = self.house.alarms();
        let Some(form) = alarms.get_mut(&id).filter(|form| form.acknowledged.is_none() && !reason.is_empty()) else {
            return Ok(false);
        };
        let entry = format!("{id}\n{staff}\n{reason}\n{}", self.now.ms());
        form.acknowledged = Some(AcknowledgedForm { at: self.now.ms(), staff: staff.to_owned(), reason });
        let form = form.clone();
        drop(alarms);
        self.leaf("acknowledge", entry.as_bytes());
        self.put_house(RecordKind::House, House::alarm_row(&id), &format::encode(&form))?;
        Ok(true)
    }
}

/// One line for the operator's log. Staff are people: the log does not name them.
fn warn(kind: AlarmKind, form: &AlarmForm) {
    let artefact = if kind == AlarmKind::ManyOpened { "" } else { form.who.as_str() };
    let fields = form.fields.join(", ");
    tracing::warn!(alarm = kind.as_str(), artefact, fields, n = form.n, usual = form.usual, "a read outside habit");
}

pub(super) fn serialised(people: &RoaringBitmap) -> Result<Vec<u8>, VaultError> {
    let mut bytes = Vec::new();
    let written = people.serialize_into(&mut bytes);
    written.map_err(|error| format::damaged("house", &error.to_string()))?;
    Ok(bytes)
}

fn kind_code(kind: AlarmKind) -> u8 {
    let place = AlarmKind::ALL.iter().position(|known| *known == kind);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

/// The kind of a number on record.
pub(crate) fn kind_of(code: u8) -> Result<AlarmKind, VaultError> {
    AlarmKind::ALL.get(usize::from(code)).copied().ok_or_else(|| format::damaged("house", "an unknown kind of alarm"))
}

/// What other nodes found: their alarms are ours, and what they know an artefact to ask for is known. How often it read stays each
/// node's own count.
pub(crate) fn follow(house: &House, store: &dyn EngineSnapshot) -> Result<(), VaultError> {
    if let Some(row) = Rows::get(store, Keyspace::House, House::HABIT)? {
        let form: HabitForm = format::decode("house", &house.open_house(RecordKind::House, House::HABIT, &row)?)?;
        let mut habit = house.habit();
        habit.is_new = false;
        habit.since = Some(habit.since.map_or(At::from_ms(form.since), |since| since.min(At::from_ms(form.since))));
        for (who, at, fields) in form.known {
            let known = habit.known.entry(who).or_insert_with(|| (At::from_ms(at), fields.iter().cloned().collect()));
            known.0 = known.0.min(At::from_ms(at));
            known.1.extend(fields);
        }
    }
    *house.alarms() = alarms(house, store)?;
    Ok(())
}

/// Habit and alarms as they stand on record.
pub(crate) fn load(house: &House, store: &dyn EngineSnapshot) -> Result<(), VaultError> {
    let mut habit = Habit::default();
    (habit.since, habit.is_new) = (Some(house.now()), true);
    if let Some(row) = Rows::get(store, Keyspace::House, House::HABIT)? {
        let form: HabitForm = format::decode("house", &house.open_house(RecordKind::House, House::HABIT, &row)?)?;
        (habit.since, habit.is_new) = (Some(At::from_ms(form.since)), false);
        let known = form.known.into_iter();
        habit.known = known.map(|(who, at, fields)| (who, (At::from_ms(at), fields.into_iter().collect()))).collect();
    }
    for row in store.scan(Keyspace::House, House::HOURS) {
        let (key, row) = row?;
        let form: HourForm = format::decode("house", &house.open_house(RecordKind::House, &key, &row)?)?;
        habit.put_hour(form.hour, form.counts.into_iter().map(|count| ((count.artefact, count.field), count.n)));
    }
    let alarms = alarms(house, store)?;
    *house.habit() = habit;
    *house.alarms() = alarms;
    Ok(())
}

fn alarms(house: &House, store: &dyn EngineSnapshot) -> Result<BTreeMap<AlarmId, AlarmForm>, VaultError> {
    let mut alarms = BTreeMap::new();
    for row in store.scan(Keyspace::House, House::ALARMS) {
        let (key, row) = row?;
        let form: AlarmForm = format::decode("house", &house.open_house(RecordKind::House, &key, &row)?)?;
        let id = key.strip_prefix(House::ALARMS).and_then(|id| <[u8; 16]>::try_from(id).ok());
        alarms
            .insert(AlarmId::from_bytes(id.ok_or_else(|| format::damaged("house", "an alarm without its id"))?), form);
    }
    Ok(alarms)
}
