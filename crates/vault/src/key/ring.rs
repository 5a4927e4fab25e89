//! Responsible for the key ring file: the versions of the key-encryption key, each with its recovery key, and the house
//! secret. The file is sealed under the root key, replaced atomically, and the old bytes are overwritten where they lay.
//!
//! Wrapped value = version u32 · nonce 12 · ciphertext and tag. Whoever holds an old copy of a wrapped row and the
//! root key can still open it until its version is destroyed: that is what rotation is for.
//!
//! Deliberately not: walking and re-wrapping rows (the committer's rotation does that, then calls [`Ring::destroy`]).

use super::recovery::{RecoveryKey, RecoveryPublic, seal_to};
use super::{HouseKeys, KEY_BYTES, Root, Secret, Wiped};
use crate::VaultError;
use crate::disk::Disk;
use crate::failpoint::{Step, around};
use crate::seal::{NONCE_BYTES, TAG_BYTES, decrypt, encrypt};
use model::{HouseId, Rng};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

/// How a ring file begins.
pub(crate) const MAGIC: &[u8; 8] = b"FLRING1\n";

/// Versions that live at the same time, at most: each rotation destroys those before.
const VERSIONS_MAX: usize = 64;

/// Longest ring file, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = file_bytes(VERSIONS_MAX);

const fn file_bytes(n_versions: usize) -> usize {
    MAGIC.len() + NONCE_BYTES + KEY_BYTES + 4 + n_versions * (4 + 2 * KEY_BYTES) + TAG_BYTES
}

/// How often a file is read that another process replaces at that moment.
const REFRESH_TRIES: usize = 50;

/// A version number of the key-encryption key, from 1.
pub(crate) type KekVersion = u32;

#[derive(Clone)]
struct Version {
    number: KekVersion,
    kek: Secret,
    recovery: RecoveryKey,
}

struct Held {
    /// Oldest first; never empty.
    versions: Vec<Version>,
    /// The next version gets this number; numbers are never used twice.
    next: KekVersion,
}

/// The open key ring of one house.
pub(crate) struct Ring {
    /// `None` in memory.
    path: Option<PathBuf>,
    house: HouseId,
    ring_key: Secret,
    house_secret: Secret,
    held: RwLock<Held>,
    /// The file as it was last read or written here: another process may rotate the keys.
    seen: Mutex<Vec<u8>>,
}

impl Ring {
    /// Makes a ring with one version. With a path, refuses when there is a file.
    pub(crate) fn create(path: Option<&Path>, root: &Root, house: &HouseId, rng: &dyn Rng) -> Result<Self, VaultError> {
        let ring = Self {
            path: path.map(Path::to_path_buf),
            house: *house,
            ring_key: root.ring_key(),
            house_secret: Secret::generate(rng),
            held: RwLock::new(Held { versions: vec![Version::generate(1, rng)], next: 2 }),
            seen: Mutex::default(),
        };
        if let Some(path) = path {
            let bytes = ring.to_file(&ring.read(), rng)?;
            Disk::create(path, &bytes)?;
        }
        Ok(ring)
    }

    /// A ring without a file, under a root key of its own: for the memory engine.
    pub(crate) fn in_memory(house: &HouseId, rng: &dyn Rng) -> Self {
        Self {
            path: None,
            house: *house,
            ring_key: Secret::generate(rng),
            house_secret: Secret::generate(rng),
            held: RwLock::new(Held { versions: vec![Version::generate(1, rng)], next: 2 }),
            seen: Mutex::default(),
        }
    }

    /// Opens the ring file.
    pub(crate) fn open(path: &Path, root: &Root, house: &HouseId) -> Result<Self, VaultError> {
        let bytes = Disk::read(path)?.ok_or_else(|| damaged("the file is missing"))?;
        Self::from_file(&bytes, root, house, Some(path))
    }

    /// Opens the bytes of a ring file, wherever they were found (census, key backups). Never writes to `path: None`.
    pub(crate) fn from_file(
        bytes: &[u8],
        root: &Root,
        house: &HouseId,
        path: Option<&Path>,
    ) -> Result<Self, VaultError> {
        let ring_key = root.ring_key();
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin like a key ring"))?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| damaged("it is cut off"))?;
        let plain =
            decrypt(&ring_key, *nonce, &place(house), sealed).map(Wiped).map_err(|_| damaged("it does not open"))?;
        let (house_secret, held) = from_plain(&plain.0).ok_or_else(|| damaged("it has an unknown form"))?;
        Ok(Self {
            path: path.map(Path::to_path_buf),
            house: *house,
            ring_key,
            house_secret,
            held: RwLock::new(held),
            seen: Mutex::new(bytes.to_vec()),
        })
    }

