//! Under which words a stored thing is kept: those it came under, and all that were in force since. The strictest of them
//! holds: the earliest end, and only the purposes that all of them name. So a promise that changes never lengthens what was
//! promised for what is stored, and never opens it for more.
//!
//! The house remembers every wording of every declaration, with its days. It judges nobody, and it removes nothing.

use crate::VaultError;
use crate::engine::EngineSnapshot;
use crate::format::{self, SpokenForm, TermsForm};
use crate::house::House;
use crate::person::StoredEvent;
use crate::projection::{Bucket, TraitColumn};
use crate::retention::{self, Clocks};
use model::{At, Day, EventName, Fact, FactName, FieldName, Provenance, PurposeName, TraitName};
use promise::{CandidatesPlan, Promise, Retention, RetentionId, Since};
use std::collections::{BTreeMap, BTreeSet};

/// The named record of all wordings.
pub(crate) const RECORD: &str = "retention/terms";

/// The named record in which the program keeps the text of the promise in force; absent before the first one.
pub const PROMISE_IN_FORCE: &str = "promise/now";

/// One wording of one declaration, and when it was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    from: At,
    /// Not any more from here on; the latest instant for what is in force.
    until: At,
    retention: Retention,
}

const FOR_EVER: At = At::from_ms(i64::MAX);

/// All wordings: oldest first, the last one of each declaration is in force unless it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    events: BTreeMap<EventName, Vec<Spoken>>,
    facts: BTreeMap<FactName, Vec<Spoken>>,
    /// Every class that was ever declared.
    classes: BTreeMap<RetentionId, Retention>,
    /// Classes in which trait buckets may lie.
    bucket_classes: BTreeSet<RetentionId>,
    /// Events that start or end a clock.
    clocks: BTreeSet<EventName>,
    /// The wordings of the event behind each trait, by column.
    columns: Vec<Vec<Spoken>>,
}

impl Terms {
    /// Those of one promise alone.
    pub(crate) fn of(promise: &Promise, columns: &[TraitColumn]) -> Self {
        let mut terms = Self::default();
        terms.speak(promise, At::from_ms(i64::MIN));
        terms.gather(columns);
        terms
    }

    /// Adds a promise that is in force from an instant on.
    fn speak(&mut self, promise: &Promise, now: At) {
        let events: BTreeMap<EventName, Retention> =
            promise.events.iter().map(|(name, plan)| (name.clone(), plan.retention.clone())).collect();
        let fields = promise.fields.values();
        let mut facts: BTreeMap<FactName, Retention> =
            fields.map(|field| (FactName::Field(field.name.clone()), field.retention.clone())).collect();
        let candidates = TraitName::parse(CandidatesPlan::NAME).ok().zip(promise.candidates.as_ref());
        facts.extend(candidates.map(|(name, plan)| (FactName::Trait(name), plan.retention.clone())));
        say(&mut self.events, events, now);
        say(&mut self.facts, facts, now);
    }

    /// What is asked often, worked out once.
    fn gather(&mut self, columns: &[TraitColumn]) {
        let all = self.events.values().chain(self.facts.values()).flatten().map(|spoken| &spoken.retention);
        self.classes = all.clone().map(|retention| (retention.id(), retention.clone())).collect();
        let started = all.clone().filter_map(|retention| match &retention.since {
            Since::Last(event) => Some(event.clone()),
            Since::Receipt | Since::Leaving => None,
        });
        self.clocks = started.chain(all.filter_map(|retention| retention.end_on.clone())).collect();
        let of = |column: &TraitColumn| self.events.get(&column.event).cloned().unwrap_or_default();
        self.columns = columns.iter().map(of).collect();
        self.bucket_classes = self.columns.iter().flatten().map(|spoken| spoken.retention.id()).collect();
    }

    /// Those that the house remembers, with the promise in force and the one it is opened under; and what is to be
    /// remembered from now on, when that is anything new.
    pub(crate) fn load(house: &House, store: &dyn EngineSnapshot) -> Result<(Self, Option<Vec<u8>>), VaultError> {
        let promise = &house.household.promise;
        let mut terms = match house.house_record(store, RECORD)? {
            Some(bytes) => format::decode::<TermsForm>("house", &bytes)?.terms()?,
            None => Self::default(),
        };
        let known = terms.clone();
        let now = if known == Self::default() { At::from_ms(i64::MIN) } else { house.now() };
        // A file that nobody has put in force yet may open the house, to compare; it is not remembered.
        let text = house.house_record(store, PROMISE_IN_FORCE)?.and_then(|bytes| String::from_utf8(bytes).ok());
        let in_force = text.and_then(|text| promise::parse("the promise in force", &text).ok());
        terms.speak(in_force.as_ref().unwrap_or(promise), now);
        let news = (terms != known).then(|| format::encode(&TermsForm::of(&terms)));
        if in_force.is_some_and(|in_force| in_force.hash != promise.hash) {
            terms.speak(promise, house.now());
        }
        terms.gather(house.household.projection.columns());
        Ok((terms, news))
    }

