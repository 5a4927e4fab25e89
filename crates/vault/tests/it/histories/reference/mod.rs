//! A slow, obvious vault: plain maps, nothing sealed, nothing kept that could be worked out again. It says what a house must
//! answer, so that an engine of many thousand lines can be held against it.
//!
//! Written from the design and the architecture page, not from the code beside it. What one event, answer or tap does
//! stands in one function each. Expiry is asked at every reading; sweeping removes nothing that anybody could have seen,
//! but for one thing: what was taken back a week ago cannot be given back.
//!
//! Reading order: here (what is kept, how long it lives, what may be, who is who, leaving) → `event` → `answer` (answers, taps,
//! facts, ties) → `sending` (decisions, attempts, the cap) → `reading` (traits, and everything that can be seen).
//!
//! Deliberately not: keys, receipts, the log, counting of reads.

mod answer;
mod event;
mod reading;
mod sending;

use crate::histories::world::{Answer, Call, Crowd, Known, LedgerLine, MessageLine, Seen, World, said, show_event};
use model::{
    ArtefactId, At, Awareness, Class, ConsentId, ConsentStatus, Context, Day, DecisionId, Event, EventId, EventKind,
    EventName, Fact, FactName, FieldName, ItemCode, Kind, LineItem, MessageId, Method, Money, ProfileId, ProfileKind,
    Provenance, PurposeName, SegmentName, TraitName, Trust, Value,
};
use promise::{
    Aggregate, Artefact, ArtefactKind, Basis, ChannelKind, EventPlan, Promise, Refusal, RefusalReason, Relation,
    Retention, ReviewRole, Since, Zone,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vault::campaign::State;
use vault::{
    Attempt, AttemptEnd, ConsentChange, FactWrite, Identifier, IdentifierKind, Intake, Join, JoinProof, MessageKey,
    NewDecision, NotBegun, Outcome, OutcomeReason, Reduction, Subject,
};

/// Days a message id is remembered.
const REPEATS_DAYS: i32 = 7;
/// Days after which what was taken back is gone for good, once a sweep has been.
const UNDO_DAYS: i32 = 7;
/// Days a decision is kept.
const DECISION_DAYS: i32 = 400;
/// Days after a decision in which a reduction answers it.
const ANSWERS_DAYS: i32 = 14;
/// How long an attempt may take.
const LEASE_MS: i64 = 10 * 60 * 1_000;
/// How long a message of a paused campaign waits until it is asked again.
const PAUSE_MS: i64 = 10 * 60 * 1_000;
/// Two taps within this time are one.
const TAP_MS: i64 = 10_000;
/// How long "less" can be taken back from the same message.
const UNDO_LESS_MS: i64 = 3_600_000;

/// What a planted fault takes out: each must be noticed by the histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An answer that takes back is believed only by the reader of the ledger.
    WithdrawalIsNotObeyed,
    /// A thing lives a day longer than promised.
    ExpiryADayLate,
    /// The same message id is kept twice.
    RepeatsAreKept,
    /// Identifiers of the erased are forgotten with them.
    ErasedMayComeBack,
    /// "Leave me alone" ends with the erasure.
    RestraintEndsWithErasure,
    /// The cap counts what was sent, and not what is being sent.
    CapForgetsTries,
    /// On a join the newer answer wins, not the stricter.
    JoinTakesTheNewer,
    /// A decision is recorded although the wishes moved since they were read.
    StaleWishesDecide,
}

impl Fault {
    pub const ALL: [Self; 8] = [
        Self::WithdrawalIsNotObeyed,
        Self::ExpiryADayLate,
        Self::RepeatsAreKept,
        Self::ErasedMayComeBack,
        Self::RestraintEndsWithErasure,
        Self::CapForgetsTries,
        Self::JoinTakesTheNewer,
        Self::StaleWishesDecide,
    ];
}

