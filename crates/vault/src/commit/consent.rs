//! Answers about purposes: the ledger entry, the relation it makes, and its receipt.
//!
//! An answer that narrows comes here last (from the urgent log, already in force); a yes, and what an import reports, come
//! here first.

use super::Reply;
use super::batch::{Batch, Found};
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, Bytes16, LedgerForm};
use crate::house::Ticket;
use crate::narrowing::{self, What};
use crate::person::{self, Open};
use crate::record::{ConsentAnswer, ConsentChange, OutcomeReason, Subject};
use crate::seal::RecordKind;
use crate::statement;
use crate::wish::{self, Wish};
use model::{At, ConsentId, ConsentStatus, Method, ProfileId};
use promise::Basis;

/// How long after a message a reduction is counted as an answer to it, in milliseconds (14 days).
const REDUCED_WITHIN_MS: i64 = 14 * model::DAY_MS;

/// An answer without its receipt.
pub(crate) struct Answered {
    pub profile: Option<ProfileId>,
    pub entry: Option<LedgerForm>,
    pub refusal: Option<OutcomeReason>,
}

impl Answered {
    pub(crate) const fn refused(reason: OutcomeReason) -> Self {
        Self { profile: None, entry: None, refusal: Some(reason) }
    }
}

/// A change as a ledger entry, not yet in the log.
pub(crate) fn entry(change: &ConsentChange, id: ConsentId, now: At) -> LedgerForm {
    LedgerForm {
        id: (*id.as_bytes()).into(),
        purpose: change.purpose.as_str().to_owned(),
        status: format::status_code(change.status),
        level: change.level.clone(),
        text: change.words.text.clone(),
        language: change.words.language.clone(),
        answered_at: change.words.answered_at.ms().min(now.ms()),
        method: format::method_code(change.method),
        notice_version: change.notice_version,
        made_up: change.made_up,
        source: change.source.as_ref().map(|source| source.as_str().to_owned()),
        at: now.ms(),
        proof: None,
        included_by: None,
    }
}

