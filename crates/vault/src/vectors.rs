//! Everything that this room ever wrote opens for ever: the published vectors in `formats/`, one file per format.
//!
//! To add one: a `check_…` below, its line in [`every_published_vector_opens`], and its file, written once by
//! `cargo test -p fineline-vault write_missing_vectors -- --ignored` and never again.

use crate::chain::{Chain, proof_of};
use crate::disk::Disk;
use crate::engine::{self, Op};
use crate::folder::Folder;
use crate::format::{self, UndoForm};
use crate::key::recovery::{RecoveryKey, seal_to};
use crate::key::{DaySecrets, HouseKeys, Passphrase, PersonKey, Ring, Root, RootSource, Secret, Signer, derive};
use crate::log::{Checkpoint, LogLeaf};
use crate::narrowing::{Narrowings, Reach, Taken, What};
use crate::receipt::{self, Inclusion, KeyTrust};
use crate::record::Erasure;
use crate::retention::CORE;
use crate::seal::{self, Nonces, Place, RecordKind};
use crate::tile::TileAddress;
use crate::tombstone::Tombstones;
use crate::urgent::UrgentLog;
use crate::wish::Wish;
use crate::witness::{Seen, Witness};
use crate::{EngineKind, backup, folder};
use model::chance::Seeded;
use model::{At, Day, HouseId, ProfileId};
use promise::RetentionId;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HOUSE: HouseId = HouseId::from_bytes([0x11; 16]);
const PERSON: ProfileId = ProfileId::from_bytes([0x22; 16]);
const CLASS: RetentionId = RetentionId([0x33; 4]);

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats")
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn secret(value: &Value) -> Secret {
    Secret::copy(&bytes(value)).unwrap()
}

/// A root key, as a file would hold it.
fn root(text: &str) -> Root {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root");
    Disk::create(&path, text.as_bytes()).unwrap();
    Root::open(&path).unwrap()
}

/// A fresh one, and what its file holds.
fn fresh_root() -> (Root, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root");
    let root = Root::create(&path, &Seeded::new(1)).unwrap();
    let text = Disk::read(&path).unwrap().unwrap();
    (root, String::from_utf8(text).unwrap().trim().to_owned())
}

type Check = fn(&Value);
type Write = fn() -> Value;

/// File, how it is opened, how it was written.
const VECTORS: [(&str, Check, Write); 16] = [
    ("envelope-1.json", check_envelope, write_envelope),
    ("envelope-2.json", check_envelope, write_envelope),
    ("derivation-1.json", check_derivation, write_derivation),
    ("key-ring-1.json", check_ring, write_ring),
    ("recovery-1.json", check_recovery, write_recovery),
    ("urgent-log-1.json", check_urgent, write_urgent),
    ("tombstones-1.json", check_tombstones, || write_tombstones(Erasure::Now)),
    ("tombstones-2.json", check_tombstones, || write_tombstones(Erasure::WithinADay)),
    ("erasure-1.json", check_erasure, write_erasure),
    ("receipt-1.json", check_receipt, write_receipt),
    ("log-1.json", check_log, write_log),
    ("witness-1.json", check_witness, write_witness),
    ("backup-1.json", check_backup, write_backup),
    ("narrowings-1.json", check_narrowings, write_narrowings),
    ("house-passphrase-1.json", check_house_file, write_house_file),
    ("sealed-1.json", check_sealed, write_sealed),
];

#[test]
fn every_published_vector_opens() {
    for (name, check, _) in VECTORS {
        let text = Disk::read(&formats().join(name)).unwrap().unwrap_or_else(|| panic!("{name} is missing"));
        check(&serde_json::from_slice(&text).unwrap());
    }
    let files = std::fs::read_dir(formats()).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let ours = [
        "envelope",
        "derivation",
        "key-ring",
        "recovery",
        "urgent-log",
        "tombstones",
        "erasure",
        "receipt",
        "log",
        "witness",
        "backup",
        "narrowings",
        "house",
        "sealed",
    ];
    for file in files.filter(|file| ours.iter().any(|name| file.starts_with(&format!("{name}-")))) {
        assert!(VECTORS.iter().any(|(name, ..)| *name == file), "{file} is opened by no test");
    }
}

