//! When things end for one person that nobody asked for that day: a yes after a long silence, everything after they left,
//! and what a hold keeps longer and closes meanwhile. Pure: the standing in, dates out.
//!
//! Every date is a UTC midnight, rounded down. It removes nothing; whoever reads asks here, so a date is true also when
//! nobody has swept.

use crate::declaration::{Basis, Fate, FateKind, Promise};
use crate::judge::Standing;
use model::{At, Day, PurposeName};
use std::collections::BTreeSet;

/// A yes ends after so many days without an act of the person, unless the purpose says otherwise: two years, which is also
/// the longest for what is sensitive.
pub const LAPSE_DAYS: i32 = 730;

/// Within how many days after its end a thing is removed from live files and from backups of keys, unless the notice says
/// longer. Keys in backups live so long, so nothing shorter can be promised.
pub const REMOVED_WITHIN_DAYS: i32 = 7;

/// How often people are reminded of what they share, in days.
pub const REMIND_EVERY_DAYS: i32 = 365;

/// How long before a yes lapses the person is reminded at the latest, in days.
pub const REMIND_BEFORE_LAPSE_DAYS: i32 = 30;

/// Data that must not be deleted before a day, and serves nothing else meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The events and fields it is about; empty = everything about the person.
    pub names: BTreeSet<String>,
    /// It ends by itself when this day begins.
    pub until: Day,
}

impl Hold {
    /// Whether it holds at an instant.
    #[must_use]
    pub fn is_on(&self, now: At) -> bool {
        now < self.until.start()
    }

    /// Whether it is about everything, or about this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.contains(name)
    }
}

impl Standing {
    /// Until when something of this name is held at an instant; `None` = it is not.
    #[must_use]
    pub fn held_until(&self, name: &str, now: At) -> Option<At> {
        let holds = self.holds.iter().filter(|hold| hold.is_on(now) && hold.covers(name));
        holds.map(|hold| hold.until.start()).max()
    }

    /// Until when everything about the person is held; `None` = it is not.
    #[must_use]
    pub fn all_held_until(&self, now: At) -> Option<At> {
        let holds = self.holds.iter().filter(|hold| hold.is_on(now) && hold.names.is_empty());
        holds.map(|hold| hold.until.start()).max()
    }

    /// Until when the latest of all holds lasts; `None` = there is none on.
    #[must_use]
    pub fn any_held_until(&self, now: At) -> Option<At> {
        self.holds.iter().filter(|hold| hold.is_on(now)).map(|hold| hold.until.start()).max()
    }
}

impl Promise {
    /// When somebody has left, or will have if nothing is heard of them: they said so, or were silent for as long as the
    /// promise names. `None` = leaving is not declared, or nothing is known of them.
    #[must_use]
    pub fn leaves_at(&self, standing: &Standing) -> Option<At> {
        self.leaving_of(standing.last_act, standing.left_at)
    }

    /// The same from the two dates that it rests on.
    #[must_use]
    pub fn leaving_of(&self, last_act: Option<At>, left_at: Option<At>) -> Option<At> {
        let plan = self.after_leaving.as_ref()?;
        let silent = last_act.map(|at| at.day().plus(plan.inactive_days).start());
        [left_at, silent].into_iter().flatten().min()
    }

    /// What becomes of somebody's data once they have left: as they chose where the promise still offers that, else the
    /// strictest.
    #[must_use]
    pub fn fate(&self, standing: &Standing) -> Fate {
        let offered = |kind| self.after_leaving.as_ref().is_some_and(|plan| plan.choices.contains(&kind));
        match standing.fate {
            Some(Fate::Minimum) if offered(FateKind::Minimum) => Fate::Minimum,
            Some(Fate::Until(day)) if offered(FateKind::Until) => Fate::Until(day),
            _ => Fate::Forget,
        }
    }

    /// When everything about somebody ends by their leaving; `None` = it does not.
    #[must_use]
    pub fn ends_at(&self, standing: &Standing) -> Option<At> {
        let leaves_at = self.leaves_at(standing)?;
        match self.fate(standing) {
            Fate::Forget => Some(leaves_at),
            Fate::Minimum => None,
            Fate::Until(day) => Some(day.start().max(leaves_at)),
        }
    }

    /// Whether everything about somebody has ended: from then on they do not exist, swept or not.
    #[must_use]
    pub fn is_gone(&self, standing: &Standing, now: At) -> bool {
        self.ends_at(standing).is_some_and(|ends_at| ends_at <= now)
    }

    /// When a yes ends if nothing is heard of the person; `None` = there is no yes, or the purpose needs none.
    #[must_use]
    pub fn lapses_at(&self, purpose: &PurposeName, standing: &Standing) -> Option<At> {
        let declared = self.purposes.get(purpose).filter(|declared| declared.basis == Basis::Consent)?;
        let relation = standing.relations.get(purpose).filter(|relation| relation.status.is_given())?;
        let heard_at = standing.last_act.unwrap_or(relation.at).max(relation.at);
        let silent = heard_at.day().plus(declared.lapse_days).start();
        let left = self.leaves_at(standing).filter(|_| self.fate(standing) == Fate::Minimum);
        Some(left.map_or(silent, |left| left.min(silent)))
    }

    /// The next instant on which one of somebody's dates comes: a yes lapses, everything ends, a hold is over.
    #[must_use]
    pub fn next_date(&self, standing: &Standing, now: At) -> Option<At> {
        let lapses = standing.relations.keys().filter_map(|purpose| self.lapses_at(purpose, standing));
        let holds = standing.holds.iter().map(|hold| hold.until.start());
        let dates = lapses.chain(holds).chain(self.ends_at(standing)).chain(self.leaves_at(standing));
        dates.filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
