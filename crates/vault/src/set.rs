//! The right to read about many ([`PermitSet`]): one bitmap, made from wishes by purpose, in the same places where the
//! verdict about one person is. Private fields, no clone, no send: made by a [`crate::Snapshot`], gone with it.
//!
//! It names nobody below the smallest group, and what was read, and of whom, is left to be written down when the set goes.

use crate::permit::{EVENTS_MAX, Permit, segment_at, segment_word};
use crate::snapshot::Snapshot;
use crate::state::Person;
use crate::unwritten::{SetUse, Slot};
use model::{Class, ItemCode, ProfileId, SegmentName, TraitName};
use promise::{Artefact, Refusal, RefusalReason};
use roaring::RoaringBitmap;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

/// The verdict yes about everybody for whom it is yes. Property: the same people as asking one by one.
pub struct PermitSet<'s> {
    snapshot: &'s Snapshot,
    artefact: &'s Artefact,
    people: RoaringBitmap,
    /// Segments it was narrowed to: whoever it names is known to be in them.
    within: Vec<String>,
    noted: RefCell<Noted>,
    /// Where it says what it read; the person's own page has none.
    slot: Option<Slot<'s>>,
    _stays_here: PhantomData<*const ()>,
}

/// What has to be written down.
#[derive(Default)]
struct Noted {
    asked: BTreeSet<String>,
    /// Who was named.
    named: RoaringBitmap,
    /// What was read, and of whom.
    fields: BTreeMap<String, RoaringBitmap>,
}

impl std::fmt::Debug for PermitSet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PermitSet({} {})", self.artefact.kind.as_str(), self.artefact.name)
    }
}

impl<'s> PermitSet<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot, artefact: &'s Artefact, slot: Option<Slot<'s>>) -> Self {
        let state = &snapshot.generation.state;
        let people = if !snapshot.is_of_today() {
            RoaringBitmap::new()
        } else if artefact.is_portal() || artefact.is_breach_notice() {
            state.present()
        } else if artefact.is_desk() {
            state.present() - state.restrained()
        } else if artefact.is_reminder() {
            state.present() - state.restrained() - state.all_held()
        } else {
            let sets = artefact.terms.purposes().map(|purpose| state.in_force(purpose, snapshot.now()));
            sets.fold(RoaringBitmap::new(), |all, set| all | set)
        };
        let (within, noted) = (Vec::new(), RefCell::default());
        Self { snapshot, artefact, people, within, noted, slot, _stays_here: PhantomData }
    }

    /// How many people, when at least the smallest group; `None` below it.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        let n = self.people.len();
        (n >= u64::from(self.snapshot.promise().guard.smallest_group)).then_some(n)
    }

    /// Whether a person is in the set. A yes is a read of that person.
    #[must_use]
    pub fn contains(&self, person: ProfileId) -> bool {
        let number = self.snapshot.generation.state.number(&person);
        let Some(number) = number.filter(|number| self.people.contains(*number)) else { return false };
        self.noted.borrow_mut().named.insert(number);
        true
    }

    /// Narrows to the members of a segment the terms name.
    ///
    /// # Errors
    /// The refusal.
    pub fn within(mut self, segment: &SegmentName) -> Result<Self, Refusal> {
        let at = segment_at(self.snapshot, self.artefact, segment)?;
        // What was read before is of more people, and not of members of this segment.
        self.leave();
        self.within.push(segment_word(segment));
        match self.snapshot.segment(at) {
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

    /// The people, in house order, to ask a permit for one by one. Writes one use run when the set is dropped after reading,
    /// of those who were named until then.
    pub fn people(&self) -> impl Iterator<Item = ProfileId> + '_ {
        self.profiles().map(|person| {
            self.noted.borrow_mut().named.insert(person.number);
            person.id
        })
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
        let mut read = RoaringBitmap::new();
        let value = |person: &Arc<Person>| {
            let value = may_read(person).then(|| self.snapshot.value(at, person.number)).flatten();
            if value.is_some() {
                read.insert(person.number);
            }
            value
        };
        let values = self.profiles().map(value).collect();
        let mut noted = self.noted.borrow_mut();
        noted.asked.insert(name.as_str().to_owned());
        *noted.fields.entry(name.as_str().to_owned()).or_default() |= read;
        Ok(values)
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
        self.noted.borrow_mut().asked.extend(names.into_iter().cloned());
        let mut baskets = Vec::new();
        for person in self.profiles() {
            let permit = match self.snapshot.permit(person.id, self.artefact.id) {
                Ok(permit) => permit,
                // Not told as somebody who bought nothing.
                Err(refusal) if refusal.reason == RefusalReason::NotCounted => return Err(refusal),
                Err(_) => continue,
            };
            baskets.push((person.id, basket(&permit, limit)));
            // The run of the whole set says it; the profile need not say it again.
            let mut noted = self.noted.borrow_mut();
            noted.named.insert(person.number);
            for name in permit.hand_over() {
                noted.fields.entry(name).or_default().insert(person.number);
            }
        }
        Ok(baskets)
    }

    /// Leaves what was read so far to be counted.
    fn leave(&self) {
        let Some(slot) = &self.slot else { return };
        let Noted { mut asked, named, mut fields } = self.noted.take();
        for segment in self.within.iter().filter(|_| !named.is_empty()) {
            asked.insert(segment.clone());
            fields.insert(segment.clone(), named.clone());
        }
        let people = fields.values().fold(named, |all, some| all | some);
        let run = SetUse {
            artefact: self.artefact.id,
            name: self.artefact.name.clone(),
            purpose: self.artefact.terms.purpose.as_ref().map(|purpose| purpose.as_str().to_owned()),
            at: self.snapshot.now(),
            people,
            fields: fields.into_iter().filter(|(_, people)| !people.is_empty()).collect(),
        };
        if !(asked.is_empty() && run.people.is_empty()) && slot.leave_run(run, asked) {
            self.snapshot.queue.wake();
        }
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
        self.leave();
    }
}
