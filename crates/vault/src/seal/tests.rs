//! A sealed record opens for its key, at its place, unchanged; and in no other case.

use super::*;
use model::chance::Seeded;
use proptest::prelude::*;
use std::collections::HashSet;

fn key(seed: u64) -> RecordKey {
    Secret::generate(&Seeded::new(seed))
}

fn nonces() -> Nonces {
    Nonces::new(Arc::new(Seeded::new(11)))
}

const HOUSE: HouseId = HouseId::from_bytes([1; 16]);
const PERSON: ProfileId = ProfileId::from_bytes([2; 16]);

fn place(id: &[u8]) -> Place<'_> {
    Place { house: &HOUSE, profile: &PERSON, class: RetentionId([3; 4]), kind: RecordKind::Event, id }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_sealed_opens_where_it_lies(plain: Vec<u8>, id: Vec<u8>, epoch: u32, seed: u64, repeat in 1..40usize) {
        let plain = plain.repeat(repeat);
        let sealed = seal(&key(seed), epoch, &place(&id), &plain, &nonces()).unwrap();
        prop_assert!(sealed[1..5] == epoch.to_be_bytes());
        prop_assert_eq!(open(&key(seed), &place(&id), &sealed).unwrap(), plain);
    }

    #[test]
    fn another_key_opens_nothing(plain: Vec<u8>, seed: u64) {
        let sealed = seal(&key(seed), 1, &place(b"id"), &plain, &nonces()).unwrap();
        prop_assert!(open(&key(seed.wrapping_add(1)), &place(b"id"), &sealed).is_err());
    }

    #[test]
    fn a_cut_record_does_not_open(plain: Vec<u8>, cut: prop::sample::Index) {
        let sealed = seal(&key(5), 1, &place(b"id"), &plain, &nonces()).unwrap();
        prop_assert!(open(&key(5), &place(b"id"), &sealed[..cut.index(sealed.len())]).is_err());
    }
}

