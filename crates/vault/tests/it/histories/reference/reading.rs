//! What is worked out from events, and everything that can be seen; the reference as a [`World`].

use super::*;
use std::collections::btree_map::Entry;

impl Reference {
    // ── what is worked out ────────────────────────────────────────────────────────────────────────────────────────

    /// Days and amounts of the events behind a trait. An event that was not for one of the trait's purposes is not among
    /// them; a day's sum ends with that day, which is never later than its events.
    pub(super) fn inputs(&self, person: &Person, plan: &Aggregate) -> Vec<(Day, i64)> {
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

    pub(super) fn within(&self, plan: &Aggregate, day: Day) -> bool {
        let (Aggregate::Count { window_days, .. } | Aggregate::Sum { window_days, .. }) = plan else { return true };
        window_days.is_none_or(|window| self.now.day().since(day) < window)
    }

    pub(super) fn trait_value(&self, person: &Person, name: &TraitName) -> Option<i64> {
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

    pub(super) fn trait_fact(&self, person: &Person, name: &TraitName) -> Option<Fact> {
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
    pub(super) fn is_lapsed(&self, person: &Person) -> bool {
        let value = |name: &str| self.trait_value(person, &TraitName::parse(name).unwrap());
        value("orders_all").is_some_and(|all| all >= 3) && value("orders_90d") == Some(0)
    }

    pub(super) fn may_ask_segment(&self, artefact: &Artefact) -> bool {
        let plan = self.promise.segments.values().next().expect("the shop has one segment");
        artefact.is_portal() || plan.reads.is_subset(&artefact.terms.reads)
    }

    // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn read_fact(
        &self,
        artefact: &Artefact,
        person: &Person,
        name: &FactName,
    ) -> Result<Option<Fact>, Refusal> {
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

    pub(super) fn read_events(&self, artefact: &Artefact, person: &Person) -> Vec<String> {
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
                    } else if let Entry::Vacant(place) = self.sales.entry(key) {
                        place.insert((sale.event, sale.occurred_at.day(), sale.line));
                        let profile = ProfileId::from_bytes([0; 16]);
                        Outcome::Kept { event: EventId::from_bytes(sale.invoice), profile }
                    } else {
                        Outcome::Repeated
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
        // An address that has outlived itself is named nowhere any more.
        for at in 0..self.people.len() {
            let Some(person) = self.people[at].as_ref() else { continue };
            let is_over =
                |key: &&(IdentifierKind, String)| key.0 == IdentifierKind::Email && !self.has_address(person, key);
            let over: Vec<_> = person.identifiers.iter().filter(is_over).cloned().collect();
            over.iter().for_each(|key| self.forget_address(at, key));
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
        let names = crate::histories::world::fact_names(&self.promise);
        let facts = names.iter().map(|name| said(name, self.read_fact(artefact, person, name))).collect();
        let is_member = self.may_ask_segment(artefact).then(|| self.is_lapsed(person));
        let window = self.now.plus_days(-self.promise.cap.per_days);
        let mut sent_at: Vec<At> = person.contacts.iter().map(|(_, at, _)| *at).filter(|at| *at > window).collect();
        sent_at.sort_unstable();
        let is_own = artefact.is_portal() || artefact.is_desk();
        let kept = |known: &&Decided| known.at >= self.now.day().plus(1 - DECISION_DAYS).start();
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
                known.at >= self.now.day().plus(1 - DECISION_DAYS).start()
                    && known.new.campaign.as_str() == artefact.name
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