#[test]
#[ignore = "writes vectors of a new format; never replaces one"]
fn write_missing_vectors() {
    std::fs::create_dir_all(formats()).unwrap();
    for (name, check, write) in VECTORS {
        let (path, value) = (formats().join(name), write());
        check(&value);
        if !path.exists() {
            Disk::create(&path, (serde_json::to_string_pretty(&value).unwrap() + "\n").as_bytes()).unwrap();
        }
    }
}

fn write_envelope() -> Value {
    let nonces = Nonces::new(Arc::new(Seeded::new(7)));
    let plains: [&[u8]; 5] =
        [b"", b"a short record", &b"Order Completed; two mugs; ".repeat(9), &[0; 3_000], "zoë, 雪".as_bytes()];
    let cases: Vec<Value> = (0u8..)
        .zip(plains)
        .map(|(n, plain)| {
            let (key, kind) = (Secret::generate(&Seeded::new(n.into())), RecordKind::from_number(n + 1).unwrap());
            let id = vec![n; usize::from(n) * 7];
            let place = Place { house: &HOUSE, profile: &PERSON, class: CLASS, kind, id: &id };
            let sealed = seal::seal(&key, 1_000 + u32::from(n), &place, plain, &nonces).unwrap();
            json!({ "key": hex(key.bytes()), "house": hex(HOUSE.as_bytes()), "profile": hex(PERSON.as_bytes()),
                    "class": hex(CLASS.0), "kind": n + 1, "id": hex(id), "epoch": 1_000 + u32::from(n),
                    "plain": hex(plain), "sealed": hex(sealed) })
        })
        .collect();
    json!({ "about": "format u8 (1), epoch u32, algorithm u8 (1 = AES-256-GCM-SIV), nonce 12, ciphertext and tag; associated \
            data: format, algorithm, epoch, house 16, profile 16, class 4, kind u8, id; inside: codec u8 (0 plain, 1 length \
            u32 and zstd, 2 the same with the dictionary dictionary-1.zstd), content, 0x80, zeros up to 32, 64, 128, 256, 512, 1024 or a multiple of 1024. Numbers big-endian.",
            "cases": cases })
}

fn check_envelope(value: &Value) {
    let cases = value["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let (house, profile) =
            (HouseId::from_bytes(array(&case["house"])), ProfileId::from_bytes(array(&case["profile"])));
        let kind = RecordKind::from_number(u8::try_from(case["kind"].as_u64().unwrap()).unwrap()).unwrap();
        let id = bytes(&case["id"]);
        let place =
            Place { house: &house, profile: &profile, class: RetentionId(array(&case["class"])), kind, id: &id };
        let sealed = bytes(&case["sealed"]);
        assert_eq!(seal::open(&secret(&case["key"]), &place, &sealed).unwrap(), bytes(&case["plain"]));
        assert_eq!(u32::from_be_bytes(sealed[1..5].try_into().unwrap()), case["epoch"]);
    }
}

fn write_derivation() -> Value {
    let (class_secret, day_secret) = (Secret::generate(&Seeded::new(1)), Secret::generate(&Seeded::new(2)));
    json!({ "about": "HKDF-SHA-256, 32 bytes: record key = (salt: day secret or nothing, key: class secret, info: record); \
            core key = (salt: nothing, key: the person's root, info: core)",
            "class_secret": hex(class_secret.bytes()), "day_secret": hex(day_secret.bytes()),
            "record_key": hex(class_secret.derive(b"", b"record").bytes()),
            "record_key_of_day": hex(class_secret.derive(day_secret.bytes(), b"record").bytes()),
            "core_key": hex(class_secret.derive(b"", b"core").bytes()) })
}

