//! Responsible for what people take back while the root key is away: nobody can be looked up and nothing can be read then, but
//! what they say is taken, sealed to a public key, on the disk before it is acknowledged, and obeyed before anything else as
//! soon as the key is there.
//!
//! Two files: `sealed.key` (the public half of an X25519 pair whose private half hangs on the house secret) and `sealed.log`
//! (framed like the urgent log). Entry = what `key::recovery` seals, bound to the house: form, packed and padded as every
//! record. So whoever has the folder and not the root key sees how many opt-outs wait, and how large each is.
//!
//! Deliberately not: judging. Who may say what is asked by the same doors as ever, once there is something to ask.

use crate::VaultError;
use crate::disk::Disk;
use crate::folder::{Folder, HouseFile, Lock};
use crate::format;
use crate::key::HouseKeys;
use crate::key::recovery::{RecoveryKey, RecoveryPublic, seal_to};
use crate::room::Room;
use crate::seal;
use crate::urgent::UrgentLog;
use minicbor::{Decode, Encode};
use model::{At, HouseId, Rng};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The kind of these records, a number of its own for ever. It stands in no envelope, but in what the entry is bound to.
const KIND: u8 = 21;

/// Largest body of what is taken, in bytes.
pub const SEALED_BODY_BYTES_MAX: usize = 16 << 10;

/// Largest of the other parts, in bytes.
const PART_BYTES_MAX: usize = 1 << 10;

const TITLE: &str = "fineline sealed key 1";

/// One opt-out as it came through a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAct {
    /// When.
    pub at: At,
    /// The path of the door ("/v1/consent", "/m/…/unsubscribe").
    pub path: String,
    /// The write key that came along.
    pub key: Option<String>,
    /// The page it came from, by its origin.
    pub origin: Option<String>,
    /// What kind of body.
    pub content_type: Option<String>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

/// The stored form of [`SealedAct`].
#[derive(Encode, Decode)]
struct ActForm {
    #[n(0)]
    at: i64,
    #[n(1)]
    path: String,
    #[n(2)]
    key: Option<String>,
    #[n(3)]
    origin: Option<String>,
    #[n(4)]
    content_type: Option<String>,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    body: Vec<u8>,
}

impl SealedAct {
    fn form(&self) -> ActForm {
        let Self { at, path, key, origin, content_type, body } = self.clone();
        ActForm { at: at.ms(), path, key, origin, content_type, body }
    }

    fn check(&self) -> Result<(), VaultError> {
        let parts = [Some(&self.path), self.key.as_ref(), self.origin.as_ref(), self.content_type.as_ref()];
        let longest = parts.into_iter().flatten().map(String::len).max().unwrap_or(0);
        let limits =
            [("what an opt-out says", self.body.len(), SEALED_BODY_BYTES_MAX), ("its head", longest, PART_BYTES_MAX)];
        match limits.into_iter().find(|(_, bytes, limit)| bytes > limit) {
            Some((what, bytes, limit)) => Err(VaultError::TooLarge { what, bytes, limit }),
            None => Ok(()),
        }
    }
}

/// A house whose root key is away, open for opt-outs alone. Holds the folder until it is dropped.
pub struct SealedHouse {
    house: HouseId,
    public: RecoveryPublic,
    log: Mutex<UrgentLog>,
    room: Room,
    rng: Arc<dyn Rng>,
    _lock: Lock,
}

impl std::fmt::Debug for SealedHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedHouse({})", self.house)
    }
}

impl SealedHouse {
    /// Opens a data folder without its root key. Reads nothing but what stands in clear.
    ///
    /// # Errors
    /// No house, another process, or a house that was never opened by a program that knows how to be sealed.
    pub fn open(data: &Path, rng: Arc<dyn Rng>) -> Result<Self, VaultError> {
        let (HouseFile { house, .. }, lock) = Folder::hold(data)?;
        let public = read_public(&data.join("sealed.key"))?;
        let log = UrgentLog::open(&data.join("sealed.log"))?;
        Ok(Self { house, public, log: Mutex::new(log), room: Room::new(Some(data)), rng, _lock: lock })
    }

