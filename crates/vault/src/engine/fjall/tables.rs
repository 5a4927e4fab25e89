//! Responsible for whether fjall's table files are those that it wrote. fjall lists a checksum of each and never looks at it:
//! a table out of another house under the same number, or an older one, is whole in itself and would be served without a word.
//!
//! Reading every table at each start would take minutes in a large house. So the file `tables.seen` beside the store
//! remembers of each table, by its listed checksum, what its size, its beginning and its end look like: 8 KiB of reading per
//! table tell another table from this one. What is not remembered is read whole. A byte that rots inside a table is found by
//! fjall itself, block by block, when it is read; here it is then found out in which file ([`damaged`]).
//!
//! Deliberately not: proof against somebody who writes in the data folder (`fsck` and the witness are that).

use super::{checked_list, names_in};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

const MAGIC: &[u8; 8] = b"FLTABL1\n";

/// How much of the beginning and of the end of a table is looked at, in bytes.
const EDGE_BYTES: u64 = 4 << 10;

/// Read at a time, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A table as its keyspace lists it.
struct Listed {
    path: PathBuf,
    checksum: u128,
}

/// What is remembered of the tables of one store.
pub(super) struct Tables {
    keyspaces: PathBuf,
    file: PathBuf,
    /// Listed checksum → what the table's edges look like.
    seen: Mutex<BTreeMap<u128, u128>>,
}

impl Tables {
    /// Looks at every table of a store, before fjall does; whole at those that nobody remembers.
    pub(super) fn check(store: &Path) -> Result<Self, VaultError> {
        let (keyspaces, file) = (store.join("keyspaces"), store.with_file_name("tables.seen"));
        // A file that cannot be read is nothing remembered: then all of it is read.
        let seen = Disk::read(&file)?.and_then(|bytes| from_bytes(&bytes)).unwrap_or_default();
        let mut now = BTreeMap::new();
        for keyspace in names_in(&keyspaces)? {
            for Listed { path, checksum } in listed(&keyspace)? {
                let mut table = opened(&path)?;
                let edges = edges(&mut table, &path)?;
                let is_ours = match seen.get(&checksum) {
                    Some(before) => *before == edges,
                    None => whole(&mut table, &path)? == checksum,
                };
                if !is_ours {
                    return Err(not_ours(&path));
                }
                now.insert(checksum, edges);
            }
        }
        let tables = Self { keyspaces, file, seen: Mutex::new(seen) };
        tables.remember(now)?;
        Ok(tables)
    }

    /// Remembers what was written meanwhile, by this process, so that the next start need not read it. Whatever does not fit
    /// together, because fjall is just changing it, is remembered the next time.
    pub(super) fn note(&self) -> Result<(), VaultError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut now = BTreeMap::new();
        for keyspace in names_in(&self.keyspaces)? {
            let Ok(tables) = listed(&keyspace) else { return Ok(()) };
            for Listed { path, checksum } in tables {
                let known = seen.get(&checksum).copied();
                let looked = || opened(&path).and_then(|mut table| edges(&mut table, &path)).ok();
                let Some(edges) = known.or_else(looked) else { return Ok(()) };
                now.insert(checksum, edges);
            }
        }
        self.remember(now)
    }

    fn remember(&self, now: BTreeMap<u128, u128>) -> Result<(), VaultError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now && self.file.exists() {
            return Ok(());
        }
        Disk::replace(&self.file, &to_bytes(&now))?;
        *seen = now;
        Ok(())
    }
}

/// The table of a keyspace that is not what was written, in words; for an error of fjall that names none.
pub(super) fn damaged(keyspace: &Path) -> Option<String> {
    let spoiled = |listed: &Listed| {
        let whole = opened(&listed.path).and_then(|mut table| whole(&mut table, &listed.path));
        whole.map_or(true, |checksum| checksum != listed.checksum)
    };
    let found = listed(keyspace).ok()?.into_iter().find(spoiled)?;
    Some(format!("{} is not the table that was written", found.path.display()))
}

