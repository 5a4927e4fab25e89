//! Whatever is planted is found; where nothing is planted, nothing is.

use super::*;
use crate::disk::Disk;
use crate::engine::{self, Keyspace, Op};
use crate::folder::Folder;
use crate::key::{DaySecrets, PersonKey, Ring};
use crate::seal::{self, Nonces, Place, RecordKind};
use crate::{EngineKind, VaultError};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use model::chance::Seeded;
use model::{Day, HouseId, ProfileId, Rng};
use promise::RetentionId;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ADDRESS: &[u8] = "zoë.lindqvist@post.example".as_bytes();

fn noise(n_bytes: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; n_bytes];
    Seeded::new(seed).fill(&mut bytes);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A local head with name and extra field, then raw deflate.
fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    let mut head = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    head.extend([0; 16]);
    head.extend([5, 0, 3, 0]);
    [head.as_slice(), b"a.csvxyz", &encoder.finish().unwrap()].concat()
}

fn utf16(text: &[u8], order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::str::from_utf8(text).unwrap().encode_utf16().flat_map(order).collect()
}

fn needle() -> Vec<Needle> {
    vec![Needle::new("email", ADDRESS).unwrap(), Needle::new("never there", b"nobody.at.all@post.example").unwrap()]
}

fn search_bytes(bytes: &[u8]) -> Searched {
    let folder = tempfile::tempdir().unwrap();
    Disk::create(&folder.path().join("file"), bytes).unwrap();
    search(&[folder.path().to_path_buf()], &needle()).unwrap()
}

/// Between noise on both sides, and across the border of two chunks.
fn plant(what: &[u8]) -> Vec<Searched> {
    let before_border = (256 << 10) - what.len() / 2;
    [0, 1, 2, 777, before_border]
        .map(|n_before| search_bytes(&[noise(n_before, 1).as_slice(), what, &noise(99, 2)].concat()))
        .into()
}

#[test]
fn nothing_planted_nothing_found() {
    let searched = search_bytes(&noise(1 << 20, 3));
    assert_eq!((searched.n_findings, searched.n_files, searched.n_bytes), (0, 1, 1 << 20));
    assert_eq!(searched.unread, []);
}

#[test]
fn every_spelling_is_found() {
    let hex: String = ADDRESS.iter().map(|byte| format!("{byte:02x}")).collect();
    let spellings = [
        (Spelling::Plain, ADDRESS.to_vec()),
        (Spelling::Utf16Le, utf16(ADDRESS, u16::to_le_bytes)),
        (Spelling::Utf16Be, utf16(ADDRESS, u16::to_be_bytes)),
        (Spelling::HexUpper, hex.to_uppercase().into_bytes()),
        (Spelling::HexLower, hex.into_bytes()),
    ];
    for (how, bytes) in spellings {
        for searched in plant(&bytes) {
            let found: Vec<_> = searched.findings.iter().map(|finding| (finding.what.as_str(), finding.how)).collect();
            assert_eq!(found, [("email", how)]);
        }
    }
}

#[test]
fn base64_is_found_at_every_alignment() {
    for shift in 0..6 {
        let around = [noise(shift, 4).as_slice(), ADDRESS, &noise(7, 5)].concat();
        for text in [BASE64_STANDARD.encode(&around), BASE64_URL_SAFE.encode(&around)] {
            for searched in plant(text.as_bytes()) {
                assert!(searched.n_findings > 0, "{shift}");
                assert!(searched.findings.iter().all(|finding| finding.what == "email"));
            }
        }
    }
}

#[test]
fn base64_broken_into_lines_is_found() {
    let mail = [b"Dear ".as_slice(), ADDRESS, b", your order is on its way. ".repeat(9).as_slice()].concat();
    let text = BASE64_STANDARD.encode(mail);
    for width in [20, 33, 76] {
        let lines: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
        let searched = search_bytes(&lines.join(b"\r\n".as_slice()));
        assert!(searched.n_findings > 0, "lines of {width}");
    }
}

#[test]
fn an_offset_says_where() {
    let searched = search_bytes(&[noise(300_000, 1).as_slice(), ADDRESS].concat());
    assert_eq!(searched.findings[0].offset, 300_000);
    let text = searched.findings[0].to_string();
    assert!(text.starts_with("email as it is at byte 300000 of ") && !text.contains("lindqvist"), "{text}");
}

