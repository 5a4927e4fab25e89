//! Who else got something about a person, and the calls that tell them when the person is erased. Everything that leaves to
//! anybody passes one record, by mail ([`note_mailed`]) or otherwise ([`Batch::hand_on`]), and nothing is handed to anybody
//! whom the promise does not declare.
//!
//! A call carries nothing of the person but the reference by which its recipient knows them, made for that recipient alone.
//! It is made again until it ends in one state, which stays with the request; then the reference goes.
//!
//! It opens no socket (`deliver` does).

use super::batch::Batch;
use super::erase::Leaving;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, CoreForm, EraseCallForm, GivenForm, ToldForm, ToldState};
use crate::house::House;
use crate::person::{Open, Rows};
use crate::record::{EraseCallEnd, EraseCallId, Erasure, HandOn, NotHandedOn};
use crate::seal::RecordKind;
use model::{At, ProfileId, RequestId};
use promise::RecipientPlan;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Entries kept per person; the oldest go first.
const GIVEN_MAX: usize = 200;

/// What the mail relay gets, in words.
const BY_MAIL: [&str; 2] = ["your e-mail address", "the mails we sent you"];

/// Why nobody can be told: what the relay got is in a mailbox.
const LEFT_OUR_HANDS: &str = "left_our_hands";
/// Why nobody can be told: the promise names no address for it.
const NO_ADDRESS: &str = "no_address";

/// Notes that a recipient got something.
fn note_given(core: &mut CoreForm, recipient: &str, what: &[String], at: At) {
    let given = core.given.get_or_insert_default();
    match given.iter_mut().find(|known| known.recipient == recipient && known.what == what) {
        Some(known) => {
            known.n = known.n.saturating_add(1);
            known.last_at = at.ms();
        }
        None => given.push(GivenForm {
            recipient: recipient.to_owned(),
            what: what.to_vec(),
            first_at: at.ms(),
            last_at: at.ms(),
            n: 1,
        }),
    }
    let surplus = given.len().saturating_sub(GIVEN_MAX);
    given.drain(..surplus);
}

/// Notes that the relay got a mail, or may have.
pub(super) fn note_mailed(core: &mut CoreForm, at: At) {
    note_given(core, RecipientPlan::RELAY, &BY_MAIL.map(str::to_owned), at);
}

