//! A process whose n-th allocation fails: it ends, and the next one opens the folder and has all that was acknowledged. The same for
//! what reads a promise and its rules: it ends, or it answers as it would have. Each n is a process of its own, because a
//! failed allocation ends one.

use crate::LEFT;
use crate::fixture::{self, House};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, CampaignName, ConsentStatus, DecisionId, ItemCode, OfferName};
use promise::{ArtefactKind, ChannelKind};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use vault::{EngineKind, FactRead, Household, ItemBasis, NewDecision, Options, Subject, Trace, Vault};

/// For the process that lives: which allocation is refused, where, with which engine.
const AT: &str = "FINELINE_TEST_ALLOCATION";
/// Allocations of a whole life, about; the largest n that is tried.
const MOST: i64 = 1 << 40;
const ORDERS: [&str; 3] = ["first", "second", "third"];

fn household() -> (Household, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(At::parse(fixture::TODAY).unwrap()));
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
        rng: Arc::new(Seeded::new(7)),
        projection: Arc::new(fixture::Counts::new()),
    };
    (household, clock)
}

fn options(folder: &Path, engine: EngineKind) -> Options {
    Options { data: folder.join("data"), engine, root: folder.join("root").into(), queue_max: 100, witness: None }
}

/// Orders, a yes, a decision, a no, an erasure; each is written down once it is acknowledged.
fn live(folder: &Path, engine: EngineKind, at: i64) {
    let (household, clock) = household();
    let vault = Vault::open(&options(folder, engine), household.clone()).unwrap();
    let house = House::opened(vault, household, clock);
    #[expect(clippy::disallowed_methods, reason = "what the process says it acknowledged")]
    let mut told = std::fs::File::create(folder.join("told")).unwrap();
    let mut tell = |what: &[u8]| told.write_all(what).unwrap();
    let ada = house.find("ada").unwrap();
    LEFT.store(at, SeqCst);
    for name in ORDERS {
        house.take(house.order("ada", house.now().plus_days(-100), name));
        tell(name.as_bytes());
        tell(b"\n");
    }
    house.consent(Subject::Profile(ada), "offers", ConsentStatus::Given);
    tell(b"yes\n");
    if let Some(new) = decision(&house, ada) {
        let _ = house.vault.decide(new).unwrap().wait().unwrap();
        tell(b"decided\n");
    }
    house.consent(Subject::Profile(ada), "offers", ConsentStatus::Withdrawn);
    tell(b"no\n");
    house.vault.erase(house.find("ben").unwrap(), vault::Erasure::Now).unwrap().wait().unwrap();
    tell(b"erased\n");
    drop(house.close());
    let left = LEFT.swap(-1, SeqCst);
    tell(format!("{} allocations\n", at - left).as_bytes());
}

fn decision(house: &House, person: model::ProfileId) -> Option<NewDecision> {
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).ok()?;
    let fact = permit.fact(&fixture::computed("orders_all")).ok()??.reveal().clone();
    Some(NewDecision {
        id: DecisionId::from_bytes([9; 16]),
        person,
        artefact: house.campaign(),
        campaign: CampaignName::parse("win_back").ok()?,
        consent_seq: permit.consent_seq(),
        offer: Some(OfferName::parse("come_back").ok()?),
        item: ItemCode::parse("22423"),
        held_out: false,
        channel: ChannelKind::Page,
        send_at: None,
        run: 1,
        replaces: None,
        trace: Trace {
            facts: vec![FactRead { fact, ancestors: Vec::new(), life_used_percent: 9, label: "orders".into() }],
            steps: Vec::new(),
            texts: ["title".into(), "says".into(), "You placed {orders_all} orders.".into()],
            slots: BTreeMap::new(),
            propensity_micros: 1_000_000,
            basis: ItemBasis::Purchase,
            shared_by: 80,
            exposure: "own_page".into(),
            promise: house.promise.hash,
            notice_version: 1,
        },
    })
}

/// Reads a promise, with its rules, as the program does; its hash.
fn parse(folder: &Path, at: i64) {
    #[expect(clippy::disallowed_methods, reason = "what the process says it read")]
    let mut told = std::fs::File::create(folder.join("told")).unwrap();
    LEFT.store(at, SeqCst);
    let parsed = promise::parse("shop.toml", promise::fixture::SHOP);
    let left = LEFT.swap(-1, SeqCst);
    let hash = parsed.map(|promise| format!("{:?}", promise.hash)).unwrap_or_else(|_| "refused".into());
    told.write_all(format!("{hash}\n{} allocations\n", at - left).as_bytes()).unwrap();
}

#[test]
#[ignore = "started by the tests below"]
fn one_process() {
    let asked = std::env::var(AT).unwrap();
    let [what, at, folder]: [&str; 3] = asked.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    let (at, folder) = (at.parse().unwrap(), PathBuf::from(folder));
    match what {
        "parse" => parse(&folder, at),
        "fjall" => live(&folder, EngineKind::Fjall, at),
        _ => live(&folder, EngineKind::Redb, at),
    }
}

