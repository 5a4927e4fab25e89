//! A rotation that is killed between any two durable steps, that others write into, and that is asked for twice: whoever
//! lives opens, whoever was erased does not, and no old version is left at the end.

use super::*;
use crate::Urgency;
use crate::commit::Command;
use crate::engine::Op;
use crate::record::{ConsentChange, Erasure, Identifier, IdentifierKind, Intake, MessageKey, Subject};
use crate::{EngineKind, Household, NoProjection, Options, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{ConsentStatus, EventKind, EventName, Method, PurposeName, SourceName, Trust, Words};
use promise::ArtefactKind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Every place between two durable steps of a rotation.
const FAILPOINTS: [&str; 16] = [
    "before_rotation_begin",
    "after_rotation_begin",
    "before_rotation_add_version",
    "after_rotation_add_version",
    "before_rotation_rewrap_keys",
    "after_rotation_rewrap_keys",
    "before_rotation_rewrap_recoveries",
    "after_rotation_rewrap_recoveries",
    "before_rotation_destroy",
    "after_rotation_destroy",
    "before_rotation_log",
    "after_rotation_log",
    "before_rotation_compact",
    "after_rotation_compact",
    "before_rotation_end",
    "after_rotation_end",
];

/// People, so that each walk has several slices.
const PEOPLE: [&str; 8] = ["ada", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"];

struct Shop {
    vault: Vault,
    clock: Arc<ManualClock>,
    household: Household,
    options: Options,
    living: Vec<ProfileId>,
    folder: tempfile::TempDir,
}

fn user(name: &str) -> Subject {
    let user = Identifier { kind: IdentifierKind::User, value: name.into() };
    Subject::Identifiers { user: Some(user), anonymous: None }
}

fn yes(name: &str, at: At) -> ConsentChange {
    ConsentChange {
        subject: user(name),
        source: None,
        purpose: PurposeName::parse("offers").unwrap(),
        status: ConsentStatus::Given,
        level: None,
        words: Words { text: "Offers?".into(), language: "en".into(), answered_at: at },
        method: Method::Portal,
        notice_version: 1,
        made_up: false,
    }
}

fn order(name: &str, at: At) -> Intake {
    Intake {
        subject: user(name),
        kind: EventKind::Track,
        name: EventName::parse("Order Completed").unwrap(),
        source: SourceName::parse("shop").unwrap(),
        trust: Trust::Server,
        occurred_at: at,
        source_day: None,
        properties: BTreeMap::new(),
        lines: Vec::new(),
        fields: Vec::new(),
        told_version: Some(1),
        consent: BTreeMap::new(),
        message_key: MessageKey::Wire(format!("{name} {}", at.ms())),
    }
}

/// Eight people with an answer, an order and a day secret each.
fn shop(engine: EngineKind) -> Shop {
    let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
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
    let mut living = Vec::new();
    for name in PEOPLE {
        living.push(vault.consent(yes(name, vault.now())).unwrap().wait().unwrap().profile.unwrap());
        vault.take(vec![order(name, vault.now())]).unwrap().wait().unwrap();
    }
    Shop { vault, clock, household, options, living, folder }
}

/// One more batch, and one more slice behind it.
fn settle(vault: &Vault) {
    vault.put_items(Vec::new()).unwrap().wait().unwrap();
}

fn finished(vault: &Vault) -> RotationState {
    for _ in 0..1_000 {
        if !vault.rotation().is_under_way {
            return vault.rotation();
        }
        settle(vault);
    }
    panic!("a rotation does not end");
}

impl Shop {
    fn erase(&mut self, at: usize, how: Erasure) -> ProfileId {
        let person = self.living.remove(at);
        self.vault.erase(person, how).unwrap().wait().unwrap();
        settle(&self.vault);
        person
    }

    /// Whether this person's own page shows what was written.
    fn opens(&self, vault: &Vault, person: ProfileId) -> bool {
        let portal = self.household.promise.artefact(ArtefactKind::Page, "portal").unwrap().id;
        let snapshot = vault.snapshot();
        let Ok(permit) = snapshot.permit(person, portal) else { return false };
        permit.ledger().unwrap().len() == 1 && permit.all_events(9).unwrap().len() == 1
    }

    /// All rows of the store are whole: the living open, so do the keys that wait for a recovery, and nobody else's are there.
    fn check(&self, vault: &Vault, what: &str) {
        for person in &self.living {
            assert!(self.opens(vault, *person), "{what}");
        }
        let house = &vault.inner.house;
        let store = Arc::clone(&house.generation().store);
        for row in store.scan(Keyspace::House, House::RECOVERIES) {
            let (key, value) = row.unwrap();
            let form: RecoveryForm = format::decode("house", &value).unwrap();
            let id = House::recovery_of(&key).unwrap();
            assert!(PersonKey::from_recovery(&form.sealed, &house.ring, &house.id, &id).is_ok(), "{what}");
        }
        let ids = store.scan(Keyspace::Keys, &[]).filter_map(|row| <[u8; 16]>::try_from(row.unwrap().0).ok());
        let ids: BTreeSet<ProfileId> = ids.map(ProfileId::from_bytes).collect();
        assert_eq!(ids, self.living.iter().copied().collect(), "{what}");
    }

    /// One version is left, and every wrapped row is under it.
    fn check_finished(&self, vault: &Vault, what: &str) {
        let house = &vault.inner.house;
        let version = house.ring.current();
        assert_eq!(house.ring.versions(), [version], "{what}");
        let store = Arc::clone(&house.generation().store);
        for row in store.scan(Keyspace::Keys, &[]) {
            assert_eq!(Ring::version_of(&row.unwrap().1), Some(version), "{what}");
        }
        for row in store.scan(Keyspace::House, House::RECOVERIES) {
            let form: RecoveryForm = format::decode("house", &row.unwrap().1).unwrap();
            assert_eq!(Ring::version_of(&form.sealed), Some(version), "{what}");
        }
    }

    fn open(&self, data: PathBuf) -> Vault {
        Vault::open(&Options { data, ..self.options.clone() }, self.household.clone()).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Rotates with the disk copied at every failpoint: what a process killed there leaves behind.
fn killed_everywhere(shop: &Shop) -> Vec<(&'static str, PathBuf)> {
    let images: Arc<Mutex<Vec<(&'static str, PathBuf)>>> = Arc::default();
    let (list, data, folder) = (Arc::clone(&images), shop.options.data.clone(), shop.folder.path().to_owned());
    shop.vault.inner.house.failpoints.at_each(move |name| {
        let mut list = list.lock().unwrap();
        let image = folder.join(format!("{:02} {name}", list.len()));
        copy(&data, &image);
        list.push((name, image));
    });
    shop.vault.rotate().unwrap().wait().unwrap();
    shop.vault.inner.house.failpoints.at_each(|_| {});
    let images = images.lock().unwrap();
    images.clone()
}

fn killed_anywhere(engine: EngineKind) {
    let mut shop = shop(engine);
    let erased = shop.erase(0, Erasure::Now);
    let waits = shop.erase(0, Erasure::WithinADay);
    let kept_copy = {
        let house = &shop.vault.inner.house;
        let row = house.generation().store.get(Keyspace::Keys, shop.living[0].as_bytes()).unwrap().unwrap();
        house.unwrap_person(&shop.living[0], &row).unwrap();
        row
    };
    let images = killed_everywhere(&shop);
    shop.check_finished(&shop.vault, "control: never killed");
    let mut seen = BTreeSet::new();
    for (name, image) in images {
        // fjall takes seconds to rewrite its files: there each place is looked at once, not in every slice.
        if !seen.insert(name) && engine == EngineKind::Fjall {
            continue;
        }
        let what = format!("{engine:?}, killed at {}", image.file_name().unwrap().display());
        let vault = shop.open(image);
        shop.check(&vault, &what);
        let state = finished(&vault);
        shop.check(&vault, &what);
        shop.check_finished(&vault, &what);
        let version = if name == "before_rotation_begin" { 1 } else { 2 };
        assert_eq!((state.version, state.forgotten_at.is_some()), (version, version == 1), "{what}");
        let store = Arc::clone(&vault.inner.house.generation().store);
        let log = store.scan(Keyspace::House, House::LOG).filter(|row| {
            format::decode::<crate::format::LogForm>("house", &row.as_ref().unwrap().1).unwrap().kind == "rotate"
        });
        assert_eq!(log.count(), version as usize - 1, "{what}: the log says it once");
        for person in [erased, waits] {
            assert!(!shop.opens(&vault, person), "{what}");
        }
        let opens = vault.inner.house.unwrap_person(&shop.living[0], &kept_copy).is_ok();
        assert_eq!(opens, version == 1, "{what}: what was wrapped before opens no more");
    }
}

#[test]
fn d14_a_rotation_killed_anywhere_loses_nobody_and_is_finished_at_the_next_start_on_fjall() {
    killed_anywhere(EngineKind::Fjall);
}

#[test]
fn d14_a_rotation_killed_anywhere_loses_nobody_and_is_finished_at_the_next_start_on_redb() {
    killed_anywhere(EngineKind::Redb);
}

#[test]
fn every_failpoint_of_a_rotation_is_reached_and_there_is_one_on_both_sides_of_each_step() {
    let shop = shop(EngineKind::Memory);
    let reached: Arc<Mutex<BTreeSet<&'static str>>> = Arc::default();
    let set = Arc::clone(&reached);
    shop.vault.inner.house.failpoints.at_each(move |name| {
        set.lock().unwrap().insert(name);
    });
    shop.vault.rotate().unwrap().wait().unwrap();
    assert_eq!(*reached.lock().unwrap(), FAILPOINTS.into_iter().collect());
    let listed = crate::failpoint::Step::ALL.iter().flat_map(|step| <[_; 2]>::from(step.names()));
    let of_rotation = listed.filter(|name| name.contains("_rotation_") && !name.ends_with("_ring_replace"));
    assert_eq!(of_rotation.collect::<BTreeSet<_>>(), FAILPOINTS.into_iter().collect(), "the list is whole");
    for (before, after) in FAILPOINTS.chunks(2).map(|pair| (pair[0], pair[1])) {
        assert_eq!(before.strip_prefix("before_"), after.strip_prefix("after_"));
    }
}

#[test]
fn d14_what_is_written_between_the_slices_of_a_rotation_is_under_the_new_version() {
    for engine in [EngineKind::Memory, EngineKind::Fjall, EngineKind::Redb] {
        let shop = shop(engine);
        let (queue, now) = (shop.vault.inner.queue.clone(), shop.vault.now());
        let (answers, told) = std::sync::mpsc::channel();
        let mut n_slices = 0usize;
        shop.vault.inner.house.failpoints.at_each(move |name| {
            if name != "after_rotation_rewrap_keys" {
                return;
            }
            // Somebody new before and behind the place that the walk has reached, and a new order for somebody known.
            let (yes_reply, answer) = tokio::sync::oneshot::channel();
            let newcomer = format!("new {n_slices}");
            let yes = Command::Consent(Box::new(yes(&newcomer, now)), None, yes_reply);
            queue.try_send(Urgency::Person, yes).unwrap();
            let (order_reply, outcomes) = tokio::sync::oneshot::channel();
            queue.try_send(Urgency::Server, Command::Take(vec![order(&newcomer, now)], order_reply)).unwrap();
            answers.send((answer, outcomes)).unwrap();
            n_slices += 1;
        });
        let rotation = shop.vault.rotate().unwrap().wait().unwrap();
        shop.vault.inner.house.failpoints.at_each(|_| {});
        settle(&shop.vault);
        let mut shop = shop;
        for (answer, outcomes) in told.try_iter() {
            let person = answer.blocking_recv().unwrap().unwrap().profile.unwrap();
            assert!(matches!(outcomes.blocking_recv().unwrap().unwrap()[0], crate::Outcome::Kept { .. }));
            shop.living.push(person);
        }
        assert!(shop.living.len() > PEOPLE.len() + 3, "control: several slices, and somebody came after each");
        let n_days = shop.vault.inner.house.generation().store.scan(Keyspace::Keys, DaySecrets::PREFIX).count();
        assert!(n_days > 0, "control: there are day secrets");
        assert_eq!(rotation.n_rows, (PEOPLE.len() + n_days) as u64, "whoever came later needed no second wrapping");
        shop.check(&shop.vault, "after it");
        shop.check_finished(&shop.vault, "after it");
    }
}

#[test]
fn d10_who_is_erased_while_the_keys_rotate_waits_for_the_next_rotation_and_that_is_noted() {
    let shop = shop(EngineKind::Redb);
    let (house, person) = (Arc::downgrade(&shop.vault.inner.house), shop.living[0]);
    let mut rows = Vec::new();
    let (rows_out, rows_in) = std::sync::mpsc::channel();
    shop.vault.inner.house.failpoints.at_each(move |name| {
        let house = house.upgrade().unwrap();
        if name == "before_rotation_destroy" && rows.is_empty() {
            let row = house.generation().store.get(Keyspace::Keys, person.as_bytes()).unwrap().unwrap();
            rows.push(row.clone());
            rows_out.send(row).unwrap();
            house.begin_erasure(person, Erasure::Now).unwrap();
        }
    });
    shop.vault.rotate().unwrap().wait().unwrap();
    settle(&shop.vault);
    let kept_copy = rows_in.recv().unwrap();
    let opens = |vault: &Vault| vault.inner.house.unwrap_person(&person, &kept_copy).is_ok();
    assert!(opens(&shop.vault), "control: it was wrapped anew before it was deleted");
    assert!(shop.vault.rotation().forgotten_at.is_some());
    shop.clock.advance_days(1);
    let state = shop.vault.rotation();
    assert_eq!(state.ended_at.map(|at| at.plus_days(1)), Some(shop.vault.now()));
    shop.vault.rotate().unwrap().wait().unwrap();
    assert!(!opens(&shop.vault));
    assert_eq!(shop.vault.rotation().forgotten_at, None);
}

#[test]
fn d10_since_when_a_deleted_key_waits_is_known_after_a_restart() {
    let mut shop = shop(EngineKind::Redb);
    assert_eq!(shop.vault.rotation().forgotten_at, None, "nobody has gone yet");
    let erased_at = shop.vault.now();
    shop.erase(0, Erasure::Now);
    shop.clock.advance_days(1);
    shop.erase(0, Erasure::Now);
    let Shop { vault, household, options, .. } = shop;
    assert_eq!(vault.rotation().forgotten_at, Some(erased_at), "the first counts");
    drop(vault);
    let vault = Vault::open(&options, household).unwrap();
    assert_eq!(vault.rotation().forgotten_at, Some(erased_at));
}

#[test]
fn a_row_that_does_not_open_keeps_the_old_version_and_the_next_rotation_does_not_add_another() {
    let shop = shop(EngineKind::Redb);
    let house = &shop.vault.inner.house;
    let key = shop.living[3].as_bytes().to_vec();
    let whole = house.generation().store.get(Keyspace::Keys, &key).unwrap().unwrap();
    let mut broken = whole.clone();
    *broken.last_mut().unwrap() ^= 1;
    let put = |row: Vec<u8>| {
        house.engine.commit(vec![Op::Put(Keyspace::Keys, key.clone(), row)]).unwrap();
        let store = house.engine.snapshot();
        house.publish(|generation| generation.store = store);
    };
    put(broken);
    for _ in 0..3 {
        let refused = shop.vault.rotate().unwrap().wait();
        assert!(matches!(refused, Err(VaultError::Damaged { keyspace: "keys", .. })), "{refused:?}");
        assert_eq!(house.ring.versions(), [1, 2]);
        assert!(shop.vault.rotation().is_under_way);
    }
    put(whole);
    let rotation = shop.vault.rotate().unwrap().wait().unwrap();
    assert_eq!(rotation.version, 3, "the unfinished one is finished, then comes the one that was asked for");
    shop.check(&shop.vault, "after it");
    shop.check_finished(&shop.vault, "after it");
}

#[test]
fn two_who_ask_at_once_are_answered_by_one_rotation() {
    let shop = shop(EngineKind::Memory);
    let stalled = shop.vault.inner.house.stall();
    let asked = [shop.vault.rotate().unwrap(), shop.vault.rotate().unwrap()];
    drop(stalled);
    for answer in asked {
        assert!(answer.wait().unwrap().version <= 3);
    }
    shop.check_finished(&shop.vault, "after both");
}
