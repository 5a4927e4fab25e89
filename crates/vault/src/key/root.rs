//! Responsible for the root key: a file of 64 hex digits that only its owner may read, or a passphrase that is stretched to
//! one; and the check value that tells whether it is the right one before anything is opened.
//!
//! Deliberately not: asking for a passphrase (the program), and key services. What hangs on the root stands in `ring`.

use super::{KEY_BYTES, MacKey, Secret, Wiped};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use argon2::{Algorithm, Argon2, Params, Version};
use model::{HouseId, Rng};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Shortest passphrase, in characters.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// Largest file of a key or a passphrase, in bytes.
const SECRET_FILE_BYTES_MAX: usize = 4_096;

/// Bytes of the salt of a passphrase.
const SALT_BYTES: usize = 16;

/// Where the root key comes from.
#[derive(Clone)]
pub enum RootSource {
    /// A file of 64 hex digits that its owner alone may read; made by `Vault::create` when absent.
    File(PathBuf),
    /// A passphrase. How it is stretched stands in the data folder; nothing else of it is on any disk.
    Passphrase(Passphrase),
}

impl std::fmt::Debug for RootSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Passphrase(_) => f.write_str("Passphrase"),
        }
    }
}

impl From<PathBuf> for RootSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl RootSource {
    /// The root key of a data folder. A file where the folder wants a passphrase, and the other way round, is refused by
    /// name.
    pub(crate) fn open(&self, stretch: Option<&Stretch>) -> Result<Root, VaultError> {
        match (self, stretch) {
            (Self::File(path), None) => Root::open(path),
            (Self::Passphrase(passphrase), Some(stretch)) => Root::stretched(passphrase, stretch),
            (Self::File(_), Some(_)) => Err(VaultError::RootSource { set: "a key file", wants: "a passphrase" }),
            (Self::Passphrase(_), None) => Err(VaultError::RootSource { set: "a passphrase", wants: "a key file" }),
        }
    }

    /// The root key of a new data folder, and how it is stretched when it comes from a passphrase.
    pub(crate) fn make(&self, rng: &dyn Rng) -> Result<(Root, Option<Stretch>), VaultError> {
        match self {
            Self::File(path) if path.exists() => Ok((Root::open(path)?, None)),
            Self::File(path) => Ok((Root::create(path, rng)?, None)),
            Self::Passphrase(passphrase) => {
                let stretch = Stretch::new(rng);
                Ok((Root::stretched(passphrase, &stretch)?, Some(stretch)))
            }
        }
    }

    /// What is said when the key does not open the folder.
    pub(crate) fn wrong(&self) -> VaultError {
        match self {
            Self::File(path) => VaultError::WrongRoot { path: path.clone() },
            Self::Passphrase(_) => VaultError::WrongPassphrase,
        }
    }
}

/// A passphrase, wiped when dropped.
pub struct Passphrase(Wiped);

impl Clone for Passphrase {
    fn clone(&self) -> Self {
        Self(Wiped(self.0.0.clone()))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// From what was typed; the text is wiped.
    ///
    /// # Errors
    /// [`VaultError::ShortPassphrase`] below [`PASSPHRASE_CHARS_MIN`] characters.
    pub fn new(text: String) -> Result<Self, VaultError> {
        let passphrase = Self(Wiped(text.into_bytes()));
        let n_chars = std::str::from_utf8(&passphrase.0.0).map_or(0, |text| text.chars().count());
        if n_chars < PASSPHRASE_CHARS_MIN {
            return Err(VaultError::ShortPassphrase { limit: PASSPHRASE_CHARS_MIN });
        }
        Ok(passphrase)
    }

    /// The first line of a file that its owner alone may read.
    ///
    /// # Errors
    /// [`VaultError::File`] when there is none, [`VaultError::RootReadable`] when others may read it,
    /// [`VaultError::ShortPassphrase`].
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        let content = private(path)?;
        let line = content.0.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text =
            std::str::from_utf8(line).map_err(|_| VaultError::ShortPassphrase { limit: PASSPHRASE_CHARS_MIN })?;
        Self::new(text.to_owned())
    }

    /// Whether another one is the same: for asking twice.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0.0, &other.0.0).is_ok()
    }
}

/// How a passphrase becomes a key: argon2id with its costs and its salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
}

