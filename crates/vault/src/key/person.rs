//! Responsible for one person's key row: a root for what is not bound to a class, and one secret per retention class.
//! Dropping a class secret closes everything sealed under it, without touching a record.
//!
//! Deliberately not: when a class may be dropped (the committer follows the promise), or where rows lie.

use super::{KEY_BYTES, RecordKey, Ring, Secret, Wiped};
use crate::VaultError;
use model::{HouseId, ProfileId, Rng};
use promise::RetentionId;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const FORMAT: u8 = 1;

/// The opened key row of one person. Wiped when dropped.
pub(crate) struct PersonKey {
    root: Secret,
    core: OnceLock<RecordKey>,
    classes: BTreeMap<RetentionId, ClassKey>,
}

/// A class secret, and the record key made of it alone once somebody asked.
struct ClassKey {
    secret: Secret,
    record: OnceLock<RecordKey>,
}

impl ClassKey {
    fn new(secret: Secret) -> Self {
        Self { secret, record: OnceLock::new() }
    }
}

impl PersonKey {
    /// Fresh keys, no class yet.
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        Self { root: Secret::generate(rng), core: OnceLock::new(), classes: BTreeMap::new() }
    }

    /// Wraps the row for its place: this house, this person.
    pub(crate) fn to_row(
        &self,
        ring: &Ring,
        house: &HouseId,
        profile: &ProfileId,
        rng: &dyn Rng,
    ) -> Result<Vec<u8>, VaultError> {
        ring.wrap(&place(house, profile), &self.to_plain().0, rng)
    }

    /// Opens a row that lies at its place.
    pub(crate) fn from_row(row: &[u8], ring: &Ring, house: &HouseId, profile: &ProfileId) -> Result<Self, VaultError> {
        Self::from_plain(&ring.unwrap(&place(house, profile), row)?.0).ok_or(VaultError::Seal)
    }

    /// Seals the row to the recovery key, for the delay of an erasure.
    pub(crate) fn to_recovery(
        &self,
        ring: &Ring,
        house: &HouseId,
        profile: &ProfileId,
        rng: &dyn Rng,
    ) -> Result<Vec<u8>, VaultError> {
        ring.seal_to_recovery(&place(house, profile), &self.to_plain().0, rng)
    }

    /// Opens what [`PersonKey::to_recovery`] sealed.
    pub(crate) fn from_recovery(
        sealed: &[u8],
        ring: &Ring,
        house: &HouseId,
        profile: &ProfileId,
    ) -> Result<Self, VaultError> {
        Self::from_plain(&ring.open_recovery(&place(house, profile), sealed)?.0).ok_or(VaultError::Seal)
    }

    /// The secret of a class, made when there is none.
    pub(crate) fn class_secret_or_make(&mut self, class: RetentionId, rng: &dyn Rng) -> &Secret {
        &self.classes.entry(class).or_insert_with(|| ClassKey::new(Secret::generate(rng))).secret
    }

    /// The secret of a class, while it lives.
    pub(crate) fn class_secret(&self, class: RetentionId) -> Option<&Secret> {
        self.classes.get(&class).map(|class| &class.secret)
    }

    /// Which classes have a secret.
    pub(crate) fn classes(&self) -> impl Iterator<Item = RetentionId> + '_ {
        self.classes.keys().copied()
    }

    /// Drops a class: what it sealed is closed once the new row has replaced the old and the ring has rotated.
    pub(crate) fn drop_class(&mut self, class: RetentionId) -> bool {
        self.classes.remove(&class).is_some()
    }

    /// Seals what belongs to no class: the person's own small record.
    pub(crate) fn core_key(&self) -> &RecordKey {
        self.core.get_or_init(|| self.root.derive(b"", b"core"))
    }

    /// Seals the records of one class. `None` when the class was dropped.
    pub(crate) fn record_key(&self, class: RetentionId) -> Option<&RecordKey> {
        let class = self.classes.get(&class)?;
        Some(class.record.get_or_init(|| class.secret.derive(b"", b"record")))
    }

    /// The same for one day, where the clock of the class starts at receipt.
    pub(crate) fn day_key(&self, class: RetentionId, day: &[u8; KEY_BYTES]) -> Option<RecordKey> {
        self.class_secret(class).map(|secret| secret.derive(day, b"record"))
    }

    /// Every secret of this row, to be hashed for a census of memory.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.root).chain(self.classes.values().map(|class| &class.secret))
    }

    fn to_plain(&self) -> Wiped {
        let mut plain = Wiped::with_room(1 + KEY_BYTES + self.classes.len() * (4 + KEY_BYTES));
        plain.0.push(FORMAT);
        plain.0.extend_from_slice(self.root.bytes());
        for (id, class) in &self.classes {
            plain.0.extend_from_slice(&id.0);
            plain.0.extend_from_slice(class.secret.bytes());
        }
        plain
    }

    /// From the opened bytes of a row.
    pub(crate) fn from_plain(plain: &[u8]) -> Option<Self> {
        let rest = plain.strip_prefix(&[FORMAT])?;
        let (root, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
        let mut classes = BTreeMap::new();
        for entry in rest.chunks(4 + KEY_BYTES) {
            let (class, secret) = entry.split_first_chunk::<4>()?;
            classes.insert(RetentionId(*class), ClassKey::new(Secret::copy(secret)?));
        }
        Some(Self { root: Secret::copy(root)?, core: OnceLock::new(), classes })
    }
}

/// Where a person's row belongs, as associated data.
pub(crate) fn place(house: &HouseId, profile: &ProfileId) -> Vec<u8> {
    [b"person".as_slice(), house.as_bytes(), profile.as_bytes()].concat()
}
