//! One suite for every engine: what one promises, all promise.

use super::*;
use crate::census;
use crate::disk::Disk;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

fn put(keyspace: Keyspace, key: &[u8], value: &[u8]) -> Op {
    Op::Put(keyspace, key.to_vec(), value.to_vec())
}

fn delete(keyspace: Keyspace, key: &[u8]) -> Op {
    Op::Delete(keyspace, key.to_vec())
}

fn keys(rows: Rows<'_>) -> Vec<Vec<u8>> {
    rows.map(|row| row.unwrap().0).collect()
}

fn found(folder: &Path, needle: &[u8]) -> u64 {
    let needle = census::Needle::new("planted", needle).unwrap();
    let searched = census::search(&[folder.to_path_buf()], &[needle]).unwrap();
    assert_eq!(searched.unread, []);
    searched.n_findings
}

fn a_batch_lands_whole_and_the_last_op_of_a_key_wins(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    engine
        .commit(vec![
            put(Keyspace::Events, b"a", b"1"),
            put(Keyspace::Profiles, b"a", b"2"),
            put(Keyspace::Profiles, b"a", b"3"),
            put(Keyspace::House, b"gone", b"x"),
            delete(Keyspace::House, b"gone"),
            delete(Keyspace::Marks, b"back"),
            put(Keyspace::Marks, b"back", b"y"),
        ])
        .unwrap();
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.get(Keyspace::Events, b"a").unwrap().unwrap(), b"1");
    assert_eq!(snapshot.get(Keyspace::Profiles, b"a").unwrap().unwrap(), b"3");
    assert_eq!(snapshot.get(Keyspace::House, b"gone").unwrap(), None);
    assert_eq!(snapshot.get(Keyspace::Marks, b"back").unwrap().unwrap(), b"y");
    assert_eq!(snapshot.get(Keyspace::Keys, b"a").unwrap(), None, "keyspaces do not mix");
}

fn readers_never_see_half_a_batch(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_read = 0;
            while !done.load(Ordering::Acquire) || n_read == 0 {
                let snapshot = engine.snapshot();
                let values: Vec<_> = Keyspace::ALL.map(|each| snapshot.get(each, b"n").unwrap()).into();
                assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{values:?}");
                n_read += 1;
            }
        });
        for n in 0..60u8 {
            engine.commit(Keyspace::ALL.map(|each| put(each, b"n", &[n])).into()).unwrap();
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
}

fn a_snapshot_stands_still(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    engine.commit(vec![put(Keyspace::Events, b"a", b"old"), put(Keyspace::Events, b"b", b"old")]).unwrap();
    let before = engine.snapshot();
    let rows = before.scan(Keyspace::Events, b"");
    engine
        .commit(vec![
            put(Keyspace::Events, b"a", b"new"),
            delete(Keyspace::Events, b"b"),
            put(Keyspace::Events, b"c", b"new"),
        ])
        .unwrap();
    assert_eq!(keys(rows), [b"a", b"b"]);
    assert_eq!(before.get(Keyspace::Events, b"a").unwrap().unwrap(), b"old");
    assert_eq!(before.get(Keyspace::Events, b"c").unwrap(), None);
    let after = engine.snapshot();
    assert_eq!(keys(after.scan(Keyspace::Events, b"")), [b"a", b"c"]);
    assert_eq!(after.get(Keyspace::Events, b"b").unwrap(), None);
}

