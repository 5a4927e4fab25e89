//! A data folder that was set back is not served, and a witness that is away stops nobody.

use super::*;
use crate::engine::Keyspace;
use crate::record::{ConsentChange, Erasure, Identifier, IdentifierKind, Subject};
use crate::{EngineKind, Household, NoProjection, Options, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{ConsentStatus, Method, ProfileId, PurposeName, Words};

struct House {
    vault: Option<Vault>,
    household: Household,
    clock: Arc<ManualClock>,
    options: Options,
    folder: tempfile::TempDir,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

impl House {
    fn new(engine: EngineKind) -> Self {
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let household = Household {
            promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
            clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
            rng: Arc::new(Seeded::new(5)),
            projection: Arc::new(NoProjection),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let options = Options {
            data: path("data"),
            engine,
            root: path("root").into(),
            queue_max: 100,
            witness: Some(path("witness")),
        };
        Vault::create(&options, &household).unwrap();
        let vault = Some(Vault::open(&options, household.clone()).unwrap());
        Self { vault, household, clock, options, folder }
    }

    fn vault(&self) -> &Vault {
        self.vault.as_ref().unwrap()
    }

    fn person(&self, name: &str) -> ProfileId {
        let user = Identifier { kind: IdentifierKind::User, value: name.into() };
        let change = ConsentChange {
            subject: Subject::Identifiers { user: Some(user), anonymous: None },
            source: None,
            purpose: PurposeName::parse("offers").unwrap(),
            status: ConsentStatus::Given,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.vault().now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        };
        self.vault().consent(change).unwrap().wait().unwrap().profile.unwrap()
    }

    fn close(&mut self) {
        self.vault.take().unwrap().close().unwrap();
    }

    fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(&self.options, self.household.clone())
    }

    fn witness_file(&self) -> PathBuf {
        self.options.witness.clone().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(Disk::read(&self.witness_file()).unwrap().unwrap()).unwrap()
    }

    fn n_notes(&self) -> usize {
        whole_notes(&self.text()).0.len()
    }
}

const ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Redb];

#[test]
fn growth_is_noted_once_a_minute_an_erasure_at_once_and_the_end_at_close() {
    let mut house = House::new(EngineKind::Redb);
    let ada = house.person("ada");
    assert!(house.vault().witness().unwrap());
    assert!(!house.vault().witness().unwrap(), "nothing new");
    house.person("eve");
    assert!(!house.vault().witness().unwrap(), "not yet a minute");
    house.clock.set(house.clock_now().plus_ms(60_000));
    assert!(house.vault().witness().unwrap());
    house.vault().erase(ada, Erasure::Now).unwrap().wait().unwrap();
    assert!(house.vault().witness().unwrap());
    house.person("ida");
    assert_eq!(house.n_notes(), 3);
    house.close();
    assert_eq!(house.n_notes(), 4);
    let text = house.text();
    assert!(text.starts_with(&format!("fineline/{}/witness\n", house.open().unwrap().house())), "{text}");
    assert!(text.contains("\nat 2026-11-23T12:01:00"), "{text}");
}

impl House {
    fn clock_now(&self) -> At {
        model::Clock::now(self.clock.as_ref())
    }
}

#[test]
fn d14_an_older_data_folder_than_the_witness_saw_is_refused() {
    for engine in ENGINES {
        let mut house = House::new(engine);
        house.person("ada");
        house.close();
        let (older, newer) = (house.folder.path().join("older"), house.folder.path().join("newer"));
        copy(&house.options.data, &older);
        house.vault = Some(house.open().unwrap());
        house.person("eve");
        house.close();
        copy(&house.options.data, &newer);
        for (data, is_older) in [(&older, true), (&newer, false)] {
            let options = Options { data: data.clone(), ..house.options.clone() };
            let opened = Vault::open(&options, house.household.clone());
            assert_eq!(opened.is_err(), is_older, "{engine:?}");
            let Err(error) = opened else { continue };
            let VaultError::Behind { path, seen, ours, .. } = &error else { panic!("{error}") };
            assert_eq!((path, seen > ours), (&house.witness_file(), true));
            assert!(error.to_string().contains("fineline restore"), "{error}");
            let unwatched = Options { witness: None, ..options };
            Vault::open(&unwatched, house.household.clone()).expect("control: it is whole in itself");
        }
    }
}

#[test]
fn d14_another_history_of_the_same_length_is_refused() {
    let mut house = House::new(EngineKind::Redb);
    house.close();
    let other = house.folder.path().join("other");
    copy(&house.options.data, &other);
    house.vault = Some(house.open().unwrap());
    house.person("ada");
    house.close();
    let unwatched = Options { data: other.clone(), witness: None, ..house.options.clone() };
    let vault = Vault::open(&unwatched, house.household.clone()).unwrap();
    for name in ["eve", "ida", "zoe"] {
        vault.put_house_record(name, Some(vec![1])).unwrap().wait().unwrap();
    }
    vault.close().unwrap();
    drop(vault);
    let watched = Options { data: other, ..house.options.clone() };
    let error = Vault::open(&watched, house.household.clone()).unwrap_err();
    assert!(matches!(error, VaultError::Behind { what, .. } if what.contains("not the one")), "{error}");
}

#[test]
fn d14_an_older_tombstone_file_than_the_witness_saw_is_refused() {
    let mut house = House::new(EngineKind::Redb);
    let (ada, eve) = (house.person("ada"), house.person("eve"));
    house.vault().erase(ada, Erasure::Now).unwrap().wait().unwrap();
    house.person("ida");
    house.close();
    let older = house.folder.path().join("older");
    copy(&house.options.data, &older);
    house.vault = Some(house.open().unwrap());
    // The second half never happens: the store knows nothing of this tombstone, the witness does.
    let inner = &house.vault().inner.house;
    inner.urgent().tombstones.add(&eve, house.clock_now(), Erasure::Now).unwrap();
    assert!(house.vault().witness().unwrap());
    let whole = Disk::read(&house.options.data.join("tombstones")).unwrap().unwrap();
    let stood = house.open_a_copy(&house.options.data);
    assert!(stood.is_ok(), "control: {stood:?}");
    let shorter = Disk::read(&older.join("tombstones")).unwrap().unwrap();
    assert!(shorter.len() < whole.len());
    let error = house.open_with(&house.options.data, "tombstones", &shorter).unwrap_err();
    assert!(
        matches!(error, VaultError::Behind { what, seen: 2, ours: 1, .. } if what.contains("tombstone")),
        "{error}"
    );
}

impl House {
    fn open_a_copy(&self, data: &Path) -> Result<(), VaultError> {
        let whole = Disk::read(&data.join("tombstones")).unwrap().unwrap();
        self.open_with(data, "tombstones", &whole)
    }

    /// Opens a copy in which one file is another.
    fn open_with(&self, data: &Path, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let folder = tempfile::tempdir().unwrap();
        let (data_copy, witness) = (folder.path().join("data"), folder.path().join("witness"));
        copy(data, &data_copy);
        std::fs::copy(self.witness_file(), &witness).unwrap();
        Disk::replace(&data_copy.join(name), bytes).unwrap();
        let options = Options { data: data_copy, witness: Some(witness), ..self.options.clone() };
        Vault::open(&options, self.household.clone()).map(|_| ())
    }
}

#[test]
fn a_forged_or_foreign_note_is_refused_and_a_torn_last_one_is_passed_over() {
    let mut house = House::new(EngineKind::Redb);
    house.person("ada");
    house.close();
    house.vault = Some(house.open().unwrap());
    house.person("eve");
    house.close();
    let whole = house.text();
    let with = |bytes: &[u8]| {
        Disk::replace(&house.witness_file(), bytes).unwrap();
        house.open().map(drop)
    };
    with(whole.as_bytes()).unwrap();
    let (notes, _) = whole_notes(&whole);
    let last = notes.last().unwrap();
    let begins = whole.rfind(last).unwrap();
    for cut in [begins + 1, begins + 30, begins + last.len() - 20, whole.len() - 1] {
        with(&whole.as_bytes()[..cut]).unwrap_or_else(|error| panic!("torn at {cut}: {error}"));
        let zeros = [&whole.as_bytes()[..cut], vec![0; whole.len() - cut].as_slice()].concat();
        with(&zeros).unwrap_or_else(|error| panic!("zeros from {cut}: {error}"));
    }
    let (keys, id) = {
        let inner = &house.open().unwrap().inner.house;
        (Arc::clone(&inner.keys), inner.id)
    };
    for at in begins..whole.len() - 2 {
        let mut forged = whole.clone().into_bytes();
        forged[at] = if forged[at] == b'7' { b'8' } else { b'7' };
        Disk::replace(&house.witness_file(), &forged).unwrap();
        let refused = Witness::open(&house.witness_file(), Arc::clone(&keys), &id);
        let is_spare_bits = whole.as_bytes()[at + 1] == b'\n' || whole.as_bytes()[at + 1] == b'=';
        let is_end_lost = whole.as_bytes()[at] == b'\n';
        assert!(refused.is_err() || is_spare_bits || is_end_lost, "byte {}", at - begins);
    }
    for foreign in [&b"the notes of somebody else"[..], b"\x7fELF\x02", b"\n\n\n\n", &[0xff; 2_000], b"a\n\nb\n\n"] {
        let error = with(foreign).unwrap_err();
        assert!(matches!(error, VaultError::NotAWitness { .. }), "{error}");
        assert_eq!(Disk::read(&house.witness_file()).unwrap().unwrap(), foreign, "and is not written over");
    }
    let other = House::new(EngineKind::Redb);
    let stranger = Household { rng: Arc::new(Seeded::new(77)), ..house.household.clone() };
    let options = Options {
        data: other.folder.path().join("second"),
        root: other.folder.path().join("second root").into(),
        ..house.options.clone()
    };
    Disk::replace(&house.witness_file(), whole.as_bytes()).unwrap();
    Vault::create(&options, &stranger).unwrap();
    assert!(matches!(Vault::open(&options, stranger), Err(VaultError::NotAWitness { .. })));
}

#[test]
fn a_witness_that_is_away_is_told_and_stops_nobody() {
    let mut house = House::new(EngineKind::Redb);
    house.person("ada");
    house.close();
    house.options.witness = Some(house.folder.path().join("unmounted").join("witness"));
    let vault = house.open().unwrap();
    assert!(matches!(vault.witness_state(), WitnessState::Away(_)));
    assert!(vault.witness().is_err());
    Disk::make_folder(&house.folder.path().join("unmounted")).unwrap();
    assert!(vault.witness().unwrap(), "noted once the disk is back");
    assert!(matches!(vault.witness_state(), WitnessState::Kept(Some(_))));
    std::fs::remove_dir_all(house.folder.path().join("unmounted")).unwrap();
    vault.close().unwrap();
}

#[test]
fn the_file_stays_small_and_keeps_its_newest_notes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("witness");
    let id = HouseId::from_bytes([1; 16]);
    let keys = Arc::new(crate::key::Ring::in_memory(&id, &Seeded::new(1)).house_keys().unwrap());
    let mut witness = Witness::open(&path, Arc::clone(&keys), &id).unwrap();
    let seen = |size| Seen {
        size,
        root: [7; 32],
        tombstone_epoch: 0,
        tombstone_mac: [0; 32],
        at: At::from_ms(0),
        restored_from: None,
    };
    let n_max = NOTES_MAX as u64;
    (1..=n_max + 5).for_each(|size| witness.note(seen(size)).unwrap());
    let reopened = Witness::open(&path, Arc::clone(&keys), &id).unwrap();
    assert_eq!((reopened.n_notes, reopened.newest), (NOTES_KEPT + 5, Some(seen(n_max + 5))));
    assert_eq!(reopened.n_bytes, witness.n_bytes);
}