/// What a process told before its allocation failed, and whether it ended in the way that a failed allocation ends one.
fn told(what: &str, at: i64, folder: &Path) -> (Vec<String>, bool) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::one_process", "--ignored", "--nocapture"])
        .env(AT, format!("{what} {at} {}", folder.display()))
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    let failed = said.contains("memory allocation of");
    assert!(child.status.success() || failed, "{what}, allocation {at}: {said}");
    #[expect(clippy::disallowed_methods, reason = "what the process says it acknowledged")]
    let told = std::fs::read_to_string(folder.join("told")).unwrap_or_default();
    (told.lines().map(str::to_owned).collect(), failed)
}

fn n_allocations(told: &[String]) -> i64 {
    told.last().and_then(|line| line.strip_suffix(" allocations")).unwrap().parse().unwrap()
}

/// The first few, and an even choice of the others.
fn some(n: i64, n_tried: i64) -> impl Iterator<Item = i64> {
    (0..n_tried / 4).chain((0..n_tried).map(move |each| n * each / n_tried))
}

fn refused_anywhere(name: &str, engine: EngineKind, n_tried: i64) {
    let made = tempfile::tempdir().unwrap();
    let (household, clock) = household();
    Vault::create(&options(made.path(), engine), &household).unwrap();
    let house =
        House::opened(Vault::open(&options(made.path(), engine), household.clone()).unwrap(), household.clone(), clock);
    house.review_all();
    house.customer("ada", 1, 200);
    house.customer("ben", 1, 200);
    drop(house.close());
    let copy = || {
        let folder = tempfile::tempdir().unwrap();
        for (path, _) in fixture::files(made.path()) {
            let to = folder.path().join(path.strip_prefix(made.path()).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(path, to).unwrap();
        }
        folder
    };
    let folder = copy();
    let (whole, failed) = told(name, MOST, folder.path());
    assert!(!failed && whole.iter().any(|line| line == "decided"), "control: where none is refused, all is done");
    let mut n_failed = 0;
    for at in some(n_allocations(&whole), n_tried) {
        let folder = copy();
        let (told, failed) = told(name, at, folder.path());
        n_failed += usize::from(failed);
        let what = format!("{engine:?}, allocation {at}, after {told:?}");
        let vault = Vault::open(&options(folder.path(), engine), household.clone());
        let vault = vault.unwrap_or_else(|error| panic!("{what}: {error}"));
        let snapshot = vault.snapshot();
        let has = |what: &str| told.iter().any(|line| line == what);
        let ada = snapshot.find(&fixture::user("ada")).unwrap();
        let artefact = |kind, name| household.promise.artefact(kind, name).unwrap().id;
        let portal = snapshot.permit(ada, artefact(ArtefactKind::Page, "portal")).unwrap();
        let orders: Vec<_> = portal
            .all_events(100)
            .unwrap()
            .iter()
            .filter_map(|event| match event.reveal().event.properties.get("order_id") {
                Some(model::Value::Text(id)) => Some(id.clone()),
                _ => None,
            })
            .collect();
        for name in ORDERS {
            let n = orders.iter().filter(|order| *order == name).count();
            assert!(n == 1 || n == 0 && !has(name), "{what}: an acknowledged order is there {n} times");
        }
        let is_yes = snapshot.permit(ada, artefact(ArtefactKind::Campaign, "win_back")).is_ok();
        assert!(!(has("no") && is_yes), "{what}: an acknowledged no is lost");
        let ben = snapshot.find(&fixture::user("ben"));
        assert!(!(has("erased") && ben.is_some()), "{what}: an erased person is there");
    }
    assert!(n_failed > 0, "control: an allocation was refused");
}

#[test]
fn an_allocation_that_fails_anywhere_loses_nothing_acknowledged_on_redb() {
    refused_anywhere("redb", EngineKind::Redb, 24);
}

#[test]
fn an_allocation_that_fails_anywhere_loses_nothing_acknowledged_on_fjall() {
    refused_anywhere("fjall", EngineKind::Fjall, 8);
}

#[test]
fn an_allocation_that_fails_while_a_promise_is_read_ends_the_reading_and_never_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, failed) = told("parse", MOST, folder.path());
    assert!(!failed);
    let mut n_failed = 0;
    for at in some(n_allocations(&whole), 48) {
        let folder = tempfile::tempdir().unwrap();
        let (told, failed) = told("parse", at, folder.path());
        n_failed += usize::from(failed);
        assert!(failed && told.is_empty() || told.first() == whole.first(), "allocation {at}: {told:?}");
    }
    assert!(n_failed > 0, "control: an allocation was refused");
}
