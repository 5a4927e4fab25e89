//! Responsible for fjall 3 as the default engine: one database, one keyspace per [`Keyspace`], one journal.
//!
//! Deliberately not: group commit (the committer is that) and encryption (everything comes sealed). fjall only starts a
//! new journal once the old one has 64 MB, so [`Engine::compact`] fills the rest of it with padding: otherwise deleted
//! rows of a small house would stand in it for months. It also keeps a replaced table file for as long as a snapshot is
//! open that might read it, so compaction moves the open snapshots (all of the present state) on to the new files, and
//! waits until the old ones are gone.

mod journal;
mod tables;

use super::reading::{Reading, Readings};
use super::{Engine, EngineSnapshot, Keyspace, Op, Row, Rows, StillRead, bounds_after};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use fjall::{Database, KeyspaceCreateOptions, PersistMode, Readable};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// All journals together, in bytes: bounds how long reopening takes. fjall allows no less.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// How often, and after what rest each time, a lock is tried that only a child being started can hold: half a second in all.
const LOCKED_TRIES: usize = 20;
const LOCKED_WAIT: Duration = Duration::from_millis(25);

/// Cache for blocks of tables, in bytes: room for the filters of a million people, which are read again with each event,
/// and some of the rows. It grows with what is read, so a small house stays small.
const CACHE_BYTES: u64 = 128 << 20;

/// One worker writes tables and merges them. With two, fjall's first hands each merging back to the queue and takes it out
/// again for as long as the second is busy, which keeps a core from everybody else (`worker_pool.rs`).
const WORKERS: usize = 1;

/// What a keyspace holds in memory before it is written to a table, in bytes: large where most bytes go.
const fn memtable_bytes(keyspace: Keyspace) -> u64 {
    match keyspace {
        Keyspace::Profiles | Keyspace::Events => 8 << 20,
        _ => 4 << 20,
    }
}

/// fjall's own figure (`worker_pool.rs`): a journal longer than this gives way to a new one at the next flush.
const JOURNAL_TURNS_BYTES: usize = 64_000_000;
const PADDING: &str = "padding";
const PADDING_BYTES: usize = 1 << 20;

/// How often to look whether fjall's workers have cleared the old files away, and how long to rest in between.
const LOOKS_MAX: usize = 500;
const REST: Duration = Duration::from_millis(20);

fn failed(error: fjall::Error) -> VaultError {
    VaultError::Engine { engine: "fjall", source: Box::new(error) }
}

/// What fjall says when something on the disk is not what it wrote, with what it was reading; a disk that fails is told as that.
fn unreadable(what: &str, error: fjall::Error) -> VaultError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) if is_of_the_disk(&source) => {
            failed(fjall::Error::Io(source))
        }
        error => VaultError::Damaged { keyspace: "store", what: format!("{what} cannot be read: {error}") },
    }
}

/// Whether an error comes from the disk, and not from what stands on it.
fn is_of_the_disk(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, Other, UnexpectedEof};
    !matches!(error.kind(), InvalidData | NotFound | Other | UnexpectedEof)
        || error.raw_os_error().is_some_and(|code| code != 2)
}

/// How often, and after what rest each time, to look whether a table has been written: a minute in all.
const FLUSH_LOOKS_MAX: usize = 30_000;
const FLUSH_REST: Duration = Duration::from_millis(2);

/// Table files that stay open between readings: a quarter of what the process may have open at all, so that connections cannot
/// take the store's, nor the store theirs.
fn cached_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let quarter = usize::try_from(limit.unwrap_or(u64::MAX) / 4).unwrap_or(usize::MAX);
    quarter.clamp(CACHED_FILES.0, CACHED_FILES.1)
}

/// At least and at most so many.
const CACHED_FILES: (usize, usize) = (8, 900);

type Handles = BTreeMap<Keyspace, fjall::Keyspace>;

pub(super) struct Fjall {
    database: Database,
    keyspaces: Arc<Handles>,
    padding: fjall::Keyspace,
    tables: tables::Tables,
    readings: Arc<Readings>,
    open: Mutex<Vec<Weak<FjallSnapshot>>>,
    broken: AtomicBool,
}

