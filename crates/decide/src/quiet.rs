//! Quiet hours: when a message may not leave. By the person's own zone and the house's; a zone that the person did not
//! state is a guess, and under a guess it is quiet when it is quiet in either.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::At;
use promise::CapPlan;

/// Most steps from one zone's quiet end to the other's; two zones that leave no common hour end the search.
const TURNS_MAX: usize = 8;

/// The first instant from `now` on at which it is quiet nowhere; `None` when that is now.
#[must_use]
pub fn send_at(cap: &CapPlan, house_zone: &str, person_zone: Option<&str>, now: At) -> Option<At> {
    if cap.quiet_from == cap.quiet_until {
        return None;
    }
    let zones: Vec<TimeZone> =
        std::iter::once(house_zone).chain(person_zone).filter_map(|zone| TimeZone::get(zone).ok()).collect();
    let mut at = now;
    for _ in 0..TURNS_MAX {
        match zones.iter().filter_map(|zone| quiet_end(cap, zone, at)).max() {
            Some(end) => at = end,
            None => break,
        }
    }
    (at != now).then_some(at)
}

/// When the quiet hours that hold at an instant end in a zone; `None` when it is not quiet there.
fn quiet_end(cap: &CapPlan, zone: &TimeZone, at: At) -> Option<At> {
    let local = at.timestamp().to_zoned(zone.clone());
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
    let (from, until) = (cap.quiet_from, cap.quiet_until);
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

fn instant(zone: &TimeZone, day: Date, minute: u16) -> Option<At> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let local = day.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
    let timestamp: Timestamp = zone.to_timestamp(local).ok()?;
    Some(At::from_ms(timestamp.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NIGHT: CapPlan = CapPlan { at_most: 2, per_days: 7, quiet_from: 21 * 60, quiet_until: 8 * 60 };

    fn check(cap: &CapPlan, person: Option<&str>, now: &str, expected: Option<&str>) {
        let at = |text: &str| At::parse(text).unwrap();
        assert_eq!(send_at(cap, "Europe/London", person, at(now)), expected.map(at), "{now} {person:?}");
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
    fn under_a_guessed_zone_it_is_quiet_when_it_is_quiet_in_either() {
        check(&NIGHT, Some("America/New_York"), "2026-11-23T12:00:00Z", Some("2026-11-23T13:00:00Z"));
        check(&NIGHT, Some("America/New_York"), "2026-11-23T22:00:00Z", Some("2026-11-24T13:00:00Z"));
        check(&NIGHT, Some("America/New_York"), "2026-11-23T15:00:00Z", None);
        check(&NIGHT, Some("Not/AZone"), "2026-11-23T12:00:00Z", None);
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
        fn what_leaves_leaves_outside_quiet_hours_and_never_earlier(ms in 1_600_000_000_000i64..1_900_000_000_000, east: bool) {
            let zone = if east { "Asia/Tokyo" } else { "America/New_York" };
            let cap = CapPlan { quiet_from: 22 * 60, quiet_until: 6 * 60, ..NIGHT };
            let now = At::from_ms(ms);
            let at = send_at(&cap, "Europe/London", Some(zone), now).unwrap_or(now);
            prop_assert!(at >= now);
            for zone in ["Europe/London", zone] {
                let hour = at.timestamp().to_zoned(TimeZone::get(zone).unwrap()).hour();
                prop_assert!((6..22).contains(&hour), "{} {}", zone, hour);
            }
        }
    }
}
