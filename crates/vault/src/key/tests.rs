//! Keys come back what they were, open only their own place, and are gone when destroyed.

use super::*;
use crate::VaultError;
use crate::disk::Disk;
use crate::engine::{Keyspace, Op};
use crate::{EngineKind, engine};
use model::chance::Seeded;
use model::{Day, HouseId, ProfileId};
use promise::RetentionId;
use std::os::unix::fs::PermissionsExt;

const HOUSE: HouseId = HouseId::from_bytes([1; 16]);
const PERSON: ProfileId = ProfileId::from_bytes([2; 16]);
const OTHER: ProfileId = ProfileId::from_bytes([3; 16]);
const CLASS: RetentionId = RetentionId([4; 4]);

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// RFC 5869, test cases 1 and 3: the first 32 of 42 bytes.
#[test]
fn keys_derive_as_rfc_5869_says() {
    let okm = derive(&hex("000102030405060708090a0b0c"), &[0x0b; 22], &hex("f0f1f2f3f4f5f6f7f8f9"));
    assert_eq!(okm.bytes().to_vec(), hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"));
    let okm = derive(b"", &[0x0b; 22], b"");
    assert_eq!(okm.bytes().to_vec(), hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"));
}

#[test]
fn a_root_file_opens_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/root");
    let root = Root::create(&path, &Seeded::new(1)).unwrap();
    assert_eq!(Root::open(&path).unwrap().check_value(&HOUSE), root.check_value(&HOUSE));
    assert!(Root::create(&path, &Seeded::new(2)).is_err(), "never overwritten");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Root::open(&path), Err(VaultError::RootReadable { mode: 0o640, .. })));
    let broken = folder.path().join("broken");
    for text in ["", "12", "zz", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
        let _ = std::fs::remove_file(&broken);
        Disk::create(&broken, text.as_bytes()).unwrap();
        assert!(matches!(Root::open(&broken), Err(VaultError::WrongRoot { .. })), "{text}");
    }
}

#[test]
fn a_ring_reopens_rotates_and_forgets() {
    let (folder, rng) = (tempfile::tempdir().unwrap(), Seeded::new(1));
    let (root, path) = (Root::create(&folder.path().join("root"), &rng).unwrap(), folder.path().join("ring"));
    let ring = Ring::create(Some(&path), &root, &HOUSE, &rng).unwrap();
    let row = PersonKey::generate(&rng).to_row(&ring, &HOUSE, &PERSON, &rng).unwrap();
    let backup = Disk::read(&path).unwrap().unwrap();
    let review = ring.house_keys().unwrap().review.kid().to_owned();

    assert_eq!(ring.add_version(&rng).unwrap(), 2);
    let rewrapped = ring.rewrap(&super::person::place(&HOUSE, &PERSON), &row, &rng).unwrap();
    assert_eq!((Ring::version_of(&row), Ring::version_of(&rewrapped)), (Some(1), Some(2)));
    assert!(!ring.destroy(2, &rng).unwrap(), "the current version stays");
    assert!(ring.destroy(1, &rng).unwrap());
    assert!(!ring.destroy(1, &rng).unwrap());
    assert!(matches!(PersonKey::from_row(&row, &ring, &HOUSE, &PERSON), Err(VaultError::Seal)));

    let ring = Ring::open(&path, &root, &HOUSE).unwrap();
    assert_eq!((ring.versions(), ring.current()), (vec![2], 2));
    assert!(PersonKey::from_row(&rewrapped, &ring, &HOUSE, &PERSON).is_ok());
    assert!(PersonKey::from_row(&row, &ring, &HOUSE, &PERSON).is_err());
    assert_eq!(ring.house_keys().unwrap().review.kid(), review, "the house keeps its own keys");
    assert_eq!(ring.add_version(&rng).unwrap(), 3, "no number is used twice");

    let held_elsewhere = Ring::from_file(&backup, &root, &HOUSE, None).unwrap();
    assert!(PersonKey::from_row(&row, &held_elsewhere, &HOUSE, &PERSON).is_ok(), "a key backup still opens old rows");
}

