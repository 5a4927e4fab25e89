//! Responsible for noticing reads outside habit: an artefact that asks for a field for the first time, reads far more in an
//! hour than ever in the month before, or a member of staff who opens many people in a day.
//!
//! Pure: what was read goes in, alarms come out (`judge`); time is a parameter, nothing is written or sent. What is kept
//! are numbers by artefact, field and hour. Whom it was about is held for the running hour alone, as house numbers in
//! memory, so that somebody who is read twice counts once.
//!
//! Deliberately not: stopping anybody (`promise::judge` and the permits do that), or writing alarms down
//! (`commit::uses`). What it cannot see: a read that grows by less than [`TIMES_USUAL`] from one month to the next, and
//! reads by a program that does not go through a permit.
//!
//! To add one more kind: a variant of [`AlarmKind`] with its words and a number in [`AlarmKind::ALL`], its case in
//! `judge`, and an ordinary year without it in `alarm/tests.rs`.

use crate::unwritten::HOUR_MS;
use model::{AlarmId, At, Day};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};

/// How long counts by the hour are kept, in days: what is usual is what was so in this time.
pub const HABIT_DAYS: i32 = 28;

/// An hour is far above what is usual when it has more than so many times the highest of the days before.
pub const TIMES_USUAL: u64 = 3;

/// An hour in which fewer than so many people were read is never far above what is usual. It is the smallest group that
/// may be told of: below it chance alone trebles an hour.
pub const READS_FLOOR: u64 = 50;

/// A member of staff may open so many different people in a day.
pub const STAFF_PEOPLE_MAX: u64 = 20;

/// How long after its review an artefact may ask for what it never asked for before, in hours.
pub const LEARNING_HOURS: i64 = 24;

/// A house whose reviews are older than its counting learns what they are used to for so many days.
pub const FIRST_DAYS: i32 = 7;

/// How long alarms that somebody looked at are kept, in days.
pub(crate) const ALARM_DAYS: i32 = 400;

const HABIT_HOURS: i64 = HABIT_DAYS as i64 * 24;

/// What is out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// An artefact asked for something that it never asked for before.
    FirstRead,
    /// An artefact read far more people in an hour than it is used to.
    ManyRead,
    /// A member of staff opened many people in a day.
    ManyOpened,
}

impl AlarmKind {
    /// All, in the order of their numbers on record.
    pub const ALL: [Self; 3] = [Self::FirstRead, Self::ManyRead, Self::ManyOpened];

    /// The word used in records, metrics and the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstRead => "first_read",
            Self::ManyRead => "many_read",
            Self::ManyOpened => "many_opened",
        }
    }

    /// What to do about it, in words.
    #[must_use]
    pub const fn what_to_do(self) -> &'static str {
        match self {
            Self::FirstRead => {
                "Ask who changed it: was it reviewed for this? If it has just been started, or a rare field came up, say so; if nobody knows, pause it and review it again."
            }
            Self::ManyRead => {
                "Ask what made it read so much: a large campaign, an import, a new page? If nobody knows, pause it, replace the source's key, and read the incident page."
            }
            Self::ManyOpened => {
                "Ask this member of staff for the requests behind it. If there are none, end their sessions, and read the incident page: people can see who opened them."
            }
        }
    }
}

/// An alarm on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its id.
    pub id: AlarmId,
    /// When it was raised.
    pub at: At,
    /// What is out of the ordinary.
    pub kind: AlarmKind,
    /// Which artefact ("campaign win_back"), or which member of staff.
    pub who: String,
    /// What was read.
    pub fields: Vec<String>,
    /// Of how many people.
    pub n: u64,
    /// What was usual: the highest hour before, or what is allowed.
    pub usual: u64,
    /// Who looked at it, what they found, and when; `None` = it is open.
    pub acknowledged: Option<(String, String, At)>,
}

impl Alarm {
    /// What happened, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let fields = self.fields.join(", ");
        match self.kind {
            AlarmKind::FirstRead => format!("{} asked for {fields} for the first time", self.who),
            AlarmKind::ManyRead => format!(
                "{} read {fields} of {} people in one hour; the most in an hour of the {HABIT_DAYS} days before was {}",
                self.who, self.n, self.usual
            ),
            AlarmKind::ManyOpened => {
                format!("{} opened {} different people in one day; {} are usual at most", self.who, self.n, self.usual)
            }
        }
    }
}