    fn forms(&self) -> impl Iterator<Item = SpokenForm> + '_ {
        let events =
            self.events.iter().flat_map(|(name, all)| all.iter().map(|one| SpokenForm::of(0, name.as_str(), one)));
        let facts = self.facts.iter().flat_map(|(name, all)| {
            let of = if matches!(name, FactName::Field(_)) { 1 } else { 2 };
            all.iter().map(move |one| SpokenForm::of(of, name.as_str(), one))
        });
        events.chain(facts)
    }

    fn from_forms(forms: &[SpokenForm]) -> Result<Self, VaultError> {
        let bad = || format::damaged("house", "a stored wording has a name that is none");
        let mut terms = Self::default();
        for form in forms {
            let spoken = form.spoken()?;
            match form.of {
                0 => terms.events.entry(EventName::parse(&form.name).map_err(|_| bad())?).or_default().push(spoken),
                1 => {
                    let name = FactName::Field(FieldName::parse(&form.name).map_err(|_| bad())?);
                    terms.facts.entry(name).or_default().push(spoken);
                }
                2 => {
                    let name = FactName::Trait(TraitName::parse(&form.name).map_err(|_| bad())?);
                    terms.facts.entry(name).or_default().push(spoken);
                }
                _ => return Err(bad()),
            }
        }
        Ok(terms)
    }

    // ── classes ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// A class by its id, declared now or before.
    pub(crate) fn class(&self, id: RetentionId) -> Option<&Retention> {
        self.classes.get(&id)
    }

    pub(crate) const fn classes(&self) -> &BTreeMap<RetentionId, Retention> {
        &self.classes
    }

    pub(crate) const fn bucket_classes(&self) -> &BTreeSet<RetentionId> {
        &self.bucket_classes
    }

    /// Whether events of this name start or end a clock under any wording.
    pub(crate) fn moves_a_clock(&self, name: &EventName) -> bool {
        self.clocks.contains(name)
    }

    // ── facts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// In which classes a fact may lie, the newest wording's first.
    pub(crate) fn classes_of_fact(&self, name: &FactName) -> Vec<RetentionId> {
        let mut classes = Vec::new();
        for spoken in self.facts.get(name).into_iter().flatten().rev() {
            if !classes.contains(&spoken.retention.id()) {
                classes.push(spoken.retention.id());
            }
        }
        classes
    }

    /// When a stored fact stops to exist; `None` = it was never declared.
    pub(crate) fn fact_ends(&self, clocks: &Clocks, fact: &Fact) -> Option<At> {
        let all = self.facts.get(&fact.name)?;
        let mut ends = None;
        for (n, spoken) in since(all, fact.as_of).enumerate() {
            let words = &spoken.retention;
            let end = match (n, &words.since) {
                // As it was written; what else may end it came later.
                (0, Since::Receipt) => {
                    retention::ended_on(words, clocks, fact.as_of).map_or(fact.expires_at, |at| at.min(fact.expires_at))
                }
                _ => retention::expires_at(words, clocks, fact.as_of),
            };
            ends = Some(ends.map_or(end, |ends: At| ends.min(end)));
        }
        // What was worked out ends with its earliest input, however far its own clock moves on.
        let is_worked_out = matches!(fact.provenance, Provenance::Derived { .. } | Provenance::Inferred { .. });
        ends.map(|ends| if is_worked_out { ends.min(fact.expires_at) } else { ends })
    }

    /// Leaves of a fact's purposes those that every wording since names.
    pub(crate) fn narrow_fact(&self, fact: &mut Fact) {
        if let (Some(all), FactName::Field(_)) = (self.facts.get(&fact.name), &fact.name) {
            let as_of = fact.as_of;
            fact.purposes.retain(|purpose| since(all, as_of).all(|spoken| spoken.retention.purposes.contains(purpose)));
        }
    }

    // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn of_stored(&self, stored: &StoredEvent) -> Option<impl Iterator<Item = &Spoken> + Clone> {
        let all = self.events.get(&stored.event.name)?;
        let is_its = all.iter().any(|spoken| spoken.retention.id() == stored.class);
        is_its.then(|| since(all, stored.event.received_at))
    }

    /// When a stored event stops to exist; `None` = it lies in a class that nobody remembers.
    pub(crate) fn event_ends(&self, clocks: &Clocks, stored: &StoredEvent) -> Option<At> {
        let words = self.of_stored(stored)?;
        words.map(|spoken| retention::expires_at(&spoken.retention, clocks, stored.kept_since)).min()
    }

    /// Whether every wording since an event came names a purpose.
    pub(crate) fn event_is_for(&self, stored: &StoredEvent, purpose: &PurposeName) -> bool {
        self.of_stored(stored).is_some_and(|mut words| words.all(|spoken| spoken.retention.purposes.contains(purpose)))
    }

    // ── buckets ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// The first day on which a bucket of a class is gone. A bucket knows its day and class, not when each event came: the
    /// wordings counted are those since its day, and none from before its class was first declared.
    pub(crate) fn bucket_ends(&self, class: RetentionId, clocks: &Clocks, bucket: &Bucket) -> Day {
        let gone = Day::from_number(i32::MIN);
        let Some(all) = self.columns.get(usize::from(bucket.column)) else { return gone };
        if let [only] = all.as_slice() {
            let is_its = only.retention.id() == class;
            return if is_its { retention::bucket_ends(&only.retention, clocks, bucket.day) } else { gone };
        }
        let Some(first) = all.iter().position(|spoken| spoken.retention.id() == class) else { return gone };
        let words = all.iter().skip(first).filter(|spoken| spoken.until >= bucket.day.start());
        words.map(|spoken| retention::bucket_ends(&spoken.retention, clocks, bucket.day)).min().unwrap_or(gone)
    }

    /// Takes out the buckets of a class that are gone on a day; the first day on which one more goes.
    pub(crate) fn retain_living(
        &self,
        class: RetentionId,
        clocks: &Clocks,
        today: Day,
        buckets: &mut Vec<Bucket>,
    ) -> Option<Day> {
        let mut next: Option<Day> = None;
        buckets.retain(|bucket| {
            let ends = self.bucket_ends(class, clocks, bucket);
            let lives = ends > today;
            if lives {
                next = Some(next.map_or(ends, |next| next.min(ends)));
            }
            lives
        });
        next
    }

    /// The classes in which the buckets of a column may lie.
    pub(crate) fn classes_of_column(&self, column: usize) -> BTreeSet<RetentionId> {
        self.columns.get(column).into_iter().flatten().map(|spoken| spoken.retention.id()).collect()
    }
}

