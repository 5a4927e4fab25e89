//! Erased stays erased, whatever happens to the file.

use super::*;
use crate::disk::SECTOR_BYTES;
use crate::key::Ring;
use crate::{EngineKind, engine};
use model::HouseId;
use model::chance::Seeded;

fn keys(seed: u64) -> HouseKeys {
    Ring::in_memory(&HouseId::from_bytes([1; 16]), &Seeded::new(seed)).house_keys().unwrap()
}

fn person(n: u8) -> ProfileId {
    ProfileId::from_bytes([n; 16])
}

fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombstones");
    Tombstones::create(&path).unwrap();
    let mut tombstones = Tombstones::open(&path, &keys(1)).unwrap();
    for (n, how) in [(1, Erasure::Now), (2, Erasure::WithinADay), (3, Erasure::Now)] {
        assert_eq!(tombstones.add(&person(n), At::from_ms(n.into()), how).unwrap(), (At::from_ms(n.into()), how));
    }
    let again = tombstones.add(&person(3), At::from_ms(99), Erasure::WithinADay).unwrap();
    assert_eq!((again, tombstones.epoch()), ((At::from_ms(3), Erasure::Now), 3), "twice is once");
    (folder, path)
}

#[test]
fn the_erased_are_known_after_reopening_and_the_file_names_nobody() {
    let (_folder, path) = filled();
    let tombstones = Tombstones::open(&path, &keys(1)).unwrap();
    assert_eq!(tombstones.erased(&person(1)), Some((At::from_ms(1), Erasure::Now)));
    assert_eq!(tombstones.erased(&person(2)), Some((At::from_ms(2), Erasure::WithinADay)));
    assert!(!tombstones.contains(&person(4)));
    let bytes = Disk::read(&path).unwrap().unwrap();
    assert!(!bytes.windows(16).any(|window| window == person(1).as_bytes()));
}

#[test]
fn a_torn_last_entry_is_cut_and_every_changed_byte_refused() {
    let (_folder, path) = filled();
    let bytes = Disk::read(&path).unwrap().unwrap();
    for cut in 1..ENTRY_BYTES {
        Disk::replace(&path, &bytes[..bytes.len() - cut]).unwrap();
        let mut tombstones = Tombstones::open(&path, &keys(1)).unwrap();
        assert_eq!(tombstones.epoch(), 2);
        tombstones.add(&person(3), At::from_ms(3), Erasure::Now).unwrap();
        assert_eq!(Disk::read(&path).unwrap().unwrap(), bytes);
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        Disk::replace(&path, &changed).unwrap();
        assert!(Tombstones::open(&path, &keys(1)).is_err(), "byte {at}");
    }
    let without_second = [&bytes[..MAGIC.len() + ENTRY_BYTES], &bytes[MAGIC.len() + 2 * ENTRY_BYTES..]].concat();
    Disk::replace(&path, &without_second).unwrap();
    assert!(Tombstones::open(&path, &keys(1)).is_err(), "taken out of the middle");
    Disk::replace(&path, &bytes).unwrap();
    assert!(Tombstones::open(&path, &keys(2)).is_err(), "another house's file");
}

/// A power cut may leave the length of a file and not the bytes: of each sector all of them or none.
#[test]
fn a_last_entry_of_which_a_power_cut_lost_a_sector_is_cut_and_one_in_the_middle_refused() {
    let (_folder, path) = filled();
    for n in 4..=14 {
        Tombstones::open(&path, &keys(1)).unwrap().add(&person(n), At::from_ms(n.into()), Erasure::Now).unwrap();
        let bytes = Disk::read(&path).unwrap().unwrap();
        let begin = bytes.len() - ENTRY_BYTES;
        let sector = begin.next_multiple_of(SECTOR_BYTES).min(bytes.len());
        for lost in [begin..sector, sector..bytes.len(), begin..bytes.len()] {
            let mut torn = bytes.clone();
            torn[lost.clone()].fill(0);
            Disk::replace(&path, &torn).unwrap();
            let mut tombstones = Tombstones::open(&path, &keys(1)).unwrap();
            assert_eq!(tombstones.contains(&person(n)), lost.is_empty(), "{n} without {lost:?}");
            assert!(tombstones.contains(&person(n - 1)));
            tombstones.add(&person(n), At::from_ms(n.into()), Erasure::Now).unwrap();
            assert_eq!(Disk::read(&path).unwrap().unwrap(), bytes, "written whole in its place");
        }
        let mut damaged = bytes.clone();
        damaged[begin - ENTRY_BYTES..begin].fill(0);
        Disk::replace(&path, &damaged).unwrap();
        assert!(Tombstones::open(&path, &keys(1)).is_err(), "an entry before the last");
        Disk::replace(&path, &bytes).unwrap();
    }
}

#[test]
fn a_missing_shorter_or_other_file_than_the_store_knows_is_refused() {
    let (_folder, path) = filled();
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let tombstones = Tombstones::open(&path, &keys(1)).unwrap();
    tombstones.check(engine.snapshot().as_ref()).unwrap();
    engine.commit(vec![tombstones.note()]).unwrap();
    tombstones.check(engine.snapshot().as_ref()).unwrap();

    let bytes = Disk::read(&path).unwrap().unwrap();
    Disk::replace(&path, &bytes[..MAGIC.len() + ENTRY_BYTES]).unwrap();
    let mut older = Tombstones::open(&path, &keys(1)).unwrap();
    assert!(matches!(older.check(engine.snapshot().as_ref()), Err(VaultError::Tombstones)));
    older.add(&person(7), At::from_ms(7), Erasure::Now).unwrap();
    older.add(&person(8), At::from_ms(8), Erasure::Now).unwrap();
    assert!(
        matches!(older.check(engine.snapshot().as_ref()), Err(VaultError::Tombstones)),
        "same length, others in it"
    );

    Disk::replace(&path, &bytes).unwrap();
    let mut newer = Tombstones::open(&path, &keys(1)).unwrap();
    newer.add(&person(9), At::from_ms(9), Erasure::Now).unwrap();
    newer.check(engine.snapshot().as_ref()).unwrap();

    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Tombstones::open(&path, &keys(1)), Err(VaultError::Tombstones)));
}

#[test]
fn d10_taken_back_in_its_day_somebody_is_not_erased_and_asked_for_again_they_are() {
    let (_folder, path) = filled();
    let mut tombstones = Tombstones::open(&path, &keys(1)).unwrap();
    assert!(!tombstones.take_back(&person(1), At::from_ms(9)).unwrap(), "what was done at once stands");
    assert!(!tombstones.take_back(&person(7), At::from_ms(9)).unwrap(), "nobody was erased");
    assert_eq!(tombstones.epoch(), 3, "and nothing was written");
    assert!(tombstones.take_back(&person(2), At::from_ms(9)).unwrap());
    assert!(!tombstones.take_back(&person(2), At::from_ms(9)).unwrap(), "once");
    let mut tombstones = Tombstones::open(&path, &keys(1)).unwrap();
    assert_eq!((tombstones.erased(&person(2)), tombstones.epoch()), (None, 4));
    assert!(tombstones.is_taken_back(&person(2)) && tombstones.first_epoch(&person(2)).is_none());
    tombstones.add(&person(2), At::from_ms(10), Erasure::WithinADay).unwrap();
    let tombstones = Tombstones::open(&path, &keys(1)).unwrap();
    assert_eq!(tombstones.erased(&person(2)), Some((At::from_ms(10), Erasure::WithinADay)));
    assert_eq!((tombstones.first_epoch(&person(2)), tombstones.is_taken_back(&person(2))), (Some(5), false));
}
