//! Responsible for redb 4 as an engine: one file `records.redb`, one table per keyspace.
//!
//! Deliberately not: the default. It is slower to write than fjall on a disk, and is kept under the same tests so that
//! no weakness of one engine is a weakness of the house.

use super::reading::{Reading, Readings};
use super::{Engine, EngineSnapshot, Keyspace, Op, Rows, bounds, bounds_after};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const FILE: &str = "records.redb";
const NEXT_FILE: &str = "records.redb.next";

/// Page cache, in bytes: a small house stays small.
const CACHE_BYTES: usize = 16 << 20;

/// Rows copied per transaction while rewriting.
const COPY_CHUNK: usize = 4_096;

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

const fn table(keyspace: Keyspace) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(keyspace.name())
}

fn failed(error: impl Into<redb::Error>) -> VaultError {
    let source: Box<dyn std::error::Error + Send + Sync> = match error.into() {
        // redb names no cause: whoever asks whether the disk is full would not find it.
        redb::Error::Io(error) => Box::new(error),
        other => Box::new(other),
    };
    VaultError::Engine { engine: "redb", source }
}

/// What redb says when something on the disk is not what it wrote, with the file; a disk that fails is told as that.
fn unreadable(what: &str, error: impl Into<redb::Error>) -> VaultError {
    match error.into() {
        redb::Error::Io(source) if source.raw_os_error().is_some() => failed(redb::Error::Io(source)),
        error => VaultError::Damaged { keyspace: "store", what: format!("{what} cannot be read: {error}") },
    }
}

pub(super) struct Redb {
    folder: PathBuf,
    database: Mutex<Arc<Database>>,
    readings: Arc<Readings>,
    broken: AtomicBool,
}

impl Redb {
    pub(super) fn open(folder: &Path) -> Result<Self, VaultError> {
        Disk::make_folder(folder)?;
        let next = folder.join(NEXT_FILE);
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error("removing", &next, error));
            }
            _ => {}
        }
        let database = Self::database(folder, FILE)?;
        Disk::sync_folder(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            database: Mutex::new(Arc::new(database)),
            readings: Arc::default(),
            broken: AtomicBool::new(false),
        })
    }

    fn database(folder: &Path, file: &str) -> Result<Database, VaultError> {
        let opened = Database::builder().set_cache_size(CACHE_BYTES).create(folder.join(file));
        let database = opened.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => VaultError::Locked { path: folder.to_path_buf() },
            other => unreadable(&folder.join(file).display().to_string(), other),
        })?;
        let path = folder.join(file).display().to_string();
        let write = database.begin_write().map_err(|error| unreadable(&path, error))?;
        for keyspace in Keyspace::ALL {
            write.open_table(table(keyspace)).map_err(|error| unreadable(&path, error))?;
        }
        write.commit().map_err(|error| unreadable(&path, error))?;
        Ok(database)
    }

    fn handle(&self) -> Arc<Database> {
        Arc::clone(&self.database.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, ops: Vec<Op>) -> Result<(), VaultError> {
        let database = self.handle();
        let write = database.begin_write().map_err(failed)?;
        {
            let mut tables = BTreeMap::new();
            for op in &ops {
                let (Op::Put(keyspace, ..) | Op::Delete(keyspace, _)) = op;
                let table = match tables.entry(*keyspace) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(write.open_table(table(*keyspace)).map_err(failed)?)
                    }
                };
                match op {
                    Op::Put(_, key, value) => table.insert(key.as_slice(), value.as_slice()).map(drop),
                    Op::Delete(_, key) => table.remove(key.as_slice()).map(drop),
                }
                .map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// A copy has no free pages: whatever was deleted is not in it.
    fn copy(&self) -> Result<Database, VaultError> {
        let snapshot = RedbSnapshot::new(self.handle(), self.readings.begin()).map_err(failed)?;
        let next = Self::database(&self.folder, NEXT_FILE)?;
        for keyspace in Keyspace::ALL {
            let mut rows = snapshot.scan(keyspace, b"").peekable();
            while rows.peek().is_some() {
                let write = next.begin_write().map_err(failed)?;
                {
                    let mut table = write.open_table(table(keyspace)).map_err(failed)?;
                    for row in rows.by_ref().take(COPY_CHUNK) {
                        let (key, value) = row?;
                        table.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
                    }
                }
                write.commit().map_err(failed)?;
            }
        }
        Ok(next)
    }
}

impl Engine for Redb {
    fn snapshot(&self) -> Arc<dyn EngineSnapshot> {
        match RedbSnapshot::new(self.handle(), self.readings.begin()) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => Arc::new(Unreadable(error.to_string())),
        }
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), VaultError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(VaultError::Closed);
        }
        self.write(ops).inspect_err(|_| self.broken.store(true, Ordering::Release))?;
        self.readings.step();
        Ok(())
    }

    fn compact(&self) -> Result<(), VaultError> {
        self.readings.none_older("redb")?;
        let next = self.copy()?;
        let (from, to) = (self.folder.join(NEXT_FILE), self.folder.join(FILE));
        std::fs::rename(&from, &to).map_err(|error| file_error("replacing", &to, error))?;
        Disk::sync_folder(&self.folder)?;
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    fn wait_for_readers(&self) -> Result<(), VaultError> {
        self.readings.none_older("redb")
    }
}

