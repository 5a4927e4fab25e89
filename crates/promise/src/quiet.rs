//! Quiet hours: when a message may not leave. The one rule for whoever decides when to send and whoever sends.
//!
//! In the person's own time zone where they told us. A zone that nobody stated is a guess: then it is quiet when it is quiet
//! there or at the house. Who knows nothing, or a zone that no clock knows, has the house's.

use crate::Promise;
use crate::declaration::{CapPlan, Field};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::{At, Kind};

/// Names of the field that holds a person's time zone; the first one that is declared.
const ZONE_FIELDS: [&str; 3] = ["zone", "time_zone", "timezone"];

/// Most steps from one zone's quiet end to the other's.
const TURNS_MAX: usize = 8;

/// A person's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its IANA name.
    pub name: String,
    /// The person said so themselves.
    pub is_stated: bool,
}

/// Whether a field of this name holds time zones.
pub(crate) fn is_zone_field(name: &str) -> bool {
    ZONE_FIELDS.contains(&name)
}

/// Whether a text names a time zone that clocks know, such as "Europe/London".
#[must_use]
pub fn is_zone(text: &str) -> bool {
    TimeZone::get(text).is_ok()
}

impl Promise {
    /// The declared text field that holds a person's time zone: `zone`, `time_zone` or `timezone`.
    #[must_use]
    pub fn zone_field(&self) -> Option<&Field> {
        ZONE_FIELDS.iter().filter_map(|name| self.fields.get(*name)).find(|field| field.kind == Kind::Text)
    }
}

impl CapPlan {
    /// Whether there are quiet hours at all.
    #[must_use]
    pub const fn is_ever_quiet(&self) -> bool {
        self.quiet_from != self.quiet_until
    }

    /// The first instant from `now` on at which it is not quiet for this person; `None` when that is now. A guess that
    /// leaves no hour in common with the house counts alone.
    #[must_use]
    pub fn quiet_until(&self, house: &str, person: Option<&Zone>, now: At) -> Option<At> {
        let here = || TimeZone::get(house).unwrap_or(TimeZone::UTC);
        let Some(own) = person.and_then(|zone| TimeZone::get(&zone.name).ok()) else {
            return self.quiet_end(&here(), now);
        };
        if person.is_some_and(|zone| zone.is_stated) {
            return self.quiet_end(&own, now);
        }
        let zones = [here(), own.clone()];
        let mut at = now;
        for _ in 0..TURNS_MAX {
            match zones.iter().filter_map(|zone| self.quiet_end(zone, at)).max() {
                Some(end) => at = end,
                None => return (at != now).then_some(at),
            }
        }
        self.quiet_end(&own, now)
    }

