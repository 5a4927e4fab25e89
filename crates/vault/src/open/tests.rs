//! A crash between the acknowledgement of an urgent command and its batch, and commands that meet each other on the way to
//! the committer: what was acknowledged holds.

use crate::commit::Batch;
use crate::disk::Disk;
use crate::engine::{Keyspace, Op};
use crate::record::{
    ConsentChange, Erasure, Identifier, IdentifierKind, Intake, MessageKey, Outcome, OutcomeReason, Reduction, Subject,
};
use crate::{EngineKind, Household, NoProjection, Options, Vault, VaultError};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, ConsentStatus, EventKind, EventName, Method, ProfileId, PurposeName, SourceName, Trust, Words};
use promise::{ArtefactKind, RefusalReason};
use std::path::Path;
use std::sync::Arc;

mod full;
mod midnight;

struct House {
    vault: Vault,
    household: Household,
    options: Options,
    folder: tempfile::TempDir,
}

fn house(engine: EngineKind) -> House {
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap())),
        rng: Arc::new(Seeded::new(5)),
        projection: Arc::new(NoProjection),
    };
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        data: folder.path().join("data"),
        engine,
        root: folder.path().join("root").into(),
        queue_max: 100,
        witness: None,
    };
    Vault::create(&options, &household).unwrap();
    let vault = Vault::open(&options, household.clone()).unwrap();
    vault.review_everything().unwrap();
    House { vault, household, options, folder }
}

fn ada() -> Identifier {
    Identifier { kind: IdentifierKind::User, value: "ada".into() }
}

impl House {
    fn answer(&self, status: ConsentStatus) -> ConsentChange {
        ConsentChange {
            subject: Subject::Identifiers { user: Some(ada()), anonymous: None },
            source: None,
            purpose: PurposeName::parse("offers").unwrap(),
            status,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.vault.now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        }
    }

    /// The yes of somebody else.
    fn answer_of(&self, name: &str) -> ConsentChange {
        let user = Identifier { kind: IdentifierKind::User, value: name.into() };
        let subject = Subject::Identifiers { user: Some(user), anonymous: None };
        ConsentChange { subject, ..self.answer(ConsentStatus::Given) }
    }

    fn person(&self) -> ProfileId {
        self.vault.consent(self.answer(ConsentStatus::Given)).unwrap().wait().unwrap().profile.unwrap()
    }

    /// Writes rows past the committer, which must have nothing to do.
    fn put_rows(&self, ops: Vec<Op>) {
        let inner = &self.vault.inner.house;
        inner.engine.commit(ops).unwrap();
        let store = inner.engine.snapshot();
        inner.publish(|generation| generation.store = store);
    }

    fn row(&self, keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
        self.vault.inner.house.generation().store.get(keyspace, key).unwrap().unwrap()
    }

    /// Any later commit has drained what is urgent.
    fn settle(&self) {
        self.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    }

    /// The disk as it is now, without a word to the committer, opened by another process's vault.
    fn crashed(&self) -> Vault {
        let data = self.folder.path().join("after the crash");
        copy(&self.options.data, &data);
        Vault::open(&Options { data, ..self.options.clone() }, self.household.clone()).unwrap()
    }

    /// An order as the shop's server reports it.
    fn order(&self, key: &str) -> Intake {
        Intake {
            subject: Subject::Identifiers { user: Some(ada()), anonymous: None },
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.vault.now(),
            source_day: None,
            properties: std::collections::BTreeMap::new(),
            lines: Vec::new(),
            fields: Vec::new(),
            told_version: Some(1),
            consent: std::collections::BTreeMap::new(),
            message_key: MessageKey::Wire(key.into()),
        }
    }

    fn verdict(&self, vault: &Vault, person: ProfileId) -> Option<RefusalReason> {
        let campaign = self.household.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        vault.snapshot().permit(person, campaign).err().map(|refusal| refusal.reason)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

const ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Redb];

#[test]
fn a_withdrawal_acknowledged_before_a_crash_holds_after_it() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        assert_eq!(house.verdict(&house.vault, person), None);
        // The first half alone: on the urgent log and in memory, not yet with the committer.
        house.vault.inner.house.narrow(person, &house.answer(ConsentStatus::Withdrawn)).unwrap();
        assert_eq!(house.verdict(&house.vault, person), Some(RefusalReason::Withdrawn));
        let after = house.crashed();
        assert_eq!(house.verdict(&after, person), Some(RefusalReason::Withdrawn), "{engine:?}");
        let portal = house.household.promise.artefact(ArtefactKind::Page, "portal").unwrap().id;
        let snapshot = after.snapshot();
        let permit = snapshot.permit(person, portal).unwrap();
        assert_eq!(permit.ledger().unwrap().len(), 2, "written once");
    }
}

