//! Responsible for which program may open a data folder: what a folder is made of, what this program would change in it, and
//! whether the release before this one may still open it afterwards. Looks at a few files, changes nothing, and needs no
//! lock: a house that is served can be looked at.
//!
//! The rule. A folder has one *format*, a number, and moves forward only. Within it, forms are added and none is changed:
//! a field that is not known is ignored, so each release opens what the next one has written (N−1), and going back one
//! release loses nothing. What an older program would take for damage is announced first, by a word in the line `needs` of
//! the file `house`: who does not know the word refuses the folder by that name.
//!
//! A folder of every released format is kept in `formats/` and opened by a test for ever.
//!
//! Deliberately not: whether every record is well (that is `fsck`), nor any change.

use crate::disk::Disk;
use crate::folder::{self, FORMAT};
use crate::{EngineKind, RootSource, VaultError};
use model::HouseId;
use std::path::Path;

/// What one release opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: &'static str,
    /// The newest format that it opens.
    pub format: u32,
    /// The words of `needs` that it knows.
    pub knows: &'static [&'static str],
}

/// The words of `needs` that this program knows.
pub(crate) const KNOWS: &[&str] = &[];

/// Every release, this program last. To add one more: a line here, and a folder that it made in `formats/`.
pub const RELEASES: &[Release] = &[Release { version: env!("CARGO_PKG_VERSION"), format: FORMAT, knows: KNOWS }];

/// What a folder would be for this program and for the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Whose it is.
    pub house: HouseId,
    /// Its format.
    pub format: u32,
    /// Which engine's store lies in it; `None` when there is none yet.
    pub engine: Option<EngineKind>,
    /// Each file with a form of its own, and which form.
    pub files: Vec<(&'static str, u8)>,
    /// What the next start changes, in words; nothing of it keeps the release before from opening the folder.
    pub changes: Vec<&'static str>,
    /// The release before this one.
    pub previous: Previous,
}

/// Whether one may go back to the release before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previous {
    /// There is none.
    None,
    /// It may open the folder also after this program has served it.
    MayOpen(&'static str),
    /// It would refuse the folder.
    MayNot {
        /// Its version.
        version: &'static str,
        /// Why.
        because: String,
    },
}

/// Files that begin with a word of six letters, the number of their form, and a line's end; and the newest form we read.
const FORMS: [(&str, &[u8; 6], u8); 4] = [
    ("keys/ring", b"FLRING", 1),
    ("tombstones", b"FLTOMB", 1),
    ("narrowings", b"FLNARR", 1),
    ("urgent.log", b"FLURGE", 1),
];

/// Looks at a folder, and at whether the root key is the right one.
///
/// # Errors
/// Whatever would keep this program from opening the folder before it reads a single record: [`VaultError::NoHouse`],
/// [`VaultError::Version`], [`VaultError::Needs`], [`VaultError::WrongRoot`] and its like, [`VaultError::Damaged`] for a file
/// that is missing or of a form that is not known.
pub fn look(data: &Path, root: &RootSource) -> Result<Outlook, VaultError> {
    let (file, _) = folder::open_root(data, root)?;
    let (mut files, mut changes) = (Vec::new(), Vec::new());
    for (name, word, newest) in FORMS {
        match form(&data.join(name), name, word)? {
            Some(form) if form > newest => {
                let what = format!("it is of form {form}; this program reads form {newest}: a later one wrote it");
                return Err(damaged(name, what));
            }
            Some(form) => files.push((name, form)),
            None if name == "narrowings" => {
                changes.push("the file `narrowings` is made: it remembers what people take back")
            }
            None => return Err(damaged(name, "the file is missing".to_owned())),
        }
    }
    // A folder that needs anything was refused above: this program knows no such word.
    let previous = match RELEASES {
        [.., previous, _ours] => judge(file.format(), &[], previous),
        _ => Previous::None,
    };
    Ok(Outlook { house: file.house, format: file.format(), engine: engine(data), files, changes, previous })
}

/// Whether a release may open a folder of this format that needs these words known. Serving a folder moves neither.
fn judge(format: u32, needs: &[&str], previous: &Release) -> Previous {
    let version = previous.version;
    if format > previous.format {
        let because = format!("the folder has format {format}, and {version} opens {} at most", previous.format);
        return Previous::MayNot { version, because };
    }
    match needs.iter().find(|word| !previous.knows.contains(word)) {
        Some(word) => {
            Previous::MayNot { version, because: format!("the folder holds `{word}`, which {version} does not know") }
        }
        None => Previous::MayOpen(version),
    }
}

fn form(path: &Path, name: &'static str, word: &[u8; 6]) -> Result<Option<u8>, VaultError> {
    let Some(bytes) = Disk::read(path)? else { return Ok(None) };
    match bytes.strip_prefix(word).and_then(<[u8]>::split_first_chunk::<2>) {
        Some(([digit @ b'1'..=b'9', b'\n'], _)) => Ok(Some(digit - b'0')),
        _ => Err(damaged(name, "it does not begin like one".to_owned())),
    }
}

fn engine(data: &Path) -> Option<EngineKind> {
    let store = data.join("store");
    if store.join("records.redb").exists() {
        return Some(EngineKind::Redb);
    }
    store.join("keyspaces").exists().then_some(EngineKind::Fjall)
}

fn damaged(name: &'static str, what: String) -> VaultError {
    VaultError::Damaged { keyspace: name, what }
}

#[cfg(test)]
mod tests;
