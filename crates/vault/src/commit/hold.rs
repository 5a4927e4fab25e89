//! Legal holds: data of one person that must not be deleted until a day, and serves nothing else meanwhile. Placed and lifted
//! by staff who give a reason; shown to the person; over by itself.
//!
//! What a hold closes is judged elsewhere (`promise::judge`, at read time); what it keeps, the sweep leaves.

use super::batch::Batch;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, EventForm, HoldForm};
use crate::person::{self, Open};
use crate::record::{HoldOrder, HoldView};
use model::{Day, ProfileId};
use promise::{Refusal, RefusalReason};
use std::sync::Arc;

/// Longest hold, in days: what takes longer is looked at again every two years.
pub const HOLD_DAYS_MAX: i32 = 730;
/// Most holds on one person at a time.
const HOLDS_MAX: usize = 20;
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;

impl Batch<'_> {
    pub(crate) fn hold(&mut self, order: &HoldOrder) -> Result<Result<HoldView, Refusal>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let is_declared = |name: &String| {
            promise.fields.keys().any(|field| field.as_str() == name)
                || promise.events.keys().any(|event| event.as_str() == name)
        };
        let today = self.now.day();
        let fits = order.until > today
            && order.until.since(today) <= HOLD_DAYS_MAX
            && !order.reason.trim().is_empty()
            && order.names.iter().all(is_declared);
        if !fits {
            return Ok(Err(Refusal::because(RefusalReason::NotInTerms)));
        }
        let held = self.with(&order.person, |batch, open| {
            let holds = open.core.holds.get_or_insert_default();
            holds.retain(|hold| Day::from_number(hold.until) > today);
            if holds.len() >= HOLDS_MAX {
                return Ok(Err(Refusal::because(RefusalReason::NotInTerms)));
            }
            let form = HoldForm {
                id: batch.house.rng().bytes::<16>().into(),
                names: order.names.iter().cloned().collect(),
                reason: order.reason.chars().take(REASON_CHARS_MAX).collect(),
                staff: order.staff.clone(),
                at: batch.now.ms(),
                until: order.until.number(),
            };
            let view = HoldView::of(&form);
            holds.push(form);
            // Whoever decided something of them has to ask again.
            open.core.consent_seq = open.core.consent_seq.saturating_add(1);
            open.folded = true;
            batch.keep_held(open)?;
            batch.leaf("hold", &*open.core.holds.iter().flatten().last().map(|form| form.id).unwrap_or([0; 16].into()));
            Ok(Ok(view))
        })?;
        Ok(held.unwrap_or(Err(Refusal::because(RefusalReason::NoSuchPerson))))
    }

    /// Takes what is held out of the reach of the day secrets, which end for everybody at once: each event is sealed anew under
    /// the person's own key of its class.
    pub(crate) fn keep_held(&mut self, open: &mut Open) -> Result<(), VaultError> {
        let Some(held) = open.core.held(self.now) else { return Ok(()) };
        let (house, store) = (self.house, Arc::clone(&self.store));
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, row) = row?;
            let Some(stored) = open.open_event(house, &key, &row)? else { continue };
            if held.covers(stored.event.name.as_str()) && person::has_day(&row) {
                let plain = format::encode(&EventForm::of(&stored.event, &stored.not_for));
                let sealed = open.seal_event_for_itself(house, stored.class, &plain, &key)?;
                self.change(Keyspace::Events, key, Some(sealed), Some(Some(row)));
            }
        }
        Ok(())
    }

    /// Ends a hold before its day; whether there was one.
    pub(crate) fn lift_hold(&mut self, person: &ProfileId, id: [u8; 16]) -> Result<bool, VaultError> {
        let lifted = self.with(person, |batch, open| {
            let holds = open.core.holds.get_or_insert_default();
            let n_holds = holds.len();
            holds.retain(|hold| *hold.id != id);
            let is_lifted = holds.len() < n_holds;
            if is_lifted {
                open.core.consent_seq = open.core.consent_seq.saturating_add(1);
                open.folded = true;
                batch.leaf("hold", &id);
            }
            Ok(is_lifted)
        })?;
        Ok(lifted.unwrap_or(false))
    }
}

impl HoldView {
    pub(crate) fn of(form: &HoldForm) -> Self {
        Self {
            id: format!("hold_{}", model::id::base32(&*form.id)),
            names: form.names.clone(),
            reason: form.reason.clone(),
            staff: form.staff.clone(),
            at: model::At::from_ms(form.at),
            until: Day::from_number(form.until),
        }
    }

    /// Reads an id back.
    #[must_use]
    pub fn parse_id(text: &str) -> Option<[u8; 16]> {
        model::id::from_base32(text.strip_prefix("hold_")?)
    }
}
