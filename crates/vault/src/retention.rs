//! How long a thing may be kept: from a declared retention and the clock it names to an instant.
//!
//! It removes nothing (that is `commit::sweep`); it answers what has expired, at read time, to the second.

use crate::format::CoreForm;
use model::{At, Day, EventName, Fact, FactName};
use promise::{CandidatesPlan, Promise, Retention, RetentionId, Since};

/// The class id under which things live that belong to a person and to no declared class: the core record, ledger,
/// decisions.
pub(crate) const CORE: RetentionId = RetentionId([0; 4]);

/// How long decisions and messages are kept, in days: the promise has no key for it yet, so it is the longest time in
/// which a person may still ask why.
pub(crate) const DECISION_DAYS: i32 = 400;

/// The earliest instant of a decision that may still be read, sent or stand.
pub(crate) const fn oldest_decision(now: At) -> At {
    now.plus_days(-DECISION_DAYS)
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

/// When something of this class stops to exist: the person's latest event of the named kind moves some clocks.
pub(crate) fn expires_at(retention: &Retention, core: &CoreForm, kept_since: At) -> At {
    match &retention.since {
        Since::Receipt => retention.expires_at(kept_since),
        Since::Last(event) => {
            let last = core.last.get(event.as_str()).map_or(kept_since, |ms| At::from_ms(*ms));
            retention.expires_at(last.max(kept_since))
        }
    }
}

/// When something that was to end at an instant ends, now that its clock may have moved on.
pub(crate) fn moved_on(retention: &Retention, core: &CoreForm, until: At) -> At {
    match &retention.since {
        Since::Receipt => until,
        Since::Last(event) => {
            let last = core.last.get(event.as_str()).map(|ms| retention.expires_at(At::from_ms(*ms)));
            last.map_or(until, |last| last.max(until))
        }
    }
}

/// When a stored fact stops to exist: as written, unless its clock has moved since, or its declaration is gone.
pub(crate) fn of_stored(promise: &Promise, core: &CoreForm, fact: &Fact) -> At {
    match of_fact(promise, &fact.name) {
        None => At::from_ms(i64::MIN),
        Some(retention) if retention.since == Since::Receipt => fact.expires_at,
        Some(retention) => expires_at(retention, core, fact.as_of),
    }
}

/// When a fact of a class is removed: one that is not declared any more has no reader and ends with its class.
pub(crate) fn ends_at(promise: &Promise, class: &Retention, core: &CoreForm, fact: &Fact) -> At {
    match (of_fact(promise, &fact.name), &class.since) {
        (Some(_), _) => of_stored(promise, core, fact),
        (None, Since::Receipt) => fact.expires_at,
        (None, Since::Last(_)) => expires_at(class, core, fact.as_of),
    }
}

/// The clock day whose global secret goes into the record key; none where a clock can move.
pub(crate) fn secret_day(retention: &Retention, kept_since: At) -> Option<Day> {
    match retention.since {
        Since::Receipt => Some(kept_since.day()),
        Since::Last(_) => None,
    }
}

/// The first day of which buckets of this class may still be kept.
pub(crate) fn first_day(retention: &Retention, core: &CoreForm, today: Day) -> Day {
    match &retention.since {
        Since::Receipt => today.plus(1_i32.saturating_sub(retention.keep_days)),
        Since::Last(event) => {
            let last = core.last.get(event.as_str()).map(|ms| At::from_ms(*ms));
            let gone = last.is_some_and(|last| retention.expires_at(last) <= today.start());
            if gone { Day::from_number(i32::MAX) } else { Day::from_number(i32::MIN) }
        }
    }
}

/// Whether events of this name start a clock somewhere in the promise.
pub(crate) fn starts_a_clock(promise: &Promise, name: &EventName) -> bool {
    promise.retention_classes().values().any(|retention| retention.since == Since::Last(name.clone()))
}

/// The last day on which a bucket of this day may still be kept.
pub(crate) fn last_day(retention: &Retention, core: &CoreForm, day: Day) -> Day {
    let started = match &retention.since {
        Since::Receipt => day,
        Since::Last(event) => core.last.get(event.as_str()).map_or(day, |ms| At::from_ms(*ms).day()),
    };
    started.plus(retention.keep_days.saturating_sub(1))
}
