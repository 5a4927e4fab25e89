//! Each figure while the thing it tells of is the case, and after it.

use super::*;
use crate::record::{Erasure, Reduction};
use crate::{
    ConsentChange, EngineKind, Household, Identifier, IdentifierKind, NoProjection, Options, Subject, VaultError,
};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{Clock, ConsentStatus, Method, ProfileId, PurposeName, Words};
use std::sync::Arc;

/// How often the committer is looked at until it has counted its last answer: it does so within microseconds.
const LOOKS_MAX: u32 = 2_000_000;

/// A clock that ticks as it is moved.
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn now(&self) -> At {
        self.0.now()
    }

    fn ticks(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now().ms()).unwrap())
    }
}

struct Shop {
    vault: Vault,
    clock: Arc<Ticking>,
    _folder: tempfile::TempDir,
}

fn shop() -> Shop {
    let clock = Arc::new(Ticking(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap())));
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: clock.clone(),
        rng: Arc::new(Seeded::new(5)),
        projection: Arc::new(NoProjection),
    };
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        data: folder.path().join("data"),
        engine: EngineKind::Redb,
        root: folder.path().join("root").into(),
        queue_max: 2,
        witness: None,
    };
    Vault::create(&options, &household).unwrap();
    let vault = Vault::open(&options, household).unwrap();
    vault.review_everything().unwrap();
    Shop { vault, clock, _folder: folder }
}

impl Shop {
    fn person(&self) -> ProfileId {
        let user = Identifier { kind: IdentifierKind::User, value: "ada".into() };
        let change = ConsentChange {
            subject: Subject::Identifiers { user: Some(user), anonymous: None },
            source: None,
            purpose: PurposeName::parse("offers").unwrap(),
            status: ConsentStatus::Given,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.vault.now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().wait().unwrap().profile.unwrap()
    }

    fn settle(&self) {
        self.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    }

    fn unacknowledged(&self) -> Option<Duration> {
        let house = &self.vault.inner.house;
        house.waits.oldest(house.ticks())
    }
}

#[test]
fn what_waits_for_its_answer_gets_older_until_it_has_it() {
    let shop = shop();
    let house = &shop.vault.inner.house;
    // An answer goes out a moment before it is counted.
    let is_quiet = (0..LOOKS_MAX).any(|_| {
        std::thread::yield_now();
        shop.unacknowledged().is_none()
    });
    assert!(is_quiet, "what was answered is never counted");
    let waiting = {
        let _stalled = house.stall();
        let waiting = shop.vault.put_items(Vec::new()).unwrap();
        shop.clock.0.advance_ms(4_000);
        assert_eq!(shop.unacknowledged(), Some(Duration::from_secs(4)));
        // What finds no room does not wait, and is not counted for it.
        let mut more = Vec::new();
        while let Ok(pending) = shop.vault.put_items(Vec::new()) {
            more.push(pending);
        }
        assert!(matches!(shop.vault.put_items(Vec::new()), Err(VaultError::Busy)));
        assert_eq!(house.waits.lock().len(), 1 + more.len());
        (waiting, more)
    };
    waiting.0.wait().unwrap();
    waiting.1.into_iter().for_each(|pending| pending.wait().unwrap());
    // The committer counts after it has answered; closing waits for it.
    shop.vault.close().unwrap();
    let thread = shop.vault.inner.thread.lock().unwrap().take().unwrap();
    thread.join().unwrap();
    assert_eq!(shop.unacknowledged(), None);
}

#[test]
fn a_wish_and_an_erasure_are_old_until_the_store_has_done_them() {
    let shop = shop();
    let (person, house) = (shop.person(), &shop.vault.inner.house);
    let began = shop.vault.now();
    assert_eq!((shop.vault.pulse().wish_at, shop.vault.pulse().erasure_at), (None, None));
    // Without a word to the committer: acknowledged, and not in the store.
    house.reduce(person, Reduction::Less).unwrap();
    shop.clock.0.advance_ms(60_000);
    house.begin_erasure(person, Erasure::Now).unwrap();
    let pulse = shop.vault.pulse();
    assert_eq!((pulse.wish_at, pulse.erasure_at), (Some(began), Some(began.plus_ms(60_000))));
    assert!(pulse.urgent_p99.is_some() && pulse.batch_p99.is_some(), "{pulse:?}");
    shop.settle();
    let pulse = shop.vault.pulse();
    assert_eq!((pulse.wish_at, pulse.erasure_at), (None, None), "{pulse:?}");
}

#[test]
fn disk_backup_and_bound_are_told_of_the_folder() {
    let shop = shop();
    let pulse = shop.vault.pulse();
    assert!(pulse.disk_free.is_some_and(|share| (0.0..=1.0).contains(&share)), "{pulse:?}");
    assert_eq!((pulse.backup, pulse.removal_days_left), (None, None));
    let note = BackupNote { batch: 3, at: shop.vault.now() };
    note.write(shop.vault.inner.house.data().unwrap()).unwrap();
    shop.vault.rotate().unwrap().wait().unwrap();
    let pulse = shop.vault.pulse();
    assert_eq!((pulse.backup, pulse.removal_days_left), (Some(note), Some(REMOVED_WITHIN_DAYS)));
    shop.clock.0.advance_days(8);
    assert_eq!(shop.vault.pulse().removal_days_left, Some(-1));
}

#[test]
fn the_oldest_that_waits_is_the_first_that_is_not_served() {
    let (waits, second) = (Waits::default(), Duration::from_secs);
    assert_eq!(waits.oldest(second(9)), None);
    (1..=3).for_each(|n| waits.begin(second(n)));
    waits.take_back();
    assert_eq!(waits.oldest(second(9)), Some(second(8)));
    waits.end(1);
    assert_eq!(waits.oldest(second(9)), Some(second(7)));
    // A clock that is set back, and more served than were asked: nothing breaks.
    assert_eq!(waits.oldest(second(0)), Some(second(0)));
    waits.end(7);
    assert_eq!(waits.oldest(second(9)), None);
}

#[test]
fn one_in_a_hundred_may_be_slower() {
    let (latest, ms) = (Latest::default(), Duration::from_millis);
    assert_eq!(latest.p99(), None);
    latest.add(ms(7));
    assert_eq!(latest.p99(), Some(ms(7)), "the only one");
    (1..100).for_each(|_| latest.add(ms(1)));
    assert_eq!(latest.p99(), Some(ms(1)), "one of a hundred");
    latest.add(ms(7));
    assert_eq!(latest.p99(), Some(ms(7)), "two of a hundred and one");
    (0..SAMPLES_MAX).for_each(|_| latest.add(ms(2)));
    assert_eq!(latest.p99(), Some(ms(2)), "what is long past does not count");
}

#[test]
fn the_bound_comes_nearer_day_by_day_and_is_missed_after_it() {
    let rotated_at = At::parse("2026-11-23T03:10:00Z").unwrap();
    for (days, left) in [(0, 7), (6, 1), (7, 0), (8, -1)] {
        assert_eq!(removal_days_left(rotated_at, rotated_at.plus_days(days)), left);
    }
}
