//! Responsible for the end of fjall's journal after a power cut. A batch that was being written may have lost a sector in its
//! middle while its end is there: fjall finds the checksum wrong and does not open at all, although nobody was told that the
//! batch is kept. Here such a batch is cut off before fjall looks; one that cannot be torn is damage, and named.
//!
//! What tells them apart: the committer syncs each batch before it begins the next, so that of real batches only the last can
//! be torn. Padding is not synced; after a torn piece of it at most one real batch was on its way.
//!
//! Batch = start (tag 1, number of items u32, sequence u64) · items (tag 2, kind u8, compression u8, keyspace u64, key length
//! u16, length u32, stored length u32, key, value) · end (tag 3, XXH3-64 of the items, magic 4). Numbers little-endian. What
//! does not read as a batch is cut off by fjall itself; what was acknowledged and is missing is noticed by the chain.
//!
//! Deliberately not: what a batch says.

use super::PADDING;
use crate::VaultError;
use crate::disk::Disk;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 4] = b"FJL\x03";

/// Largest key or value that is read, in bytes; a length above it was never written.
const PART_BYTES_MAX: u64 = 64 << 20;

/// One batch that has its end.
struct Batch {
    begins: u64,
    ends: u64,
    /// Its items are those that were written.
    holds: bool,
    /// It is not padding.
    is_real: bool,
}

/// Cuts a torn batch off the end of the newest journal.
pub(super) fn cut_torn_end(store: &Path) -> Result<(), VaultError> {
    let newest = super::names_in(store)?.into_iter().filter_map(|path| Some((number(&path)?, path))).max();
    let Some((_, path)) = newest else { return Ok(()) };
    let batches = batches(&path)?;
    let Some(at) = batches.iter().position(|batch| !batch.holds) else { return Ok(()) };
    let (before, rest) = batches.split_at(at);
    let Some((torn, later)) = rest.split_first() else { return Ok(()) };
    let n_later = later.iter().filter(|batch| batch.is_real).count();
    if n_later > usize::from(!torn.is_real) {
        let what = format!("{}, byte {}: a batch is not the one that was written", path.display(), torn.begins);
        return Err(VaultError::Damaged { keyspace: "store", what });
    }
    tracing::warn!(batches = rest.len(), "what a power cut left torn is cut off the journal");
    Disk::cut(&path, before.last().map_or(0, |batch| batch.ends))
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".jnl")?.parse().ok()
}

/// The batches of a journal, up to what does not read as one.
fn batches(path: &Path) -> Result<Vec<Batch>, VaultError> {
    let mut reader = Reader { file: BufReader::new(Disk::open_to_read(path)?), at: 0 };
    Ok(std::iter::from_fn(|| batch(&mut reader)).collect())
}

/// The batch that begins here; `None` when it does not read as one.
fn batch(reader: &mut Reader) -> Option<Batch> {
    let begins = reader.at;
    (reader.take::<1>()? == [1]).then_some(())?;
    let n_items = u32::from_le_bytes(reader.take()?);
    reader.take::<8>()?;
    let (mut items, mut n_read, mut is_real) = (Xxh3::new(), 0u32, false);
    loop {
        match reader.take::<1>()? {
            [2] => {
                let head: [u8; 20] = reader.take()?;
                let ([_, 0, _, _, _, _, _, _, _, _, k0, k1, _, _, _, _], [v0, v1, v2, v3]) = halves(head) else {
                    // fjall is built without compression.
                    return None;
                };
                let key = reader.part(u16::from_le_bytes([k0, k1]).into())?;
                let value = reader.part(u32::from_le_bytes([v0, v1, v2, v3]).into())?;
                is_real |= key != PADDING.as_bytes();
                n_read = n_read.checked_add(1)?;
                [&[2], head.as_slice(), &key, &value].into_iter().for_each(|part| items.update(part));
            }
            [3] => {
                let checksum = u64::from_le_bytes(reader.take()?);
                (&reader.take::<4>()? == MAGIC).then_some(())?;
                let holds = n_read == n_items && items.digest() == checksum;
                return Some(Batch { begins, ends: reader.at, holds, is_real });
            }
            _ => return None,
        }
    }
}

