//! Sending: an attempt is a commit. Wishes, cap and quiet hours are asked again each time; what may not go now gets a
//! later date and a reason, what may never go ends with a named outcome.
//!
//! It sends nothing (`deliver` does).

use super::batch::Batch;
use super::recipient::note_mailed;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, ContactForm, DecisionForm, MessageForm, MessageState, OutboxForm};
use crate::house::House;
use crate::person::{Open, Rows};
use crate::pressure;
use crate::record::{Attempt, AttemptEnd, NotBegun, UNKNOWN};
use crate::seal::RecordKind;
use model::{ArtefactId, At, MessageId, ProfileId};
use promise::{Refusal, RefusalReason, Standing, Verdict};
use std::sync::Arc;

/// How long an attempt may take before the message is due again, in milliseconds: its sender is taken to have died.
const LEASE_MS: i64 = 10 * 60 * 1_000;

/// How long a message of a campaign that does not run waits until it is asked again, in milliseconds.
const PAUSE_MS: i64 = 10 * 60 * 1_000;

/// What stands in the way of an attempt.
enum Hindrance {
    /// For ever.
    Never(Refusal),
    /// Until then.
    Until(At, Refusal),
}

impl Batch<'_> {
    pub(crate) fn begin_attempt(&mut self, message: MessageId) -> Result<Result<Attempt, NotBegun>, VaultError> {
        let gone = Ok(Err(NotBegun::Refused(Refusal::because(RefusalReason::NothingFits))));
        let Some(row) = self.outbox(message)? else { return gone };
        let begun = self.with(&ProfileId::from_bytes(*row.person), |batch, open| {
            match batch.decision(open, &row.decision)? {
                Some(decision) => batch.begin(open, decision),
                None => gone,
            }
        })?;
        Ok(begun.unwrap_or(Err(NotBegun::Refused(Refusal::because(RefusalReason::NoSuchPerson)))))
    }

    fn outbox(&self, message: MessageId) -> Result<Option<OutboxForm>, VaultError> {
        let due = Rows::get(self, Keyspace::Index, &House::message_row(&message))?;
        let Some(due) = due.and_then(|row| <[u8; 8]>::try_from(row).ok()) else { return Ok(None) };
        let key = House::outbox_row(At::from_ms(i64::from_be_bytes(due)), message.as_bytes());
        let Some(row) = Rows::get(self, Keyspace::Outbox, &key)? else { return Ok(None) };
        let plain = self.house.open_house(RecordKind::Outbox, &key, &row)?;
        format::decode("outbox", &plain).map(Some)
    }

    fn begin(&mut self, open: &mut Open, mut decision: DecisionForm) -> Result<Result<Attempt, NotBegun>, VaultError> {
        let Some(mut message) = decision.message.clone() else {
            return Ok(Err(NotBegun::Refused(Refusal::because(RefusalReason::NothingFits))));
        };
        if message.due_at > self.now.ms() {
            // Somebody else is at it, or it waits: whoever asks saw an older state.
            return Ok(Err(NotBegun::Refused(Refusal::because(RefusalReason::ChangedMeanwhile))));
        }
        self.delete_outbox(&message);
        if message.state == MessageState::Trying {
            count_for_good(open, &message, self.now);
            end(&mut message, MessageState::Failed, Some(UNKNOWN), self.now);
            self.put_message(open, &mut decision, message)?;
            return Ok(Err(NotBegun::Unknown));
        }
        let begun = match self.hindrance(open, &decision)? {
            Some(Hindrance::Never(refusal)) => {
                refuse(open, &decision, &mut message, &refusal, self.now);
                Err(NotBegun::Refused(refusal))
            }
            Some(Hindrance::Until(at, refusal)) => {
                message.state = MessageState::Waiting;
                message.due_at = at.ms();
                message.why = Some(refusal.reason.as_str().to_owned());
                Err(NotBegun::Refused(refusal))
            }
            None => {
                message.state = MessageState::Trying;
                message.n_attempts = message.n_attempts.saturating_add(1);
                message.due_at = self.now.ms().saturating_add(LEASE_MS);
                message.why = None;
                if !self.is_reminder(&decision) {
                    pressure::begin_attempt(&mut open.core, message.id, self.now);
                }
                Ok(Attempt {
                    message: MessageId::from_bytes(*message.id),
                    person: open.id,
                    consent_seq: open.core.consent_seq,
                    n: message.n_attempts,
                })
            }
        };
        self.put_message(open, &mut decision, message)?;
        Ok(begun)
    }

    fn hindrance(&mut self, open: &mut Open, decision: &DecisionForm) -> Result<Option<Hindrance>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let artefact = promise.artefacts().get(&ArtefactId::from_bytes(*decision.artefact));
        let no = |reason| {
            let purpose = artefact.and_then(|artefact| artefact.terms.purpose.clone());
            Refusal { reason, purpose, line: None }
        };
        let Some(artefact) = artefact else {
            return Ok(Some(Hindrance::Never(no(RefusalReason::UnknownArtefact))));
        };
        if !self.is_reviewed(artefact)? {
            return Ok(Some(Hindrance::Never(no(RefusalReason::NotReviewed))));
        }
        let standing = open.core.standing()?;
        if let Verdict::No(refusal) = promise::judge(&promise, artefact, &standing, self.now) {
            return Ok(Some(Hindrance::Never(refusal)));
        }
        if artefact.is_reminder() {
            return self.hindrance_of_reminder(open, &standing);
        }
        let named = [decision.offer.as_deref(), decision.item.as_deref()];
        if named.into_iter().flatten().any(|name| open.core.turned_down.iter().any(|known| known == name)) {
            return Ok(Some(Hindrance::Never(no(RefusalReason::TurnedDown))));
        }
        if open.core.suppressed {
            return Ok(Some(Hindrance::Never(no(RefusalReason::Suppressed))));
        }
        if !self.house.is_running(self, &decision.campaign)? {
            let later = self.now.plus_ms(PAUSE_MS);
            return Ok(Some(Hindrance::Until(later, no(RefusalReason::Paused))));
        }
        let cap_line = promise.line("cap", "default");
        if let Err(next) = self.house.contact_room(&open.core, self.now) {
            let refusal = Refusal { line: cap_line, ..no(RefusalReason::CapReached) };
            return Ok(Some(match next {
                Some(at) => Hindrance::Until(at, refusal),
                None => Hindrance::Never(refusal),
            }));
        }
        if let Some(at) = self.house.quiet_until(open, &*self.store, self.now)? {
            return Ok(Some(Hindrance::Until(at, Refusal { line: cap_line, ..no(RefusalReason::QuietHours) })));
        }
        Ok(None)
    }

    /// A reminder sells nothing: no cap and no campaign stands in its way, but it speaks of a yes, and it is quiet at night.
    fn hindrance_of_reminder(&mut self, open: &mut Open, standing: &Standing) -> Result<Option<Hindrance>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        if super::remind::yeses(&promise, standing, self.now).next().is_none() {
            return Ok(Some(Hindrance::Never(Refusal::because(RefusalReason::AnswerLapsed))));
        }
        if open.core.suppressed {
            return Ok(Some(Hindrance::Never(Refusal::because(RefusalReason::Suppressed))));
        }
        let quiet = self.house.quiet_until(open, &*self.store, self.now)?;
        Ok(quiet.map(|at| Hindrance::Until(at, Refusal::because(RefusalReason::QuietHours))))
    }

    fn is_reminder(&self, decision: &DecisionForm) -> bool {
        let artefacts = self.house.household.promise.artefacts();
        artefacts.get(&ArtefactId::from_bytes(*decision.artefact)).is_some_and(promise::Artefact::is_reminder)
    }

    /// Ends a message that waited when the backup was made, which may have been sent since: nobody gets it twice, and it
    /// counts under the cap. Its rows go also when its person is gone.
    pub(crate) fn end_restored(&mut self, key: Vec<u8>, row: &OutboxForm) -> Result<(), VaultError> {
        self.delete(Keyspace::Outbox, key);
        self.delete(Keyspace::Index, House::message_row(&MessageId::from_bytes(*row.message)));
        self.with(&ProfileId::from_bytes(*row.person), |batch, open| {
            let Some(mut decision) = batch.decision(open, &row.decision)? else { return Ok(()) };
            let Some(mut message) = decision.message.clone() else { return Ok(()) };
            open.core.contacts.retain(|contact| contact.message != message.id);
            open.core.contacts.push(ContactForm { message: message.id, at: batch.now.ms(), sent: true });
            end(&mut message, MessageState::Failed, Some(UNKNOWN), batch.now);
            batch.put_message(open, &mut decision, message)
        })
        .map(|_| ())
    }

    pub(crate) fn finish_attempt(&mut self, attempt: Attempt, ended: AttemptEnd) -> Result<(), VaultError> {
        let Some(row) = self.outbox(attempt.message)? else { return Ok(()) };
        self.with(&attempt.person, |batch, open| match batch.decision(open, &row.decision)? {
            Some(decision) => batch.finish(open, decision, attempt, ended),
            None => Ok(()),
        })
        .map(|_| ())
    }

    fn finish(
        &mut self,
        open: &mut Open,
        mut decision: DecisionForm,
        attempt: Attempt,
        ended: AttemptEnd,
    ) -> Result<(), VaultError> {
        let Some(mut message) = decision.message.clone() else { return Ok(()) };
        if message.state != MessageState::Trying || message.n_attempts != attempt.n {
            return Ok(());
        }
        self.delete_outbox(&message);
        match ended {
            AttemptEnd::Sent | AttemptEnd::Unknown => count_for_good(open, &message, self.now),
            AttemptEnd::Later { .. } | AttemptEnd::Failed { .. } | AttemptEnd::Refused(_) => {
                pressure::forget_attempt(&mut open.core, &message.id);
            }
        }
        match ended {
            AttemptEnd::Sent => end(&mut message, MessageState::Sent, None, self.now),
            AttemptEnd::Unknown => end(&mut message, MessageState::Failed, Some(UNKNOWN), self.now),
            AttemptEnd::Later { why, at } => {
                message.state = MessageState::Waiting;
                message.due_at = at.max(self.now).ms();
                message.why = Some(why.to_owned());
            }
            AttemptEnd::Failed { why } => {
                open.core.suppressed |= why == ADDRESS_REFUSED;
                end(&mut message, MessageState::Failed, Some(why), self.now);
            }
            AttemptEnd::Refused(refusal) => {
                refuse(open, &decision, &mut message, &refusal, self.now);
            }
        }
        self.put_message(open, &mut decision, message)
    }

    fn put_message(
        &mut self,
        open: &Open,
        decision: &mut DecisionForm,
        message: MessageForm,
    ) -> Result<(), VaultError> {
        if matches!(message.state, MessageState::Waiting | MessageState::Trying) {
            self.put_outbox(open, decision, &message)?;
        }
        decision.message = Some(message);
        self.put_decision(open, decision)
    }
}

/// The word with which a relay's final no to an address comes back: that address is written to no more.
const ADDRESS_REFUSED: &str = "address_refused";

fn end(message: &mut MessageForm, state: MessageState, why: Option<&str>, now: At) {
    message.state = state;
    message.why = why.map(str::to_owned);
    message.ended_at = Some(now.ms());
}

/// What was sent, or may have been, stays under the cap until it leaves the window, and the relay has it.
fn count_for_good(open: &mut Open, message: &MessageForm, now: At) {
    note_mailed(&mut open.core, now);
    pressure::count_for_good(&mut open.core, &message.id);
}

/// Nothing was sent and nothing will be: the decision is over, and its run may ask the person's facts and wishes anew.
fn refuse(open: &mut Open, decision: &DecisionForm, message: &mut MessageForm, refusal: &Refusal, now: At) {
    end(message, MessageState::Refused, Some(refusal.reason.as_str()), now);
    open.core.end_decision(&decision.id);
}
