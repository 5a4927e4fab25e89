//! Tiles hold what an independent, slow tree of RFC 6962 holds, at the addresses of C2SP tlog-tiles.

use super::*;
use crate::audit::{LogError, verify_log};
use crate::chain::Chain;
use crate::engine::{self, Engine, Op};
use crate::key::{HouseKeys, Ring};
use crate::log::{LogLeaf, sha256};
use crate::{EngineKind, receipt};
use model::HouseId;
use model::chance::Seeded;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const HOUSE: HouseId = HouseId::from_bytes([1; 16]);

fn keys(seed: u64) -> Arc<HouseKeys> {
    Arc::new(Ring::in_memory(&HOUSE, &Seeded::new(seed)).house_keys().unwrap())
}

fn grow(engine: &dyn Engine, chain: &mut Chain, n: u64) {
    for _ in 0..n {
        let number = chain.number() + 1;
        let mut ops = vec![Op::Put(Keyspace::Events, number.to_be_bytes().to_vec(), b"event".to_vec())];
        let entries: Vec<LogLeaf> = (0..number % 3)
            .map(|each| LogLeaf::commit(&[7; 16], &[number, each].map(u64::to_be_bytes).concat()))
            .collect();
        chain.next(&mut ops, &entries).unwrap();
        engine.commit(ops).unwrap();
    }
}

fn log(n: u64) -> (Arc<dyn Engine>, Chain) {
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let mut chain = Chain::open(engine.snapshot().as_ref(), keys(1), &HOUSE).unwrap();
    grow(engine.as_ref(), &mut chain, n);
    (engine, chain)
}

/// RFC 6962 § 2.1 as it is written there, slow and obvious.
fn slow_root(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => sha256(&[&[0], leaf]),
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            sha256(&[&[1], &slow_root(&leaves[..split]), &slow_root(&leaves[split..])])
        }
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// Checkpoint, keys and every tile, as `audit pack` writes them.
fn packed(engine: &dyn Engine, seed: u64) -> (String, String, Files) {
    let store = engine.snapshot();
    let note = chain::checkpoint(store.as_ref()).unwrap().unwrap();
    let size = Checkpoint::read(&note).unwrap().size;
    let files = TileAddress::all_of(size)
        .map(|address| (address.to_string(), read(store.as_ref(), &address).unwrap().unwrap()))
        .collect();
    (note, receipt::public_keys_json(&keys(seed)), files)
}

fn bundled(files: &Files, size: u64) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    for address in TileAddress::all_of(size).filter(|address| address.kind == TileKind::Entries) {
        let mut rest = files[&address.to_string()].as_slice();
        while let Some((length, more)) = rest.split_first_chunk::<2>() {
            let (leaf, more) = more.split_at(u16::from_be_bytes(*length).into());
            leaves.push(leaf.to_vec());
            rest = more;
        }
    }
    leaves
}

fn verify(note: &str, keys: &str, older: &[&str], files: &Files) -> Result<crate::audit::VerifiedLog, LogError> {
    verify_log(note, keys, older, |address| Ok(files.get(&address.to_string()).cloned()))
}