/// The whole house.
pub struct Reference {
    promise: Arc<Promise>,
    now: At,
    fault: Option<Fault>,
    /// In order of coming; `None` = erased.
    people: Vec<Option<Person>>,
    /// Where an identifier leads.
    leads: BTreeMap<(IdentifierKind, String), usize>,
    /// What stays of those who were erased.
    left: BTreeMap<(IdentifierKind, String), Left>,
    seen: BTreeMap<(String, String), Day>,
    sales: BTreeMap<([u8; 16], u64), (EventName, Day, LineItem)>,
    reviewed: BTreeSet<ArtefactId>,
    campaigns: BTreeMap<String, State>,
    n_entries: u64,
    n_events: u64,
}

#[derive(Clone, Copy)]
struct Left {
    erased_at: At,
    restrained: bool,
}

#[derive(Clone)]
struct Person {
    kind: ProfileKind,
    restrained: bool,
    told: u32,
    seq: u64,
    relations: BTreeMap<PurposeName, Relation>,
    ledger: Vec<(ConsentId, ConsentChange, At)>,
    identifiers: BTreeSet<(IdentifierKind, String)>,
    /// Tied to whom; whether proven.
    joins: BTreeSet<(usize, bool, u8)>,
    last: BTreeMap<EventName, At>,
    events: Vec<Stored>,
    facts: BTreeMap<FactName, Fact>,
    contacts: Vec<(DecisionId, At, bool)>,
    at_most: Option<u32>,
    less: Option<(DecisionId, Option<u32>, At)>,
    turned_down: Vec<String>,
    suppressed: bool,
    decisions: Vec<Decided>,
}

#[derive(Clone)]
struct Stored {
    event: Event,
    not_for: Vec<PurposeName>,
}

#[derive(Clone)]
struct Decided {
    new: NewDecision,
    at: At,
    is_over: bool,
    reduced: bool,
    message: Option<Message>,
}

#[derive(Clone)]
struct Message {
    due_at: At,
    state: &'static str,
    n_attempts: u32,
    why: Option<String>,
}

impl Message {
    fn words(&self) -> String {
        self.why.as_ref().map_or(self.state.to_owned(), |why| format!("{}: {why}", self.state))
    }

    fn end(&mut self, state: &'static str, why: Option<&str>) {
        (self.state, self.why) = (state, why.map(str::to_owned));
    }
}

fn id_of(at: usize) -> ProfileId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(at as u64 + 1).to_be_bytes());
    ProfileId::from_bytes(bytes)
}

fn at_of(id: &ProfileId) -> Option<usize> {
    let (number, rest) = id.as_bytes().split_first_chunk::<8>()?;
    let known = rest.iter().all(|byte| *byte == 0);
    usize::try_from(u64::from_be_bytes(*number)).ok().filter(|_| known)?.checked_sub(1)
}

fn key_of(identifier: &Identifier) -> (IdentifierKind, String) {
    (identifier.kind, identifier.value.clone())
}

impl Person {
    fn new(kind: ProfileKind) -> Self {
        Self {
            kind,
            restrained: false,
            told: 0,
            seq: 0,
            relations: BTreeMap::new(),
            ledger: Vec::new(),
            identifiers: BTreeSet::new(),
            joins: BTreeSet::new(),
            last: BTreeMap::new(),
            events: Vec::new(),
            facts: BTreeMap::new(),
            contacts: Vec::new(),
            at_most: None,
            less: None,
            turned_down: Vec::new(),
            suppressed: false,
            decisions: Vec::new(),
        }
    }

    /// The stored answer that says the same; a repeated answer adds nothing.
    fn entry_about(&self, purpose: &PurposeName) -> Option<ConsentId> {
        self.ledger.iter().rev().find(|(_, entry, _)| entry.purpose == *purpose).map(|(id, ..)| *id)
    }

    fn said_yes(&self, purpose: &PurposeName) -> bool {
        self.relations.get(purpose).is_some_and(|relation| relation.status.is_given())
    }
}

// ── how long things live ──────────────────────────────────────────────────────────────────────────────────────────────

