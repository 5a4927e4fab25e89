//! What changes between two promises, and which way: does the company get to do more, or less? `plan` prints this; only
//! a change that lets it do more needs notice, and never reaches people who agreed to the old words.

use crate::declaration::{AfterLeaving, EventPlan, Field, Promise, Purpose, RecipientPlan, Retention};
use model::{Class, Day, PurposeName};
use std::collections::{BTreeMap, BTreeSet};

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The company may do more, or something else: a weaker promise. What cannot be told counts as this.
    Expanding,
    /// The company may do less: a stronger promise.
    Narrowing,
    /// Nothing that was promised changes.
    Neutral,
}

/// What becomes of data that is stored already when how long, since when or for what it is kept changes.
const STORED: &str = " (what is stored goes on under the stricter of both)";

impl Direction {
    /// The word on `plan`'s page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expanding => "weaker",
            Self::Narrowing => "stronger",
            Self::Neutral => "same",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Which sort of declaration ("field") …
    pub kind: &'static str,
    /// … and which one ("email").
    pub name: String,
    /// What, in plain words: `keep "2 years" → "3 years"`.
    pub what: String,
    /// Which way.
    pub direction: Direction,
    /// The purposes whose promise it touches.
    pub purposes: Vec<PurposeName>,
}

/// All changes from one promise to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The changes, by declaration.
    pub list: Vec<Change>,
    /// Consent purposes that get weaker while the file claims that older answers still cover them: `since_notice` must be
    /// raised to the new version before this may be applied.
    pub uncovered: Vec<PurposeName>,
    /// The notice has to have a higher version and does not.
    pub needs_version: bool,
    tell_days: i32,
}

impl Changes {
    /// Whether people have to be told before it may start.
    #[must_use]
    pub fn needs_notice(&self) -> bool {
        self.list.iter().any(|change| change.direction == Direction::Expanding)
    }

    /// The earliest day on which the new promise may start when people are told on a day.
    #[must_use]
    pub fn earliest_start(&self, told_on: Day) -> Day {
        if self.needs_notice() { told_on.plus(self.tell_days) } else { told_on }
    }
}

/// What changes from `old` to `new`.
#[must_use]
pub fn changes(old: &Promise, new: &Promise) -> Changes {
    let mut out = Comparison { list: Vec::new() };
    out.house(old, new);
    out.purposes(old, new);
    out.sources(old, new);
    out.fields(old, new);
    out.events(old, new);
    out.traits(old, new);
    out.campaigns(old, new);
    out.recipients(old, new);
    let list = out.list;
    let weaker: BTreeSet<&PurposeName> = list
        .iter()
        .filter(|change| change.direction == Direction::Expanding)
        .flat_map(|change| &change.purposes)
        .filter(|purpose| old.purposes.contains_key(*purpose))
        .collect();
    let covered = |purpose: &PurposeName| {
        new.purposes
            .get(purpose)
            .is_none_or(|purpose| purpose.basis != crate::Basis::Consent || purpose.since_notice > old.notice.version)
    };
    let uncovered = weaker.into_iter().filter(|purpose| !covered(purpose)).cloned().collect();
    let expands = list.iter().any(|change| change.direction == Direction::Expanding);
    let needs_version = expands && new.notice.version <= old.notice.version;
    Changes { list, uncovered, needs_version, tell_days: old.notice.tell_people_before_days }
}

struct Comparison {
    list: Vec<Change>,
}

use Direction::{Expanding, Narrowing, Neutral};

impl Comparison {
    fn add(&mut self, kind: &'static str, name: &str, what: String, direction: Direction, purposes: &[PurposeName]) {
        self.list.push(Change { kind, name: name.to_owned(), what, direction, purposes: purposes.to_vec() });
    }

