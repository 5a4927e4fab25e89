//! The open house: keys, engine, files, and the generation that readers see. Shared by the handles, the snapshots and the
//! committer. It is long because whatever is open is locked by one order, which is seen whole here.
//!
//! Lock order: `urgent` → `leaving`, `urgent` → `published` → `touched`. Nothing does I/O while it holds `published`; whoever takes back a wish holds
//! `urgent` over its sync, so that acknowledgements go out in the order of the log.

mod nodes;
mod row;

use crate::alarm::Habit;
use crate::chain::Head;
use crate::commit::erase::Leaving;
use crate::commit::times::{Stage, Times};
use crate::commit::{self, Values};
use crate::disk::Disk;
use crate::engine::{Engine, EngineSnapshot, Keyspace, Op};
use crate::failpoint::{Failpoints, Step, around};
use crate::folder::{Folder, HouseFile};
use crate::format::{
    self, AlarmForm, Bytes16, ClassForm, CoreForm, DecisionForm, ReviewForm, RotationForm, SourceKeyForm,
};
use crate::key::{DaySecrets, HouseKeys, PersonKey, RecordKey, Ring};
use crate::narrowing::Narrowings;
use crate::order::Order;
use crate::person::{self, Open, Rows, StoredEvent};
use crate::projection::Bucket;
use crate::pulse::Waits;
use crate::record::Identifier;
use crate::retention::{self, CORE, Clocks};
use crate::room::Room;
use crate::seal::{self, Nonces, Place, RecordKind};
use crate::sealed::Sealed;
use crate::state::{Generation, Reach};
use crate::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use crate::tally::Marker;
use crate::terms::Terms;
use crate::tombstone::Tombstones;
use crate::unwritten::Unwritten;
use crate::urgent::UrgentLog;
use crate::wish::Wish;
use crate::witness::{Due, Watch, WitnessState};
use crate::{Household, VaultError};
use model::{
    AlarmId, ArtefactId, At, Day, Event, EventName, Fact, FactName, HouseId, ProfileId, PurposeName, Rng, SourceName,
};
use promise::{Basis, RetentionId};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The profile id that stands for the house itself.
const HOUSE: ProfileId = ProfileId::from_bytes([0; 16]);

/// Everything that is open.
pub(crate) struct House {
    pub id: HouseId,
    pub household: Household,
    pub engine: Arc<dyn Engine>,
    pub keys: Arc<HouseKeys>,
    pub ring: Ring,
    /// Every wording under which something may be stored.
    terms: RwLock<Arc<Terms>>,
    days: RwLock<DaySecrets>,
    nonces: Nonces,
    pub marker: Marker,
    published: RwLock<Arc<Generation>>,
    urgent: Mutex<Urgent>,
    /// What was said while the root key was away; `None` in memory.
    sealed: Mutex<Option<Sealed>>,
    narrowings: Mutex<Narrowings>,
    /// Erased, their rows not yet gone.
    leaving: Mutex<BTreeMap<ProfileId, Leaving>>,
    order: Arc<Mutex<Order>>,
    reviews: RwLock<Arc<HashMap<ArtefactId, Vec<ReviewForm>>>>,
    sources: RwLock<HashMap<[u8; 32], SourceKeyForm>>,
    /// Who was touched last, in order, for whoever follows.
    touched: Mutex<BTreeMap<u64, ProfileId>>,
    closed: Arc<AtomicBool>,
    head: Option<Head>,
    watch: Option<Watch>,
    /// Where the rotation of keys stands, as the store has it. Changed by the committer alone.
    rotation: Mutex<RotationForm>,
    pub times: Times,
    /// Commands that have no answer yet.
    pub waits: Waits,
    /// Since when each wish waits that is on the urgent log and not in the store. Apart from it: its lock is held over syncs.
    held: Mutex<BTreeMap<u64, At>>,
    pub failpoints: Failpoints,
    /// What was read and is not yet written down.
    pub unwritten: Unwritten,
    /// What artefacts are used to reading; the committer's own.
    habit: Mutex<Habit>,
    /// What is left of the disk.
    pub room: Room,
    alarms: Mutex<BTreeMap<AlarmId, AlarmForm>>,
    /// Held until the last reader has gone.
    folder: Option<Folder>,
}

