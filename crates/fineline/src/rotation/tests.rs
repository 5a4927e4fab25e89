//! The keys are rotated in the first night after something was deleted, and otherwise every six days.

use super::*;
use model::chance::Seeded;
use model::time::ManualClock;
use model::{ConsentStatus, Method, PurposeName, Words};
use vault::{ConsentChange, Erasure, Household, Identifier, IdentifierKind, NoProjection, Subject};

fn at(text: &str) -> At {
    At::parse(text).unwrap()
}

fn state(ended_at: Option<&str>, forgotten_at: Option<&str>) -> RotationState {
    RotationState { version: 1, ended_at: ended_at.map(at), forgotten_at: forgotten_at.map(at), is_under_way: false }
}

#[test]
fn a_time_of_day_is_an_hour_and_a_minute() {
    assert_eq!(TimeOfDay::parse("03:10"), Some(TimeOfDay::NIGHT));
    for text in ["", "3:10", "24:00", "00:60", "0310", "03:10:00", "-1:10", "+1:10"] {
        assert_eq!(TimeOfDay::parse(text), None, "{text}");
    }
    assert_eq!(TimeOfDay::NIGHT.latest(at("2026-11-23T03:10:00Z")), at("2026-11-23T03:10:00Z"));
    assert_eq!(TimeOfDay::NIGHT.latest(at("2026-11-23T03:09:59Z")), at("2026-11-22T03:10:00Z"));
}

#[test]
fn d10_a_deleted_key_waits_for_the_next_night_and_never_longer_than_was_promised() {
    let (night, since) = (TimeOfDay::NIGHT, at("2026-11-01T00:00:00Z"));
    let rotated = Some("2026-11-22T03:10:05Z");
    let check = |deleted: &str, now: &str, expected: bool| {
        let due = is_due(&state(rotated, Some(deleted)), night, at(now), since);
        assert_eq!(due, expected, "{deleted} {now}");
    };
    check("2026-11-22T12:00:00Z", "2026-11-22T23:59:59Z", false);
    check("2026-11-22T12:00:00Z", "2026-11-23T03:09:59Z", false);
    check("2026-11-22T12:00:00Z", "2026-11-23T03:10:00Z", true);
    check("2026-11-22T12:00:00Z", "2026-11-23T15:00:00Z", true);
    check("2036-11-22T12:00:00Z", "2026-11-22T04:00:00Z", true);
    // Wherever in the day a key is deleted, within a day it is time.
    for minutes in 0..24 * 60 {
        let deleted = at("2026-11-22T00:00:00Z").plus_ms(minutes * MINUTE_MS);
        let state = RotationState { forgotten_at: Some(deleted), ..state(rotated, None) };
        assert!(is_due(&state, night, deleted.plus_days(vault::ROTATED_WITHIN_DAYS), since), "minute {minutes}");
    }
}

#[test]
fn nobody_has_gone_and_still_the_keys_are_rotated_within_a_week() {
    let (night, since) = (TimeOfDay::NIGHT, at("2026-11-01T09:00:00Z"));
    let due = |ended: Option<&str>, now: &str| is_due(&state(ended, None), night, at(now), since);
    assert!(!due(None, "2026-11-07T23:00:00Z"));
    assert!(due(None, "2026-11-08T03:10:00Z"), "six days after the start, at night");
    assert!(!due(Some("2026-11-08T03:10:09Z"), "2026-11-14T03:10:00Z"));
    assert!(due(Some("2026-11-08T03:10:09Z"), "2026-11-15T03:10:00Z"));
    assert!(due(Some("2036-11-08T03:10:09Z"), "2026-11-15T03:10:00Z"), "a clock that was set back");
}

fn house(clock: &Arc<ManualClock>) -> Vault {
    Vault::in_memory(Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: clock.clone(),
        rng: Arc::new(Seeded::new(3)),
        projection: Arc::new(NoProjection),
    })
    .unwrap()
}

/// Steps until the job rests for the next look at the clock.
fn step(job: &mut Job) {
    for _ in 0..100_000 {
        if (job.step)().unwrap() != Did::NothingFor(LOOK_UNDER_WAY) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("a rotation does not end");
}

#[test]
fn d10_the_job_rotates_in_the_first_night_after_an_erasure_and_once() {
    let clock = Arc::new(ManualClock::new(at("2026-11-23T12:00:00Z")));
    let vault = house(&clock);
    let mut job = rotating(vault.clone(), clock.clone(), TimeOfDay::NIGHT);
    step(&mut job);
    assert_eq!(vault.rotation().version, 1, "nothing waits");
    let user = Identifier { kind: IdentifierKind::User, value: "ada".into() };
    let yes = ConsentChange {
        subject: Subject::Identifiers { user: Some(user), anonymous: None },
        source: None,
        purpose: PurposeName::parse("offers").unwrap(),
        status: ConsentStatus::Given,
        level: None,
        words: Words { text: "Offers?".into(), language: "en".into(), answered_at: clock.now() },
        method: Method::Portal,
        notice_version: 1,
        made_up: false,
    };
    let person = vault.consent(yes).unwrap().wait().unwrap().profile.unwrap();
    vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
    vault.put_items(Vec::new()).unwrap().wait().unwrap();
    step(&mut job);
    assert_eq!((vault.rotation().version, vault.rotation().forgotten_at), (1, Some(clock.now())));
    clock.advance_days(1);
    for _ in 0..3 {
        step(&mut job);
        assert_eq!((vault.rotation().version, vault.rotation().forgotten_at), (2, None));
    }
    assert_eq!(vault.rotation().ended_at, Some(clock.now()));
    vault.close().unwrap();
    clock.advance_days(7);
    assert_eq!((job.step)().unwrap(), Did::Over);
}

#[test]
fn d03_the_jobs_of_a_house_that_is_served_keep_the_bound_and_without_the_sweep_they_do_not() {
    let two_months = |is_swept: bool| {
        let clock = Arc::new(ManualClock::new(at("2026-11-23T12:00:00Z")));
        let vault = house(&clock);
        let mut rotate = rotating(vault.clone(), clock.clone(), TimeOfDay::NIGHT);
        let mut sweep = crate::serve::sweeping(vault.clone(), clock.clone());
        let mut is_late = false;
        for _ in 0..60 * 24 {
            if is_swept {
                (sweep.step)().unwrap();
            }
            step(&mut rotate);
            is_late |= vault.removal().unwrap().is_late(clock.now());
            clock.advance_ms(60 * MINUTE_MS);
        }
        (is_late, vault.removal().unwrap().record)
    };
    let (is_late, record) = two_months(true);
    let record = record.expect("rounds were measured");
    assert!(!is_late && record.longest_days <= 7, "{record:?}");
    assert!(record.n_rounds >= 60 / 7, "at least every six days and a night: {record:?}");
    assert!(two_months(false).0, "control: with the sweep stopped the bound is past");
}