#[test]
fn what_is_compressed_is_looked_into_three_deep() {
    let plain = [b"a line before. ".repeat(67).as_slice(), ADDRESS, &b"a line after. ".repeat(1_000)].concat();
    for pack in [gzip, zstd, zip] {
        for again in [gzip, zstd, zip] {
            for packed in [pack(&plain), again(&pack(&plain)), gzip(&again(&pack(&plain)))] {
                for searched in plant(&packed) {
                    assert!(searched.n_findings > 0, "{searched:?}");
                    assert_eq!(searched.unread, []);
                }
            }
        }
    }
    let finding =
        &search_bytes(&[b"12345".as_slice(), &gzip(&[b"67".as_slice(), &zstd(&plain)].concat())].concat()).findings[0];
    let layers = [Layer { wrapping: Wrapping::Gzip, at: 5 }, Layer { wrapping: Wrapping::Zstd, at: 2 }];
    assert_eq!((finding.inside.as_slice(), finding.offset), (layers.as_slice(), 67 * 15));
}

#[test]
fn what_lies_deeper_than_we_look_is_named() {
    let searched = search_bytes(&gzip(&gzip(&gzip(&gzip(ADDRESS)))));
    assert!(searched.unread.iter().any(|unread| unread.why.contains("three layers")), "{:?}", searched.unread);
}

#[test]
fn a_torn_archive_still_tells_what_it_holds() {
    let whole = gzip(&[b"a line before. ".repeat(67).as_slice(), ADDRESS, &noise(50_000, 8)].concat());
    assert!(search_bytes(&whole[..whole.len() / 2]).n_findings > 0);
}

#[test]
fn a_second_member_and_a_named_gzip_are_looked_into() {
    let mut named = flate2::GzBuilder::new()
        .filename("old.csv")
        .comment("a comment")
        .extra(b"extra".to_vec())
        .write(Vec::new(), Compression::best());
    named.write_all(ADDRESS).unwrap();
    assert_eq!(search_bytes(&[gzip(b"first"), named.finish().unwrap()].concat()).n_findings, 1);
}

#[test]
fn names_links_holes_and_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("exports").join("zoë.lindqvist@post.example.csv");
    Disk::make_folder(named.parent().unwrap()).unwrap();
    Disk::create(&named, b"").unwrap();
    std::os::unix::fs::symlink("/proc", folder.path().join("link")).unwrap();
    let sparse = folder.path().join("sparse");
    let file = Disk::open_or_create(&sparse).unwrap();
    file.set_len(4 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, ADDRESS, 3 << 30).unwrap();
    let missing = folder.path().join("missing");
    let searched = search(&[folder.path().to_path_buf(), missing.clone()], &needle()).unwrap();
    let mut places: Vec<_> = searched.findings.iter().map(|finding| (finding.file.clone(), finding.offset)).collect();
    places.sort();
    assert_eq!(places, [(named, 0), (sparse, 3 << 30)]);
    assert_eq!((searched.n_files, searched.n_bytes < 2 << 20), (2, true));
    assert_eq!(searched.unread.iter().map(|unread| unread.path.clone()).collect::<Vec<_>>(), [missing]);
}

#[test]
fn a_needle_that_chance_would_find_is_refused() {
    assert_eq!(Needle::new("age", b"42"), None);
    assert!(format!("{:?}", needle()).contains("email") && !format!("{:?}", needle()).contains("lindqvist"));
}

// ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const PERSON: ProfileId = ProfileId::from_bytes([7; 16]);
const OTHER: ProfileId = ProfileId::from_bytes([8; 16]);
const ORDERS: RetentionId = RetentionId([1; 4]);
const OFFERS: RetentionId = RetentionId([2; 4]);
const WORDS: [(&str, &[u8]); 4] =
    [("email", ADDRESS), ("order", b"order 536365"), ("town", b"Visby, Gotland"), ("offer", b"teapot, blue")];

fn copy_folder(from: &Path, to: &Path) {
    Disk::make_folder(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy_folder(&from, &to),
            false => drop(std::fs::copy(from, to).unwrap()),
        }
    }
}

/// A small house with two people, written as the committer writes: rows, records of class and day, a head before one.
struct House {
    kind: EngineKind,
    temp: tempfile::TempDir,
    id: HouseId,
    ring: Ring,
    rng: Seeded,
}