#[test]
fn d14_a_ring_does_not_open_under_another_root_house_or_with_a_changed_byte() {
    let (folder, rng) = (tempfile::tempdir().unwrap(), Seeded::new(1));
    let (root, path) = (Root::create(&folder.path().join("root"), &rng).unwrap(), folder.path().join("ring"));
    Ring::create(Some(&path), &root, &HOUSE, &rng).unwrap();
    let bytes = Disk::read(&path).unwrap().unwrap();
    let other = Root::create(&folder.path().join("other"), &rng).unwrap();
    assert!(Ring::from_file(&bytes, &other, &HOUSE, None).is_err());
    assert!(Ring::from_file(&bytes, &root, &HouseId::from_bytes([9; 16]), None).is_err());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Ring::from_file(&changed, &root, &HOUSE, None).is_err(), "byte {at}");
    }
}

#[test]
fn a_row_opens_for_its_person_in_its_house_only() {
    let rng = Seeded::new(1);
    let ring = Ring::in_memory(&HOUSE, &rng);
    let mut key = PersonKey::generate(&rng);
    key.class_secret_or_make(CLASS, &rng);
    let row = key.to_row(&ring, &HOUSE, &PERSON, &rng).unwrap();
    let opened = PersonKey::from_row(&row, &ring, &HOUSE, &PERSON).unwrap();
    assert_eq!(opened.core_key().bytes(), key.core_key().bytes());
    assert_eq!(opened.class_secret(CLASS).unwrap().bytes(), key.class_secret(CLASS).unwrap().bytes());
    assert!(PersonKey::from_row(&row, &ring, &HOUSE, &OTHER).is_err(), "transplanted to another person");
    assert!(PersonKey::from_row(&row, &ring, &HouseId::from_bytes([9; 16]), &PERSON).is_err());
    assert!(PersonKey::from_row(&row, &Ring::in_memory(&HOUSE, &Seeded::new(9)), &HOUSE, &PERSON).is_err());
    for at in 0..row.len() {
        let mut changed = row.clone();
        changed[at] ^= 1;
        assert!(PersonKey::from_row(&changed, &ring, &HOUSE, &PERSON).is_err(), "byte {at}");
    }
}

#[test]
fn d14_each_person_and_each_class_of_theirs_has_a_key_of_its_own() {
    let rng = Seeded::new(1);
    let classes = [CLASS, RetentionId([5; 4])];
    let mut keys = Vec::new();
    for _ in [PERSON, OTHER] {
        let mut key = PersonKey::generate(&rng);
        for class in classes {
            key.class_secret_or_make(class, &rng);
        }
        keys.push(key.core_key().bytes().to_vec());
        keys.extend(classes.iter().map(|class| key.record_key(*class).unwrap().bytes().to_vec()));
        keys.extend(key.secrets().map(|secret| secret.bytes().to_vec()));
    }
    let n_keys = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((n_keys, keys.len()), (12, 12), "no two are the same");
}

#[test]
fn a_dropped_class_has_no_record_key_and_comes_back_different() {
    let rng = Seeded::new(1);
    let mut key = PersonKey::generate(&rng);
    assert!(key.record_key(CLASS).is_none());
    key.class_secret_or_make(CLASS, &rng);
    let (whole, day) = (key.record_key(CLASS).unwrap().clone(), key.day_key(CLASS, &[7; 32]).unwrap());
    assert_ne!(whole.bytes(), day.bytes());
    assert_ne!(whole.bytes(), key.core_key().bytes());
    assert!(key.drop_class(CLASS));
    assert!(key.day_key(CLASS, &[7; 32]).is_none());
    key.class_secret_or_make(CLASS, &rng);
    assert_ne!(key.record_key(CLASS).unwrap().bytes(), whole.bytes());
}

