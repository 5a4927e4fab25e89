//! The right to read about one person ([`Permit`]). Private fields, no clone, no store, no send: made by a
//! [`crate::Snapshot`], gone with it. Long because every way to read about a person stands in one place.
//!
//! It judges nothing itself (`promise::judge_fact` does, for each fact), and it changes nothing: what was read is left in
//! `unwritten` when the permit goes, whatever came of it. Only the person's own page is not counted: they read themselves.

use crate::VaultError;
use crate::commit::Values;
use crate::engine::Keyspace;
use crate::format::{self, DecisionForm, FactForm, UseForm, UseRunForm};
use crate::house::House;
use crate::person::{self, Open, StoredEvent};
use crate::record::{
    ContactState, DecisionView, EventView, FactView, GivenView, ItemBasis, LedgerEntry, Reads, StaffRead, Trace,
    UseCount,
};
use crate::retention;
use crate::seal::RecordKind;
use crate::snapshot::{Snapshot, logged};
use crate::state::Person;
use crate::statement;
use crate::unwritten::Slot;
use model::{
    ArtefactId, At, CampaignName, Class, ConsentId, Day, DecisionId, Event, EventName, Fact, FactName, ItemCode, Kind,
    LineItem, Money, OfferName, ProfileId, ProfileKind, Provenance, PurposeName, SegmentName, TraitName, Value, Words,
};
use promise::{
    Aggregate, Artefact, ArtefactKind, CandidatesPlan, ChannelKind, Promise, Refusal, RefusalReason, TraitPlan,
    judge_fact,
};
use roaring::RoaringBitmap;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;

/// Most events that one call opens.
pub const EVENTS_MAX: usize = 100_000;

/// A value that a permit opened. No `Display`, no `Serialize`, no `Hash`, no `PartialEq`; `Debug` redacts.
pub struct Disclosed<'p, T> {
    value: T,
    _permit: PhantomData<&'p ()>,
}

impl<'p, T> Disclosed<'p, T> {
    const fn new(value: T) -> Self {
        Self { value, _permit: PhantomData }
    }

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

// ── one person ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The verdict yes, about one person, for one artefact, at one instant.
pub struct Permit<'s> {
    snapshot: &'s Snapshot,
    artefact: &'s Artefact,
    person: Arc<Person>,
    level: Option<String>,
    open: RefCell<Option<Open>>,
    reads: RefCell<Reads>,
    noted: RefCell<Noted>,
    /// Where it says what it read; the person's own page has none.
    slot: Option<Slot<'s>>,
    _stays_here: PhantomData<*const ()>,
}

/// What has to be written down.
#[derive(Default)]
struct Noted {
    asked: BTreeSet<String>,
    read: BTreeMap<String, u32>,
}

/// What is read of a person beside facts and events, as it is counted. No declared name has a space in it but those of
/// events, and none of them begins so.
const CONTACT: &str = "record contact";
pub(crate) const DECISIONS: &str = "record decisions";
const LEDGER: &str = "record ledger";

/// Under which name it is counted that somebody asked whether a person is in a segment.
pub(crate) fn segment_word(segment: &SegmentName) -> String {
    format!("segment {segment}")
}

impl std::fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Permit({} {})", self.artefact.kind.as_str(), self.artefact.name)
    }
}

impl<'s> Permit<'s> {
    pub(crate) fn new(
        snapshot: &'s Snapshot,
        artefact: &'s Artefact,
        person: Arc<Person>,
        level: Option<String>,
        slot: Option<Slot<'s>>,
    ) -> Self {
        let (open, reads, noted) = (RefCell::new(None), RefCell::default(), RefCell::default());
        Self { snapshot, artefact, person, level, open, reads, noted, slot, _stays_here: PhantomData }
    }
}

