//! Whatever is missing from the chain, the house does not open.

use super::*;
use crate::engine::Engine;
use crate::key::Ring;
use crate::{EngineKind, engine};
use model::chance::Seeded;

const HOUSE: HouseId = HouseId::from_bytes([1; 16]);

fn keys(seed: u64) -> Arc<HouseKeys> {
    Arc::new(Ring::in_memory(&HOUSE, &Seeded::new(seed)).house_keys().unwrap())
}

fn entry(n: u64) -> LogLeaf {
    LogLeaf::commit(&[7; 16], &n.to_be_bytes())
}

fn house(n_batches: u64) -> (Arc<dyn Engine>, Chain) {
    let engine = engine::open(EngineKind::Memory, Path::new("")).unwrap();
    let mut chain = Chain::open(engine.snapshot().as_ref(), keys(1), &HOUSE).unwrap();
    for n in 0..n_batches {
        let mut ops = vec![Op::Put(Keyspace::Events, n.to_be_bytes().to_vec(), b"event".to_vec())];
        let entries: Vec<LogLeaf> = (0..n % 4).map(|each| entry(10 * n + each)).collect();
        assert_eq!(chain.next(&mut ops, &entries).unwrap(), n + 1);
        engine.commit(ops).unwrap();
    }
    (engine, chain)
}

fn reopen(engine: &dyn Engine) -> Result<Chain, VaultError> {
    Chain::open(engine.snapshot().as_ref(), keys(1), &HOUSE)
}

#[test]
fn a_chain_goes_on_where_it_ended() {
    let (engine, chain) = house(37);
    let reopened = reopen(engine.as_ref()).unwrap();
    assert_eq!((reopened.number(), reopened.hash, reopened.root), (37, chain.hash, chain.root));
    assert_eq!(reopened.tree, chain.tree);
    assert!(Chain::open(engine.snapshot().as_ref(), keys(2), &HOUSE).is_err(), "signed by another house");
}

#[test]
fn every_link_is_kept_and_the_newest_are_verified_at_opening() {
    let (engine, _) = house(LINKS_VERIFIED + 3);
    assert_eq!(engine.snapshot().scan(Keyspace::House, CHAIN).count() as u64, LINKS_VERIFIED + 3);
    assert_eq!(reopen(engine.as_ref()).unwrap().number(), LINKS_VERIFIED + 3);
    let row = |number: u64| [CHAIN, &number.to_be_bytes()].concat();
    engine.commit(vec![Op::Put(Keyspace::House, row(3), vec![0; 96])]).unwrap();
    reopen(engine.as_ref()).unwrap();
    engine.commit(vec![Op::Put(Keyspace::House, row(4), vec![0; 96])]).unwrap();
    assert!(reopen(engine.as_ref()).is_err());
}

#[test]
fn every_missing_or_changed_row_is_noticed() {
    let (engine, _) = house(9);
    let rows: Vec<_> = engine.snapshot().scan(Keyspace::House, b"\0").map(Result::unwrap).collect();
    let peaks: Vec<Vec<u8>> =
        [(3, 0), (0, 8)].map(|(level, index)| [NODE, &node_key(Node { level, index })].concat()).into();
    for (key, value) in rows {
        let (_, changed_value) = (&key, value.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>());
        let verified = key.starts_with(CHAIN)
            || key.starts_with(CHECKPOINT)
            || peaks.contains(&key)
            || (key.starts_with(NODE) && key[NODE.len()] == 0);
        for op in [Op::Delete(Keyspace::House, key.clone()), Op::Put(Keyspace::House, key.clone(), changed_value)] {
            engine.commit(vec![op]).unwrap();
            assert_eq!(reopen(engine.as_ref()).is_err(), verified, "{}", String::from_utf8_lossy(&key));
            engine.commit(vec![Op::Put(Keyspace::House, key.clone(), value.clone())]).unwrap();
        }
    }
    reopen(engine.as_ref()).unwrap();
}

#[test]
fn acknowledged_batches_that_vanish_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head");
    let (long, chain) = house(5);
    let head = Head::open(&path).unwrap();
    head.check((chain.number, chain.root), long.snapshot().as_ref()).unwrap();
    head.note(&chain).unwrap();
    head.check((chain.number, chain.root), long.snapshot().as_ref()).unwrap();

    let (short, shorter) = house(4);
    assert!(reopen(short.as_ref()).is_ok(), "control: the shorter chain is whole in itself");
    let head = Head::open(&path).unwrap();
    assert!(matches!(
        head.check((shorter.number, shorter.root), short.snapshot().as_ref()),
        Err(VaultError::Damaged { .. })
    ));

    let (other, mut another) = house(4);
    let mut ops = vec![Op::Put(Keyspace::Events, b"another".to_vec(), b"history".to_vec())];
    another.next(&mut ops, &[]).unwrap();
    other.commit(ops).unwrap();
    assert!(
        head.check((another.number, another.root), other.snapshot().as_ref()).is_err(),
        "same length, another history"
    );

    Disk::open_or_create(&path).unwrap().write_all_at(&[1; 5], 48).unwrap();
    assert!(
        head.check((shorter.number, shorter.root), short.snapshot().as_ref()).is_ok(),
        "a torn slot counts for nothing"
    );
}

#[test]
fn what_was_seen_long_ago_is_still_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, mut chain) = house(3);
    let head = Head::open(&folder.path().join("head")).unwrap();
    head.note(&chain).unwrap();
    for _ in 0..LINKS_VERIFIED + 9 {
        let mut ops = Vec::new();
        chain.next(&mut ops, &[]).unwrap();
        engine.commit(ops).unwrap();
    }
    head.check((chain.number, chain.root), engine.snapshot().as_ref()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = Head::open(&folder.path().join("head")).unwrap();
    let mut ops = vec![Op::Delete(Keyspace::Events, b"another history".to_vec())];
    let (_, mut another) = house(2);
    another.next(&mut ops, &[]).unwrap();
    other.note(&another).unwrap();
    assert!(other.check((chain.number, chain.root), engine.snapshot().as_ref()).is_err());
}

#[test]
fn each_entry_has_a_proof_and_nothing_else_has_it() {
    let (engine, _) = house(23);
    let snapshot = engine.snapshot();
    let checkpoint = Checkpoint::read(&checkpoint(snapshot.as_ref()).unwrap().unwrap()).unwrap();
    for n in 0..23u64 {
        for index in 0..n % 4 {
            let proof = proof_of(snapshot.as_ref(), n + 1, usize::try_from(index).unwrap()).unwrap().unwrap();
            let root =
                |leaf| crate::log::root_from_path(proof.leaf(leaf)?, proof.batch - 1, checkpoint.size, &proof.log_path);
            assert_eq!(root(entry(10 * n + index)), Some(checkpoint.root));
            assert_ne!(root(entry(999)), Some(checkpoint.root));
        }
        assert!(proof_of(snapshot.as_ref(), n + 1, usize::try_from(n % 4).unwrap()).unwrap().is_none());
    }
    assert!(proof_of(snapshot.as_ref(), 99, 0).unwrap().is_none());
}
