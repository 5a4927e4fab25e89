//! When the keys that wrap everybody's keys are rotated: at a fixed time of the night when a deleted key waits for it, and
//! otherwise every six days. A job of the pump asks; the vault does it in slices.
//!
//! Not here: what a rotation does (`vault`), and the one on demand (`command::key`).

use crate::pump::{Did, Job};
use model::{At, Clock};
use std::sync::Arc;
use std::time::Duration;
use vault::{Pending, Rotation, RotationState, Vault, VaultError};

/// After so many days the keys are rotated also when no deleted key waits: files are rewritten with it, and nothing that
/// expired lies in them for more than a week.
const AT_LEAST_EVERY_DAYS: i32 = 6;
/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How often a rotation under way is looked at.
const LOOK_UNDER_WAY: Duration = Duration::from_millis(200);
/// How long after a rotation that failed the next one is tried.
const REST: Duration = Duration::from_secs(10 * 60);
/// How long the vault is left alone with a rotation that an earlier process did not finish, in milliseconds.
const PATIENCE_MS: i64 = 10 * 60_000;

const MINUTE_MS: i64 = 60_000;
const MINUTES_PER_DAY: u32 = 24 * 60;

/// A time of the day in UTC, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    /// Ten past three: few people write, and the day before has been swept.
    pub const NIGHT: Self = Self(3 * 60 + 10);

    /// From `hour:minute`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two_digits = |part: &str| {
            (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok())
                .flatten()
        };
        let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
        let minutes = hour * 60 + minute;
        (minute < 60 && minutes < MINUTES_PER_DAY).then_some(Self(minutes))
    }

    /// The latest instant, up to now, at which it was this time.
    #[must_use]
    pub fn latest(self, now: At) -> At {
        let today = now.day().start().plus_ms(i64::from(self.0) * MINUTE_MS);
        if today <= now { today } else { today.plus_days(-1) }
    }
}

/// Whether it is time to rotate. `since` stands in for the last rotation where there was none. An instant that has not come
/// yet is a clock that was set back: then it is time.
#[must_use]
pub fn is_due(state: &RotationState, at: TimeOfDay, now: At, since: At) -> bool {
    let slot = at.latest(now);
    let waits = state.forgotten_at.is_some_and(|deleted| deleted < slot || deleted > now);
    let last = state.ended_at.unwrap_or(since);
    waits || last.plus_days(AT_LEAST_EVERY_DAYS) <= slot || last > now
}

/// Asks for a rotation when it is due. A failure is told and tried again, and does not make the house unready.
#[must_use]
pub fn rotating(vault: Vault, clock: Arc<dyn Clock>, at: TimeOfDay) -> Job {
    let since = clock.now();
    let mut asked: Option<Pending<Rotation>> = None;
    let mut unfinished_since: Option<At> = None;
    let step = move || {
        if let Some(answer) = asked.as_mut() {
            let Some(answer) = answer.try_now() else { return Ok(Did::NothingFor(LOOK_UNDER_WAY)) };
            asked = None;
            return Ok(told(answer));
        }
        let (state, now) = (vault.rotation(), clock.now());
        if state.is_under_way && *unfinished_since.get_or_insert(now) > now.plus_ms(-PATIENCE_MS) {
            return Ok(Did::NothingFor(LOOK));
        }
        unfinished_since = None;
        // What has ended is removed within the days that people were told, deleted keys or not.
        let is_pressing = vault.removal().is_ok_and(|removal| removal.is_pressing(at.latest(now)));
        if !is_due(&state, at, now, since) && !is_pressing {
            return Ok(Did::NothingFor(LOOK));
        }
        match vault.rotate() {
            Ok(pending) => asked = Some(pending),
            Err(error) => return Ok(told(Err(error))),
        }
        Ok(Did::NothingFor(LOOK_UNDER_WAY))
    };
    Job { name: "rotate", step: Box::new(step) }
}

fn told(answer: Result<Rotation, VaultError>) -> Did {
    let (outcome, did) = match answer {
        Ok(rotation) => {
            let (version, rows) = (rotation.version, rotation.n_rows);
            tracing::info!(version, rows, "rotated the keys: what was deleted before is unrecoverable here");
            ("done", Did::NothingFor(LOOK))
        }
        Err(VaultError::Closed) => return Did::Over,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the keys could not be rotated: tried again later"
            );
            ("failed", Did::NothingFor(REST))
        }
    };
    metrics::counter!("fineline_program_rotations_total", "outcome" => outcome).increment(1);
    did
}

#[cfg(test)]
mod tests;