impl Permit<'_> {
    /// About whom.
    #[must_use]
    pub fn person(&self) -> ProfileId {
        self.person.id
    }

    /// Person or device.
    #[must_use]
    pub fn kind(&self) -> ProfileKind {
        self.person.kind
    }

    /// For which artefact.
    #[must_use]
    pub fn artefact(&self) -> ArtefactId {
        self.artefact.id
    }

    /// The person's wishes as of this reading; a commit that acts on it must carry it.
    #[must_use]
    pub fn consent_seq(&self) -> u64 {
        self.person.wishes.seq
    }

    /// The level of sharing the person chose for the artefact's purpose; `None` = the fullest.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }

    /// One fact: a declared field or a trait (from the columns). Recorded as read.
    ///
    /// # Errors
    /// The refusal when it may not be read; missing is `Ok(None)`.
    pub fn fact(&self, name: &FactName) -> Result<Option<Disclosed<'_, Fact>>, Refusal> {
        if !self.is_named(name.as_str()) {
            return Err(self.no(RefusalReason::NotInTerms));
        }
        self.asks(name.as_str());
        let Some(fact) = self.find_fact(name) else { return Ok(None) };
        match judge_fact(self.promise(), self.artefact, &self.person.wishes.standing, &fact, self.now()) {
            Ok(()) => {}
            Err(refusal) if refusal.reason == RefusalReason::Expired => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
        self.reads.borrow_mut().facts.push(fact.clone());
        self.notes(name.as_str());
        Ok(Some(Disclosed::new(fact)))
    }

    /// Every fact this artefact may read, with who read it (the portal and the export).
    #[must_use]
    pub fn facts(&self) -> Vec<Disclosed<'_, FactView>> {
        let promise = self.promise();
        let fields = promise.fields.keys().cloned().map(FactName::Field);
        let traits = promise.traits.keys().cloned().map(FactName::Trait);
        let candidates = TraitName::parse(CandidatesPlan::NAME).ok().filter(|_| promise.candidates.is_some());
        let runs = self.use_runs();
        let mut views = Vec::new();
        for name in fields.chain(traits).chain(candidates.map(FactName::Trait)) {
            let Ok(Some(fact)) = self.fact(&name) else { continue };
            let read_by = self.read_by(&name, &runs);
            views.push(fact.map(|fact| FactView { from: from_words(promise, &fact), read_by, fact }));
        }
        views
    }

    /// Events of one name, newest first, at most `limit`; properties and lines cut to terms and level. Recorded as read.
    ///
    /// # Errors
    /// The refusal.
    pub fn events(&self, name: &EventName, limit: usize) -> Result<Vec<Disclosed<'_, EventView>>, Refusal> {
        if !self.is_named(name.as_str()) {
            return Err(self.no(RefusalReason::NotInTerms));
        }
        Ok(self.read_events(Some(name), limit))
    }

    /// All events this artefact may read, newest first, at most `limit` (the portal and the export).
    ///
    /// # Errors
    /// The refusal.
    pub fn all_events(&self, limit: usize) -> Result<Vec<Disclosed<'_, EventView>>, Refusal> {
        Ok(self.read_events(None, limit))
    }

    /// Whether the person is in a segment now; a segment the terms do not name is refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn is_member(&self, segment: &SegmentName) -> Result<bool, Refusal> {
        let at = segment_at(self.snapshot, self.artefact, segment)?;
        let is_member = match self.snapshot.is_of_today() {
            true => self.snapshot.segment(at).is_some_and(|members| members.contains(self.person.number)),
            false => self.values_of_today().is_some_and(|(_, members, _)| members.get(at) == Some(&true)),
        };
        self.reads.borrow_mut().segments.push((segment.clone(), is_member));
        self.notes(&segment_word(segment));
        Ok(is_member)
    }

    /// Contact so far and the limits on it: the person's own, then the company's.
    #[must_use]
    pub fn contact(&self) -> Disclosed<'_, ContactState> {
        self.notes(CONTACT);
        let per_days = self.promise().cap.per_days;
        let window = self.now().plus_days(per_days.saturating_neg());
        let house = &self.snapshot.house;
        let state = self.with_open(|open| {
            let zone = house.zone(open, self.snapshot.store(), self.now())?;
            let mut sent_at: Vec<At> = open.core.contacts.iter().map(|contact| At::from_ms(contact.at)).collect();
            sent_at.retain(|at| *at > window);
            sent_at.sort_unstable();
            Ok(Some(ContactState {
                sent_at,
                at_most: open.core.at_most,
                zone,
                turned_down: open.core.turned_down.clone(),
                suppressed: open.core.suppressed,
            }))
        });
        Disclosed::new(state.unwrap_or_default())
    }

    /// The person's answers with words and receipts (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn ledger(&self) -> Result<Vec<Disclosed<'_, LedgerEntry>>, Refusal> {
        self.own_page()?;
        self.notes(LEDGER);
        let entries = self.with_open(|open| self.read_ledger(open).map(Some));
        Ok(entries.unwrap_or_default().into_iter().map(Disclosed::new).collect())
    }

    fn read_ledger(&self, open: &Open) -> Result<Vec<LedgerEntry>, VaultError> {
        let (house, store) = (&*self.snapshot.house, self.snapshot.store());
        let mut entries = Vec::new();
        let mut ids = BTreeSet::new();
        for row in store.scan(Keyspace::Ledger, open.id.as_bytes()) {
            let (key, sealed) = row?;
            let form = open.open_ledger(house, &key, &sealed)?;
            ids.insert(*form.id);
            entries.push(entry_view(self.snapshot, &open.id, &form)?);
        }
        for wish in &self.person.pending {
            if let crate::wish::Wish::Answer(form) = wish.as_ref()
                && !ids.contains(&*form.id)
            {
                entries.push(entry_view(self.snapshot, &open.id, form)?);
            }
        }
        Ok(entries)
    }

    /// Decisions about this person, newest first, at most `limit` (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn decisions(&self, limit: usize) -> Result<Vec<DecisionView<'_>>, Refusal> {
        self.own_page()?;
        self.notes(DECISIONS);
        let forms = self.with_open(|open| {
            let rows = self.snapshot.store().scan_back(Keyspace::Decisions, open.id.as_bytes());
            let oldest = retention::oldest_decision(self.now()).ms();
            let forms = rows.map(|row| row.and_then(|(key, row)| self.open_decision(open, &key, &row)));
            let kept = forms.filter(|form| form.as_ref().map_or(true, |form| form.at >= oldest));
            kept.take(limit).collect::<Result<Vec<_>, _>>().map(Some)
        });
        Ok(forms.unwrap_or_default().iter().filter_map(|form| logged(decision_view(form).map(Some))).collect())
    }

    fn open_decision(&self, open: &Open, key: &[u8], sealed: &[u8]) -> Result<DecisionForm, VaultError> {
        let plain = open.open_own(&self.snapshot.house, RecordKind::Decision, person::tail(key), sealed)?;
        format::decode("decisions", &plain)
    }

    pub(crate) fn decision(&self, id: DecisionId) -> Result<Option<DecisionView<'_>>, Refusal> {
        let form = self.decision_form(id)?;
        if form.is_some() {
            self.notes(DECISIONS);
        }
        Ok(form.and_then(|form| logged(decision_view(&form).map(Some))))
    }

    fn decision_form(&self, id: DecisionId) -> Result<Option<DecisionForm>, Refusal> {
        let house = &self.snapshot.house;
        let form = self.with_open(|open| house.decision(self.snapshot.store(), open, &(*id.as_bytes()).into()));
        let Some(form) = form else { return Ok(None) };
        let is_own_campaign = self.artefact.kind == ArtefactKind::Campaign && self.artefact.name == form.campaign;
        if !is_own_campaign {
            self.own_page()?;
        }
        Ok(Some(form))
    }

    /// The decision of a run of this permit's campaign that stands for this person by a channel. Whether it
    /// [still holds](Self::still_holds) is another question.
    #[must_use]
    pub fn decided(&self, run: u32, by: ChannelKind) -> Option<DecisionId> {
        if self.artefact.kind != ArtefactKind::Campaign {
            return None;
        }
        let by_mail = by == ChannelKind::Email;
        self.with_open(|open| Ok(open.core.standing_decision(&self.artefact.name, run, by_mail, self.now())))
    }

    /// Whether a decision of this permit's campaign may still be shown or sent: the person belongs to the audience, turned
    /// nothing of it down and stated nothing since; each fact behind it may still be read, and what it says or rests on is
    /// still so. Somebody left alone is told nothing, so that decision holds.
    ///
    /// # Errors
    /// The refusal: what no longer holds.
    pub fn still_holds(&self, id: DecisionId) -> Result<(), Refusal> {
        let over = || self.no(RefusalReason::NoLongerSo);
        let form = self.decision_form(id)?.ok_or_else(over)?;
        if form.held_out {
            return Ok(());
        }
        let decided_at = At::from_ms(form.at);
        let campaign = self.promise().campaigns.get(form.campaign.as_str()).ok_or_else(over)?;
        // It says what was reviewed then, and its why opens for so long and no longer.
        let is_of_now = *form.artefact == *self.artefact.id.as_bytes();
        if !is_of_now || decided_at.plus_days(retention::WHY_DAYS) <= self.now() {
            return Err(over());
        }
        if !self.is_member(&campaign.to)? {
            return Err(self.no(RefusalReason::NotInSegment));
        }
        let named = [form.offer.as_deref(), form.item.as_deref()];
        let turned_down = self.with_open(|open| Ok(Some(open.core.turned_down.clone()))).unwrap_or_default();
        if named.into_iter().flatten().any(|name| turned_down.iter().any(|down| down == name)) {
            return Err(self.no(RefusalReason::TurnedDown));
        }
        let trace = logged(form.trace.trace().map(Some)).ok_or_else(over)?;
        // Quiet hours are asked anew in each attempt.
        let zone = self.promise().zone_field().map(|field| FactName::Field(field.name.clone()));
        for read in trace.facts.iter().filter(|read| Some(&read.fact.name) != zone.as_ref()) {
            let now = self.fact(&read.fact.name)?.ok_or_else(|| self.no(RefusalReason::Expired))?;
            if !self.is_still_so(&trace, form.item.as_deref(), &read.fact, now.reveal()) {
                return Err(over());
            }
        }
        let reads = |field: &&promise::Field| field.stated && self.artefact.terms.reads.contains(field.name.as_str());
        let stated = self.promise().fields.values().filter(reads).map(|field| FactName::Field(field.name.clone()));
        let stated = stated.filter(|name| Some(name) != zone.as_ref());
        let mut stated_at = stated.filter_map(|name| Some(self.fact(&name).ok()??.reveal().as_of));
        if stated_at.any(|at| at > decided_at) { Err(over()) } else { Ok(()) }
    }

    /// Whether what a decision made of a fact is still so. A value that no sentence names may move: the group the person
    /// belongs to is asked by itself.
    fn is_still_so(&self, trace: &Trace, item: Option<&str>, then: &Fact, now: &Fact) -> bool {
        match (&then.value, &now.value) {
            // Of an address the trace keeps only that there is one.
            (Value::Flag(true), Value::Text(_)) => true,
            (Value::Ranking(used), Value::Ranking(all)) => {
                let speaks = |code: &ItemCode| all.iter().any(|ranked| ranked.because.as_ref() == Some(code));
                let stands = |used: &model::RankedItem| {
                    all.iter().any(|ranked| ranked.item == used.item) && used.because.as_ref().is_none_or(speaks)
                };
                let is_bought = item.and_then(ItemCode::parse).is_some_and(|item| speaks(&item));
                let group = trace.slots.get("because").filter(|_| trace.basis == ItemBasis::Group);
                let of_group = |code: &ItemCode| self.snapshot.item(code).map(|item| item.group);
                let mut groups = all.iter().filter_map(|ranked| of_group(ranked.because.as_ref()?));
                !is_bought && used.iter().all(stands) && group.is_none_or(|group| groups.any(|known| known == *group))
            }
            (then_value, now_value) => {
                let slot = format!("{{{}}}", then.name.as_str());
                let is_said = trace.texts.iter().any(|text| text.contains(&slot));
                let is_stated = self.promise().fields.get(then.name.as_str()).is_some_and(|field| field.stated);
                then_value == now_value || !(is_said || is_stated)
            }
        }
    }

    /// Which artefact read this person's facts, per day (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn uses(&self) -> Result<Vec<Disclosed<'_, UseCount>>, Refusal> {
        self.own_page()?;
        let mut counts: BTreeMap<(Day, String, Option<String>), u32> = BTreeMap::new();
        let mut add = |day: i32, artefact: &str, purpose: &Option<String>, n: u32| {
            let count = counts.entry((Day::from_number(day), artefact.to_owned(), purpose.clone())).or_default();
            *count = count.saturating_add(n);
        };
        for known in self.own_uses().iter().filter(|known| known.fact.is_none()) {
            add(known.day, &known.artefact, &known.purpose, known.n);
        }
        for run in self.use_runs() {
            add(run.day, &run.artefact, &run.purpose, 1);
        }
        let view = |((day, artefact, purpose), n): ((Day, String, Option<String>), u32)| {
            let purpose = purpose.and_then(|purpose| PurposeName::parse(&purpose).ok());
            Disclosed::new(UseCount { day, artefact, purpose, n })
        };
        Ok(counts.into_iter().rev().map(view).collect())
    }

    /// Staff who opened this person (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn staff_reads(&self) -> Result<Vec<Disclosed<'_, StaffRead>>, Refusal> {
        self.own_page()?;
        let reads = self.with_open(|open| Ok(Some(open.core.staff_reads.clone()))).unwrap_or_default();
        let view =
            |read: format::StaffForm| StaffRead { at: At::from_ms(read.at), staff: read.staff, reason: read.reason };
        Ok(reads.into_iter().map(view).map(Disclosed::new).collect())
    }

    /// Who else got something about this person, and when (portal only).
    ///
    /// # Errors
    /// The refusal.
    pub fn given(&self) -> Result<Vec<Disclosed<'_, GivenView>>, Refusal> {
        self.own_page()?;
        let given = self.with_open(|open| Ok(open.core.given.clone())).unwrap_or_default();
        let view = |given: format::GivenForm| GivenView {
            who: self.snapshot.house.who(self.snapshot.store(), &given.recipient),
            recipient: given.recipient,
            what: given.what,
            first_at: At::from_ms(given.first_at),
            last_at: At::from_ms(given.last_at),
            n: given.n,
        };
        Ok(given.into_iter().map(view).map(Disclosed::new).collect())
    }

    /// What has been read through this permit so far, in order: goes into the trace.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.reads.borrow().clone()
    }

    // ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn now(&self) -> At {
        self.snapshot.now()
    }

    /// Somebody asked for this, whether or not there is anything.
    fn asks(&self, name: &str) {
        let mut noted = self.noted.borrow_mut();
        if !noted.asked.contains(name) {
            noted.asked.insert(name.to_owned());
        }
    }

    /// This was read.
    fn notes(&self, name: &str) {
        self.asks(name);
        let mut noted = self.noted.borrow_mut();
        match noted.read.get_mut(name) {
            Some(n) => *n = n.saturating_add(1),
            None => drop(noted.read.insert(name.to_owned(), 1)),
        }
    }

    fn promise(&self) -> &Promise {
        self.snapshot.promise()
    }

    fn no(&self, reason: RefusalReason) -> Refusal {
        Refusal { reason, purpose: self.artefact.terms.purpose.clone(), line: None }
    }

    /// The portal, where people see themselves, and the desk, where staff act for them.
    fn own_page(&self) -> Result<(), Refusal> {
        let is_own = self.artefact.is_portal() || self.artefact.is_desk();
        if is_own { Ok(()) } else { Err(self.no(RefusalReason::NotInTerms)) }
    }

    fn is_named(&self, name: &str) -> bool {
        self.artefact.is_portal() || self.artefact.terms.reads.contains(name)
    }

    /// Opens the person's records once per permit, with what is on the urgent log on top. What cannot be read is missing,
    /// and is said in the log.
    fn with_open<T>(&self, read: impl FnOnce(&mut Open) -> Result<Option<T>, VaultError>) -> Option<T> {
        let mut held = self.open.borrow_mut();
        if held.is_none() {
            *held = logged(self.load());
        }
        logged(read(held.as_mut()?))
    }

    fn load(&self) -> Result<Option<Open>, VaultError> {
        let Some(mut open) = Open::load(&self.snapshot.house, self.snapshot.store(), &self.person.id)? else {
            return Ok(None);
        };
        for wish in &self.person.pending {
            if !open.core.wishes_done.contains(wish.id()) {
                wish.apply(&mut open.core)?;
            }
        }
        Ok(Some(open))
    }

    fn find_fact(&self, name: &FactName) -> Option<Fact> {
        let promise = self.promise();
        match name {
            FactName::Trait(name) if name.as_str() != CandidatesPlan::NAME => {
                promise.traits.get(name).and_then(|plan| self.trait_fact(plan))
            }
            _ => self.with_open(|open| {
                let Some(retention) = retention::of_fact(promise, name) else { return Ok(None) };
                let core = open.core.clone();
                let record = open.class(&self.snapshot.house, self.snapshot.store(), retention.id())?;
                let Some(form) = record.facts.iter().find(|form| form.is(name)) else { return Ok(None) };
                let mut fact = FactForm::fact(form)?;
                fact.expires_at = retention::of_stored(promise, &core, &fact);
                Ok(Some(fact))
            }),
        }
    }

    /// This person's trait values and memberships, worked out anew: the columns are still those of another day.
    fn values_of_today(&self) -> Option<Values> {
        let (house, store) = (&self.snapshot.house, self.snapshot.store());
        self.with_open(|open| house.values(open, store, self.now().day()).map(Some))
    }

    /// A trait's value from the columns, as a fact that expires with its earliest input.
    fn trait_fact(&self, plan: &TraitPlan) -> Option<Fact> {
        let projection = &self.snapshot.house.household.projection;
        let column = projection.columns().iter().position(|column| column.name == plan.name)?;
        let value = match self.snapshot.is_of_today() {
            true => self.snapshot.value(column, self.person.number)?,
            false => self.values_of_today()?.0.get(column).copied().flatten()?,
        };
        let promise = self.promise();
        let event = promise.events.get(plan.is.event())?;
        let today = self.snapshot.columns_day();
        let inputs = self.with_open(|open| {
            let core = open.core.clone();
            let record = open.class(&self.snapshot.house, self.snapshot.store(), event.retention.id())?;
            let first = retention::first_day(&event.retention, &core, today);
            let buckets = record.buckets(projection.columns());
            let days = buckets.iter().filter(|bucket| usize::from(bucket.column) == column && bucket.day >= first);
            let (oldest, newest) = inputs_of(&plan.is, days.map(|bucket| bucket.day), today);
            let ends = oldest.map(|day| retention::last_day(&event.retention, &core, day).plus(1));
            Ok(Some((ends.unwrap_or(today.plus(1)), newest.unwrap_or(today))))
        });
        let (ends, newest) = inputs?;
        let standing = &self.person.wishes.standing;
        let (told_at, told_how) = person::told(standing, &plan.purposes);
        Some(Fact {
            name: FactName::Trait(plan.name.clone()),
            value: match plan.kind {
                Kind::Money => Value::Money(Money { micros: value, currency: promise.currency }),
                _ => Value::Number(value),
            },
            class: event.class,
            context: event.context,
            provenance: Provenance::Derived { ancestors: vec![event.name.as_str().to_owned()] },
            as_of: newest.start().min(self.now()),
            told_at,
            told_how,
            purposes: plan.purposes.clone(),
            notice_version: standing.told_version.min(promise.binding_notice(self.now())),
            expires_at: ends.start(),
        })
    }

    pub(crate) fn read_events(&self, name: Option<&EventName>, limit: usize) -> Vec<Disclosed<'_, EventView>> {
        let views = self.with_open(|open| {
            let (house, store) = (&self.snapshot.house, self.snapshot.store());
            let mut views: Vec<EventView> = Vec::new();
            for row in store.scan_back(Keyspace::Events, open.id.as_bytes()) {
                if views.len() >= limit.min(EVENTS_MAX) {
                    break;
                }
                let (key, row) = row?;
                let Some(stored) = open.open_event(house, &key, &row)? else { continue };
                if name.is_none_or(|name| stored.event.name == *name) {
                    let expires_at = house.event_expires_at(&open.core, &stored);
                    views.extend(self.cut(stored, expires_at));
                }
            }
            Ok(Some(views))
        });
        let views = views.unwrap_or_default();
        let events = self.promise().events.keys();
        events.filter(|event| name.map_or(self.is_named(event.as_str()), |name| name == *event)).for_each(|event| {
            self.asks(event.as_str());
        });
        let mut reads = self.reads.borrow_mut();
        let names: BTreeSet<&EventName> = views.iter().map(|view| &view.event.name).collect();
        names.into_iter().for_each(|name| self.notes(name.as_str()));
        for view in &views {
            match reads.events.iter_mut().find(|(known, _)| *known == view.event.name) {
                Some((_, n)) => *n = n.saturating_add(1),
                None => reads.events.push((view.event.name.clone(), 1)),
            }
        }
        drop(reads);
        views.into_iter().map(Disclosed::new).collect()
    }

    /// Takes out what this permit would say it read: the set that asked says it.
    pub(crate) fn hand_over(&self) -> impl Iterator<Item = String> + use<> {
        self.noted.take().read.into_keys()
    }

    /// An event as this artefact may see it; `None` when it may not.
    fn cut(&self, stored: StoredEvent, expires_at: At) -> Option<EventView> {
        let StoredEvent { mut event, not_for, .. } = stored;
        if expires_at <= self.now() {
            return None;
        }
        let (promise, standing) = (self.promise(), &self.person.wishes.standing);
        let plan = promise.events.get(&event.name)?;
        let declared = plan.retention.purposes.iter().filter(|purpose| !not_for.contains(purpose));
        let in_force = |purpose: &&PurposeName| promise.in_force(purpose, standing, self.now()).is_ok();
        let purposes: Vec<PurposeName> = declared.filter(in_force).cloned().collect();
        if self.artefact.is_portal() {
            return Some(EventView { event, expires_at, purposes });
        }
        if !self.is_named(event.name.as_str()) || plan.class >= Class::Sensitive {
            return None;
        }
        if self.artefact.is_desk() {
            return Some(EventView { event, expires_at, purposes });
        }
        let purpose = self.artefact.terms.purposes().find(|purpose| purposes.contains(purpose))?;
        let level = promise.in_force(purpose, standing, self.now()).ok()?;
        let sees = |property: &str| {
            self.artefact.terms.properties.contains(property) && promise.may_see_property(purpose, level, property)
        };
        event.properties.retain(|property, _| sees(property));
        if !sees("item") {
            event.lines = if sees("group") { self.by_group(&event) } else { Vec::new() };
        }
        Some(EventView { event, expires_at, purposes })
    }

    /// Lines that tell the group in place of the item ("GROUP:GARDEN"); items without a catalogue entry are left out.
    fn by_group(&self, event: &Event) -> Vec<LineItem> {
        let group = |line: &LineItem| {
            let item = self.snapshot.item(&line.item)?;
            Some(LineItem { item: ItemCode::parse(&format!("group:{}", item.group))?, ..line.clone() })
        };
        event.lines.iter().filter_map(group).collect()
    }

    /// Set-wise reads of the last month that this person was in, each with the fields that were read of this person.
    fn use_runs(&self) -> Vec<UseRunForm> {
        let (house, store) = (&self.snapshot.house, self.snapshot.store());
        let number = self.person.number;
        let mut runs = Vec::new();
        for row in store.scan(Keyspace::House, House::USES) {
            let read = row.and_then(|(key, sealed)| {
                let mut run: UseRunForm =
                    format::decode("house", &house.open_house(RecordKind::UseRun, &key, &sealed)?)?;
                if !people_of(&run.people)?.contains(number) {
                    return Ok(None);
                }
                let mut others = BTreeSet::new();
                for (at, people) in run.apart.iter().flatten() {
                    if !people_of(people)?.contains(number) {
                        others.insert(*at);
                    }
                }
                let fields = std::mem::take(&mut run.fields).into_iter().zip(0u32..);
                run.fields = fields.filter(|(_, at)| !others.contains(at)).map(|(field, _)| field).collect();
                Ok(Some(run))
            });
            runs.extend(logged(read));
        }
        let oldest = self.oldest_use();
        runs.retain(|run| run.day > oldest);
        runs
    }

    /// Uses of this day and before it are not told any more.
    fn oldest_use(&self) -> i32 {
        self.now().day().plus(retention::USE_DAYS.saturating_neg()).number()
    }

    /// Counters of the last month.
    fn own_uses(&self) -> Vec<UseForm> {
        let mut uses = self.with_open(|open| Ok(Some(open.core.uses.clone()))).unwrap_or_default();
        let oldest = self.oldest_use();
        uses.retain(|known| known.day > oldest);
        uses
    }

    fn read_by(&self, name: &FactName, runs: &[UseRunForm]) -> Vec<(String, u32)> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let own = self.own_uses().into_iter().filter(|known| known.fact.as_deref() == Some(name.as_str()));
        let in_runs = runs.iter().filter(|run| run.fields.iter().any(|field| field == name.as_str()));
        for (artefact, n) in
            own.map(|known| (known.artefact, known.n)).chain(in_runs.map(|run| (run.artefact.clone(), 1)))
        {
            let count = counts.entry(artefact).or_default();
            *count = count.saturating_add(n);
        }
        counts.into_iter().collect()
    }
}

