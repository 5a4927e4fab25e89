//! Responsible for the secrets that make a day's records expire: one per (retention class, day of receipt), for the
//! whole house. Destroying one closes the records of everybody that are of that class and day.
//!
//! Row: `\0day` · class 4 · day 4 (ordered) → wrapped secret, in the keys keyspace beside the persons' rows.
//!
//! Deliberately not: which classes have such a clock (the committer follows the promise).

use super::{KEY_BYTES, Ring, Secret};
use crate::VaultError;
use crate::engine::{EngineSnapshot, Keyspace, Op};
use model::{Day, HouseId, Rng};
use promise::RetentionId;
use std::collections::BTreeMap;

const ROW_KEY_BYTES: usize = DaySecrets::PREFIX.len() + 4 + 4;

/// All day secrets of the house, held open: some 400 per class.
pub(crate) struct DaySecrets {
    house: HouseId,
    secrets: BTreeMap<(RetentionId, Day), Secret>,
}

impl DaySecrets {
    /// How the keys of these rows begin.
    pub(crate) const PREFIX: &[u8; 4] = b"\0day";

    /// Whether a key of the keys keyspace is one of these rows (a person's id may begin like one, and is longer).
    pub(crate) fn is_row(key: &[u8]) -> bool {
        from_row_key(key).is_some()
    }

    /// The class of a row.
    pub(crate) fn class_of(key: &[u8]) -> Option<RetentionId> {
        from_row_key(key).map(|(class, _)| class)
    }

    /// Where a row belongs, as associated data.
    pub(crate) fn place(house: &HouseId, row_key: &[u8]) -> Vec<u8> {
        [b"day".as_slice(), house.as_bytes(), row_key].concat()
    }

    /// Opens all rows. A row that does not open is damage: its records would be lost silently.
    pub(crate) fn load(snapshot: &dyn EngineSnapshot, ring: &Ring, house: &HouseId) -> Result<Self, VaultError> {
        let mut n_damaged = 0usize;
        let loaded = Self::load_whole(snapshot, ring, house, &mut |_| n_damaged += 1)?;
        if n_damaged > 0 { Err(damaged()) } else { Ok(loaded) }
    }

    /// Opens the rows that open, and tells the key of each that does not (`fsck`).
    pub(crate) fn load_whole(
        snapshot: &dyn EngineSnapshot,
        ring: &Ring,
        house: &HouseId,
        damaged: &mut dyn FnMut(&[u8]),
    ) -> Result<Self, VaultError> {
        let mut secrets = BTreeMap::new();
        for row in snapshot.scan(Keyspace::Keys, Self::PREFIX) {
            let (key, wrapped) = row?;
            let Some((class, day)) = from_row_key(&key) else { continue };
            let plain = ring.unwrap(&Self::place(house, &key), &wrapped).ok();
            match plain.and_then(|plain| Secret::copy(&plain.0)) {
                Some(secret) => drop(secrets.insert((class, day), secret)),
                None => damaged(&key),
            }
        }
        Ok(Self { house: *house, secrets })
    }

    /// The secret of a class and day, made (and written with `ops`) when there is none.
    pub(crate) fn get_or_make(
        &mut self,
        class: RetentionId,
        day: Day,
        ring: &Ring,
        rng: &dyn Rng,
        ops: &mut Vec<Op>,
    ) -> Result<&[u8; KEY_BYTES], VaultError> {
        if !self.secrets.contains_key(&(class, day)) {
            let secret = Secret::generate(rng);
            ops.push(self.row(class, day, &secret, ring, rng)?);
            self.secrets.insert((class, day), secret);
        }
        self.get(class, day).ok_or(VaultError::Seal)
    }

    /// The secret of a class and day, while it lives.
    pub(crate) fn get(&self, class: RetentionId, day: Day) -> Option<&[u8; KEY_BYTES]> {
        self.secrets.get(&(class, day)).map(Secret::bytes)
    }

    /// Whether there is a secret of a class for a day before `day`.
    pub(crate) fn has_before(&self, class: RetentionId, day: Day) -> bool {
        self.secrets.range((class, Day::from_number(i32::MIN))..(class, day)).next().is_some()
    }

    /// Destroys the secrets of a class for all days before `day`; returns how many.
    pub(crate) fn destroy_before(&mut self, class: RetentionId, day: Day, ops: &mut Vec<Op>) -> usize {
        let old: Vec<(RetentionId, Day)> =
            self.secrets.range((class, Day::from_number(i32::MIN))..(class, day)).map(|(at, _)| *at).collect();
        for at in &old {
            self.secrets.remove(at);
            ops.push(Op::Delete(Keyspace::Keys, row_key(at.0, at.1)));
        }
        old.len()
    }

    fn row(&self, class: RetentionId, day: Day, secret: &Secret, ring: &Ring, rng: &dyn Rng) -> Result<Op, VaultError> {
        let key = row_key(class, day);
        let wrapped = ring.wrap(&Self::place(&self.house, &key), secret.bytes(), rng)?;
        Ok(Op::Put(Keyspace::Keys, key, wrapped))
    }
}

fn row_key(class: RetentionId, day: Day) -> Vec<u8> {
    let ordered = day.number().cast_unsigned() ^ (1 << 31);
    [DaySecrets::PREFIX.as_slice(), &class.0, &ordered.to_be_bytes()].concat()
}

/// `None` for the row of a person whose id happens to begin like a day row: ids are longer.
fn from_row_key(key: &[u8]) -> Option<(RetentionId, Day)> {
    let rest = (key.len() == ROW_KEY_BYTES).then(|| key.strip_prefix(DaySecrets::PREFIX)).flatten()?;
    let (class, day) = rest.split_first_chunk::<4>()?;
    let ordered = u32::from_be_bytes(*day.first_chunk::<4>()?) ^ (1 << 31);
    Some((RetentionId(*class), Day::from_number(ordered.cast_signed())))
}

fn damaged() -> VaultError {
    VaultError::Damaged { keyspace: Keyspace::Keys.name(), what: "a day secret does not open".to_owned() }
}
