//! Responsible for an engine without a disk, with the same promises but the lasting: for tests and simulations.
//!
//! Deliberately not: fast for millions. Each key holds its versions; a snapshot is a number, so taking one costs nothing.

use super::reading::{Reading, Readings};
use super::{Engine, EngineSnapshot, Keyspace, Op, Row, Rows, bounds, bounds_after};
use crate::VaultError;
use crate::sync::{PoisonError, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// Rows taken per look under the lock during a scan.
const SCAN_CHUNK: usize = 256;

/// Versions of one value, oldest first: the batch that wrote it, and what it wrote.
type Versions = Vec<(u64, Option<Arc<[u8]>>)>;
type Table = BTreeMap<Vec<u8>, Versions>;

#[derive(Default)]
pub(super) struct Memory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    tables: RwLock<(u64, BTreeMap<Keyspace, Table>)>,
    readings: Arc<Readings>,
}

/// Drops the versions that nobody can see any more: all but the newest at or below `oldest`.
fn prune(versions: &mut Versions, oldest: u64) {
    let seen = versions.iter().rposition(|(batch, _)| *batch <= oldest);
    if let Some(seen) = seen {
        versions.drain(..seen);
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Arc<dyn EngineSnapshot> {
        let tables = self.0.tables.read().unwrap_or_else(PoisonError::into_inner);
        let reading = self.0.readings.begin();
        Arc::new(MemorySnapshot { inner: Arc::clone(&self.0), batch: tables.0, _reading: reading })
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), VaultError> {
        let mut tables = self.0.tables.write().unwrap_or_else(PoisonError::into_inner);
        let batch = tables.0 + 1;
        tables.0 = batch;
        let oldest = self.0.readings.oldest();
        for op in ops {
            let (keyspace, key, value) = match op {
                Op::Put(keyspace, key, value) => (keyspace, key, Some(Arc::from(value))),
                Op::Delete(keyspace, key) => (keyspace, key, None),
            };
            let versions = tables.1.entry(keyspace).or_default().entry(key).or_default();
            match versions.last_mut() {
                Some(last) if last.0 == batch => last.1 = value,
                _ => versions.push((batch, value)),
            }
            prune(versions, oldest);
        }
        self.0.readings.step();
        Ok(())
    }

    fn compact(&self) -> Result<(), VaultError> {
        self.0.readings.none_older("memory")?;
        let mut tables = self.0.tables.write().unwrap_or_else(PoisonError::into_inner);
        let oldest = tables.0;
        for table in tables.1.values_mut() {
            table.retain(|_, versions| {
                prune(versions, oldest);
                versions.iter().any(|(_, value)| value.is_some())
            });
        }
        Ok(())
    }

    fn wait_for_readers(&self) -> Result<(), VaultError> {
        self.0.readings.none_older("memory")
    }
}

struct MemorySnapshot {
    inner: Arc<Inner>,
    batch: u64,
    _reading: Reading,
}

impl MemorySnapshot {
    fn visible(&self, versions: &Versions) -> Option<Arc<[u8]>> {
        versions.iter().rev().find(|(batch, _)| *batch <= self.batch).and_then(|(_, value)| value.clone())
    }

    /// The next rows between two bounds; the last key looked at, when there may be more.
    fn chunk(
        &self,
        keyspace: Keyspace,
        from: &Bound<Vec<u8>>,
        to: &Bound<Vec<u8>>,
        order: Order,
    ) -> (VecDeque<Row>, Option<Vec<u8>>) {
        let tables = self.inner.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = tables.1.get(&keyspace) else { return (VecDeque::new(), None) };
        let range = table.range::<Vec<u8>, _>((from.as_ref(), to.as_ref()));
        let (mut rows, mut n_seen, mut last) = (VecDeque::new(), 0, None);
        let mut take = |key: &Vec<u8>, versions: &Versions| {
            if let Some(value) = self.visible(versions) {
                rows.push_back((key.clone(), value.to_vec()));
            }
            n_seen += 1;
            (n_seen == SCAN_CHUNK).then(|| last = Some(key.clone())).is_none()
        };
        match order {
            Order::Forward => {
                let mut range = range;
                range.all(|(key, versions)| take(key, versions))
            }
            Order::Back => range.rev().all(|(key, versions)| take(key, versions)),
        };
        (rows, last)
    }

    fn rows(&self, keyspace: Keyspace, (mut from, mut to): (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Rows<'_> {
        let (mut rows, mut more) = (VecDeque::new(), true);
        Box::new(std::iter::from_fn(move || {
            while rows.is_empty() && more {
                let (chunk, last) = self.chunk(keyspace, &from, &to, order);
                rows = chunk;
                more = last.is_some();
                match (last, order) {
                    (Some(last), Order::Forward) => from = Bound::Excluded(last),
                    (Some(last), Order::Back) => to = Bound::Excluded(last),
                    (None, _) => {}
                }
            }
            rows.pop_front().map(Ok)
        }))
    }
}

#[derive(Clone, Copy)]
enum Order {
    Forward,
    Back,
}

impl EngineSnapshot for MemorySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        let tables = self.inner.tables.read().unwrap_or_else(PoisonError::into_inner);
        let versions = tables.1.get(&keyspace).and_then(|table| table.get(key));
        Ok(versions.and_then(|versions| self.visible(versions)).map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        self.rows(keyspace, bounds(prefix), Order::Forward)
    }

    fn scan_after(&self, keyspace: Keyspace, prefix: &[u8], after: &[u8]) -> Rows<'_> {
        self.rows(keyspace, bounds_after(prefix, after), Order::Forward)
    }

    fn scan_back(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        self.rows(keyspace, bounds(prefix), Order::Back)
    }
}