impl Batch<'_> {
    /// The right to hand something about a person to a recipient, written down before it leaves: the reference by which that
    /// recipient knows the person.
    pub(crate) fn hand_on(&mut self, new: &HandOn) -> Result<Result<String, NotHandedOn>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let Some(plan) = promise.recipients.get(&new.recipient) else { return Ok(Err(NotHandedOn::NotARecipient)) };
        if !plan.is_in_force(self.now.day()) {
            return Ok(Err(NotHandedOn::Ended));
        }
        if new.what.is_empty() || new.what.iter().any(|what| !plan.what.contains(what)) {
            return Ok(Err(NotHandedOn::NotDeclared));
        }
        let handed = self.with(&new.person, |batch, open| {
            if open.core.restrained {
                return Ok(Err(NotHandedOn::Nobody));
            }
            note_given(&mut open.core, plan.name.as_str(), &new.what, batch.now);
            batch.leaf("handed_on", plan.name.as_str().as_bytes());
            Ok(Ok(batch.house.reference(plan.name.as_str(), &open.id)))
        })?;
        Ok(handed.unwrap_or(Err(NotHandedOn::Nobody)))
    }

    /// Makes the calls of an erasure; how each recipient stands to it.
    pub(super) fn call_recipients(
        &mut self,
        open: &Open,
        is_mailed: bool,
        leaving: &Leaving,
    ) -> Result<Vec<ToldForm>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let given = open.core.given.iter().flatten().map(|given| given.recipient.as_str());
        let names: BTreeSet<&str> = given.chain(is_mailed.then_some(RecipientPlan::RELAY)).collect();
        let mut told = Vec::new();
        for name in names {
            let why = match promise.recipients.get(name) {
                Some(plan) if plan.erase.is_some() => None,
                Some(_) => Some(NO_ADDRESS),
                None if name == RecipientPlan::RELAY => Some(LEFT_OUR_HANDS),
                None => Some(EraseCallEnd::NOT_REGISTERED),
            };
            if why.is_none() {
                let due_at = match leaving.how {
                    Erasure::Now => leaving.at,
                    // As long as it can be undone here, nobody else is made to forget.
                    Erasure::WithinADay => leaving.at.plus_days(1),
                };
                self.put_call(&EraseCallForm {
                    request: (*leaving.request.as_bytes()).into(),
                    recipient: name.to_owned(),
                    reference: self.house.reference(name, &open.id),
                    asked_at: leaving.at.ms(),
                    due_at: due_at.ms(),
                    n_tries: 0,
                    why: None,
                })?;
            }
            let state = if why.is_some() { ToldState::Impossible } else { ToldState::Waiting };
            let (recipient, why) = (name.to_owned(), why.map(str::to_owned));
            told.push(ToldForm { recipient, state, why, at: leaving.at.ms(), n_tries: 0 });
        }
        Ok(told)
    }

    /// What is known of the recipients of an erasure that is asked for again; its calls wait for nothing any more.
    pub(super) fn hurry_calls(&mut self, leaving: &Leaving) -> Result<Option<Vec<ToldForm>>, VaultError> {
        for mut call in self.calls_of(&leaving.request)? {
            if leaving.how == Erasure::Now && call.n_tries == 0 {
                call.due_at = call.due_at.min(self.now.ms());
                self.put_call(&call)?;
            }
        }
        Ok(self.house.request(self, &leaving.request)?.and_then(|request| request.told))
    }

    /// Takes the calls of an erasure away: it was taken back.
    pub(super) fn drop_calls(&mut self, request: &RequestId) -> Result<(), VaultError> {
        for call in self.calls_of(request)? {
            self.delete(Keyspace::House, House::call_row(request, &call.recipient));
        }
        Ok(())
    }

    fn calls_of(&self, request: &RequestId) -> Result<Vec<EraseCallForm>, VaultError> {
        let prefix = House::call_row(request, "");
        let mut calls = Vec::new();
        for row in self.store.scan(Keyspace::House, &prefix) {
            let (key, _) = row?;
            calls.extend(self.house.erase_call(self, &key)?);
        }
        Ok(calls)
    }

    fn put_call(&mut self, call: &EraseCallForm) -> Result<(), VaultError> {
        let key = House::call_row(&RequestId::from_bytes(*call.request), &call.recipient);
        self.put_house(RecordKind::EraseCall, key, &format::encode(call))
    }

    /// Writes back how a try ended. False when there is no such call any more.
    pub(crate) fn finish_call(&mut self, id: &EraseCallId, end: &EraseCallEnd) -> Result<bool, VaultError> {
        let key = House::call_row(&id.request, &id.recipient);
        let Some(mut call) = self.house.erase_call(self, &key)? else { return Ok(false) };
        call.n_tries = call.n_tries.saturating_add(1);
        let (state, why) = match end {
            EraseCallEnd::Told => (ToldState::Told, None),
            EraseCallEnd::Confirmed => (ToldState::Confirmed, None),
            EraseCallEnd::Impossible { why } => (ToldState::Impossible, Some((*why).to_owned())),
            EraseCallEnd::Later { why, at } => {
                (call.due_at, call.why) = (at.ms(), Some((*why).to_owned()));
                (ToldState::Waiting, call.why.clone())
            }
        };
        if state == ToldState::Waiting {
            self.put_call(&call)?;
        } else {
            self.delete(Keyspace::House, key);
            self.leaf("recipient", format!("{}\n{}", id.request, id.recipient).as_bytes());
        }
        let Some(mut request) = self.house.request(self, &id.request)? else { return Ok(true) };
        for told in request.told.iter_mut().flatten().filter(|told| told.recipient == id.recipient) {
            told.why.clone_from(&why);
            (told.state, told.at, told.n_tries) = (state, self.now.ms(), call.n_tries);
        }
        self.put_house(RecordKind::Request, House::request_row(&id.request), &format::encode(&request))?;
        Ok(true)
    }
}

impl House {
    /// What a recipient knows a person by: another one for each, so that two of them cannot compare.
    pub(crate) fn reference(&self, recipient: &str, person: &ProfileId) -> String {
        let token = self.blind("recipient", &format!("{recipient}\n{person}"));
        format!("ref_{}", model::id::base32(token.first_chunk::<16>().unwrap_or(&[0; 16])))
    }

    /// A call that has to be made.
    pub(crate) fn erase_call(
        &self,
        rows: &(impl Rows + ?Sized),
        key: &[u8],
    ) -> Result<Option<EraseCallForm>, VaultError> {
        let Some(sealed) = rows.get(Keyspace::House, key)? else { return Ok(None) };
        format::decode("house", &self.open_house(RecordKind::EraseCall, key, &sealed)?).map(Some)
    }
}
