//! Responsible for every plain file of the data folder: reading, atomic replacement, appending, and syncing both the
//! file and the folder that names it.
//!
//! Deliberately not: what the bytes mean (that is `key::ring`, `tombstone`, `urgent`, `folder`), and the engine's own
//! files, which the engine opens itself.

use crate::VaultError;
use model::Rng;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Largest plain file that is read whole, in bytes. Ring, tombstones and urgent log stay far below it.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 30;

/// Only the owner may read or write.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The only maker and reader of plain files in this room.
pub(crate) struct Disk;

impl Disk {
    /// Makes a folder and those above it, for the owner alone, and syncs each folder that names a new one.
    pub(crate) fn make_folder(path: &Path) -> Result<(), VaultError> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let above: Vec<&Path> = path.ancestors().skip(1).take_while(is_missing).collect();
        for folder in above.into_iter().rev().chain([path]) {
            let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(|source| file_error("making the folder", folder, source))?;
            Self::sync_parent(folder)?;
        }
        Ok(())
    }

    /// Syncs a folder, so that a name put there lasts.
    pub(crate) fn sync_folder(path: &Path) -> Result<(), VaultError> {
        let folder = Self::opened(OpenOptions::new().read(true), path, "opening the folder")?;
        folder.sync_all().map_err(|source| file_error("syncing the folder", path, source))
    }

    /// Reads a whole file; `None` when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, VaultError> {
        let file = match Self::opened(OpenOptions::new().read(true), path, "opening") {
            Ok(file) => file,
            Err(VaultError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|source| file_error("reading", path, source))?;
        Ok(Some(bytes))
    }

    /// Makes a file that must not exist yet, synced with its folder.
    pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
        let file = Self::opened(OpenOptions::new().write(true).create_new(true).mode(FILE_MODE), path, "creating")?;
        Self::fill(file, path, bytes)?;
        Self::sync_parent(path)
    }

    /// Puts new bytes in the place of a file's old ones: whoever reads sees all of the old or all of the new.
    pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
        let next = path.with_extension("next");
        let file = Self::opened(
            OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE),
            &next,
            "creating",
        )?;
        Self::fill(file, &next, bytes)?;
        fs::rename(&next, path).map_err(|source| file_error("replacing", path, source))?;
        Self::sync_parent(path)
    }

    /// As [`Disk::replace`], and then writes zeros over the old bytes where they lay: for keys that must not be found.
    pub(crate) fn replace_and_wipe(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
        let old = Self::opened(OpenOptions::new().write(true), path, "opening")?;
        Self::replace(path, bytes)?;
        let n_bytes = old.metadata().map_err(|source| file_error("reading", path, source))?.len();
        Self::fill(old, path, &vec![0; usize::try_from(n_bytes.min(FILE_BYTES_MAX)).unwrap_or(0)])
    }

    /// Opens a file to append to and read from; it must exist.
    pub(crate) fn open_to_append(path: &Path) -> Result<File, VaultError> {
        Self::opened(OpenOptions::new().read(true).write(true), path, "opening")
    }

    /// Opens a file to lock or write in place, making it when absent.
    pub(crate) fn open_or_create(path: &Path) -> Result<File, VaultError> {
        let options = &mut OpenOptions::new();
        Self::opened(options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE), path, "opening")
    }

    /// Opens a file for reading only.
    pub(crate) fn open_to_read(path: &Path) -> Result<File, VaultError> {
        Self::opened(OpenOptions::new().read(true), path, "opening")
    }

    /// Cuts the file at `at`, writes `bytes` there, and syncs it before returning.
    pub(crate) fn append(file: &mut File, path: &Path, at: u64, bytes: &[u8]) -> Result<(), VaultError> {
        let cut = file.set_len(at).and_then(|()| file.seek(SeekFrom::Start(at)));
        let written = cut.and_then(|_| file.write_all(bytes));
        written.map_err(|source| file_error("writing", path, source))?;
        file.sync_data().map_err(|source| file_error("syncing", path, source))
    }

    /// Cuts a file off, synced before this returns.
    pub(crate) fn cut(path: &Path, at: u64) -> Result<(), VaultError> {
        let file = Self::open_to_append(path)?;
        file.set_len(at).map_err(|source| file_error("cutting", path, source))?;
        file.sync_all().map_err(|source| file_error("syncing", path, source))
    }

    /// Takes a file away, and syncs the folder that named it; one that is not there is gone already.
    pub(crate) fn remove(path: &Path) -> Result<(), VaultError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(file_error("removing", path, source)),
            _ => Self::sync_parent(path),
        }
    }

    /// Makes a file to be written piece by piece, over whatever an interrupted attempt left.
    pub(crate) fn begin(path: &Path) -> Result<File, VaultError> {
        let options = &mut OpenOptions::new();
        Self::opened(options.write(true).create(true).truncate(true).mode(FILE_MODE), path, "creating")
    }

    /// Gives a file that was written piece by piece its name, once all of it is on the disk.
    pub(crate) fn finish(file: &File, from: &Path, to: &Path) -> Result<(), VaultError> {
        file.sync_all().map_err(|source| file_error("syncing", from, source))?;
        fs::rename(from, to).map_err(|source| file_error("replacing", to, source))?;
        Self::sync_parent(to)
    }

    /// Makes a file of so many bytes that the disk really gives, over whatever lies there. What stands in it means nothing.
    pub(crate) fn reserve(path: &Path, n_bytes: u64, rng: &dyn Rng) -> Result<(), VaultError> {
        let mut file = Self::begin(path)?;
        let given = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, n_bytes);
        match given.map_err(std::io::Error::from) {
            // A file system that cannot promise room is written to, with what it cannot press together.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                let mut left = n_bytes;
                while left > 0 {
                    let piece = rng.bytes::<4_096>();
                    let piece = piece.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&piece);
                    file.write_all(piece).map_err(|source| file_error("writing", path, source))?;
                    left = left.saturating_sub(piece.len() as u64);
                }
            }
            given => given.map_err(|source| file_error("writing", path, source))?,
        }
        file.sync_all().map_err(|source| file_error("syncing", path, source))
    }

    fn fill(mut file: File, path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
        file.write_all(bytes).map_err(|source| file_error("writing", path, source))?;
        file.sync_all().map_err(|source| file_error("syncing", path, source))
    }

    fn sync_parent(path: &Path) -> Result<(), VaultError> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Self::sync_folder(parent),
            _ => Self::sync_folder(Path::new(".")),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place of the house that opens data-folder files")]
    fn opened(options: &OpenOptions, path: &Path, doing: &'static str) -> Result<File, VaultError> {
        options.open(path).map_err(|source| file_error(doing, path, source))
    }
}