fn scans_go_both_ways_within_their_prefix(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    let mut model = BTreeMap::new();
    let mut ops = vec![put(Keyspace::Events, &[0xff], b"top"), put(Keyspace::Events, &[0xff, 0xff, 1], b"top")];
    for n in 0..700u32 {
        let key = [b"p".as_slice(), &n.wrapping_mul(2_654_435_761).to_be_bytes()].concat();
        model.insert(key.clone(), n.to_be_bytes().to_vec());
        ops.push(put(Keyspace::Events, &key, &n.to_be_bytes()));
    }
    ops.push(put(Keyspace::Events, b"o\xff", b"before"));
    ops.push(put(Keyspace::Events, b"q", b"after"));
    engine.commit(ops).unwrap();
    let gone = model.keys().nth(3).cloned().unwrap();
    engine.commit(vec![delete(Keyspace::Events, &gone)]).unwrap();
    model.remove(&gone);
    let snapshot = engine.snapshot();
    let rows: Vec<Row> = snapshot.scan(Keyspace::Events, b"p").map(Result::unwrap).collect();
    assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
    let rows: Vec<Row> = snapshot.scan_back(Keyspace::Events, b"p").map(Result::unwrap).collect();
    assert_eq!(rows, model.clone().into_iter().rev().collect::<Vec<_>>());
    // Behind a key that is there, behind one that is gone, and behind none of them.
    for after in [model.keys().nth(2).unwrap(), &gone, &b"o".to_vec(), &b"pz\xff\xff".to_vec()] {
        let rows: Vec<Row> = snapshot.scan_after(Keyspace::Events, b"p", after).map(Result::unwrap).collect();
        let expected = model.clone().into_iter().filter(|(key, _)| key > after);
        assert_eq!(rows, expected.collect::<Vec<_>>());
    }
    assert_eq!(keys(snapshot.scan(Keyspace::Events, &[0xff])), [vec![0xff], vec![0xff, 0xff, 1]]);
    assert_eq!(keys(snapshot.scan_back(Keyspace::Events, &[0xff, 0xff])), [vec![0xff, 0xff, 1]]);
    assert_eq!(snapshot.scan(Keyspace::Events, b"").count(), 703);
    assert_eq!(snapshot.scan(Keyspace::Events, b"zz").count(), 0);
    assert_eq!(
        keys(snapshot.scan_back(Keyspace::Events, b"").take(1).collect::<Vec<_>>().into_boxed()),
        [[0xff, 0xff, 1]]
    );
}

trait IntoRows {
    fn into_boxed(self) -> Rows<'static>;
}

impl IntoRows for Vec<Result<Row, VaultError>> {
    fn into_boxed(self) -> Rows<'static> {
        Box::new(self.into_iter())
    }
}

fn what_was_committed_is_there_after_reopening(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    engine.commit(vec![put(Keyspace::Ledger, b"yes", b"1"), put(Keyspace::Ledger, b"no", b"1")]).unwrap();
    engine.commit(vec![delete(Keyspace::Ledger, b"no")]).unwrap();
    drop(engine);
    let engine = open(kind, folder.path()).unwrap();
    assert_eq!(keys(engine.snapshot().scan(Keyspace::Ledger, b"")), [b"yes"]);
}

fn a_second_opening_is_refused(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    assert!(matches!(open(kind, folder.path()), Err(VaultError::Locked { .. })));
    drop(engine);
    open(kind, folder.path()).unwrap();
}

/// Keys and values both: a wrapped key that stays anywhere in a file is a key that was not destroyed.
fn compaction_takes_deleted_bytes_out_of_every_file(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(kind, folder.path()).unwrap();
    let secret = b"the wrapped key of a person who left";
    engine.commit(vec![put(Keyspace::Keys, b"somebody", secret), put(Keyspace::Keys, b"other", b"stays")]).unwrap();
    assert!(found(folder.path(), secret) > 0, "control: before the deletion it is found");
    let older = engine.snapshot();
    engine.commit(vec![delete(Keyspace::Keys, b"somebody")]).unwrap();
    assert!(found(folder.path(), secret) > 0, "control: a durable delete destroys nothing");
    assert!(matches!(engine.compact(), Err(VaultError::Engine { .. })), "somebody still reads the older state");
    assert_eq!(older.get(Keyspace::Keys, b"somebody").unwrap().unwrap(), secret);
    drop(older);
    let newest = engine.snapshot();
    engine.compact().unwrap();
    assert_eq!((found(folder.path(), secret), found(folder.path(), b"somebody")), (0, 0));
    assert_eq!(keys(newest.scan(Keyspace::Keys, b"")), [b"other"]);
    drop(newest);
    // What has already reached a table leaves it too.
    engine.commit(vec![put(Keyspace::Keys, b"somebody", secret), put(Keyspace::Keys, b"new", b"after")]).unwrap();
    engine.compact().unwrap();
    assert!(found(folder.path(), secret) > 0);
    engine.commit(vec![delete(Keyspace::Keys, b"somebody")]).unwrap();
    let newest = engine.snapshot();
    engine.compact().unwrap();
    assert_eq!((found(folder.path(), secret), found(folder.path(), b"somebody")), (0, 0));
    drop(newest);
    drop(engine);
    let engine = open(kind, folder.path()).unwrap();
    assert_eq!(keys(engine.snapshot().scan(Keyspace::Keys, b"")), [b"new".as_slice(), b"other"]);
}

/// A disk that fails must not hold up the committer for ever: nothing else would be written, and stopping would not end.
fn compaction_that_cannot_write_ends_with_an_error(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let engine = open(kind, &store).unwrap();
    engine.commit(vec![put(Keyspace::Keys, b"somebody", b"key")]).unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    assert!(matches!(engine.compact(), Err(VaultError::Engine { .. } | VaultError::File { .. })));
}