/// RFC 8452, appendix C.2, second vector.
#[test]
fn the_cipher_is_the_one_of_rfc_8452() {
    let (mut key, mut nonce) = ([0; 32], [0; 12]);
    (key[0], nonce[0]) = (1, 3);
    let sealed = encrypt(&Secret::copy(&key).unwrap(), nonce, b"", &[1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28");
}

#[test]
fn every_changed_byte_is_noticed() {
    let plain = b"three orders of two mugs, and a teapot that came back; three orders of two mugs".repeat(3);
    let sealed = seal(&key(5), 7, &place(b"id"), &plain, &nonces()).unwrap();
    for at in 0..sealed.len() {
        for change in [1u8, 0x80] {
            let mut changed = sealed.clone();
            changed[at] ^= change;
            assert!(open(&key(5), &place(b"id"), &changed).is_err(), "byte {at}");
        }
    }
    assert!(open(&key(5), &place(b"id"), &sealed).is_ok(), "control: unchanged, it opens");
}

#[test]
fn t34_a_record_moved_to_another_place_does_not_open() {
    let sealed = seal(&key(5), 7, &place(b"id"), b"mine", &nonces()).unwrap();
    let (other_house, other_person) = (HouseId::from_bytes([9; 16]), ProfileId::from_bytes([9; 16]));
    let moved = [
        Place { house: &other_house, ..place(b"id") },
        Place { profile: &other_person, ..place(b"id") },
        Place { class: RetentionId([9; 4]), ..place(b"id") },
        Place { kind: RecordKind::Ledger, ..place(b"id") },
        place(b"other"),
        place(b""),
        place(b"id\0"),
    ];
    for (n, place) in moved.iter().enumerate() {
        assert!(matches!(open(&key(5), place, &sealed), Err(VaultError::Seal)), "move {n}");
    }
    assert_eq!(open(&key(5), &place(b"id"), &sealed).unwrap(), b"mine");
}

#[test]
fn nonces_never_repeat() {
    let nonces = nonces();
    let seen: HashSet<_> = (0..200_000).map(|_| nonces.next()).collect();
    assert_eq!(seen.len(), 200_000);
}

#[test]
fn two_seals_of_the_same_record_differ() {
    let nonces = nonces();
    let one = seal(&key(5), 1, &place(b"id"), b"same", &nonces).unwrap();
    assert_ne!(one, seal(&key(5), 1, &place(b"id"), b"same", &nonces).unwrap());
}

#[test]
fn the_disk_shows_buckets_not_lengths() {
    let length = |n: usize| {
        let noise: Vec<u8> = (&Seeded::new(3) as &dyn model::Rng).bytes::<4_096>().into_iter().take(n).collect();
        seal(&key(5), 1, &place(b"id"), &noise, &nonces()).unwrap().len() - HEAD_BYTES - TAG_BYTES
    };
    assert_eq!(
        [0, 1, 30, 31, 62, 63, 1_022, 1_023, 2_046, 2_047].map(length),
        [32, 32, 32, 64, 64, 128, 1_024, 2_048, 2_048, 3_072]
    );
}

#[test]
fn compression_comes_before_padding() {
    let plain = b"Order Completed Order Completed ".repeat(64);
    let sealed = seal(&key(5), 1, &place(b"id"), &plain, &nonces()).unwrap();
    assert!(sealed.len() <= HEAD_BYTES + TAG_BYTES + 128, "{}", sealed.len());
    assert_eq!(open(&key(5), &place(b"id"), &sealed).unwrap(), plain);
}

#[test]
fn a_record_above_the_limit_is_refused() {
    let plain = vec![0; PLAIN_BYTES_MAX + 1];
    assert!(matches!(seal(&key(5), 1, &place(b"id"), &plain, &nonces()), Err(VaultError::TooLarge { .. })));
}

// ── lengths ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The lengths under which some values are stored.
fn lengths<'a>(values: impl IntoIterator<Item = &'a [u8]>, seal_it: impl Fn(&[u8]) -> Vec<u8>) -> HashSet<usize> {
    values.into_iter().map(|value| seal_it(value).len()).collect()
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    seal(&key(5), 7, &place(b"id"), plain, &nonces()).unwrap()
}

fn unpadded(plain: &[u8]) -> Vec<u8> {
    encrypt(&key(5), [3; 12], b"", plain).unwrap()
}

/// Contents of every length up to some, that no compression makes shorter.
fn of_every_length(n_bytes_max: usize) -> Vec<Vec<u8>> {
    let rng = Seeded::new(9);
    let whole: Vec<u8> = (0..n_bytes_max.div_ceil(8)).flat_map(|_| (&rng as &dyn model::Rng).bytes::<8>()).collect();
    (0..=n_bytes_max).map(|n| whole[..n].to_vec()).collect()
}

#[test]
fn d14_values_of_one_padded_class_have_one_stored_length() {
    let values = of_every_length(3_000);
    // Codec and end mark stand beside the content.
    let class_of = |value: &Vec<u8>| bucket(value.len() + 2);
    let classes: HashSet<usize> = values.iter().map(class_of).collect();
    assert_eq!(classes.len(), BUCKETS.len() + 2, "32 bytes to 1 KiB, then 2 and 3 KiB");
    for class in classes {
        let of_it = values.iter().filter(|value| class_of(value) == class).map(Vec::as_slice);
        let stored = lengths(of_it, sealed);
        assert_eq!(stored, HashSet::from([HEAD_BYTES + class + TAG_BYTES]), "class {class}");
    }
}

#[test]
fn d14_control_unpadded_records_are_told_apart_by_their_length() {
    let values = of_every_length(200);
    let of_one_class: Vec<&[u8]> =
        values.iter().filter(|value| bucket(value.len() + 2) == 128).map(Vec::as_slice).collect();
    assert!(of_one_class.len() > 50, "lengths of one class");
    assert_eq!(lengths(of_one_class.iter().copied(), sealed).len(), 1);
    assert_eq!(lengths(of_one_class.iter().copied(), unpadded).len(), of_one_class.len());
}
