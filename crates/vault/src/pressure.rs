//! Contact pressure: the one cap over everything, the person's own limit under it, and the zone for the quiet hours.
//!
//! It sends nothing and chooses nothing; it says whether there is room now, and when next.

use crate::VaultError;
use crate::engine::EngineSnapshot;
use crate::format::{Bytes16, ContactForm, CoreForm};
use crate::house::House;
use crate::person::Open;
use crate::state::Reach;
use model::{At, FactName, Provenance, Value};
use promise::{CapPlan, Zone};
use std::sync::Arc;

impl House {
    /// Whether one more message fits; if not, when one does (`None` = as long as the person's limit is nought).
    pub(crate) fn contact_room(&self, core: &CoreForm, now: At) -> Result<(), Option<At>> {
        let contacts = core.contacts.iter().map(|contact| At::from_ms(contact.at));
        room(&self.household.promise.cap, core.at_most, contacts, now)
    }

    /// The same for a person in memory.
    pub(crate) fn has_room(&self, reach: &Reach, now: At) -> bool {
        room(&self.household.promise.cap, reach.at_most, reach.contacts.iter().copied(), now).is_ok()
    }

    /// When quiet hours end for this person, if they hold now.
    pub(crate) fn quiet_until(
        &self,
        open: &mut Open,
        rows: &dyn EngineSnapshot,
        now: At,
    ) -> Result<Option<At>, VaultError> {
        let zone = self.zone(open, rows, now)?;
        let promise = &self.household.promise;
        Ok(promise.cap.quiet_until(&promise.zone, zone.as_ref(), now))
    }

    /// The person's zone, if a declared field tells it and it may still be kept. Stated is what the person wrote into a field
    /// of theirs; whatever came along with an event is a guess.
    pub(crate) fn zone(&self, open: &mut Open, rows: &dyn EngineSnapshot, now: At) -> Result<Option<Zone>, VaultError> {
        let promise = Arc::clone(&self.household.promise);
        let Some(field) = promise.zone_field() else { return Ok(None) };
        let Some(fact) = self.stored_fact(open, rows, &FactName::Field(field.name.clone()))? else { return Ok(None) };
        if fact.expires_at <= now {
            return Ok(None);
        }
        let is_stated = field.stated && matches!(fact.provenance, Provenance::Provided { .. });
        match fact.value {
            Value::Text(name) => Ok(Some(Zone { name, is_stated })),
            _ => Ok(None),
        }
    }
}

/// An attempt counts under the cap from its beginning.
pub(crate) fn begin_attempt(core: &mut CoreForm, message: Bytes16, now: At) {
    core.contacts.push(ContactForm { message, at: now.ms(), sent: false });
}

/// What was sent, or may have been, stays under the cap until it leaves the window.
pub(crate) fn count_for_good(core: &mut CoreForm, message: &Bytes16) {
    if let Some(contact) = core.contacts.iter_mut().find(|contact| contact.message == *message) {
        contact.sent = true;
    }
}

/// An attempt that did not send counts for no cap.
pub(crate) fn forget_attempt(core: &mut CoreForm, message: &Bytes16) {
    core.contacts.retain(|contact| contact.sent || contact.message != *message);
}

/// Whether one more message fits under the company's limit and the person's own; if not, when one does.
pub(crate) fn room(
    cap: &CapPlan,
    own: Option<u32>,
    contacts: impl Iterator<Item = At>,
    now: At,
) -> Result<(), Option<At>> {
    let at_most = usize::try_from(own.unwrap_or(cap.at_most).min(cap.at_most)).unwrap_or(usize::MAX);
    let window = now.plus_days(cap.per_days.saturating_neg());
    let mut inside: Vec<At> = contacts.filter(|at| *at > window).collect();
    if inside.len() < at_most {
        return Ok(());
    }
    inside.sort_unstable();
    // There is room again once all but `at_most - 1` have left the window.
    let leaves = if at_most == 0 { None } else { inside.get(inside.len().saturating_sub(at_most)) };
    Err(leaves.map(|at| at.plus_days(cap.per_days)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: CapPlan = CapPlan { at_most: 2, per_days: 7, quiet_from: 21 * 60, quiet_until: 8 * 60 };

    fn at(text: &str) -> At {
        At::parse(text).unwrap()
    }

    #[test]
    fn the_smaller_of_two_limits_holds_and_room_comes_back_when_a_message_leaves_the_window() {
        let now = at("2026-01-10T12:00:00Z");
        let sent = [at("2026-01-05T12:00:00Z"), at("2026-01-09T12:00:00Z")];
        let full = room(&CAP, None, sent.into_iter(), now);
        assert_eq!(full, Err(Some(at("2026-01-12T12:00:00Z"))));
        assert_eq!(room(&CAP, Some(1), sent.into_iter(), now), Err(Some(at("2026-01-16T12:00:00Z"))));
        assert_eq!(room(&CAP, Some(9), sent.into_iter(), now), full, "one's own limit cannot raise the company's");
        assert_eq!(room(&CAP, Some(0), std::iter::empty(), now), Err(None));
        assert_eq!(room(&CAP, None, sent.into_iter().take(1), now), Ok(()));
    }
}