fn halves(head: [u8; 20]) -> ([u8; 16], [u8; 4]) {
    let [first @ .., a, b, c, d] = head;
    (first, [a, b, c, d])
}

struct Reader {
    file: BufReader<File>,
    at: u64,
}

impl Reader {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).ok()?;
        self.at = self.at.checked_add(N as u64)?;
        Some(bytes)
    }

    fn part(&mut self, n_bytes: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let n_read = self.file.by_ref().take(n_bytes.min(PART_BYTES_MAX)).read_to_end(&mut bytes).ok()?;
        self.at = self.at.checked_add(n_bytes)?;
        (n_read as u64 == n_bytes).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Engine, EngineSnapshot, Keyspace, Op};
    use super::super::Fjall;
    use super::*;
    use std::path::PathBuf;

    /// A store with some batches, closed, and its journal.
    fn store(n_batches: u8) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let engine = Fjall::new(&store).unwrap();
        for n in 0..n_batches {
            engine.commit(vec![put(n), Op::Delete(Keyspace::Events, vec![n])]).unwrap();
        }
        drop(engine);
        let journal = store.join("0.jnl");
        assert!(Disk::read(&journal).unwrap().is_some());
        (folder, journal)
    }

    fn put(n: u8) -> Op {
        Op::Put(Keyspace::Profiles, vec![n], vec![n; 2_000])
    }

    fn rows(journal: &Path) -> Result<usize, VaultError> {
        let engine = Fjall::new(journal.parent().unwrap())?;
        let snapshot = engine.snapshot();
        Ok(EngineSnapshot::scan(&*snapshot, Keyspace::Profiles, b"").map(Result::unwrap).count())
    }

    fn spoil(journal: &Path, at: u64) {
        let (mut bytes, at) = (Disk::read(journal).unwrap().unwrap(), usize::try_from(at).unwrap());
        bytes[at..at + 512].fill(0);
        Disk::replace(journal, &bytes).unwrap();
    }

    #[test]
    fn a_batch_that_a_power_cut_left_torn_is_cut_off() {
        let (_folder, journal) = store(5);
        let all = batches(&journal).unwrap();
        assert!(all.len() >= 5 && all.iter().all(|batch| batch.holds && batch.is_real));
        spoil(&journal, all.last().unwrap().begins + 700);
        assert_eq!(rows(&journal).unwrap(), 4);
        let engine = Fjall::new(journal.parent().unwrap()).unwrap();
        engine.commit(vec![put(9)]).unwrap();
        drop(engine);
        assert_eq!(rows(&journal).unwrap(), 5, "what is written after it is there");
    }

    #[test]
    fn a_batch_that_was_followed_by_another_is_damage_and_named() {
        let (_folder, journal) = store(5);
        let third = batches(&journal).unwrap()[2].begins;
        spoil(&journal, third + 700);
        let Err(VaultError::Damaged { keyspace: "store", what }) = rows(&journal) else { panic!("not refused") };
        assert!(what.contains("0.jnl") && what.contains(&format!("byte {third}")), "{what}");
    }

    #[test]
    fn torn_padding_takes_the_one_batch_after_it_along() {
        let (_folder, journal) = store(2);
        let engine = Fjall::new(journal.parent().unwrap()).unwrap();
        engine.pad(vec![7; 4_000]).unwrap();
        engine.commit(vec![put(7)]).unwrap();
        drop(engine);
        let padding = batches(&journal).unwrap().into_iter().find(|batch| !batch.is_real).unwrap();
        spoil(&journal, padding.begins + 1_000);
        assert_eq!(rows(&journal).unwrap(), 2);
    }
}
