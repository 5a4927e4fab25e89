//! Streams out of a house and a house out of streams: everything is there again, but nobody who was erased and nothing
//! that was taken back.

use crate::fixture::{House, browser, user};
use crate::sending::{decide, decision};
use model::chance::Seeded;
use model::{ConsentStatus, ProfileId, Rng};
use promise::RefusalReason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use vault::backup::{Beside, Drilled, Extent, KEY_BACKUP_DAYS, Plan, Restored, Shelf, Taken, drill, restore, take};
use vault::fsck::Told;
use vault::{EngineKind, Erasure, Options, Outcome, OutcomeReason, Reduction, Subject, Vault, VaultError};

const ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Redb];

fn shelf(house: &House) -> Shelf {
    let folder = house.folder().unwrap();
    Shelf { data: folder.join("backup"), keys: folder.join("keys-apart") }
}

fn backup_of(house: &House, extent: Extent) -> Result<Taken, VaultError> {
    let mut streams = Vec::new();
    house.vault.backup().unwrap().wait().unwrap().write(&mut streams).unwrap();
    take(&mut streams.as_slice(), &shelf(house), &Beside::of(&house.parts().0.data), extent, house.now())
}

fn backup(house: &House) -> Taken {
    backup_of(house, Extent::Changes).unwrap()
}

/// With the newest of the two files, as they lie in the living house.
fn plan(house: &House, at: Option<u64>, into: &str) -> Plan {
    let (options, _) = house.parts();
    Plan {
        shelf: shelf(house),
        at,
        beside: Beside::of(&options.data),
        n_witnessed: None,
        witness: None,
        root: options.root.clone(),
        into: house.folder().unwrap().join(into),
        engine: options.engine,
    }
}

fn restored(house: &House, plan: &Plan) -> (Vault, Restored) {
    let (options, household) = house.parts();
    let done = restore(plan, household.clone()).unwrap();
    let options = Options { data: plan.into.clone(), witness: plan.witness.clone(), ..options.clone() };
    // As whole as if it had never been anything else: each row counted, each record where it belongs.
    let mut findings = Vec::new();
    vault::fsck::fsck(&options, household.clone(), &mut |told| {
        if let Told::Found(finding) = told {
            findings.push(finding);
        }
    })
    .unwrap();
    assert_eq!(findings, []);
    (Vault::open(&options, household.clone()).unwrap(), done)
}

fn refused(house: &House, plan: &Plan) -> String {
    let error = restore(plan, house.parts().1.clone()).expect_err("a restore that must not be");
    assert!(!plan.into.join("house").exists(), "nothing opens it");
    error.to_string()
}

fn settle(house: &House) {
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
}

fn erase(house: &House, person: ProfileId, how: Erasure) {
    house.vault.erase(person, how).unwrap().wait().unwrap();
    settle(house);
}

fn say(house: &House, person: ProfileId, status: ConsentStatus) {
    house.consent(Subject::Profile(person), "offers", status);
    settle(house);
}

/// Why the campaign may not have this person; `None` when it may.
fn refusal(vault: &Vault, house: &House, person: ProfileId) -> Option<RefusalReason> {
    vault.snapshot().permit(person, house.campaign()).err().map(|refusal| refusal.reason)
}

fn drilled(house: &House, plan: &Plan) -> Drilled {
    drill(plan, house.parts().1.clone()).unwrap()
}

