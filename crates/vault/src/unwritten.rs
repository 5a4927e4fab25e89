//! Responsible for what was read and is not yet written down: readers leave it here when their permit goes, the committer
//! takes it into its next batch. Nobody reads without a place kept for saying so, so nothing is read and not counted,
//! also while the committer's queue is full; where there is no place, the permit is refused.
//!
//! Deliberately not: writing (`commit::uses`), or judging how much is too much (`alarm`). What is here is lost by a crash,
//! and never by a clean stop.

use crate::sync::{Mutex, MutexGuard, PoisonError};
use model::{ArtefactId, At, ProfileId};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};

/// Reads of one person for one artefact in one hour that may wait to be written down, permits still open included.
pub(crate) const READS_WAITING_MAX: usize = 65_536;

/// Set-wise reads that may wait, sets still open included: each holds bitmaps of everybody in it.
pub(crate) const RUNS_WAITING_MAX: usize = 512;

/// What permits read about one person for one artefact in one hour.
#[derive(Default, Clone)]
pub(crate) struct PersonUse {
    /// How many permits read something.
    pub n: u32,
    /// Each thing read, and how often.
    pub read: BTreeMap<String, u32>,
}

/// What was read about whom, for what, in which hour.
pub(crate) type PersonKey = (ProfileId, ArtefactId, i64);

/// What a permit set read.
#[derive(Clone)]
pub(crate) struct SetUse {
    pub artefact: ArtefactId,
    /// "win_back"; an import mapping stands in no promise.
    pub name: String,
    pub purpose: Option<String>,
    pub at: At,
    /// Everybody who was named, or of whom something was read.
    pub people: RoaringBitmap,
    /// Each thing read, and of whom.
    pub fields: BTreeMap<String, RoaringBitmap>,
}

/// What was asked for, whether or not there was anything: an artefact's habit is what it asks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub artefact: ArtefactId,
    pub name: String,
}

/// Taken out, to be written.
#[derive(Default, Clone)]
pub(crate) struct Taken {
    pub people: Vec<(PersonKey, PersonUse)>,
    pub runs: Vec<SetUse>,
    pub asked: BTreeSet<Asked>,
}

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.people.is_empty() && self.runs.is_empty() && self.asked.is_empty()
    }
}

#[derive(Default)]
struct Waiting {
    /// Permits that may still leave something.
    n_places: usize,
    /// Sets that may.
    n_set_places: usize,
    people: BTreeMap<PersonKey, PersonUse>,
    runs: Vec<SetUse>,
    asked: BTreeSet<Asked>,
    /// The committer takes nothing any more.
    closed: bool,
}

/// What readers leave and the committer takes.
#[derive(Default)]
pub(crate) struct Unwritten {
    waiting: Mutex<Waiting>,
}

impl Unwritten {
    /// A place for what one permit will have read; `None` when there is none.
    pub(crate) fn place(&self) -> Option<Slot<'_>> {
        let mut waiting = self.lock();
        if waiting.closed || waiting.people.len().saturating_add(waiting.n_places) >= READS_WAITING_MAX {
            return None;
        }
        waiting.n_places = waiting.n_places.saturating_add(1);
        Some(Slot { unwritten: self, of_set: false })
    }

    /// A place for what one set will have read.
    pub(crate) fn set_place(&self) -> Option<Slot<'_>> {
        let mut waiting = self.lock();
        if waiting.closed || waiting.runs.len().saturating_add(waiting.n_set_places) >= RUNS_WAITING_MAX {
            return None;
        }
        waiting.n_set_places = waiting.n_set_places.saturating_add(1);
        Some(Slot { unwritten: self, of_set: true })
    }

    /// Takes out what waits: at most so many people and runs, and everything that was asked for.
    pub(crate) fn take(&self, people_max: usize, runs_max: usize) -> Taken {
        let mut waiting = self.lock();
        let mut taken = Taken { asked: std::mem::take(&mut waiting.asked), ..Taken::default() };
        while taken.people.len() < people_max
            && let Some(next) = waiting.people.pop_first()
        {
            taken.people.push(next);
        }
        let n_runs = runs_max.min(waiting.runs.len());
        taken.runs = waiting.runs.drain(..n_runs).collect();
        taken
    }

    /// What was taken and could not be written waits again, before what was read meanwhile.
    pub(crate) fn give_back(&self, taken: Taken) {
        let mut waiting = self.lock();
        for (key, used) in taken.people {
            let here = waiting.people.entry(key).or_default();
            here.n = here.n.saturating_add(used.n);
            for (name, n) in used.read {
                let count = here.read.entry(name).or_default();
                *count = count.saturating_add(n);
            }
        }
        waiting.runs.splice(0..0, taken.runs);
        waiting.asked.extend(taken.asked);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The committer has taken everything and comes no more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.people.is_empty() && self.runs.is_empty() && self.asked.is_empty()
    }
}

