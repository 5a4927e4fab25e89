//! Events: judged here, in the commit. No purpose in force for this person = nothing stored, no mark, no index row.
//!
//! It parses nothing (doors do) and evaluates no trait (`Projection` does).

use super::batch::{Batch, Found, address, outcome_word, refused};
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, EventForm, FactForm, LeftForm};
use crate::person::{self, Open, Rows};
use crate::record::{Identifier, IdentifierKind, Intake, MessageKey, Outcome, OutcomeReason, Subject};
use crate::retention;
use model::{
    At, Awareness, Class, ConsentStatus, Event, EventId, EventKind, EventName, Fact, FactName, FieldName, LineItem,
    Money, ProfileId, Provenance, PurposeName, Trust, Value,
};
use promise::{Basis, EventPlan, Relation, Since, Standing};
use std::collections::BTreeSet;

/// Largest stored form of one event, in bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// What the gate lets an event be stored for.
struct Allowed {
    purposes: Vec<PurposeName>,
    /// Taken away for this event by `context.consent`.
    not_for: Vec<PurposeName>,
}

impl Batch<'_> {
    /// Takes one event to its one outcome, and counts it.
    pub(crate) fn take(&mut self, intake: Intake) -> Result<Outcome, VaultError> {
        let (source, name) = (intake.source.clone(), intake.name.clone());
        let outcome = self.take_one(intake)?;
        self.count(&source, &name, outcome_word(outcome));
        Ok(outcome)
    }

    fn take_one(&mut self, intake: Intake) -> Result<Outcome, VaultError> {
        let promise = std::sync::Arc::clone(&self.house.household.promise);
        let plan = promise.events.get(&intake.name);
        if plan.is_none() && (intake.kind != EventKind::Identify || intake.fields.is_empty()) {
            return Ok(refused(OutcomeReason::UndeclaredEvent));
        }
        if plan.is_some_and(|plan| plan.class >= Class::Never) {
            return Ok(refused(OutcomeReason::Never));
        }
        let found = self.resolve(&intake.subject)?;
        if matches!(found, Found::Nobody) {
            let erased = matches!(intake.subject, Subject::Profile(id) if self.house.is_erased(&id));
            return Ok(refused(if erased { OutcomeReason::Erased } else { OutcomeReason::NoSubject }));
        }
        if let Some(reason) = self.is_left(&found, &intake)? {
            return Ok(refused(reason));
        }
        let (standing, is_device) = self.standing_of(&found, &intake)?;
        if standing.restrained {
            return Ok(refused(OutcomeReason::Restrained));
        }
        if promise.is_gone(&standing, self.now) {
            // Somebody new who has been silent for so long would be gone on the day they came.
            let is_known = matches!(found, Found::Known(_));
            return Ok(refused(if is_known { OutcomeReason::Erased } else { OutcomeReason::Expired }));
        }
        let allowed = match plan {
            Some(plan) => match self.allowed(plan, &intake, &standing, is_device) {
                Ok(allowed) => allowed,
                Err(line) => return Ok(Outcome::Refused { reason: OutcomeReason::NoPurpose, line }),
            },
            None => Allowed { purposes: Vec::new(), not_for: Vec::new() },
        };
        let fields = self.allowed_fields(&intake, &standing);
        if plan.is_none() && fields.is_empty() {
            return Ok(refused(OutcomeReason::NoPurpose));
        }
        let mark = match &intake.message_key {
            MessageKey::Wire(message) => Some(self.house.mark(&intake.source, message).to_vec()),
            MessageKey::History(_) => None,
        };
        let marked = match &mark {
            Some(mark) => Rows::get(self, Keyspace::Marks, mark)?,
            None => None,
        };
        if marked.as_deref().is_some_and(|day| self.is_fresh(day)) {
            return Ok(Outcome::Repeated);
        }
        let kept_since = if intake.trust == Trust::Import { intake.occurred_at } else { self.now };
        if plan.is_some_and(|plan| self.has_expired(plan, &found, kept_since, &intake)) {
            return Ok(refused(OutcomeReason::Expired));
        }
        let id = match found {
            Found::Known(id) => id,
            Found::New(identifiers) => self.create(&identifiers)?,
            Found::Nobody => return Ok(refused(OutcomeReason::NoSubject)),
        };
        let stored = self.with(&id, |batch, open| batch.store(open, plan, allowed, fields, intake))?;
        // Only now: what could not be stored is no repeat when it is sent again.
        if let Some(mark) = mark {
            let today = self.now.day().number().to_be_bytes().to_vec();
            self.change(Keyspace::Marks, mark, Some(today), Some(marked));
        }
        Ok(stored.unwrap_or(refused(OutcomeReason::NoSubject)))
    }

    /// Whether one of the identifiers belongs to somebody who was erased, and what that means for this event.
    fn is_left(&self, found: &Found, intake: &Intake) -> Result<Option<OutcomeReason>, VaultError> {
        let Subject::Identifiers { user, anonymous } = &intake.subject else { return Ok(None) };
        // Whoever is not known yet comes by every address that is given along, so that a list from elsewhere, with another
        // number for the same person, makes nobody of them again.
        let addresses = match found {
            Found::New(_) => self.addresses(intake),
            Found::Known(_) | Found::Nobody => Vec::new(),
        };
        for identifier in user.iter().chain(anonymous).chain(&addresses) {
            let Some(left) = self.left(identifier)? else { continue };
            if left.restrained {
                return Ok(Some(OutcomeReason::Restrained));
            }
            let erased_at = At::from_ms(left.erased_at);
            let is_new_act = match (found, intake.trust) {
                (_, Trust::Import) => false,
                (Found::Known(id), Trust::Server) => self.consented_after(id, erased_at),
                (_, Trust::Server) => false,
                (_, Trust::Browser) => true,
            };
            if intake.occurred_at <= erased_at || !is_new_act {
                return Ok(Some(OutcomeReason::Erased));
            }
        }
        Ok(None)
    }

    /// E-mail addresses among the fields.
    fn addresses(&self, intake: &Intake) -> Vec<Identifier> {
        let promise = &self.house.household.promise;
        let kind = |name: &FieldName| promise.fields.get(name).map(|field| field.kind);
        intake.fields.iter().filter_map(|(name, value)| address(kind(name)?, value)).collect()
    }

    fn consented_after(&self, id: &ProfileId, erased_at: At) -> bool {
        let generation = self.house.generation();
        let memory = generation.state.person(id);
        memory.is_some_and(|person| {
            person.wishes.standing.relations.iter().any(|(purpose, relation)| {
                let declared = self.house.household.promise.purposes.get(purpose);
                declared.is_some_and(|declared| declared.basis == Basis::Consent)
                    && relation.status.is_given()
                    && relation.at > erased_at
            })
        })
    }

    /// What stays of an erased person's identifier, from the acknowledgement on: also while the rows are still there.
    pub(crate) fn left(&self, identifier: &Identifier) -> Result<Option<LeftForm>, VaultError> {
        let row = Rows::get(self, Keyspace::House, &self.house.left_row(identifier))?;
        let left: Option<LeftForm> = row.map(|row| format::decode("house", &row)).transpose()?;
        if !self.house.is_anybody_leaving() {
            return Ok(left);
        }
        let Some(id) = self.find_row(identifier)? else { return Ok(left) };
        let Some(since) = self.house.leaving_since(&id) else { return Ok(left) };
        let restrained = self.leaving(&id)?.is_some_and(|open| open.core.restrained);
        let restrained = restrained || left.is_some_and(|left| left.restrained);
        Ok(Some(LeftForm { erased_at: since.ms(), restrained }))
    }

    fn standing_of(&mut self, found: &Found, intake: &Intake) -> Result<(Standing, bool), VaultError> {
        let mut standing = Standing::default();
        let mut is_device = matches!(&intake.subject, Subject::Identifiers { user: None, .. });
        if let Found::Known(id) = found
            && let Some(open) = self.person(id)?
        {
            standing = open.core.standing()?;
            is_device = format::kind_of(open.core.kind)? == model::ProfileKind::Device;
        }
        standing.told_version = standing.told_version.max(intake.told_version.unwrap_or(0));
        if intake.trust == Trust::Import {
            standing.last_act = standing.last_act.max(Some(intake.occurred_at.min(self.now)));
        }
        Ok((standing, is_device))
    }

    /// The purposes this event is stored for, or the promise line that decided against it.
    fn allowed(
        &self,
        plan: &EventPlan,
        intake: &Intake,
        standing: &Standing,
        is_device: bool,
    ) -> Result<Allowed, Option<u32>> {
        let promise = &self.house.household.promise;
        let judged = promise.intake_purposes(plan, intake.trust, standing, self.now);
        let line = judged.as_ref().err().and_then(|refusal| refusal.line);
        let mut purposes = judged.unwrap_or_default();
        // A browser may say yes for its own device and this event alone; a ledger entry of that device wins.
        if intake.trust == Trust::Browser && is_device {
            for purpose in &plan.retention.purposes {
                let by_consent = promise.purposes.get(purpose).is_some_and(|known| known.basis == Basis::Consent);
                let unanswered = !standing.relations.contains_key(purpose);
                let says_yes = intake.consent.get(purpose) == Some(&true);
                if by_consent && unanswered && says_yes && !purposes.contains(purpose) {
                    purposes.push(purpose.clone());
                }
            }
        }
        let not_for: Vec<_> = plan
            .retention
            .purposes
            .iter()
            .filter(|purpose| intake.consent.get(*purpose) == Some(&false))
            .cloned()
            .collect();
        purposes.retain(|purpose| !not_for.contains(purpose));
        if purposes.is_empty() {
            let declared = not_for.first().or_else(|| plan.retention.purposes.first());
            return Err(line.or_else(|| declared.and_then(|purpose| promise.line("purpose", purpose.as_str()))));
        }
        Ok(Allowed { purposes, not_for })
    }

    fn allowed_fields(&self, intake: &Intake, standing: &Standing) -> Vec<(FieldName, Value)> {
        let promise = &self.house.household.promise;
        let mut fields = Vec::new();
        for (name, value) in &intake.fields {
            let Some(field) = promise.fields.get(name).filter(|field| field.class < Class::Never) else { continue };
            let listed = match value {
                Value::Text(text) => field.one_of.is_empty() || field.one_of.contains(text),
                _ => field.one_of.is_empty(),
            };
            let judged = promise.intake_field_purposes(field, intake.trust, standing, self.now);
            let mut purposes = judged.unwrap_or_default();
            purposes.retain(|purpose| intake.consent.get(purpose) != Some(&false));
            if listed && !purposes.is_empty() {
                fields.push((name.clone(), value.clone()));
            }
        }
        fields
    }

    /// Message ids are remembered for a week, under a keyed hash.
    fn is_fresh(&self, marked: &[u8]) -> bool {
        let day = <[u8; 4]>::try_from(marked).ok().map(i32::from_be_bytes);
        day.is_some_and(|day| self.now.day().number().saturating_sub(day) < retention::MARK_DAYS)
    }

    fn has_expired(&mut self, plan: &EventPlan, found: &Found, kept_since: At, intake: &Intake) -> bool {
        let mut core = match found {
            Found::Known(id) => self.person(id).ok().flatten().map(|open| open.core.clone()).unwrap_or_default(),
            _ => format::CoreForm::default(),
        };
        core.acted(intake.occurred_at.min(self.now));
        let clocks = self.house.clocks(&core).after(&intake.name, intake.occurred_at);
        retention::expires_at(&plan.retention, &clocks, kept_since) <= self.now
    }

    fn store(
        &mut self,
        open: &mut Open,
        plan: Option<&EventPlan>,
        allowed: Allowed,
        fields: Vec<(FieldName, Value)>,
        intake: Intake,
    ) -> Result<Outcome, VaultError> {
        self.begin_contracts(open, plan, &allowed, &intake)?;
        if self.house.terms().moves_a_clock(&intake.name) {
            self.end_clocks(open, &intake.name)?;
            let last = open.core.last.entry(intake.name.as_str().to_owned()).or_insert(i64::MIN);
            *last = (*last).max(intake.occurred_at.ms());
        }
        match intake.trust {
            // A history tells that somebody was not silent then.
            Trust::Import => open.core.acted(intake.occurred_at.min(self.now)),
            Trust::Browser | Trust::Server => self.act(open, intake.occurred_at)?,
        }
        open.core.left_at = None;
        let n_changed = self.put_fields(open, &fields, &intake)?;
        let event = match intake.message_key {
            MessageKey::Wire(_) => EventId::new(self.now, self.house.rng()),
            MessageKey::History(key) => EventId::from_bytes(key),
        };
        let is_history = matches!(intake.message_key, MessageKey::History(_));
        let event = Event {
            id: event,
            profile: open.id,
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
        let Some(plan) = plan else {
            self.touch(open);
            return Ok(if n_changed == 0 && is_history {
                Outcome::Repeated
            } else {
                Outcome::Kept { event: event.id, profile: open.id }
            });
        };
        self.store_event(open, plan, event, &allowed.not_for)
    }

    /// What ended with the last event of this name stays ended: the next one starts a clock anew, not the old one on.
    fn end_clocks(&mut self, open: &mut Open, name: &EventName) -> Result<(), VaultError> {
        let terms = self.house.terms();
        // Without an event so far each thing ran by its own date: some may have ended and some not.
        let last = open.core.last.get(name.as_str()).map(|ms| At::from_ms(*ms));
        let mut has_ended = false;
        for class in open.key.classes().collect::<Vec<_>>() {
            let Some(retention) = terms.class(class) else { continue };
            let may_have_ended = last.is_none_or(|last| retention.expires_at(last) <= self.now);
            if retention.since == Since::Last(name.clone()) && may_have_ended {
                self.sweep_class(open, class)?;
                has_ended = true;
            }
        }
        if has_ended {
            open.folded = true;
            self.sweep_events(open)?;
        }
        Ok(())
    }

    /// Writes an event and folds it into the traits; a history meets its earlier form by its key.
    pub(crate) fn store_event(
        &mut self,
        open: &mut Open,
        plan: &EventPlan,
        mut event: Event,
        not_for: &[PurposeName],
    ) -> Result<Outcome, VaultError> {
        let house = self.house;
        let key = person::event_key(&open.id, event.occurred_at, event.id);
        // Only a history can meet its earlier form: over the wire each event has a fresh id.
        let earlier = match event.trust {
            Trust::Import => Rows::get(self, Keyspace::Events, &key)?,
            Trust::Browser | Trust::Server => None,
        };
        let before = match &earlier {
            Some(row) => open.open_event(house, &key, row)?,
            None => None,
        };
        if let Some(before) = &before {
            event.received_at = before.event.received_at;
            unite(&before.event, &mut event);
            if event == before.event {
                return Ok(Outcome::Repeated);
            }
        }
        let plain = format::encode(&EventForm::of(&event, not_for));
        if plain.len() > EVENT_BYTES_MAX {
            return Ok(refused(OutcomeReason::TooLarge));
        }
        let class = plan.retention.id();
        open.make_class(house, class);
        let kept_since = person::kept_since(&event);
        let day = retention::secret_day(&plan.retention, kept_since);
        let secret = match day {
            Some(day) => Some(house.day_secret_or_make(class, day, self.ops())?),
            None => None,
        };
        let row = open.seal_event(house, &plan.retention, kept_since, secret.as_ref(), &plain, &key)?;
        self.change(Keyspace::Events, key, Some(row), Some(earlier));
        let before = before.filter(|before| !house.is_kept_out(&before.event.name, &before.not_for));
        let after = Some(&event).filter(|event| !house.is_kept_out(&event.name, not_for));
        let (store, today) = (std::sync::Arc::clone(&self.store), self.now.day());
        match &before {
            // It was counted in the class it came under.
            Some(before) if before.class != class => {
                house.fold(open, &*store, before.class, today, Some(&before.event), None)?;
                house.fold(open, &*store, class, today, None, after)?;
            }
            before => house.fold(open, &*store, class, today, before.as_ref().map(|before| &before.event), after)?,
        }
        self.touch(open);
        Ok(Outcome::Kept { event: event.id, profile: open.id })
    }

    /// The first event under a contract purpose is what makes the relation.
    fn begin_contracts(
        &self,
        open: &mut Open,
        plan: Option<&EventPlan>,
        allowed: &Allowed,
        intake: &Intake,
    ) -> Result<(), VaultError> {
        let told = intake.told_version.unwrap_or(0);
        open.core.told_version = open.core.told_version.max(told);
        let declared = plan.map(|plan| plan.retention.purposes.as_slice()).unwrap_or_default();
        for purpose in declared.iter().filter(|purpose| allowed.purposes.contains(*purpose)) {
            let plan = self.house.household.promise.purposes.get(purpose);
            let by_contract = plan.is_some_and(|plan| plan.basis == Basis::Contract);
            let known = open.core.relation(purpose.as_str()).map(|form| format::status_of(form.status)).transpose()?;
            if by_contract && !known.is_some_and(ConsentStatus::is_given) {
                let relation = Relation {
                    status: ConsentStatus::Given,
                    notice_version: open.core.told_version,
                    at: intake.occurred_at.min(self.now),
                    level: None,
                };
                open.core.set_relation(purpose, &relation);
            }
        }
        Ok(())
    }

    /// Facts given along with an event; how many changed.
    fn put_fields(
        &mut self,
        open: &mut Open,
        fields: &[(FieldName, Value)],
        intake: &Intake,
    ) -> Result<usize, VaultError> {
        let promise = std::sync::Arc::clone(&self.house.household.promise);
        let mut n_changed = 0;
        for (name, value) in fields {
            let Some(field) = promise.fields.get(name) else { continue };
            if let Some(identifier) = address(field.kind, value)
                && let Some(left) = self.left(&identifier)?
                && (left.restrained || intake.occurred_at.ms() <= left.erased_at || intake.trust == Trust::Import)
            {
                continue;
            }
            let is_zone = promise.zone_field().is_some_and(|zone| zone.name == *name);
            if is_zone && !self.is_better_guess(open, value)? {
                continue;
            }
            let kept_since = if intake.trust == Trust::Import { intake.occurred_at } else { self.now };
            let provenance = if intake.kind == EventKind::Identify && !is_zone {
                Provenance::Provided { source: intake.source.clone() }
            } else {
                Provenance::Observed { source: intake.source.clone() }
            };
            let is_told = open.core.told_version > 0;
            let fact = Fact {
                name: FactName::Field(name.clone()),
                value: value.clone(),
                class: field.class,
                context: field.context,
                provenance,
                as_of: intake.occurred_at.min(self.now),
                told_at: is_told.then(|| intake.occurred_at.min(self.now)),
                told_how: if is_told { Awareness::InNotice } else { Awareness::Never },
                purposes: field
                    .retention
                    .purposes
                    .iter()
                    .filter(|purpose| intake.consent.get(*purpose) != Some(&false))
                    .cloned()
                    .collect(),
                notice_version: open.core.told_version,
                expires_at: retention::expires_at(&field.retention, &self.house.clocks(&open.core), kept_since),
            };
            if fact.expires_at > self.now && self.put_fact(open, &fact)? {
                n_changed += 1;
            }
        }
        Ok(n_changed)
    }

    /// Whether a zone that came along with an event tells anything: it is one, and neither said by the person nor known.
    fn is_better_guess(&self, open: &mut Open, value: &Value) -> Result<bool, VaultError> {
        let Value::Text(name) = value else { return Ok(false) };
        let known = self.house.zone(open, &*self.store, self.now)?;
        Ok(promise::is_zone(name) && known.is_none_or(|known| !known.is_stated && known.name != *name))
    }

    /// Writes one fact into its class record, unless a newer statement stands there; whether anything changed.
    pub(crate) fn put_fact(&mut self, open: &mut Open, fact: &Fact) -> Result<bool, VaultError> {
        let house = self.house;
        let promise = std::sync::Arc::clone(&house.household.promise);
        let Some(retention) = retention::of_fact(&promise, &fact.name) else { return Ok(false) };
        let class = retention.id();
        open.make_class(house, class);
        let old = house.stored_fact(open, &*self.store, &fact.name)?;
        if let Some(old) = &old {
            let same = old.value == fact.value && old.provenance == fact.provenance && old.told_at.is_some();
            if old.as_of > fact.as_of || (same && old.as_of == fact.as_of) {
                return Ok(false);
            }
        }
        for earlier in house.terms().classes_of_fact(&fact.name).into_iter().filter(|earlier| *earlier != class) {
            let record = open.class(house, &*self.store, earlier)?;
            let n_facts = record.facts.len();
            record.facts.retain(|known| !known.is(&fact.name));
            if record.facts.len() < n_facts {
                open.changed.insert(earlier);
            }
        }
        let record = open.class(house, &*self.store, class)?;
        record.facts.retain(|known| !known.is(&fact.name));
        record.facts.push(FactForm::of(fact));
        open.changed.insert(class);
        let kind = promise.fact_kind(fact.name.as_str());
        let new_address = kind.and_then(|kind| address(kind, &fact.value));
        let old_address = kind.and_then(|kind| old.and_then(|old| address(kind, &old.value)));
        if new_address != old_address {
            open.core.suppressed = false;
            if let Some(old) = old_address {
                self.remove_identifier(open, &old)?;
            }
            if let Some(new) = new_address {
                self.index_address(open, &new)?;
            }
        }
        Ok(true)
    }

    pub(crate) fn remove_identifier(&mut self, open: &mut Open, identifier: &Identifier) -> Result<(), VaultError> {
        let form = crate::house::House::identifier_form(identifier);
        open.core.identifiers.retain(|known| *known != form);
        if self.find(identifier)? == Some(open.id) {
            self.delete(Keyspace::Index, self.house.index_row(identifier));
        }
        Ok(())
    }

    /// An address leads to the first profile that gave it and has it still; it is named in every profile that did.
    fn index_address(&mut self, open: &mut Open, identifier: &Identifier) -> Result<(), VaultError> {
        debug_assert_eq!(identifier.kind, IdentifierKind::Email);
        let is_taken = match self.find(identifier)? {
            Some(other) if other != open.id => self.with(&other, |batch, theirs| {
                let (house, store) = (batch.house, std::sync::Arc::clone(&batch.store));
                house.address_lives(theirs, &*store, identifier, batch.now)
            })?,
            Some(_) => Some(true),
            None => None,
        };
        if is_taken != Some(true) {
            self.put(Keyspace::Index, self.house.index_row(identifier), open.id.as_bytes().to_vec());
        }
        let form = crate::house::House::identifier_form(identifier);
        if !open.core.identifiers.contains(&form) {
            open.core.identifiers.push(form);
        }
        Ok(())
    }
}

