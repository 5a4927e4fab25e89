//! Instants and days. Time is a parameter: only the program makes a clock.

use std::fmt;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// An instant, UTC, in milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(i64);

impl At {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// The UTC day that this instant lies in.
    #[must_use]
    pub fn day(self) -> Day {
        Day(i32::try_from(self.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }

    /// Later by some milliseconds (earlier when negative), saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Later by whole days.
    #[must_use]
    pub const fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days as i64 * DAY_MS))
    }

    /// As a jiff timestamp, for formatting and zones.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// Reads RFC 3339 ("2026-11-23T17:32:00Z").
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A UTC day, counted from 1970-01-01. Expiry, windows and notices turn over here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// From a count of days since 1970-01-01.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Midnight UTC at which it begins.
    #[must_use]
    pub const fn start(self) -> At {
        At(self.0 as i64 * DAY_MS)
    }

    /// Later by whole days, saturating.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Whole days from `earlier` to here.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads "2026-11-23".
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let epoch = jiff::civil::date(1970, 1, 1);
        let span = date.since((jiff::Unit::Day, epoch)).ok()?;
        Some(Self(span.get_days()))
    }

    /// As a calendar date.
    #[must_use]
    pub fn date(self) -> jiff::civil::Date {
        self.start().timestamp().to_zoned(jiff::tz::TimeZone::UTC).date()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.date(), f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where "now" comes from. The program passes the system's; tests move their own.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> At;

    /// Time since some fixed moment, never going back: for measuring how long work takes, never for decisions. A clock
    /// that stands still measures nothing.
    fn ticks(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// A clock that stands still until it is moved: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock(std::sync::atomic::AtomicI64);

impl ManualClock {
    /// Starts at an instant.
    #[must_use]
    pub const fn new(at: At) -> Self {
        Self(std::sync::atomic::AtomicI64::new(at.0))
    }

    /// Moves to an instant.
    pub fn set(&self, at: At) {
        self.0.store(at.0, std::sync::atomic::Ordering::SeqCst);
    }

    /// Moves forward by whole days.
    pub fn advance_days(&self, days: i32) {
        self.0.fetch_add(i64::from(days) * DAY_MS, std::sync::atomic::Ordering::SeqCst);
    }

    /// Moves forward by milliseconds.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> At {
        At(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_turn_over_at_utc_midnight_also_before_1970() {
        assert_eq!(At::from_ms(-1).day().number(), -1);
        assert_eq!(At::from_ms(DAY_MS - 1).day().number(), 0);
        assert_eq!(At::from_ms(DAY_MS).day().number(), 1);
    }

    #[test]
    fn a_day_reads_back_what_it_shows() {
        for text in ["1970-01-01", "2009-12-01", "2011-12-09", "2026-11-23", "1969-12-31"] {
            assert_eq!(Day::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Day::parse("2011-02-30"), None);
    }
}