/// The tables of a keyspace, as its newest list says.
fn listed(keyspace: &Path) -> Result<Vec<Listed>, VaultError> {
    let Some((path, list)) = checked_list(keyspace)? else { return Ok(Vec::new()) };
    let tables = read_list(&list).ok_or_else(|| {
        let what = format!("{} is not a list of tables that this program reads", path.display());
        VaultError::Damaged { keyspace: "store", what }
    })?;
    let folder = keyspace.join("tables");
    Ok(tables.into_iter().map(|(id, checksum)| Listed { path: folder.join(id.to_string()), checksum }).collect())
}

/// Levels u8 of runs u8 of tables u32: number u64, kind of checksum u8, checksum u128, sequence u64. Little-endian.
fn read_list(list: &[u8]) -> Option<Vec<(u64, u128)>> {
    let toc = sfa::Reader::from_reader(&mut Cursor::new(list)).ok()?;
    let section = toc.toc().section(b"tables")?;
    let begin = usize::try_from(section.pos()).ok()?;
    let mut rest = list.get(begin..)?.get(..usize::try_from(section.len()).ok()?)?;
    let mut tables = Vec::new();
    for _ in 0..u8::from_le_bytes(taken(&mut rest)?) {
        for _ in 0..u8::from_le_bytes(taken(&mut rest)?) {
            for _ in 0..u32::from_le_bytes(taken(&mut rest)?) {
                let id = u64::from_le_bytes(taken(&mut rest)?);
                let [0] = taken::<1>(&mut rest)? else { return None };
                let checksum = u128::from_le_bytes(taken(&mut rest)?);
                taken::<8>(&mut rest)?;
                tables.push((id, checksum));
            }
        }
    }
    Some(tables)
}

fn taken<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*part)
}

fn opened(path: &Path) -> Result<File, VaultError> {
    Disk::open_to_read(path).map_err(|error| match error {
        VaultError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            VaultError::Damaged { keyspace: "store", what: format!("{} is missing", path.display()) }
        }
        other => other,
    })
}

/// What a table looks like at its edges, with its size.
fn edges(table: &mut File, path: &Path) -> Result<u128, VaultError> {
    let read = |source| file_error("reading", path, source);
    let n_bytes = table.seek(SeekFrom::End(0)).map_err(read)?;
    let mut looked = n_bytes.to_le_bytes().to_vec();
    for at in [0, n_bytes.saturating_sub(EDGE_BYTES)] {
        table.seek(SeekFrom::Start(at)).map_err(read)?;
        table.by_ref().take(EDGE_BYTES).read_to_end(&mut looked).map_err(read)?;
    }
    Ok(xxh3_128(&looked))
}

/// The checksum of all of it, as fjall lists it.
fn whole(table: &mut File, path: &Path) -> Result<u128, VaultError> {
    let read = |source| file_error("reading", path, source);
    table.seek(SeekFrom::Start(0)).map_err(read)?;
    let (mut hash, mut piece) = (Xxh3::new(), vec![0; PIECE_BYTES]);
    loop {
        let n_bytes = table.read(&mut piece).map_err(read)?;
        match piece.get(..n_bytes) {
            Some(bytes) if n_bytes > 0 => hash.update(bytes),
            _ => return Ok(hash.digest128()),
        }
    }
}

fn not_ours(path: &Path) -> VaultError {
    let what =
        format!("{} is not the table that was written: another house's, an older one, or damaged", path.display());
    VaultError::Damaged { keyspace: "store", what }
}