/// What holds before the store has it.
pub(crate) struct Urgent {
    /// `None` in memory.
    pub log: Option<UrgentLog>,
    pub tombstones: Tombstones,
    waiting: Vec<Waiting>,
    next: u64,
}

/// The place of a yes in the order of answers, from before it is queued until it is published.
pub(crate) struct Ticket {
    order: Arc<Mutex<Order>>,
    place: u64,
    /// The newest wish and the newest batch of all nodes when the yes was given.
    elsewhere: (u64, u64),
}

impl Ticket {
    /// Whether this person took the purpose back after the yes was given.
    pub(crate) fn is_overtaken(&self, person: ProfileId, purpose: &PurposeName) -> bool {
        let order = lock(&self.order);
        order.is_overtaken(self.place, person, purpose) || order.is_overtaken_elsewhere(self.elsewhere, person, purpose)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.order).leave();
    }
}

/// One wish on the urgent log.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub seq: u64,
    pub person: ProfileId,
    pub wish: Arc<Wish>,
}

/// What opening brings together.
pub(crate) struct Parts {
    pub id: HouseId,
    pub household: Household,
    pub engine: Arc<dyn Engine>,
    pub keys: Arc<HouseKeys>,
    pub ring: Ring,
    pub days: DaySecrets,
    pub log: Option<UrgentLog>,
    pub sealed: Option<Sealed>,
    pub tombstones: Tombstones,
    pub narrowings: Narrowings,
    pub head: Option<Head>,
    pub watch: Option<Watch>,
    pub folder: Option<Folder>,
    pub generation: Generation,
}

impl House {
    pub(crate) fn new(parts: Parts) -> Self {
        let is_shared = parts.engine.nodes().is_some();
        let terms = Terms::of(&parts.household.promise, parts.household.projection.columns());
        let nonces = Nonces::new(Arc::clone(&parts.household.rng));
        Self {
            id: parts.id,
            engine: parts.engine,
            marker: Marker::new(parts.keys.tally().clone()),
            keys: parts.keys,
            ring: parts.ring,
            terms: RwLock::new(Arc::new(terms)),
            days: RwLock::new(parts.days),
            nonces,
            published: RwLock::new(Arc::new(parts.generation)),
            urgent: Mutex::new(Urgent { log: parts.log, tombstones: parts.tombstones, waiting: Vec::new(), next: 1 }),
            sealed: Mutex::new(parts.sealed),
            narrowings: Mutex::new(parts.narrowings),
            leaving: Mutex::default(),
            order: Arc::default(),
            reviews: RwLock::default(),
            sources: RwLock::default(),
            touched: Mutex::default(),
            closed: Arc::default(),
            head: parts.head,
            watch: parts.watch,
            rotation: Mutex::default(),
            failpoints: Failpoints::default(),
            // The disk that a shared store fills up is its server's.
            room: Room::new(parts.folder.as_ref().map(Folder::path).filter(|_| !is_shared)),
            folder: parts.folder,
            times: Times::default(),
            waits: Waits::default(),
            held: Mutex::default(),
            unwritten: Unwritten::default(),
            habit: Mutex::default(),
            alarms: Mutex::default(),
            household: parts.household,
        }
    }

    pub(crate) fn now(&self) -> At {
        self.household.clock.now()
    }

    /// For measuring work.
    pub(crate) fn ticks(&self) -> Duration {
        self.household.clock.ticks()
    }

    /// Adds the time since `began` to a stage of the committer.
    pub(crate) fn took(&self, stage: Stage, began: Duration) {
        self.times.add(stage, self.ticks().saturating_sub(began));
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        self.household.rng.as_ref()
    }

    /// What stands in the file `house`; in memory there is none.
    pub(crate) fn file(&self) -> HouseFile {
        let in_memory = HouseFile { house: self.id, check: [0; 32], stretch: None };
        self.folder.as_ref().map_or(in_memory, |folder| folder.file().clone())
    }

