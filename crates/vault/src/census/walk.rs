//! Responsible for looking through whole folders: every file, every byte, and the names of the files too. Links are not
//! followed; what could not be read is listed, never passed over.

use super::needle::{Needle, Spelling};
use super::stream::{Captured, Found, Patterns, Stream};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Holes at least this long (files that were made larger than written) are skipped.
const HOLE_BYTES_MIN: u64 = 256 << 10;

/// A needle, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which file (or folder, when its name says it).
    pub file: PathBuf,
    /// In what within the file, outermost first.
    pub inside: Vec<Layer>,
    /// Where it begins, in bytes from the beginning of the file or of the innermost stream.
    pub offset: u64,
    /// In which spelling.
    pub how: Spelling,
    /// Which needle, by its name.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at byte {}", self.what, self.how, self.offset)?;
        for layer in self.inside.iter().rev() {
            write!(f, " of the {} at byte {}", layer.wrapping, layer.at)?;
        }
        write!(f, " of {}", self.file.display())
    }
}

/// Something compressed, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// How it is compressed.
    pub wrapping: Wrapping,
    /// Where it begins in what is around it, in bytes.
    pub at: u64,
}

/// A compression that is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// gzip.
    Gzip,
    /// One deflated file of a zip.
    Zip,
    /// zstd.
    Zstd,
}

impl Wrapping {
    pub(super) const fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b, 8],
            Self::Zip => b"PK\x03\x04",
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zip => "zip entry",
            Self::Zstd => "zstd stream",
        })
    }
}

/// What a search went through and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Searched {
    /// What was found; at most 10,000 are listed.
    pub findings: Vec<Finding>,
    /// How many were found.
    pub n_findings: u64,
    /// Files looked through.
    pub n_files: u64,
    /// Their bytes, without long holes and without what they unpack to.
    pub n_bytes: u64,
    /// What could not be looked into: an empty list is part of the proof.
    pub unread: Vec<Unread>,
}

/// Something that could not be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Which file or folder.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Looks for needles in every byte of every file of these folders (or files).
///
/// # Errors
/// [`VaultError::TooLarge`] when there are more needles than can be looked for at once.
pub fn search(folders: &[PathBuf], needles: &[Needle]) -> Result<Searched, VaultError> {
    let patterns = Patterns::new(needles, None).ok_or_else(|| too_many(needles))?;
    Ok(walk(folders, &patterns).0)
}

fn too_many(needles: &[Needle]) -> VaultError {
    VaultError::TooLarge { what: "the list of needles", bytes: needles.len(), limit: 100_000 }
}

/// The bytes that follow each `magic`, wherever it stands, also in what is compressed.
pub(super) fn capture(
    folders: &[PathBuf],
    magic: &[u8],
    n_bytes: usize,
) -> Result<(Vec<Captured>, Vec<Unread>), VaultError> {
    let patterns = Patterns::new(&[], Some((magic, n_bytes))).ok_or_else(|| too_many(&[]))?;
    let (searched, captured) = walk(folders, &patterns);
    Ok((captured, searched.unread))
}

fn walk(folders: &[PathBuf], patterns: &Patterns) -> (Searched, Vec<Captured>) {
    let (mut searched, mut found) = (Searched::default(), Found::default());
    let mut waiting: VecDeque<PathBuf> = folders.iter().cloned().collect();
    while let Some(path) = waiting.pop_front() {
        if let Err(error) = visit(&path, &mut waiting, patterns, &mut searched, &mut found) {
            let is_gone =
                matches!(&error, VaultError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
            // A file that went away while we walked is not left behind; a folder that was named and is not there is news.
            if !is_gone || folders.contains(&path) {
                searched.unread.push(Unread { path: path.clone(), why: error.to_string() });
            }
        }
        for why in std::mem::take(&mut found.cut) {
            searched.unread.push(Unread { path: path.clone(), why: why.to_owned() });
        }
    }
    searched.findings = found.findings;
    searched.n_findings = found.n_findings;
    (searched, found.captured)
}

fn visit(
    path: &Path,
    waiting: &mut VecDeque<PathBuf>,
    patterns: &Patterns,
    searched: &mut Searched,
    found: &mut Found,
) -> Result<(), VaultError> {
    found.begin(path);
    let mut name = Stream::new(Vec::new());
    name.push(path.file_name().unwrap_or_default().as_encoded_bytes(), patterns, found);
    name.end(found);
    let metadata = std::fs::symlink_metadata(path).map_err(|source| file_error("reading", path, source))?;
    if metadata.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|source| file_error("reading the folder", path, source))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|source| file_error("reading the folder", path, source))?.path());
        }
        paths.sort();
        waiting.extend(paths);
    } else if metadata.is_file() {
        searched.n_files += 1;
        searched.n_bytes += look_through(&Disk::open_to_read(path)?, path, metadata.len(), patterns, found)?;
    }
    Ok(())
}

fn look_through(
    file: &File,
    path: &Path,
    n_bytes: u64,
    patterns: &Patterns,
    found: &mut Found,
) -> Result<u64, VaultError> {
    let (mut stream, mut chunk) = (Stream::new(Vec::new()), vec![0; CHUNK_BYTES.max(patterns.longest())]);
    let (zeros, mut was_zero) = (vec![0; chunk.len()], false);
    let (mut at, mut n_read) = (0, 0);
    while at < n_bytes {
        // What is being unpacked goes on through a hole: zeros mean something to it.
        let data = if stream.is_unpacking() { at } else { next_data(file, at).unwrap_or(n_bytes) };
        if data - at >= HOLE_BYTES_MIN {
            stream.skip(data - at);
            at = data;
            continue;
        }
        let read = file.read_at(&mut chunk, at).map_err(|source| file_error("reading", path, source))?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        at += read as u64;
        n_read += read as u64;
        // Padding that was written out: as good as a hole, once a chunk of it has gone by.
        let is_zero = zeros.starts_with(bytes);
        match is_zero && was_zero && !stream.is_unpacking() {
            true => stream.skip(read as u64),
            false => stream.push(bytes, patterns, found),
        }
        was_zero = is_zero;
    }
    stream.end(found);
    Ok(n_read)
}

/// Where the next written bytes begin; `at` itself where the file system does not tell. `None`: only a hole follows.
fn next_data(file: &File, at: u64) -> Option<u64> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => Some(data.max(at)),
        Err(rustix::io::Errno::NXIO) => None,
        Err(_) => Some(at),
    }
}