impl Batch<'_> {
    pub(crate) fn consent(&mut self, change: &ConsentChange, ticket: Option<&Ticket>) -> Result<Answered, VaultError> {
        let declared = self.house.household.promise.purposes.get(&change.purpose);
        if declared.is_none_or(|declared| declared.basis != Basis::Consent) {
            return Ok(Answered::refused(OutcomeReason::NoPurpose));
        }
        let found = self.resolve(&change.subject)?;
        if let Some(reason) = self.answers_for_the_left(&found, change)? {
            return Ok(Answered::refused(reason));
        }
        let id = match found {
            Found::Nobody => return Ok(Answered::refused(OutcomeReason::NoSubject)),
            Found::New(_) if !change.status.is_given() => return Ok(Answered::refused(OutcomeReason::NoSubject)),
            Found::New(identifiers) => self.create(&identifiers)?,
            Found::Known(id) => id,
        };
        let answered = self.with(&id, |batch, open| batch.record(open, change, ticket))?;
        Ok(answered.unwrap_or(Answered::refused(OutcomeReason::NoSubject)))
    }

    /// After erasure only a newer act of the person counts; after "leave me alone" not even that.
    fn answers_for_the_left(&self, found: &Found, change: &ConsentChange) -> Result<Option<OutcomeReason>, VaultError> {
        let Subject::Identifiers { user, anonymous } = &change.subject else { return Ok(None) };
        for identifier in user.iter().chain(anonymous) {
            let Some(left) = self.left(identifier)? else { continue };
            if left.restrained {
                return Ok(Some(OutcomeReason::Restrained));
            }
            let is_old = change.words.answered_at.ms() <= left.erased_at || change.method == Method::Import;
            if is_old && (change.status.is_given() || matches!(found, Found::New(_))) {
                return Ok(Some(OutcomeReason::Erased));
            }
        }
        Ok(None)
    }

    fn record(
        &mut self,
        open: &mut Open,
        change: &ConsentChange,
        ticket: Option<&Ticket>,
    ) -> Result<Answered, VaultError> {
        if ticket.is_some_and(|ticket| ticket.is_overtaken(open.id, &change.purpose)) {
            let latest = self.latest_entry(open, change.purpose.as_str())?;
            return Ok(Answered { profile: Some(open.id), entry: latest, refusal: None });
        }
        let known = open.core.standing()?.relations.get(&change.purpose).cloned();
        let entry = entry(change, ConsentId::new(self.now, self.house.rng()), self.now);
        if let Some(known) = known {
            // A history tells nothing that a later answer has not already settled.
            let is_stale = change.method == Method::Import && entry.answered_at <= known.at.ms();
            let is_same = known.status == change.status
                && known.level == change.level
                && known.notice_version == change.notice_version;
            if is_stale || is_same {
                let latest = self.latest_entry(open, change.purpose.as_str())?;
                return Ok(Answered { profile: Some(open.id), entry: latest, refusal: None });
            }
        }
        if self.house.household.promise.is_gone(&open.core.standing()?, self.now) {
            return Ok(Answered::refused(OutcomeReason::Erased));
        }
        let entry = self.apply_answer(open, entry)?;
        if change.status.is_given() {
            open.core.left_at = None;
            self.touch(open);
        }
        Ok(Answered { profile: Some(open.id), entry: Some(entry), refusal: None })
    }

    pub(crate) fn latest_entry(&self, open: &Open, purpose: &str) -> Result<Option<LedgerForm>, VaultError> {
        open.latest_entry(self.house, self, purpose)
    }

    /// Writes an entry to the ledger and the log, and makes its relation.
    pub(crate) fn apply_answer(&mut self, open: &mut Open, mut entry: LedgerForm) -> Result<LedgerForm, VaultError> {
        // An answer that ended by itself is no act of the person; a reported one shows that they were not silent then.
        if entry.status != format::status_code(ConsentStatus::Expired) {
            let answered_at = At::from_ms(entry.answered_at.min(entry.at));
            match format::method_of(entry.method)? {
                Method::Import => open.core.acted(answered_at),
                _ => self.act(open, answered_at)?,
            }
        }
        let statement = statement::of_consent(self.house, &open.id, &entry)?;
        entry.proof = Some(self.leaf("consent", statement.as_bytes()));
        let number = open.core.n_ledger;
        open.core.n_ledger = number.saturating_add(1);
        let key = person::numbered_key(&open.id, number);
        let sealed = open.seal_own(self.house, RecordKind::Ledger, person::tail(&key), &format::encode(&entry))?;
        self.put(Keyspace::Ledger, key, sealed);
        let was = open.core.relation(&entry.purpose).cloned();
        Wish::Answer(entry.clone()).apply(&mut open.core)?;
        // Here, and not only when the batch is sealed: a yes later in it does not undo that this was said.
        if let (Some(was), Some(now)) = (&was, open.core.relation(&entry.purpose))
            && narrowing::is_taken_back(&self.house.household.promise, was, now)
        {
            self.take_back(&open.id, What::Purpose(&entry.purpose));
        }
        if !wish::answer(&entry)?.1.status.is_given() {
            self.mark_reduced(open)?;
        }
        Ok(entry)
    }

    /// Writes one wish from the urgent log. Twice is once: after a crash the log is played again.
    pub(crate) fn apply_wish(&mut self, id: &ProfileId, wish: &Wish) -> Result<(), VaultError> {
        self.with(id, |batch, open| batch.apply_to(open, wish)).map(|_| ())
    }

    fn apply_to(&mut self, open: &mut Open, wish: &Wish) -> Result<(), VaultError> {
        if wish.is_written(&open.core) {
            return Ok(());
        }
        wish.note_written(&mut open.core);
        match wish {
            Wish::Answer(entry) => self.apply_answer(open, entry.clone()).map(|_| ()),
            Wish::Less(id, _) | Wish::LessBy(id, ..) | Wish::NotThis(id, _) | Wish::LeaveMeAlone(id) => {
                self.act(open, self.now)?;
                self.mark_reduced(open)?;
                self.log_wish(id);
                wish.apply(&mut open.core)
            }
            Wish::UndoLess(id) | Wish::Restore(id, _) => {
                self.log_wish(id);
                wish.apply(&mut open.core)
            }
        }
    }

    fn log_wish(&mut self, id: &Bytes16) {
        self.leaf("wish", &**id);
    }

    /// Decisions whose message reached the person lately are marked: the person answered by asking for less.
    fn mark_reduced(&mut self, open: &mut Open) -> Result<(), VaultError> {
        let since = self.now.ms().saturating_sub(REDUCED_WITHIN_MS);
        let decided: Vec<Bytes16> =
            open.core.decided.iter().filter(|decided| decided.at >= since).map(|decided| decided.decision).collect();
        for id in decided {
            if let Some(mut decision) = self.decision(open, &id)? {
                decision.reduced = true;
                self.put_decision(open, &decision)?;
            }
        }
        Ok(())
    }

    /// Answers with the signed receipt, which is made once the batch is in the log.
    pub(crate) fn answer_with_receipt(&mut self, reply: Reply<ConsentAnswer>, answered: Result<Answered, VaultError>) {
        self.then(move |house, _| {
            let _ = reply.send(answered.and_then(|answered| house.consent_answer(answered)));
        });
    }
}