/// A place kept; given back when dropped.
pub(crate) struct Slot<'t> {
    unwritten: &'t Unwritten,
    of_set: bool,
}

impl Slot<'_> {
    /// Leaves what one permit asked for and read. Whether the committer has to be told that something waits.
    pub(crate) fn leave(
        &self,
        person: ProfileId,
        artefact: ArtefactId,
        at: At,
        asked: BTreeSet<String>,
        read: BTreeMap<String, u32>,
    ) -> bool {
        self.with(|waiting| {
            waiting.asked.extend(asked.into_iter().map(|name| Asked { artefact, name }));
            if read.is_empty() {
                return;
            }
            let here = waiting.people.entry((person, artefact, at.ms().div_euclid(HOUR_MS))).or_default();
            here.n = here.n.saturating_add(1);
            for (name, n) in read {
                let count = here.read.entry(name).or_default();
                *count = count.saturating_add(n);
            }
        })
    }

    /// Leaves what a set asked for and read. Whether the committer has to be told.
    pub(crate) fn leave_run(&self, run: SetUse, asked: BTreeSet<String>) -> bool {
        self.with(|waiting| {
            let artefact = run.artefact;
            waiting.asked.extend(asked.into_iter().map(|name| Asked { artefact, name }));
            if !run.people.is_empty() {
                waiting.runs.push(run);
            }
        })
    }

    fn with(&self, leave: impl FnOnce(&mut Waiting)) -> bool {
        let mut waiting = self.unwritten.lock();
        if waiting.closed {
            tracing::warn!("something was read while the house was being closed and could not be counted");
            return false;
        }
        let was_empty = waiting.is_empty();
        leave(&mut waiting);
        was_empty && !waiting.is_empty()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut waiting = self.unwritten.lock();
        let places = if self.of_set { &mut waiting.n_set_places } else { &mut waiting.n_places };
        *places = places.saturating_sub(1);
    }
}

/// Milliseconds of an hour: what is read is counted by the hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(slot: &Slot<'_>, person: u8, read: &[&str]) -> bool {
        let read = read.iter().map(|name| ((*name).to_owned(), 1)).collect();
        let (person, artefact) = (ProfileId::from_bytes([person; 16]), ArtefactId::from_bytes([9; 32]));
        slot.leave(person, artefact, At::from_ms(5 * HOUR_MS + 3), BTreeSet::from(["email".to_owned()]), read)
    }

    #[test]
    fn what_is_read_again_in_an_hour_needs_no_more_room() {
        let unwritten = Unwritten::default();
        assert!(leave(&unwritten.place().unwrap(), 1, &["email"]), "the committer is told of the first");
        assert!(!leave(&unwritten.place().unwrap(), 1, &["email", "zone"]), "and need not be told again");
        leave(&unwritten.place().unwrap(), 2, &[]);
        let taken = unwritten.take(10, 10);
        let [(key, used)] = &taken.people[..] else { panic!("one person was read") };
        assert_eq!((key.2, used.n, used.read["email"], used.read["zone"]), (5, 2, 2, 1));
        assert_eq!(taken.asked.len(), 1, "asking for what is not there is no read, and still a habit");
        assert!(unwritten.is_empty() && unwritten.take(10, 10).is_empty());
    }

    #[test]
    fn what_could_not_be_written_waits_again() {
        let unwritten = Unwritten::default();
        leave(&unwritten.place().unwrap(), 1, &["email"]);
        let taken = unwritten.take(10, 10);
        leave(&unwritten.place().unwrap(), 1, &["email", "zone"]);
        unwritten.give_back(taken);
        let taken = unwritten.take(10, 10);
        let [(_, used)] = &taken.people[..] else { panic!("one person was read") };
        assert_eq!((used.n, used.read["email"], used.read["zone"]), (2, 2, 1));
    }

    #[test]
    fn c04_where_there_is_no_place_to_write_it_down_nothing_may_be_read() {
        let unwritten = Unwritten::default();
        let mut slots: Vec<Slot<'_>> = (0..READS_WAITING_MAX).map_while(|_| unwritten.place()).collect();
        assert_eq!(slots.len(), READS_WAITING_MAX);
        assert!(unwritten.place().is_none(), "full: refused");
        drop(slots.pop());
        let slot = unwritten.place().expect("a place that was given back is free");
        leave(&slot, 1, &["email"]);
        drop(slot);
        assert!(unwritten.place().is_none(), "what waits holds its place");
        assert_eq!(unwritten.take(1, 0).people.len(), 1);
        assert!(unwritten.place().is_some(), "until it is written");
        assert_eq!(
            (0..=RUNS_WAITING_MAX).map_while(|_| unwritten.set_place().map(std::mem::forget)).count(),
            RUNS_WAITING_MAX
        );
        unwritten.close();
        slots.clear();
        assert!(unwritten.place().is_none(), "nobody writes down what is read after the end");
    }
}
