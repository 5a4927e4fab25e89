//! An erasure as it stands, from facts alone: what the request says, whether a rotation has destroyed the keys since, and
//! how each recipient stands to it. Read by the portal (whoever has the request), the console (the calls that wait) and
//! `doctor` (those that wait too long).
//!
//! It knows nothing about the person: nothing here does any more. What the sentences say is `statement`'s.

use crate::VaultError;
use crate::commit::rotation_state;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::format::{EraseCallForm, RequestForm, ToldState};
use crate::house::House;
use crate::receipt;
use crate::record::{EraseCall, EraseCallId, ErasureView, RecipientTold, Told};
use crate::snapshot::Snapshot;
use crate::statement;
use model::{At, Day, RequestId};
use promise::RecipientPlan;

/// Within how many days a call to a recipient should have ended, whatever the recipient does.
pub const CALLS_WITHIN_DAYS: i32 = 7;

/// The name of the register's record of the relay, which is a setting and not in the promise.
pub const RELAY_RECORD: &str = "recipient/relay";

impl House {
    /// Who a recipient is, as people read it; its name when nobody says any more.
    pub(crate) fn who(&self, store: &dyn EngineSnapshot, recipient: &str) -> String {
        if let Some(plan) = self.household.promise.recipients.get(recipient) {
            return format!("{}, {}", plan.who, plan.place);
        }
        let record = (recipient == RecipientPlan::RELAY).then(|| self.house_record(store, RELAY_RECORD).ok().flatten());
        let record = record.flatten().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let who = record.as_ref().and_then(|record| record.get("who")?.as_str());
        match who {
            Some(who) => format!("The mail relay ({who})"),
            None if recipient == RecipientPlan::RELAY => "The mail relay".to_owned(),
            None => recipient.to_owned(),
        }
    }

    /// When the keys that an erasure deleted had been destroyed by a rotation.
    fn keys_destroyed_at(&self, request: &RequestForm) -> Option<At> {
        let state = rotation_state(self);
        let deleted_at = At::from_ms(request.undo_until.unwrap_or(request.at));
        let is_covered = state.forgotten_at.is_none_or(|waits_since| waits_since > deleted_at);
        state.ended_at.filter(|ended_at| *ended_at >= deleted_at && is_covered)
    }

    fn call(&self, form: EraseCallForm) -> EraseCall {
        let request = RequestId::from_bytes(*form.request);
        let token = self.blind("erase call", &format!("{request}\n{}", form.recipient));
        EraseCall {
            wire_id: format!("call_{}", model::id::base32(token.first_chunk::<16>().unwrap_or(&[0; 16]))),
            id: EraseCallId { request, recipient: form.recipient },
            reference: form.reference,
            asked_at: At::from_ms(form.asked_at),
            due_at: At::from_ms(form.due_at),
            n_tries: form.n_tries,
            why: form.why,
        }
    }
}

impl Snapshot {
    /// An erasure as it stands now, signed. `None` when there is no such request on record.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn erasure(&self, request: RequestId) -> Result<Option<ErasureView>, VaultError> {
        let Some(form) = self.house.request(self.store(), &request)? else { return Ok(None) };
        let now = self.now();
        let told = form.told.iter().flatten().map(|told| RecipientTold {
            recipient: told.recipient.clone(),
            who: self.house.who(self.store(), &told.recipient),
            state: match told.state {
                ToldState::Waiting => Told::Waiting,
                ToldState::Told => Told::Told,
                ToldState::Confirmed => Told::Confirmed,
                ToldState::Impossible => Told::Impossible,
            },
            why: told.why.clone(),
            at: At::from_ms(told.at),
            n_tries: told.n_tries,
        });
        let taken_back_at = form.taken_back_at.map(At::from_ms);
        let mut view = ErasureView {
            request,
            asked_at: At::from_ms(form.at),
            undo_until: form.undo_until.map(At::from_ms).filter(|until| now < *until && taken_back_at.is_none()),
            taken_back_at,
            unrecoverable_on: Day::from_number(form.unrecoverable_on),
            keys_destroyed_at: self.house.keys_destroyed_at(&form).filter(|_| taken_back_at.is_none()),
            recipients: told.collect(),
            says: Vec::new(),
            receipt: String::new(),
        };
        view.says = statement::erasure_state_says(&view);
        view.receipt = receipt::sign(&self.house.keys.receipt, &statement::of_erasure_state(&self.house, &view, now)?)?;
        Ok(Some(view))
    }

    /// Calls to recipients that have not ended, the one that is due first at the beginning, at most `limit`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn erase_calls(&self, limit: usize) -> Result<Vec<EraseCall>, VaultError> {
        let mut calls = Vec::new();
        for row in self.store().scan(Keyspace::House, House::CALLS) {
            let (key, _) = row?;
            calls.extend(self.house.erase_call(self.store(), &key)?.map(|form| self.house.call(form)));
        }
        calls.sort_by(|a, b| (a.due_at, &a.wire_id).cmp(&(b.due_at, &b.wire_id)));
        calls.truncate(limit);
        Ok(calls)
    }

    /// How many calls to recipients wait longer than [`CALLS_WITHIN_DAYS`] after they could have been made.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn n_erase_calls_overdue(&self) -> Result<usize, VaultError> {
        // A day in which the erasure could be taken back is not the recipient's.
        let oldest = self.now().plus_days(-(CALLS_WITHIN_DAYS + 1));
        Ok(self.erase_calls(usize::MAX)?.iter().filter(|call| call.asked_at < oldest).count())
    }
}
