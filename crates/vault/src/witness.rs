//! Responsible for the witness: a file on a second disk that remembers how far the log and the tombstones reached, so that a
//! data folder that was set back is not served as if nothing had happened.
//!
//! File = signed notes that a person can read, each followed by an empty line. Text of a note: `fineline/<house>/witness` ·
//! log size · root (base64) · tombstone epoch · its mac (base64) · `at` instant · after a restore `restored from A to B`. Only the
//! newest note counts; a torn last one never did. What it cannot do: help against whoever can write to both disks.
//!
//! Deliberately not: when a note is due (`watch`), and what is done about a folder that is older (the operator decides).

mod watch;

pub use watch::WitnessState;
pub(crate) use watch::{Due, Watch};

use crate::chain::grew_out_of;
use crate::disk::Disk;
use crate::engine::EngineSnapshot;
use crate::failpoint::{Step, around};
use crate::key::HouseKeys;
use crate::log::Hash;
use crate::narrowing::Reach;
use crate::tombstone::Tombstones;
use crate::{VaultError, note};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::{At, HouseId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Notes that are kept when the file is written anew.
const NOTES_KEPT: usize = 1_024;

/// Notes in a file before it is written anew: some 700 KiB.
const NOTES_MAX: usize = 2 * NOTES_KEPT;

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 1_024;

/// What a witness saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Batches in the log.
    pub size: u64,
    /// The root over them.
    pub root: [u8; 32],
    /// Entries in the tombstone file.
    pub tombstone_epoch: u64,
    /// The mac of the last of them; zeros when there is none.
    pub tombstone_mac: [u8; 32],
    /// When.
    pub at: At,
    /// A restore set the log back to `size`: so many batches it had before.
    pub restored_from: Option<u64>,
}

impl Seen {
    /// Whether a tombstone file reaches as far as the witness saw, and is the same as far as it saw it.
    pub(crate) fn is_reached_by(&self, tombstones: &Tombstones) -> bool {
        tombstones.reaches(Reach { epoch: self.tombstone_epoch, mac: self.tombstone_mac })
    }

    fn body(&self, name: &str) -> String {
        let (root, mac) = (BASE64_STANDARD.encode(self.root), BASE64_STANDARD.encode(self.tombstone_mac));
        let restored = self.restored_from.map(|from| format!("restored from {from} to {}\n", self.size));
        let restored = restored.unwrap_or_default();
        format!("{name}\n{}\n{root}\n{}\n{mac}\nat {}\n{restored}", self.size, self.tombstone_epoch, self.at)
    }

    /// Reads the text of a note back; nothing else than [`Seen::body`] writes.
    fn read(body: &str, name: &str) -> Option<Self> {
        let mut lines = body.lines().skip(1);
        let mut line = || lines.next();
        let hash = |text: &str| Hash::try_from(BASE64_STANDARD.decode(text).ok()?).ok();
        let (size, root) = (line()?.parse().ok()?, hash(line()?)?);
        let (tombstone_epoch, tombstone_mac) = (line()?.parse().ok()?, hash(line()?)?);
        let at = At::parse(line()?.strip_prefix("at ")?)?;
        let restored_from = match line() {
            Some(text) => Some(text.strip_prefix("restored from ")?.split_once(' ')?.0.parse().ok()?),
            None => None,
        };
        let seen = Self { size, root, tombstone_epoch, tombstone_mac, at, restored_from };
        (seen.body(name) == body).then_some(seen)
    }
}

/// The notes of a witness file, oldest first; `None` unless every whole one was signed by this key (a torn last one is not
/// whole), and there is one.
pub(crate) fn verified(text: &str, name: &str, public: &[u8]) -> Option<Vec<Seen>> {
    let (notes, end) = whole_notes(text);
    let is_torn = text.len().saturating_sub(end) <= NOTE_BYTES_MAX;
    let seen = notes.into_iter().map(|note| Seen::read(note::verify(note, name, public)?, name));
    seen.collect::<Option<Vec<Seen>>>().filter(|seen| is_torn && !seen.is_empty())
}

/// An open witness file.
pub struct Witness {
    path: PathBuf,
    name: String,
    keys: Arc<HouseKeys>,
    newest: Option<Seen>,
    n_notes: usize,
    /// Bytes of whole notes.
    n_bytes: u64,
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Witness({})", self.path.display())
    }
}

