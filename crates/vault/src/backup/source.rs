//! Responsible for giving out the streams of an open house: one reading of the engine and the key ring of the same moment,
//! taken by the committer between two batches, so that no rotation and no erasure lies between the two streams.
//!
//! Deliberately not: where the bytes go. A reading that is held for long keeps the engine from clearing up: a rotation
//! meanwhile fails after two seconds, names that, and succeeds when it is asked again.

use super::stream::{Change, Content, Facts, Head, Kind, StreamWriter, Trailer};
use crate::VaultError;
use crate::commit::Committer;
use crate::disk::file_error;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::house::House;
use crate::key::HouseKeys;
use crate::tombstone::Tombstones;
use crate::{narrowing, tombstone};
use model::HouseId;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// The streams of a house at one moment.
pub struct Source {
    facts: Facts,
    ring: Vec<u8>,
    store: Arc<dyn EngineSnapshot>,
    keys: Arc<HouseKeys>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({} at batch {})", self.facts.house.house, self.facts.batch)
    }
}

impl Committer {
    /// A reading for a backup. Nothing waits on the urgent log: it was drained before. Days that are over go first, so that
    /// no backup of keys, which lives for a week, opens what had ended when it was made.
    pub(crate) fn backup(&mut self) -> Result<Source, VaultError> {
        if self.has_days_over() {
            self.sweep()?;
        }
        // In a turn, so that no other node lies between the store and the ring.
        self.take_turn()?;
        let source = self.source();
        self.give_back();
        source
    }

    fn source(&self) -> Result<Source, VaultError> {
        let house = &self.house;
        if let Some(nodes) = house.engine.nodes() {
            house.copy_beside(
                &Tombstones::to_file(&nodes.news(0)?.tombstones),
                &narrowing::to_file(&nodes.narrowings()?),
            )?;
        }
        let store = Arc::clone(&house.generation().store);
        let facts = Facts {
            house: house.file(),
            batch: self.chain.number(),
            log_root: self.chain.root(),
            tombstones: tombstone::noted(&*store)?,
            narrowings: narrowing::noted(&*store)?,
            at: house.now(),
        };
        Ok(Source { facts, ring: house.ring.sealed(house.rng())?, store, keys: Arc::clone(&house.keys) })
    }
}

impl Source {
    /// Whose streams these are.
    #[must_use]
    pub fn house(&self) -> HouseId {
        self.facts.house.house
    }

    /// The newest batch in them.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.facts.batch
    }

    /// Writes the key stream and then the data stream, one after the other.
    ///
    /// # Errors
    /// [`VaultError::File`] when `out` takes no more; what reading the store says.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), VaultError> {
        self.stream(Kind::Keys, out)?;
        self.stream(Kind::Data, out)
    }

    fn stream(&self, kind: Kind, out: &mut dyn Write) -> Result<(), VaultError> {
        let failed = |source| file_error("writing", Path::new("the backup stream"), source);
        let head = Head::new(kind, &self.facts);
        let mut content = Content::new(&head);
        let mut writer = StreamWriter::new(out, &head, None).map_err(failed)?;
        if kind == Kind::Keys {
            content.ring(&self.ring);
            writer.ring(&self.ring).map_err(failed)?;
        }
        let parts: Vec<(Keyspace, &[u8])> = match kind {
            Kind::Keys => vec![(Keyspace::Keys, b"".as_slice()), (Keyspace::House, House::LEFT)],
            Kind::Data => Keyspace::ALL.into_iter().skip(1).map(|keyspace| (keyspace, b"".as_slice())).collect(),
        };
        for (keyspace, prefix) in parts {
            for row in self.store.scan(keyspace, prefix) {
                let (key, value) = row?;
                let change = Change { keyspace, key, value: Some(value) };
                content.row(&change);
                writer.change(&change).map_err(failed)?;
            }
        }
        let (n_rows, digest) = content.finish();
        let trailer = Trailer::sign(n_rows, digest, &self.keys.receipt)?;
        writer.finish(&trailer).map_err(failed).map(|_| ())
    }
}
