//! The yearly reminder of what somebody shares: put in the outbox by the sweep, sent like any message, and answered with one
//! tap. It acts for no purpose of the company: it sells nothing, names no value, and counts under no cap.

use super::batch::Batch;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, Bytes16, DecidedForm, DecisionForm, MessageForm, MessageState, ReminderForm, TraceForm};
use crate::house::House;
use crate::person::Open;
use crate::record::{ItemBasis, Trace};
use model::{At, DecisionId, FactName, Kind, MessageId, ProfileKind, PurposeName};
use promise::leaving::{REMIND_BEFORE_LAPSE_DAYS, REMIND_EVERY_DAYS};
use promise::{Artefact, ArtefactKind, Basis, ChannelKind, Promise, Standing, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;

/// After so many days a reminder that could not be sent is tried once more.
const AGAIN_AFTER_DAYS: i32 = 30;

impl Batch<'_> {
    /// Puts a reminder in the outbox when one is due; whether it did.
    pub(crate) fn remind_if_due(&mut self, open: &mut Open) -> Result<bool, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let Some(artefact) = promise.artefact(ArtefactKind::Page, Artefact::REMINDER) else { return Ok(false) };
        let is_person = format::kind_of(open.core.kind)? == ProfileKind::Person;
        if !is_person || open.core.suppressed || open.core.relations.is_empty() {
            return Ok(false);
        }
        let standing = open.core.standing()?;
        let before = open.core.reminder.map(|reminder| At::from_ms(reminder.at));
        let is_due = is_due(&promise, &standing, before, self.now) || self.has_failed(open)?;
        if !is_due || !matches!(promise::judge(&promise, artefact, &standing, self.now), Verdict::Yes { .. }) {
            return Ok(false);
        }
        if !self.can_be_written_to(open)? {
            return Ok(false);
        }
        let id = DecisionId::new(self.now, self.house.rng());
        let trace = Trace {
            facts: Vec::new(),
            steps: Vec::new(),
            texts: [REMINDER_TITLE.to_owned(), String::new(), String::new()],
            slots: BTreeMap::new(),
            propensity_micros: 1_000_000,
            basis: ItemBasis::None,
            shared_by: 0,
            exposure: "private_mail".to_owned(),
            promise: promise.hash,
            notice_version: promise.binding_notice(self.now),
        };
        let message = MessageForm {
            id: (*MessageId::new(self.now, self.house.rng()).as_bytes()).into(),
            due_at: self.now.ms(),
            state: MessageState::Waiting,
            n_attempts: 0,
            why: None,
            ended_at: None,
        };
        let mut form = DecisionForm {
            id: (*id.as_bytes()).into(),
            at: self.now.ms(),
            campaign: Artefact::REMINDER.to_owned(),
            artefact: (*artefact.id.as_bytes()).into(),
            offer: None,
            item: None,
            held_out: false,
            channel: format::channel_code(ChannelKind::Email),
            run: 0,
            trace: TraceForm::of(&trace),
            message: Some(message.clone()),
            reduced: false,
            proof: None,
        };
        form.proof = Some(self.leaf("decision", &format::encode(&form)));
        open.core.reminder = Some(ReminderForm { at: self.now.ms(), decision: form.id });
        open.core.decided.push(DecidedForm {
            campaign: form.campaign.clone(),
            run: form.run,
            decision: form.id,
            at: form.at,
            by_mail: true,
            is_over: None,
        });
        self.put(Keyspace::Index, House::decision_row(&id), open.id.as_bytes().to_vec());
        self.put_outbox(open, &form, &message)?;
        self.put_decision(open, &form)?;
        Ok(true)
    }

    /// Whether the latest reminder never left, and it is time to try again.
    fn has_failed(&self, open: &Open) -> Result<bool, VaultError> {
        let Some(reminder) = open.core.reminder else { return Ok(false) };
        if At::from_ms(reminder.at).plus_days(AGAIN_AFTER_DAYS) > self.now {
            return Ok(false);
        }
        let decision = self.decision(open, &Bytes16::from(*reminder.decision))?;
        let state = decision.and_then(|decision| decision.message).map(|message| message.state);
        Ok(matches!(state, Some(MessageState::Failed | MessageState::Refused)))
    }

    /// Whether an address is there that the person was told of.
    fn can_be_written_to(&self, open: &mut Open) -> Result<bool, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        for field in promise.fields.values().filter(|field| field.kind == Kind::Email) {
            let name = FactName::Field(field.name.clone());
            let fact = self.house.stored_fact(open, &*self.store, &name)?;
            if fact.is_some_and(|fact| fact.expires_at > self.now && fact.told_at.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The subject of a reminder: it shows on locked screens, so it tells nothing.
pub const REMINDER_TITLE: &str = "What you share with us";

/// Each yes that is in force.
pub(crate) fn yeses<'p>(
    promise: &'p Promise,
    standing: &'p Standing,
    now: At,
) -> impl Iterator<Item = (&'p PurposeName, At)> {
    let by_consent = promise.purposes.values().filter(|purpose| purpose.basis == Basis::Consent);
    by_consent.filter_map(move |purpose| {
        promise.in_force(&purpose.name, standing, now).ok()?;
        Some((&purpose.name, standing.relations.get(&purpose.name)?.at))
    })
}

/// A year after the last one, or after the first yes; and a month before a yes lapses.
fn is_due(promise: &Promise, standing: &Standing, before: Option<At>, now: At) -> bool {
    let Some(first) = yeses(promise, standing, now).map(|(_, at)| at).min() else { return false };
    let base = before.unwrap_or(first);
    if base.day().plus(REMIND_EVERY_DAYS).start() <= now {
        return true;
    }
    let lapses = yeses(promise, standing, now).filter_map(|(purpose, _)| promise.lapses_at(purpose, standing));
    let last_call = lapses.min().map(|at| at.plus_days(-REMIND_BEFORE_LAPSE_DAYS));
    last_call.is_some_and(|at| at <= now && base < at)
}