#[test]
fn a_reduction_acknowledged_before_a_crash_holds_after_it_and_counts_once() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        house.vault.inner.house.reduce(person, Reduction::Less).unwrap();
        let after = house.crashed();
        let snapshot = after.snapshot();
        let portal = house.household.promise.artefact(ArtefactKind::Page, "portal").unwrap().id;
        let permit = snapshot.permit(person, portal).unwrap();
        assert_eq!(permit.contact().reveal().at_most, Some(1), "two, halved once");
    }
}

#[test]
fn d10_an_erasure_acknowledged_before_a_crash_is_finished_before_anybody_is_served() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        house.vault.inner.house.begin_erasure(person, Erasure::Now).unwrap();
        let after = house.crashed();
        assert_eq!(house.verdict(&after, person), Some(RefusalReason::NoSuchPerson), "{engine:?}");
        assert_eq!(after.snapshot().find(&ada()), None);
        let store = Arc::clone(&after.inner.house.generation().store);
        assert_eq!(store.get(crate::engine::Keyspace::Keys, person.as_bytes()).unwrap(), None, "the key row is gone");
        assert!(after.consent(house.answer(ConsentStatus::Given)).unwrap().wait().unwrap().profile.is_none());
    }
}

#[test]
fn d10_an_erasure_within_a_day_stays_one_after_a_crash() {
    for engine in ENGINES {
        for (how, waits) in [(Erasure::WithinADay, true), (Erasure::Now, false)] {
            let house = house(engine);
            let person = house.person();
            let promised = house.vault.inner.house.begin_erasure(person, how).unwrap();
            let after = house.crashed();
            assert_eq!(house.verdict(&after, person), Some(RefusalReason::NoSuchPerson), "{engine:?}");
            let store = Arc::clone(&after.inner.house.generation().store);
            let row = |keyspace, key: &[u8]| store.get(keyspace, key).unwrap().is_some();
            assert!(!row(Keyspace::Keys, person.as_bytes()), "{engine:?} {how:?}: no key of it in the house");
            let recovery = store.get(Keyspace::House, &crate::house::House::recovery_row(&person)).unwrap();
            assert_eq!(recovery.is_some(), waits, "{engine:?} {how:?}");
            let rows = store.scan(Keyspace::Profiles, person.as_bytes()).count();
            assert_eq!(rows > 0, waits, "{engine:?} {how:?}: sealed rows wait with it");
            let until =
                recovery.map(|row| crate::format::decode::<crate::format::RecoveryForm>("house", &row).unwrap());
            let asked_at = house.vault.now();
            assert_eq!(until.map(|form| form.until), waits.then(|| asked_at.plus_days(1).ms()));
            assert_eq!(promised.unrecoverable_on, asked_at.day().plus(if waits { 9 } else { 8 }));
        }
    }
}

#[test]
fn d10_after_rotation_no_kept_copy_of_the_key_row_opens_anything() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        let inner = &house.vault.inner.house;
        // As a backup, or a disk that remembers, would have it.
        let copy = house.row(Keyspace::Keys, person.as_bytes());
        house.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
        house.settle();
        assert!(inner.unwrap_person(&person, &copy).is_ok(), "control: a deleted row is no destroyed key");
        house.vault.rotate().unwrap().wait().unwrap();
        assert!(matches!(inner.unwrap_person(&person, &copy), Err(crate::VaultError::Seal)), "{engine:?}");
        let after = house.crashed();
        assert!(after.inner.house.unwrap_person(&person, &copy).is_err(), "{engine:?}: nor from the disk");
    }
}

#[test]
fn d14_what_waits_on_the_urgent_log_is_sealed() {
    let house = house(EngineKind::Redb);
    let person = house.person();
    let log = || Disk::read(&house.options.data.join("urgent.log")).unwrap().unwrap();
    let empty = log();
    house.vault.inner.house.narrow(person, &house.answer(ConsentStatus::Withdrawn)).unwrap();
    let waiting = log();
    assert!(waiting.len() > empty.len(), "control: it waits there");
    for word in ["Offers?", "offers"] {
        assert!(!waiting.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "{word}");
    }
}

#[test]
fn a_store_without_its_tombstones_is_not_served() {
    let house = house(EngineKind::Redb);
    let person = house.person();
    house.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    let House { vault, household, options, folder } = house;
    drop(vault);
    let tombstones = options.data.join("tombstones");
    let kept = folder.path().join("tombstones");
    std::fs::copy(&tombstones, &kept).unwrap();
    std::fs::remove_file(&tombstones).unwrap();
    let refused = Vault::open(&options, household.clone());
    assert!(matches!(refused, Err(crate::VaultError::Tombstones)), "{refused:?}");
    std::fs::copy(&kept, &tombstones).unwrap();
    Vault::open(&options, household).unwrap();
}