impl Witness {
    /// Opens the file, making it when there is none. The newest note must be this house's; a torn last one is passed over.
    pub(crate) fn open(path: &Path, keys: Arc<HouseKeys>, house: &HouseId) -> Result<Self, VaultError> {
        let name = format!("fineline/{house}/witness");
        let mut witness = Self { path: path.to_path_buf(), name, keys, newest: None, n_notes: 0, n_bytes: 0 };
        let Some(bytes) = Disk::read(path)? else {
            Disk::create(path, b"")?;
            return Ok(witness);
        };
        // What a torn write left is not always text; what stands before it is.
        let valid = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let text = bytes.get(..valid).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default();
        let (mut notes, mut end) = whole_notes(text);
        // A last note with bytes that never reached the disk was never finished.
        if let Some(last) = notes.pop_if(|last| last.contains('\0')) {
            end = end.saturating_sub(last.len() + 1);
        }
        if let Some(newest) = notes.last() {
            let body = note::verify(newest, &witness.name, witness.keys.receipt.public());
            let seen = body.and_then(|body| Seen::read(body, &witness.name));
            witness.newest = Some(seen.ok_or_else(|| witness.forged())?);
        }
        if !witness.is_torn(bytes.get(end..).unwrap_or_default()) {
            return Err(witness.forged());
        }
        (witness.n_notes, witness.n_bytes) = (notes.len(), end as u64);
        Ok(witness)
    }

    /// What it saw last; `None` in a new file.
    #[must_use]
    pub const fn newest(&self) -> Option<&Seen> {
        self.newest.as_ref()
    }

    /// Refuses a log or a tombstone file that is older, or another, than what was seen last.
    pub(crate) fn check(
        &self,
        now: (u64, Hash),
        store: &dyn EngineSnapshot,
        tombstones: &Tombstones,
    ) -> Result<(), VaultError> {
        let Some(seen) = &self.newest else { return Ok(()) };
        let behind = |what, seen, ours| Err(VaultError::Behind { path: self.path.clone(), what, seen, ours });
        if seen.size > now.0 {
            return behind("the data folder is older than what the witness saw (batches of the log)", seen.size, now.0);
        }
        if !grew_out_of((seen.size, seen.root), now, store)? {
            return behind("the log is not the one that the witness saw (batches of the log)", seen.size, now.0);
        }
        if !seen.is_reached_by(tombstones) {
            let (epoch, ours) = (seen.tombstone_epoch, tombstones.epoch());
            return behind("the tombstone file is older than, or not, what the witness saw (entries)", epoch, ours);
        }
        Ok(())
    }

    /// Appends what is seen now, on the disk before this returns.
    pub(crate) fn note(&mut self, seen: Seen) -> Result<(), VaultError> {
        let note = note::sign(&self.name, &seen.body(&self.name), &self.keys.receipt)?;
        let note = format!("{note}\n");
        if self.n_notes >= NOTES_MAX {
            self.shorten()?;
        }
        let mut file = Disk::open_to_append(&self.path)?;
        around(Step::WitnessNote, || Disk::append(&mut file, &self.path, self.n_bytes, note.as_bytes()))?;
        self.n_bytes = self.n_bytes.saturating_add(note.len() as u64);
        self.n_notes = self.n_notes.saturating_add(1);
        self.newest = Some(seen);
        Ok(())
    }

    /// Notes that a restore set the log back to what `seen` says, knowingly: from here on it is measured by this note.
    ///
    /// # Errors
    /// [`VaultError::File`].
    pub fn note_restored(&mut self, seen: Seen) -> Result<(), VaultError> {
        let from = self.newest.map_or(seen.size, |newest| newest.size);
        self.note(Seen { restored_from: Some(from), ..seen })
    }

    /// Writes the file anew with its newest notes.
    fn shorten(&mut self) -> Result<(), VaultError> {
        let bytes = Disk::read(&self.path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let (notes, _) = whole_notes(&text);
        let kept = notes.get(notes.len().saturating_sub(NOTES_KEPT)..).unwrap_or_default();
        let kept: String = kept.iter().map(|note| format!("{note}\n")).collect();
        around(Step::WitnessRewrite, || Disk::replace(&self.path, kept.as_bytes()))?;
        (self.n_notes, self.n_bytes) = (NOTES_KEPT.min(notes.len()), kept.len() as u64);
        Ok(())
    }

    /// Whether this is how a note begins that was never finished. Another file is never written over.
    fn is_torn(&self, tail: &[u8]) -> bool {
        let n_same = tail.iter().zip(self.name.as_bytes()).take_while(|(found, ours)| found == ours).count();
        let rest = tail.get(n_same..).unwrap_or_default();
        let begins = n_same == self.name.len() || rest.first().is_none_or(|byte| *byte == 0);
        let is_finished = tail.ends_with(b"\n\n") && !tail.contains(&0);
        begins && !is_finished && tail.len() <= NOTE_BYTES_MAX
    }

    fn forged(&self) -> VaultError {
        VaultError::NotAWitness { path: self.path.clone() }
    }
}

/// The notes that have their end, each with the line feed of its signature, and where the last one's empty line ends.
fn whole_notes(text: &str) -> (Vec<&str>, usize) {
    let (mut notes, mut at) = (Vec::new(), 0usize);
    while let Some(rest) = text.get(at..) {
        let Some(signature) = rest.find("\n\n").map(|body| body + 2) else { break };
        let Some(end) = rest.get(signature..).and_then(|rest| rest.find("\n\n")).map(|end| signature + end + 1) else {
            break;
        };
        notes.extend(rest.get(..end));
        at += end + 1;
    }
    (notes, at)
}

#[cfg(test)]
mod tests;
