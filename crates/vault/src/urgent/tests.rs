//! An acknowledged opt-out survives everything but a lost disk.

use super::*;

fn log() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("urgent.log");
    UrgentLog::create(&path).unwrap();
    (folder, path)
}

fn filled(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut log = UrgentLog::open(path).unwrap();
    for entry in [b"withdraw".as_slice(), b"", b"erase, sealed and longer than the others"] {
        log.append(entry).unwrap();
    }
    log.replay().to_vec()
}

#[test]
fn entries_come_back_in_order_until_drained() {
    let (_folder, path) = log();
    let entries = filled(&path);
    assert_eq!(entries.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    let mut log = UrgentLog::open(&path).unwrap();
    assert_eq!(log.replay(), entries);
    log.drained(&[1, 2]).unwrap();
    assert_eq!(log.replay(), &entries[2..]);
    assert_eq!(UrgentLog::open(&path).unwrap().replay(), entries, "drained entries are told again, never lost");
    log.drained(&[3]).unwrap();
    assert_eq!(Disk::read(&path).unwrap().unwrap().len(), FILE_HEAD_BYTES);
    assert_eq!(UrgentLog::open(&path).unwrap().append(b"next").unwrap(), 4, "numbers go on");
}

#[test]
fn an_entry_that_stays_does_not_keep_the_others_in_a_grown_file() {
    let (_folder, path) = log();
    let mut log = UrgentLog::open(&path).unwrap();
    let large = vec![7; ENTRY_BYTES_MAX];
    for _ in 0..20 {
        log.append(&large).unwrap();
    }
    let numbers: Vec<u64> = (1..=20).filter(|number| *number != 2 && *number != 20).collect();
    log.drained(&numbers).unwrap();
    let kept = [(2, large.clone()), (20, large)];
    assert_eq!(log.replay(), kept);
    assert!(log.n_bytes < 3 * ENTRY_BYTES_MAX as u64);
    assert_eq!(UrgentLog::open(&path).unwrap().replay(), kept, "under their numbers");
    assert_eq!(log.append(b"next").unwrap(), 21);
    assert_eq!(UrgentLog::open(&path).unwrap().replay().len(), 3);
}

#[test]
fn a_torn_tail_is_forgotten_and_only_that() {
    let (_folder, path) = log();
    let entries = filled(&path);
    let bytes = Disk::read(&path).unwrap().unwrap();
    let last = bytes.len() - (ENTRY_HEAD_BYTES + CHECK_BYTES + entries[2].1.len());
    for end in last..bytes.len() {
        for tail in [b"".as_slice(), &[0; 300]] {
            Disk::replace(&path, &[&bytes[..end], tail].concat()).unwrap();
            let mut log = UrgentLog::open(&path).unwrap();
            assert_eq!(log.replay(), &entries[..2], "cut at {end}");
            assert_eq!(log.append(b"again").unwrap(), 3);
        }
    }
    assert_eq!(UrgentLog::open(&path).unwrap().replay().len(), 3);
}

#[test]
fn damage_in_the_middle_is_refused() {
    let (_folder, path) = log();
    let entries = filled(&path);
    let bytes = Disk::read(&path).unwrap().unwrap();
    let last = bytes.len() - (ENTRY_HEAD_BYTES + CHECK_BYTES + entries[2].1.len());
    for at in (0..MAGIC.len()).chain(FILE_HEAD_BYTES..last) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        Disk::replace(&path, &changed).unwrap();
        assert!(matches!(UrgentLog::open(&path), Err(VaultError::Damaged { .. })), "byte {at}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(UrgentLog::open(&path), Err(VaultError::Damaged { .. })), "missing");
}

#[test]
fn an_entry_above_the_limit_is_refused() {
    let (_folder, path) = log();
    let refused = UrgentLog::open(&path).unwrap().append(&vec![0; ENTRY_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(VaultError::TooLarge { .. })));
}