impl House {
    fn new(kind: EngineKind) -> Self {
        let (temp, rng) = (tempfile::tempdir().unwrap(), Seeded::new(42));
        let (folder, ring) = Folder::create(
            &temp.path().join("data"),
            &temp.path().join("root").into(),
            &rng,
            crate::folder::Holds::All,
        )
        .unwrap();
        let house = Self { kind, id: folder.house(), temp, ring, rng };
        let store = engine::open(kind, &folder.store()).unwrap();
        let nonces = Nonces::new(Arc::new(Seeded::new(5)));
        let mut ops = Vec::new();
        let mut days = DaySecrets::load(store.snapshot().as_ref(), &house.ring, &house.id).unwrap();
        for n in 0..30 {
            days.get_or_make(OFFERS, Day::from_number(n), &house.ring, &house.rng, &mut ops).unwrap();
        }
        for person in [PERSON, OTHER] {
            let mut key = PersonKey::generate(&house.rng);
            key.class_secret_or_make(ORDERS, &house.rng);
            key.class_secret_or_make(OFFERS, &house.rng);
            let row = key.to_row(&house.ring, &house.id, &person, &house.rng).unwrap();
            ops.push(Op::Put(Keyspace::Keys, person.as_bytes().to_vec(), row));
            let day = days.get(OFFERS, Day::from_number(17));
            let records = [
                (Keyspace::Profiles, RecordKind::Person, RetentionId([0; 4]), key.core_key().clone(), WORDS[0].1),
                (Keyspace::Profiles, RecordKind::Profile, ORDERS, key.record_key(ORDERS).unwrap().clone(), WORDS[2].1),
                (Keyspace::Events, RecordKind::Event, ORDERS, key.record_key(ORDERS).unwrap().clone(), WORDS[1].1),
                (Keyspace::Events, RecordKind::Event, OFFERS, key.day_key(OFFERS, day.unwrap()).unwrap(), WORDS[3].1),
            ];
            for (n, (keyspace, kind, class, record_key, words)) in records.iter().enumerate() {
                let id = if *keyspace == Keyspace::Events { vec![u8::try_from(n).unwrap(); 24] } else { Vec::new() };
                let place = Place { house: &house.id, profile: &person, class: *class, kind: *kind, id: &id };
                let words = if person == PERSON { words } else { b"somebody else altogether".as_slice() };
                let sealed = seal::seal(record_key, 1, &place, words, &nonces).unwrap();
                let head: &[u8] = if *keyspace == Keyspace::Events { &[1; 8] } else { &[] };
                let suffix = if *keyspace == Keyspace::Events { id.clone() } else { class.0.to_vec() };
                let key = [person.as_bytes().as_slice(), &suffix].concat();
                ops.push(Op::Put(*keyspace, key, [head, &sealed].concat()));
            }
        }
        store.commit(ops).unwrap();
        house
    }

    fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// The store as a copy that may be opened while the house runs.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.temp.path().join(name);
        copy_folder(&self.data().join("store"), &copy);
        copy
    }

    fn census(&self, also: &[&Path]) -> Census {
        let folders: Vec<PathBuf> =
            std::iter::once(self.data()).chain(also.iter().map(|path| path.to_path_buf())).collect();
        Census::begin(&self.data(), &self.temp.path().join("root").into(), &folders).unwrap()
    }

    fn note(&self) -> Notes {
        let mut census = self.census(&[]);
        census.read_store(self.kind, &self.copy("copy-to-note")).unwrap();
        census.note(&PERSON).unwrap()
    }

    /// Erase "now", rotate, compact.
    fn erase(&self, notes: &Notes) {
        let store = engine::open(self.kind, &self.data().join("store")).unwrap();
        self.ring.add_version(&self.rng).unwrap();
        let mut ops = Vec::new();
        let snapshot = store.snapshot();
        for (key, row) in snapshot.scan(Keyspace::Keys, DaySecrets::PREFIX).map(Result::unwrap) {
            let row = self.ring.rewrap(&DaySecrets::place(&self.id, &key), &row, &self.rng).unwrap();
            ops.push(Op::Put(Keyspace::Keys, key, row));
        }
        let row = snapshot.get(Keyspace::Keys, OTHER.as_bytes()).unwrap().unwrap();
        let row = self.ring.rewrap(&crate::key::person::place(&self.id, &OTHER), &row, &self.rng).unwrap();
        ops.push(Op::Put(Keyspace::Keys, OTHER.as_bytes().to_vec(), row));
        ops.extend(notes.rows.iter().map(|row| Op::Delete(Keyspace::Keys, row.key.clone())));
        for record in &notes.records {
            let keyspace = Keyspace::ALL.into_iter().find(|each| each.name() == record.keyspace).unwrap();
            ops.push(Op::Delete(keyspace, record.key.clone()));
        }
        drop(snapshot);
        store.commit(ops).unwrap();
        self.ring.destroy(1, &self.rng).unwrap();
        store.compact().unwrap();
    }
}

