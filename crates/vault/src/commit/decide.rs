//! Decisions: recorded with everything behind them, refused when the person's wishes moved since they were read.
//!
//! Nothing is chosen here (`decide` does), and the cap is reserved only when an attempt begins.

use super::batch::Batch;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{
    self, Bytes16, DecidedForm, DecisionForm, MessageForm, MessageState, OutboxForm, TokenForm, TraceForm,
};
use crate::house::House;
use crate::person::{self, Open, Rows};
use crate::record::NewDecision;
use crate::retention;
use crate::seal::RecordKind;
use model::{At, DecisionId, MessageId, ProfileId};
use promise::{Artefact, ArtefactKind, ChannelKind, Refusal, RefusalReason, Verdict};
use std::sync::Arc;

/// Most tokens of decisions on pages remembered per person; the oldest stop opening first. Those in mails open for ever.
const PAGE_TOKENS_MAX: usize = 512;

impl Batch<'_> {
    pub(crate) fn decide(&mut self, new: NewDecision) -> Result<Result<DecisionId, Refusal>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let Some(artefact) = promise.artefacts().get(&new.artefact) else {
            return Ok(Err(Refusal::because(RefusalReason::UnknownArtefact)));
        };
        if artefact.kind != ArtefactKind::Campaign || artefact.name != new.campaign.as_str() {
            return Ok(Err(Refusal::because(RefusalReason::UnknownArtefact)));
        }
        if !self.is_reviewed(artefact)? {
            return Ok(Err(Refusal::because(RefusalReason::NotReviewed)));
        }
        let decided =
            self.with(&new.person.to_owned(), |batch, open| match batch.may_decide(open, artefact, &new)? {
                Ok(()) => batch.record_decision(open, new).map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            })?;
        Ok(decided.unwrap_or(Err(Refusal::because(RefusalReason::NoSuchPerson))))
    }

    fn may_decide(
        &self,
        open: &Open,
        artefact: &Artefact,
        new: &NewDecision,
    ) -> Result<Result<(), Refusal>, VaultError> {
        let no = |reason| Ok(Err(Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None }));
        if open.core.consent_seq != new.consent_seq {
            return no(RefusalReason::ChangedMeanwhile);
        }
        let promise = &self.house.household.promise;
        if let Verdict::No(refusal) = promise::judge(promise, artefact, &open.core.standing()?, self.now) {
            return Ok(Err(refusal));
        }
        let is_mail = new.channel == ChannelKind::Email;
        let standing = open.core.standing_decision(new.campaign.as_str(), new.run, is_mail, self.now);
        if standing != new.replaces {
            return no(RefusalReason::AlreadyDecided);
        }
        let named = [new.offer.as_ref().map(|offer| offer.as_str()), new.item.as_ref().map(|item| item.as_str())];
        if named.into_iter().flatten().any(|name| open.core.turned_down.iter().any(|known| known == name)) {
            return no(RefusalReason::TurnedDown);
        }
        // Also for those left alone: both arms are people who could be written to.
        if is_mail {
            if open.core.suppressed {
                return no(RefusalReason::Suppressed);
            }
            if self.house.contact_room(&open.core, self.now).is_err() {
                return no(RefusalReason::CapReached);
            }
        }
        Ok(Ok(()))
    }

    fn record_decision(&mut self, open: &mut Open, new: NewDecision) -> Result<DecisionId, VaultError> {
        let is_mail = new.channel == ChannelKind::Email;
        let message = (is_mail && new.offer.is_some() && !new.held_out).then(|| MessageForm {
            id: (*MessageId::new(self.now, self.house.rng()).as_bytes()).into(),
            due_at: new.send_at.unwrap_or(self.now).max(self.now).ms(),
            state: MessageState::Waiting,
            n_attempts: 0,
            why: None,
            ended_at: None,
        });
        let mut form = DecisionForm {
            id: (*new.id.as_bytes()).into(),
            at: self.now.ms(),
            campaign: new.campaign.as_str().to_owned(),
            artefact: (*new.artefact.as_bytes()).into(),
            offer: new.offer.map(|offer| offer.as_str().to_owned()),
            item: new.item.map(|item| item.as_str().to_owned()),
            held_out: new.held_out,
            channel: format::channel_code(new.channel),
            run: new.run,
            trace: TraceForm::of(&new.trace),
            message,
            reduced: false,
            proof: None,
        };
        form.proof = Some(self.leaf("decision", &format::encode(&form)));
        let oldest = retention::oldest_decision(self.now).ms();
        open.core.decided.retain(|known| known.at >= oldest);
        new.replaces.iter().for_each(|replaced| open.core.end_decision(&(*replaced.as_bytes()).into()));
        self.put_decided(open, &form, None)?;
        Ok(new.id)
    }

    /// A decision with all that leads to it: named in the profile, in the index, and its message in the outbox while it is open.
    pub(crate) fn put_decided(
        &mut self,
        open: &mut Open,
        form: &DecisionForm,
        is_over: Option<bool>,
    ) -> Result<(), VaultError> {
        open.core.decided.push(DecidedForm {
            campaign: form.campaign.clone(),
            run: form.run,
            decision: form.id,
            at: form.at,
            by_mail: form.channel == format::channel_code(ChannelKind::Email),
            is_over,
        });
        let id = DecisionId::from_bytes(*form.id);
        self.put(Keyspace::Index, House::decision_row(&id), open.id.as_bytes().to_vec());
        let open_message =
            |message: &&MessageForm| matches!(message.state, MessageState::Waiting | MessageState::Trying);
        if let Some(message) = form.message.as_ref().filter(open_message) {
            self.put_outbox(open, form, message)?;
        }
        self.put_decision(open, form)
    }

    // ── rows of decisions and messages ────────────────────────────────────────────────────────────────────────────

    pub(crate) fn decision(&self, open: &Open, id: &Bytes16) -> Result<Option<DecisionForm>, VaultError> {
        self.house.decision(self, open, id)
    }

    pub(crate) fn put_decision(&mut self, open: &Open, form: &DecisionForm) -> Result<(), VaultError> {
        let key = person::own_key(&open.id, form.id.as_slice());
        let sealed = open.seal_own(self.house, RecordKind::Decision, form.id.as_slice(), &format::encode(form))?;
        self.put(Keyspace::Decisions, key, sealed);
        Ok(())
    }

    /// The outbox row of a message at its due instant, and the way from the message to it.
    pub(crate) fn put_outbox(
        &mut self,
        open: &Open,
        decision: &DecisionForm,
        message: &MessageForm,
    ) -> Result<(), VaultError> {
        let key = House::outbox_row(At::from_ms(message.due_at), message.id.as_slice());
        let form = OutboxForm {
            message: message.id,
            decision: decision.id,
            person: (*open.id.as_bytes()).into(),
            artefact: decision.artefact,
            n_attempts: message.n_attempts,
            trying: message.state == MessageState::Trying,
            why: message.why.clone(),
        };
        let sealed = self.house.seal_house(RecordKind::Outbox, &key, &format::encode(&form))?;
        self.put(Keyspace::Outbox, key, sealed);
        let id = MessageId::from_bytes(*message.id);
        self.put(Keyspace::Index, House::message_row(&id), message.due_at.to_be_bytes().to_vec());
        Ok(())
    }

    /// Takes a message out of the outbox: it has moved, or ended.
    pub(crate) fn delete_outbox(&mut self, message: &MessageForm) {
        self.delete(Keyspace::Outbox, House::outbox_row(At::from_ms(message.due_at), message.id.as_slice()));
        self.delete(Keyspace::Index, House::message_row(&MessageId::from_bytes(*message.id)));
    }

    // ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn message_token(&mut self, decision: DecisionId) -> Result<Option<String>, VaultError> {
        let row = Rows::get(self, Keyspace::Index, &House::decision_row(&decision))?;
        let Some(person) = row.and_then(|row| <[u8; 16]>::try_from(row).ok()).map(ProfileId::from_bytes) else {
            return Ok(None);
        };
        Ok(self.with(&person, |batch, open| batch.make_token(open, decision))?.flatten())
    }

    fn make_token(&mut self, open: &mut Open, decision: DecisionId) -> Result<Option<String>, VaultError> {
        let Some(form) = self.decision(open, &(*decision.as_bytes()).into())? else { return Ok(None) };
        let (token, row) = self.house.message_token(&decision);
        if Rows::get(self, Keyspace::Index, &row)?.is_some() {
            return Ok(Some(token));
        }
        let is_of_page = |known: &TokenForm| known.of_page == Some(true);
        let of_page = form.message.is_none();
        if of_page && open.core.tokens.iter().filter(|known| is_of_page(known)).count() >= PAGE_TOKENS_MAX {
            let oldest = open.core.tokens.iter().position(is_of_page).map(|at| open.core.tokens.remove(at));
            oldest.into_iter().for_each(|oldest| self.delete(Keyspace::Index, House::token_row(&oldest.hash)));
        }
        let hash = self.house.blind("message", &token).into();
        open.core.tokens.push(TokenForm { hash, decision: form.id, of_page: Some(of_page) });
        let target = [
            open.id.as_bytes().as_slice(),
            decision.as_bytes(),
            form.artefact.as_slice(),
            &self.now.ms().to_be_bytes(),
        ]
        .concat();
        self.put(Keyspace::Index, row, target);
        Ok(Some(token))
    }
}