#[test]
fn c22_what_was_there_at_the_backup_is_there_after_a_restore() {
    for engine in ENGINES {
        let house = House::over(engine);
        let people: Vec<ProfileId> = ["ada", "bob", "cy"].map(|name| house.customer(name, 3, 100)).to_vec();
        let full = backup(&house);
        assert_eq!((full.base, full.n_written), (None, full.n_rows));
        let dora = house.customer("dora", 2, 50);
        let changes = backup(&house);
        assert_eq!(changes.base, Some(full.batch));
        assert!(changes.n_written < changes.n_rows, "{changes:?}");
        house.customer("eve", 1, 5);
        let plan = plan(&house, None, "new");
        let found = drilled(&house, &plan);
        assert!(found.is_sound() && found.n_compared > full.n_rows && found.n_opened > 20, "{found:?}");
        let (vault, done) = restored(&house, &plan);
        assert_eq!(
            (done.batch, done.n_people, done.n_erased, done.n_taken_back),
            (changes.batch, 4, 0, 0),
            "{engine:?}"
        );
        for person in people.iter().chain([&dora]) {
            assert_eq!(refusal(&vault, &house, *person), None);
            let snapshot = vault.snapshot();
            let permit = snapshot.permit(*person, house.portal()).unwrap();
            assert!(permit.all_events(10).unwrap().len() >= 2);
        }
        assert_eq!(vault.snapshot().find(&user("eve")), None, "who came later is not in it");
        let (old, _) =
            restored(&house, &Plan { at: Some(full.batch), into: plan.into.with_file_name("older"), ..plan });
        assert!(old.snapshot().find(&user("ada")).is_some() && old.snapshot().find(&user("dora")).is_none());
    }
}

#[test]
fn d10_an_erased_person_does_not_come_back_from_a_backup() {
    for engine in ENGINES {
        for how in [Erasure::Now, Erasure::WithinADay] {
            let house = House::over(engine);
            let (ada, bob) = (house.customer("ada", 3, 100), house.customer("bob", 3, 100));
            let decided = decide(&house, decision(&house, ada, 1)).unwrap();
            house.vault.message_token(decided).unwrap().wait().unwrap().unwrap();
            backup(&house);
            erase(&house, ada, how);
            let (vault, done) = restored(&house, &plan(&house, None, "new"));
            assert_eq!((done.n_people, done.n_erased), (1, 1));
            assert_eq!(refusal(&vault, &house, ada), Some(RefusalReason::NoSuchPerson));
            assert_eq!((vault.snapshot().find(&user("ada")), refusal(&vault, &house, bob)), (None, None));
            let folder = house.folder().unwrap().join("new");
            vault.close().unwrap();
            drop(vault);
            let holding = crate::fixture::files(&folder).into_iter();
            let left: Vec<PathBuf> = holding
                .filter(|(_, content)| crate::fixture::contains(content, ada.as_bytes()))
                .map(|(path, _)| path)
                .collect();
            assert_eq!(left, Vec::<PathBuf>::new(), "{engine:?}: no row of hers was left by the rotation");
            let (options, household) = house.parts();
            let vault = Vault::open(&Options { data: folder, ..options.clone() }, household.clone()).unwrap();
            let old = house.order("ada", house.now().plus_days(-100), "ada-0");
            let again = vault.take(vec![old]).unwrap().wait().unwrap();
            assert!(matches!(again[0], Outcome::Refused { reason: OutcomeReason::Erased, .. }), "{again:?}");
        }
    }
}