fn words() -> Vec<Needle> {
    WORDS.iter().map(|(what, bytes)| Needle::new(what, bytes).unwrap()).collect()
}

#[test]
fn before_an_erasure_every_value_is_in_reach() {
    let house = House::new(EngineKind::Redb);
    let notes = house.note();
    assert_eq!((notes.rows.len(), notes.days.len(), notes.records.len()), (1, 30, 4));
    let census = house.census(&[]);
    assert_eq!(census.rings().iter().map(|ring| ring.versions.clone()).collect::<Vec<_>>(), [[1]]);
    let reach = census.reach(&notes, &words());
    assert_eq!((reach.n_rows_opened, reach.n_records_opened, reach.n_records_closed), (1, 4, 0));
    assert_eq!((reach.reached.len(), reach.out_of_reach.as_slice()), (4, [].as_slice()));
    let again = Notes::from_json(&notes.to_json()).unwrap();
    assert_eq!(census.reach(&again, &words()), reach);
}

#[test]
fn after_an_erasure_nothing_is_in_reach_and_nothing_lies_about() {
    nothing_is_left(&House::new(EngineKind::Redb));
    nothing_is_left(&House::new(EngineKind::Fjall));
}

fn nothing_is_left(house: &House) {
    let notes = house.note();
    let needles = notes.needles();
    let in_memory = house.census(&[]).memory_needles(&notes, 77);
    assert_eq!((needles.len(), in_memory.len()), (6, 4), "root, two classes, core key");
    let before = search(&[house.data()], &needles).unwrap();
    assert!(before.n_findings >= 5, "control: the noted bytes are the stored bytes");
    house.erase(&notes);

    let mut census = house.census(&[]);
    census.read_store(house.kind, &house.copy("copy-after")).unwrap();
    assert_eq!(census.rings().iter().map(|ring| ring.versions.clone()).collect::<Vec<_>>(), [[2]]);
    let reach = census.reach(&notes, &words());
    assert_eq!((reach.n_rows_opened, reach.n_records_opened, reach.n_records_closed), (0, 0, 4));
    assert_eq!((reach.reached.len(), reach.out_of_reach.len()), (0, 4));
    assert_eq!(census.note(&PERSON).unwrap().records, []);
    let other = census.note(&OTHER).unwrap();
    let reach = census.reach(&other, &words());
    assert_eq!((reach.n_records_opened, reach.reached.len()), (4, 0), "control: the living open");
    let searched = search(&[house.data()], &needles).unwrap();
    assert_eq!((searched.findings, searched.unread), (Vec::new(), Vec::new()));
}

#[test]
fn a_row_that_names_the_person_in_clear_is_not_mistaken_for_one_of_the_same_millisecond() {
    let token = |of: u8| [[of; 16].as_slice(), &[3; 56]].concat();
    let theirs = NotedRecord { keyspace: "index".to_owned(), key: noise(33, 1), value: token(7) };
    let notes = Notes { profile: [7; 16], rows: Vec::new(), days: Vec::new(), records: vec![theirs.clone()] };
    let left = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        Disk::create(&folder.path().join("table"), bytes).unwrap();
        search(&[folder.path().to_owned()], &notes.needles()).unwrap().n_findings
    };
    assert_eq!(left(&token(8)), 0, "another person's, for the same campaign in the same millisecond");
    assert_eq!(left(&theirs.value), 1, "control: the person's id");
    assert_eq!(left(&theirs.key), 1, "control: the row's key");
}

#[test]
fn a_key_backup_held_elsewhere_opens_what_was_kept() {
    let house = House::new(EngineKind::Redb);
    let notes = house.note();
    let backup = house.temp.path().join("elsewhere");
    Disk::make_folder(&backup).unwrap();
    // A tar-like archive: a head, the ring among other files, compressed as a whole.
    let ring = Disk::read(&house.data().join("keys/ring")).unwrap().unwrap();
    let archive = [noise(512, 1).as_slice(), &ring, &noise(2_000, 2), b"tombstones"].concat();
    Disk::create(&backup.join("keys.tar.gz"), &gzip(&archive)).unwrap();
    house.erase(&notes);
    assert_eq!(house.census(&[]).reach(&notes, &words()).n_rows_opened, 0, "without the backup");
    let census = house.census(&[&backup]);
    let mut versions: Vec<_> = census.rings().into_iter().map(|ring| ring.versions).collect();
    versions.sort();
    assert_eq!(versions, [[1], [2]]);
    assert_eq!(census.reach(&notes, &words()).reached.len(), 4, "with it");
}

