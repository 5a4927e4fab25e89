//! The right to read about many ([`PermitSet`]): one bitmap, made from wishes by purpose, in the same places where the
//! verdict about one person is. Private fields, no clone, no send: made by a [`crate::Snapshot`], gone with it.
//!
//! It names nobody below the smallest group, and what was read is told to the committer when the set goes.

use crate::commit::{Command, SetUse};
use crate::permit::{EVENTS_MAX, Permit, segment_at};
use crate::snapshot::Snapshot;
use crate::state::Person;
use model::{Class, ItemCode, ProfileId, SegmentName, TraitName};
use promise::{Artefact, Refusal, RefusalReason};
use roaring::RoaringBitmap;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

/// The verdict yes about everybody for whom it is yes. Property: the same people as asking one by one.
pub struct PermitSet<'s> {
    snapshot: &'s Snapshot,
    artefact: &'s Artefact,
    people: RoaringBitmap,
    fields: RefCell<BTreeSet<String>>,
    was_read: Cell<bool>,
    _stays_here: PhantomData<*const ()>,
}

impl std::fmt::Debug for PermitSet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PermitSet({} {})", self.artefact.kind.as_str(), self.artefact.name)
    }
}

impl<'s> PermitSet<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, artefact: &'s Artefact) -> Self {
        let state = &snapshot.generation.state;
        let people = if artefact.is_portal() {
            state.everybody().clone()
        } else if artefact.is_desk() {
            state.everybody() - state.restrained()
        } else {
            let sets = artefact.terms.purposes().map(|purpose| state.in_force(purpose, snapshot.now()));
            sets.fold(RoaringBitmap::new(), |all, set| all | set)
        };
        let (fields, was_read) = (RefCell::default(), Cell::new(false));
        Self { snapshot, artefact, people, fields, was_read, _stays_here: PhantomData }
    }

    /// How many people, when at least the smallest group; `None` below it.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        let n = self.people.len();
        (n >= u64::from(self.snapshot.promise().guard.smallest_group)).then_some(n)
    }

    /// Whether a person is in the set.
    #[must_use]
    pub fn contains(&self, person: ProfileId) -> bool {
        self.snapshot.generation.state.number(&person).is_some_and(|number| self.people.contains(number))
    }

    /// Narrows to the members of a segment the terms name.
    ///
    /// # Errors
    /// The refusal.
    pub fn within(mut self, segment: &SegmentName) -> Result<Self, Refusal> {
        let at = segment_at(self.snapshot, self.artefact, segment)?;
        match self.snapshot.generation.state.segment(at) {
            Some(members) => self.people &= members,
            None => self.people.clear(),
        }
        Ok(self)
    }

    /// Refuses an audience below the smallest group.
    ///
    /// # Errors
    /// [`promise::RefusalReason::GroupTooSmall`].
    pub fn at_least_the_smallest_group(self) -> Result<Self, Refusal> {
        if self.count().is_some() {
            return Ok(self);
        }
        let line = self.snapshot.promise().line("guard", "");
        let purpose = self.artefact.terms.purpose.clone();
        Err(Refusal { reason: RefusalReason::GroupTooSmall, purpose, line })
    }

    /// The people, in house order, to ask a permit for one by one. Writes one use run when the set is dropped after reading.
    pub fn people(&self) -> impl Iterator<Item = ProfileId> + '_ {
        self.was_read.set(true);
        self.profiles().map(|person| person.id)
    }

    fn profiles(&self) -> impl Iterator<Item = &Arc<Person>> + '_ {
        self.people.iter().filter_map(|number| self.snapshot.generation.state.by_number(number))
    }

    /// One trait's value per person, in house order.
    ///
    /// # Errors
    /// The refusal when the terms do not name the trait.
    pub fn column(&self, name: &TraitName) -> Result<Vec<Option<i64>>, Refusal> {
        let no = |reason| Refusal { reason, purpose: self.artefact.terms.purpose.clone(), line: None };
        if !self.artefact.terms.reads.contains(name.as_str()) {
            return Err(no(RefusalReason::NotInTerms));
        }
        let promise = self.snapshot.promise();
        let declared = promise.traits.get(name).ok_or_else(|| no(RefusalReason::UnknownArtefact))?;
        let columns = self.snapshot.house.household.projection.columns();
        let at = columns.iter().position(|column| column.name == *name);
        let at = at.ok_or_else(|| no(RefusalReason::UnknownArtefact))?;
        self.was_read.set(true);
        self.fields.borrow_mut().insert(name.as_str().to_owned());
        let state = &self.snapshot.generation.state;
        let is_guarded = promise.events.get(declared.is.event()).is_none_or(|event| event.class >= Class::Sensitive);
        let may_read = |person: &Person| {
            if is_guarded || person.wishes.standing.told_version == 0 {
                return false;
            }
            let mut purposes = self.artefact.terms.purposes().filter(|purpose| declared.purposes.contains(purpose));
            purposes.any(|purpose| {
                let level = promise.in_force(purpose, &person.wishes.standing, self.snapshot.now());
                let names = [name.as_str(), declared.is.event().as_str()];
                level.is_ok_and(|level| names.iter().all(|name| promise.may_see_property(purpose, level, name)))
            })
        };
        let value = |person: &Arc<Person>| may_read(person).then(|| state.value(at, person.number)).flatten();
        Ok(self.profiles().map(value).collect())
    }

    /// Items bought (net of refunds), per person, newest first, at most `limit` a person: training rows.
    ///
    /// # Errors
    /// The refusal when the terms do not name an event with lines, or the level of the person forbids items.
    pub fn baskets(&self, limit: usize) -> Result<Vec<(ProfileId, Vec<ItemCode>)>, Refusal> {
        let promise = self.snapshot.promise();
        let with_lines =
            |name: &String| promise.events.iter().any(|(known, plan)| known.as_str() == name && plan.lines);
        let names: Vec<&String> = self.artefact.terms.reads.iter().filter(|name| with_lines(name)).collect();
        if names.is_empty() || !self.artefact.terms.properties.contains("item") {
            let purpose = self.artefact.terms.purpose.clone();
            return Err(Refusal { reason: RefusalReason::NotInTerms, purpose, line: None });
        }
        self.was_read.set(true);
        self.fields.borrow_mut().extend(names.into_iter().cloned());
        let mut baskets = Vec::new();
        for person in self.profiles() {
            let Ok(permit) = self.snapshot.permit(person.id, self.artefact.id) else { continue };
            baskets.push((person.id, basket(&permit, limit)));
            // The run of the whole set says it; the profile need not say it again.
            permit.forget_events();
        }
        Ok(baskets)
    }

    /// Only so that the lifetime is used.
    #[must_use]
    pub fn snapshot_marker(&self) -> PhantomData<&'s ()> {
        PhantomData
    }
}

/// What one person bought and did not give back, newest purchase first.
fn basket(permit: &Permit<'_>, limit: usize) -> Vec<ItemCode> {
    let mut net: BTreeMap<ItemCode, i64> = BTreeMap::new();
    let mut order = Vec::new();
    for view in permit.read_events(None, EVENTS_MAX) {
        for line in view.reveal().event.lines.iter().filter(|line| !line.item.as_str().starts_with("GROUP:")) {
            let quantity = net.entry(line.item.clone()).or_insert_with(|| {
                order.push(line.item.clone());
                0
            });
            *quantity = quantity.saturating_add(i64::from(line.quantity));
        }
    }
    order.retain(|item| net.get(item).is_some_and(|quantity| *quantity > 0));
    order.truncate(limit);
    order
}

impl Drop for PermitSet<'_> {
    fn drop(&mut self) {
        if self.was_read.get() && !self.people.is_empty() {
            let fields = self.fields.take().into_iter().collect();
            let people = std::mem::take(&mut self.people);
            let read = SetUse { artefact: self.artefact.id, fields, people };
            let _ = self.snapshot.queue.try_send(Command::UseRun(read));
        }
    }
}