/// What is to be judged: one artefact and one thing it read in the running hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub artefact: String,
    pub field: String,
    /// Different people, so far in this hour.
    pub n: u64,
    /// The highest hour of the days before.
    pub highest: u64,
    /// It never asked for this before.
    pub is_first: bool,
    /// It was reviewed lately: it is getting used to it.
    pub is_learning: bool,
}

/// What is out of the ordinary about one reading or one day of staff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub kind: AlarmKind,
    pub who: String,
    pub field: Option<String>,
    pub n: u64,
    pub usual: u64,
}

/// Counts in, alarms out.
pub(crate) fn judge(readings: &[Reading]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for reading in readings.iter().filter(|reading| !reading.is_learning) {
        let found = |kind| Finding {
            kind,
            who: reading.artefact.clone(),
            field: Some(reading.field.clone()),
            n: reading.n,
            usual: reading.highest,
        };
        if reading.is_first {
            findings.push(found(AlarmKind::FirstRead));
        }
        if reading.n >= READS_FLOOR && reading.n > reading.highest.saturating_mul(TIMES_USUAL) {
            findings.push(found(AlarmKind::ManyRead));
        }
    }
    findings
}

/// One member of staff and how many different people they opened today: in, alarm out.
pub(crate) fn judge_staff(staff: &str, n_people: u64) -> Option<Finding> {
    (n_people > STAFF_PEOPLE_MAX).then(|| Finding {
        kind: AlarmKind::ManyOpened,
        who: staff.to_owned(),
        field: None,
        n: n_people,
        usual: STAFF_PEOPLE_MAX,
    })
}

/// Artefact and field.
type Pair = (String, String);

/// What every artefact is used to.
#[derive(Clone, Default)]
pub(crate) struct Habit {
    /// Since when it is counted; `None` = from the next read on.
    pub since: Option<At>,
    /// That is not on record yet.
    pub is_new: bool,
    /// When each artefact first asked for anything, and what it ever asked for.
    pub known: BTreeMap<String, (At, BTreeSet<String>)>,
    /// Of how many people each thing was read, by the hour.
    counts: BTreeMap<Pair, BTreeMap<i64, u64>>,
    /// Hours on record.
    hours: BTreeSet<i64>,
    hour: i64,
    /// Different people in the running hour.
    people: BTreeMap<Pair, RoaringBitmap>,
    /// What the running hour had before the house was opened again: counted on, because whom it was about is forgotten.
    before: BTreeMap<Pair, u64>,
    highest: BTreeMap<Pair, u64>,
    /// Touched since the last judgement, and what was asked for the first time.
    touched: BTreeSet<Pair>,
    new: BTreeSet<Pair>,
    /// Counted since the running hour was last written, and when that was.
    is_unwritten: bool,
    written_at: Option<At>,
    day: Option<Day>,
    /// Whom each member of staff opened today.
    opened: BTreeMap<String, RoaringBitmap>,
}

impl Habit {
    /// Puts back what an hour had, from the record.
    pub(crate) fn put_hour(&mut self, hour: i64, counts: impl IntoIterator<Item = (Pair, u64)>) {
        self.hours.insert(hour);
        for (pair, n) in counts {
            self.counts.entry(pair).or_default().insert(hour, n);
        }
    }

    /// Goes to the hour of an instant. Hours that are older than is kept are taken away, and named; time never goes back.
    pub(crate) fn turn(&mut self, at: At) -> Vec<i64> {
        self.since.get_or_insert(at);
        let hour = at.ms().div_euclid(HOUR_MS);
        if hour <= self.hour && self.hour != 0 {
            return Vec::new();
        }
        self.hour = hour;
        self.people.clear();
        self.highest.clear();
        let here = self.counts.iter().filter_map(|(pair, hours)| Some((pair.clone(), *hours.get(&hour)?)));
        self.before = here.collect();
        let oldest = hour.saturating_sub(HABIT_HOURS);
        let kept = self.hours.split_off(&oldest);
        let gone = std::mem::replace(&mut self.hours, kept);
        if !gone.is_empty() {
            self.counts.values_mut().for_each(|hours| *hours = hours.split_off(&oldest));
            self.counts.retain(|_, hours| !hours.is_empty());
        }
        gone.into_iter().collect()
    }