#[test]
fn d10_leave_me_alone_said_right_before_forget_me_outlives_the_erasure() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        // Both acknowledged, neither with the committer yet.
        house.vault.inner.house.reduce(person, Reduction::LeaveMeAlone).unwrap();
        house.vault.inner.house.begin_erasure(person, Erasure::Now).unwrap();
        let after = house.crashed();
        let answer = after.consent(house.answer(ConsentStatus::Given)).unwrap().wait().unwrap();
        assert_eq!((answer.profile, answer.refusal), (None, Some(OutcomeReason::Restrained)), "{engine:?}");
    }
}

#[test]
fn a_no_overtakes_the_yes_that_still_waits_for_the_committer() {
    let house = house(EngineKind::Redb);
    let person = house.person();
    let say = |status| house.vault.consent(house.answer(status)).unwrap();
    for before in ["given", "withdrawn"] {
        let yes = {
            let _stalled = house.vault.inner.house.stall();
            let little = ConsentChange { level: Some("little".into()), ..house.answer(ConsentStatus::Given) };
            let yes = house.vault.consent(little).unwrap();
            say(ConsentStatus::Withdrawn).wait().unwrap();
            assert_eq!(house.verdict(&house.vault, person), Some(RefusalReason::Withdrawn));
            yes
        };
        yes.wait().unwrap();
        house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
        assert_eq!(house.verdict(&house.vault, person), Some(RefusalReason::Withdrawn), "before: {before}");
    }
    say(ConsentStatus::Given).wait().unwrap();
    assert_eq!(house.verdict(&house.vault, person), None, "a later yes counts");
}

#[test]
fn d10_an_old_event_in_the_batch_that_is_being_made_starts_no_new_person() {
    let house = house(EngineKind::Memory);
    let person = house.person();
    let inner = &house.vault.inner.house;
    let order = house.order("late");
    let mut batch = Batch::new(inner, 1_000);
    inner.reduce(person, Reduction::LeaveMeAlone).unwrap();
    inner.begin_erasure(person, Erasure::Now).unwrap();
    let outcome = batch.take(order).unwrap();
    assert_eq!(outcome, Outcome::Refused { reason: OutcomeReason::Restrained, line: None });
    let answered = batch.consent(&house.answer(ConsentStatus::Given), None).unwrap();
    assert_eq!((answered.profile, answered.refusal), (None, Some(OutcomeReason::Restrained)));
}

#[test]
fn d10_an_order_that_meets_an_erasure_on_the_way_is_refused_by_its_name() {
    let house = house(EngineKind::Memory);
    let person = house.person();
    let inner = &house.vault.inner.house;
    let mut batch = Batch::new(inner, 1_000);
    inner.begin_erasure(person, Erasure::WithinADay).unwrap();
    let outcome = batch.take(house.order("late")).unwrap();
    assert_eq!(outcome, Outcome::Refused { reason: OutcomeReason::Erased, line: None });
}

#[test]
fn a_wish_that_the_store_has_is_not_held_on_top_of_it_after_a_crash() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        let log = house.options.data.join("urgent.log");
        house.vault.inner.house.narrow(person, &house.answer(ConsentStatus::Withdrawn)).unwrap();
        let before = Disk::read(&log).unwrap().unwrap();
        house.settle();
        // The batch is synced, the log not yet emptied.
        Disk::replace(&log, &before).unwrap();
        let after = house.crashed();
        assert_eq!(after.inner.house.waiting().len(), 0, "{engine:?}");
        after.consent(house.answer(ConsentStatus::Given)).unwrap().wait().unwrap();
        assert_eq!(house.verdict(&after, person), None, "a new yes is not covered by the old no");
        let emptied = Disk::read(&house.folder.path().join("after the crash").join("urgent.log")).unwrap().unwrap();
        assert!(emptied.len() < before.len(), "and the log is empty");
    }
}

#[test]
fn one_unreadable_person_keeps_nobody_elses_wish_from_the_store_and_no_house_closed() {
    let house = house(EngineKind::Redb);
    let damaged = house.person();
    let other = house.vault.consent(house.answer_of("bob")).unwrap().wait().unwrap().profile.unwrap();
    let key = crate::person::class_key(&damaged, crate::retention::CORE);
    house.put_rows(vec![Op::Put(Keyspace::Profiles, key, b"damaged".to_vec())]);
    house.vault.inner.house.reduce(damaged, Reduction::Less).unwrap();
    house.vault.inner.house.reduce(other, Reduction::LeaveMeAlone).unwrap();
    house.settle();
    let waiting = house.vault.inner.house.waiting();
    assert_eq!(waiting.iter().map(|waiting| waiting.person).collect::<Vec<_>>(), [damaged]);
    let after = house.crashed();
    assert_eq!(house.verdict(&after, other), Some(RefusalReason::Restrained));
    assert_eq!(house.verdict(&after, damaged), Some(RefusalReason::NoSuchPerson));
}

