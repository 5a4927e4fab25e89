//! Responsible for the one shape in which records reach a disk: an atomic, synced batch, and a reading that stands still.
//!
//! Deliberately not: keys, sealing, meaning. An engine moves bytes. It is used by the committer (writing) and by
//! snapshots (reading), and is opened by nobody else.
//!
//! To add one more engine: a file beside this one that implements [`Engine`] and [`EngineSnapshot`], a line in [`open`],
//! a line in the list of `tests.rs`, which runs every test of the suite against it.

mod fjall;
mod memory;
pub(crate) mod postgres;
mod reading;
mod redb;
#[cfg(test)]
mod tests;

use crate::{EngineKind, VaultError};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// Where a record lives. The order is fixed: it is a number in the batch digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Keyspace {
    /// Wrapped keys: persons by profile id, day secrets.
    Keys,
    /// Sealed profiles.
    Profiles,
    /// Sealed events.
    Events,
    /// Which message ids were seen.
    Marks,
    /// Blind index of identities.
    Index,
    /// Consent ledger.
    Ledger,
    /// Messages to send.
    Outbox,
    /// Decisions and their traces.
    Decisions,
    /// What belongs to the house: chain, log, reviews, catalogue.
    House,
}

impl Keyspace {
    /// All, in their fixed order.
    pub(crate) const ALL: [Self; 9] = [
        Self::Keys,
        Self::Profiles,
        Self::Events,
        Self::Marks,
        Self::Index,
        Self::Ledger,
        Self::Outbox,
        Self::Decisions,
        Self::House,
    ];

    /// What it is called on disk and in errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Profiles => "profiles",
            Self::Events => "events",
            Self::Marks => "marks",
            Self::Index => "index",
            Self::Ledger => "ledger",
            Self::Outbox => "outbox",
            Self::Decisions => "decisions",
            Self::House => "house",
        }
    }
}

/// One change of a batch.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Writes a value under a key.
    Put(Keyspace, Vec<u8>, Vec<u8>),
    /// Takes a key away.
    Delete(Keyspace, Vec<u8>),
}

impl Op {
    /// Which row it changes.
    fn place(&self) -> (Keyspace, &[u8]) {
        match self {
            Self::Put(keyspace, key, _) | Self::Delete(keyspace, key) => (*keyspace, key),
        }
    }
}

/// One row of a scan: key, value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Rows in key order, or against it.
pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<Row, VaultError>> + 'a>;

/// A store of bytes with atomic, synced batches.
pub(crate) trait Engine: Send + Sync {
    /// A reading that stands still while writing goes on.
    fn snapshot(&self) -> Arc<dyn EngineSnapshot>;

    /// All of it or none of it, on the disk before this returns. Later ops of the same key win. After an error nothing
    /// is written any more: [`VaultError::Closed`].
    fn commit(&self, ops: Vec<Op>) -> Result<(), VaultError>;

    /// Rewrites the files so that deleted and replaced bytes are no longer in any of them. Call it from the thread that
    /// commits. Waits two seconds for snapshots that are older than the last commit, then fails and changes nothing.
    fn compact(&self) -> Result<(), VaultError>;

    /// Waits two seconds for snapshots that are older than the last commit, then fails. Call it from the thread that
    /// commits: afterwards nobody reads what the last commits replaced.
    fn wait_for_readers(&self) -> Result<(), VaultError>;

    /// Remembers what its files look like, so that the next opening knows them again without reading all of them. Called now
    /// and then, from any thread; not to be relied on.
    fn note_files(&self) -> Result<(), VaultError> {
        Ok(())
    }

    /// What several nodes over one store share; `None` where one process has the store for itself.
    fn nodes(&self) -> Option<&postgres::Postgres> {
        None
    }
}

/// A reading at one moment.
pub(crate) trait EngineSnapshot: Send + Sync {
    /// The value under a key.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError>;

    /// All rows whose key begins with `prefix`, in key order.
    fn scan(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_>;

    /// Those of them that come after the key `after`, which need not be there.
    fn scan_after(&self, keyspace: Keyspace, prefix: &[u8], after: &[u8]) -> Rows<'_>;

    /// All of them, last key first.
    fn scan_back(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_>;

    /// Where each question is a journey to a server: fetches these rows, and all rows whose keys begin like those, at once, so that
    /// they are there when they are asked for. Nothing depends on it.
    fn warm(&self, rows: Vec<(Keyspace, Vec<u8>)>, below: Vec<(Keyspace, Vec<u8>)>) {
        drop((rows, below));
    }

    /// The number of the newest batch that it sees, as nodes count them; 0 where one process has the store for itself.
    fn position(&self) -> u64 {
        0
    }

    /// Whether it can still be read: a reading in a server ends with its session.
    fn is_readable(&self) -> bool {
        true
    }
}

/// Opens the engine of a folder, making it when absent. A second opening of the same folder is [`VaultError::Locked`];
/// a server is opened by as many nodes as like, and needs no folder.
pub(crate) fn open(kind: EngineKind, folder: &Path) -> Result<Arc<dyn Engine>, VaultError> {
    Ok(match kind {
        EngineKind::Fjall => Arc::new(fjall::Fjall::new(folder)?),
        EngineKind::Redb => Arc::new(redb::Redb::open(folder)?),
        EngineKind::Memory => Arc::new(memory::Memory::default()),
        EngineKind::Postgres(server) => Arc::new(postgres::Postgres::open(server)?),
    })
}

/// The keys that begin with `prefix`, as bounds.
fn bounds(prefix: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return (Bound::Included(prefix.to_vec()), Bound::Excluded(end));
        }
    }
    (Bound::Included(prefix.to_vec()), Bound::Unbounded)
}

/// The keys that begin with `prefix` and come after `after`, as bounds.
fn bounds_after(prefix: &[u8], after: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let (from, to) = bounds(prefix);
    if after < prefix { (from, to) } else { (Bound::Excluded(after.to_vec()), to) }
}

/// Why an engine cannot forget just now.
#[derive(Debug, thiserror::Error)]
#[error("a snapshot older than the last commit is still open, so what it sees cannot be cleared away yet")]
struct StillRead;
