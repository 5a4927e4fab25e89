//! Whether the clock was set: by how much it moved beside a clock that nobody can set, and, at a start, beside what was noted
//! before. What deletes by date waits then, until the program is started again: a clock that is wrong by ten years must not
//! make ten years of deletions. What people see follows the clock all the same: expiry is true at read time.
//!
//! It sets nothing right itself.

use crate::pump::{Did, Job};
use crate::readiness::{NotReady, Readiness};
use model::{At, Clock, DAY_MS};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vault::{Vault, VaultError};

/// A step of more than this is one, in milliseconds.
const STEP_MS: i64 = 60_000;

/// A house that was closed for longer than this starts with a clock that nobody can vouch for, in milliseconds.
const CLOSED_MS_MAX: i64 = 45 * DAY_MS;

/// How often it is looked at, and how often noted.
const LOOK: Duration = Duration::from_secs(1);
const NOTE_MS: i64 = 3_600_000;

/// Records of the house: the latest instant that was noted, and one that was too strange to be.
const SEEN: &str = "clock/seen";
const DOUBTED: &str = "clock/doubted";

/// Both clocks at one look.
#[derive(Debug, Clone, Copy)]
struct Look {
    now: At,
    ticks: Duration,
}

/// By how much the clock was set between two looks, in milliseconds; nothing below a minute, and nothing for a clock without
/// ticks, which is moved by hand.
fn step(before: Look, after: Look) -> Option<i64> {
    let ticked = after.ticks.checked_sub(before.ticks).filter(|ticked| !ticked.is_zero())?;
    let went = after.now.ms().saturating_sub(before.now.ms());
    let step = went.saturating_sub(i64::try_from(ticked.as_millis()).unwrap_or(i64::MAX));
    (step.saturating_abs() > STEP_MS).then_some(step)
}

/// Whether an instant at a start can be believed, after what was noted, and what was doubted at the start before.
fn is_believed(now: At, seen: Option<At>, doubted: Option<At>) -> bool {
    let Some(seen) = seen else { return true };
    let is_near = |other: At, ms: i64| now.ms().saturating_sub(other.ms()).saturating_abs() <= ms;
    let goes_on = now.ms() >= seen.ms().saturating_sub(STEP_MS) && is_near(seen, CLOSED_MS_MAX);
    // Somebody started it a second time, about as late: then it is so.
    goes_on || doubted.is_some_and(|doubted| is_near(doubted, 7 * DAY_MS))
}

/// Whether the clock was found to be right once since the start: before that nothing is deleted either.
#[derive(Debug, Default)]
pub struct Vouched(AtomicBool);

/// The job that looks.
#[must_use]
pub fn watching(vault: Vault, clock: Arc<dyn Clock>, ready: Arc<Readiness>, vouched: Arc<Vouched>) -> Job {
    let mut last: Option<Look> = None;
    let mut noted: Option<At> = None;
    let look = move || {
        let after = Look { now: clock.now(), ticks: clock.ticks() };
        let Some(before) = last.replace(after) else { return Ok(Did::NothingFor(LOOK)) };
        if before.ticks == after.ticks {
            vouched.0.store(true, Ordering::SeqCst);
            return Ok(Did::NothingFor(LOOK));
        }
        if let Some(ms) = step(before, after) {
            tracing::error!(
                seconds = ms / 1_000,
                "the clock was set: nothing is deleted until the program is started again"
            );
            ready.set(NotReady::ClockStepped, true);
        }
        if ready.holds(NotReady::ClockStepped) || noted.is_some_and(|at| after.now.ms() - at.ms() < NOTE_MS) {
            return Ok(Did::NothingFor(LOOK));
        }
        match note(&vault, after.now, noted.is_none()) {
            Ok(true) => {
                noted = Some(after.now);
                vouched.0.store(true, Ordering::SeqCst);
            }
            Ok(false) => {
                tracing::error!(now = %after.now, "the clock is far from where it was when the house was closed: nothing is deleted until the program is started again");
                ready.set(NotReady::ClockStepped, true);
            }
            Err(VaultError::Closed) => return Ok(Did::Over),
            // On a full disk or in a crowd it is noted later.
            Err(VaultError::Busy | VaultError::DiskFull) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Did::NothingFor(LOOK))
    };
    Job { name: "clock", step: Box::new(look) }
}

/// Notes the instant, when it is believed; the first time after a start it is asked whether it is.
fn note(vault: &Vault, now: At, is_first: bool) -> Result<bool, VaultError> {
    let read = |name: &str| -> Result<Option<At>, VaultError> {
        let bytes = vault.snapshot().house_record(name)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(|ms| At::from_ms(i64::from_be_bytes(ms))))
    };
    let put =
        |name: &str, at: Option<At>| vault.put_house_record(name, at.map(|at| at.ms().to_be_bytes().to_vec()))?.wait();
    if is_first && !is_believed(now, read(SEEN)?, read(DOUBTED)?) {
        put(DOUBTED, Some(now))?;
        return Ok(false);
    }
    if is_first && read(DOUBTED)?.is_some() {
        put(DOUBTED, None)?;
    }
    put(SEEN, Some(now)).map(|()| true)
}