fn people_of(bytes: &[u8]) -> Result<RoaringBitmap, VaultError> {
    RoaringBitmap::deserialize_from(bytes).map_err(|error| format::damaged("house", &error.to_string()))
}

impl Drop for Permit<'_> {
    /// What was asked for and read is left to be counted, whatever came of it.
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let Noted { asked, read } = self.noted.take();
        if !asked.is_empty() && slot.leave(self.person.id, self.artefact.id, self.snapshot.now(), asked, read) {
            // When the queue is full the committer finds it anyway.
            self.snapshot.queue.wake();
        }
    }
}

/// The oldest and newest day among the inputs of an aggregate.
fn inputs_of(aggregate: &Aggregate, days: impl Iterator<Item = Day>, today: Day) -> (Option<Day>, Option<Day>) {
    let window = match aggregate {
        Aggregate::Count { window_days, .. } | Aggregate::Sum { window_days, .. } => *window_days,
        Aggregate::DaysSince { .. } | Aggregate::DaysSinceFirst { .. } => None,
    };
    let begins = window.map(|days| today.plus(days.saturating_neg()));
    let inside: Vec<Day> = days.filter(|day| begins.is_none_or(|begins| *day > begins)).collect();
    let (oldest, newest) = (inside.iter().min().copied(), inside.iter().max().copied());
    match aggregate {
        Aggregate::DaysSince { .. } => (newest, newest),
        Aggregate::DaysSinceFirst { .. } => (oldest, oldest),
        Aggregate::Count { .. } | Aggregate::Sum { .. } => (oldest, newest),
    }
}