fn to_bytes(seen: &BTreeMap<u128, u128>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (checksum, edges) in seen {
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(edges.to_le_bytes());
    }
    let check = xxh3_64(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

fn from_bytes(bytes: &[u8]) -> Option<BTreeMap<u128, u128>> {
    let (content, check) = bytes.split_last_chunk::<8>()?;
    (xxh3_64(content) == u64::from_le_bytes(*check)).then_some(())?;
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut seen = BTreeMap::new();
    while !rest.is_empty() {
        let checksum = u128::from_le_bytes(taken(&mut rest)?);
        seen.insert(checksum, u128::from_le_bytes(taken(&mut rest)?));
    }
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::super::super::{Engine, Keyspace, Op};
    use super::super::Fjall;
    use super::*;

    /// A store with tables in two keyspaces, closed.
    fn store(seed: u8) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let engine = Fjall::new(&store).unwrap();
        for n in 0..50 {
            let put = |keyspace| Op::Put(keyspace, vec![seed, n], vec![seed ^ n; 3_000]);
            engine.commit(vec![put(Keyspace::Profiles), put(Keyspace::Events)]).unwrap();
        }
        engine.compact().unwrap();
        drop(engine);
        (folder, store)
    }

    fn tables(store: &Path) -> Vec<PathBuf> {
        let keyspaces = names_in(&store.join("keyspaces")).unwrap();
        let mut all: Vec<PathBuf> =
            keyspaces.iter().flat_map(|keyspace| names_in(&keyspace.join("tables")).unwrap()).collect();
        all.sort();
        all
    }

    fn refusal(store: &Path) -> String {
        match Fjall::new(store).map(drop) {
            Err(VaultError::Damaged { keyspace: "store", what }) => what,
            Err(error) => panic!("{error}"),
            Ok(()) => String::new(),
        }
    }

    #[test]
    fn a_table_of_another_house_under_the_same_number_is_refused_by_name() {
        let ((_folder, ours), (_other_folder, theirs)) = (store(1), store(2));
        let pairs: Vec<_> = tables(&ours).into_iter().zip(tables(&theirs)).collect();
        assert!(pairs.len() >= 2);
        for (our, their) in pairs.into_iter().take(2) {
            let kept = Disk::read(&our).unwrap().unwrap();
            for is_remembered in [true, false] {
                assert_eq!(refusal(&ours), "", "control");
                if !is_remembered {
                    Disk::remove(&ours.with_file_name("tables.seen")).unwrap();
                }
                Disk::replace(&our, &Disk::read(&their).unwrap().unwrap()).unwrap();
                let what = refusal(&ours);
                assert!(what.starts_with(&our.display().to_string()), "{what}");
                Disk::replace(&our, &kept).unwrap();
            }
        }
    }

    #[test]
    fn a_byte_anywhere_in_a_table_that_nobody_remembers_is_noticed_and_a_missing_one_named() {
        let (_folder, store) = store(3);
        let table = tables(&store).remove(0);
        let kept = Disk::read(&table).unwrap().unwrap();
        for at in [0, kept.len() / 2, kept.len() - 1] {
            Disk::remove(&store.with_file_name("tables.seen")).unwrap();
            let mut spoiled = kept.clone();
            spoiled[at] ^= 1;
            Disk::replace(&table, &spoiled).unwrap();
            assert!(refusal(&store).starts_with(&table.display().to_string()), "byte {at}");
            let keyspace = table.ancestors().nth(2).unwrap();
            assert!(damaged(keyspace).is_some_and(|what| what.starts_with(&table.display().to_string())));
            Disk::replace(&table, &kept).unwrap();
            assert_eq!(refusal(&store), "", "control");
            assert_eq!(damaged(keyspace), None);
        }
        Disk::remove(&table).unwrap();
        assert_eq!(refusal(&store), format!("{} is missing", table.display()));
    }

    #[test]
    fn what_is_written_is_remembered_and_a_spoiled_memory_is_none() {
        let (_folder, store) = store(4);
        let file = store.with_file_name("tables.seen");
        let engine = Fjall::new(&store).unwrap();
        let before = from_bytes(&Disk::read(&file).unwrap().unwrap()).unwrap();
        engine.commit(vec![Op::Put(Keyspace::Ledger, vec![1], vec![1; 100])]).unwrap();
        engine.compact().unwrap();
        engine.note_files().unwrap();
        let after = from_bytes(&Disk::read(&file).unwrap().unwrap()).unwrap();
        assert_ne!(before, after);
        assert_eq!(after.len(), tables(&store).len());
        drop(engine);
        let bytes = Disk::read(&file).unwrap().unwrap();
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 1;
            assert_eq!(from_bytes(&spoiled), None, "byte {at}");
        }
        Disk::replace(&file, b"").unwrap();
        assert_eq!(refusal(&store), "");
        assert_eq!(from_bytes(&Disk::read(&file).unwrap().unwrap()).unwrap().len(), tables(&store).len());
    }
}