#[test]
fn an_event_that_could_not_be_stored_is_no_repeat_when_it_is_sent_again() {
    let house = house(EngineKind::Redb);
    let with_address = |key| {
        let mut order = house.order(key);
        let email = model::FieldName::parse("email").unwrap();
        order.fields = vec![(email, model::Value::Text("ada@shop.example".into()))];
        order
    };
    let take = |order| house.vault.take(vec![order]).unwrap().wait();
    let person = house.person();
    take(with_address("m1")).unwrap();
    let class = house.household.promise.fields.values().find(|field| field.name.as_str() == "email").unwrap();
    let key = crate::person::class_key(&person, class.retention.id());
    let whole = house.row(Keyspace::Profiles, &key);
    house.put_rows(vec![Op::Put(Keyspace::Profiles, key.clone(), b"damaged".to_vec())]);
    assert!(take(with_address("m2")).is_err());
    house.put_rows(vec![Op::Put(Keyspace::Profiles, key, whole)]);
    assert!(matches!(take(with_address("m2")).unwrap()[..], [Outcome::Kept { .. }]));
    assert_eq!(take(with_address("m2")).unwrap(), [Outcome::Repeated]);
}

#[test]
fn d10_asked_twice_to_forget_is_one_request_and_the_way_that_forgets_sooner() {
    for engine in ENGINES {
        let house = house(engine);
        let person = house.person();
        let inner = &house.vault.inner.house;
        let first = inner.begin_erasure(person, Erasure::WithinADay).unwrap();
        let second = inner.begin_erasure(person, Erasure::Now).unwrap();
        let third = inner.begin_erasure(person, Erasure::WithinADay).unwrap();
        assert_eq!((second.request, third.request), (first.request, first.request));
        assert_eq!(third.unrecoverable_on, second.unrecoverable_on);
        let after = house.crashed();
        assert!(
            after.snapshot().erasure_receipt(first.request).unwrap().is_some(),
            "{engine:?}: the request is proven"
        );
        let store = Arc::clone(&after.inner.house.generation().store);
        let row = crate::house::House::recovery_row(&person);
        assert_eq!(store.get(Keyspace::House, &row).unwrap(), None, "nothing waits for a day");
        // Asked within a day, written, and then at once.
        let late = house.vault.inner.house.begin_erasure(person, Erasure::Now).unwrap();
        assert_eq!(late.request, first.request);
    }
}

#[test]
fn d10_forget_me_now_takes_away_what_an_earlier_request_let_wait() {
    let house = house(EngineKind::Redb);
    let person = house.person();
    house.vault.erase(person, Erasure::WithinADay).unwrap().wait().unwrap();
    house.settle();
    let row = crate::house::House::recovery_row(&person);
    let waits = || house.vault.inner.house.generation().store.get(Keyspace::House, &row).unwrap().is_some();
    assert!(waits());
    house.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
    house.settle();
    assert!(!waits());
}

#[test]
fn c04_what_is_read_while_the_queue_is_full_is_counted_and_a_clean_stop_loses_none() {
    let house = house(EngineKind::Redb);
    let person = house.person();
    let promise = promise::parse("shop.toml", promise::fixture::SHOP).unwrap();
    let campaign = promise.artefact(promise::ArtefactKind::Campaign, "win_back").unwrap().id;
    let portal = promise.artefact(promise::ArtefactKind::Page, promise::Artefact::PORTAL).unwrap().id;
    let n_read = |vault: &Vault| {
        let snapshot = vault.snapshot();
        let permit = snapshot.permit(person, portal).unwrap();
        permit.uses().unwrap().iter().map(|used| used.reveal().n).sum::<u32>()
    };
    let before = n_read(&house.vault);
    {
        let _stalled = house.vault.inner.house.stall();
        // More than the queue takes: nothing is answered, and every place in it is taken.
        let mut waiting = Vec::new();
        loop {
            match house.vault.put_items(Vec::new()) {
                Ok(pending) => waiting.push(pending),
                Err(VaultError::Busy) => break,
                Err(error) => panic!("{error}"),
            }
        }
        for _ in 0..7 {
            let snapshot = house.vault.snapshot();
            let _ = snapshot.permit(person, campaign).unwrap().contact();
        }
        // More than two batches take in.
        for _ in 0..60 {
            assert_eq!(house.vault.snapshot().permit_set(campaign).unwrap().people().count(), 1);
        }
    }
    let House { vault, household, options, folder: _folder } = house;
    drop(vault);
    let after = Vault::open(&options, household).unwrap();
    assert_eq!(n_read(&after), before + 7 + 60);
}
