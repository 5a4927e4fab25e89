//! The house among nodes: what stands in the shared store beside the rows (wishes, tombstones, who is leaving) as this node
//! learns it, and the second look, which asks the store itself.
//!
//! Lock order as in `house`: `urgent` is held from asking what there is until memory has it, so that a wish which this node
//! acknowledges meanwhile is neither lost nor held twice.

use super::{House, Urgent, Waiting, lock};
use crate::VaultError;
use crate::commit::erase::Leaving;
use crate::commit::{Values, is_known, narrowed_elsewhere};
use crate::engine::EngineSnapshot;
use crate::engine::postgres::{News, Postgres};
use crate::failpoint::{Step, around};
use crate::format;
use crate::person::Open;
use crate::record::Erasure;
use crate::retention::CORE;
use crate::seal::{self, Place, RecordKind};
use crate::state::Person;
use crate::tombstone::Tombstones;
use crate::wish::Wish;
use model::{At, ProfileId, PurposeName};
use promise::{Refusal, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often another node may come first with its tombstone before the asker is told to come again.
const TOMBSTONE_TRIES: usize = 16;

/// One profile as it stands in the store now; `None` = it is gone.
pub(crate) type Loaded = (ProfileId, u64, Option<(Person, Values)>);

impl House {
    /// Brings memory up to a reading: these profiles as they stand in it, and everything beside the rows.
    pub(crate) fn learn(
        &self,
        nodes: &Postgres,
        store: Arc<dyn EngineSnapshot>,
        batch: u64,
        loaded: Vec<Loaded>,
    ) -> Result<(), VaultError> {
        let mut urgent = self.urgent();
        let news = nodes.news(urgent.tombstones.epoch())?;
        urgent.tombstones.follow(&news.tombstones)?;
        let fresh = self.hold_news(&mut urgent, &news)?;
        let generation = self.generation();
        for (id, batch, person) in &loaded {
            let Some((person, _)) = person else { continue };
            let before = generation.state.person(id);
            for purpose in narrowed_elsewhere(before.map(Arc::as_ref), &person.wishes.standing) {
                self.overtaken_elsewhere(*id, purpose, (0, *batch));
            }
        }
        drop(generation);
        let now = self.now();
        let reloaded: BTreeSet<ProfileId> = loaded.iter().map(|(id, ..)| *id).collect();
        let mut of_person: BTreeMap<ProfileId, Vec<Arc<Wish>>> = BTreeMap::new();
        for waiting in &urgent.waiting {
            of_person.entry(waiting.person).or_default().push(Arc::clone(&waiting.wish));
        }
        self.publish(|generation| {
            generation.store = store;
            generation.batch = batch;
            for (id, _, person) in loaded {
                let old = generation.state.person(&id).map(|person| person.touched);
                let Some((mut person, (values, members, _))) = person else {
                    self.follow(old, 0, id);
                    generation.state.forget(&id);
                    continue;
                };
                person.pending = of_person.get(&id).cloned().unwrap_or_default();
                for wish in person.pending.clone() {
                    wish.hold(&mut person);
                }
                self.follow(old, person.touched, id);
                let number = person.number;
                generation.state.put(Arc::new(person), now);
                generation.state.put_values(number, &values, &members);
            }
            for waiting in fresh.iter().filter(|waiting| !reloaded.contains(&waiting.person)) {
                let Some(person) = generation.state.person(&waiting.person) else { continue };
                let mut person = person.as_ref().clone();
                person.pending.push(Arc::clone(&waiting.wish));
                waiting.wish.hold(&mut person);
                generation.state.put(Arc::new(person), now);
            }
        });
        let here: BTreeSet<ProfileId> = self.leaving().iter().map(|leaving| leaving.person).collect();
        let there: BTreeSet<ProfileId> = news.leaving.iter().map(|id| ProfileId::from_bytes(*id)).collect();
        for person in there.difference(&here) {
            // Without a tombstone nobody asked for it.
            let Some((at, how)) = urgent.tombstones.erased(person) else { continue };
            self.leave(&[Leaving::new(*person, how, at, urgent.tombstones.request(person, at))]);
        }
        let mut leaving = lock(&self.leaving);
        leaving.retain(|person, _| there.contains(person));
        Ok(())
    }

    /// The wishes of the table are those that wait; which of them this node did not know.
    fn hold_news(&self, urgent: &mut Urgent, news: &News) -> Result<Vec<Waiting>, VaultError> {
        let mut fresh = Vec::new();
        let mut waiting = Vec::new();
        for (seq, person, sealed) in &news.urgent {
            if let Some(known) = urgent.waiting.iter().find(|known| known.seq == *seq) {
                waiting.push(known.clone());
                continue;
            }
            let person = ProfileId::from_bytes(*person);
            let wish = Arc::new(self.open_wish(&person, sealed)?);
            if let Wish::Answer(entry) = &*wish
                && let Ok(purpose) = PurposeName::parse(&entry.purpose)
            {
                self.overtaken_elsewhere(person, purpose, (*seq, 0));
            }
            let new = Waiting { seq: *seq, person, wish };
            fresh.push(new.clone());
            waiting.push(new);
        }
        let (mut held, now) = (lock(&self.held), self.now());
        held.retain(|seq, _| waiting.iter().any(|waiting: &Waiting| waiting.seq == *seq));
        for waiting in &waiting {
            held.entry(waiting.seq).or_insert(now);
        }
        drop(held);
        urgent.waiting = waiting;
        Ok(fresh)
    }

    fn open_wish(&self, person: &ProfileId, sealed: &[u8]) -> Result<Wish, VaultError> {
        let place = Place { house: &self.id, profile: person, class: CORE, kind: RecordKind::Urgent, id: &[] };
        format::decode("urgent", &seal::open(&self.keys.urgent, &place, sealed)?)
    }

    /// A no that this node did not take: yeses that wait here, and were given before it, do not count.
    fn overtaken_elsewhere(&self, person: ProfileId, purpose: PurposeName, at: (u64, u64)) {
        lock(&self.order).narrow_elsewhere(person, purpose, at);
    }

    /// Whether the others did something that this node does not know.
    pub(crate) fn is_news(&self, news: &News) -> bool {
        let waiting: Vec<u64> = self.urgent().waiting.iter().map(|waiting| waiting.seq).collect();
        let leaving: Vec<[u8; 16]> = self.leaving().iter().map(|leaving| *leaving.person.as_bytes()).collect();
        let mut news = news.clone();
        news.leaving.sort_unstable();
        !waiting.is_empty() || !leaving.is_empty() || !is_known(&news, &waiting, &leaving)
    }

    /// A new reading of the same moment or a later one, for whoever looks: memory is as it was.
    pub(crate) fn publish_reading(&self) {
        let store = self.engine.snapshot();
        if store.is_readable() {
            self.publish(|generation| generation.store = store);
        }
    }

    /// The second look among nodes: the store itself says whether the person's wishes moved, whoever took them.
    pub(crate) fn look_among_nodes(
        &self,
        nodes: &Postgres,
        person: ProfileId,
        consent_seq: u64,
    ) -> Result<(), Refusal> {
        let moved = || Refusal::because(RefusalReason::ChangedMeanwhile);
        let token = self.urgent().tombstones.token(&person);
        // What cannot be asked has not been allowed.
        let seen = nodes.look_at(*person.as_bytes(), token).map_err(|_| moved())?;
        if seen.tombstone.is_some_and(|newest| Tombstones::is_of_erasure(&newest)) {
            return Err(Refusal::because(RefusalReason::NoSuchPerson));
        }
        let open = Open::load(self, &*seen.snapshot, &person).map_err(|_| moved())?;
        let open = open.ok_or_else(|| Refusal::because(RefusalReason::NoSuchPerson))?;
        let n_waiting = seen.urgent.len() as u64;
        match open.core.consent_seq.saturating_add(n_waiting) == consent_seq {
            true => Ok(()),
            false => Err(moved()),
        }
    }

    /// A tombstone in the shared store, committed before this returns; since when and how.
    pub(super) fn add_shared_tombstone(
        &self,
        nodes: &Postgres,
        urgent: &mut Urgent,
        person: &ProfileId,
        at: At,
        how: Erasure,
    ) -> Result<(At, Erasure), VaultError> {
        for _ in 0..TOMBSTONE_TRIES {
            let (stands, entry) = urgent.tombstones.next(person, at, how);
            let Some(entry) = entry else { return Ok(stands) };
            if self.add_shared_entry(nodes, urgent, person, entry, vec![*person.as_bytes()])? {
                return Ok(stands);
            }
        }
        Err(VaultError::Busy)
    }

    /// An entry in the shared store that an erasure was taken back; false when none stands that can be.
    pub(super) fn add_shared_undo(
        &self,
        nodes: &Postgres,
        urgent: &mut Urgent,
        person: &ProfileId,
        at: At,
    ) -> Result<bool, VaultError> {
        for _ in 0..TOMBSTONE_TRIES {
            let Some(entry) = urgent.tombstones.next_undo(person, at) else { return Ok(false) };
            if self.add_shared_entry(nodes, urgent, person, entry, Vec::new())? {
                return Ok(true);
            }
        }
        Err(VaultError::Busy)
    }

    /// One entry after those that are known; false when another node was there first, whose entries are known now.
    fn add_shared_entry(
        &self,
        nodes: &Postgres,
        urgent: &mut Urgent,
        person: &ProfileId,
        entry: Vec<u8>,
        leaving: Vec<[u8; 16]>,
    ) -> Result<bool, VaultError> {
        let (epoch, token) = (urgent.tombstones.epoch(), urgent.tombstones.token(person));
        let added =
            around(Step::TombstoneAppend, || nodes.add_tombstones(epoch, vec![(token, entry.clone())], leaving))?;
        match added {
            true => urgent.tombstones.push_own(&entry)?,
            false => urgent.tombstones.follow(&nodes.news(epoch)?.tombstones)?,
        }
        Ok(added)
    }
}