/// fjall alone would serve the keyspace without some of its rows, or without all of them, and not say a word.
#[test]
fn d14_a_keyspace_whose_list_of_tables_is_lost_or_changed_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (store, aside) = (folder.path().join("store"), folder.path().join("aside"));
    let engine = open(EngineKind::Fjall, &store).unwrap();
    engine.commit(vec![put(Keyspace::Keys, b"row", b"value")]).unwrap();
    engine.compact().unwrap();
    drop(engine);
    drop(open(EngineKind::Fjall, &store).unwrap());
    let refused = || match open(EngineKind::Fjall, &store) {
        Err(VaultError::Damaged { keyspace: "store", what }) => what,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    };
    let mut n_keyspaces = 0;
    for entry in std::fs::read_dir(store.join("keyspaces")).unwrap() {
        let current = entry.unwrap().path().join("current");
        if std::fs::read_dir(current.with_file_name("tables")).unwrap().next().is_none() {
            continue;
        }
        n_keyspaces += 1;
        std::fs::rename(&current, &aside).unwrap();
        assert!(refused().ends_with("current is missing"));
        std::fs::rename(&aside, &current).unwrap();
        let list = list_of(&current);
        let whole = Disk::read(&list).unwrap().unwrap();
        for at in (0..whole.len()).step_by(29) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            Disk::replace(&list, &changed).unwrap();
            assert!(refused().ends_with("is not the list of tables that was written"), "byte {at}");
        }
        Disk::replace(&list, &whole).unwrap();
    }
    assert!(n_keyspaces > 0);
    let engine = open(EngineKind::Fjall, &store).unwrap();
    assert_eq!(engine.snapshot().get(Keyspace::Keys, b"row").unwrap().unwrap(), b"value");
}

/// The list of tables that a keyspace's `current` names.
fn list_of(current: &Path) -> std::path::PathBuf {
    let bytes = Disk::read(current).unwrap().unwrap();
    current.with_file_name(format!("v{}", u64::from_le_bytes(bytes[..8].try_into().unwrap())))
}

/// A server takes no folder: the same tests, each in a schema of its own. The files are the server's, so what is forgotten
/// in them has tests of its own (`postgres/tests.rs`), and several nodes may open it.
mod postgres {
    use super::super::postgres::tests::local;
    use super::*;

    fn with(test: fn(EngineKind)) {
        let Some(address) = local::schema() else { return };
        test(EngineKind::Postgres(crate::Server::new(&address, None, None).unwrap()));
    }

    #[test]
    fn a_batch_lands_whole_and_the_last_op_of_a_key_wins() {
        with(super::a_batch_lands_whole_and_the_last_op_of_a_key_wins);
    }

    #[test]
    fn readers_never_see_half_a_batch() {
        with(super::readers_never_see_half_a_batch);
    }

    #[test]
    fn a_snapshot_stands_still() {
        with(super::a_snapshot_stands_still);
    }

    #[test]
    fn scans_go_both_ways_within_their_prefix() {
        with(super::scans_go_both_ways_within_their_prefix);
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        with(super::what_was_committed_is_there_after_reopening);
    }
}

macro_rules! suite {
    ($($engine:ident = $kind:expr => [$($test:ident),* $(,)?];)*) => {$(
        mod $engine {
            use crate::EngineKind;
            $(#[test] fn $test() { super::$test($kind) })*
        }
    )*};
}

suite! {
    fjall = EngineKind::Fjall => [
        a_batch_lands_whole_and_the_last_op_of_a_key_wins, readers_never_see_half_a_batch, a_snapshot_stands_still,
        scans_go_both_ways_within_their_prefix, what_was_committed_is_there_after_reopening,
        a_second_opening_is_refused, compaction_takes_deleted_bytes_out_of_every_file,
        compaction_that_cannot_write_ends_with_an_error,
    ];
    redb = EngineKind::Redb => [
        a_batch_lands_whole_and_the_last_op_of_a_key_wins, readers_never_see_half_a_batch, a_snapshot_stands_still,
        scans_go_both_ways_within_their_prefix, what_was_committed_is_there_after_reopening,
        a_second_opening_is_refused, compaction_takes_deleted_bytes_out_of_every_file,
        compaction_that_cannot_write_ends_with_an_error,
    ];
    memory = EngineKind::Memory => [
        a_batch_lands_whole_and_the_last_op_of_a_key_wins, readers_never_see_half_a_batch, a_snapshot_stands_still,
        scans_go_both_ways_within_their_prefix,
    ];
}