/// The wordings in force at some instant from `stored_at` on.
fn since(all: &[Spoken], stored_at: At) -> impl Iterator<Item = &Spoken> + Clone {
    // At the very instant of a change both count.
    all.iter().filter(move |spoken| spoken.until >= stored_at)
}

/// Notes what each declaration says now: another wording ends the one before.
fn say<K: Ord + Clone>(spoken: &mut BTreeMap<K, Vec<Spoken>>, now_said: BTreeMap<K, Retention>, now: At) {
    for (name, all) in spoken.iter_mut() {
        if let Some(last) = all.last_mut().filter(|last| last.until == FOR_EVER)
            && now_said.get(name) != Some(&last.retention)
        {
            last.until = now;
        }
    }
    for (name, retention) in now_said {
        let all = spoken.entry(name).or_default();
        if all.last().is_none_or(|last| last.until != FOR_EVER) {
            let from = if all.is_empty() { At::from_ms(i64::MIN) } else { now };
            all.push(Spoken { from, until: FOR_EVER, retention });
        }
    }
}

impl SpokenForm {
    fn of(of: u8, name: &str, spoken: &Spoken) -> Self {
        let retention = &spoken.retention;
        let (clock, clock_event) = match &retention.since {
            Since::Receipt => (0, None),
            Since::Last(event) => (1, Some(event.as_str().to_owned())),
            Since::Leaving => (2, None),
        };
        Self {
            of,
            name: name.to_owned(),
            from: spoken.from.ms(),
            until: (spoken.until != FOR_EVER).then(|| spoken.until.ms()),
            purposes: retention.purposes.iter().map(|purpose| purpose.as_str().to_owned()).collect(),
            keep_days: retention.keep_days,
            clock,
            clock_event,
            end_on: retention.end_on.as_ref().map(|event| event.as_str().to_owned()),
        }
    }

    fn spoken(&self) -> Result<Spoken, VaultError> {
        let bad = || format::damaged("house", "a stored wording has a clock that is none");
        let event = |text: &String| EventName::parse(text).map_err(|_| bad());
        let clock = match (self.clock, &self.clock_event) {
            (0, _) => Since::Receipt,
            (1, Some(text)) => Since::Last(event(text)?),
            (2, _) => Since::Leaving,
            _ => return Err(bad()),
        };
        let end_on = self.end_on.as_ref().map(event).transpose()?;
        Ok(Spoken {
            from: At::from_ms(self.from),
            until: self.until.map_or(FOR_EVER, At::from_ms),
            retention: Retention::new(format::purposes(&self.purposes)?, self.keep_days, clock, end_on),
        })
    }
}

impl TermsForm {
    fn of(terms: &Terms) -> Self {
        Self { spoken: terms.forms().collect() }
    }

    fn terms(&self) -> Result<Terms, VaultError> {
        Terms::from_forms(&self.spoken)
    }
}