#[test]
fn addresses_are_those_of_tlog_tiles_and_no_others() {
    let entries = |index, width| TileAddress { kind: TileKind::Entries, index, width };
    let hashes = |level, index, width| TileAddress { kind: TileKind::Hashes { level }, index, width };
    let known = [
        (hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (hashes(1, 0, 1), "tile/1/000.p/1"),
        (entries(0, 12), "tile/entries/000.p/12"),
        (entries(1_000, 256), "tile/entries/x001/000"),
        (hashes(7, 999, 255), "tile/7/999.p/255"),
    ];
    for (address, text) in known {
        assert_eq!((address.to_string().as_str(), TileAddress::parse(text)), (text, Some(address)));
    }
    for wrong in [
        "tile/8/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/entries/x1/000",
        "tile/0/",
        "tile//000",
        "0/000",
        "tile/0/000/x001",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(TileAddress::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn tiles_and_bundles_are_those_of_a_slow_tree() {
    for n in [1, 2, 255, 256, 257, 700] {
        let (engine, chain) = log(n);
        let (_, _, files) = packed(engine.as_ref(), 1);
        let leaves = bundled(&files, n);
        assert_eq!(leaves.len() as u64, n);
        assert_eq!(slow_root(&leaves), chain.root());
        for (address, bytes) in &files {
            let address = TileAddress::parse(address).unwrap();
            let TileKind::Hashes { level } = address.kind else { continue };
            let per_hash = 256usize.pow(level.into());
            let first = usize::try_from(address.first()).unwrap();
            let slow = |at: usize| slow_root(&leaves[(first + at) * per_hash..(first + at + 1) * per_hash]);
            let expected: Vec<u8> = (0..address.width.into()).flat_map(slow).collect();
            assert_eq!(*bytes, expected, "{address} of {n}");
        }
    }
}

#[test]
fn a_tile_that_the_log_does_not_reach_is_not_there_and_an_older_width_stays() {
    let (engine, mut chain) = log(300);
    let store = engine.snapshot();
    let tile = |index, width| read(store.as_ref(), &TileAddress { kind: TileKind::Entries, index, width }).unwrap();
    assert!(tile(1, 44).is_some() && tile(1, 45).is_none() && tile(2, 1).is_none() && tile(u64::MAX, 1).is_none());
    let before = tile(1, 44);
    grow(engine.as_ref(), &mut chain, 300);
    let store = engine.snapshot();
    let address = TileAddress { kind: TileKind::Entries, index: 1, width: 44 };
    assert_eq!(read(store.as_ref(), &address).unwrap(), before);
    assert!(!TileAddress { kind: TileKind::Hashes { level: 7 }, index: u64::MAX, width: 1 }.is_in(u64::MAX));
}

#[test]
fn d14_a_packed_log_holds_and_every_changed_or_missing_part_is_named() {
    let (engine, mut chain) = log(600);
    let (older, ..) = packed(engine.as_ref(), 1);
    grow(engine.as_ref(), &mut chain, 100);
    let (note, keys, files) = packed(engine.as_ref(), 1);
    let verified = verify(&note, &keys, &[&older], &files).unwrap();
    assert_eq!((verified.size, verified.n_older), (700, 1));
    for address in files.keys() {
        let bytes = &files[address];
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = files.clone();
            changed.get_mut(address).unwrap()[at] ^= 1;
            assert!(verify(&note, &keys, &[], &changed).is_err(), "byte {at} of {address}");
        }
        let mut fewer = files.clone();
        fewer.remove(address);
        let error = verify(&note, &keys, &[], &fewer).unwrap_err();
        assert!(error.to_string().contains(address.as_str()), "{error}");
    }
    assert!(matches!(verify(&note.replacen("700", "699", 1), &keys, &[], &files), Err(LogError::Checkpoint)));
    let foreign = receipt::public_keys_json(&self::keys(2));
    assert!(matches!(verify(&note, &foreign, &[], &files), Err(LogError::Checkpoint)));
    let (short, _) = log(600);
    let (_, _, shorter) = packed(short.as_ref(), 1);
    assert!(matches!(verify(&note, &keys, &[], &shorter), Err(LogError::Missing { .. })));
}

#[test]
fn d14_an_older_checkpoint_of_another_history_is_no_beginning() {
    let (engine, _) = log(40);
    let (note, keys, files) = packed(engine.as_ref(), 1);
    let (other, mut chain) = log(9);
    let mut ops = vec![Op::Delete(Keyspace::Events, b"another history".to_vec())];
    chain.next(&mut ops, &[]).unwrap();
    other.commit(ops).unwrap();
    let (forked, ..) = packed(other.as_ref(), 1);
    assert!(matches!(verify(&note, &keys, &[&forked], &files), Err(LogError::NotABeginning { size: 10 })));
    let (longer, ..) = packed(log(41).0.as_ref(), 1);
    assert!(matches!(verify(&note, &keys, &[&longer], &files), Err(LogError::NotABeginning { size: 41 })));
    let (same, ..) = packed(log(10).0.as_ref(), 1);
    assert_eq!(verify(&note, &keys, &[&same, &note], &files).unwrap().n_older, 2);
}