impl Reference {
    pub fn new(promise: Arc<Promise>, now: At, fault: Option<Fault>) -> Self {
        let reviewed = promise.artefacts().keys().copied().collect();
        Self {
            promise,
            now,
            fault,
            people: Vec::new(),
            leads: BTreeMap::new(),
            left: BTreeMap::new(),
            seen: BTreeMap::new(),
            sales: BTreeMap::new(),
            reviewed,
            campaigns: BTreeMap::new(),
            n_entries: 0,
            n_events: 0,
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The first midnight at which something is gone: its last day was the one before.
    fn ends(&self, retention: &Retention, person: &Person, since: At) -> At {
        let since = match &retention.since {
            Since::Receipt => since,
            Since::Last(event) => person.last.get(event).copied().unwrap_or(since).max(since),
            Since::Leaving => unreachable!("no promise of these histories has a clock that starts at leaving"),
        };
        since.day().plus(retention.keep_days + i32::from(self.has(Fault::ExpiryADayLate))).start()
    }

    fn event_ends(&self, person: &Person, stored: &Stored) -> At {
        let Some(plan) = self.promise.events.get(&stored.event.name) else { return At::from_ms(i64::MIN) };
        let since =
            if stored.event.trust == Trust::Import { stored.event.occurred_at } else { stored.event.received_at };
        self.ends(&plan.retention, person, since)
    }

    fn fact_retention(&self, name: &FactName) -> Option<&Retention> {
        match name {
            FactName::Field(name) => self.promise.fields.get(name).map(|field| &field.retention),
            FactName::Trait(_) => self.promise.candidates.as_ref().map(|plan| &plan.retention),
        }
    }

    /// A fact's end moves with its clock, where it has one.
    fn fact_ends(&self, person: &Person, fact: &Fact) -> At {
        match self.fact_retention(&fact.name) {
            Some(retention) if retention.since != Since::Receipt => self.ends(retention, person, fact.as_of),
            _ => fact.expires_at,
        }
    }

    // ── what may be ───────────────────────────────────────────────────────────────────────────────────────────────

    fn no(&self, reason: RefusalReason, purpose: &PurposeName) -> Refusal {
        Refusal { reason, purpose: Some(purpose.clone()), line: self.promise.line("purpose", purpose.as_str()) }
    }

    /// A purpose is in force by an answer that was given under words that still stand and a notice that binds by now.
    fn in_force(&self, purpose: &PurposeName, person: &Person) -> Result<Option<String>, Refusal> {
        if person.restrained {
            return Err(self.no(RefusalReason::Restrained, purpose));
        }
        let plan = &self.promise.purposes[purpose];
        let relation = person.relations.get(purpose);
        if plan.basis == Basis::Contract {
            let stands = relation.is_some_and(|relation| relation.status.is_given());
            return if stands { Ok(None) } else { Err(self.no(RefusalReason::NoContract, purpose)) };
        }
        let Some(relation) = relation else { return Err(self.no(RefusalReason::NeverAsked, purpose)) };
        let reason = match relation.status {
            ConsentStatus::Given => {
                let covered = relation.notice_version >= plan.since_notice && person.told >= plan.since_notice;
                let binds = relation.notice_version <= self.promise.binding_notice(self.now);
                if covered && binds && relation.at <= self.now {
                    return Ok(relation.level.clone());
                }
                RefusalReason::NotTold
            }
            ConsentStatus::Refused => RefusalReason::SaidNo,
            ConsentStatus::Withdrawn if self.has(Fault::WithdrawalIsNotObeyed) => return Ok(None),
            ConsentStatus::Withdrawn => RefusalReason::Withdrawn,
            ConsentStatus::Revoked | ConsentStatus::Expired | ConsentStatus::Invalidated => RefusalReason::AnswerLapsed,
            ConsentStatus::Unknown | ConsentStatus::Requested | ConsentStatus::Deferred => RefusalReason::NeverAsked,
        };
        Err(self.no(reason, purpose))
    }

    fn artefact(&self, id: &ArtefactId) -> Result<&Artefact, Refusal> {
        let artefact = self.promise.artefacts().get(id).ok_or(Refusal::because(RefusalReason::UnknownArtefact))?;
        let is_reviewed = artefact.review == ReviewRole::BuiltIn || self.reviewed.contains(id);
        if is_reviewed { Ok(artefact) } else { Err(Refusal::because(RefusalReason::NotReviewed)) }
    }

    /// May this artefact read about this person? The level of the purpose that says yes.
    fn judge(&self, artefact: &Artefact, person: &Person) -> Result<Option<String>, Refusal> {
        if artefact.is_portal() || artefact.is_breach_notice() {
            return Ok(None);
        }
        if person.restrained {
            return Err(Refusal::because(RefusalReason::Restrained));
        }
        if artefact.is_desk() {
            return Ok(None);
        }
        let mut first = None;
        for purpose in artefact.terms.purposes() {
            match self.in_force(purpose, person) {
                Ok(level) => return Ok(level),
                Err(no) => first = first.or(Some(no)),
            }
        }
        Err(first.expect("an artefact acts for a purpose"))
    }

    fn judge_fact(&self, artefact: &Artefact, person: &Person, fact: &Fact) -> Result<(), Refusal> {
        self.judge(artefact, person)?;
        let no = |reason| Err(Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None });
        if artefact.is_portal() {
            return Ok(());
        }
        if fact.class >= Class::Sensitive {
            return no(RefusalReason::Guarded);
        }
        let told = fact.told_at.is_some_and(|at| at <= self.now);
        if !told || fact.notice_version > self.promise.binding_notice(self.now) {
            return no(RefusalReason::NotTold);
        }
        if artefact.is_desk() || artefact.is_breach_notice() {
            return Ok(());
        }
        let mut first = None;
        for purpose in artefact.terms.purposes() {
            let Ok(level) = self.in_force(purpose, person) else { continue };
            if !fact.purposes.contains(purpose) {
                first = first.or(Some(self.no(RefusalReason::OtherPurpose, purpose)));
            } else if !names_of(fact).iter().all(|name| self.sees(purpose, level.as_deref(), name)) {
                first = first.or(Some(self.no(RefusalReason::AboveLevel, purpose)));
            } else {
                return Ok(());
            }
        }
        Err(first.unwrap_or(Refusal::because(RefusalReason::OtherPurpose)))
    }

    /// Whether a level of sharing shows something; what no level names, each shows.
    fn sees(&self, purpose: &PurposeName, level: Option<&str>, name: &str) -> bool {
        let levels = &self.promise.purposes[purpose].levels;
        let is_named = levels.iter().any(|(_, names)| names.contains(name));
        level
            .is_none_or(|level| !is_named || levels.iter().any(|(known, names)| known == level && names.contains(name)))
    }

    // ── who is who ────────────────────────────────────────────────────────────────────────────────────────────────

    fn find_at(&self, identifier: &Identifier) -> Option<usize> {
        self.leads.get(&key_of(identifier)).copied().filter(|at| self.leads_still(*at, &key_of(identifier)))
    }

    /// An address leads to somebody as long as they have it.
    fn leads_still(&self, at: usize, key: &(IdentifierKind, String)) -> bool {
        let Some(person) = self.people[at].as_ref() else { return false };
        key.0 != IdentifierKind::Email || self.has_address(person, key)
    }

    /// Whether one of somebody's facts is this address, and has not outlived itself.
    fn has_address(&self, person: &Person, key: &(IdentifierKind, String)) -> bool {
        person.facts.values().any(|fact| {
            let kind = self.promise.fact_kind(fact.name.as_str());
            kind.and_then(|kind| address(kind, &fact.value)).as_ref() == Some(key)
                && self.fact_ends(person, fact) > self.now
        })
    }

    fn person(&self, id: &ProfileId) -> Option<&Person> {
        self.people.get(at_of(id)?)?.as_ref()
    }

    fn person_mut(&mut self, at: usize) -> &mut Person {
        self.people[at].as_mut().expect("somebody who is here")
    }

    fn create(&mut self, main: &Identifier) -> usize {
        let is_device = main.kind == IdentifierKind::Anonymous;
        let mut person = Person::new(if is_device { ProfileKind::Device } else { ProfileKind::Person });
        person.identifiers.insert(key_of(main));
        self.people.push(Some(person));
        self.leads.insert(key_of(main), self.people.len() - 1);
        self.people.len() - 1
    }

    fn identifiers_of(subject: &Subject) -> Vec<&Identifier> {
        match subject {
            Subject::Profile(_) => Vec::new(),
            Subject::Identifiers { user, anonymous } => user.iter().chain(anonymous).collect(),
        }
    }

    fn left_of(&self, subject: &Subject) -> impl Iterator<Item = Left> {
        Self::identifiers_of(subject).into_iter().filter_map(|identifier| self.left.get(&key_of(identifier)).copied())
    }

    /// `Ok(None)` = somebody new.
    fn resolve(&self, subject: &Subject) -> Result<Option<usize>, OutcomeReason> {
        if let Subject::Profile(id) = subject {
            let at = at_of(id).filter(|at| *at < self.people.len()).ok_or(OutcomeReason::NoSubject)?;
            return if self.people[at].is_some() { Ok(Some(at)) } else { Err(OutcomeReason::Erased) };
        }
        let main = Self::identifiers_of(subject).first().copied().ok_or(OutcomeReason::NoSubject)?;
        Ok(self.find_at(main))
    }

    // ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Gone: what stays is a token per identifier. Browsers tied to this person alone go too.
    fn erase(&mut self, id: ProfileId) {
        let at = at_of(&id).expect("a known person");
        let joins = self.people[at].as_ref().map(|person| person.joins.clone()).unwrap_or_default();
        let is_own_device = |device: &usize| {
            let device = self.people[*device].as_ref();
            device.is_some_and(|d| d.kind == ProfileKind::Device && d.joins.iter().all(|(back, ..)| *back == at))
        };
        let devices: BTreeSet<usize> = joins.iter().map(|(other, ..)| *other).filter(is_own_device).collect();
        for at in std::iter::once(at).chain(devices) {
            let Some(person) = self.people[at].take() else { continue };
            self.leads.retain(|_, leads| *leads != at);
            let identifiers = if self.has(Fault::ErasedMayComeBack) { BTreeSet::new() } else { person.identifiers };
            for identifier in identifiers {
                let before = self.left.get(&identifier).is_some_and(|left| left.restrained);
                let restrained = (person.restrained || before) && !self.has(Fault::RestraintEndsWithErasure);
                self.left.insert(identifier, Left { erased_at: self.now, restrained });
            }
        }
    }
}

// ── small things ──────────────────────────────────────────────────────────────────────────────────────────────────────

fn not_for(plan: &EventPlan, intake: &Intake) -> Vec<PurposeName> {
    plan.retention.purposes.iter().filter(|purpose| intake.consent.get(*purpose) == Some(&false)).cloned().collect()
}

fn address(kind: Kind, value: &Value) -> Option<(IdentifierKind, String)> {
    match (kind, value) {
        (Kind::Email, Value::Text(text)) => Some((IdentifierKind::Email, text.trim().to_lowercase())),
        _ => None,
    }
}

fn total(lines: &[LineItem]) -> Option<Money> {
    let currency = lines.first()?.price.currency;
    let micros = lines.iter().map(|line| line.price.micros * i64::from(line.quantity)).sum();
    Some(Money { micros, currency })
}

/// Nobody is told by a calculation: told is whoever answered about one of its purposes under some notice.
fn told(person: &Person, purposes: &[PurposeName]) -> (Option<At>, Awareness) {
    let answers = purposes.iter().filter_map(|purpose| person.relations.get(purpose)).map(|relation| relation.at);
    let told_at = answers.min().filter(|_| person.told > 0);
    (told_at, if told_at.is_some() { Awareness::InNotice } else { Awareness::Never })
}

/// Everything a fact tells: its own name, what it rests on, and a ranking tells items.
fn names_of(fact: &Fact) -> Vec<String> {
    let mut names = vec![fact.name.as_str().to_owned()];
    if let Provenance::Derived { ancestors } | Provenance::Inferred { ancestors } = &fact.provenance {
        names.extend(ancestors.iter().cloned());
    }
    if matches!(fact.value, Value::Ranking(_)) {
        names.push("item".to_owned());
    }
    names
}

fn is_turned_down(person: &Person, new: &NewDecision) -> bool {
    let named = [new.offer.as_ref().map(|offer| offer.as_str()), new.item.as_ref().map(ItemCode::as_str)];
    named.into_iter().flatten().any(|name| person.turned_down.iter().any(|down| down == name))
}