fn check_derivation(value: &Value) {
    let (class_secret, day) = (bytes(&value["class_secret"]), bytes(&value["day_secret"]));
    assert_eq!(derive(b"", &class_secret, b"record").bytes().to_vec(), bytes(&value["record_key"]));
    assert_eq!(derive(&day, &class_secret, b"record").bytes().to_vec(), bytes(&value["record_key_of_day"]));
    // The same way through a person's row: version, root, then class and secret.
    let plain = [[1].as_slice(), &class_secret, &CLASS.0, &class_secret].concat();
    let person = PersonKey::from_plain(&plain).unwrap();
    assert_eq!(person.core_key().bytes().to_vec(), bytes(&value["core_key"]));
    assert_eq!(
        person.day_key(CLASS, &array(&value["day_secret"])).unwrap().bytes().to_vec(),
        bytes(&value["record_key_of_day"])
    );
}

fn write_ring() -> Value {
    let (rng, folder) = (Seeded::new(3), tempfile::tempdir().unwrap());
    let ((root, text), path) = (fresh_root(), folder.path().join("ring"));
    let ring = Ring::create(Some(&path), &root, &HOUSE, &rng).unwrap();
    ring.add_version(&rng).unwrap();
    let mut person = PersonKey::generate(&rng);
    person.class_secret_or_make(CLASS, &rng);
    let row = person.to_row(&ring, &HOUSE, &PERSON, &rng).unwrap();
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let mut days = DaySecrets::load(engine.snapshot().as_ref(), &ring, &HOUSE).unwrap();
    let mut ops = Vec::new();
    let day = *days.get_or_make(CLASS, Day::from_number(20_000), &ring, &rng, &mut ops).unwrap();
    let Some(Op::Put(_, day_key, day_row)) = ops.pop() else { panic!() };
    let keys = ring.house_keys().unwrap();
    json!({ "about": "file: magic, nonce 12, ciphertext and tag under HKDF(root, salt: fineline, info: ring); wrapped row: \
            version u32, nonce 12, ciphertext and tag", "root": text, "house": hex(HOUSE.as_bytes()),
            "root_check": hex(root.check_value(&HOUSE)), "file": hex(Disk::read(&path).unwrap().unwrap()),
            "versions": [1, 2], "person": hex(PERSON.as_bytes()), "person_row": hex(row),
            "core_key": hex(person.core_key().bytes()), "class": hex(CLASS.0),
            "class_key": hex(person.record_key(CLASS).unwrap().bytes()), "day_row_key": hex(day_key),
            "day_row": hex(day_row), "day_secret": hex(day), "blind_of_email_a": hex(keys.blind("email", "a")),
            "left_of_email_a": hex(keys.left_token("email", "a")), "receipt_kid": keys.receipt.kid(),
            "review_kid": keys.review.kid() })
}

fn check_ring(value: &Value) {
    let (house, person) = (HouseId::from_bytes(array(&value["house"])), ProfileId::from_bytes(array(&value["person"])));
    let root = root(value["root"].as_str().unwrap());
    assert_eq!(root.check_value(&house).to_vec(), bytes(&value["root_check"]));
    let ring = Ring::from_file(&bytes(&value["file"]), &root, &house, None).unwrap();
    assert_eq!(json!(ring.versions()), value["versions"]);
    let opened = PersonKey::from_row(&bytes(&value["person_row"]), &ring, &house, &person).unwrap();
    let class = RetentionId(array(&value["class"]));
    assert_eq!(opened.core_key().bytes().to_vec(), bytes(&value["core_key"]));
    assert_eq!(opened.record_key(class).unwrap().bytes().to_vec(), bytes(&value["class_key"]));
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let row = Op::Put(engine::Keyspace::Keys, bytes(&value["day_row_key"]), bytes(&value["day_row"]));
    engine.commit(vec![row]).unwrap();
    let days = DaySecrets::load(engine.snapshot().as_ref(), &ring, &house).unwrap();
    assert_eq!(days.get(class, Day::from_number(20_000)).unwrap().to_vec(), bytes(&value["day_secret"]));
    let keys = ring.house_keys().unwrap();
    assert_eq!(keys.blind("email", "a").to_vec(), bytes(&value["blind_of_email_a"]));
    assert_eq!(keys.left_token("email", "a").to_vec(), bytes(&value["left_of_email_a"]));
    assert_eq!(json!([keys.receipt.kid(), keys.review.kid()]), json!([value["receipt_kid"], value["review_kid"]]));
}

