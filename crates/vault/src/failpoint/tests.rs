//! One life of a house with its folder copied at every named place: each copy is what a kill there leaves behind, and opens with
//! everything that had been acknowledged by then (`docs/faults.md`, "What must hold").

use super::{EVERYWHERE, Step};
use crate::backup::{Beside, Extent, Plan, Shelf, restore, take};
use crate::fixture::{self, Counts, House};
use crate::narrowing::Reach;
use crate::witness::{Seen, Witness};
use crate::{EngineKind, Erasure, Household, NARROWING_DAYS, Options, Subject, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, ConsentStatus};
use promise::ArtefactKind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Set for the process that lives the life: which engine.
const ENGINE: &str = "FINELINE_TEST_LIFE";
const PEOPLE: [&str; 4] = ["ada", "ben", "cleo", "dan"];
const ORDERS: [u32; 4] = [3, 1, 1, 1];
/// Notes after which a witness file is written anew.
const NOTES: u64 = 2_060;

/// What people were told by some moment.
#[derive(Clone, Default)]
struct Told {
    orders: BTreeMap<&'static str, u32>,
    /// Whether offers may be sent: the last answer, and the one that is on its way.
    is_yes: BTreeMap<&'static str, bool>,
    gone: BTreeSet<&'static str>,
    /// About whom something is on its way, which may have happened.
    under_way: Option<&'static str>,
}

struct Image {
    place: &'static str,
    phase: &'static str,
    folder: PathBuf,
    told: Told,
    at: At,
}

struct Life {
    told: Told,
    phase: &'static str,
    seen: BTreeSet<(&'static str, &'static str)>,
    images: Vec<Image>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn household() -> (Household, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(At::parse(fixture::TODAY).unwrap()));
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
        rng: Arc::new(Seeded::new(7)),
        projection: Arc::new(Counts::new()),
    };
    (household, clock)
}

