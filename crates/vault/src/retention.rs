//! How long a thing may be kept: from a declared retention and the clock it names to an instant.
//!
//! It removes nothing (that is `commit::sweep`) and knows one wording at a time (`terms` knows all that were in force); it
//! answers what has expired, at read time, to the second.

use crate::format::CoreForm;
use model::{At, Day, EventName, FactName};
use promise::{CandidatesPlan, Promise, Retention, RetentionId, Since};
use std::collections::BTreeMap;

/// The class id under which things live that belong to a person and to no declared class: the core record, ledger,
/// decisions.
pub(crate) const CORE: RetentionId = RetentionId([0; 4]);

/// How long decisions and messages are kept, in days: the promise has no key for it yet, so it is the longest time in
/// which a person may still ask why.
pub(crate) const DECISION_DAYS: i32 = 400;

/// The earliest instant of a decision, with its message, that may still be read, sent or stand: it ends at a midnight.
pub(crate) fn oldest_decision(now: At) -> At {
    now.day().plus(1 - DECISION_DAYS).start()
}

/// How long use counters and use runs are kept, in days.
pub(crate) const USE_DAYS: i32 = 30;

/// How long a message id is remembered, in days.
pub(crate) const MARK_DAYS: i32 = 7;

/// How long a class is kept closed before its secret goes, in days: the undo of a withdrawal.
pub(crate) const UNDO_DAYS: i32 = 7;

/// How long the why of a message opens from its link and for the company's servers, in days.
pub const WHY_DAYS: i32 = 30;

/// Within how many days after a key was deleted the keys are rotated, so that no copy of it opens any more. The program
/// that serves rotates every night in which a deleted key waits.
pub const ROTATED_WITHIN_DAYS: i32 = 1;

/// The retention of an event.
pub(crate) fn of_event<'p>(promise: &'p Promise, name: &EventName) -> Option<&'p Retention> {
    promise.events.get(name).map(|plan| &plan.retention)
}

/// The retention of a fact that is written (fields and the candidates; other traits live in buckets).
pub(crate) fn of_fact<'p>(promise: &'p Promise, name: &FactName) -> Option<&'p Retention> {
    match name {
        FactName::Field(name) => promise.fields.get(name).map(|field| &field.retention),
        FactName::Trait(name) if name.as_str() == CandidatesPlan::NAME => {
            promise.candidates.as_ref().map(|plan| &plan.retention)
        }
        FactName::Trait(_) => None,
    }
}

/// What moves the clocks of one person: the latest event of each name that starts or ends one, and when they leave.
#[derive(Clone)]
pub(crate) struct Clocks {
    last: BTreeMap<String, i64>,
    leaves_at: Option<At>,
}

impl Clocks {
    pub(crate) fn of(promise: &Promise, core: &CoreForm) -> Self {
        let heard_at = (!core.is_tied_device()).then(|| core.heard_at());
        let leaves_at = promise.leaving_of(heard_at, core.left_at.map(At::from_ms));
        Self { last: core.last.clone(), leaves_at }
    }

    /// The same after one more event of a name.
    pub(crate) fn after(mut self, name: &EventName, at: At) -> Self {
        let last = self.last.entry(name.as_str().to_owned()).or_insert(i64::MIN);
        *last = (*last).max(at.ms());
        self
    }

    pub(crate) fn last(&self, event: &EventName) -> Option<At> {
        self.last.get(event.as_str()).map(|ms| At::from_ms(*ms))
    }

    /// When the clock of something kept since an instant started.
    fn started(&self, since: &Since, kept_since: At) -> At {
        match since {
            Since::Receipt => kept_since,
            Since::Last(event) => self.last(event).map_or(kept_since, |last| last.max(kept_since)),
            // Where nobody counts as having left any more, the clock runs from receipt: of two readings the stricter one.
            Since::Leaving => self.leaves_at.map_or(kept_since, |leaves_at| leaves_at.max(kept_since)),
        }
    }
}

/// When something of this class stops to exist.
pub(crate) fn expires_at(retention: &Retention, clocks: &Clocks, kept_since: At) -> At {
    let ends = retention.expires_at(clocks.started(&retention.since, kept_since));
    ended_on(retention, clocks, kept_since).map_or(ends, |ended| ended.min(ends))
}

/// When the event that ends it came, if one did.
pub(crate) fn ended_on(retention: &Retention, clocks: &Clocks, kept_since: At) -> Option<At> {
    let event = retention.end_on.as_ref()?;
    clocks.last(event).filter(|last| *last >= kept_since)
}

/// When something that was to end at an instant ends, now that its clock may have moved on.
pub(crate) fn moved_on(retention: &Retention, clocks: &Clocks, until: At) -> At {
    let started = match &retention.since {
        Since::Receipt => None,
        Since::Last(event) => clocks.last(event),
        Since::Leaving => clocks.leaves_at,
    };
    started.map_or(until, |started| retention.expires_at(started).max(until))
}

/// The clock day whose global secret goes into the record key; none where a clock can move.
pub(crate) fn secret_day(retention: &Retention, kept_since: At) -> Option<Day> {
    match retention.since {
        Since::Receipt => Some(kept_since.day()),
        Since::Last(_) | Since::Leaving => None,
    }
}

/// The first day on which a bucket of a day may not be kept any more. A day on which it was ended by an event ends whole.
pub(crate) fn bucket_ends(retention: &Retention, clocks: &Clocks, day: Day) -> Day {
    let ends = clocks.started(&retention.since, day.start()).day().plus(retention.keep_days);
    ended_on(retention, clocks, day.start()).map_or(ends, |ended| ended.day().min(ends))
}