    /// The running hour with its counts.
    pub(crate) fn running(&self) -> (i64, impl Iterator<Item = (&Pair, u64)>) {
        let counts = self.counts.iter().filter_map(|(pair, hours)| Some((pair, *hours.get(&self.hour)?)));
        (self.hour, counts)
    }

    /// Whether the running hour has to be written: it has counts that are not on record, for so long. Asked once before
    /// each writing.
    pub(crate) fn is_due(&mut self, now: At, after_ms: i64) -> bool {
        let is_due = self.is_unwritten && self.written_at.is_none_or(|at| at.plus_ms(after_ms) <= now);
        if is_due {
            (self.is_unwritten, self.written_at) = (false, Some(now));
        }
        is_due
    }

    /// An artefact asked for something. Whether that is new.
    pub(crate) fn asked(&mut self, artefact: &str, field: &str, at: At) -> bool {
        let (_, fields) = self.known.entry(artefact.to_owned()).or_insert_with(|| (at, BTreeSet::new()));
        let is_new = !fields.contains(field);
        if is_new {
            fields.insert(field.to_owned());
            let pair = (artefact.to_owned(), field.to_owned());
            self.new.insert(pair.clone());
            self.touched.insert(pair);
        }
        is_new
    }

    /// An artefact read something of these people, in the running hour.
    pub(crate) fn read(&mut self, artefact: &str, field: &str, people: &RoaringBitmap) {
        let pair = (artefact.to_owned(), field.to_owned());
        let here = self.people.entry(pair.clone()).or_default();
        *here |= people;
        let n = self.before.get(&pair).copied().unwrap_or(0).saturating_add(here.len());
        self.hours.insert(self.hour);
        self.counts.entry(pair.clone()).or_default().insert(self.hour, n);
        self.touched.insert(pair);
        self.is_unwritten = true;
    }

    /// A member of staff opened somebody on a day. Whether that alone is out of the ordinary.
    pub(crate) fn opened(&mut self, staff: &str, person: u32, day: Day) -> Option<Finding> {
        if self.day < Some(day) {
            self.day = Some(day);
            self.opened.clear();
        }
        if self.day != Some(day) {
            return None;
        }
        let people = self.opened.entry(staff.to_owned()).or_default();
        let is_new = people.insert(person);
        judge_staff(staff, people.len()).filter(|_| is_new)
    }

    /// What was touched since it was last asked, to be judged. `reviewed_at` says when an artefact was last reviewed as it stands;
    /// `None` = it is built in, and reviewed with the program.
    pub(crate) fn readings(&mut self, at: At, reviewed_at: impl Fn(&str) -> Option<At>) -> Vec<Reading> {
        let (touched, new) = (std::mem::take(&mut self.touched), std::mem::take(&mut self.new));
        let mut readings = Vec::new();
        for pair in &touched {
            let hours = self.counts.get(pair);
            let n = hours.and_then(|hours| hours.get(&self.hour)).copied().unwrap_or(0);
            let highest = match self.highest.get(pair) {
                Some(highest) => *highest,
                None => {
                    let before = hours.into_iter().flat_map(|hours| hours.range(..self.hour));
                    let highest = before.map(|(_, n)| *n).max().unwrap_or(0);
                    self.highest.insert(pair.clone(), highest);
                    highest
                }
            };
            let is_learning = self.is_learning(&pair.0, at, reviewed_at(&pair.0));
            let (artefact, field) = pair.clone();
            readings.push(Reading { artefact, field, n, highest, is_first: new.contains(pair), is_learning });
        }
        readings
    }

    fn is_learning(&self, artefact: &str, at: At, reviewed_at: Option<At>) -> bool {
        let since = self.since.unwrap_or(at);
        let first = || self.known.get(artefact).map_or(at, |(first, _)| *first);
        let began = reviewed_at.unwrap_or_else(first);
        let is_older = reviewed_at.is_some_and(|reviewed| reviewed < since);
        at < began.plus_ms(LEARNING_HOURS.saturating_mul(HOUR_MS)) || (is_older && at < since.plus_days(FIRST_DAYS))
    }
}

#[cfg(test)]
mod tests;
