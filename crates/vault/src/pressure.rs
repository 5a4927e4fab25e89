//! Contact pressure: the one cap over everything, the person's own limit under it, and quiet hours in the person's zone.
//!
//! It sends nothing and chooses nothing; it says whether there is room now, and when next.

use crate::VaultError;
use crate::engine::EngineSnapshot;
use crate::format::CoreForm;
use crate::house::House;
use crate::person::Open;
use crate::state::Reach;
use model::{At, DAY_MS, FactName, FieldName, Provenance, Value};
use promise::CapPlan;
use std::sync::Arc;

/// Fields that hold a person's time zone, if the promise declares one of them.
const ZONE_FIELDS: [&str; 3] = ["zone", "time_zone", "timezone"];

/// A time zone and whether the person said so.
pub(crate) struct Zone {
    pub name: String,
    pub is_stated: bool,
}

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

    /// When quiet hours end, if they hold now. A guessed zone is quiet when either that zone or the house's is.
    pub(crate) fn quiet_until(
        &self,
        open: &mut Open,
        rows: &dyn EngineSnapshot,
        now: At,
    ) -> Result<Option<At>, VaultError> {
        let promise = Arc::clone(&self.household.promise);
        let zone = self.zone(open, rows, now)?;
        let house = quiet_end(&promise.cap, &promise.zone, now);
        Ok(match zone {
            Some(zone) if zone.is_stated => quiet_end(&promise.cap, &zone.name, now),
            Some(zone) => quiet_end(&promise.cap, &zone.name, now).max(house),
            None => house,
        })
    }

    /// The person's zone, if a declared field tells it and it may still be kept.
    pub(crate) fn zone(&self, open: &mut Open, rows: &dyn EngineSnapshot, now: At) -> Result<Option<Zone>, VaultError> {
        let promise = Arc::clone(&self.household.promise);
        for name in ZONE_FIELDS.iter().filter_map(|name| FieldName::parse(name).ok()) {
            let Some(field) = promise.fields.get(&name) else { continue };
            let record = open.class(self, rows, field.retention.id())?;
            let name = FactName::Field(name);
            let Some(form) = record.facts.iter().find(|form| form.is(&name)) else { continue };
            let fact = form.fact()?;
            if crate::retention::of_stored(&promise, &open.core, &fact) <= now {
                continue;
            }
            let is_stated = matches!(fact.provenance, Provenance::Provided { .. });
            if let Value::Text(name) = fact.value {
                return Ok(Some(Zone { name, is_stated }));
            }
        }
        Ok(None)
    }
}

fn room(cap: &CapPlan, own: Option<u32>, contacts: impl Iterator<Item = At>, now: At) -> Result<(), Option<At>> {
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

/// The end of the quiet hours that hold at an instant in a zone; an unknown zone has the clock of UTC.
fn quiet_end(cap: &CapPlan, zone: &str, now: At) -> Option<At> {
    let (from, until) = (cap.quiet_from, cap.quiet_until);
    if from == until {
        return None;
    }
    let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let here = now.timestamp().to_zoned(zone.clone());
    let minute = u16::try_from(i32::from(here.hour()) * 60 + i32::from(here.minute())).unwrap_or(0);
    let is_quiet = if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until };
    if !is_quiet {
        return None;
    }
    let ends_tomorrow = from > until && minute >= from;
    let date = if ends_tomorrow { here.date().tomorrow().unwrap_or(here.date()) } else { here.date() };
    let (hour, minute) = (i8::try_from(until / 60).unwrap_or(0), i8::try_from(until % 60).unwrap_or(0));
    let end = date.at(hour, minute, 0, 0).to_zoned(zone).ok().map(|end| At::from_ms(end.timestamp().as_millisecond()));
    Some(end.unwrap_or(now.plus_ms(DAY_MS / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: CapPlan = CapPlan { at_most: 2, per_days: 7, quiet_from: 21 * 60, quiet_until: 8 * 60 };

    fn at(text: &str) -> At {
        At::parse(text).unwrap()
    }

    #[test]
    fn quiet_hours_hold_in_the_zone_and_end_there() {
        let winter = at("2026-01-10T22:30:00Z");
        assert_eq!(quiet_end(&CAP, "Europe/London", winter), Some(at("2026-01-11T08:00:00Z")));
        assert_eq!(quiet_end(&CAP, "Asia/Tokyo", winter), Some(at("2026-01-10T23:00:00Z")));
        assert_eq!(quiet_end(&CAP, "America/New_York", winter), None);
        assert_eq!(quiet_end(&CAP, "Europe/London", at("2026-07-10T20:00:00Z")), Some(at("2026-07-11T07:00:00Z")));
        assert_eq!(quiet_end(&CapPlan { quiet_until: 21 * 60, ..CAP }, "Europe/London", winter), None);
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