#[test]
fn keys_sealed_for_the_delay_open_until_their_version_goes() {
    let rng = Seeded::new(1);
    let ring = Ring::in_memory(&HOUSE, &rng);
    let key = PersonKey::generate(&rng);
    let blob = key.to_recovery(&ring, &HOUSE, &PERSON, &rng).unwrap();
    let opened = PersonKey::from_recovery(&blob, &ring, &HOUSE, &PERSON).unwrap();
    assert_eq!(opened.core_key().bytes(), key.core_key().bytes());
    assert!(PersonKey::from_recovery(&blob, &ring, &HOUSE, &OTHER).is_err());
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        // X25519 ignores the top bit of a public key, which is bound into the derivation all the same.
        assert!(PersonKey::from_recovery(&changed, &ring, &HOUSE, &PERSON).is_err(), "byte {at}");
    }
    ring.add_version(&rng).unwrap();
    assert!(PersonKey::from_recovery(&blob, &ring, &HOUSE, &PERSON).is_ok());
    ring.destroy(1, &rng).unwrap();
    assert!(PersonKey::from_recovery(&blob, &ring, &HOUSE, &PERSON).is_err());
}

#[test]
fn day_secrets_last_until_their_day_is_destroyed() {
    let (rng, engine) = (Seeded::new(1), engine::open(EngineKind::Memory, std::path::Path::new("")).unwrap());
    let ring = Ring::in_memory(&HOUSE, &rng);
    let mut days = DaySecrets::load(engine.snapshot().as_ref(), &ring, &HOUSE).unwrap();
    let mut ops = vec![Op::Put(Keyspace::Keys, b"\0day and a person's id".to_vec(), b"not a day".to_vec())];
    let mut made = Vec::new();
    for number in [-1, 0, 5, 9] {
        made.push(*days.get_or_make(CLASS, Day::from_number(number), &ring, &rng, &mut ops).unwrap());
    }
    let again = *days.get_or_make(CLASS, Day::from_number(5), &ring, &rng, &mut ops).unwrap();
    assert_eq!((again, ops.len()), (made[2], 5));
    days.get_or_make(RetentionId([5; 4]), Day::from_number(0), &ring, &rng, &mut ops).unwrap();
    engine.commit(ops).unwrap();

    ring.add_version(&rng).unwrap();
    let mut ops = Vec::new();
    for (key, row) in engine.snapshot().scan(Keyspace::Keys, DaySecrets::PREFIX).map(Result::unwrap) {
        if DaySecrets::is_row(&key) {
            let row = ring.rewrap(&DaySecrets::place(&HOUSE, &key), &row, &rng).unwrap();
            ops.push(Op::Put(Keyspace::Keys, key, row));
        }
    }
    assert_eq!(days.destroy_before(CLASS, Day::from_number(5), &mut ops), 2);
    engine.commit(ops).unwrap();
    ring.destroy(1, &rng).unwrap();

    let days = DaySecrets::load(engine.snapshot().as_ref(), &ring, &HOUSE).unwrap();
    let held = [-1, 0, 5, 9].map(|number| days.get(CLASS, Day::from_number(number)).copied());
    assert_eq!(held, [None, None, Some(made[2]), Some(made[3])]);
    assert!(days.get(RetentionId([5; 4]), Day::from_number(0)).is_some(), "another class keeps its own");
}

#[test]
fn signing_keys_have_their_rfc_7638_names() {
    // RFC 8037, appendix A.3.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(house::thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn d14_a_credential_of_a_service_is_for_it_alone_and_nothing_else_that_a_group_may_read() {
    let credential = "/run/credentials/fineline.service/root";
    for (path, mode, owner, is_private) in [
        ("/etc/fineline/root", 0o600, 1_000, true),
        ("/etc/fineline/root", 0o400, 0, true),
        // Readable by its group: where an access list stands behind it, and nowhere else.
        (credential, 0o440, 0, true),
        (credential, 0o400, 61_184, true),
        (credential, 0o440, 61_184, false),
        (credential, 0o460, 0, false),
        (credential, 0o444, 0, false),
        ("/etc/fineline/root", 0o440, 0, false),
        ("/run/credentials/../../etc/fineline/root", 0o440, 0, false),
        ("/run/credentials-of-others/root", 0o440, 0, false),
    ] {
        let alone = super::is_for_owner_alone(std::path::Path::new(path), mode, owner);
        assert_eq!(alone, is_private, "{path} {mode:o} {owner}");
    }
}