/// Where a fact came from, in words.
fn from_words(promise: &Promise, fact: &Fact) -> String {
    match &fact.name {
        FactName::Field(name) => promise.fields.get(name).map_or_else(String::new, |field| field.from.clone()),
        FactName::Trait(name) if name.as_str() == CandidatesPlan::NAME => "worked out from what you bought".to_owned(),
        FactName::Trait(name) => promise.traits.get(name).map_or_else(String::new, |plan| plan.says.clone()),
    }
}

pub(crate) fn segment_at(snapshot: &Snapshot, artefact: &Artefact, segment: &SegmentName) -> Result<usize, Refusal> {
    let no = |reason| Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None };
    let plan = snapshot.promise().segments.get(segment).ok_or_else(|| no(RefusalReason::UnknownArtefact))?;
    let is_named = artefact.is_portal() || plan.reads.is_subset(&artefact.terms.reads);
    if !is_named {
        return Err(no(RefusalReason::NotInTerms));
    }
    let segments = snapshot.house.household.projection.segments();
    segments.iter().position(|known| known == segment).ok_or_else(|| no(RefusalReason::UnknownArtefact))
}

fn entry_view(snapshot: &Snapshot, person: &ProfileId, form: &format::LedgerForm) -> Result<LedgerEntry, VaultError> {
    let house = &snapshot.house;
    let payload = statement::of_consent(house, person, form)?;
    let purpose = PurposeName::parse(&form.purpose).map_err(|_| format::damaged("ledger", "not a purpose"))?;
    Ok(LedgerEntry {
        id: ConsentId::from_bytes(*form.id),
        purpose,
        status: format::status_of(form.status)?,
        level: form.level.clone(),
        words: Words {
            text: form.text.clone(),
            language: form.language.clone(),
            answered_at: At::from_ms(form.answered_at),
        },
        method: format::method_of(form.method)?,
        notice_version: form.notice_version,
        made_up: form.made_up,
        receipt: statement::receipt(house, snapshot.store(), &payload, form.proof.as_ref())?,
    })
}

fn decision_view<'p>(form: &DecisionForm) -> Result<DecisionView<'p>, VaultError> {
    let bad = |what| format::damaged("decisions", what);
    let offer = form.offer.as_deref().map(OfferName::parse).transpose().map_err(|_| bad("not an offer"))?;
    let item = form.item.as_deref().map(|item| ItemCode::parse(item).ok_or_else(|| bad("not an item"))).transpose()?;
    Ok(DecisionView {
        id: DecisionId::from_bytes(*form.id),
        at: At::from_ms(form.at),
        campaign: CampaignName::parse(&form.campaign).map_err(|_| bad("not a campaign"))?,
        offer,
        item,
        held_out: form.held_out,
        channel: format::channel_of(form.channel)?,
        trace: Disclosed::new(form.trace.trace()?),
        message_state: form.message.as_ref().map(format::MessageForm::words),
    })
}
