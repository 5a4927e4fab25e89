//! A crash between the acknowledgement of an urgent command and its batch: what was acknowledged holds.

use crate::engine::Keyspace;
use crate::record::{ConsentChange, Erasure, Identifier, IdentifierKind, Reduction, Subject};
use crate::{EngineKind, Household, NoProjection, Options, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, ConsentStatus, Method, ProfileId, PurposeName, Words};
use promise::{ArtefactKind, RefusalReason};
use std::path::Path;
use std::sync::Arc;

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
    let options =
        Options { data: folder.path().join("data"), engine, root: folder.path().join("root"), queue_max: 100 };
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

    fn person(&self) -> ProfileId {
        self.vault.consent(self.answer(ConsentStatus::Given)).unwrap().wait().unwrap().profile.unwrap()
    }

    /// The disk as it is now, without a word to the committer, opened by another process's vault.
    fn crashed(&self) -> Vault {
        let data = self.folder.path().join("after the crash");
        copy(&self.options.data, &data);
        Vault::open(&Options { data, ..self.options.clone() }, self.household.clone()).unwrap()
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
