//! Rotation: a new key-encryption-key version, every wrapped row anew under it, the old versions destroyed, and the files
//! rewritten. This is what makes a deleted key unrecoverable.

use super::Committer;
use crate::VaultError;
use crate::engine::{Keyspace, Op};
use crate::format::{self, RecoveryForm};
use crate::house::House;
use crate::key::PersonKey;
use crate::record::Rotation;
use model::ProfileId;
use std::sync::Arc;

/// Rows re-wrapped per batch.
const ROWS_PER_BATCH: usize = 10_000;

impl Committer {
    pub(crate) fn rotate(&mut self) -> Result<Rotation, VaultError> {
        let house = Arc::clone(&self.house);
        let old = house.ring.versions();
        let version = house.ring.add_version(house.rng())?;
        let n_rows = self.rewrap_people()?;
        self.rewrap_house()?;
        for number in old {
            house.ring.destroy(number, house.rng())?;
        }
        self.write(|batch| {
            batch.leaf("rotate", &version.to_be_bytes());
            Ok(())
        })?;
        house.engine.compact()?;
        let store = house.engine.snapshot();
        house.publish(|generation| generation.store = store);
        Ok(Rotation { version, n_rows })
    }

    fn rewrap_people(&mut self) -> Result<u64, VaultError> {
        let house = Arc::clone(&self.house);
        let store = Arc::clone(&house.generation().store);
        let mut rows = store.scan(Keyspace::Keys, &[]).peekable();
        let mut n_rows = 0u64;
        while rows.peek().is_some() {
            let mut ops = Vec::new();
            for row in rows.by_ref().take(ROWS_PER_BATCH) {
                let (key, wrapped) = row?;
                let Ok(id) = <[u8; 16]>::try_from(key.as_slice()) else { continue };
                let id = ProfileId::from_bytes(id);
                let row = PersonKey::rewrap(&wrapped, &house.ring, &house.id, &id, house.rng())?;
                ops.push(Op::Put(Keyspace::Keys, key, row));
                n_rows = n_rows.saturating_add(1);
            }
            self.write(|batch| {
                batch.ops().extend(ops);
                Ok(())
            })?;
        }
        Ok(n_rows)
    }

    /// Day secrets, and keys that wait with the recovery key.
    fn rewrap_house(&mut self) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let store = Arc::clone(&house.generation().store);
        self.write(|batch| {
            house.rewrap_days(batch.ops())?;
            for row in store.scan(Keyspace::House, House::RECOVERIES) {
                let (key, value) = row?;
                let (Some(id), form) = (House::recovery_of(&key), format::decode::<RecoveryForm>("house", &value)?)
                else {
                    continue;
                };
                let person = PersonKey::from_recovery(&form.sealed, &house.ring, &house.id, &id)?;
                let sealed = person.to_recovery(&house.ring, &house.id, &id, house.rng())?;
                batch.put(Keyspace::House, key, format::encode(&RecoveryForm { sealed, ..form }));
            }
            Ok(())
        })
    }
}