impl Stretch {
    /// 64 MiB, three passes, four lanes: some 0.2 s, and as much for whoever guesses, each time.
    fn new(rng: &dyn Rng) -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4, salt: rng.bytes() }
    }

    /// The costs that are read, from the least that RFC 9106 allows with its salt to what a small machine still has.
    const fn is_sound(&self) -> bool {
        self.memory_kib >= 8 * self.lanes
            && self.memory_kib <= 4 << 20
            && self.passes >= 1
            && self.passes <= 64
            && self.lanes >= 1
            && self.lanes <= 64
    }

    /// As it stands in the file `house`.
    pub(crate) fn to_text(&self) -> String {
        let (memory, passes, lanes, salt) = (self.memory_kib, self.passes, self.lanes, model::id::base32(&self.salt));
        format!("argon2id m={memory} t={passes} p={lanes} salt={salt}")
    }

    /// From what stands there; `None` when it is something else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("argon2id ")?.split(' ');
        let mut field = |name: &str| words.next()?.strip_prefix(name);
        let stretch = Self {
            memory_kib: field("m=")?.parse().ok()?,
            passes: field("t=")?.parse().ok()?,
            lanes: field("p=")?.parse().ok()?,
            salt: model::id::from_base32(field("salt=")?)?,
        };
        (words.next().is_none() && stretch.is_sound()).then_some(stretch)
    }
}

/// The key that opens the key ring.
pub(crate) struct Root(Secret);

impl Root {
    /// Makes a new root key file; refuses when there is one.
    pub(crate) fn create(path: &Path, rng: &dyn Rng) -> Result<Self, VaultError> {
        let secret = Secret::generate(rng);
        let mut text = Wiped::with_room(2 * KEY_BYTES + 1);
        for byte in secret.bytes() {
            for nibble in [byte >> 4, byte & 15] {
                text.0.push(b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0'));
            }
        }
        text.0.push(b'\n');
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
            Disk::make_folder(parent)?;
        }
        Disk::create(path, &text.0)?;
        Ok(Self(secret))
    }

    /// Reads a root key file. Refuses one that others can read, before reading it.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        let text = private(path)?;
        from_hex(text.0.trim_ascii()).map(Self).ok_or_else(|| VaultError::WrongRoot { path: path.to_path_buf() })
    }

    /// Stretches a passphrase.
    pub(crate) fn stretched(passphrase: &Passphrase, stretch: &Stretch) -> Result<Self, VaultError> {
        let params = Params::new(stretch.memory_kib, stretch.passes, stretch.lanes, Some(KEY_BYTES));
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| VaultError::Seal)?);
        let mut key = Wiped(vec![0; KEY_BYTES]);
        let done = argon.hash_password_into(&passphrase.0.0, &stretch.salt, &mut key.0);
        done.map_err(|_| VaultError::Seal)?;
        Secret::copy(&key.0).map(Self).ok_or(VaultError::Seal)
    }

    /// What the `house` file holds, so that a wrong key is known before it is used. Says nothing about the key.
    pub(crate) fn check_value(&self, house: &HouseId) -> [u8; KEY_BYTES] {
        MacKey::new(&self.0).mac(&[b"fineline root check", house.as_bytes()])
    }

    /// The key that seals the ring file.
    pub(crate) fn ring_key(&self) -> Secret {
        self.0.derive(b"fineline", b"ring")
    }
}

/// The content of a file of a secret. Refuses one that others can read, before reading it.
/// Where a service manager lays the credentials of each service, in a folder that this service alone may enter.
const CREDENTIALS: &str = "/run/credentials/";

/// Whether nobody but the owner can read a file of a key or a passphrase. A credential of a service that runs under a user of
/// its own is root's, may be read by that user through an access list, and so *looks* readable by its group: mode 440.
#[must_use]
pub fn is_for_owner_alone(path: &Path, mode: u32, owner: u32) -> bool {
    let is_credential = path.starts_with(CREDENTIALS) && !path.components().any(|part| part.as_os_str() == "..");
    mode & 0o077 == 0 || (is_credential && owner == 0 && mode & 0o037 == 0)
}

fn private(path: &Path) -> Result<Wiped, VaultError> {
    let metadata = std::fs::metadata(path).map_err(|source| file_error("reading the root key", path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !is_for_owner_alone(path, mode, metadata.uid()) {
        return Err(VaultError::RootReadable { path: path.to_path_buf(), mode });
    }
    let bytes = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if bytes > SECRET_FILE_BYTES_MAX {
        return Err(VaultError::TooLarge { what: "the root key's file", bytes, limit: SECRET_FILE_BYTES_MAX });
    }
    Ok(Wiped(Disk::read(path)?.unwrap_or_default()))
}

fn from_hex(text: &[u8]) -> Option<Secret> {
    let mut bytes = Wiped::with_room(KEY_BYTES);
    for pair in text.chunks(2) {
        let [high, low] = pair else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        if bytes.0.len() == KEY_BYTES {
            return None;
        }
        bytes.0.push(digit(high)? << 4 | digit(low)?);
    }
    Secret::copy(&bytes.0)
}