/// Everything that a house does to its disk. From each phase on, each place is copied the first time it is met.
fn live(engine: EngineKind) -> (Vec<Image>, tempfile::TempDir) {
    let (top, images) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let life =
        Arc::new(Mutex::new(Life { told: Told::default(), phase: "made", seen: BTreeSet::new(), images: Vec::new() }));
    let (household, clock) = household();
    let (of_places, whole, to, time) =
        (Arc::clone(&life), top.path().to_owned(), images.path().to_owned(), Arc::clone(&clock));
    *EVERYWHERE.lock().unwrap() = Some(Box::new(move |place| {
        let mut life = of_places.lock().unwrap();
        let phase = life.phase;
        if life.seen.insert((phase, place)) {
            let folder = to.join(format!("{:03} {phase} {place}", life.images.len()));
            copy(&whole, &folder);
            let (told, at) = (life.told.clone(), model::Clock::now(&*time));
            life.images.push(Image { place, phase, folder, told, at });
        }
    }));
    let of_life = top.path().to_owned();
    let path = |name: &str| of_life.join(name);
    let tell = |change: &dyn Fn(&mut Told)| {
        let told = &mut life.lock().unwrap().told;
        change(told);
        told.under_way = None;
    };
    let begin = |phase: &'static str| life.lock().unwrap().phase = phase;
    let about = |name: &'static str| life.lock().unwrap().told.under_way = Some(name);

    let house = House::within(top, engine, household.clone(), Arc::clone(&clock), Some("witness"));
    house.review_all();
    begin("lived");
    for (name, n) in PEOPLE.into_iter().zip(ORDERS) {
        for order in 0..n {
            about(name);
            let at = house.now().plus_days(-100 - i32::try_from(order).unwrap());
            house.take(house.order(name, at, &format!("{name}-{order}")));
            tell(&|told| *told.orders.entry(name).or_default() += 1);
        }
    }
    let answer = |name: &'static str, status: ConsentStatus| {
        about(name);
        let person = house.find(name).unwrap();
        house.consent(Subject::Profile(person), "offers", status);
        // Acknowledged from the urgent log; the place after the store has it is met before the next act begins.
        tell(&|told| {
            told.is_yes.insert(name, status.is_given());
        });
        house.vault.put_house_record("settled", Some(vec![1])).unwrap().wait().unwrap();
    };
    let erase = |name: &'static str, how: Erasure| {
        about(name);
        house.vault.erase(house.find(name).unwrap(), how).unwrap().wait().unwrap();
        tell(&|told| {
            told.gone.insert(name);
        });
        house.vault.put_house_record("settled", Some(vec![1])).unwrap().wait().unwrap();
    };
    answer("ada", ConsentStatus::Given);
    answer("ben", ConsentStatus::Given);
    begin("took back");
    answer("ben", ConsentStatus::Withdrawn);
    begin("erased");
    erase("cleo", Erasure::WithinADay);
    house.vault.witness().unwrap();
    begin("rotated");
    house.vault.rotate().unwrap().wait().unwrap();
    let shelf = Shelf { data: path("backup"), keys: path("backup-keys") };
    let back_up = || {
        let mut streams = Vec::new();
        house.vault.backup().unwrap().wait().unwrap().write(&mut streams).unwrap();
        let beside = Beside::of(&path("data"));
        take(&mut streams.as_slice(), &shelf, &beside, Extent::Changes, house.now()).unwrap();
    };
    begin("backed up");
    back_up();
    begin("after the backup");
    answer("ada", ConsentStatus::Withdrawn);
    erase("dan", Erasure::Now);
    begin("restored");
    let plan = Plan {
        beside: Beside::of(&path("data")),
        shelf: shelf.clone(),
        at: None,
        n_witnessed: None,
        witness: None,
        root: path("root").into(),
        into: path("new"),
        engine,
    };
    restore(&plan, household.clone()).unwrap();
    begin("years later");
    let keys = Arc::clone(&house.vault.inner.house.keys);
    let mut witness = Witness::open(&path("elsewhere"), keys, &house.vault.house()).unwrap();
    let Reach { epoch, mac } = house.vault.inner.house.urgent().tombstones.end();
    (1..=NOTES).for_each(|size| {
        let at = house.now();
        let seen = Seen { size, root: [7; 32], tombstone_epoch: epoch, tombstone_mac: mac, at, restored_from: None };
        witness.note(seen).unwrap();
    });
    // What was told may run out from here on: that nobody comes back is still asked.
    tell(&|told| (told.orders, told.is_yes) = (BTreeMap::new(), BTreeMap::new()));
    clock.advance_days(NARROWING_DAYS + 1);
    house.vault.put_house_record("settled", Some(vec![2])).unwrap().wait().unwrap();
    back_up();
    house.vault.sweep().unwrap().wait().unwrap();
    drop(house.close());
    *EVERYWHERE.lock().unwrap() = None;
    let images_of = std::mem::take(&mut life.lock().unwrap().images);
    (images_of, images)
}

/// What must hold of a folder that was killed at a place.
fn check(image: &Image, engine: EngineKind) {
    let what = format!("{engine:?}, {}, killed at {}", image.phase, image.place);
    let folder = |name: &str| image.folder.join(name);
    let (household, clock) = household();
    clock.set(image.at);
    let options = |data: PathBuf, witness: Option<PathBuf>| Options {
        data,
        engine,
        root: folder("root").into(),
        queue_max: 100,
        witness,
    };
    let living = options(folder("data"), Some(folder("witness")));
    if !folder("data").join("house").exists() {
        assert_eq!(image.phase, "made", "{what}: a house is one from its first moment on");
        Vault::create(&living, &household).unwrap_or_else(|error| panic!("{what}: cannot be made again: {error}"));
    }
    opens(&living, &household, &image.told, &what);
    let restored = folder("new");
    if image.phase == "restored" && restored.join("house").exists() {
        opens(&options(restored, None), &household, &image.told, &format!("{what}, the restored one"));
    } else if image.phase == "restored" && restored.exists() {
        let opened = Vault::open(&options(restored.clone(), None), household.clone());
        assert!(opened.is_err(), "{what}: half a restored house does not open");
    }
}