    /// From here on the folder of a restored house is a house.
    pub(crate) fn finish_restore(&self) -> Result<(), VaultError> {
        self.folder.as_ref().map_or(Ok(()), Folder::finish)
    }

    /// A copy of what a restore needs beside the streams, of a house whose tables have it; nothing here reads it again.
    pub(crate) fn copy_beside(&self, tombstones: &[u8], narrowings: &[u8]) -> Result<(), VaultError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        Disk::replace(&folder.tombstones(), tombstones)?;
        Disk::replace(&folder.narrowings(), narrowings)
    }

    /// The data folder; `None` in memory.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// For whoever waits for an answer among nodes: whether it can come no more, or has to be asked for again.
    pub(crate) fn closed_flag(&self) -> Option<Arc<AtomicBool>> {
        self.engine.nodes().map(|_| Arc::clone(&self.closed))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// After a sync that failed nobody knows what is on the disk: nothing is tried again.
    pub(crate) fn close_after(&self, error: &VaultError) {
        if matches!(error, VaultError::File { doing: "syncing", .. }) {
            self.close();
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    // ── the generation ────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what readers see next. No I/O in here.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Generation)) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut published));
    }

    /// The person's sequence as in force, under the lock that urgent commands take.
    pub(crate) fn consent_seq(&self, person: &ProfileId) -> Option<u64> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        published.state.person(person).map(|person| person.wishes.seq)
    }

    pub(crate) fn follow(&self, old: Option<u64>, new: u64, person: ProfileId) {
        if old == Some(new) {
            return;
        }
        let mut touched = lock(&self.touched);
        if let Some(old) = old {
            touched.remove(&old);
        }
        if new > 0 {
            touched.insert(new, person);
        }
    }

    /// People touched after a cursor and up to a batch, and the new cursor.
    pub(crate) fn touched_since(&self, cursor: u64, up_to: u64, limit: usize) -> (Vec<ProfileId>, u64) {
        let touched = lock(&self.touched);
        let mut last = cursor;
        let mut people = Vec::new();
        for (at, person) in touched.range(cursor.saturating_add(1)..=up_to.max(cursor.saturating_add(1))).take(limit) {
            if *at <= up_to {
                people.push(*person);
                last = *at;
            }
        }
        (people, last)
    }

    /// Everybody, in house order.
    pub(crate) fn people(&self) -> Vec<ProfileId> {
        let generation = self.generation();
        let state = &generation.state;
        state.everybody().iter().filter_map(|number| state.by_number(number)).map(|person| person.id).collect()
    }

    // ── urgent ────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn urgent(&self) -> MutexGuard<'_, Urgent> {
        lock(&self.urgent)
    }

    /// What was said while the root key was away. Held by nobody together with another lock.
    pub(crate) fn sealed(&self) -> MutexGuard<'_, Option<Sealed>> {
        lock(&self.sealed)
    }

    /// What people took back. Held by the committer alone, and by nobody while it holds another lock.
    pub(crate) fn narrowings(&self) -> MutexGuard<'_, Narrowings> {
        lock(&self.narrowings)
    }

    /// Puts a wish on the urgent log, synced, and in force for every reader that asks from now on.
    pub(crate) fn wish(&self, person: ProfileId, wish: Wish) -> Result<(), VaultError> {
        if self.is_closed() {
            return Err(VaultError::Closed);
        }
        let mut urgent = self.urgent();
        let place = Place { house: &self.id, profile: &person, class: CORE, kind: RecordKind::Urgent, id: &[] };
        let sealed = || self.seal(&self.keys.urgent, &place, &format::encode(&wish));
        let began = self.ticks();
        let seq = match (&mut urgent.log, self.engine.nodes()) {
            (_, Some(nodes)) => {
                let sealed = sealed()?;
                let seq = around(Step::UrgentAppend, || nodes.add_urgent(*person.as_bytes(), sealed))?;
                self.times.urgent.add(self.ticks().saturating_sub(began));
                seq
            }
            (Some(log), None) => {
                let entry = [person.as_bytes().as_slice(), &sealed()?].concat();
                let appended = self.room.with_reserve(|| log.append(&entry));
                let seq = appended.inspect_err(|error| self.close_after(error))?;
                self.times.urgent.add(self.ticks().saturating_sub(began));
                seq
            }
            (None, None) => urgent.next,
        };
        urgent.next = seq.saturating_add(1);
        self.hold(&mut urgent, Waiting { seq, person, wish: Arc::new(wish) });
        Ok(())
    }

    /// A place for a yes, taken before it is queued.
    pub(crate) fn ticket(&self) -> Result<Ticket, VaultError> {
        let elsewhere = match self.engine.nodes() {
            Some(nodes) => {
                let news = nodes.news(u64::MAX)?;
                (news.urgent.iter().map(|(number, ..)| *number).max().unwrap_or(0).max(self.urgent().next), news.number)
            }
            None => (0, 0),
        };
        let place = lock(&self.order).place();
        Ok(Ticket { order: Arc::clone(&self.order), place, elsewhere })
    }

    /// Notes an answer that narrows, before it is acknowledged; whether a yes waits that it may have to overtake.
    pub(crate) fn overtakes(&self, person: ProfileId, purpose: &PurposeName) -> bool {
        lock(&self.order).narrow(person, purpose)
    }

    fn hold(&self, urgent: &mut Urgent, waiting: Waiting) {
        self.publish(|generation| {
            if let Some(person) = generation.state.person(&waiting.person) {
                let mut person = person.as_ref().clone();
                person.pending.push(Arc::clone(&waiting.wish));
                waiting.wish.hold(&mut person);
                let now = self.now();
                generation.state.put(Arc::new(person), now);
            }
        });
        lock(&self.held).insert(waiting.seq, self.now());
        urgent.waiting.push(waiting);
    }

    /// Since when the oldest wish waits that the store does not have.
    pub(crate) fn oldest_wish(&self) -> Option<At> {
        lock(&self.held).values().min().copied()
    }

    /// Puts back in force what the log still held when the house was opened.
    pub(crate) fn replay(&self) -> Result<(), VaultError> {
        if let Some(nodes) = self.engine.nodes() {
            let generation = self.generation();
            return self.learn(nodes, Arc::clone(&generation.store), generation.batch, Vec::new());
        }
        let mut urgent = self.urgent();
        let entries = urgent.log.as_ref().map(|log| log.replay().to_vec()).unwrap_or_default();
        let (store, mut written) = (Arc::clone(&self.generation().store), Vec::new());
        for (seq, bytes) in entries {
            let Some((person, sealed)) = bytes.split_first_chunk::<16>() else {
                return Err(format::damaged("urgent.log", "an entry without its person"));
            };
            let person = ProfileId::from_bytes(*person);
            let place = Place { house: &self.id, profile: &person, class: CORE, kind: RecordKind::Urgent, id: &[] };
            let wish: Wish = format::decode("urgent.log", &seal::open(&self.keys.urgent, &place, sealed)?)?;
            urgent.next = seq.saturating_add(1);
            // A crash between a batch and the end of its entries: what the record has is not held on top of it once more.
            let open = Open::load(self, &*store, &person).ok().flatten();
            if open.is_some_and(|open| wish.is_written(&open.core)) {
                written.push(seq);
            } else {
                self.hold(&mut urgent, Waiting { seq, person, wish: Arc::new(wish) });
            }
        }
        match &mut urgent.log {
            Some(log) => log.drained(&written),
            None => Ok(()),
        }
    }

    /// What the committer has to write.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        self.urgent().waiting.clone()
    }

    /// The store has these.
    pub(crate) fn drained(&self, written: &[u64]) -> Result<(), VaultError> {
        let mut urgent = self.urgent();
        urgent.waiting.retain(|waiting| !written.contains(&waiting.seq));
        lock(&self.held).retain(|seq, _| !written.contains(seq));
        match &mut urgent.log {
            Some(log) => log.drained(written),
            None => Ok(()),
        }
    }

    /// A tombstone, on the disk or in the shared store before this returns: since when, and how.
    pub(crate) fn bury(
        &self,
        urgent: &mut Urgent,
        person: &ProfileId,
        at: At,
        how: crate::record::Erasure,
    ) -> Result<(At, crate::record::Erasure), VaultError> {
        match self.engine.nodes() {
            Some(nodes) => self.add_shared_tombstone(nodes, urgent, person, at, how),
            None => {
                let added = self.room.with_reserve(|| urgent.tombstones.add(person, at, how));
                added.inspect_err(|error| self.close_after(error))
            }
        }
    }

    /// That an erasure within a day was taken back, on the disk or in the shared store before this returns; false when none
    /// stands.
    pub(crate) fn exhume(&self, person: &ProfileId, at: At) -> Result<bool, VaultError> {
        let mut urgent = self.urgent();
        match self.engine.nodes() {
            Some(nodes) => self.add_shared_undo(nodes, &mut urgent, person, at),
            None => urgent.tombstones.take_back(person, at).inspect_err(|error| self.close_after(error)),
        }
    }

    /// Gone from memory; the rows follow.
    pub(crate) fn leave(&self, leaving: &[Leaving]) {
        lock(&self.leaving).extend(leaving.iter().map(|leaving| (leaving.person, *leaving)));
        let generation = self.generation();
        let gone = leaving.iter().filter_map(|leaving| generation.state.person(&leaving.person));
        let gone: Vec<u64> = gone.map(|person| person.touched).collect();
        drop(generation);
        let mut touched = lock(&self.touched);
        for at in gone {
            touched.remove(&at);
        }
        drop(touched);
        self.publish(|generation| leaving.iter().for_each(|leaving| generation.state.forget(&leaving.person)));
    }

    /// Into memory.
    pub(crate) fn admit(&self, person: crate::state::Person, (values, members, _): Values) {
        self.publish(|generation| {
            let (id, number) = (person.id, person.number);
            self.follow(None, person.touched, id);
            let now = self.now();
            generation.state.put(Arc::new(person), now);
            generation.state.put_values(number, &values, &members);
        });
    }

    pub(crate) fn leaving(&self) -> Vec<Leaving> {
        lock(&self.leaving).values().copied().collect()
    }

    /// Whether rows of somebody who was erased still have to go.
    pub(crate) fn is_anybody_leaving(&self) -> bool {
        !lock(&self.leaving).is_empty()
    }

    /// Since when a profile is leaving; `None` = it is not, or its rows are gone.
    pub(crate) fn leaving_since(&self, id: &ProfileId) -> Option<At> {
        lock(&self.leaving).get(id).map(|leaving| leaving.at)
    }

    /// Keeps the committer from its next batch.
    #[cfg(test)]
    pub(crate) fn stall(&self) -> impl Drop + '_ {
        lock(&self.leaving)
    }

    pub(crate) fn has_left(&self, left: &[Leaving]) {
        let mut leaving = lock(&self.leaving);
        for left in left {
            leaving.remove(&left.person);
        }
    }

    /// Whether a profile was erased: nothing of it is read or written any more.
    pub(crate) fn is_erased(&self, id: &ProfileId) -> bool {
        // An erasure takes a profile out of memory under its own lock: whoever is still there is not erased yet.
        if self.generation().state.number(id).is_some() {
            return false;
        }
        // One lock after the other: an erasure takes them in the other order.
        let is_leaving = lock(&self.leaving).contains_key(id);
        is_leaving || self.urgent().tombstones.contains(id)
    }

    // ── who read what ─────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn habit(&self) -> MutexGuard<'_, Habit> {
        lock(&self.habit)
    }

    /// Every alarm on record.
    pub(crate) fn alarms(&self) -> MutexGuard<'_, BTreeMap<AlarmId, AlarmForm>> {
        lock(&self.alarms)
    }

    // ── keys and sealing ──────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn seal(&self, key: &RecordKey, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.times.count_plain(plain.len());
        seal::seal(key, self.ring.current(), place, plain, &self.nonces)
    }

    /// Seals a row of the house at its key.
    pub(crate) fn seal_house(&self, kind: RecordKind, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let place = Place { house: &self.id, profile: &HOUSE, class: CORE, kind, id: key };
        self.seal(&self.keys.house_record, &place, plain)
    }

    pub(crate) fn open_house(&self, kind: RecordKind, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let place = Place { house: &self.id, profile: &HOUSE, class: CORE, kind, id: key };
        seal::open(&self.keys.house_record, &place, sealed)
    }

    pub(crate) fn wrap_person(&self, open: &Open) -> Result<Vec<u8>, VaultError> {
        open.key.to_row(&self.ring, &self.id, &open.id, self.rng())
    }

    pub(crate) fn unwrap_person(&self, id: &ProfileId, row: &[u8]) -> Result<PersonKey, VaultError> {
        PersonKey::from_row(row, &self.ring, &self.id, id)
    }

    pub(crate) fn to_recovery(&self, open: &Open) -> Result<Vec<u8>, VaultError> {
        open.key.to_recovery(&self.ring, &self.id, &open.id, self.rng())
    }

    pub(crate) fn day_secret(&self, class: RetentionId, day: Day) -> Option<[u8; 32]> {
        self.days.read().unwrap_or_else(PoisonError::into_inner).get(class, day).copied()
    }

    pub(crate) fn day_secret_or_make(
        &self,
        class: RetentionId,
        day: Day,
        ops: &mut Vec<Op>,
    ) -> Result<[u8; 32], VaultError> {
        let mut days = self.days.write().unwrap_or_else(PoisonError::into_inner);
        days.get_or_make(class, day, &self.ring, self.rng(), ops).copied()
    }

    pub(crate) fn destroy_days_before(&self, class: RetentionId, day: Day, ops: &mut Vec<Op>) -> usize {
        self.days.write().unwrap_or_else(PoisonError::into_inner).destroy_before(class, day, ops)
    }

    pub(crate) fn has_days_before(&self, class: RetentionId, day: Day) -> bool {
        self.days.read().unwrap_or_else(PoisonError::into_inner).has_before(class, day)
    }

    pub(crate) fn set_days(&self, days: DaySecrets) {
        *self.days.write().unwrap_or_else(PoisonError::into_inner) = days;
    }

    pub(crate) fn note_head(&self, chain: &crate::chain::Chain) -> Result<(), VaultError> {
        self.head.as_ref().map_or(Ok(()), |head| head.note(chain))
    }

    /// `None` when no witness is set.
    pub(crate) fn note_witness(&self, due: Due) -> Option<Result<bool, VaultError>> {
        self.watch.as_ref().map(|watch| watch.note(self, due))
    }

    pub(crate) fn rotation(&self) -> RotationForm {
        lock(&self.rotation).clone()
    }

    pub(crate) fn set_rotation(&self, form: RotationForm) {
        *lock(&self.rotation) = form;
    }

    pub(crate) fn witness_state(&self) -> WitnessState {
        self.watch.as_ref().map_or(WitnessState::None, |watch| watch.state(self))
    }

    // ── records of the house ──────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn house_record(&self, rows: &(impl Rows + ?Sized), name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let key = Self::record_row(name);
        let row = rows.get(Keyspace::House, &key)?;
        row.map(|sealed| self.open_house(RecordKind::House, &key, &sealed)).transpose()
    }

    pub(crate) fn decision(
        &self,
        rows: &(impl Rows + ?Sized),
        open: &Open,
        id: &Bytes16,
    ) -> Result<Option<DecisionForm>, VaultError> {
        let key = person::own_key(&open.id, id.as_slice());
        let Some(row) = rows.get(Keyspace::Decisions, &key)? else { return Ok(None) };
        let plain = open.open_own(self, RecordKind::Decision, id.as_slice(), &row)?;
        let decision: DecisionForm = format::decode("decisions", &plain)?;
        // Outlived, and not yet swept.
        Ok(Some(decision).filter(|decision| decision.at >= retention::oldest_decision(self.now()).ms()))
    }

    pub(crate) fn reviews(&self) -> Arc<HashMap<ArtefactId, Vec<ReviewForm>>> {
        Arc::clone(&self.reviews.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A review that is on the disk counts from here on; one whose signature is not ours never does.
    pub(crate) fn add_review(&self, form: ReviewForm) {
        if !crate::review::is_signed(&form, &self.keys.review) {
            return;
        }
        let mut reviews = self.reviews.write().unwrap_or_else(PoisonError::into_inner);
        let here = Arc::make_mut(&mut reviews).entry(ArtefactId::from_bytes(*form.artefact)).or_default();
        here.retain(|known| known.staff != form.staff);
        here.push(form);
    }

    pub(crate) fn source_keys(&self) -> Vec<SourceKeyForm> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn set_source_keys(&self, new: SourceKeyForm, gone: &[SourceKeyForm]) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        for old in gone {
            sources.remove::<[u8; 32]>(&old.token);
        }
        sources.insert(*new.token, new);
    }

    /// All of them at once, so that nobody is turned away meanwhile.
    pub(crate) fn replace_source_keys(&self, keys: Vec<SourceKeyForm>) {
        let keys = keys.into_iter().map(|form| (*form.token, form)).collect();
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    pub(crate) fn source_of_token(&self, token: &[u8; 32]) -> Option<SourceName> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        SourceName::parse(&sources.get(token)?.source).ok()
    }

    pub(crate) fn is_by_consent(&self, purpose: &PurposeName) -> bool {
        self.household.promise.purposes.get(purpose).is_some_and(|declared| declared.basis == Basis::Consent)
    }

    // ── traits ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Whether an event stays out of the traits: one of them would be read for a purpose that this event is not for.
    pub(crate) fn is_kept_out(&self, event: &EventName, not_for: &[PurposeName]) -> bool {
        // Nearly always nothing was taken away from it.
        let mut traits = self.household.promise.traits.values();
        let is_read = |purposes: &[PurposeName]| purposes.iter().any(|purpose| not_for.contains(purpose));
        !not_for.is_empty() && traits.any(|plan| plan.is.event() == event && is_read(&plan.purposes))
    }

    /// Takes the earlier form of an event out of the buckets of its class and puts the new one in.
    pub(crate) fn fold(
        &self,
        open: &mut Open,
        rows: &dyn EngineSnapshot,
        class: RetentionId,
        today: Day,
        before: Option<&Event>,
        event: Option<&Event>,
    ) -> Result<(), VaultError> {
        let projection = &self.household.projection;
        let terms = self.terms();
        if !terms.bucket_classes().contains(&class) {
            return Ok(());
        }
        let clocks = self.clocks(&open.core);
        let columns = projection.columns();
        let record: &mut ClassForm = open.class(self, rows, class)?;
        let mut buckets = record.buckets(columns);
        if let Some(before) = before {
            projection.fold(before, -1, &mut buckets);
        }
        if let Some(event) = event {
            projection.fold(event, 1, &mut buckets);
        }
        terms.retain_living(class, &clocks, today, &mut buckets);
        record.set_buckets(columns, &buckets);
        open.changed.insert(class);
        open.folded = true;
        Ok(())
    }

    /// Trait values, memberships, and the next day on which they change without an event: a window moves on, or a bucket
    /// has outlived itself.
    pub(crate) fn values(&self, open: &mut Open, rows: &dyn EngineSnapshot, today: Day) -> Result<Values, VaultError> {
        let (terms, projection) = (self.terms(), &self.household.projection);
        let clocks = self.clocks(&open.core);
        let held = open.core.held(today.start());
        let mut all: Vec<Bucket> = Vec::new();
        let mut next: Option<Day> = held.iter().flat_map(|held| held.until()).map(|at| at.day()).min();
        for class in terms.bucket_classes() {
            let mut buckets = open.class(self, rows, *class)?.buckets(projection.columns());
            let ends = terms.retain_living(*class, &clocks, today, &mut buckets);
            next = [next, ends].into_iter().flatten().min();
            if let Some(held) = &held {
                buckets.retain(|bucket| !held.covers_column(projection.columns(), bucket.column));
            }
            all.extend(buckets);
        }
        all.sort_by_key(|bucket| (bucket.column, bucket.day));
        // The same day in two classes is one day.
        all.dedup_by(|next, kept| {
            let is_same = (next.column, next.day) == (kept.column, kept.day);
            if is_same {
                kept.amount = kept.amount.saturating_add(next.amount);
            }
            is_same
        });
        let (mut values, changes) = projection.values(&all, today);
        if let Some(held) = &held {
            // Not known, which is not the same as nothing.
            for (value, column) in values.iter_mut().zip(projection.columns()) {
                *value = value.filter(|_| !held.covers(column.event.as_str()));
            }
        }
        let members = projection.members(&values);
        let next = [next, changes].into_iter().flatten().filter(|day| *day > today).min();
        Ok((values, members, next))
    }

    pub(crate) fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_terms(&self, terms: Terms) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
    }

    pub(crate) fn clocks(&self, core: &CoreForm) -> Clocks {
        Clocks::of(&self.household.promise, core)
    }

    /// From when on a stored event is read by nobody: what is not declared any more never is.
    pub(crate) fn event_expires_at(&self, core: &CoreForm, stored: &StoredEvent) -> At {
        let is_declared = self.household.promise.events.contains_key(&stored.event.name);
        let ends = self.terms().event_ends(&self.clocks(core), stored);
        ends.filter(|_| is_declared).unwrap_or(At::from_ms(i64::MIN))
    }

    /// A stored fact, in whichever class it lies, as it may be read today: with its end and its purposes as narrow as every
    /// wording since makes them. `None` = there is none, or its declaration is gone.
    pub(crate) fn stored_fact(
        &self,
        open: &mut Open,
        rows: &(impl Rows + ?Sized),
        name: &FactName,
    ) -> Result<Option<Fact>, VaultError> {
        if retention::of_fact(&self.household.promise, name).is_none() {
            return Ok(None);
        }
        let (terms, clocks) = (self.terms(), self.clocks(&open.core));
        for class in terms.classes_of_fact(name) {
            let record = open.class(self, rows, class)?;
            let Some(form) = record.facts.iter().find(|form| form.is(name)) else { continue };
            let mut fact = form.fact()?;
            fact.expires_at = terms.fact_ends(&clocks, &fact).unwrap_or(At::from_ms(i64::MIN));
            terms.narrow_fact(&mut fact);
            return Ok(Some(fact));
        }
        Ok(None)
    }

    /// Whether an address that leads to a person may still: some field of theirs has it, and has not outlived itself.
    pub(crate) fn address_lives(
        &self,
        open: &mut Open,
        rows: &(impl Rows + ?Sized),
        address: &Identifier,
        now: At,
    ) -> Result<bool, VaultError> {
        let promise = Arc::clone(&self.household.promise);
        for field in promise.fields.values().filter(|field| field.kind == model::Kind::Email) {
            let fact = self.stored_fact(open, rows, &FactName::Field(field.name.clone()))?;
            let lives = |fact: &Fact| {
                fact.expires_at > now && commit::address(field.kind, &fact.value).as_ref() == Some(address)
            };
            if fact.as_ref().is_some_and(lives) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What it takes to write to a person, for memory. A record that nobody opened is not opened for this, when memory has
    /// its address already: that one ends later if its clock moved on, and never sooner.
    pub(crate) fn reach(
        &self,
        open: &mut Open,
        rows: &dyn EngineSnapshot,
        known: Option<&Reach>,
    ) -> Result<Reach, VaultError> {
        let promise = Arc::clone(&self.household.promise);
        let clocks = self.clocks(&open.core);
        let mut address_until = None;
        let fields: Vec<_> = promise.fields.values().filter(|field| field.kind == model::Kind::Email).collect();
        for field in &fields {
            if let (Some(known), [_]) = (known, fields.as_slice())
                && let name = FactName::Field(field.name.clone())
                && let [class] = *self.terms().classes_of_fact(&name)
                && !open.has_class(class)
                && field.retention.end_on.is_none()
            {
                address_until = known.address_until.map(|until| retention::moved_on(&field.retention, &clocks, until));
                continue;
            }
            let Some(fact) = self.stored_fact(open, rows, &FactName::Field(field.name.clone()))? else { continue };
            if fact.told_at.is_some() {
                address_until = Some(fact.expires_at).max(address_until);
            }
        }
        Ok(Reach {
            address_until,
            suppressed: open.core.suppressed,
            contacts: open.core.contacts.iter().map(|contact| At::from_ms(contact.at)).collect(),
            at_most: open.core.at_most,
            less: open.core.less,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
