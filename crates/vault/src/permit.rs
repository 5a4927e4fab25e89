//! The right to read: about one person ([`Permit`]) or about many ([`PermitSet`]). Private fields, no clone, no store, no
//! send: made by a [`crate::Snapshot`], gone with it.

use crate::record::{ContactState, DecisionView, EventView, FactView, LedgerEntry, Reads, StaffRead, UseCount};
use model::{ArtefactId, EventName, Fact, FactName, ItemCode, ProfileId, ProfileKind, SegmentName, TraitName};
use promise::Refusal;
use std::marker::PhantomData;

/// A value that a permit opened. No `Display`, no `Serialize`, no `Hash`, no `PartialEq`; `Debug` redacts.
pub struct Disclosed<'p, T> {
    value: T,
    _permit: PhantomData<&'p ()>,
}

impl<'p, T> Disclosed<'p, T> {
    /// The value, for as long as the permit lives.
    #[must_use]
    pub const fn reveal(&self) -> &T {
        &self.value
    }

    /// Looks at a part.
    #[must_use]
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Disclosed<'p, U> {
        Disclosed { value: part(self.value), _permit: PhantomData }
    }
}

impl<T> std::fmt::Debug for Disclosed<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disclosed(…)")
    }
}

/// The verdict yes, about one person, for one artefact, at one instant.
pub struct Permit<'s> {
    _snapshot: PhantomData<(&'s (), *const ())>,
}

impl Permit<'_> {
    /// About whom.
    #[must_use]
    pub fn person(&self) -> ProfileId {
        unimplemented!()
    }

    /// Person or device.
    #[must_use]
    pub fn kind(&self) -> ProfileKind {
        unimplemented!()
    }

    /// For which artefact.
    #[must_use]
    pub fn artefact(&self) -> ArtefactId {
        unimplemented!()
    }

    /// The person's wishes as of this reading; a commit that acts on it must carry it.
    #[must_use]
    pub fn consent_seq(&self) -> u64 {
        unimplemented!()
    }

    /// The level of sharing the person chose for the artefact's purpose; `None` = the fullest.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        unimplemented!()
    }

    /// One fact: a declared field or a trait (from the columns). Recorded as read.
    ///
    /// # Errors
    /// The refusal when it may not be read; missing is `Ok(None)`.
    pub fn fact(&self, name: &FactName) -> Result<Option<Disclosed<'_, Fact>>, Refusal> {
        let _ = name;
        unimplemented!()
    }

    /// Every fact this artefact may read, with who read it (the portal and the export).
    #[must_use]
    pub fn facts(&self) -> Vec<Disclosed<'_, FactView>> {
        unimplemented!()
    }

    /// Events of one name, newest first, at most `limit`; properties and lines cut to terms and level. Recorded as read.
    ///
    /// # Errors
    /// The refusal.
    pub fn events(&self, name: &EventName, limit: usize) -> Result<Vec<Disclosed<'_, EventView>>, Refusal> {
        let _ = (name, limit);
        unimplemented!()
    }

    /// All events this artefact may read, newest first, at most `limit` (the portal and the export).
    ///
    /// # Errors
    /// The refusal.
    pub fn all_events(&self, limit: usize) -> Result<Vec<Disclosed<'_, EventView>>, Refusal> {
        let _ = limit;
        unimplemented!()
    }

    /// Whether the person is in a segment now; a segment the terms do not name is refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn is_member(&self, segment: &SegmentName) -> Result<bool, Refusal> {
        let _ = segment;
        unimplemented!()
    }

    /// Contact so far and the limits on it: the person's own, then the company's.
    #[must_use]
    pub fn contact(&self) -> Disclosed<'_, ContactState> {
        unimplemented!()
    }

    /// The person's answers with words and receipts (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn ledger(&self) -> Result<Vec<Disclosed<'_, LedgerEntry>>, Refusal> {
        unimplemented!()
    }

    /// Decisions about this person, newest first, at most `limit` (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn decisions(&self, limit: usize) -> Result<Vec<DecisionView<'_>>, Refusal> {
        let _ = limit;
        unimplemented!()
    }

    /// Which artefact read this person's facts, per day (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn uses(&self) -> Result<Vec<Disclosed<'_, UseCount>>, Refusal> {
        unimplemented!()
    }

    /// Staff who opened this person (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn staff_reads(&self) -> Result<Vec<Disclosed<'_, StaffRead>>, Refusal> {
        unimplemented!()
    }

    /// What has been read through this permit so far, in order: goes into the trace.
    #[must_use]
    pub fn reads(&self) -> Reads {
        unimplemented!()
    }
}

/// The verdict yes about everybody for whom it is yes. Property: the same people as asking one by one.
pub struct PermitSet<'s> {
    _snapshot: PhantomData<(&'s (), *const ())>,
}

impl<'s> PermitSet<'s> {
    /// How many people, when at least the smallest group; `None` below it.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        unimplemented!()
    }

    /// Whether a person is in the set.
    #[must_use]
    pub fn contains(&self, person: ProfileId) -> bool {
        let _ = person;
        unimplemented!()
    }

    /// Narrows to the members of a segment the terms name.
    ///
    /// # Errors
    /// The refusal.
    pub fn within(self, segment: &SegmentName) -> Result<Self, Refusal> {
        let _ = segment;
        unimplemented!()
    }

    /// Refuses an audience below the smallest group.
    ///
    /// # Errors
    /// [`promise::RefusalReason::GroupTooSmall`].
    pub fn at_least_the_smallest_group(self) -> Result<Self, Refusal> {
        unimplemented!()
    }

    /// The people, in house order, to ask a permit for one by one. Writes one use run when the set is dropped after reading.
    pub fn people(&self) -> impl Iterator<Item = ProfileId> + '_ {
        std::iter::empty()
    }

    /// One trait's value per person, in house order.
    ///
    /// # Errors
    /// The refusal when the terms do not name the trait.
    pub fn column(&self, name: &TraitName) -> Result<Vec<Option<i64>>, Refusal> {
        let _ = name;
        unimplemented!()
    }

    /// Items bought (net of refunds), per person, newest first, at most `limit` a person: training rows.
    ///
    /// # Errors
    /// The refusal when the terms do not name an event with lines, or the level of the person forbids items.
    pub fn baskets(&self, limit: usize) -> Result<Vec<(ProfileId, Vec<ItemCode>)>, Refusal> {
        let _ = limit;
        unimplemented!()
    }

    /// Only so that the lifetime is used.
    #[must_use]
    pub fn snapshot_marker(&self) -> PhantomData<&'s ()> {
        PhantomData
    }
}
