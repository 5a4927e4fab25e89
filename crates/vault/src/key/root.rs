//! Responsible for the root key: a file of 64 hex digits that only its owner may read, and the check value that tells
//! whether it is the right one before anything is opened.
//!
//! Deliberately not: other root sources (passphrase, KMS). What hangs on it stands in `ring`.

use super::{KEY_BYTES, MacKey, Secret, Wiped};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use model::{HouseId, Rng};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
        let metadata = std::fs::metadata(path).map_err(|source| file_error("reading the root key", path, source))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(VaultError::RootReadable { path: path.to_path_buf(), mode });
        }
        let text = Wiped(Disk::read(path)?.unwrap_or_default());
        from_hex(text.0.trim_ascii()).map(Self).ok_or_else(|| VaultError::WrongRoot { path: path.to_path_buf() })
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