/// Looks at what fjall takes on trust: a keyspace's file `current` names its list of tables and holds the list's checksum.
/// Without `current` fjall serves the keyspace empty, and a changed list hides rows; neither says a word. The list with its
/// path; `None` for a keyspace that is just being made.
fn checked_list(keyspace: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, VaultError> {
    let current = keyspace.join("current");
    let damaged = |path: &Path, how: &str| {
        let what = format!("{} {how}", path.display());
        Err(VaultError::Damaged { keyspace: "store", what })
    };
    let Some(bytes) = Disk::read(&current)? else {
        // One that is just being made has no tables yet.
        return match names_in(&keyspace.join("tables"))?.is_empty() {
            true => Ok(None),
            false => damaged(&current, "is missing"),
        };
    };
    // Number of the list 8 · XXH3-128 of it 16 · kind of checksum 1.
    let parts = bytes.split_first_chunk::<8>().and_then(|(number, rest)| Some((number, rest.first_chunk::<16>()?)));
    let Some((number, checksum)) = parts else { return damaged(&current, "is cut off") };
    let list = keyspace.join(format!("v{}", u64::from_le_bytes(*number)));
    match Disk::read(&list)? {
        None => damaged(&list, "is missing"),
        Some(bytes) if xxh3_128(&bytes) != u128::from_le_bytes(*checksum) => {
            damaged(&list, "is not the list of tables that was written")
        }
        Some(bytes) => Ok(Some((list, bytes))),
    }
}

/// What lies in a folder; nothing when there is none.
fn names_in(folder: &Path) -> Result<Vec<PathBuf>, VaultError> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    listed.map_err(|error| file_error("reading the folder", folder, error))
}

impl Fjall {
    /// Opens the database. Whoever gets here holds the lock of the data folder, so fjall's own lock is held at most by a child
    /// that is just being started with a copy of a file that is closed here: it is gone in milliseconds.
    fn unlocked(folder: &Path) -> Result<Database, VaultError> {
        for _ in 0..LOCKED_TRIES {
            let opened = Database::builder(folder)
                .manual_journal_persist(true)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .cache_size(CACHE_BYTES)
                .worker_threads(WORKERS)
                .max_cached_files(Some(cached_files_max()))
                .open();
            match opened {
                Err(fjall::Error::Locked) => std::thread::sleep(LOCKED_WAIT),
                other => return other.map_err(|error| unreadable(&folder.display().to_string(), error)),
            }
        }
        Err(VaultError::Locked { path: folder.to_path_buf() })
    }

