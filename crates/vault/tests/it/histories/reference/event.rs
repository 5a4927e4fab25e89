//! One event: judged, then stored, with what it says about the person and which clocks it moves.

use super::*;

impl Reference {
    // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn take(&mut self, intake: Intake) -> Outcome {
        self.take_one(intake).unwrap_or_else(|(reason, line)| Outcome::Refused { reason, line })
    }

    pub(super) fn take_one(&mut self, intake: Intake) -> Result<Outcome, (OutcomeReason, Option<u32>)> {
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

    /// After an erasure only a new act of the person counts, and after "leave me alone" not even that. Somebody unknown
    /// comes by every address given along.
    pub(super) fn refuse_the_erased(&self, found: Option<usize>, intake: &Intake) -> Result<(), OutcomeReason> {
        let addresses = intake.fields.iter().filter_map(|(name, value)| {
            let field = self.promise.fields.get(name)?;
            self.left.get(&address(field.kind, value)?).copied()
        });
        let is_new = found.is_none();
        for left in self.left_of(&intake.subject).chain(addresses.filter(|_| is_new)) {
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
    pub(super) fn purposes_for(
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

    pub(super) fn fields_for(&self, intake: &Intake, person: &Person) -> Vec<(FieldName, Value)> {
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

    pub(super) fn store(
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
    pub(super) fn move_clock(&mut self, at: usize, intake: &Intake) {
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

    pub(super) fn put_field(&mut self, at: usize, name: &FieldName, value: Value, intake: &Intake) -> bool {
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
    pub(super) fn put_fact(&mut self, at: usize, fact: Fact) -> bool {
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
                let leads = self.leads.get(&after).copied().filter(|at| self.leads_still(*at, &after));
                self.leads.insert(after.clone(), leads.unwrap_or(at));
                self.person_mut(at).identifiers.insert(after);
            }
        }
        self.person_mut(at).facts.insert(fact.name.clone(), fact);
        true
    }

    pub(super) fn forget_address(&mut self, at: usize, address: &(IdentifierKind, String)) {
        self.person_mut(at).identifiers.remove(address);
        if self.leads.get(address) == Some(&at) {
            self.leads.remove(address);
        }
    }

    pub(super) fn event_id(&mut self, intake: &Intake) -> EventId {
        self.n_events += 1;
        match intake.message_key {
            MessageKey::History(key) => EventId::from_bytes(key),
            MessageKey::Wire(_) => EventId::from_bytes(u128::from(self.n_events).to_be_bytes()),
        }
    }

    /// A history meets its earlier form: a line that was read twice is one line, and a total stays the sum of the lines.
    pub(super) fn store_event(&mut self, at: usize, plan: &EventPlan, intake: Intake) -> Outcome {
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
}
