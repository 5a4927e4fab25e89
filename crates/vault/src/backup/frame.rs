//! Responsible for the bytes of a stream: a magic word and frames, each with a check over everything before it, so that a
//! frame that is cut off, changed, doubled, taken out or from another stream is named by its number.
//!
//! Frame = length u32 · body · check 16 (the beginning of SHA-256 over the check before, whole, the length and the body).
//!
//! Deliberately not: what a body says (`stream`), and who may have written it: a check has no key.

use crate::VaultError;
use crate::log::{Hash, sha256};
use crate::seal::PLAIN_BYTES_MAX;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// How a stream begins.
pub(super) const MAGIC: &[u8; 8] = b"FLBACK1\n";

/// Largest body, in bytes: the largest sealed record and its key.
const BODY_BYTES_MAX: usize = PLAIN_BYTES_MAX + (1 << 20);

const CHECK_BYTES: usize = 16;

/// Something is wrong with a stream.
pub(super) fn unusable(name: &Path, what: impl Into<String>) -> VaultError {
    VaultError::Backup { path: name.to_path_buf(), what: what.into() }
}

/// Writes frames.
pub(super) struct FrameWriter<W> {
    out: W,
    running: Hash,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(mut out: W) -> std::io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self { out, running: sha256(&[MAGIC]) })
    }

    pub(super) fn write(&mut self, body: &[u8]) -> std::io::Result<()> {
        let length =
            u32::try_from(body.len()).map_err(|_| std::io::Error::from(ErrorKind::InvalidInput))?.to_be_bytes();
        self.running = sha256(&[&self.running, &length, body]);
        self.out.write_all(&length)?;
        self.out.write_all(body)?;
        self.out.write_all(self.running.get(..CHECK_BYTES).unwrap_or_default())
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}

/// Reads frames.
pub(super) struct FrameReader<R> {
    input: R,
    name: PathBuf,
    number: u64,
    running: Hash,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(mut input: R, name: &Path) -> Result<Self, VaultError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Ok(()) => return Err(unusable(name, "it does not begin like a backup stream")),
            Err(error) => return Err(unusable(name, format!("it cannot be read: {error}"))),
        }
        Ok(Self { input, name: name.to_path_buf(), number: 0, running: sha256(&[MAGIC]) })
    }

    /// The next body.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, VaultError> {
        self.number = self.number.saturating_add(1);
        let length: [u8; 4] = self.read()?;
        let n_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if n_bytes > BODY_BYTES_MAX {
            return Err(self.wrong(&format!("has {n_bytes} bytes; the limit is {BODY_BYTES_MAX}")));
        }
        let mut body = vec![0; n_bytes];
        self.fill(&mut body)?;
        let check: [u8; CHECK_BYTES] = self.read()?;
        let running = sha256(&[&self.running, &length, &body]);
        if !running.starts_with(&check) {
            return Err(self.wrong("is not the one that was written after those before it"));
        }
        self.running = running;
        Ok(body)
    }

    /// Whether nothing follows.
    pub(super) fn ends(&mut self) -> Result<(), VaultError> {
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(unusable(&self.name, format!("bytes follow its last frame, frame {}", self.number))),
            Err(error) => Err(unusable(&self.name, format!("it cannot be read: {error}"))),
        }
    }

    /// An error that names the frame read last.
    pub(super) fn wrong(&self, what: &str) -> VaultError {
        unusable(&self.name, format!("frame {} {what}", self.number))
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], VaultError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), VaultError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.wrong("is cut off: the stream is not whole"),
            _ => self.wrong(&format!("cannot be read: {error}")),
        })
    }
}