    /// Adds a change when two texts differ.
    fn text(
        &mut self,
        at: (&'static str, &str),
        key: &str,
        old: &str,
        new: &str,
        direction: Direction,
        to: &[PurposeName],
    ) {
        if old != new {
            self.add(at.0, at.1, format!("{key} “{old}” → “{new}”"), direction, to);
        }
    }

    /// Adds what came to and went from a set.
    fn set<T: Ord + std::fmt::Display>(
        &mut self,
        at: (&'static str, &str),
        key: &str,
        (old, new): (&BTreeSet<T>, &BTreeSet<T>),
        (come, go): (Direction, Direction),
        to: &[PurposeName],
    ) {
        for value in new.difference(old) {
            self.add(at.0, at.1, format!("{key} + “{value}”"), come, to);
        }
        for value in old.difference(new) {
            self.add(at.0, at.1, format!("{key} − “{value}”"), go, to);
        }
    }

    fn house(&mut self, old: &Promise, new: &Promise) {
        let all: Vec<PurposeName> = old.purposes.keys().cloned().collect();
        self.text(("company", ""), "company", &old.company, &new.company, Expanding, &all);
        self.text(("company", ""), "contact", &old.contact, &new.contact, Neutral, &[]);
        self.text(("company", ""), "address", &old.address, &new.address, Neutral, &[]);
        self.text(("company", ""), "zone", &old.zone, &new.zone, Neutral, &[]);
        self.text(("company", ""), "currency", old.currency.as_str(), new.currency.as_str(), Neutral, &[]);
        let words = |promise: &Promise| promise.guard.never_infer.iter().cloned().collect::<BTreeSet<_>>();
        self.set(("guard", ""), "never_infer", (&words(old), &words(new)), (Narrowing, Expanding), &[]);
        let (a, b) = (old.guard.smallest_group, new.guard.smallest_group);
        self.number(("guard", ""), "smallest_group", i64::from(a), i64::from(b), (Narrowing, Expanding), &[]);
        let rate = |promise: &Promise| {
            // Messages in 210 days: 1, 7 and 30 divide it.
            i64::from(promise.cap.at_most) * 210 / i64::from(promise.cap.per_days.max(1))
        };
        let says = |promise: &Promise| format!("{} in {} days", promise.cap.at_most, promise.cap.per_days);
        if says(old) != says(new) {
            let direction = if rate(new) > rate(old) { Expanding } else { Narrowing };
            self.add("cap", "default", format!("{} → {}", says(old), says(new)), direction, &[]);
        }
        let quiet = |promise: &Promise| (promise.cap.quiet_from, promise.cap.quiet_until);
        if quiet(old) != quiet(new) {
            let direction = if quiet_within(quiet(old), quiet(new)) { Narrowing } else { Expanding };
            self.add("cap", "default", "quiet hours change".to_owned(), direction, &[]);
        }
        let days = |promise: &Promise| i64::from(promise.notice.tell_people_before_days);
        self.number(("notice", ""), "tell_people_before", days(old), days(new), (Narrowing, Expanding), &[]);
        let days = |promise: &Promise| i64::from(promise.notice.removed_within_days);
        self.number(("notice", ""), "removed_within", days(old), days(new), (Expanding, Narrowing), &[]);
        self.after_leaving(old.after_leaving.as_ref(), new.after_leaving.as_ref(), &all);
        let (a, b) = (i64::from(old.notice.version), i64::from(new.notice.version));
        self.number(("notice", ""), "version", a, b, (Neutral, Neutral), &[]);
    }

    fn after_leaving(&mut self, old: Option<&AfterLeaving>, new: Option<&AfterLeaving>, all: &[PurposeName]) {
        let at = ("after_leaving", "");
        match (old, new) {
            (None, None) => {}
            (None, Some(_)) => self.add(at.0, at.1, "silence counts as leaving".to_owned(), Narrowing, &[]),
            (Some(_), None) => self.add(at.0, at.1, "nobody counts as having left".to_owned(), Expanding, all),
            (Some(old), Some(new)) => {
                let days = |plan: &AfterLeaving| i64::from(plan.inactive_days);
                self.number(at, "inactive days", days(old), days(new), (Expanding, Narrowing), all);
                let words = |plan: &AfterLeaving| plan.choices.iter().map(|choice| choice.as_str()).collect();
                let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (words(old), words(new));
                // A choice more is the person's to make; one less ends what they chose as the strictest.
                self.set(at, "choices", (&before, &after), (Neutral, Narrowing), &[]);
                let days = |plan: &AfterLeaving| i64::from(plan.until_days_max);
                self.number(at, "until_at_most days", days(old), days(new), (Neutral, Narrowing), &[]);
            }
        }
    }

    fn number(
        &mut self,
        at: (&'static str, &str),
        key: &str,
        old: i64,
        new: i64,
        (more, less): (Direction, Direction),
        to: &[PurposeName],
    ) {
        if old != new {
            self.add(at.0, at.1, format!("{key} {old} → {new}"), if new > old { more } else { less }, to);
        }
    }

    fn purposes(&mut self, old: &Promise, new: &Promise) {
        for (name, before, after) in pairs(&old.purposes, &new.purposes) {
            let (at, own) = (("purpose", name.as_str()), std::slice::from_ref(name));
            match (before, after) {
                (None, _) => self.add(at.0, at.1, "added".to_owned(), Expanding, own),
                (_, None) => self.add(at.0, at.1, "removed".to_owned(), Narrowing, own),
                (Some(before), Some(after)) => self.purpose(at, before, after, own),
            }
        }
    }

    fn purpose(&mut self, at: (&'static str, &str), old: &Purpose, new: &Purpose, own: &[PurposeName]) {
        // Other words are other words: whoever agreed to the old ones has not seen these.
        self.text(at, "says", &old.says, &new.says, Expanding, own);
        if old.says_in != new.says_in {
            self.add(at.0, at.1, "says in another language".to_owned(), Expanding, own);
        }
        if old.basis != new.basis {
            let direction = if new.basis == crate::Basis::Consent { Narrowing } else { Expanding };
            let what = format!("basis {} → {}", old.basis.as_str(), new.basis.as_str());
            self.add(at.0, at.1, what, direction, own);
        }
        let days = |purpose: &Purpose| i64::from(purpose.lapse_days);
        self.number(at, "lapses_after days", days(old), days(new), (Expanding, Narrowing), own);
        let before: BTreeMap<&str, &BTreeSet<String>> =
            old.levels.iter().map(|(name, set)| (name.as_str(), set)).collect();
        let after: BTreeMap<&str, &BTreeSet<String>> =
            new.levels.iter().map(|(name, set)| (name.as_str(), set)).collect();
        for (level, before, after) in pairs(&before, &after) {
            match (before, after) {
                (None, _) => self.add(at.0, at.1, format!("level “{level}” added"), Narrowing, own),
                (_, None) => self.add(at.0, at.1, format!("level “{level}” removed"), Expanding, own),
                (Some(a), Some(b)) => self.set(at, &format!("level “{level}”"), (*a, *b), (Expanding, Narrowing), own),
            }
        }
        // A name that no level lists any more is read at every level.
        let listed = |purpose: &Purpose| purpose.levels.last().map(|(_, names)| names.clone()).unwrap_or_default();
        for name in listed(old).difference(&listed(new)) {
            self.add(at.0, at.1, format!("“{name}” is in no level any more"), Expanding, own);
        }
    }

    fn recipients(&mut self, old: &Promise, new: &Promise) {
        for (name, before, after) in pairs(&old.recipients, &new.recipients) {
            let at = ("recipient", name.as_str());
            match (before, after) {
                (None, _) => self.add(at.0, at.1, "added".to_owned(), Expanding, &[]),
                (_, None) => self.add(at.0, at.1, "removed".to_owned(), Narrowing, &[]),
                (Some(before), Some(after)) => self.recipient(at, before, after),
            }
        }
    }

    fn recipient(&mut self, at: (&'static str, &str), old: &RecipientPlan, new: &RecipientPlan) {
        self.text(at, "who", &old.who, &new.who, Expanding, &[]);
        self.text(at, "why", &old.why, &new.why, Expanding, &[]);
        self.text(at, "where", &old.place, &new.place, Expanding, &[]);
        let what = |plan: &RecipientPlan| plan.what.iter().cloned().collect::<BTreeSet<_>>();
        self.set(at, "what", (&what(old), &what(new)), (Expanding, Narrowing), &[]);
        if old.until != new.until {
            let day = |day: Option<Day>| day.map_or_else(|| "no end".to_owned(), |day| day.to_string());
            let sooner = new.until.is_some_and(|until| old.until.is_none_or(|before| until < before));
            let what = format!("until {} → {}", day(old.until), day(new.until));
            self.add(at.0, at.1, what, if sooner { Narrowing } else { Expanding }, &[]);
        }
        match (&old.erase, &new.erase) {
            (Some(before), Some(after)) => self.text(at, "erase", before, after, Neutral, &[]),
            (Some(_), None) => {
                self.add(at.0, at.1, "is not told any more when somebody is erased".to_owned(), Expanding, &[]);
            }
            (None, Some(_)) => {
                self.add(at.0, at.1, "is told when somebody is erased".to_owned(), Narrowing, &[]);
            }
            (None, None) => {}
        }
    }

    fn sources(&mut self, old: &Promise, new: &Promise) {
        for (name, before, after) in pairs(&old.sources, &new.sources) {
            let at = ("source", name.as_str());
            match (before, after) {
                (None, _) => self.add(at.0, at.1, "added".to_owned(), Expanding, &[]),
                (_, None) => self.add(at.0, at.1, "removed".to_owned(), Narrowing, &[]),
                (Some(before), Some(after)) => {
                    self.text(at, "kind", before.kind.as_str(), after.kind.as_str(), Expanding, &[]);
                    let origins = |origins: &Vec<String>| origins.iter().cloned().collect::<BTreeSet<_>>();
                    let sets = (&origins(&before.origins), &origins(&after.origins));
                    self.set(at, "origins", sets, (Expanding, Narrowing), &[]);
                    if before.consent != after.consent {
                        let touched: Vec<PurposeName> = after.consent.values().cloned().collect();
                        self.add(at.0, at.1, "consent categories change".to_owned(), Expanding, &touched);
                    }
                }
            }
        }
    }

    fn fields(&mut self, old: &Promise, new: &Promise) {
        for (name, before, after) in pairs(&old.fields, &new.fields) {
            let at = ("field", name.as_str());
            match (before, after) {
                (None, Some(after)) => self.add(at.0, at.1, "added".to_owned(), Expanding, &after.retention.purposes),
                (Some(before), None) => {
                    self.add(
                        at.0,
                        at.1,
                        "removed: its values are closed, and end by the old words".to_owned(),
                        Narrowing,
                        &before.retention.purposes,
                    );
                }
                (Some(before), Some(after)) => self.field(at, before, after),
                (None, None) => {}
            }
        }
    }

    fn field(&mut self, at: (&'static str, &str), old: &Field, new: &Field) {
        let own = &new.retention.purposes;
        self.retention(at, &old.retention, &new.retention);
        self.class(at, old.class, new.class, own);
        self.text(at, "from", &old.from, &new.from, Expanding, own);
        let word = crate::notice::kind_word;
        self.text(at, "type", word(old.kind), word(new.kind), Expanding, own);
        let allowed = |field: &Field| field.one_of.iter().cloned().collect::<BTreeSet<_>>();
        match (old.one_of.is_empty(), new.one_of.is_empty()) {
            (false, true) => self.add(at.0, at.1, "one_of removed: any text".to_owned(), Expanding, own),
            (true, false) => self.add(at.0, at.1, "one_of added".to_owned(), Narrowing, own),
            _ => self.set(at, "one_of", (&allowed(old), &allowed(new)), (Expanding, Narrowing), own),
        }
        if old.context != new.context {
            self.add(at.0, at.1, "context changes".to_owned(), Expanding, own);
        }
    }

    fn class(&mut self, at: (&'static str, &str), old: Class, new: Class, to: &[PurposeName]) {
        if old != new {
            let direction = if new > old { Narrowing } else { Expanding };
            self.add(at.0, at.1, "class changes".to_owned(), direction, to);
        }
    }

    fn retention(&mut self, at: (&'static str, &str), old: &Retention, new: &Retention) {
        let set = |retention: &Retention| retention.purposes.iter().cloned().collect::<BTreeSet<_>>();
        let (before, after) = (set(old), set(new));
        for purpose in after.difference(&before) {
            self.add(at.0, at.1, format!("for + “{purpose}”{STORED}"), Expanding, std::slice::from_ref(purpose));
        }
        for purpose in before.difference(&after) {
            self.add(at.0, at.1, format!("for − “{purpose}”{STORED}"), Narrowing, std::slice::from_ref(purpose));
        }
        if old.keep_days != new.keep_days {
            let direction = if new.keep_days > old.keep_days { Expanding } else { Narrowing };
            let length = crate::notice::length;
            let what = format!("keep “{}” → “{}”{STORED}", length(old.keep_days), length(new.keep_days));
            self.add(at.0, at.1, what, direction, &new.purposes);
        }
        if old.since != new.since {
            self.add(at.0, at.1, format!("another clock for its end{STORED}"), Expanding, &new.purposes);
        }
        if old.end_on != new.end_on {
            let direction = if old.end_on.is_none() { Narrowing } else { Expanding };
            self.add(at.0, at.1, format!("another event ends it{STORED}"), direction, &new.purposes);
        }
    }

    fn events(&mut self, old: &Promise, new: &Promise) {
        for (name, before, after) in pairs(&old.events, &new.events) {
            let at = ("event", name.as_str());
            match (before, after) {
                (None, Some(after)) => self.add(at.0, at.1, "added".to_owned(), Expanding, &after.retention.purposes),
                (Some(before), None) => {
                    let what = "removed: what is stored is closed, and ends by the old words".to_owned();
                    self.add(at.0, at.1, what, Narrowing, &before.retention.purposes);
                }
                (Some(before), Some(after)) => self.event(at, before, after),
                (None, None) => {}
            }
        }
    }

    fn event(&mut self, at: (&'static str, &str), old: &EventPlan, new: &EventPlan) {
        let own = &new.retention.purposes;
        self.retention(at, &old.retention, &new.retention);
        self.class(at, old.class, new.class, own);
        let word = crate::notice::kind_word;
        let has = |event: &EventPlan| {
            event.has.iter().map(|(name, kind)| format!("{name}: {}", word(*kind))).collect::<BTreeSet<_>>()
        };
        self.set(at, "has", (&has(old), &has(new)), (Expanding, Narrowing), own);
        if old.lines != new.lines {
            let direction = if new.lines { Expanding } else { Narrowing };
            self.add(at.0, at.1, format!("lines {} → {}", old.lines, new.lines), direction, own);
        }
        if old.context != new.context {
            self.add(at.0, at.1, "context changes".to_owned(), Expanding, own);
        }
    }

    fn traits(&mut self, old: &Promise, new: &Promise) {
        for (name, before, after) in pairs(&old.traits, &new.traits) {
            let at = ("trait", name.as_str());
            match (before, after) {
                (None, Some(after)) => self.add(at.0, at.1, "added".to_owned(), Expanding, &after.purposes),
                (Some(before), None) => self.add(at.0, at.1, "removed".to_owned(), Narrowing, &before.purposes),
                (Some(before), Some(after)) => {
                    self.text(at, "is", &before.is.to_string(), &after.is.to_string(), Expanding, &after.purposes);
                    self.text(at, "says", &before.says, &after.says, Neutral, &[]);
                    let set = |purposes: &[PurposeName]| purposes.iter().cloned().collect::<BTreeSet<_>>();
                    let sets = (&set(&before.purposes), &set(&after.purposes));
                    self.set(at, "for", sets, (Expanding, Narrowing), &after.purposes);
                }
                (None, None) => {}
            }
        }
        match (&old.candidates, &new.candidates) {
            (None, Some(after)) => {
                self.add("trait", "candidates", "items are picked for people".to_owned(), Expanding, &after.purposes);
            }
            (Some(before), None) => {
                self.add("trait", "candidates", "no items are picked any more".to_owned(), Narrowing, &before.purposes);
            }
            (Some(before), Some(after)) => {
                let set = |purposes: &[PurposeName]| purposes.iter().cloned().collect::<BTreeSet<_>>();
                let sets = (&set(&before.purposes), &set(&after.purposes));
                self.set(("trait", "candidates"), "for", sets, (Expanding, Narrowing), &after.purposes);
                let sets = (&before.events, &after.events);
                self.set(("trait", "candidates"), "rests on", sets, (Expanding, Narrowing), &after.purposes);
            }
            (None, None) => {}
        }
    }

    /// Segments, offers and campaigns stay within what was promised (`check` sees to that), so a change needs a review
    /// and no notice.
    fn campaigns(&mut self, old: &Promise, new: &Promise) {
        let kinds = [crate::ArtefactKind::Segment, crate::ArtefactKind::Campaign];
        for kind in kinds {
            let of = |promise: &Promise| {
                let artefacts = promise.artefacts().values().filter(|artefact| artefact.kind == kind);
                artefacts.map(|artefact| (artefact.name.clone(), artefact.id)).collect::<BTreeMap<_, _>>()
            };
            for (name, before, after) in pairs(&of(old), &of(new)) {
                let what = match (before, after) {
                    (None, _) => "added: needs a review",
                    (_, None) => "removed",
                    (Some(before), Some(after)) if before != after => "changes: needs a review",
                    _ => continue,
                };
                self.add(kind.as_str(), name, what.to_owned(), Neutral, &[]);
            }
        }
    }
}

/// Every key of two maps with what each holds, in order.
fn pairs<'m, K: Ord, V>(
    old: &'m BTreeMap<K, V>,
    new: &'m BTreeMap<K, V>,
) -> impl Iterator<Item = (&'m K, Option<&'m V>, Option<&'m V>)> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    keys.into_iter().map(|key| (key, old.get(key), new.get(key)))
}

/// Whether every quiet minute of one time of day is quiet in another.
fn quiet_within((from, until): (u16, u16), wider: (u16, u16)) -> bool {
    const DAY: u16 = 24 * 60;
    let is_quiet = |(from, until): (u16, u16), minute: u16| match from.cmp(&until) {
        std::cmp::Ordering::Equal => false,
        std::cmp::Ordering::Less => (from..until).contains(&minute),
        std::cmp::Ordering::Greater => minute >= from || minute < until,
    };
    (0..DAY).all(|minute| !is_quiet((from, until), minute) || is_quiet(wider, minute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::SHOP;

    fn after(from: &str, to: &str) -> Changes {
        assert!(SHOP.contains(from), "{from}");
        let new = SHOP.replacen(from, to, 1);
        let new = crate::parse("new.toml", &new)
            .unwrap_or_else(|report| panic!("{}", report.render(&new, crate::Style::Plain)));
        changes(&crate::parse("old.toml", SHOP).unwrap(), &new)
    }

    fn directions(changes: &Changes) -> Vec<(&'static str, Direction)> {
        changes.list.iter().map(|change| (change.kind, change.direction)).collect()
    }

    #[test]
    fn comments_and_spaces_change_nothing() {
        let changes = after("[guard]\n", "# Never.\n\n[guard]\n\n");
        assert_eq!(changes.list, []);
        assert!(!changes.needs_notice() && changes.uncovered.is_empty() && !changes.needs_version);
    }

    #[test]
    fn changes_are_told_apart_by_what_the_company_may_do() {
        for (from, to, kind, direction) in [
            ("keep = \"30 days\"", "keep = \"60 days\"", "event", Expanding),
            ("keep = \"30 days\"", "keep = \"7 days\"", "event", Narrowing),
            ("has = { path = \"text\" }", "has = { path = \"text\", title = \"text\" }", "event", Expanding),
            ("has = { path = \"text\" }\n", "", "event", Narrowing),
            ("Count which pages", "Look at which pages", "purpose", Expanding),
            ("smallest_group = 50", "smallest_group = 80", "guard", Narrowing),
            ("\"2 per week\"", "\"9 per month\"", "cap", Expanding),
            ("\"2 per week\"", "\"8 per month\"", "cap", Narrowing),
            ("21:00-08:00", "20:00-09:00", "cap", Narrowing),
            ("21:00-08:00", "22:00-09:00", "cap", Expanding),
            ("\"30 days\"\n", "\"14 days\"\n", "event", Narrowing),
            ("[source.shop]\nkind = \"server\"\n", "", "source", Narrowing),
            ("class = \"personal\"", "class = \"plain\"", "field", Neutral),
            ("class = \"personal\"", "class = \"sensitive\"", "field", Narrowing),
            ("days(90)", "days(60)", "trait", Expanding),
            ("\"XL\"]", "\"XL\", \"XXL\"]", "field", Expanding),
            ("full = [\"group\", \"item\"]", "full = [\"group\", \"item\", \"path\"]", "purpose", Expanding),
            ("A little something", "Something", "campaign", Neutral),
            ("\"10%\"", "\"20%\"", "campaign", Neutral),
            ("company = \"Corner Gifts Ltd\"", "company = \"Other Gifts Ltd\"", "company", Expanding),
        ] {
            let changes = after(from, to);
            // An e-mail address is personal whatever the file says.
            let expected: Vec<_> = if to.contains("plain") { vec![] } else { vec![(kind, direction)] };
            let found: Vec<_> = directions(&changes).into_iter().filter(|(found, _)| *found == kind).collect();
            assert_eq!(found, expected, "{from} → {to}");
            assert_eq!(changes.needs_notice(), direction == Expanding, "{from} → {to}");
        }
    }

    #[test]
    fn a_weaker_promise_needs_a_version_a_notice_and_new_answers() {
        let changes = after("keep = \"90 days\"", "keep = \"180 days\"");
        assert!(changes.needs_notice() && changes.needs_version);
        assert_eq!(changes.uncovered.iter().map(PurposeName::as_str).collect::<Vec<_>>(), ["offers"]);
        let day = Day::parse("2026-06-01").unwrap();
        assert_eq!(changes.earliest_start(day), Day::parse("2026-07-01").unwrap());

        let new = SHOP
            .replace("keep = \"90 days\"", "keep = \"180 days\"")
            .replace("version = 1", "version = 2")
            .replace("what you bought.\"\nbasis", "what you bought.\"\nsince_notice = 2\nbasis");
        let changes = changes_of(&new);
        assert!(changes.uncovered.is_empty() && !changes.needs_version && changes.needs_notice());
    }

    fn changes_of(new: &str) -> Changes {
        changes(&crate::parse("old.toml", SHOP).unwrap(), &crate::parse("new.toml", new).unwrap())
    }

    #[test]
    fn a_stronger_promise_starts_at_once() {
        let changes = after("keep = \"90 days\"", "keep = \"30 days\"");
        let day = Day::parse("2026-06-01").unwrap();
        assert_eq!(changes.earliest_start(day), day);
        assert!(changes.uncovered.is_empty() && !changes.needs_version);
    }

    #[test]
    fn there_and_back_again_every_expansion_is_a_narrowing() {
        let old = crate::parse("old.toml", SHOP).unwrap();
        let new = SHOP
            .replace("keep = \"90 days\"", "keep = \"180 days\"")
            .replace("smallest_group = 50", "smallest_group = 70")
            .replace("for = [\"measuring\"]", "for = [\"measuring\", \"offers\"]");
        let new = crate::parse("new.toml", &new).unwrap();
        let count =
            |changes: &Changes, direction| changes.list.iter().filter(|change| change.direction == direction).count();
        let (there, back) = (changes(&old, &new), changes(&new, &old));
        assert_eq!(count(&there, Expanding), 2);
        assert_eq!(count(&there, Narrowing), 1);
        assert_eq!((count(&back, Expanding), count(&back, Narrowing)), (1, 2));
    }
}