#[test]
fn c22_what_was_taken_back_after_the_backup_stays_taken_back() {
    let house = House::over(EngineKind::Redb);
    let names = ["ada", "bob", "cy", "dora", "eve", "fay"];
    let [ada, bob, cy, dora, eve, fay] = names.map(|name| house.customer(name, 3, 100));
    say(&house, ada, ConsentStatus::Withdrawn);
    say(&house, ada, ConsentStatus::Given);
    backup(&house);
    say(&house, bob, ConsentStatus::Withdrawn);
    // Taken back and given again: the yes is lost with the data, the no is not.
    say(&house, cy, ConsentStatus::Withdrawn);
    say(&house, cy, ConsentStatus::Given);
    house.vault.reduce(dora, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    house.vault.reduce(eve, Reduction::Less).unwrap().wait().unwrap();
    settle(&house);
    // She asked to be left alone, and then to be forgotten.
    house.vault.reduce(fay, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    settle(&house);
    erase(&house, fay, Erasure::Now);
    let (vault, done) = restored(&house, &plan(&house, None, "new"));
    assert_eq!(refusal(&vault, &house, ada), None, "what was taken back before the backup, and given again, stands");
    assert_eq!(refusal(&vault, &house, bob), Some(RefusalReason::Withdrawn));
    assert_eq!(refusal(&vault, &house, cy), Some(RefusalReason::Withdrawn));
    assert_eq!(refusal(&vault, &house, dora), Some(RefusalReason::Restrained));
    assert_eq!((done.n_taken_back, done.n_erased), (4, 1), "bob, cy, dora, and eve's limit");
    let fay = Subject::Identifiers { user: Some(user("fay")), anonymous: None };
    let mut yes = house.answer(fay, "offers", ConsentStatus::Given);
    yes.words.answered_at = house.now().plus_days(1);
    let answer = vault.consent(yes).unwrap().wait().unwrap();
    assert_eq!((answer.profile, answer.refusal), (None, Some(OutcomeReason::Restrained)));
}

#[test]
fn c22_a_restore_is_refused_without_the_newest_tombstones() {
    let house = House::over(EngineKind::Redb);
    let people: Vec<ProfileId> = ["a", "b", "c", "d"].map(|name| house.customer(name, 1, 10)).to_vec();
    erase(&house, people[0], Erasure::Now);
    say(&house, people[3], ConsentStatus::Withdrawn);
    backup(&house);
    let copied = Beside::of(&shelf(&house).data);
    let older = house.folder().unwrap().join("older");
    std::fs::create_dir(&older).unwrap();
    let older = Beside::of(&older);
    std::fs::copy(&copied.tombstones, &older.tombstones).unwrap();
    std::fs::copy(&copied.narrowings, &older.narrowings).unwrap();
    erase(&house, people[1], Erasure::Now);
    say(&house, people[2], ConsentStatus::Withdrawn);
    backup(&house);
    let plan = plan(&house, None, "new");
    let newest = plan.beside.clone();
    let with = |tombstones: &Path, narrowings: &Path| Plan {
        beside: Beside { tombstones: tombstones.to_path_buf(), narrowings: narrowings.to_path_buf() },
        ..plan.clone()
    };
    let gone = Path::new("/nonexistent/file");
    assert!(refused(&house, &with(gone, &newest.narrowings)).contains("there is no tombstone file"));
    assert!(refused(&house, &with(&older.tombstones, &newest.narrowings)).contains("it has 1 erasures"));
    assert!(refused(&house, &with(&newest.tombstones, gone)).contains("nobody knows what people took back"));
    assert!(refused(&house, &with(&newest.tombstones, &older.narrowings)).contains("it has 1 entries"));
    // As long as it should be, but not ours in the middle.
    #[expect(clippy::disallowed_methods, reason = "a test forges a file")]
    let mut forged = std::fs::read(&newest.tombstones).unwrap();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    #[expect(clippy::disallowed_methods, reason = "a test forges a file")]
    std::fs::write(&older.tombstones, &forged).unwrap();
    assert!(refused(&house, &with(&older.tombstones, &newest.narrowings)).contains("not the one that was written"));
    let stranger = House::seeded(EngineKind::Redb, promise::fixture::SHOP, 9);
    let other = Beside::of(&stranger.parts().0.data);
    assert!(!refused(&house, &with(&other.tombstones, &newest.narrowings)).is_empty(), "another house's");
    let seen = Plan { n_witnessed: Some(3), ..plan.clone() };
    assert!(refused(&house, &seen).contains("the witness saw 3"));
    assert!(!plan.into.exists(), "nothing was written");
    restored(&house, &Plan { n_witnessed: Some(2), ..plan });
}

#[test]
fn c22_a_restore_is_held_against_the_witness_and_tells_it_of_the_step_back() {
    let house = House::over(EngineKind::Redb);
    let (options, household) = house.parts();
    let witness = house.folder().unwrap().join("witness");
    let (ada, bob) = (house.customer("ada", 1, 10), house.customer("bob", 1, 10));
    erase(&house, ada, Erasure::Now);
    backup(&house);
    let old = house.folder().unwrap().join("old-tombstones");
    std::fs::copy(options.data.join("tombstones"), &old).unwrap();
    std::fs::copy(options.data.join("narrowings"), old.with_file_name("narrowings")).unwrap();
    erase(&house, bob, Erasure::Now);
    let plan = Plan { witness: Some(witness.clone()), ..plan(&house, None, "new") };
    let served = Options { witness: plan.witness.clone(), ..options.clone() };
    let household = household.clone();
    let _folder = house.close();
    let open = |data: &Path| {
        let vault = Vault::open(&Options { data: data.to_path_buf(), ..served.clone() }, household.clone())?;
        vault.close()
    };
    open(&served.data).unwrap();
    let older = Plan { beside: Beside { tombstones: old, ..plan.beside.clone() }, ..plan.clone() };
    let says = restore(&older, household.clone()).expect_err("who was erased since would come back").to_string();
    assert!(says.contains("is not what the witness saw at 2"), "{says}");
    drill(&plan, household.clone()).unwrap();
    open(&served.data).unwrap();
    restore(&plan, household.clone()).unwrap();
    open(&plan.into).unwrap();
    let left = open(&served.data).expect_err("the folder that was left behind is the older one now");
    assert!(matches!(left, VaultError::Behind { .. }), "{left}");
}

#[test]
fn c22_streams_that_are_damaged_foreign_or_of_older_keys_are_refused_by_name() {
    let house = House::over(EngineKind::Redb);
    house.customer("ada", 1, 10);
    let first = backup(&house);
    house.customer("bob", 1, 10);
    let second = backup(&house);
    let plan = plan(&house, None, "new");
    let stranger = House::seeded(EngineKind::Redb, promise::fixture::SHOP, 9);
    let wrong = Plan { root: stranger.parts().0.root.clone(), ..plan.clone() };
    assert!(refused(&house, &wrong).contains("does not open"));
    let full = Plan { into: house.folder().unwrap().to_path_buf(), ..plan.clone() };
    assert!(refused(&house, &full).contains("not empty"));
    assert!(refused(&house, &Plan { at: Some(9_999), ..plan.clone() }).contains("no data stream of batch 9999"));
    for path in [second.keys.clone(), second.data.clone().unwrap(), first.data.clone().unwrap()] {
        #[expect(clippy::disallowed_methods, reason = "a test damages a file")]
        let whole = std::fs::read(&path).unwrap();
        let with = |bytes: &[u8]| {
            #[expect(clippy::disallowed_methods, reason = "a test damages a file")]
            std::fs::write(&path, bytes).unwrap();
            let says = refused(&house, &plan);
            assert!(says.contains(path.file_name().unwrap().to_str().unwrap()), "{says}");
        };
        for at in (8..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            with(&changed);
            with(&whole[..at]);
        }
        with(&[whole.clone(), whole.clone()].concat());
        #[expect(clippy::disallowed_methods, reason = "a test mends a file")]
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::remove_file(&second.keys).unwrap();
    assert!(refused(&house, &plan).contains("no key stream of batch"), "older keys are not taken");
    restored(&house, &Plan { at: Some(first.batch), ..plan });
}

#[test]
fn d10_newer_keys_close_what_was_destroyed_after_the_data() {
    let house = House::over(EngineKind::Redb);
    let (ada, bob) = (house.customer("ada", 2, 10), house.customer("bob", 2, 10));
    let device = house.consent(browser("b"), "measuring", ConsentStatus::Given).profile.unwrap();
    let old = backup(&house);
    erase(&house, ada, Erasure::Now);
    house.customer("cy", 1, 3);
    let new = backup(&house);
    std::fs::remove_file(&old.keys).unwrap();
    let (vault, done) = restored(&house, &plan(&house, Some(old.batch), "new"));
    assert_eq!((done.batch, done.keys_batch, done.n_people), (old.batch, new.batch, 2));
    assert_eq!((done.n_erased, done.n_without_keys), (1, 1), "ada by her tombstone; cy is in the keys only");
    assert_eq!((refusal(&vault, &house, bob), refusal(&vault, &house, ada)), (None, Some(RefusalReason::NoSuchPerson)));
    assert!(vault.snapshot().permit(device, house.portal()).is_ok());
    let again = vault.take(vec![house.order("ada", house.now().plus_days(-10), "ada-0")]).unwrap().wait().unwrap();
    assert!(
        matches!(again[0], Outcome::Refused { reason: OutcomeReason::Erased, .. }),
        "the keys know who left: {again:?}"
    );
}

#[test]
fn d10_key_streams_go_after_seven_days_and_data_streams_stay() {
    let house = House::over(EngineKind::Redb);
    house.customer("ada", 1, 10);
    let first = backup(&house);
    for _ in 1..KEY_BACKUP_DAYS {
        house.clock.advance_days(1);
        house.customer("bob", 1, 10);
        assert!(backup(&house).removed.is_empty());
    }
    house.clock.advance_days(1);
    let last = backup(&house);
    assert_eq!(last.removed, std::slice::from_ref(&first.keys));
    assert!(!first.keys.exists() && first.data.unwrap().exists());
    // The date on the page: a rotation within a day, and the longest life of a key stream.
    let person = house.find("ada").unwrap();
    let answer = house.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
    assert_eq!(answer.unrecoverable_on, house.now().day().plus(1 + KEY_BACKUP_DAYS));
}

#[test]
fn c22_a_rotation_while_streams_are_read_fails_cleanly_and_can_be_asked_again() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 2, 10);
        let source = house.vault.backup().unwrap().wait().unwrap();
        house.customer("bob", 1, 10);
        let says = house.vault.rotate().unwrap().wait().unwrap_err();
        assert!(std::error::Error::source(&says).unwrap().to_string().contains("snapshot"), "{says}");
        let mut streams = Vec::new();
        source.write(&mut streams).unwrap();
        drop(source);
        house.vault.rotate().unwrap().wait().unwrap();
        assert!(house.vault.snapshot().permit(person, house.portal()).is_ok());
        let beside = Beside::of(&house.parts().0.data);
        take(&mut streams.as_slice(), &shelf(&house), &beside, Extent::Changes, house.now()).unwrap();
        let (vault, _) = restored(&house, &plan(&house, None, "new"));
        assert_eq!(refusal(&vault, &house, person), None, "the ring is that of the same moment");
    }
}

