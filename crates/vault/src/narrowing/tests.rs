//! What was taken back is known after reopening, names nobody, and cannot be shortened or changed unnoticed.

use super::*;
use crate::engine::Op;
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

fn at(day: i32) -> At {
    At::from_ms(0).plus_days(day)
}

fn store() -> std::sync::Arc<dyn engine::Engine> {
    engine::open(EngineKind::Memory, Path::new("")).unwrap()
}

/// A file with one entry per person, a day apart, and how far the store was told that it reaches after each.
fn filled() -> (tempfile::TempDir, PathBuf, Vec<Reach>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("narrowings");
    let mut narrowings = Narrowings::open(&path, &keys(1), store().snapshot().as_ref()).unwrap();
    let whats = [What::Purpose("offers"), What::Alone, What::AtMost(2)];
    let mut reaches = vec![Reach::NOTHING];
    for ((n, day), what) in (1..).zip(0..).zip(whats) {
        let entry = narrowings.entry(&person(n), what, at(day));
        let prepared = narrowings.prepare(&[entry]).unwrap();
        narrowings.append(&prepared).unwrap();
        reaches.push(prepared.reach);
    }
    (folder, path, reaches)
}

#[test]
fn what_came_after_a_point_is_known_and_the_file_names_nobody() {
    let (_folder, path, reaches) = filled();
    let taken = Taken::read(&path, &keys(1)).unwrap();
    let later = taken.since(reaches[1]);
    assert_eq!(later.of(&person(1), What::Purpose("offers")), None, "the backup has it");
    assert_eq!(later.of(&person(2), What::Alone), Some((at(1), 0)));
    assert_eq!(later.of(&person(2), What::Purpose("offers")), None);
    assert_eq!(later.of(&person(3), What::AtMost(0)), Some((at(2), 2)));
    assert!(taken.since(reaches[3]).is_empty());
    let bytes = Disk::read(&path).unwrap().unwrap();
    assert!(!bytes.windows(16).any(|window| window == person(1).as_bytes()));
}

#[test]
fn a_torn_last_entry_is_cut_and_every_changed_byte_refused() {
    let (_folder, path, reaches) = filled();
    let bytes = Disk::read(&path).unwrap().unwrap();
    for cut in 1..ENTRY_BYTES {
        let torn = Taken::from_bytes(&bytes[..bytes.len() - cut], &keys(1)).unwrap();
        assert_eq!(torn.reach(), reaches[2]);
        assert!(!torn.reaches(reaches[3]));
    }
    // Each entry that lies in two sectors, without one of them; what follows it goes too.
    for (entry, reach) in reaches.iter().take(3).enumerate() {
        let mut lost = bytes.clone();
        let begin = HEAD_BYTES + entry * ENTRY_BYTES;
        let end = begin + ENTRY_BYTES;
        lost[begin.max(end / 512 * 512)..end].fill(0);
        assert_eq!(Taken::from_bytes(&lost, &keys(1)).unwrap().reach(), *reach);
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Taken::from_bytes(&changed, &keys(1)).is_err(), "byte {at}");
    }
    let first = HEAD_BYTES + ENTRY_BYTES;
    assert!(Taken::from_bytes(&[&bytes[..first], &bytes[first + ENTRY_BYTES..]].concat(), &keys(1)).is_err());
    assert!(Taken::from_bytes(&bytes, &keys(2)).is_err(), "another house's file");
}

#[test]
fn a_file_that_is_missing_or_shorter_than_the_store_knows_is_refused() {
    let (_folder, path, reaches) = filled();
    let engine = store();
    engine.commit(vec![Op::Put(Keyspace::House, House::NARROWINGS.to_vec(), reaches[2].to_note())]).unwrap();
    let open = || Narrowings::open(&path, &keys(1), engine.snapshot().as_ref());
    open().unwrap();
    let bytes = Disk::read(&path).unwrap().unwrap();
    Disk::replace(&path, &bytes[..HEAD_BYTES + ENTRY_BYTES]).unwrap();
    assert!(matches!(open(), Err(VaultError::Narrowings { .. })));
    Disk::remove(&path).unwrap();
    assert!(matches!(open(), Err(VaultError::Narrowings { .. })));
}

#[test]
fn the_oldest_go_and_what_is_left_goes_on() {
    let (_folder, path, reaches) = filled();
    let mut narrowings = Narrowings::open(&path, &keys(1), store().snapshot().as_ref()).unwrap();
    assert_eq!(narrowings.prune(&keys(1), at(NARROWING_DAYS)).unwrap(), 0);
    assert_eq!(narrowings.prune(&keys(1), at(NARROWING_DAYS + 2)).unwrap(), 2);
    let prepared = narrowings.prepare(&[narrowings.entry(&person(9), What::Alone, at(500))]).unwrap();
    narrowings.append(&prepared).unwrap();
    let taken = Taken::read(&path, &keys(1)).unwrap();
    assert!(taken.reaches(reaches[3]) && taken.reaches(prepared.reach) && taken.reaches(reaches[2]));
    assert!(taken.remembers(reaches[2]) && !taken.remembers(reaches[1]), "a backup from before them is too old");
    let later = taken.since(reaches[2]);
    assert!(later.of(&person(3), What::AtMost(0)).is_some() && later.of(&person(9), What::Alone).is_some());
}