    /// Takes one opt-out, on the disk before this returns.
    ///
    /// # Errors
    /// [`VaultError::TooLarge`]; [`VaultError::Busy`] when 64 MiB of them wait; [`VaultError::DiskFull`] at the very end of the
    /// disk; what a disk that fails says, and after a failed sync nothing is taken any more.
    pub fn take(&self, act: &SealedAct) -> Result<(), VaultError> {
        act.check()?;
        let mut plain = Vec::new();
        seal::pack(&format::encode(&act.form()), &mut plain);
        let sealed = seal_to(&self.public, &place(&self.house), &plain, self.rng.as_ref())?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.room.with_reserve(|| log.append(&sealed)).map(drop)
    }

    /// How many wait.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).replay().len()
    }
}

/// What was taken while the house was sealed, of an open house.
pub(crate) struct Sealed {
    log: UrgentLog,
    key: RecoveryKey,
}

impl Sealed {
    /// Opens the log, and makes what a house from before has not. A public key that is not ours was changed by somebody:
    /// what was sealed to it is lost, and said so.
    pub(crate) fn open(folder: &Folder, keys: &HouseKeys) -> Result<Self, VaultError> {
        let (key_path, log_path) = (folder.sealed_key(), folder.sealed_log());
        let public = keys.sealed.public()?;
        match Disk::read(&key_path)? {
            Some(_) if read_public(&key_path).is_ok_and(|there| there == public) => {}
            there => {
                if there.is_some() {
                    tracing::error!("the file sealed.key was not the one that was written: it is made anew");
                }
                Disk::replace(&key_path, text(&public).as_bytes())?;
            }
        }
        if !log_path.exists() {
            UrgentLog::create(&log_path)?;
        }
        Ok(Self { log: UrgentLog::open(&log_path)?, key: keys.sealed.clone() })
    }

    /// Everything that waits, by number, oldest first. What does not open was sealed to another key, or changed.
    pub(crate) fn acts(&self, house: &HouseId) -> Vec<(u64, Result<SealedAct, VaultError>)> {
        let open = |sealed: &[u8]| {
            let plain = seal::unpack(&self.key.open(&place(house), sealed)?)?;
            let ActForm { at, path, key, origin, content_type, body } = format::decode("sealed.log", &plain)?;
            Ok(SealedAct { at: At::from_ms(at), path, key, origin, content_type, body })
        };
        self.log.replay().iter().map(|(number, sealed)| (*number, open(sealed))).collect()
    }

    /// These were heard.
    pub(crate) fn done(&mut self, numbers: &[u64]) -> Result<(), VaultError> {
        self.log.remove(numbers)
    }
}

/// What an entry is bound to.
fn place(house: &HouseId) -> Vec<u8> {
    [b"fineline sealed".as_slice(), &[KIND], house.as_bytes()].concat()
}

fn text(public: &RecoveryPublic) -> String {
    format!("{TITLE}\n{}\n", model::id::base32(public))
}

fn read_public(path: &Path) -> Result<RecoveryPublic, VaultError> {
    let no_key = || VaultError::NotSealable { path: path.to_path_buf() };
    let bytes = Disk::read(path)?.ok_or_else(no_key)?;
    let text = String::from_utf8(bytes).map_err(|_| no_key())?;
    let mut lines = text.lines();
    match (lines.next(), lines.next().and_then(model::id::from_base32), lines.next()) {
        (Some(TITLE), Some(public), None) => Ok(public),
        _ => Err(no_key()),
    }
}

/// The bytes of a log with one entry, for a published vector.
#[cfg(test)]
pub(crate) fn vector(data: &Path, house: &HouseId, keys: &HouseKeys, act: &SealedAct) -> Vec<u8> {
    Disk::make_folder(data).unwrap();
    let path = data.join("sealed.log");
    UrgentLog::create(&path).unwrap();
    let mut plain = Vec::new();
    seal::pack(&format::encode(&act.form()), &mut plain);
    let rng = model::chance::Seeded::new(21);
    let sealed = seal_to(&keys.sealed.public().unwrap(), &place(house), &plain, &rng).unwrap();
    UrgentLog::open(&path).unwrap().append(&sealed).unwrap();
    Disk::read(&path).unwrap().unwrap()
}

/// The one entry of such a log.
#[cfg(test)]
pub(crate) fn opened(log: &[u8], house: &HouseId, keys: &HouseKeys) -> SealedAct {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed.log");
    Disk::create(&path, log).unwrap();
    let sealed = Sealed { log: UrgentLog::open(&path).unwrap(), key: keys.sealed.clone() };
    sealed.acts(house).into_iter().next().unwrap().1.unwrap()
}

#[cfg(test)]
mod tests;