/// An error of one file, with what was being done to it.
pub(crate) fn file_error(doing: &'static str, path: &Path, source: std::io::Error) -> VaultError {
    VaultError::File { doing, path: path.to_path_buf(), source }
}

/// What a disk writes whole or not at all, at the least, in bytes.
pub(crate) const SECTOR_BYTES: usize = 512;

/// Whether a piece of a file that does not verify is one that a power cut left half on the disk: the file has its length
/// already, and what lies in one sector, or all of it, is zeros. `begin` is where in the file it begins.
pub(crate) fn has_lost_a_sector(piece: &[u8], begin: usize) -> bool {
    let in_first = (begin.next_multiple_of(SECTOR_BYTES) - begin).min(piece.len());
    let is_zeros = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| *byte == 0);
    piece.split_at_checked(in_first).is_some_and(|(first, second)| is_zeros(first) || is_zeros(second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_made_once_replaced_whole_and_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring");
        Disk::create(&path, b"one").unwrap();
        assert!(matches!(Disk::create(&path, b"two"), Err(VaultError::File { doing: "creating", .. })));
        Disk::replace(&path, b"three").unwrap();
        assert_eq!(Disk::read(&path).unwrap().unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays behind");
    }

    #[test]
    fn wiping_reaches_the_old_bytes_where_they_lay() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other_name) = (folder.path().join("ring"), folder.path().join("still-there"));
        Disk::create(&path, b"old key").unwrap();
        fs::hard_link(&path, &other_name).unwrap();
        Disk::replace_and_wipe(&path, b"new key").unwrap();
        assert_eq!(Disk::read(&path).unwrap().unwrap(), b"new key");
        assert_eq!(Disk::read(&other_name).unwrap().unwrap(), [0; 7]);
    }

    #[test]
    fn appending_cuts_what_lay_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        Disk::create(&path, b"head and a longer torn tail").unwrap();
        Disk::append(&mut Disk::open_to_append(&path).unwrap(), &path, 4, b", entry").unwrap();
        assert_eq!(Disk::read(&path).unwrap().unwrap(), b"head, entry");
    }

    #[test]
    fn a_missing_file_is_none() {
        assert!(Disk::read(Path::new("/nonexistent/floor")).unwrap().is_none());
    }
}
