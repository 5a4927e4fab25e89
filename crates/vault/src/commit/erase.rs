//! Erasure, second half: the tombstone is on the disk and the person is gone from memory; here every row follows, what
//! names them by value becomes a keyed token, and the wrapped keys go, or are sealed for a day to the recovery key.

use super::Committer;
use super::batch::Batch;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, DecisionForm, LeftForm, RecoveryForm, RequestForm};
use crate::house::House;
use crate::person::{self, Open};
use crate::record::Erasure;
use crate::retention::ROTATED_WITHIN_DAYS;
use crate::seal::RecordKind;
use crate::statement;
use model::{At, DAY_MS, Day, DecisionId, ProfileId, RequestId};
use std::sync::Arc;

/// How long the keys of an erasure "within a day" stay with the recovery key, in milliseconds.
const RECOVERY_MS: i64 = DAY_MS;

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
        if let Some(open) = &open {
            self.erase_index(open, leaving)?;
            self.erase_messages(open)?;
        }
        self.delete(Keyspace::Keys, id.as_bytes().to_vec());
        self.forgets();
        match (leaving.how, &open) {
            (Erasure::Now, _) | (Erasure::WithinADay, None) => {
                self.delete_rows(&id)?;
                self.delete(Keyspace::House, House::recovery_row(&id));
            }
            (Erasure::WithinADay, Some(open)) => {
                let form = RecoveryForm {
                    until: leaving.at.ms().saturating_add(RECOVERY_MS),
                    sealed: self.house.to_recovery(open)?,
                };
                self.put(Keyspace::House, House::recovery_row(&id), format::encode(&form));
            }
        }
        let mut request = RequestForm {
            id: (*leaving.request.as_bytes()).into(),
            kind: "erase".to_owned(),
            at: leaving.at.ms(),
            unrecoverable_on: leaving.unrecoverable_on.number(),
            proof: None,
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
        for waiting in self.house.waiting().iter().filter(|waiting| waiting.person == *id) {
            if !open.core.wishes_done.contains(waiting.wish.id()) {
                waiting.wish.apply(&mut open.core)?;
            }
        }
        Ok(Some(open))
    }

    /// Every identifier leads nowhere any more; its keyed token says since when.
    fn erase_index(&mut self, open: &Open, leaving: &Leaving) -> Result<(), VaultError> {
        for form in &open.core.identifiers {
            let Some(identifier) = House::identifier(form) else { continue };
            if self.find_row(&identifier)? == Some(open.id) {
                self.delete(Keyspace::Index, self.house.index_row(&identifier));
            }
            let before = self.left(&identifier)?;
            let left = LeftForm {
                erased_at: leaving.at.ms(),
                restrained: open.core.restrained || before.is_some_and(|before| before.restrained),
            };
            self.put(Keyspace::House, self.house.left_row(&identifier), format::encode(&left));
        }
        for token in &open.core.tokens {
            self.delete(Keyspace::Index, House::token_row(&token.hash));
        }
        Ok(())
    }

    /// What waits to be sent to the person, and the way from a decision to them.
    fn erase_messages(&mut self, open: &Open) -> Result<(), VaultError> {
        let store = Arc::clone(&self.store);
        for row in store.scan(Keyspace::Decisions, open.id.as_bytes()) {
            let (key, sealed) = row?;
            let id = person::tail(&key);
            if let Ok(id) = <[u8; 16]>::try_from(id) {
                self.delete(Keyspace::Index, House::decision_row(&DecisionId::from_bytes(id)));
            }
            let Ok(plain) = open.open_own(self.house, RecordKind::Decision, id, &sealed) else { continue };
            let decision: DecisionForm = format::decode("decisions", &plain)?;
            if let Some(message) = &decision.message {
                self.delete_outbox(message);
            }
        }
        Ok(())
    }
}
