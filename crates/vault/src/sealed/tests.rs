//! A house whose root key went away and came back.

use super::*;
use crate::{EngineKind, Household, NoProjection, Options, Vault};
use model::chance::Seeded;
use model::time::ManualClock;

struct House {
    options: Options,
    household: Household,
    folder: tempfile::TempDir,
}

fn house() -> House {
    seeded(5)
}

fn seeded(seed: u64) -> House {
    let folder = tempfile::tempdir().unwrap();
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap())),
        rng: Arc::new(Seeded::new(seed)),
        projection: Arc::new(NoProjection),
    };
    let options = Options {
        data: folder.path().join("data"),
        engine: EngineKind::Redb,
        root: folder.path().join("root").into(),
        queue_max: 100,
        witness: None,
    };
    Vault::create(&options, &household).unwrap();
    House { options, household, folder }
}

fn act(n: u8) -> SealedAct {
    SealedAct {
        at: At::from_ms(n.into()),
        path: "/v1/consent".to_owned(),
        key: Some(format!("fl_pub_{n}")),
        origin: Some("https://shop.example".to_owned()),
        content_type: Some("application/json".to_owned()),
        body: vec![n; 100 + usize::from(n)],
    }
}

impl House {
    fn sealed(&self) -> SealedHouse {
        SealedHouse::open(&self.options.data, Arc::new(Seeded::new(9))).unwrap()
    }

    fn open(&self) -> Vault {
        Vault::open(&self.options, self.household.clone()).unwrap()
    }

    fn acts(&self, vault: &Vault) -> Vec<SealedAct> {
        vault.sealed_acts().into_iter().map(|(_, act)| act.unwrap()).collect()
    }
}

#[test]
fn d14_what_is_said_while_the_root_key_is_away_is_there_once_it_is_back() {
    let house = house();
    std::fs::rename(house.folder.path().join("root"), house.folder.path().join("away")).unwrap();
    {
        let sealed = house.sealed();
        assert!(matches!(
            SealedHouse::open(&house.options.data, Arc::new(Seeded::new(1))),
            Err(VaultError::Locked { .. })
        ));
        sealed.take(&act(1)).unwrap();
        sealed.take(&act(2)).unwrap();
        assert_eq!(sealed.n_waiting(), 2);
    }
    // Killed and started again, still sealed.
    let sealed = house.sealed();
    assert_eq!(sealed.n_waiting(), 2);
    sealed.take(&act(3)).unwrap();
    drop(sealed);
    let file = Disk::read(&house.options.data.join("sealed.log")).unwrap().unwrap();
    assert!(!file.windows(6).any(|part| part == b"fl_pub" || part == b"conse"), "nothing stands in clear");
    std::fs::rename(house.folder.path().join("away"), house.folder.path().join("root")).unwrap();
    let vault = house.open();
    assert_eq!(house.acts(&vault), [act(1), act(2), act(3)]);
    vault.sealed_done(&[1, 2]).unwrap();
    vault.close().unwrap();
    drop(vault);
    let vault = house.open();
    assert_eq!(house.acts(&vault), [act(3)], "what was not heard yet is heard after the next start");
    vault.sealed_done(&[3]).unwrap();
    assert_eq!(house.acts(&vault), []);
}

#[test]
fn too_large_an_opt_out_is_told_and_not_cut() {
    let house = house();
    let sealed = house.sealed();
    let large = SealedAct { body: vec![0; SEALED_BODY_BYTES_MAX + 1], ..act(1) };
    assert!(matches!(sealed.take(&large), Err(VaultError::TooLarge { .. })));
    let long = SealedAct { path: "x".repeat(PART_BYTES_MAX + 1), ..act(1) };
    assert!(matches!(sealed.take(&long), Err(VaultError::TooLarge { .. })));
    assert_eq!(sealed.n_waiting(), 0);
    sealed.take(&SealedAct { body: vec![7; SEALED_BODY_BYTES_MAX], ..act(1) }).unwrap();
}

#[test]
fn an_opt_out_of_another_house_or_with_a_changed_byte_does_not_open_and_keeps_nobody_from_being_served() {
    let (house, other) = (seeded(5), seeded(6));
    other.sealed().take(&act(1)).unwrap();
    house.sealed().take(&act(2)).unwrap();
    let data = |house: &House| house.options.data.join("sealed.log");
    let _ = Disk::replace(&data(&house), &Disk::read(&data(&other)).unwrap().unwrap());
    let vault = house.open();
    let acts = vault.sealed_acts();
    assert!(matches!(acts.as_slice(), [(1, Err(VaultError::Seal))]));
}

#[test]
fn a_public_key_that_was_changed_is_noticed_and_one_that_is_missing_says_what_to_do() {
    let house = house();
    let path = house.options.data.join("sealed.key");
    let ours = Disk::read(&path).unwrap().unwrap();
    for spoiled in ["", "fineline sealed key 1\nnonsense\n", "something else\n"] {
        Disk::replace(&path, spoiled.as_bytes()).unwrap();
        let refused = SealedHouse::open(&house.options.data, Arc::new(Seeded::new(1)));
        assert!(matches!(refused, Err(VaultError::NotSealable { .. })), "{spoiled}");
    }
    Disk::remove(&path).unwrap();
    assert!(matches!(
        SealedHouse::open(&house.options.data, Arc::new(Seeded::new(1))),
        Err(VaultError::NotSealable { .. })
    ));
    house.open().close().unwrap();
    assert_eq!(Disk::read(&path).unwrap().unwrap(), ours, "made anew, the same");
}
