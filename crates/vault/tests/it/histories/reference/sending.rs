//! Decisions, attempts and the cap.

use super::*;

impl Reference {
    // ── deciding and sending ──────────────────────────────────────────────────────────────────────────────────────

    /// Room under the cap, or when there is some again (`None` = as long as the person's limit is nought).
    pub(super) fn room(&self, person: &Person) -> Result<(), Option<At>> {
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

    pub(super) fn zone(&self, person: &Person) -> Option<Zone> {
        let field = self.promise.zone_field()?;
        let fact = person.facts.get(&FactName::Field(field.name.clone()))?;
        let Value::Text(name) = &fact.value else { return None };
        let is_stated = field.stated && matches!(fact.provenance, Provenance::Provided { .. });
        (self.fact_ends(person, fact) > self.now).then(|| Zone { name: name.clone(), is_stated })
    }

    pub(super) fn decide(&mut self, new: NewDecision) -> Result<DecisionId, Refusal> {
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
            same && !known.is_over && known.at >= self.now.day().plus(1 - DECISION_DAYS).start()
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

    pub(super) fn find_decision(&self, id: &DecisionId) -> Option<(usize, usize)> {
        self.people.iter().enumerate().find_map(|(at, person)| {
            let person = person.as_ref()?;
            Some((at, person.decisions.iter().position(|known| known.new.id == *id)?))
        })
    }

    pub(super) fn is_kept(&self, decided: &Decided) -> bool {
        decided.at >= self.now.day().plus(1 - DECISION_DAYS).start()
    }

    /// The decision and message in an open state, if there is one.
    pub(super) fn open_message(&mut self, id: &DecisionId) -> Option<(usize, Decided, Message)> {
        let (at, place) = self.find_decision(id)?;
        let decided = self.people[at].as_ref()?.decisions[place].clone();
        let message = decided.message.clone().filter(|message| matches!(message.state, "waiting" | "trying"))?;
        self.is_kept(&decided).then_some((at, decided, message))
    }

    pub(super) fn put_message(&mut self, at: usize, id: DecisionId, message: Message) {
        let decided = self.person_mut(at).decisions.iter_mut().find(|known| known.new.id == id);
        decided.expect("decided").message = Some(message);
    }

    pub(super) fn begin(&mut self, id: DecisionId) -> Result<Attempt, NotBegun> {
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
    pub(super) fn hindrance(&self, person: &Person, decided: &Decided) -> Option<(Option<At>, Refusal)> {
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

    pub(super) fn finish(&mut self, id: DecisionId, attempt: Attempt, end: AttemptEnd) {
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

    pub(super) fn count_for_good(&mut self, at: usize, id: DecisionId) {
        let contact = self.person_mut(at).contacts.iter_mut().find(|(known, ..)| *known == id);
        contact.into_iter().for_each(|(_, _, sent)| *sent = true);
    }

    /// Nothing was sent and nothing will be: its run may decide anew.
    pub(super) fn end_refused(&mut self, at: usize, id: DecisionId, mut message: Message, refusal: &Refusal) {
        message.end("refused", Some(refusal.reason.as_str()));
        self.put_message(at, id, message);
        self.person_mut(at).decisions.iter_mut().filter(|known| known.new.id == id).for_each(|k| k.is_over = true);
    }
}
