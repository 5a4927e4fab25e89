//! Erasure, second half: the tombstone is on the disk and the person is gone from memory; here every row follows, what
//! names them by value becomes a keyed token, and the wrapped keys go, or are sealed for a day to the recovery key, together
//! with what it takes to undo this (`undo`).

use super::Committer;
use super::batch::Batch;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, DecisionForm, LeftForm, RecoveryForm, RequestForm, UndoForm, UndoJoinForm, UndoLeftForm};
use crate::house::House;
use crate::person::{self, Open, Rows};
use crate::record::Erasure;
use crate::retention::ROTATED_WITHIN_DAYS;
use crate::seal::RecordKind;
use crate::statement;
use crate::wish::Wish;
use model::{At, DAY_MS, Day, DecisionId, MessageId, ProfileId, RequestId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long the keys of an erasure "within a day" stay with the recovery key, in milliseconds.
pub(super) const RECOVERY_MS: i64 = DAY_MS;

/// Within how many days the wrapped keys have left every place we know after they were deleted here: a rotation, and the
/// longest life of a key backup.
const UNRECOVERABLE_AFTER_DAYS: i32 = ROTATED_WITHIN_DAYS + crate::backup::KEY_BACKUP_DAYS;

/// One profile to erase.
#[derive(Clone, Copy)]
pub(crate) struct Leaving {
    pub person: ProfileId,
    pub request: RequestId,
    pub how: Erasure,
    pub at: At,
    pub unrecoverable_on: Day,
}

impl Leaving {
    /// Somebody who goes, under a request of their own.
    pub(crate) fn new(person: ProfileId, how: Erasure, at: At, request: RequestId) -> Self {
        let days = match how {
            Erasure::Now => UNRECOVERABLE_AFTER_DAYS,
            Erasure::WithinADay => UNRECOVERABLE_AFTER_DAYS.saturating_add(1),
        };
        Self { person, request, how, at, unrecoverable_on: at.day().plus(days) }
    }

    /// What stays on record of it, not yet in the log.
    pub(crate) fn request_form(&self) -> RequestForm {
        RequestForm {
            id: (*self.request.as_bytes()).into(),
            kind: "erase".to_owned(),
            at: self.at.ms(),
            unrecoverable_on: self.unrecoverable_on.number(),
            proof: None,
            taken_back_at: None,
            taken_back_proof: None,
            told: None,
            undo_until: match self.how {
                Erasure::Now => None,
                Erasure::WithinADay => Some(self.at.ms().saturating_add(RECOVERY_MS)),
            },
            words: Some(statement::ERASURE_WORDS),
        }
    }

    /// The same for somebody of whom something is held until an instant: closed to everybody at once, and kept for that alone.
    pub(crate) fn held(self, until: Option<At>) -> Self {
        let last = until.map_or(self.unrecoverable_on, |until| until.day().plus(UNRECOVERABLE_AFTER_DAYS));
        Self { unrecoverable_on: self.unrecoverable_on.max(last), ..self }
    }
}

/// Keyspaces whose keys begin with the profile id and whose rows are sealed under its keys.
pub(crate) const OWN: [Keyspace; 4] = [Keyspace::Profiles, Keyspace::Events, Keyspace::Ledger, Keyspace::Decisions];

impl Committer {
    /// Takes the rows of everybody who left since the last batch.
    pub(crate) fn drain_erasures(&mut self) -> Result<(), VaultError> {
        // Another node may have taken the rows of some of them.
        self.take_turn()?;
        // First the note: whoever it covers is among those who leave, or has left.
        let note = self.house.urgent().tombstones.note();
        let leaving = self.house.leaving();
        if leaving.is_empty() {
            return Ok(());
        }
        self.write(|batch| {
            if let Some(nodes) = batch.house.engine.nodes() {
                nodes.stage_left(leaving.iter().map(|leaving| *leaving.person.as_bytes()));
            }
            batch.ops().push(note);
            leaving.iter().try_for_each(|leaving| batch.erase(leaving))
        })?;
        self.house.has_left(&leaving);
        Ok(())
    }
}

impl Batch<'_> {
    pub(crate) fn erase(&mut self, leaving: &Leaving) -> Result<(), VaultError> {
        let id = leaving.person;
        let open = self.leaving(&id).unwrap_or_else(|error| {
            // What cannot be opened can still be deleted; its identifiers cannot be known.
            tracing::error!(error = &error as &dyn std::error::Error, "a leaving profile could not be opened");
            None
        });
        let mut undo = UndoForm::new((*leaving.request.as_bytes()).into());
        let mut told = None;
        if let Some(open) = &open {
            self.erase_index(open, leaving, &mut undo)?;
            let is_mailed = self.erase_messages(open, &mut undo)?;
            self.erase_ties(open, &mut undo)?;
            told = Some(self.call_recipients(open, is_mailed, leaving)?);
        }
        self.delete(Keyspace::Keys, id.as_bytes().to_vec());
        self.forgets();
        let held_until = match &open {
            Some(open) => open.core.standing()?.any_held_until(leaving.at),
            None => None,
        };
        let leaving = &leaving.held(held_until);
        match (leaving.how, &open) {
            (Erasure::Now, _) if held_until.is_none() => {
                self.delete_rows(&id)?;
                self.delete(Keyspace::House, House::recovery_row(&id));
            }
            (_, None) => {
                self.delete_rows(&id)?;
                self.delete(Keyspace::House, House::recovery_row(&id));
            }
            (how, Some(open)) => {
                let day = leaving.at.plus_ms(RECOVERY_MS);
                let undo = match how {
                    // Kept for the hold alone: nobody undoes it.
                    Erasure::Now => None,
                    Erasure::WithinADay => {
                        undo.columns = self.store.get(Keyspace::House, House::COLUMNS)?.map(Into::into);
                        undo.wishes = self.wishes_of(open);
                        Some(open.seal_own(self.house, RecordKind::Undo, &[], &format::encode(&undo))?.into())
                    }
                };
                let form = RecoveryForm {
                    until: held_until.map_or(day, |until| until.max(day)).ms(),
                    sealed: self.house.to_recovery(open)?,
                    undo,
                };
                self.put(Keyspace::House, House::recovery_row(&id), format::encode(&form));
            }
        }
        let mut request = leaving.request_form();
        request.told = match told {
            Some(told) => Some(told),
            // Asked for once more: what is known of the recipients stays, and what waited for the day waits no longer.
            None => self.hurry_calls(leaving)?,
        };
        let statement = statement::of_erasure(self.house, &request)?;
        request.proof = Some(self.leaf("erase", statement.as_bytes()));
        let key = House::request_row(&leaving.request);
        self.put_house(RecordKind::Request, key, &format::encode(&request))
    }

    /// Deletes every row sealed under a profile's keys.
    pub(crate) fn delete_rows(&mut self, id: &ProfileId) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for keyspace in OWN {
            for row in store.scan(keyspace, id.as_bytes()) {
                let (key, value) = row?;
                self.change(keyspace, key, None, Some(Some(value)));
            }
        }
        Ok(())
    }

    /// A leaving profile as it stands: what the person said before leaving counts also while it is on the urgent log only.
    pub(crate) fn leaving(&self, id: &ProfileId) -> Result<Option<Open>, VaultError> {
        let Some(mut open) = Open::load(self.house, &*self.store, id)? else { return Ok(None) };
        for wish in self.wishes_of(&open) {
            wish.apply(&mut open.core)?;
        }
        Ok(Some(open))
    }

    /// What is on the urgent log and not in the record.
    fn wishes_of(&self, open: &Open) -> Vec<Wish> {
        let waiting = self.house.waiting().into_iter().filter(|waiting| waiting.person == open.id);
        let wishes = waiting.map(|waiting| Wish::clone(&waiting.wish));
        wishes.filter(|wish| !open.core.wishes_done.contains(wish.id())).collect()
    }

    /// Takes away a row that lies outside the person's own keyspaces, and keeps it for the undo.
    fn take_away(&mut self, keyspace: Keyspace, key: Vec<u8>, undo: &mut UndoForm) -> Result<(), VaultError> {
        if let Some(value) = Rows::get(self, keyspace, &key)? {
            undo.rows.push((keyspace as u8, key.clone().into(), value.into()));
            self.delete(keyspace, key);
        }
        Ok(())
    }

    /// Every identifier leads nowhere any more; its keyed token says since when.
    fn erase_index(&mut self, open: &Open, leaving: &Leaving, undo: &mut UndoForm) -> Result<(), VaultError> {
        for form in &open.core.identifiers {
            let Some(identifier) = House::identifier(form) else { continue };
            if self.find_row(&identifier)? == Some(open.id) {
                self.take_away(Keyspace::Index, self.house.index_row(&identifier), undo)?;
            }
            let before = self.left(&identifier)?;
            let left = format::encode(&LeftForm {
                erased_at: leaving.at.ms(),
                restrained: open.core.restrained || before.is_some_and(|before| before.restrained),
            });
            let key = self.house.left_row(&identifier);
            undo.left.push(UndoLeftForm {
                key: key.clone().into(),
                before: Rows::get(self, Keyspace::House, &key)?.map(Into::into),
                written: left.clone().into(),
            });
            self.put(Keyspace::House, key, left);
        }
        for token in &open.core.tokens {
            self.take_away(Keyspace::Index, House::token_row(&token.hash), undo)?;
        }
        Ok(())
    }

    /// What waits to be sent to the person, and the way from a decision to them.
    /// Whether a mail has gone, or may have.
    fn erase_messages(&mut self, open: &Open, undo: &mut UndoForm) -> Result<bool, VaultError> {
        let mut is_mailed = false;
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Decisions, open.id.as_bytes()) {
            let (key, sealed) = row?;
            let id = person::tail(&key);
            if let Ok(id) = <[u8; 16]>::try_from(id) {
                self.take_away(Keyspace::Index, House::decision_row(&DecisionId::from_bytes(id)), undo)?;
            }
            let Ok(plain) = open.open_own(self.house, RecordKind::Decision, id, &sealed) else { continue };
            let decision: DecisionForm = format::decode("decisions", &plain)?;
            if let Some(message) = &decision.message {
                is_mailed |= message.may_have_left();
                let outbox = House::outbox_row(At::from_ms(message.due_at), message.id.as_slice());
                self.take_away(Keyspace::Outbox, outbox, undo)?;
                let way = House::message_row(&MessageId::from_bytes(*message.id));
                self.take_away(Keyspace::Index, way, undo)?;
            }
        }
        Ok(is_mailed)
    }

    /// Nobody who stays is tied to somebody who is gone.
    fn erase_ties(&mut self, open: &Open, undo: &mut UndoForm) -> Result<(), VaultError> {
        let others: BTreeSet<[u8; 16]> = open.core.joins.iter().map(|join| *join.other).collect();
        for other in others {
            let cut = self.with(&ProfileId::from_bytes(other), |_, theirs| {
                let mut cut = Vec::new();
                for (at, join) in (0u32..).zip(&theirs.core.joins) {
                    if *join.other == *open.id.as_bytes() {
                        cut.push(UndoJoinForm { of: other.into(), at, join: join.clone() });
                    }
                }
                theirs.core.joins.retain(|join| *join.other != *open.id.as_bytes());
                Ok(cut)
            });
            let cut = cut.unwrap_or_else(|error| {
                // The other record is damaged: that is said, and holds up nobody's erasure.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a tie to a leaving profile could not be cut"
                );
                None
            });
            undo.joins.extend(cut.into_iter().flatten());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