fn write_recovery() -> Value {
    let key = RecoveryKey::generate(&Seeded::new(4));
    let blob = seal_to(&key.public().unwrap(), b"place", b"the keys of a person", &Seeded::new(5)).unwrap();
    json!({ "about": "public key of the blob 32, nonce 12, ciphertext and tag; X25519, then HKDF-SHA-256 with info \
            'fineline recovery v1', both public keys", "private": hex(key.secret().bytes()), "place": hex("place"),
            "plain": hex("the keys of a person"), "blob": hex(blob) })
}

fn check_recovery(value: &Value) {
    let key = RecoveryKey::from_secret(secret(&value["private"]));
    assert_eq!(key.open(&bytes(&value["place"]), &bytes(&value["blob"])).unwrap(), bytes(&value["plain"]));
}

fn in_file<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    Disk::create(&path, content).unwrap();
    read(&path)
}

/// A sealed opt-out: the key pair that its house derives, the entry, and what it says.
fn write_sealed() -> Value {
    let (ring_root, folder) = (write_ring(), tempfile::tempdir().unwrap());
    let ring =
        Ring::from_file(&bytes(&ring_root["file"]), &root(ring_root["root"].as_str().unwrap()), &HOUSE, None).unwrap();
    let (data, keys) = (folder.path().join("data"), ring.house_keys().unwrap());
    let act = crate::SealedAct {
        at: At::from_ms(1_795_000_000_000),
        path: "/v1/consent".to_owned(),
        key: Some("fl_pub_example".to_owned()),
        origin: Some("https://shop.example".to_owned()),
        content_type: Some("application/json".to_owned()),
        body: br#"{"anonymousId":"a","purpose":"offers","status":"withdrawn"}"#.to_vec(),
    };
    let log = crate::sealed::vector(&data, &HOUSE, &keys, &act);
    json!({ "about": "sealed.log: framed like the urgent log; entry: X25519 public key 32, nonce 12, ciphertext and tag (AES-256-GCM-SIV, key \
            HKDF-SHA-256 over the shared secret, info: fineline recovery v1, both public keys), bound to: fineline sealed, 21, house 16; inside: a \
            packed record (see envelope) of CBOR: at ms, path, key, origin, content type, body. The private key hangs on the house secret: sealed",
            "ring": ring_root["file"], "root": ring_root["root"], "public": hex(keys.sealed.public().unwrap()), "log": hex(log),
            "at": act.at.ms(), "path": act.path, "key": act.key, "origin": act.origin, "content_type": act.content_type, "body": hex(act.body) })
}

fn check_sealed(value: &Value) {
    let ring = Ring::from_file(&bytes(&value["ring"]), &root(value["root"].as_str().unwrap()), &HOUSE, None).unwrap();
    let keys = ring.house_keys().unwrap();
    assert_eq!(hex(keys.sealed.public().unwrap()), value["public"]);
    let act = crate::sealed::opened(&bytes(&value["log"]), &HOUSE, &keys);
    let said = json!({ "at": act.at.ms(), "path": act.path, "key": act.key, "origin": act.origin,
        "content_type": act.content_type, "body": hex(act.body) });
    for (name, expected) in said.as_object().unwrap() {
        assert_eq!(value[name], *expected, "{name}");
    }
}

fn write_urgent() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("urgent.log");
    UrgentLog::create(&path).unwrap();
    let mut log = UrgentLog::open(&path).unwrap();
    log.append(b"first, drained").unwrap();
    log.drained(&[1]).unwrap();
    log.append(b"withdraw").unwrap();
    log.append(b"").unwrap();
    json!({ "about": "magic, first number u64; entry: length u32, number u64, head check 8, bytes, check 16 (SHA-256, cut)",
            "file": hex(Disk::read(&path).unwrap().unwrap()), "entries": [[2, hex("withdraw")], [3, ""]] })
}

