//! What people say, take back, state and turn down, and ties between browsers and people.

use super::*;

impl Reference {
    // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn consent(&mut self, change: &ConsentChange) -> Answer {
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

    pub(super) fn answer(&mut self, at: usize, change: ConsentChange, answered_at: At) -> ConsentId {
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

    pub(super) fn answered_by_less(&mut self, at: usize) {
        let since = self.now.plus_days(-ANSWERS_DAYS);
        self.person_mut(at)
            .decisions
            .iter_mut()
            .filter(|known| known.at >= since)
            .for_each(|known| known.reduced = true);
    }

    pub(super) fn reduce(&mut self, id: ProfileId, reduction: Reduction) -> Answer {
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

    pub(super) fn turn_down(&mut self, at: usize, names: impl Iterator<Item = String>) {
        let person = self.person_mut(at);
        for name in names {
            if !person.turned_down.contains(&name) {
                person.turned_down.push(name);
            }
        }
    }

    // ── facts and joins ───────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn write_fact(&mut self, write: FactWrite) -> Result<(), Refusal> {
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
                let left = address(field.kind, &fact.value).and_then(|address| self.left.get(&address));
                if left.is_some_and(|left| left.restrained) {
                    return no(RefusalReason::Restrained);
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
    pub(super) fn join(&mut self, join: &Join) -> Result<(), Refusal> {
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

    pub(super) fn copy_answer(&mut self, from: usize, to: usize, purpose: &PurposeName, relation: Relation) {
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
}