/// Puts the earlier form of a history event under its new one: a line that was read twice is one line, and a property that
/// was the sum of the lines stays their sum. Lines that were all known change nothing, in whichever order files come.
fn unite(before: &Event, event: &mut Event) {
    let known: BTreeSet<u64> = before.lines.iter().map(|line| line.row).collect();
    let mut lines = before.lines.clone();
    lines.extend(event.lines.iter().filter(|line| !known.contains(&line.row)).cloned());
    lines.sort_by_key(|line| line.row);
    if !lines.is_empty() && lines.len() == before.lines.len() {
        *event = before.clone();
        return;
    }
    for (name, value) in &mut event.properties {
        let was_sum = sum(&before.lines).is_some_and(|sum| before.properties.get(name) == Some(&Value::Money(sum)));
        if let (true, Some(sum)) = (was_sum, sum(&lines)) {
            *value = Value::Money(sum);
        }
    }
    event.lines = lines;
}

/// What the lines come to; `None` when there is none, or currencies differ.
fn sum(lines: &[LineItem]) -> Option<Money> {
    let currency = lines.first()?.price.currency;
    lines.iter().try_fold(Money { micros: 0, currency }, |sum, line| {
        let amount = line.price.times(i64::from(line.quantity)).filter(|amount| amount.currency == currency)?;
        Some(Money { micros: sum.micros.checked_add(amount.micros)?, currency })
    })
}