fn check_urgent(value: &Value) {
    let entries = in_file(&bytes(&value["file"]), |path| UrgentLog::open(path).unwrap().replay().to_vec());
    let entries: Vec<Value> = entries.iter().map(|(number, bytes)| json!([number, hex(bytes)])).collect();
    assert_eq!(json!(entries), value["entries"]);
}

fn write_tombstones(how: Erasure) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombstones");
    let mut value = write_ring();
    let ring = Ring::from_file(&bytes(&value["file"]), &root(value["root"].as_str().unwrap()), &HOUSE, None).unwrap();
    Tombstones::create(&path).unwrap();
    let mut tombstones = Tombstones::open(&path, &ring.house_keys().unwrap()).unwrap();
    tombstones.add(&PERSON, At::from_ms(1_795_000_000_000), how).unwrap();
    json!({ "about": "magic; entry: token 32, time ms i64, how u8 (0 at once, 1 within a day), epoch u56, mac 32 over the mac before",
            "within_a_day": how == Erasure::WithinADay, "root": value["root"].take(),
            "house": value["house"].take(), "ring": value["file"].take(), "erased": hex(PERSON.as_bytes()),
            "erased_at_ms": 1_795_000_000_000i64, "file": hex(Disk::read(&path).unwrap().unwrap()) })
}

fn check_tombstones(value: &Value) {
    let house = HouseId::from_bytes(array(&value["house"]));
    let ring = Ring::from_file(&bytes(&value["ring"]), &root(value["root"].as_str().unwrap()), &house, None).unwrap();
    let keys = ring.house_keys().unwrap();
    let tombstones = in_file(&bytes(&value["file"]), |path| Tombstones::open(path, &keys).unwrap());
    let (at, how) = tombstones.erased(&ProfileId::from_bytes(array(&value["erased"]))).unwrap();
    assert_eq!(Some(at.ms()), value["erased_at_ms"].as_i64());
    // Files of the first format say nothing about it: at once.
    assert_eq!(how == Erasure::WithinADay, value["within_a_day"].as_bool().unwrap_or(false));
}

/// An erasure that was taken back, one that was asked for again, and what the first one kept for its day.
fn write_erasure() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tombstones");
    let (keys, again) = (house_keys(), ProfileId::from_bytes([0x44; 16]));
    Tombstones::create(&path).unwrap();
    let mut tombstones = Tombstones::open(&path, &keys).unwrap();
    let at = |minutes: i64| At::from_ms(1_795_000_000_000).plus_ms(minutes * 60_000);
    tombstones.add(&PERSON, at(0), Erasure::WithinADay).unwrap();
    tombstones.add(&again, at(1), Erasure::WithinADay).unwrap();
    assert!(tombstones.take_back(&PERSON, at(2)).unwrap() && tombstones.take_back(&again, at(3)).unwrap());
    tombstones.add(&again, at(4), Erasure::Now).unwrap();
    let undo = UndoForm {
        rows: vec![(4, b"b key".to_vec().into(), PERSON.as_bytes().to_vec().into())],
        wishes: vec![Wish::LeaveMeAlone([1; 16].into())],
        columns: Some(vec![7; 32].into()),
        ..UndoForm::new([2; 16].into())
    };
    let core = Secret::generate(&Seeded::new(9));
    let place = Place { house: &HOUSE, profile: &PERSON, class: CORE, kind: RecordKind::Undo, id: &[] };
    let sealed = seal::seal(&core, 1, &place, &format::encode(&undo), &Nonces::new(Arc::new(Seeded::new(7)))).unwrap();
    json!({ "about": "tombstone file as in tombstones-2, with how 2 = the erasure is taken back; the newest entry of a token counts. \
            undo: CBOR (rows: keyspace, key, value; tokens; ties; wishes; columns; request), sealed as record kind 16 under the core \
            key of the person", "ring_seed": 4, "file": hex(Disk::read(&path).unwrap().unwrap()),
            "taken_back": hex(PERSON.as_bytes()), "erased_again": hex(again.as_bytes()), "erased_again_at_ms": at(4).ms(),
            "core_key": hex(core.bytes()), "house": hex(HOUSE.as_bytes()), "undo": hex(sealed) })
}