    pub(super) fn new(folder: &Path) -> Result<Self, VaultError> {
        Disk::make_folder(folder)?;
        let tables = tables::Tables::check(folder)?;
        journal::cut_torn_end(folder)?;
        let database = Self::unlocked(folder)?;
        let keyspace = |name: &str, memtable_bytes| {
            database
                .keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes))
                .map_err(|error| unreadable(&format!("keyspace {name} in {}", folder.display()), error))
        };
        let mut keyspaces = Handles::new();
        for each in Keyspace::ALL {
            keyspaces.insert(each, keyspace(each.name(), memtable_bytes(each))?);
        }
        let padding = keyspace(PADDING, 4 << 20)?;
        database.persist(PersistMode::SyncAll).map_err(failed)?;
        Disk::sync_folder(folder)?;
        Ok(Self {
            keyspaces: Arc::new(keyspaces),
            padding,
            database,
            tables,
            readings: Arc::default(),
            open: Mutex::default(),
            broken: AtomicBool::new(false),
        })
    }

    fn write(&self, mut ops: Vec<Op>) -> Result<(), VaultError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        // fjall gives all ops of a batch one sequence number, so of two ops on one key only the last may go in.
        ops.sort_by(|a, b| a.place().cmp(&b.place()));
        let mut ops = ops.into_iter().peekable();
        while let Some(op) = ops.next() {
            if ops.peek().is_some_and(|next| next.place() == op.place()) {
                continue;
            }
            let Some(handle) = self.keyspaces.get(&op.place().0) else { continue };
            match op {
                Op::Put(_, key, value) => batch.insert(handle, key, value),
                Op::Delete(_, key) => batch.remove(handle, key),
            }
        }
        batch.commit().map_err(failed)
    }

    /// Fills what is left of the journal, so that the next flush begins a new one.
    fn fill_journal(&self) -> Result<(), VaultError> {
        for _ in 0..=JOURNAL_TURNS_BYTES.div_ceil(PADDING_BYTES) {
            self.pad(vec![0; PADDING_BYTES])?;
        }
        Ok(())
    }

    fn pad(&self, value: Vec<u8>) -> Result<(), VaultError> {
        let mut batch = self.database.batch().durability(None);
        batch.insert(&self.padding, b"padding".as_slice(), value);
        batch.commit().map_err(failed)
    }

    /// Lets go of what is no longer read: moves open snapshots to a later sequence number, where everything but the
    /// padding is the same, and has fjall clear up, which it does when a memtable is rotated.
    fn let_go(&self) -> Result<(), VaultError> {
        self.pad(Vec::new())?;
        for snapshot in self.open().iter().filter_map(Weak::upgrade) {
            *snapshot.inner.write().unwrap_or_else(PoisonError::into_inner) = self.database.snapshot();
        }
        self.pad(Vec::new())?;
        self.flush(&self.padding)
    }

    /// Has a memtable written to a table, and waits for it. fjall's own waiting has no end when the worker that should write
    /// met an error: a disk that fails would hold up the committer for ever.
    fn flush(&self, handle: &fjall::Keyspace) -> Result<(), VaultError> {
        if !handle.rotate_memtable().map_err(failed)? {
            return Ok(());
        }
        for _ in 0..FLUSH_LOOKS_MAX {
            // A database whose worker met an error says so here.
            self.database.persist(PersistMode::Buffer).map_err(failed)?;
            if handle.sealed_memtable_count() == 0 {
                return Ok(());
            }
            std::thread::sleep(FLUSH_REST);
        }
        Err(VaultError::Engine { engine: "fjall", source: "a table was not written within a minute".into() })
    }

    /// Whether every file on the disk is one that is still needed. The padding is of no interest.
    fn is_clear(&self) -> Result<bool, VaultError> {
        for handle in self.keyspaces.values() {
            let tables = handle.path().join("tables");
            let listed =
                std::fs::read_dir(&tables).map_err(|error| file_error("reading the folder", &tables, error))?;
            if listed.count() != handle.table_count() {
                return Ok(false);
            }
        }
        Ok(self.database.journal_count() == 1)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<Weak<FjallSnapshot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Fjall {
    fn snapshot(&self) -> Arc<dyn EngineSnapshot> {
        let reading = self.readings.begin();
        let mut open = self.open();
        let snapshot = Arc::new(FjallSnapshot {
            inner: RwLock::new(self.database.snapshot()),
            keyspaces: Arc::clone(&self.keyspaces),
            _reading: reading,
        });
        open.retain(|snapshot| snapshot.strong_count() > 0);
        open.push(Arc::downgrade(&snapshot));
        snapshot
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
        self.readings.none_older("fjall")?;
        self.let_go()?;
        for handle in self.keyspaces.values() {
            self.flush(handle)?;
        }
        self.fill_journal()?;
        self.let_go()?;
        for handle in self.keyspaces.values().chain([&self.padding]) {
            handle.major_compact().map_err(failed)?;
        }
        for _ in 0..LOOKS_MAX {
            self.let_go()?;
            if self.is_clear()? {
                return Ok(());
            }
            std::thread::sleep(REST);
        }
        Err(VaultError::Engine { engine: "fjall", source: Box::new(StillRead) })
    }

    fn wait_for_readers(&self) -> Result<(), VaultError> {
        self.readings.none_older("fjall")
    }

    fn note_files(&self) -> Result<(), VaultError> {
        self.tables.note()
    }
}

struct FjallSnapshot {
    inner: RwLock<fjall::Snapshot>,
    keyspaces: Arc<Handles>,
    _reading: Reading,
}

impl FjallSnapshot {
    fn inner(&self) -> std::sync::RwLockReadGuard<'_, fjall::Snapshot> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, keyspace: Keyspace) -> Result<&fjall::Keyspace, VaultError> {
        self.keyspaces.get(&keyspace).ok_or_else(|| failed(fjall::Error::KeyspaceDeleted))
    }

    /// An error of a reading, with the file that it is about where one can be found.
    fn unread(&self, keyspace: Keyspace, error: fjall::Error) -> VaultError {
        let found = self.keyspaces.get(&keyspace).and_then(|handle| tables::damaged(handle.path()));
        match (unreadable("a table", error), found) {
            (VaultError::Damaged { what, .. }, found) => {
                VaultError::Damaged { keyspace: keyspace.name(), what: found.unwrap_or(what) }
            }
            (other, _) => other,
        }
    }

    fn owned(&self, keyspace: Keyspace, guard: fjall::Guard) -> Result<Row, VaultError> {
        let row = guard.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec()));
        row.map_err(|error| self.unread(keyspace, error))
    }
}

impl EngineSnapshot for FjallSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        let value = self.inner().get(self.handle(keyspace)?, key);
        let value = value.map_err(|error| self.unread(keyspace, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        match self.handle(keyspace) {
            Ok(handle) => Box::new(self.inner().prefix(handle, prefix).map(move |guard| self.owned(keyspace, guard))),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn scan_after(&self, keyspace: Keyspace, prefix: &[u8], after: &[u8]) -> Rows<'_> {
        match self.handle(keyspace) {
            Ok(handle) => {
                let range = bounds_after(prefix, after);
                let rows = self.inner().range::<Vec<u8>, _>(handle, range);
                Box::new(rows.map(move |guard| self.owned(keyspace, guard)))
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn scan_back(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        match self.handle(keyspace) {
            Ok(handle) => {
                let rows = self.inner().prefix(handle, prefix).rev();
                Box::new(rows.map(move |guard| self.owned(keyspace, guard)))
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}