#[test]
fn c22_a_message_that_may_have_been_sent_since_is_not_sent_again() {
    let house = House::over(EngineKind::Redb);
    let person = house.customer("ada", 3, 100);
    decide(&house, decision(&house, person, 1)).unwrap();
    let running = br#"{"state":"running","run":1}"#.to_vec();
    house.vault.put_house_record("campaign/win_back", Some(running)).unwrap().wait().unwrap();
    backup(&house);
    let (vault, done) = restored(&house, &plan(&house, None, "new"));
    assert_eq!((done.n_messages, done.n_paused), (1, 1));
    let snapshot = vault.snapshot();
    assert!(snapshot.outbox_counts().unwrap().iter().all(|(_, n)| *n == 0));
    let record = snapshot.house_record("campaign/win_back").unwrap().unwrap();
    assert!(String::from_utf8(record).unwrap().contains("paused"));
}

#[test]
fn c22_a_half_finished_restore_is_refused_by_name() {
    let house = House::over(EngineKind::Redb);
    house.customer("ada", 1, 10);
    backup(&house);
    let plan = plan(&house, None, "new");
    drop(restored(&house, &plan));
    std::fs::rename(plan.into.join("house"), plan.into.join("restoring")).unwrap();
    let (options, household) = house.parts();
    let opened = Vault::open(&Options { data: plan.into, ..options.clone() }, household.clone());
    assert!(opened.unwrap_err().to_string().contains("half-finished restore"));
}