/// A job that deletes by date: it waits as long as the clock is in doubt.
#[must_use]
pub fn trusting(ready: Arc<Readiness>, vouched: Arc<Vouched>, mut job: Job) -> Job {
    let step = move || match vouched.0.load(Ordering::SeqCst) && !ready.holds(NotReady::ClockStepped) {
        true => (job.step)(),
        false => Ok(Did::NothingFor(LOOK)),
    };
    Job { name: job.name, step: Box::new(step) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::chance::Seeded;
    use std::sync::Mutex;

    const NOON: &str = "2026-11-23T12:00:00Z";
    const TEN_YEARS: i64 = 3_653 * DAY_MS;

    /// Two clocks that a test sets.
    struct Two(Mutex<Look>);

    impl Clock for Two {
        fn now(&self) -> At {
            self.0.lock().unwrap().now
        }

        fn ticks(&self) -> Duration {
            self.0.lock().unwrap().ticks
        }
    }

    impl Two {
        fn new() -> Arc<Self> {
            let (now, ticks) = (At::parse(NOON).unwrap(), Duration::from_secs(1));
            Arc::new(Self(Mutex::new(Look { now, ticks })))
        }

        /// Time goes by.
        fn pass(&self, seconds: u64) {
            let mut two = self.0.lock().unwrap();
            two.now = two.now.plus_ms(i64::try_from(seconds).unwrap() * 1_000);
            two.ticks += Duration::from_secs(seconds);
        }

        /// The clock is set.
        fn set(&self, ms: i64) {
            let mut two = self.0.lock().unwrap();
            two.now = two.now.plus_ms(ms);
        }
    }

    fn house(clock: &Arc<Two>) -> Vault {
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let clock: Arc<dyn Clock> = clock.clone();
        Vault::in_memory(crate::house::household_with(promise, clock, Arc::new(Seeded::new(1)))).unwrap()
    }

    /// One start: a minute of looks. Whether deleting goes on after it.
    fn deletes_after(vault: &Vault, clock: &Arc<Two>, happens: impl FnOnce()) -> bool {
        let ready = Arc::new(Readiness::default());
        let vouched = Arc::new(Vouched::default());
        let swept = Arc::new(Mutex::new(false));
        let sweeps = swept.clone();
        let sweep = Job {
            name: "sweep",
            step: Box::new(move || {
                *sweeps.lock().unwrap() = true;
                Ok(Did::Nothing)
            }),
        };
        let mut sweep = trusting(ready.clone(), vouched.clone(), sweep);
        (sweep.step)().unwrap();
        assert!(!*swept.lock().unwrap(), "not before anybody looked at the clock");
        let mut watch = watching(vault.clone(), clock.clone(), ready.clone(), vouched);
        let mut look = || {
            clock.pass(1);
            (watch.step)().unwrap();
        };
        look();
        look();
        happens();
        look();
        look();
        (sweep.step)().unwrap();
        let swept = *swept.lock().unwrap();
        assert_eq!(swept, ready.why_not().is_none(), "readiness says the same");
        swept
    }

    #[test]
    fn a_clock_that_is_set_by_ten_years_deletes_nothing() {
        let clock = Two::new();
        let vault = house(&clock);
        assert!(deletes_after(&vault, &clock, || {}), "control");
        assert!(deletes_after(&vault, &clock, || clock.pass(3 * 3_600)), "a process that stood still saw no step");
        assert!(deletes_after(&vault, &clock, || clock.set(59_000)), "small corrections are everyday");
        for ms in [TEN_YEARS, -TEN_YEARS, 61_000, -61_000] {
            assert!(!deletes_after(&vault, &clock, || clock.set(ms)), "{ms}");
            clock.set(-ms);
            assert!(deletes_after(&vault, &clock, || {}), "set right, and started again");
        }
    }

    #[test]
    fn a_start_far_from_the_last_is_doubted_once() {
        for ms in [TEN_YEARS, -TEN_YEARS, 46 * DAY_MS, -120_000] {
            let clock = Two::new();
            let vault = house(&clock);
            assert!(deletes_after(&vault, &clock, || {}));
            clock.set(ms);
            assert!(!deletes_after(&vault, &clock, || {}), "{ms}");
            assert!(deletes_after(&vault, &clock, || {}), "{ms}: started again, so somebody looked");
            assert!(deletes_after(&vault, &clock, || {}), "{ms}: and it is not asked again");
        }
        let clock = Two::new();
        let vault = house(&clock);
        assert!(deletes_after(&vault, &clock, || {}));
        clock.set(44 * DAY_MS);
        assert!(deletes_after(&vault, &clock, || {}), "closed over a long holiday");
    }
}