fn opens(options: &Options, household: &Household, told: &Told, what: &str) {
    let vault = Vault::open(options, household.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let snapshot = vault.snapshot();
    let artefact = |kind, name| household.promise.artefact(kind, name).unwrap().id;
    for name in PEOPLE {
        let is_under_way = told.under_way == Some(name);
        let person = snapshot.find(&fixture::user(name));
        if told.gone.contains(name) {
            assert!(person.is_none(), "{what}: an erased person is there");
            continue;
        }
        let n_told = told.orders.get(name).copied().unwrap_or(0) as usize;
        let Some(person) = person else {
            assert!(n_told == 0 || is_under_way, "{what}: somebody with acknowledged orders is not there");
            continue;
        };
        let portal = snapshot.permit(person, artefact(ArtefactKind::Page, "portal"));
        let portal = portal.unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"));
        let orders: Vec<_> = portal
            .all_events(100)
            .unwrap()
            .iter()
            .map(|event| match event.reveal().event.properties.get("order_id") {
                Some(model::Value::Text(id)) => id.clone(),
                _ => String::new(),
            })
            .collect();
        assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), orders.len(), "{what}: an order is there twice");
        assert!(orders.iter().all(|order| order.starts_with(name)), "{what}: somebody else's order is there");
        let n_most = n_told + usize::from(is_under_way);
        assert!(told.orders.is_empty() || (n_told..=n_most).contains(&orders.len()), "{what}: orders are lost");
        let is_yes = snapshot.permit(person, artefact(ArtefactKind::Campaign, "win_back")).is_ok();
        if let Some(last) = told.is_yes.get(name).filter(|_| !is_under_way) {
            assert_eq!(is_yes, *last, "{what}: an answer is older than the last one acknowledged");
        }
    }
    drop(snapshot);
    vault.close().unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// The life and its images, in a process of its own: the places are those of a whole process.
#[test]
#[ignore = "started by the test below"]
fn a_life() {
    let engine = match std::env::var(ENGINE).as_deref() {
        Ok("fjall") => EngineKind::Fjall,
        _ => EngineKind::Redb,
    };
    let (images, _folder) = live(engine);
    let met: BTreeSet<&str> = images.iter().map(|image| image.place).collect();
    let every: BTreeSet<&str> = Step::ALL.iter().flat_map(|step| <[_; 2]>::from(step.names())).collect();
    assert_eq!(met, every, "every place is met");
    images.iter().for_each(|image| check(image, engine));
    // Controls: a folder that lost what was acknowledged is noticed.
    let last = images.iter().rfind(|image| image.phase == "after the backup").unwrap();
    let caught = |told: Told| {
        let image = Image { told, folder: last.folder.clone(), ..*last };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&image, engine))).is_err()
    };
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut one_more = last.told.clone();
    *one_more.orders.entry("ben").or_default() += 1;
    let mut gone = last.told.clone();
    gone.gone.insert("ben");
    let mut yes = last.told.clone();
    yes.is_yes.insert("ben", true);
    let caught = [one_more, gone, yes].map(caught);
    std::panic::set_hook(quiet);
    assert_eq!(caught, [true; 3], "a lost order, an erased person and an old answer are noticed");
}

fn killed_everywhere(engine: &str) {
    let program = std::env::current_exe().unwrap();
    let lived = std::process::Command::new(program)
        .args(["--exact", "failpoint::tests::a_life", "--ignored", "--nocapture"])
        .env(ENGINE, engine)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&lived.stderr);
    assert!(lived.status.success(), "{}", &said[said.len().saturating_sub(3_000)..]);
}

#[test]
fn a_house_killed_at_any_named_place_opens_with_what_was_acknowledged_on_redb() {
    killed_everywhere("redb");
}

#[test]
fn a_house_killed_at_any_named_place_opens_with_what_was_acknowledged_on_fjall() {
    killed_everywhere("fjall");
}