#[test]
fn after_a_noted_restore_the_log_is_measured_from_that_note_on() {
    let mut house = House::new(EngineKind::Redb);
    house.person("ada");
    house.close();
    let older = house.folder.path().join("older");
    copy(&house.options.data, &older);
    house.vault = Some(house.open().unwrap());
    house.person("eve");
    house.close();
    let options = Options { data: older, ..house.options.clone() };
    assert!(Vault::open(&options, house.household.clone()).is_err());
    // What the restore command does once everything it promises has been verified.
    let unwatched = Options { witness: None, ..options.clone() };
    let vault = Vault::open(&unwatched, house.household.clone()).unwrap();
    let inner = &vault.inner.house;
    let crate::narrowing::Reach { epoch, mac } = inner.urgent().tombstones.end();
    let store = Arc::clone(&inner.generation().store);
    assert!(store.get(Keyspace::House, crate::chain::CHECKPOINT).unwrap().is_some());
    let note = crate::chain::checkpoint(&*store).unwrap().unwrap();
    let end = crate::log::Checkpoint::read(&note).unwrap();
    let mut witness = Witness::open(&house.witness_file(), Arc::clone(&inner.keys), &inner.id).unwrap();
    assert!(witness.newest().unwrap().is_reached_by(&inner.urgent().tombstones));
    let from = witness.newest().unwrap().size;
    let seen = Seen {
        size: end.size,
        root: end.root,
        tombstone_epoch: epoch,
        tombstone_mac: mac,
        at: vault.now(),
        restored_from: None,
    };
    witness.note_restored(seen).unwrap();
    vault.close().unwrap();
    drop((store, vault));
    let vault = Vault::open(&options, house.household.clone()).unwrap();
    let text = house.text();
    assert!(text.contains(&format!("\nrestored from {from} to {}\n", end.size)), "{text}");
    vault.close().unwrap();
    let public = vault.inner.house.keys.receipt.public();
    let all = verified(&text, &format!("fineline/{}/witness", vault.house()), public).unwrap();
    assert_eq!(all.last().unwrap().restored_from, Some(from));
}