fn check_erasure(value: &Value) {
    let tombstones = in_file(&bytes(&value["file"]), |path| Tombstones::open(path, &house_keys()).unwrap());
    let [back, again] = ["taken_back", "erased_again"].map(|name| ProfileId::from_bytes(array(&value[name])));
    assert!(tombstones.erased(&back).is_none() && tombstones.is_taken_back(&back));
    let (at, how) = tombstones.erased(&again).unwrap();
    assert_eq!((Some(at.ms()), how), (value["erased_again_at_ms"].as_i64(), Erasure::Now));
    assert_eq!((tombstones.is_taken_back(&again), tombstones.first_epoch(&again)), (false, Some(5)));
    let house = HouseId::from_bytes(array(&value["house"]));
    let place = Place { house: &house, profile: &back, class: CORE, kind: RecordKind::Undo, id: &[] };
    let plain = seal::open(&secret(&value["core_key"]), &place, &bytes(&value["undo"])).unwrap();
    let undo: UndoForm = format::decode("house", &plain).unwrap();
    assert_eq!(undo.rows[0].2.as_slice(), back.as_bytes());
    assert!(undo.wishes == [Wish::LeaveMeAlone([1; 16].into())] && undo.columns.is_some());
}

fn write_receipt() -> Value {
    let keys = Arc::new(Ring::in_memory(&HOUSE, &Seeded::new(6)).house_keys().unwrap());
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let mut chain = Chain::open(engine.snapshot().as_ref(), Arc::clone(&keys), &HOUSE).unwrap();
    let (payload, salt) = (r#"{"what":"consent","purpose":"offers","status":"withdrawn","seq":7}"#, [9; 16]);
    let mut ops = Vec::new();
    chain.next(&mut ops, &[]).unwrap();
    let entries = [LogLeaf::commit(&[1; 16], b"another"), LogLeaf::commit(&salt, payload.as_bytes())];
    chain.next(&mut ops, &entries).unwrap();
    engine.commit(ops).unwrap();
    let proof = proof_of(engine.snapshot().as_ref(), 2, 1).unwrap().unwrap();
    let signed = receipt::sign(&keys.receipt, payload).unwrap();
    let receipt = receipt::with_proof(&signed, &salt, &proof).unwrap();
    json!({ "about": "flattened JWS, EdDSA, the key in the protected header, the proof in the unprotected one; the checkpoint \
            is a C2SP signed note", "receipt": receipt, "keys": receipt::public_keys_json(&keys), "payload": payload,
            "batch": 2, "size": 2 })
}

fn check_receipt(value: &Value) {
    let verified = receipt::verify(value["receipt"].as_str().unwrap(), value["keys"].as_str()).unwrap();
    assert_eq!((verified.key, json!(verified.payload)), (KeyTrust::Pinned, value["payload"].clone()));
    let Inclusion::Proven { batch, size, .. } = verified.inclusion else { panic!() };
    assert_eq!(json!([batch, size]), json!([value["batch"], value["size"]]));
    let receipt: Value = serde_json::from_str(value["receipt"].as_str().unwrap()).unwrap();
    assert!(Checkpoint::read(receipt["header"]["proof"]["checkpoint"].as_str().unwrap()).is_some());
}

/// A log of 260 batches as `audit pack` writes it.
fn write_log() -> Value {
    let keys = Arc::new(Ring::in_memory(&HOUSE, &Seeded::new(6)).house_keys().unwrap());
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let mut chain = Chain::open(engine.snapshot().as_ref(), Arc::clone(&keys), &HOUSE).unwrap();
    for n in 0..260u64 {
        let mut ops = vec![Op::Put(engine::Keyspace::Events, n.to_be_bytes().to_vec(), b"event".to_vec())];
        let entries: Vec<LogLeaf> = (0..n % 2).map(|_| LogLeaf::commit(&[7; 16], b"entry")).collect();
        chain.next(&mut ops, &entries).unwrap();
        engine.commit(ops).unwrap();
    }
    let store = engine.snapshot();
    let tiles: serde_json::Map<String, Value> = TileAddress::all_of(260)
        .map(|at| (at.to_string(), json!(hex(crate::tile::read(store.as_ref(), &at).unwrap().unwrap()))))
        .collect();
    let checkpoint = crate::chain::checkpoint(store.as_ref()).unwrap().unwrap();
    json!({ "checkpoint": checkpoint, "keys": receipt::public_keys_json(&keys), "tiles": tiles })
}

fn check_log(value: &Value) {
    let (checkpoint, keys) = (value["checkpoint"].as_str().unwrap(), value["keys"].as_str().unwrap());
    let tile = |at: &TileAddress| Ok(value["tiles"].get(at.to_string()).map(bytes));
    assert_eq!(crate::audit::verify_log(checkpoint, keys, &[], tile).unwrap().size, 260);
}

/// A witness file with a note of growth and one of a restore.
fn write_witness() -> Value {
    let keys = Arc::new(Ring::in_memory(&HOUSE, &Seeded::new(6)).house_keys().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("witness");
    let mut witness = Witness::open(&path, Arc::clone(&keys), &HOUSE).unwrap();
    let seen = Seen {
        size: 50,
        root: [3; 32],
        tombstone_epoch: 2,
        tombstone_mac: [4; 32],
        at: At::from_ms(1_790_000_000_123),
        restored_from: None,
    };
    witness.note(seen).unwrap();
    witness.note_restored(Seen { size: 42, root: [5; 32], ..seen }).unwrap();
    let text = String::from_utf8(Disk::read(&path).unwrap().unwrap()).unwrap();
    json!({ "text": text, "name": format!("fineline/{HOUSE}/witness"), "public": hex(keys.receipt.public()) })
}

fn check_witness(value: &Value) {
    let (text, name) = (value["text"].as_str().unwrap(), value["name"].as_str().unwrap());
    let seen = crate::witness::verified(text, name, &bytes(&value["public"])).unwrap();
    let said: Vec<_> = seen.iter().map(|seen| (seen.size, seen.root[0], seen.restored_from)).collect();
    assert_eq!(said, [(50, 3, None), (42, 5, Some(50))]);
    assert!(seen.iter().all(|seen| (seen.tombstone_epoch, seen.tombstone_mac) == (2, [4; 32])));
    assert!(seen.iter().all(|seen| seen.at == At::from_ms(1_790_000_000_123)));
}

fn write_house_file() -> Value {
    let (folder, words) = (tempfile::tempdir().unwrap(), "four words nobody joins");
    let source = RootSource::Passphrase(Passphrase::new(words.to_owned()).unwrap());
    let (made, _) = Folder::create(&folder.path().join("data"), &source, &Seeded::new(8), folder::Holds::All).unwrap();
    let read = |name: &str| Disk::read(&folder.path().join("data").join(name)).unwrap().unwrap();
    json!({ "about": "lines: title, format, house, root check (HMAC of the root key), and with a passphrase how argon2id \
            (version 0x13, 32 bytes) makes the root key of it: KiB, passes, lanes, salt in base32", "passphrase": words,
            "house": hex(made.house().as_bytes()), "file": String::from_utf8(read("house")).unwrap(),
            "ring": hex(read("keys/ring")), "versions": [1] })
}

fn check_house_file(value: &Value) {
    let folder = tempfile::tempdir().unwrap();
    Disk::create(&folder.path().join("house"), value["file"].as_str().unwrap().as_bytes()).unwrap();
    let words = value["passphrase"].as_str().unwrap().to_owned();
    let source = RootSource::Passphrase(Passphrase::new(words).unwrap());
    let (file, root) = folder::open_root(folder.path(), &source).unwrap();
    let house = file.house;
    assert_eq!(house.as_bytes().to_vec(), bytes(&value["house"]));
    let ring = Ring::from_file(&bytes(&value["ring"]), &root, &house, None).unwrap();
    assert_eq!(json!(ring.versions()), value["versions"]);
}

#[test]
fn the_house_file_of_format_1_is_read_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let text = "fineline data folder\nformat 1\nhouse house_248h248h248h248h248h248h24\nroot check \
                248h248h248h248h248h248h248h248h248h248h248h248h248g\n";
    Disk::create(&folder.path().join("house"), text.as_bytes()).unwrap();
    let (house, check) = folder::read_house(folder.path()).unwrap();
    assert_eq!((house, check), (HouseId::from_bytes([0x11; 16]), [0x11; 32]));
}

fn write_backup() -> Value {
    let signer = Signer::new(&Secret::generate(&Seeded::new(8))).unwrap();
    let streams = backup::vector::write(&HOUSE, &signer);
    json!({ "about": "magic, then frames: length u32, body, check 16 = the beginning of SHA-256 over the check before (whole; first: \
            SHA-256 of the magic), length and body. Body: 1 head (CBOR: kind, house, batch, log root, tombstones reached, \
            narrowings reached, ms, root check), 2 base (batch u64, digest), 3 put (keyspace u8, key length u16, key, value), \
            4 delete (keyspace u8, key), 5 ring file, 9 trailer (rows u64, digest 32, Ed25519 over \"fineline backup 1\\n\", rows, \
            digest). Digest: SHA-256 over the bodies of head, ring and rows of the whole state, each behind its length u64.",
            "house": hex(HOUSE.as_bytes()), "signer": hex(Secret::generate(&Seeded::new(8)).bytes()),
            "keys": hex(&streams[0]), "data": hex(&streams[1]), "changes": hex(&streams[2]) })
}

fn check_backup(value: &Value) {
    let signer = Signer::new(&secret(&value["signer"])).unwrap();
    let streams = ["keys", "data", "changes"].map(|name| bytes(&value[name]));
    backup::vector::check(&streams, &HouseId::from_bytes(array(&value["house"])), &signer);
}

fn write_narrowings() -> Value {
    let (keys, folder) = (house_keys(), tempfile::tempdir().unwrap());
    let (path, engine) = (folder.path().join("narrowings"), engine::open(EngineKind::Memory, Path::new("")).unwrap());
    let mut narrowings = Narrowings::open(&path, &keys, engine.snapshot().as_ref()).unwrap();
    let whats = [What::Purpose("offers"), What::Alone, What::Suppressed, What::AtMost(3)];
    let entries = whats.map(|what| narrowings.entry(&PERSON, what, At::from_ms(1_790_000_000_000)));
    narrowings.append(&narrowings.prepare(&entries).unwrap()).unwrap();
    json!({ "about": "magic, base (epoch u64, mac 32, check 32), entries: token 32, ms i64, value u32, mac 32 over the epoch and mac \
            before; tokens and macs: HMAC-SHA-256 under a key of the house", "ring_seed": 4, "person": hex(PERSON.as_bytes()),
            "file": hex(Disk::read(&path).unwrap().unwrap()) })
}

fn check_narrowings(value: &Value) {
    let taken = Taken::from_bytes(&bytes(&value["file"]), &house_keys()).unwrap();
    let (later, person) = (taken.since(Reach::NOTHING), ProfileId::from_bytes(array(&value["person"])));
    let at = At::from_ms(1_790_000_000_000);
    for (what, least) in [(What::Purpose("offers"), 0), (What::Alone, 0), (What::Suppressed, 0), (What::AtMost(0), 3)] {
        assert_eq!(later.of(&person, what), Some((at, least)));
    }
    assert_eq!(taken.reach().epoch, 4);
}

/// The keys of a house whose ring comes from a seed.
fn house_keys() -> HouseKeys {
    Ring::in_memory(&HOUSE, &Seeded::new(4)).house_keys().unwrap()
}