#[test]
fn a_copy_of_the_tombstones_is_never_replaced_by_one_that_reaches_less_far() {
    let house = House::over(EngineKind::Redb);
    let (ada, bob) = (house.customer("ada", 1, 10), house.customer("bob", 1, 10));
    erase(&house, ada, Erasure::Now);
    backup(&house);
    let older = house.folder().unwrap().join("older");
    std::fs::copy(Beside::of(&house.parts().0.data).tombstones, &older).unwrap();
    erase(&house, bob, Erasure::Now);
    backup(&house);
    let copy = Beside::of(&shelf(&house).keys).tombstones;
    let n_bytes = std::fs::metadata(&copy).unwrap().len();
    settle(&house);
    std::fs::rename(&older, Beside::of(&house.parts().0.data).tombstones).unwrap();
    let says = backup_of(&house, Extent::Changes).unwrap_err().to_string();
    assert!(says.contains("reaches further"), "{says}");
    assert_eq!(std::fs::metadata(&copy).unwrap().len(), n_bytes);
}

/// Random histories: whatever backup is restored, nobody erased is there and nothing taken back is given.
#[test]
fn c22_no_random_history_brings_anybody_or_any_yes_back() {
    for seed in 0..20_u64 {
        let engine = if seed.is_multiple_of(5) { EngineKind::Fjall } else { EngineKind::Redb };
        history(&House::seeded(engine, promise::fixture::SHOP, 100 + seed), seed);
    }
}