struct RedbSnapshot {
    tables: BTreeMap<Keyspace, Table>,
    _read: ReadTransaction,
    _reading: Reading,
    /// After a rewrite the old file lives on as long as somebody reads it.
    _database: Arc<Database>,
}

impl RedbSnapshot {
    fn new(database: Arc<Database>, reading: Reading) -> Result<Self, redb::Error> {
        let read = database.begin_read()?;
        let mut tables = BTreeMap::new();
        for keyspace in Keyspace::ALL {
            tables.insert(keyspace, read.open_table(table(keyspace))?);
        }
        Ok(Self { tables, _read: read, _reading: reading, _database: database })
    }

    fn table(&self, keyspace: Keyspace) -> Result<&Table, VaultError> {
        self.tables.get(&keyspace).ok_or_else(|| failed(redb::Error::TableDoesNotExist(keyspace.name().to_owned())))
    }

    fn range(
        &self,
        keyspace: Keyspace,
        (from, to): (Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> Result<redb::Range<'static, &'static [u8], &'static [u8]>, VaultError> {
        let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        self.table(keyspace)?.range::<&[u8]>(range).map_err(|error| unread(keyspace, error))
    }
}

type RangeRow =
    Result<(redb::AccessGuard<'static, &'static [u8]>, redb::AccessGuard<'static, &'static [u8]>), redb::StorageError>;

fn owned(keyspace: Keyspace, row: RangeRow) -> Result<super::Row, VaultError> {
    let row = row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()));
    row.map_err(|error| unread(keyspace, error))
}

/// An error of a reading, with the keyspace; all of them lie in one file.
fn unread(keyspace: Keyspace, error: redb::StorageError) -> VaultError {
    match unreadable(FILE, error) {
        VaultError::Damaged { what, .. } => VaultError::Damaged { keyspace: keyspace.name(), what },
        other => other,
    }
}

impl EngineSnapshot for RedbSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        let value = ReadableTable::get(self.table(keyspace)?, key).map_err(|error| unread(keyspace, error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        match self.range(keyspace, bounds(prefix)) {
            Ok(range) => Box::new(range.map(move |row| owned(keyspace, row))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn scan_after(&self, keyspace: Keyspace, prefix: &[u8], after: &[u8]) -> Rows<'_> {
        match self.range(keyspace, bounds_after(prefix, after)) {
            Ok(range) => Box::new(range.map(move |row| owned(keyspace, row))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn scan_back(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        match self.range(keyspace, bounds(prefix)) {
            Ok(range) => Box::new(range.rev().map(move |row| owned(keyspace, row))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

/// A snapshot that could not be opened: every reading says so, none pretends to be empty.
struct Unreadable(String);

impl Unreadable {
    fn error(&self) -> VaultError {
        VaultError::Engine { engine: "redb", source: format!("{FILE} cannot be read: {}", self.0).into() }
    }
}

impl EngineSnapshot for Unreadable {
    fn get(&self, _: Keyspace, _: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        Err(self.error())
    }

    fn scan(&self, _: Keyspace, _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::once(Err(self.error())))
    }

    fn scan_after(&self, _: Keyspace, _: &[u8], _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::once(Err(self.error())))
    }

    fn scan_back(&self, _: Keyspace, _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::once(Err(self.error())))
    }
}