#[test]
fn control_a_wrapped_row_left_in_the_key_store_is_found() {
    let house = House::new(EngineKind::Redb);
    let notes = house.note();
    house.erase(&notes);
    Disk::create(&house.data().join("keys/left-behind"), &[noise(99, 1), notes.rows[0].wrapped.clone()].concat())
        .unwrap();
    let searched = search(&[house.data()], &notes.needles()).unwrap();
    assert_eq!(searched.findings.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>(), ["wrapped key row"]);
}

#[test]
fn control_a_plain_copy_in_temp_and_a_gzip_in_a_backup_are_found() {
    let house = House::new(EngineKind::Redb);
    let temp = house.temp.path().join("temp");
    Disk::make_folder(&temp).unwrap();
    let folders = [house.data(), temp.clone()];
    assert_eq!(search(&folders, &words()).unwrap().n_findings, 0, "nothing planted");
    Disk::create(&temp.join("mail-1"), &[b"To: ".as_slice(), ADDRESS].concat()).unwrap();
    let tar = [noise(512, 1).as_slice(), &gzip(&[b"town,".as_slice(), WORDS[2].1].concat()), &noise(512, 2)].concat();
    Disk::create(&temp.join("backup.tar"), &tar).unwrap();
    let mut found: Vec<_> =
        search(&folders, &words()).unwrap().findings.into_iter().map(|finding| finding.what).collect();
    found.sort();
    assert_eq!(found, ["email", "town"]);
}

#[test]
fn keys_that_the_server_holds_are_tried_as_every_kind_of_key() {
    let house = House::new(EngineKind::Redb);
    let notes = house.note();
    let place = crate::key::person::place(&house.id, &PERSON);
    let plain = house.ring.unwrap(&place, &notes.rows[0].wrapped).unwrap();
    let person = PersonKey::from_plain(&plain.0).unwrap();
    let held: Vec<[u8; 32]> = person.secrets().map(|secret| *secret.bytes()).collect();
    house.erase(&notes);
    let mut census = house.census(&[]);
    census.hold(&held);
    let reach = census.reach(&notes, &words());
    let reached: Vec<_> = reach.reached.iter().map(|reached| reached.what.as_str()).collect();
    assert_eq!(reached, ["email", "order", "town"], "the offer needs the day's secret too");
    census.hold(&[[9; 32]]);
    assert_eq!(census.reach(&notes, &words()), reach, "a foreign key opens nothing more");
}

#[test]
fn a_wrong_or_missing_root_key_opens_no_ring() {
    let house = House::new(EngineKind::Redb);
    let notes = house.note();
    let census = Census::begin(&house.data(), &house.temp.path().join("nothing").into(), &[house.data()]).unwrap();
    assert!(!census.has_root());
    assert_eq!(census.reach(&notes, &words()).n_rows_opened, 0);
    assert!(matches!(Census::begin(house.temp.path(), &house.data().into(), &[]), Err(VaultError::NoHouse { .. })));
}

// ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn secret_bytes(seed: u64) -> [u8; 32] {
    (&Seeded::new(seed) as &dyn Rng).bytes()
}

#[test]
fn key_bytes_in_memory_are_found_wherever_they_lie_and_gone_when_wiped() {
    let held = crate::key::Secret::generate(&Seeded::new(1_001));
    let mut odd = vec![0u8; 77];
    odd[5..37].copy_from_slice(&secret_bytes(1_002));
    let needle = |seed| {
        // The hashing copy is wiped: only what is held on purpose may be found.
        let mut bytes = secret_bytes(seed);
        let needle = MemoryNeedle::new(99, &bytes);
        crate::key::wipe(&mut bytes);
        needle
    };
    let needles = [1_001, 1_002, 1_003].map(needle);
    let (found, n_bytes) = search_own_memory(&needles).unwrap();
    assert!(found.contains(&needles[0].whole) && found.contains(&needles[1].whole));
    assert!(n_bytes > 100_000);
    drop(held);
    crate::key::wipe(&mut odd);
}

#[test]
fn a_memory_needle_gives_no_byte_of_what_it_looks_for() {
    let bytes = secret_bytes(7);
    let needle = MemoryNeedle::new(3, &bytes);
    assert_ne!(needle.first.to_le_bytes()[..], bytes[..4]);
    assert_ne!(MemoryNeedle::new(4, &bytes).first, needle.first, "another search, another hash");
    assert_eq!(MemoryNeedle::new(3, &bytes), needle);
}