    /// Takes over what another process made of the file (a rotation by another node): new versions, and those it destroyed.
    /// Nothing is read anew when the file is as it was seen last.
    pub(crate) fn refresh(&self) -> Result<(), VaultError> {
        let Some(path) = &self.path else { return Ok(()) };
        // A file that is replaced at this moment is wiped under the reader: read again, it is the new one.
        for tries_left in (0..REFRESH_TRIES).rev() {
            let bytes = Disk::read(path)?.ok_or_else(|| damaged("the file is missing"))?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == bytes {
                return Ok(());
            }
            let opened = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>());
            let opened = opened.and_then(|(nonce, sealed)| {
                let plain = decrypt(&self.ring_key, *nonce, &place(&self.house), sealed).map(Wiped).ok()?;
                from_plain(&plain.0)
            });
            match opened {
                Some((secret, held)) if secret.bytes() == self.house_secret.bytes() => {
                    *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
                    *seen = bytes;
                    return Ok(());
                }
                _ if tries_left > 0 => {}
                _ => return Err(damaged("it was replaced by one that does not open")),
            }
        }
        Ok(())
    }

    /// Keeps other processes from changing the file meanwhile, and takes over what they made of it.
    fn alone(&self) -> Result<Option<std::fs::File>, VaultError> {
        let Some(path) = &self.path else { return Ok(None) };
        let lock_path = path.with_extension("lock");
        let lock = Disk::open_or_create(&lock_path)?;
        lock.lock().map_err(|source| crate::disk::file_error("locking", &lock_path, source))?;
        self.refresh()?;
        Ok(Some(lock))
    }

    /// What the ring's file holds, sealed anew: for a backup.
    pub(crate) fn sealed(&self, rng: &dyn Rng) -> Result<Vec<u8>, VaultError> {
        self.to_file(&self.read(), rng)
    }

    /// Every length that a ring file can have, shortest first.
    pub(crate) fn file_sizes() -> impl Iterator<Item = usize> {
        (1..=VERSIONS_MAX).map(file_bytes)
    }

    /// The version that wraps now.
    pub(crate) fn current(&self) -> KekVersion {
        self.read().versions.last().map_or(0, |version| version.number)
    }

    /// All versions that still open something, oldest first.
    pub(crate) fn versions(&self) -> Vec<KekVersion> {
        self.read().versions.iter().map(|version| version.number).collect()
    }

    /// Wraps a key row under the current version, bound to `place`.
    pub(crate) fn wrap(&self, place: &[u8], plain: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, VaultError> {
        let held = self.read();
        let version = held.versions.last().ok_or(VaultError::Seal)?;
        let nonce = rng.bytes::<NONCE_BYTES>();
        let mut out = Vec::with_capacity(4 + NONCE_BYTES + plain.len() + TAG_BYTES);
        out.extend_from_slice(&version.number.to_be_bytes());
        out.extend_from_slice(&nonce);
        let place = versioned(place, version.number);
        out.append(&mut encrypt(&version.kek, nonce, &place, plain)?);
        Ok(out)
    }

    /// Opens a wrapped row; [`VaultError::Seal`] when its version is gone or it lay elsewhere.
    pub(crate) fn unwrap(&self, place: &[u8], wrapped: &[u8]) -> Result<Wiped, VaultError> {
        let number = Self::version_of(wrapped).ok_or(VaultError::Seal)?;
        let held = self.read();
        let version = held.versions.iter().find(|version| version.number == number).ok_or(VaultError::Seal)?;
        Self::unwrap_with(&version.kek, place, wrapped)
    }

    /// Wraps a row anew under the current version, without looking inside.
    pub(crate) fn rewrap(&self, place: &[u8], wrapped: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, VaultError> {
        self.wrap(place, &self.unwrap(place, wrapped)?.0, rng)
    }

    /// The number that the next version gets.
    pub(crate) fn next(&self) -> KekVersion {
        self.read().next
    }

    /// Opens a wrapped row with a key-encryption key in hand, whatever its version (census).
    pub(crate) fn unwrap_with(kek: &Secret, place: &[u8], wrapped: &[u8]) -> Result<Wiped, VaultError> {
        let (number, rest) = wrapped.split_first_chunk::<4>().ok_or(VaultError::Seal)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Seal)?;
        decrypt(kek, *nonce, &versioned(place, KekVersion::from_be_bytes(*number)), sealed).map(Wiped)
    }

    /// Which version a wrapped row needs; `None` when it is no wrapped row.
    pub(crate) fn version_of(wrapped: &[u8]) -> Option<KekVersion> {
        wrapped.first_chunk::<4>().map(|number| KekVersion::from_be_bytes(*number))
    }

    /// Adds a version that wraps from now on. It is on the disk before anything is wrapped with it.
    pub(crate) fn add_version(&self, rng: &dyn Rng) -> Result<KekVersion, VaultError> {
        let _alone = self.alone()?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let number = held.next;
        if held.versions.len() >= VERSIONS_MAX {
            return Err(VaultError::TooLarge { what: "the key ring", bytes: held.versions.len(), limit: VERSIONS_MAX });
        }
        let mut versions = held.versions.clone();
        versions.push(Version::generate(number, rng));
        let next = Held { versions, next: number.saturating_add(1) };
        self.store(&next, rng)?;
        *held = next;
        Ok(number)
    }

    /// Destroys a version that is not the current one: replaced on the disk, and overwritten where it lay, before it is
    /// forgotten here. Returns whether there was one.
    pub(crate) fn destroy(&self, number: KekVersion, rng: &dyn Rng) -> Result<bool, VaultError> {
        let _alone = self.alone()?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.versions.last().is_none_or(|last| last.number == number) {
            return Ok(false);
        }
        let versions: Vec<Version> = held.versions.iter().filter(|each| each.number != number).cloned().collect();
        if versions.len() == held.versions.len() {
            return Ok(false);
        }
        let next = Held { versions, next: held.next };
        self.store(&next, rng)?;
        *held = next;
        Ok(true)
    }

    /// The house's own keys.
    pub(crate) fn house_keys(&self) -> Result<HouseKeys, VaultError> {
        HouseKeys::derive(&self.house_secret, &self.house)
    }

    /// The public recovery key of the current version, and its number.
    pub(crate) fn recovery_public(&self) -> Result<(KekVersion, RecoveryPublic), VaultError> {
        let held = self.read();
        let version = held.versions.last().ok_or(VaultError::Seal)?;
        Ok((version.number, version.recovery.public()?))
    }

    /// Seals a person's keys for the delay of an erasure: version u32 · blob.
    pub(crate) fn seal_to_recovery(&self, place: &[u8], plain: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, VaultError> {
        let (number, public) = self.recovery_public()?;
        let blob = seal_to(&public, &versioned(place, number), plain, rng)?;
        Ok([number.to_be_bytes().as_slice(), &blob].concat())
    }

    /// Opens what [`Ring::seal_to_recovery`] sealed, while its version lives.
    pub(crate) fn open_recovery(&self, place: &[u8], sealed: &[u8]) -> Result<Wiped, VaultError> {
        let (number, blob) = sealed.split_first_chunk::<4>().ok_or(VaultError::Seal)?;
        let number = KekVersion::from_be_bytes(*number);
        let held = self.read();
        let version = held.versions.iter().find(|version| version.number == number).ok_or(VaultError::Seal)?;
        version.recovery.open(&versioned(place, number), blob).map(Wiped)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, held: &Held, rng: &dyn Rng) -> Result<(), VaultError> {
        match &self.path {
            Some(path) => {
                let bytes = self.to_file(held, rng)?;
                around(Step::RingReplace, || Disk::replace_and_wipe(path, &bytes))?;
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn to_file(&self, held: &Held, rng: &dyn Rng) -> Result<Vec<u8>, VaultError> {
        let mut plain = Wiped::with_room(KEY_BYTES + 8 + held.versions.len() * (4 + 2 * KEY_BYTES));
        plain.0.extend_from_slice(self.house_secret.bytes());
        plain.0.extend_from_slice(&held.next.to_be_bytes());
        for version in &held.versions {
            plain.0.extend_from_slice(&version.number.to_be_bytes());
            plain.0.extend_from_slice(version.kek.bytes());
            plain.0.extend_from_slice(version.recovery.secret().bytes());
        }
        let nonce = rng.bytes::<NONCE_BYTES>();
        let sealed = encrypt(&self.ring_key, nonce, &place(&self.house), &plain.0)?;
        Ok([MAGIC.as_slice(), &nonce, &sealed].concat())
    }
}

impl Version {
    fn generate(number: KekVersion, rng: &dyn Rng) -> Self {
        Self { number, kek: Secret::generate(rng), recovery: RecoveryKey::generate(rng) }
    }
}

fn from_plain(plain: &[u8]) -> Option<(Secret, Held)> {
    let (house_secret, rest) = plain.split_first_chunk::<KEY_BYTES>()?;
    let (next, rest) = rest.split_first_chunk::<4>()?;
    let mut versions = Vec::new();
    for entry in rest.chunks(4 + 2 * KEY_BYTES) {
        let (number, keys) = entry.split_first_chunk::<4>()?;
        let (kek, recovery) = keys.split_first_chunk::<KEY_BYTES>()?;
        versions.push(Version {
            number: KekVersion::from_be_bytes(*number),
            kek: Secret::copy(kek)?,
            recovery: RecoveryKey::from_secret(Secret::copy(recovery)?),
        });
    }
    let held = Held { versions, next: KekVersion::from_be_bytes(*next) };
    (!held.versions.is_empty()).then_some((Secret::copy(house_secret)?, held))
}

fn place(house: &HouseId) -> Vec<u8> {
    [b"fineline ring 1".as_slice(), house.as_bytes()].concat()
}

fn versioned(place: &[u8], number: KekVersion) -> Vec<u8> {
    [number.to_be_bytes().as_slice(), place].concat()
}

fn damaged(what: &str) -> VaultError {
    VaultError::Damaged { keyspace: "keys/ring", what: what.to_owned() }
}