fn history(house: &House, seed: u64) {
    let rng = Seeded::new(seed);
    let below = |n: usize| usize::try_from(u64::from_le_bytes((&rng as &dyn Rng).bytes()) % n as u64).unwrap();
    let mut people: BTreeMap<String, ProfileId> = BTreeMap::new();
    let (mut erased, mut alone, mut batches) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    // The newest backup before somebody last took a yes back.
    let mut last_no: BTreeMap<ProfileId, Option<u64>> = BTreeMap::new();
    for step in 0..24 {
        let some = people.values().nth(below(people.len().max(1))).copied().filter(|id| !erased.contains(id));
        match (below(10), some) {
            (0..=2, _) | (_, None) => {
                let name = format!("p{step}");
                people.insert(name.clone(), house.customer(&name, 1, 10));
            }
            (3, Some(person)) => {
                erase(house, person, if below(2) == 0 { Erasure::Now } else { Erasure::WithinADay });
                erased.insert(person);
            }
            (4, Some(person)) => {
                house.vault.reduce(person, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
                settle(house);
                alone.insert(person);
            }
            (5 | 6, Some(person)) => {
                say(house, person, ConsentStatus::Withdrawn);
                last_no.insert(person, batches.last().copied());
            }
            (7, Some(person)) => say(house, person, ConsentStatus::Given),
            (8, _) if seed.is_multiple_of(4) => drop(house.vault.rotate().unwrap().wait().unwrap()),
            _ => batches.push(backup(house).batch),
        }
        house.clock.advance_ms(1_000);
    }
    batches.push(backup(house).batch);
    batches.dedup();
    let n = below(batches.len());
    let (vault, _) = restored(house, &plan(house, Some(batches[n]), "new"));
    for (name, person) in &people {
        let refusal = refusal(&vault, house, *person);
        let absent = refusal == Some(RefusalReason::NoSuchPerson);
        assert!(!erased.contains(person) || absent, "seed {seed}: {name} was erased");
        assert!(!erased.contains(person) || vault.snapshot().find(&user(name)).is_none(), "seed {seed}: {name}");
        assert!(absent || !alone.contains(person) || refusal.is_some(), "seed {seed}: {name} is left alone");
        let taken_back_after = last_no.get(person).is_some_and(|at| *at >= Some(batches[n]));
        assert!(absent || !taken_back_after || refusal.is_some(), "seed {seed}: {name} took it back");
    }
}

/// Backed up while an erasure waited, and taken back since: the restored house has the person, with their index and keys.
#[test]
fn d10_an_erasure_that_was_taken_back_after_the_backup_is_taken_back_in_what_is_restored() {
    for engine in ENGINES {
        let house = House::over(engine);
        let (ada, bob) = (house.customer("ada", 3, 100), house.customer("bob", 3, 100));
        backup(&house);
        erase(&house, ada, Erasure::WithinADay);
        erase(&house, bob, Erasure::WithinADay);
        settle(&house);
        let waiting = backup(&house);
        let by = vault::UndoneBy::Person;
        house.vault.undo_erasure(vault::ErasedWho::Profile(ada), by).unwrap().wait().unwrap().unwrap();
        settle(&house);
        backup(&house);
        for (name, batch) in [("newest", None), ("waiting", Some(waiting.batch))] {
            let (vault, done) = restored(&house, &plan(&house, batch, name));
            assert_eq!((done.n_people, refusal(&vault, &house, ada)), (1, None), "{engine:?} {name}");
            assert_eq!(vault.snapshot().find(&user("ada")), Some(ada), "{engine:?} {name}");
            assert_eq!(refusal(&vault, &house, bob), Some(RefusalReason::NoSuchPerson), "{engine:?} {name}");
        }
    }
}
