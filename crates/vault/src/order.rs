//! Responsible for the order of a person's answers: a no overtakes every yes that still waits, and never the other way round.
//!
//! Deliberately not: the lock around it (the house's), and what an answer does.

use model::{ProfileId, PurposeName};
use std::collections::BTreeMap;

/// In which order somebody said yes and no. Only what a waiting yes can meet is remembered, so that it is empty nearly always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    /// Answers that narrowed, so far.
    n_narrowed: u64,
    /// Yeses on their way to the committer, or in a batch that is not published.
    n_waiting: usize,
    /// The latest answer that narrowed while a yes waited.
    narrowed: BTreeMap<(ProfileId, PurposeName), u64>,
    /// The same from other nodes: the number of the wish, or the batch that held it.
    elsewhere: BTreeMap<(ProfileId, PurposeName), (u64, u64)>,
}

impl Order {
    /// A place for a yes, taken before it is queued.
    pub(crate) fn place(&mut self) -> u64 {
        self.n_waiting = self.n_waiting.saturating_add(1);
        self.n_narrowed
    }

    /// The yes of a place is published, or lost.
    pub(crate) fn leave(&mut self) {
        self.n_waiting = self.n_waiting.saturating_sub(1);
        if self.n_waiting == 0 {
            self.narrowed.clear();
            self.elsewhere.clear();
        }
    }

    /// Notes an answer that narrows, before it is acknowledged; whether a yes waits that it may have to overtake.
    pub(crate) fn narrow(&mut self, person: ProfileId, purpose: &PurposeName) -> bool {
        if self.n_waiting == 0 {
            return false;
        }
        self.n_narrowed = self.n_narrowed.saturating_add(1);
        self.narrowed.insert((person, purpose.clone()), self.n_narrowed);
        true
    }

    /// A no that another node took: the number of the wish, or of the batch that held it.
    pub(crate) fn narrow_elsewhere(&mut self, person: ProfileId, purpose: PurposeName, at: (u64, u64)) {
        if self.n_waiting > 0 {
            let known = self.elsewhere.entry((person, purpose)).or_default();
            *known = (known.0.max(at.0), known.1.max(at.1));
        }
    }

    /// Whether this person took the purpose back at another node after a yes before which these were the newest wish and
    /// batch of all nodes.
    pub(crate) fn is_overtaken_elsewhere(&self, newest: (u64, u64), person: ProfileId, purpose: &PurposeName) -> bool {
        let is_later = |at: &(u64, u64)| at.0 > newest.0 || at.1 > newest.1;
        self.elsewhere.get(&(person, purpose.clone())).is_some_and(is_later)
    }

    /// Whether this person took the purpose back after the yes of this place was given.
    pub(crate) fn is_overtaken(&self, place: u64, person: ProfileId, purpose: &PurposeName) -> bool {
        self.narrowed.get(&(person, purpose.clone())).is_some_and(|at| *at > place)
    }
}