    /// When the quiet hours that hold at an instant end in a zone; `None` when it is not quiet there.
    fn quiet_end(&self, zone: &TimeZone, at: At) -> Option<At> {
        let (from, until) = (self.quiet_from, self.quiet_until);
        let local = at.timestamp().to_zoned(zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
        let over_midnight = from > until;
        let is_quiet = if over_midnight { minute >= from || minute < until } else { minute >= from && minute < until };
        if !is_quiet {
            return None;
        }
        let today = local.date();
        let day = if over_midnight && minute >= from { today.tomorrow().ok()? } else { today };
        let end = instant(zone, day, until)?;
        // A clock that is set back at the end of the quiet hours must not hold a message twice.
        (end > at).then_some(end)
    }
}

fn instant(zone: &TimeZone, day: Date, minute: u16) -> Option<At> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let local = day.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
    Some(At::from_ms(zone.to_timestamp(local).ok()?.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NIGHT: CapPlan = CapPlan { at_most: 2, per_days: 7, quiet_from: 21 * 60, quiet_until: 8 * 60 };

    fn guess(name: &str) -> Option<Zone> {
        Some(Zone { name: name.to_owned(), is_stated: false })
    }

    fn stated(name: &str) -> Option<Zone> {
        Some(Zone { name: name.to_owned(), is_stated: true })
    }

    fn check(cap: &CapPlan, person: Option<Zone>, now: &str, expected: Option<&str>) {
        let at = |text: &str| At::parse(text).unwrap();
        let until = cap.quiet_until("Europe/London", person.as_ref(), at(now));
        assert_eq!(until, expected.map(at), "{now} {person:?}");
    }

    #[test]
    fn a_message_at_night_waits_for_the_morning() {
        check(&NIGHT, None, "2026-11-23T12:00:00Z", None);
        check(&NIGHT, None, "2026-11-23T20:59:59Z", None);
        check(&NIGHT, None, "2026-11-23T21:00:00Z", Some("2026-11-24T08:00:00Z"));
        check(&NIGHT, None, "2026-11-24T07:59:00Z", Some("2026-11-24T08:00:00Z"));
        check(&NIGHT, None, "2026-11-24T08:00:00Z", None);
        check(&NIGHT, None, "2026-07-01T20:30:00Z", Some("2026-07-02T07:00:00Z"));
    }

    #[test]
    fn a_stated_zone_is_no_guess() {
        check(&NIGHT, stated("Asia/Tokyo"), "2026-11-23T03:00:00Z", None);
        check(&NIGHT, stated("Asia/Tokyo"), "2026-11-23T12:00:00Z", Some("2026-11-23T23:00:00Z"));
        check(&NIGHT, stated("America/New_York"), "2026-11-23T22:30:00Z", None);
    }

    #[test]
    fn under_a_guessed_zone_it_is_quiet_when_it_is_quiet_in_either() {
        check(&NIGHT, guess("America/New_York"), "2026-11-23T12:00:00Z", Some("2026-11-23T13:00:00Z"));
        check(&NIGHT, guess("America/New_York"), "2026-11-23T22:00:00Z", Some("2026-11-24T13:00:00Z"));
        check(&NIGHT, guess("America/New_York"), "2026-11-23T15:00:00Z", None);
        check(&NIGHT, guess("Not/AZone"), "2026-11-23T12:00:00Z", None);
        check(&NIGHT, stated("Not/AZone"), "2026-11-23T22:00:00Z", Some("2026-11-24T08:00:00Z"));
    }

    #[test]
    fn a_guess_that_leaves_no_common_hour_counts_alone() {
        let long = CapPlan { quiet_from: 18 * 60, quiet_until: 14 * 60, ..NIGHT };
        check(&long, guess("Asia/Tokyo"), "2026-11-23T07:00:00Z", None);
        check(&long, guess("Asia/Tokyo"), "2026-11-23T12:00:00Z", Some("2026-11-24T05:00:00Z"));
    }

    #[test]
    fn quiet_hours_inside_one_day_and_none_at_all() {
        let noon = CapPlan { quiet_from: 12 * 60, quiet_until: 14 * 60, ..NIGHT };
        check(&noon, None, "2026-11-23T13:00:00Z", Some("2026-11-23T14:00:00Z"));
        check(&noon, None, "2026-11-23T22:00:00Z", None);
        check(&CapPlan { quiet_until: noon.quiet_from, ..noon }, None, "2026-11-23T12:00:00Z", None);
    }

    proptest! {
        #[test]
        fn what_leaves_leaves_outside_quiet_hours_and_never_earlier(
            ms in 1_600_000_000_000i64..1_900_000_000_000, east: bool, is_stated: bool,
        ) {
            let name = if east { "Asia/Tokyo" } else { "America/New_York" };
            let cap = CapPlan { quiet_from: 22 * 60, quiet_until: 6 * 60, ..NIGHT };
            let now = At::from_ms(ms);
            let zone = Zone { name: name.to_owned(), is_stated };
            let at = cap.quiet_until("Europe/London", Some(&zone), now).unwrap_or(now);
            prop_assert!(at >= now);
            let zones = if is_stated { vec![name] } else { vec!["Europe/London", name] };
            for zone in zones {
                let hour = at.timestamp().to_zoned(TimeZone::get(zone).unwrap()).hour();
                prop_assert!((6..22).contains(&hour), "{} {}", zone, hour);
            }
        }
    }
}
