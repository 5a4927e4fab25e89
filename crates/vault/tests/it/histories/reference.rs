//! A slow, obvious vault: plain maps, nothing sealed, nothing kept that could be worked out again. It says in a few hundred
//! lines what a house must answer, so that an engine of many thousand can be held against it.
//!
//! Written from the design and the architecture page, not from the code beside it. What one event, answer or tap does
//! stands in one function each. Expiry is asked at every reading; sweeping removes nothing that anybody could have seen,
//! but for one thing: what was taken back a week ago cannot be given back.
//!
//! Deliberately not: keys, receipts, the log, counting of reads. It is long because the whole contract stands in it.

use super::world::{Answer, Call, Crowd, Known, LedgerLine, MessageLine, Seen, World, said, show_event};
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
        self.leads.get(&key_of(identifier)).copied().filter(|at| self.people[*at].is_some())
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

    // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn take(&mut self, intake: Intake) -> Outcome {
        self.take_one(intake).unwrap_or_else(|(reason, line)| Outcome::Refused { reason, line })
    }

    fn take_one(&mut self, intake: Intake) -> Result<Outcome, (OutcomeReason, Option<u32>)> {
        let promise = Arc::clone(&self.promise);
        let because = |reason| (reason, None);
        let plan = promise.events.get(&intake.name);
        if plan.is_none() && (intake.kind != EventKind::Identify || intake.fields.is_empty()) {
            return Err(because(OutcomeReason::UndeclaredEvent));
        }
        let found = self.resolve(&intake.subject).map_err(because)?;
        self.refuse_the_erased(found, &intake).map_err(because)?;
        let mut person = match found {
            Some(at) => self.person_mut(at).clone(),
            None => Person::new(match intake.subject {
                Subject::Identifiers { user: None, .. } => ProfileKind::Device,
                _ => ProfileKind::Person,
            }),
        };
        let told = intake.told_version.unwrap_or(0);
        person.told = person.told.max(told);
        if person.restrained {
            return Err(because(OutcomeReason::Restrained));
        }
        let purposes = match plan {
            Some(plan) => self.purposes_for(plan, &intake, &person).map_err(|line| (OutcomeReason::NoPurpose, line))?,
            None => Vec::new(),
        };
        let fields = self.fields_for(&intake, &person);
        if plan.is_none() && fields.is_empty() {
            return Err(because(OutcomeReason::NoPurpose));
        }
        let mark = match &intake.message_key {
            MessageKey::Wire(message) => Some((intake.source.as_str().to_owned(), message.clone())),
            MessageKey::History(_) => None,
        };
        let day = mark.as_ref().and_then(|mark| self.seen.get(mark));
        let is_repeat = day.is_some_and(|day| self.now.day().since(*day) < REPEATS_DAYS);
        if is_repeat && !self.has(Fault::RepeatsAreKept) {
            return Ok(Outcome::Repeated);
        }
        let since = if intake.trust == Trust::Import { intake.occurred_at } else { self.now };
        if let Some(plan) = plan {
            let mut then = person.clone();
            let last = then.last.entry(intake.name.clone()).or_insert(intake.occurred_at);
            *last = (*last).max(intake.occurred_at);
            if self.ends(&plan.retention, &then, since) <= self.now {
                return Err(because(OutcomeReason::Expired));
            }
        }
        let at = found.unwrap_or_else(|| self.create(Self::identifiers_of(&intake.subject)[0]));
        let outcome = self.store(at, plan, &purposes, fields, intake);
        if let Some(mark) = mark {
            self.seen.insert(mark, self.now.day());
        }
        Ok(outcome)
    }

    /// After an erasure only a new act of the person counts, and after "leave me alone" not even that.
    fn refuse_the_erased(&self, found: Option<usize>, intake: &Intake) -> Result<(), OutcomeReason> {
        for left in self.left_of(&intake.subject) {
            if left.restrained {
                return Err(OutcomeReason::Restrained);
            }
            let is_new_act = match intake.trust {
                Trust::Browser => true,
                Trust::Import => false,
                Trust::Server => found.is_some_and(|at| {
                    let relations = &self.people[at].as_ref().expect("found").relations;
                    relations.iter().any(|(purpose, relation)| {
                        let by_consent = self.promise.purposes[purpose].basis == Basis::Consent;
                        by_consent && relation.status.is_given() && relation.at > left.erased_at
                    })
                }),
            };
            if intake.occurred_at <= left.erased_at || !is_new_act {
                return Err(OutcomeReason::Erased);
            }
        }
        Ok(())
    }

    /// The purposes an event is stored for: a contract by the company's word, a consent by the ledger, and for a browser
    /// that was never asked its own word, for this event alone. `Err` = none, and the line that says so.
    fn purposes_for(
        &self,
        plan: &EventPlan,
        intake: &Intake,
        person: &Person,
    ) -> Result<Vec<PurposeName>, Option<u32>> {
        let line = |purpose: &PurposeName| self.promise.line("purpose", purpose.as_str());
        let (mut purposes, mut against) = (Vec::new(), None);
        for purpose in &plan.retention.purposes {
            let by_contract = self.promise.purposes[purpose].basis == Basis::Contract;
            let judged = match (by_contract, intake.trust) {
                (true, Trust::Server | Trust::Import) => Ok(()),
                (true, Trust::Browser) => Err(RefusalReason::NoContract),
                (false, _) => self.in_force(purpose, person).map(|_| ()).map_err(|no| no.reason),
            };
            match judged {
                Ok(()) => purposes.push(purpose.clone()),
                Err(reason) if against.is_none() || reason != RefusalReason::NoContract => against = Some(purpose),
                Err(_) => {}
            }
        }
        let against = against.filter(|_| purposes.is_empty());
        for purpose in &plan.retention.purposes {
            let by_consent = self.promise.purposes[purpose].basis == Basis::Consent;
            let never_asked = !person.relations.contains_key(purpose);
            let is_own_device = intake.trust == Trust::Browser && person.kind == ProfileKind::Device;
            let says_yes = intake.consent.get(purpose) == Some(&true);
            if by_consent && never_asked && is_own_device && says_yes && !purposes.contains(purpose) {
                purposes.push(purpose.clone());
            }
        }
        let not_for = not_for(plan, intake);
        purposes.retain(|purpose| !not_for.contains(purpose));
        if purposes.is_empty() {
            let declared = not_for.first().or_else(|| plan.retention.purposes.first());
            return Err(against.and_then(line).or_else(|| declared.and_then(line)));
        }
        Ok(purposes)
    }

    fn fields_for(&self, intake: &Intake, person: &Person) -> Vec<(FieldName, Value)> {
        let may = |(name, value): &&(FieldName, Value)| {
            let Some(field) = self.promise.fields.get(name) else { return false };
            let is_listed =
                field.one_of.is_empty() || matches!(value, Value::Text(text) if field.one_of.contains(text));
            is_listed
                && field.class < Class::Never
                && field.retention.purposes.iter().any(|purpose| {
                    let by_contract = self.promise.purposes[purpose].basis == Basis::Contract;
                    let in_force = match by_contract {
                        true => intake.trust != Trust::Browser,
                        false => self.in_force(purpose, person).is_ok(),
                    };
                    in_force && intake.consent.get(purpose) != Some(&false)
                })
        };
        intake.fields.iter().filter(may).cloned().collect()
    }

    fn store(
        &mut self,
        at: usize,
        plan: Option<&EventPlan>,
        purposes: &[PurposeName],
        fields: Vec<(FieldName, Value)>,
        intake: Intake,
    ) -> Outcome {
        let (promise, now) = (Arc::clone(&self.promise), self.now);
        let person = self.person_mut(at);
        person.told = person.told.max(intake.told_version.unwrap_or(0));
        // The first thing done under a contract is what makes it.
        for purpose in purposes.iter().filter(|purpose| promise.purposes[*purpose].basis == Basis::Contract) {
            if !person.said_yes(purpose) {
                let relation = Relation {
                    status: ConsentStatus::Given,
                    notice_version: person.told,
                    at: intake.occurred_at.min(now),
                    level: None,
                };
                person.relations.insert(purpose.clone(), relation);
            }
        }
        self.move_clock(at, &intake);
        let mut n_changed = 0;
        for (name, value) in fields {
            n_changed += usize::from(self.put_field(at, &name, value, &intake));
        }
        let Some(plan) = plan else {
            let is_history = matches!(intake.message_key, MessageKey::History(_));
            return match n_changed == 0 && is_history {
                true => Outcome::Repeated,
                false => Outcome::Kept { event: self.event_id(&intake), profile: id_of(at) },
            };
        };
        self.store_event(at, plan, intake)
    }

    /// What had ended before an event that moves its clock stays ended.
    fn move_clock(&mut self, at: usize, intake: &Intake) {
        let starts = |retention: &Retention| retention.since == Since::Last(intake.name.clone());
        let promise = Arc::clone(&self.promise);
        if !promise.retention_classes().values().any(starts) {
            return;
        }
        let person = self.people[at].as_ref().expect("somebody who is here");
        let is_over = |fact: &Fact| {
            self.fact_retention(&fact.name).is_some_and(starts) && self.fact_ends(person, fact) <= self.now
        };
        let over: Vec<FactName> = person.facts.values().filter(|fact| is_over(fact)).map(|f| f.name.clone()).collect();
        let person = self.person_mut(at);
        over.iter().for_each(|name| drop(person.facts.remove(name)));
        let last = person.last.entry(intake.name.clone()).or_insert(intake.occurred_at);
        *last = (*last).max(intake.occurred_at);
    }

    fn put_field(&mut self, at: usize, name: &FieldName, value: Value, intake: &Intake) -> bool {
        let promise = Arc::clone(&self.promise);
        let field = &promise.fields[name];
        let at_then = intake.occurred_at.min(self.now);
        if let Some(address) = address(field.kind, &value)
            && let Some(left) = self.left.get(&address)
            && (left.restrained || intake.occurred_at <= left.erased_at || intake.trust == Trust::Import)
        {
            return false;
        }
        let person = self.people[at].as_ref().expect("somebody who is here");
        let is_zone = promise.zone_field().is_some_and(|zone| zone.name == *name);
        if is_zone {
            let Value::Text(text) = &value else { return false };
            let known = self.zone(person);
            if !promise::is_zone(text) || known.is_some_and(|known| known.is_stated || known.name == *text) {
                return false;
            }
        }
        let since = if intake.trust == Trust::Import { intake.occurred_at } else { self.now };
        let is_told = person.told > 0;
        let by_person = intake.kind == EventKind::Identify && !is_zone;
        let source = intake.source.clone();
        let fact = Fact {
            name: FactName::Field(name.clone()),
            value,
            class: field.class,
            context: field.context,
            provenance: if by_person { Provenance::Provided { source } } else { Provenance::Observed { source } },
            as_of: at_then,
            told_at: is_told.then_some(at_then),
            told_how: if is_told { Awareness::InNotice } else { Awareness::Never },
            purposes: field
                .retention
                .purposes
                .iter()
                .filter(|purpose| intake.consent.get(*purpose) != Some(&false))
                .cloned()
                .collect(),
            notice_version: person.told,
            expires_at: self.ends(&field.retention, person, since),
        };
        fact.expires_at > self.now && self.put_fact(at, fact)
    }

    /// The newest statement stands; whether anything changed. A new address is a new chance to reach the person.
    fn put_fact(&mut self, at: usize, fact: Fact) -> bool {
        let old = self.people[at].as_ref().and_then(|person| person.facts.get(&fact.name)).cloned();
        let old = old.filter(|old| self.fact_ends(self.people[at].as_ref().expect("here"), old) > self.now);
        if let Some(old) = &old {
            let says_the_same = old.value == fact.value && old.provenance == fact.provenance && old.told_at.is_some();
            if old.as_of > fact.as_of || (says_the_same && old.as_of == fact.as_of) {
                return false;
            }
        }
        let kind = self.promise.fact_kind(fact.name.as_str()).expect("declared");
        let was = self.people[at].as_ref().and_then(|person| person.facts.get(&fact.name));
        let (before, after) = (was.and_then(|was| address(kind, &was.value)), address(kind, &fact.value));
        if before != after {
            self.person_mut(at).suppressed = false;
            before.iter().for_each(|before| self.forget_address(at, before));
            if let Some(after) = after {
                // It leads to the first who gave it, and is named by everybody who did.
                let leads = self.leads.get(&after).copied().filter(|at| self.people[*at].is_some());
                self.leads.insert(after.clone(), leads.unwrap_or(at));
                self.person_mut(at).identifiers.insert(after);
            }
        }
        self.person_mut(at).facts.insert(fact.name.clone(), fact);
        true
    }

    fn forget_address(&mut self, at: usize, address: &(IdentifierKind, String)) {
        self.person_mut(at).identifiers.remove(address);
        if self.leads.get(address) == Some(&at) {
            self.leads.remove(address);
        }
    }

    fn event_id(&mut self, intake: &Intake) -> EventId {
        self.n_events += 1;
        match intake.message_key {
            MessageKey::History(key) => EventId::from_bytes(key),
            MessageKey::Wire(_) => EventId::from_bytes(u128::from(self.n_events).to_be_bytes()),
        }
    }

    /// A history meets its earlier form: a line that was read twice is one line, and a total stays the sum of the lines.
    fn store_event(&mut self, at: usize, plan: &EventPlan, intake: Intake) -> Outcome {
        let not_for = not_for(plan, &intake);
        let mut event = Event {
            id: self.event_id(&intake),
            profile: id_of(at),
            kind: intake.kind,
            name: intake.name,
            source: intake.source,
            trust: intake.trust,
            occurred_at: intake.occurred_at,
            received_at: self.now,
            source_day: intake.source_day,
            properties: intake.properties,
            lines: intake.lines,
        };
        let is_it = |known: &Stored| known.event.id == event.id && known.event.occurred_at == event.occurred_at;
        let person = self.person_mut(at);
        if let Some(known) = person.events.iter_mut().find(|known| is_it(known)) {
            let before = known.event.clone();
            event.received_at = before.received_at;
            let mut lines = before.lines.clone();
            lines.extend(event.lines.iter().filter(|line| before.lines.iter().all(|old| old.row != line.row)).cloned());
            lines.sort_by_key(|line| line.row);
            if lines.len() == before.lines.len() && !lines.is_empty() {
                return Outcome::Repeated;
            }
            for (name, value) in &mut event.properties {
                if let (Some(was), Some(is)) = (total(&before.lines), total(&lines))
                    && before.properties.get(name) == Some(&Value::Money(was))
                {
                    *value = Value::Money(is);
                }
            }
            event.lines = lines;
            if event == before {
                return Outcome::Repeated;
            }
            *known = Stored { event: event.clone(), not_for };
        } else {
            person.events.push(Stored { event: event.clone(), not_for });
        }
        Outcome::Kept { event: event.id, profile: id_of(at) }
    }

    // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────

    fn consent(&mut self, change: &ConsentChange) -> Answer {
        let nothing = |refusal| Answer::Consent(None, None, Some(refusal));
        let by_consent = self.promise.purposes.get(&change.purpose).is_some_and(|plan| plan.basis == Basis::Consent);
        if !by_consent {
            return nothing(OutcomeReason::NoPurpose);
        }
        let found = match self.resolve(&change.subject) {
            Ok(found) => found,
            Err(_) => return nothing(OutcomeReason::NoSubject),
        };
        let takes_back = !change.status.is_given() && change.method != Method::Import;
        // Taking back is never refused to somebody who is here.
        if found.is_none() || !takes_back {
            for left in self.left_of(&change.subject).collect::<Vec<_>>() {
                if left.restrained {
                    return nothing(OutcomeReason::Restrained);
                }
                let is_old = change.words.answered_at <= left.erased_at || change.method == Method::Import;
                if is_old && (change.status.is_given() || found.is_none()) {
                    return nothing(OutcomeReason::Erased);
                }
            }
        }
        let at = match found {
            Some(at) => at,
            None if !change.status.is_given() => return nothing(OutcomeReason::NoSubject),
            None => self.create(Self::identifiers_of(&change.subject)[0]),
        };
        let answered_at = change.words.answered_at.min(self.now);
        let person = self.person_mut(at);
        if let Some(known) = person.relations.get(&change.purpose) {
            let is_stale = change.method == Method::Import && answered_at <= known.at;
            let same_level = takes_back || known.level == change.level;
            let is_same = known.status == change.status && known.notice_version == change.notice_version && same_level;
            let entry = person.entry_about(&change.purpose);
            if is_stale || (is_same && (!takes_back || entry.is_some())) {
                return Answer::Consent(Some(id_of(at)), entry, None);
            }
        }
        let entry = self.answer(at, change.clone(), answered_at);
        Answer::Consent(Some(id_of(at)), Some(entry), None)
    }

    fn answer(&mut self, at: usize, change: ConsentChange, answered_at: At) -> ConsentId {
        self.n_entries += 1;
        let id = ConsentId::from_bytes(u128::from(self.n_entries).to_be_bytes());
        let relation = Relation {
            status: change.status,
            notice_version: change.notice_version,
            at: answered_at,
            level: change.level.clone(),
        };
        let person = self.person_mut(at);
        person.relations.insert(change.purpose.clone(), relation);
        person.told = person.told.max(change.notice_version);
        person.seq += 1;
        let is_less = !change.status.is_given();
        person.ledger.push((id, change, answered_at));
        if is_less {
            self.answered_by_less(at);
        }
        id
    }

    fn answered_by_less(&mut self, at: usize) {
        let since = self.now.plus_days(-ANSWERS_DAYS);
        self.person_mut(at)
            .decisions
            .iter_mut()
            .filter(|known| known.at >= since)
            .for_each(|known| known.reduced = true);
    }

    fn reduce(&mut self, id: ProfileId, reduction: Reduction) -> Answer {
        let Some(person) = self.person(&id) else {
            return Answer::Consent(None, None, Some(OutcomeReason::NoSubject));
        };
        let (at, now) = (at_of(&id).expect("somebody who is here"), self.now);
        let done = Answer::Consent(Some(id), None, None);
        let own = person.at_most.unwrap_or(self.promise.cap.at_most).min(self.promise.cap.at_most);
        let half = if own > 1 { own / 2 } else { 0 };
        let (before, less) = (person.at_most, person.less);
        let limit = match reduction {
            Reduction::Stop { purpose, words, method } => {
                return self.consent(&ConsentChange {
                    subject: Subject::Profile(id),
                    source: None,
                    purpose,
                    status: ConsentStatus::Withdrawn,
                    level: None,
                    words,
                    method,
                    notice_version: person.told,
                    made_up: false,
                });
            }
            Reduction::Less => Some((Some(half), None)),
            Reduction::LessBy(by) => {
                if less.is_some_and(|(known, _, at)| known == by && now < at.plus_ms(TAP_MS)) {
                    return done;
                }
                Some((Some(half), Some((by, before, now))))
            }
            Reduction::UndoLess => Some((None, None)),
            Reduction::UndoLessBy(by) => {
                match less.filter(|(known, _, at)| *known == by && now < at.plus_ms(UNDO_LESS_MS)) {
                    Some((_, before, _)) => Some((before, None)),
                    None => return Answer::Consent(None, None, Some(OutcomeReason::Expired)),
                }
            }
            Reduction::NotThis { offer, item } => {
                let item = item.map(|item| item.as_str().to_owned());
                self.turn_down(at, std::iter::once(offer.as_str().to_owned()).chain(item));
                None
            }
            Reduction::NotMe { item } => {
                self.turn_down(at, std::iter::once(item.as_str().to_owned()));
                None
            }
            Reduction::LeaveMeAlone => {
                self.person_mut(at).restrained = true;
                None
            }
        };
        let is_given_back = matches!(limit, Some((_, None))) && limit != Some((Some(half), None));
        let person = self.person_mut(at);
        if let Some((at_most, less)) = limit {
            (person.at_most, person.less) = (at_most, less);
        }
        person.seq += 1;
        if !is_given_back {
            self.answered_by_less(at);
        }
        done
    }

    fn turn_down(&mut self, at: usize, names: impl Iterator<Item = String>) {
        let person = self.person_mut(at);
        for name in names {
            if !person.turned_down.contains(&name) {
                person.turned_down.push(name);
            }
        }
    }

    // ── facts and joins ───────────────────────────────────────────────────────────────────────────────────────────

    fn write_fact(&mut self, write: FactWrite) -> Result<(), Refusal> {
        let promise = Arc::clone(&self.promise);
        let artefact = self.artefact(&write.artefact)?.clone();
        let person = self.person(&write.person).ok_or(Refusal::because(RefusalReason::NoSuchPerson))?;
        self.judge(&artefact, person)?;
        let at = at_of(&write.person).expect("somebody who is here");
        if let Some(gone) = write.remove.and_then(|name| self.person_mut(at).facts.remove(&name)) {
            let kind = promise.fact_kind(gone.name.as_str()).expect("declared");
            address(kind, &gone.value).iter().for_each(|address| self.forget_address(at, address));
        }
        let Some(mut fact) = write.fact else { return Ok(()) };
        let no = |reason| Err(Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None });
        let is_own_page = artefact.is_portal() || artefact.is_desk();
        let Some(retention) = self.fact_retention(&fact.name).cloned() else { return no(RefusalReason::NotInTerms) };
        match &fact.name {
            FactName::Field(name) => {
                let field = &promise.fields[name];
                let fits = match (&fact.value, field.kind) {
                    (Value::Text(text), Kind::Text | Kind::Email | Kind::Id) => {
                        let is_zone = promise.zone_field().is_some_and(|zone| zone.name == *name);
                        (field.one_of.is_empty() || field.one_of.contains(text)) && (!is_zone || promise::is_zone(text))
                    }
                    _ => false,
                };
                if !fits || !(is_own_page || artefact.terms.reads.contains(name.as_str())) {
                    return no(RefusalReason::NotInTerms);
                }
                (fact.class, fact.context) = (field.class, field.context);
            }
            FactName::Trait(_) => {
                if !(is_own_page || artefact.kind == ArtefactKind::Model) {
                    return no(RefusalReason::NotInTerms);
                }
                (fact.class, fact.context) = (Class::Plain, Context::Shopping);
            }
        }
        let person = self.people[at].as_ref().expect("somebody who is here");
        let in_force: Vec<_> = retention.purposes.iter().map(|purpose| self.in_force(purpose, person)).collect();
        if in_force.iter().all(Result::is_err) {
            return Err(in_force.into_iter().find_map(Result::err).expect("a fact has a purpose"));
        }
        fact.purposes = promise.fact_purposes(&fact.name).expect("declared").to_vec();
        if matches!(fact.provenance, Provenance::Inferred { .. }) {
            (fact.told_at, fact.told_how) = told(person, &fact.purposes);
        }
        fact.as_of = fact.as_of.min(self.now);
        let life = self.ends(&retention, person, fact.as_of);
        fact.expires_at = write.inputs_expire_at.map_or(life, |inputs| inputs.min(life));
        let binding = promise.binding_notice(self.now);
        let person = self.person_mut(at);
        if is_own_page {
            person.told = person.told.max(binding);
        }
        fact.notice_version = fact.notice_version.min(person.told);
        if fact.expires_at <= self.now {
            return no(RefusalReason::Expired);
        }
        self.put_fact(at, fact);
        Ok(())
    }

    /// A proven tie leads what the browser does next to the person; what it did before stays its own. The stricter of two
    /// answers is both sides'. A claim changes nothing.
    fn join(&mut self, join: &Join) -> Result<(), Refusal> {
        let nobody = Err(Refusal::because(RefusalReason::NoSuchPerson));
        for identifier in [&join.anonymous, &join.user] {
            if self.left.get(&key_of(identifier)).is_some_and(|left| left.restrained || join.at <= left.erased_at) {
                return nobody;
            }
        }
        let is_claim = join.proof == JoinProof::Claim;
        let (device, person) = match (self.find_at(&join.anonymous), self.find_at(&join.user)) {
            (None, None) => return nobody,
            (None, Some(_)) | (Some(_), None) if is_claim => return nobody,
            (None, Some(person)) => {
                self.leads.insert(key_of(&join.anonymous), person);
                self.person_mut(person).identifiers.insert(key_of(&join.anonymous));
                return Ok(());
            }
            (Some(device), None) => {
                // Nobody is made of a browser that never said yes to anything.
                if !self.person_mut(device).relations.values().any(|relation| relation.status.is_given()) {
                    return nobody;
                }
                (device, self.create(&join.user))
            }
            (Some(device), Some(person)) => (device, person),
        };
        let proof = match join.proof {
            JoinProof::ServerKey => 0,
            JoinProof::OwnAct => 1,
            JoinProof::Claim => 2,
        };
        if device == person || !self.person_mut(device).joins.insert((person, !is_claim, proof)) {
            return Ok(());
        }
        self.person_mut(person).joins.insert((device, !is_claim, proof));
        if is_claim {
            return Ok(());
        }
        self.leads.insert(key_of(&join.anonymous), person);
        self.person_mut(person).identifiers.insert(key_of(&join.anonymous));
        let promise = Arc::clone(&self.promise);
        let by_consent = promise.purposes.values().filter(|plan| plan.basis == Basis::Consent);
        for purpose in by_consent.map(|plan| &plan.name) {
            let theirs = self.person_mut(device).relations.get(purpose).cloned();
            let own = self.person_mut(person).relations.get(purpose).cloned();
            match (theirs, own) {
                (Some(theirs), None) => self.copy_answer(device, person, purpose, theirs),
                (Some(theirs), Some(own)) if self.has(Fault::JoinTakesTheNewer) => match theirs.at > own.at {
                    true => self.copy_answer(device, person, purpose, theirs),
                    false => self.copy_answer(person, device, purpose, own),
                },
                (Some(theirs), Some(own)) if own.status.is_given() && !theirs.status.is_given() => {
                    self.copy_answer(device, person, purpose, theirs);
                }
                (Some(theirs), Some(own)) if theirs.status.is_given() && !own.status.is_given() => {
                    self.copy_answer(person, device, purpose, own);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn copy_answer(&mut self, from: usize, to: usize, purpose: &PurposeName, relation: Relation) {
        let entry = self.person_mut(from).ledger.iter().rev().find(|(_, entry, _)| entry.purpose == *purpose).cloned();
        match entry {
            Some((_, entry, answered_at)) => drop(self.answer(to, entry, answered_at)),
            None => {
                let person = self.person_mut(to);
                person.relations.insert(purpose.clone(), relation);
                person.seq += 1;
            }
        }
    }

    // ── deciding and sending ──────────────────────────────────────────────────────────────────────────────────────

    /// Room under the cap, or when there is some again (`None` = as long as the person's limit is nought).
    fn room(&self, person: &Person) -> Result<(), Option<At>> {
        let cap = &self.promise.cap;
        let at_most = person.at_most.unwrap_or(cap.at_most).min(cap.at_most) as usize;
        let mut inside: Vec<At> = person
            .contacts
            .iter()
            .filter(|(_, at, sent)| {
                *at > self.now.plus_days(-cap.per_days) && (*sent || !self.has(Fault::CapForgetsTries))
            })
            .map(|(_, at, _)| *at)
            .collect();
        if inside.len() < at_most {
            return Ok(());
        }
        inside.sort_unstable();
        Err((at_most > 0).then(|| inside[inside.len() - at_most].plus_days(cap.per_days)))
    }

    fn zone(&self, person: &Person) -> Option<Zone> {
        let field = self.promise.zone_field()?;
        let fact = person.facts.get(&FactName::Field(field.name.clone()))?;
        let Value::Text(name) = &fact.value else { return None };
        let is_stated = field.stated && matches!(fact.provenance, Provenance::Provided { .. });
        (self.fact_ends(person, fact) > self.now).then(|| Zone { name: name.clone(), is_stated })
    }

    fn decide(&mut self, new: NewDecision) -> Result<DecisionId, Refusal> {
        let artefact = self.artefact(&new.artefact)?;
        if artefact.kind != ArtefactKind::Campaign || artefact.name != new.campaign.as_str() {
            return Err(Refusal::because(RefusalReason::UnknownArtefact));
        }
        let person = self.person(&new.person).ok_or(Refusal::because(RefusalReason::NoSuchPerson))?;
        let no = |reason| Err(Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None });
        if person.seq != new.consent_seq && !self.has(Fault::StaleWishesDecide) {
            return no(RefusalReason::ChangedMeanwhile);
        }
        self.judge(artefact, person)?;
        let stands = person.decisions.iter().rev().find(|known| {
            let same =
                known.new.run == new.run && known.new.channel == new.channel && known.new.campaign == new.campaign;
            same && !known.is_over && known.at >= self.now.plus_days(-DECISION_DAYS)
        });
        if stands.map(|known| known.new.id) != new.replaces {
            return no(RefusalReason::AlreadyDecided);
        }
        if is_turned_down(person, &new) {
            return no(RefusalReason::TurnedDown);
        }
        let is_mail = new.channel == ChannelKind::Email;
        if is_mail && person.suppressed {
            return no(RefusalReason::Suppressed);
        }
        if is_mail && self.room(person).is_err() {
            return no(RefusalReason::CapReached);
        }
        let now = self.now;
        let message = (is_mail && new.offer.is_some() && !new.held_out).then(|| Message {
            due_at: new.send_at.unwrap_or(now).max(now),
            state: "waiting",
            n_attempts: 0,
            why: None,
        });
        let person = self.person_mut(at_of(&new.person).expect("somebody who is here"));
        person.decisions.iter_mut().filter(|known| Some(known.new.id) == new.replaces).for_each(|k| k.is_over = true);
        let id = new.id;
        person.decisions.push(Decided { new, at: now, is_over: false, reduced: false, message });
        Ok(id)
    }

    fn find_decision(&self, id: &DecisionId) -> Option<(usize, usize)> {
        self.people.iter().enumerate().find_map(|(at, person)| {
            let person = person.as_ref()?;
            Some((at, person.decisions.iter().position(|known| known.new.id == *id)?))
        })
    }

    fn is_kept(&self, decided: &Decided) -> bool {
        decided.at >= self.now.plus_days(-DECISION_DAYS)
    }

    /// The decision and message in an open state, if there is one.
    fn open_message(&mut self, id: &DecisionId) -> Option<(usize, Decided, Message)> {
        let (at, place) = self.find_decision(id)?;
        let decided = self.people[at].as_ref()?.decisions[place].clone();
        let message = decided.message.clone().filter(|message| matches!(message.state, "waiting" | "trying"))?;
        self.is_kept(&decided).then_some((at, decided, message))
    }

    fn put_message(&mut self, at: usize, id: DecisionId, message: Message) {
        let decided = self.person_mut(at).decisions.iter_mut().find(|known| known.new.id == id);
        decided.expect("decided").message = Some(message);
    }

    fn begin(&mut self, id: DecisionId) -> Result<Attempt, NotBegun> {
        let gone = || NotBegun::Refused(Refusal::because(RefusalReason::NothingFits));
        let (at, decided, mut message) = self.open_message(&id).ok_or_else(gone)?;
        if message.due_at > self.now {
            return Err(NotBegun::Refused(Refusal::because(RefusalReason::ChangedMeanwhile)));
        }
        if message.state == "trying" {
            // Whoever tried died: nobody knows, so it counts and is not tried again.
            self.count_for_good(at, id);
            message.end("failed", Some(vault::UNKNOWN));
            self.put_message(at, id, message);
            return Err(NotBegun::Unknown);
        }
        let person = self.people[at].as_ref().expect("somebody who is here");
        match self.hindrance(person, &decided) {
            Some((None, refusal)) => {
                self.end_refused(at, id, message, &refusal);
                Err(NotBegun::Refused(refusal))
            }
            Some((Some(until), refusal)) => {
                (message.due_at, message.why) = (until, Some(refusal.reason.as_str().to_owned()));
                self.put_message(at, id, message);
                Err(NotBegun::Refused(refusal))
            }
            None => {
                message.end("trying", None);
                message.n_attempts += 1;
                message.due_at = self.now.plus_ms(LEASE_MS);
                let attempt = Attempt {
                    message: MessageId::from_bytes(*id.as_bytes()),
                    person: id_of(at),
                    consent_seq: person.seq,
                    n: message.n_attempts,
                };
                let now = self.now;
                self.person_mut(at).contacts.push((id, now, false));
                self.put_message(at, id, message);
                Ok(attempt)
            }
        }
    }

    /// What stands in the way: for ever (`None`), or until an instant.
    fn hindrance(&self, person: &Person, decided: &Decided) -> Option<(Option<At>, Refusal)> {
        let artefact = match self.artefact(&decided.new.artefact) {
            Ok(artefact) => artefact,
            Err(refusal) => {
                let known = self.promise.artefacts().get(&decided.new.artefact);
                let purpose = known.and_then(|artefact| artefact.terms.purpose.clone());
                return Some((None, Refusal { purpose, ..refusal }));
            }
        };
        let no = |reason| Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None };
        if let Err(refusal) = self.judge(artefact, person) {
            return Some((None, refusal));
        }
        if is_turned_down(person, &decided.new) {
            return Some((None, no(RefusalReason::TurnedDown)));
        }
        if person.suppressed {
            return Some((None, no(RefusalReason::Suppressed)));
        }
        let state = self.campaigns.get(decided.new.campaign.as_str()).copied();
        if state.is_some_and(|state| state != State::Running) {
            return Some((Some(self.now.plus_ms(PAUSE_MS)), no(RefusalReason::Paused)));
        }
        let line = self.promise.line("cap", "default");
        if let Err(next) = self.room(person) {
            return Some((next, Refusal { line, ..no(RefusalReason::CapReached) }));
        }
        let quiet = self.promise.cap.quiet_until(&self.promise.zone, self.zone(person).as_ref(), self.now)?;
        Some((Some(quiet), Refusal { line, ..no(RefusalReason::QuietHours) }))
    }

    fn finish(&mut self, id: DecisionId, attempt: Attempt, end: AttemptEnd) {
        let Some((at, _, mut message)) = self.open_message(&id) else { return };
        if message.state != "trying" || message.n_attempts != attempt.n {
            return;
        }
        match end {
            AttemptEnd::Sent | AttemptEnd::Unknown => self.count_for_good(at, id),
            _ => self.person_mut(at).contacts.retain(|(known, _, sent)| *sent || *known != id),
        }
        match end {
            AttemptEnd::Sent => message.end("sent", None),
            AttemptEnd::Unknown => message.end("failed", Some(vault::UNKNOWN)),
            AttemptEnd::Later { why, at } => {
                message.end("waiting", Some(why));
                message.due_at = at.max(self.now);
            }
            AttemptEnd::Failed { why } => {
                self.person_mut(at).suppressed |= why == "address_refused";
                message.end("failed", Some(why));
            }
            AttemptEnd::Refused(refusal) => return self.end_refused(at, id, message, &refusal),
        }
        self.put_message(at, id, message);
    }

    fn count_for_good(&mut self, at: usize, id: DecisionId) {
        let contact = self.person_mut(at).contacts.iter_mut().find(|(known, ..)| *known == id);
        contact.into_iter().for_each(|(_, _, sent)| *sent = true);
    }

    /// Nothing was sent and nothing will be: its run may decide anew.
    fn end_refused(&mut self, at: usize, id: DecisionId, mut message: Message, refusal: &Refusal) {
        message.end("refused", Some(refusal.reason.as_str()));
        self.put_message(at, id, message);
        self.person_mut(at).decisions.iter_mut().filter(|known| known.new.id == id).for_each(|k| k.is_over = true);
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

    // ── what is worked out ────────────────────────────────────────────────────────────────────────────────────────

    /// Days and amounts of the events behind a trait. An event that was not for one of the trait's purposes is not among
    /// them; a day's sum ends with that day, which is never later than its events.
    fn inputs(&self, person: &Person, plan: &Aggregate) -> Vec<(Day, i64)> {
        let event = &self.promise.events[plan.event()];
        let of_it = |stored: &&Stored| {
            let kept_out = self.promise.traits.values().any(|known| {
                known.is.event() == &event.name && known.purposes.iter().any(|p| stored.not_for.contains(p))
            });
            let ends = self.ends(&event.retention, person, stored.event.occurred_at.day().start());
            stored.event.name == event.name && !kept_out && ends > self.now
        };
        let amount = |stored: &Stored| match plan {
            Aggregate::Sum { property, .. } => match stored.event.properties.get(property) {
                Some(Value::Money(money)) => money.micros,
                _ => 0,
            },
            _ => 1,
        };
        let events = person.events.iter().filter(of_it);
        events.map(|stored| (stored.event.occurred_at.day(), amount(stored))).filter(|(_, n)| *n != 0).collect()
    }

    fn within(&self, plan: &Aggregate, day: Day) -> bool {
        let (Aggregate::Count { window_days, .. } | Aggregate::Sum { window_days, .. }) = plan else { return true };
        window_days.is_none_or(|window| self.now.day().since(day) < window)
    }

    fn trait_value(&self, person: &Person, name: &TraitName) -> Option<i64> {
        let plan = &self.promise.traits[name].is;
        let inputs = self.inputs(person, plan);
        let inside = inputs.iter().filter(|(day, _)| self.within(plan, *day));
        match plan {
            Aggregate::Count { .. } => Some(inside.map(|(_, n)| n).sum()),
            Aggregate::Sum { .. } => (!inputs.is_empty()).then(|| inside.map(|(_, n)| n).sum()),
            Aggregate::DaysSince { .. } => {
                inside.map(|(day, _)| *day).max().map(|day| i64::from(self.now.day().since(day)))
            }
            Aggregate::DaysSinceFirst { .. } => {
                inside.map(|(day, _)| *day).min().map(|day| i64::from(self.now.day().since(day)))
            }
        }
    }

    fn trait_fact(&self, person: &Person, name: &TraitName) -> Option<Fact> {
        let plan = &self.promise.traits[name];
        let value = self.trait_value(person, name)?;
        let event = &self.promise.events[plan.is.event()];
        let days = self.inputs(person, &plan.is).into_iter().map(|(day, _)| day);
        let days: Vec<Day> = days.filter(|day| self.within(&plan.is, *day)).collect();
        let newest = days.iter().max().copied();
        let earliest = match plan.is {
            Aggregate::DaysSince { .. } => newest,
            _ => days.iter().min().copied(),
        };
        let (told_at, told_how) = told(person, &plan.purposes);
        let tomorrow = self.now.day().plus(1).start();
        Some(Fact {
            name: FactName::Trait(name.clone()),
            value: match plan.kind {
                Kind::Money => Value::Money(Money { micros: value, currency: self.promise.currency }),
                _ => Value::Number(value),
            },
            class: event.class,
            context: event.context,
            provenance: Provenance::Derived { ancestors: vec![event.name.as_str().to_owned()] },
            as_of: newest.unwrap_or(self.now.day()).start().min(self.now),
            told_at,
            told_how,
            purposes: plan.purposes.clone(),
            notice_version: person.told.min(self.promise.binding_notice(self.now)),
            expires_at: earliest.map_or(tomorrow, |day| self.ends(&event.retention, person, day.start())),
        })
    }

    /// `orders_all >= 3 && orders_90d == 0`.
    fn is_lapsed(&self, person: &Person) -> bool {
        let value = |name: &str| self.trait_value(person, &TraitName::parse(name).unwrap());
        value("orders_all").is_some_and(|all| all >= 3) && value("orders_90d") == Some(0)
    }

    fn may_ask_segment(&self, artefact: &Artefact) -> bool {
        let plan = self.promise.segments.values().next().expect("the shop has one segment");
        artefact.is_portal() || plan.reads.is_subset(&artefact.terms.reads)
    }

    // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    fn read_fact(&self, artefact: &Artefact, person: &Person, name: &FactName) -> Result<Option<Fact>, Refusal> {
        if !artefact.is_portal() && !artefact.terms.reads.contains(name.as_str()) {
            let purpose = artefact.terms.purpose.clone();
            return Err(Refusal { reason: RefusalReason::NotInTerms, purpose, line: None });
        }
        let fact = match name {
            FactName::Trait(name) if self.promise.traits.contains_key(name) => self.trait_fact(person, name),
            _ => person.facts.get(name).map(|fact| Fact { expires_at: self.fact_ends(person, fact), ..fact.clone() }),
        };
        let Some(fact) = fact.filter(|fact| fact.expires_at > self.now) else { return Ok(None) };
        self.judge_fact(artefact, person, &fact).map(|()| Some(fact))
    }

    fn read_events(&self, artefact: &Artefact, person: &Person) -> Vec<String> {
        let mut seen = Vec::new();
        for stored in &person.events {
            let mut event = stored.event.clone();
            let (plan, ends) = (&self.promise.events[&event.name], self.event_ends(person, stored));
            if ends <= self.now {
                continue;
            }
            let declared = plan.retention.purposes.iter().filter(|purpose| !stored.not_for.contains(purpose));
            let purposes: Vec<PurposeName> =
                declared.filter(|purpose| self.in_force(purpose, person).is_ok()).cloned().collect();
            let is_named = artefact.terms.reads.contains(event.name.as_str()) && plan.class < Class::Sensitive;
            if !artefact.is_portal() && !is_named {
                continue;
            }
            if !artefact.is_portal() && !artefact.is_desk() {
                let Some(purpose) = artefact.terms.purposes().find(|purpose| purposes.contains(purpose)) else {
                    continue;
                };
                let level = self.in_force(purpose, person).expect("in force");
                let sees = |property: &str| {
                    artefact.terms.properties.contains(property) && self.sees(purpose, level.as_deref(), property)
                };
                event.properties.retain(|property, _| sees(property));
                if !sees("item") {
                    // Nothing is in the catalogue of these histories, so there is no group to show in its place.
                    event.lines.clear();
                }
            }
            seen.push(show_event(&event, ends, &purposes));
        }
        seen.sort();
        seen
    }
}

impl World for Reference {
    fn calls(&mut self, calls: Vec<Call>) -> Vec<Answer> {
        let mut answers = Vec::new();
        for call in calls {
            answers.push(match call {
                Call::Take(events) => Answer::Outcomes(events.into_iter().map(|event| self.take(event)).collect()),
                Call::Consent(change) => self.consent(&change),
                Call::Fact(write) => Answer::Done(self.write_fact(*write)),
                Call::Join(join) => Answer::Done(self.join(&join)),
                Call::Decide(new) => Answer::Decided(self.decide(*new)),
                Call::Begin(id) => Answer::Begun(self.begin(id)),
                Call::Finish(id, attempt, end) => {
                    self.finish(id, attempt, end);
                    Answer::Done(Ok(()))
                }
                Call::Reduce(person, reduction) => self.reduce(person, reduction),
                Call::Erase(person) => {
                    self.erase(person);
                    Answer::Done(Ok(()))
                }
                Call::Sale(sale) => {
                    let plan = &self.promise.events[&sale.event];
                    let key = (sale.invoice, sale.row);
                    let ends = self.ends(&plan.retention, &Person::new(ProfileKind::Person), sale.occurred_at);
                    Answer::Outcomes(vec![if ends <= self.now {
                        Outcome::Refused { reason: OutcomeReason::Expired, line: None }
                    } else if self.sales.contains_key(&key) {
                        Outcome::Repeated
                    } else {
                        self.sales.insert(key, (sale.event, sale.occurred_at.day(), sale.line));
                        let profile = ProfileId::from_bytes([0; 16]);
                        Outcome::Kept { event: EventId::from_bytes(sale.invoice), profile }
                    }])
                }
                Call::Campaign(name, state) => {
                    self.campaigns.insert(name, state);
                    Answer::Done(Ok(()))
                }
            });
        }
        answers
    }

    fn advance(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }

    fn restart(&mut self, promise: Option<Arc<Promise>>) {
        if let Some(promise) = promise {
            self.promise = promise;
        }
    }

    fn review(&mut self) {
        self.reviewed.extend(self.promise.artefacts().keys().copied());
    }

    /// A class of which every purpose was taken back a week ago, and none was kept, is gone for good.
    fn sweep(&mut self) {
        let (promise, closed_before) = (Arc::clone(&self.promise), self.now.plus_days(-UNDO_DAYS));
        for person in self.people.iter_mut().flatten() {
            let is_over = |retention: &Retention| {
                let relations = retention.purposes.iter().filter_map(|purpose| person.relations.get(purpose));
                let relations: Vec<&Relation> = relations.collect();
                let closed = |relation: &&Relation| !relation.status.is_given() && relation.at <= closed_before;
                !relations.is_empty() && relations.iter().all(closed)
            };
            let over: BTreeSet<_> =
                promise.retention_classes().values().filter(|retention| is_over(retention)).cloned().collect();
            person.events.retain(|stored| !over.contains(&promise.events[&stored.event.name].retention));
            person.facts.retain(|name, _| {
                let retention = match name {
                    FactName::Field(name) => promise.fields.get(name).map(|field| &field.retention),
                    FactName::Trait(_) => promise.candidates.as_ref().map(|plan| &plan.retention),
                };
                retention.is_none_or(|retention| !over.contains(retention))
            });
        }
    }

    fn rotate(&mut self) {}

    fn settle(&mut self) {}

    fn now(&self) -> At {
        self.now
    }

    fn promise(&self) -> Arc<Promise> {
        Arc::clone(&self.promise)
    }

    fn find(&mut self, identifier: &Identifier) -> Option<ProfileId> {
        self.find_at(identifier).map(id_of)
    }

    fn seq(&mut self, person: ProfileId) -> Option<u64> {
        self.person(&person).map(|person| person.seq)
    }

    fn see(&mut self, id: ProfileId, artefact: ArtefactId) -> Result<Seen, Refusal> {
        let artefact = self.artefact(&artefact)?;
        let person = self.person(&id).ok_or(Refusal::because(RefusalReason::NoSuchPerson))?;
        let level = self.judge(artefact, person)?;
        let names = super::world::fact_names(&self.promise);
        let facts = names.iter().map(|name| said(name, self.read_fact(artefact, person, name))).collect();
        let is_member = self.may_ask_segment(artefact).then(|| self.is_lapsed(person));
        let window = self.now.plus_days(-self.promise.cap.per_days);
        let mut sent_at: Vec<At> = person.contacts.iter().map(|(_, at, _)| *at).filter(|at| *at > window).collect();
        sent_at.sort_unstable();
        let is_own = artefact.is_portal() || artefact.is_desk();
        let kept = |known: &&Decided| known.at >= self.now.plus_days(-DECISION_DAYS);
        Ok(Seen {
            level,
            kind: person.kind,
            facts,
            events: self.read_events(artefact, person),
            is_member,
            sent_at,
            at_most: person.at_most,
            zone: self.zone(person).map(|zone| (zone.name, zone.is_stated)),
            turned_down: person.turned_down.clone(),
            suppressed: person.suppressed,
            ledger: person
                .ledger
                .iter()
                .filter(|_| is_own)
                .map(|(_, change, answered_at)| LedgerLine {
                    purpose: change.purpose.as_str().to_owned(),
                    status: change.status,
                    level: change.level.clone(),
                    answered_at: *answered_at,
                    method: change.method,
                    notice_version: change.notice_version,
                })
                .collect(),
            decisions: person
                .decisions
                .iter()
                .filter(|_| is_own)
                .filter(kept)
                .map(|known| MessageLine {
                    id: known.new.id,
                    at: known.at,
                    held_out: known.new.held_out,
                    state: known.message.as_ref().map(Message::words),
                })
                .collect(),
        })
    }

    fn crowd(&mut self, artefact: ArtefactId) -> Result<Crowd, Refusal> {
        let artefact = self.artefact(&artefact)?;
        let here = self.people.iter().enumerate().filter_map(|(at, person)| Some((at, person.as_ref()?)));
        let in_set: Vec<(usize, &Person)> = here.filter(|(_, person)| self.judge(artefact, person).is_ok()).collect();
        let floor = self.promise.guard.smallest_group as usize;
        let count = (in_set.len() >= floor).then_some(in_set.len() as u64);
        let orders_all = TraitName::parse("orders_all").unwrap();
        let name = FactName::Trait(orders_all.clone());
        let column = artefact.terms.reads.contains(orders_all.as_str()).then(|| {
            in_set
                .iter()
                .map(|(_, person)| match self.read_fact(artefact, person, &name) {
                    Ok(Some(_)) => self.trait_value(person, &orders_all),
                    _ => None,
                })
                .collect()
        });
        let members = self
            .may_ask_segment(artefact)
            .then(|| in_set.iter().filter(|(_, person)| self.is_lapsed(person)).map(|(at, _)| id_of(*at)).collect());
        Ok(Crowd { people: in_set.iter().map(|(at, _)| id_of(*at)).collect(), count, column, members })
    }

    fn segment(&mut self) -> Result<String, Refusal> {
        let plan = self.promise.segments.get(&SegmentName::parse("lapsed").unwrap()).expect("the shop has it");
        let counter = self.promise.artefact(ArtefactKind::Count, "lapsed").expect("counted");
        self.artefact(&counter.id)?;
        let counted = plan.counted_for.as_ref().unwrap_or(&plan.purpose);
        let here = self.people.iter().flatten();
        let matching: Vec<&Person> =
            here.filter(|person| self.is_lapsed(person) && self.in_force(counted, person).is_ok()).collect();
        let (mut dropped, mut n_tellable, mut n_hearing) = (BTreeMap::new(), 0u64, 0u64);
        let email = FactName::Field(FieldName::parse("email").unwrap());
        for person in &matching {
            let reason = match self.in_force(&plan.purpose, person) {
                Err(refusal) => Some(refusal.reason),
                Ok(_) => {
                    n_tellable += 1;
                    let address = person.facts.get(&email);
                    let has =
                        address.is_some_and(|fact| fact.told_at.is_some() && self.fact_ends(person, fact) > self.now);
                    if !has {
                        Some(RefusalReason::NoAddress)
                    } else if person.suppressed {
                        Some(RefusalReason::Suppressed)
                    } else {
                        self.room(person).is_err().then_some(RefusalReason::CapReached)
                    }
                }
            };
            match reason {
                Some(reason) => *dropped.entry(reason).or_insert(0u64) += 1,
                None => n_hearing += 1,
            }
        }
        let told = |n: u64| (n >= u64::from(self.promise.guard.smallest_group)).then_some(n);
        let dropped: Vec<_> = dropped.into_iter().map(|(reason, n)| (reason, told(n))).collect();
        Ok(format!("{:?} {:?} {:?} {dropped:?}", told(matching.len() as u64), told(n_tellable), told(n_hearing)))
    }

    fn due(&mut self) -> Vec<(At, DecisionId, u32, bool)> {
        let here = self.people.iter().flatten().flat_map(|person| &person.decisions);
        let mut due: Vec<_> = here
            .filter_map(|known| {
                let message = known.message.as_ref().filter(|_| self.is_kept(known))?;
                let is_open = matches!(message.state, "waiting" | "trying") && message.due_at <= self.now;
                let trying = message.state == "trying";
                is_open.then_some((message.due_at, known.new.id, message.n_attempts, trying))
            })
            .collect();
        due.sort_unstable_by_key(|(at, id, ..)| (*at, *id));
        due
    }

    fn sales(&mut self) -> (u64, i64) {
        let nobody = Person::new(ProfileKind::Person);
        let kept = self.sales.values().filter(|(event, day, _)| {
            self.ends(&self.promise.events[event].retention, &nobody, day.start()) > self.now
        });
        kept.fold((0, 0), |(n, sum), (_, _, line)| {
            (n + 1, sum + line.price.times(i64::from(line.quantity)).expect("small").micros)
        })
    }

    fn numbers(&mut self, campaign: ArtefactId) -> Result<String, Refusal> {
        let artefact = self.artefact(&campaign)?;
        let (goal, goal_days) = &self.promise.campaigns[artefact.name.as_str()].goal;
        let mut known = Known::default();
        for person in self.people.iter().flatten() {
            let kept = |known: &&Decided| {
                known.at >= self.now.plus_days(-DECISION_DAYS) && known.new.campaign.as_str() == artefact.name
            };
            let decisions: Vec<&Decided> = person.decisions.iter().filter(kept).collect();
            let Some(first) = decisions.iter().min_by_key(|known| known.at) else { continue };
            known.n_reduced += decisions.iter().filter(|known| known.reduced).count() as u64;
            let arm = usize::from(first.new.held_out);
            known.n_arms[arm] += 1;
            let goals = person.events.iter().filter(|stored| {
                let at = stored.event.occurred_at;
                let is_goal = stored.event.name == *goal && at >= first.at && at < first.at.plus_days(*goal_days);
                is_goal && self.event_ends(person, stored) > self.now
            });
            let n_goals = goals.count() as u64;
            known.n_goals[arm] += n_goals;
            known.n_buyers[arm] += u64::from(n_goals > 0);
        }
        Ok(known.to_string())
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
