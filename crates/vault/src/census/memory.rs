//! Responsible for looking for key bytes in this process's own memory, without ever holding them: what is looked for
//! comes as two hashes, made elsewhere.
//!
//! A needle is 32 bytes. [`MemoryNeedle`] carries 32 bits of a salted hash of its first 8 bytes, which every byte offset
//! of memory is compared with (no false negative, one chance hit in four billion), and the SHA-256 of all 32, which
//! confirms. Neither gives the bytes back.
//!
//! Deliberately not: registers, memory that was swapped out, and other processes.

use crate::disk::Disk;
use crate::key::{KEY_BYTES, wipe};
use crate::log::sha256;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is looked for: 32 bytes, known only by hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemoryNeedle {
    /// Drawn for this search; the same for all its needles.
    pub salt: u64,
    /// Salted hash of the first 8 bytes.
    pub first: u32,
    /// SHA-256 of all 32 bytes.
    pub whole: [u8; 32],
}

impl MemoryNeedle {
    /// Made where the bytes are known: in the census, never in the process that is searched.
    #[must_use]
    pub fn new(salt: u64, bytes: &[u8; KEY_BYTES]) -> Self {
        let first = bytes.first_chunk().map_or(0, |first| mix(u64::from_le_bytes(*first), salt));
        Self { salt, first, whole: sha256(&[bytes]) }
    }
}

/// One multiplication and a fold (the finaliser of murmur3), keyed, of which only half is kept.
const fn mix(word: u64, salt: u64) -> u32 {
    let mixed = (word ^ salt).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32) as u32
}

const CHUNK_BYTES: usize = 1 << 20;

/// Which needles stand in writable private memory of this process, and how many bytes were looked through. The needles
/// of one call share a salt; one of another salt is not looked for.
///
/// # Errors
/// [`crate::VaultError::File`] when the kernel does not let a process read itself.
pub fn search_own_memory(needles: &[MemoryNeedle]) -> Result<(Vec<[u8; 32]>, u64), crate::VaultError> {
    let mut maps = String::new();
    let path = Path::new("/proc/self/maps");
    let read = Disk::open_to_read(path)?.read_to_string(&mut maps);
    read.map_err(|source| crate::disk::file_error("reading", path, source))?;
    let memory = Disk::open_to_read(Path::new("/proc/self/mem"))?;
    let filter = Filter::new(needles);
    let (mut found, mut n_bytes) = (BTreeSet::new(), 0);
    // Allocated once and wiped at the end: what it held of a key must not be found by the next search.
    let mut chunk = vec![0; CHUNK_BYTES + KEY_BYTES - 1];
    let pages = Disk::open_to_read(Path::new("/proc/self/pagemap")).ok();
    let mappings = maps.lines().filter_map(writable_private);
    for (begin, end) in mappings.flat_map(|mapping| touched(pages.as_ref(), mapping)) {
        let mut at = begin;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk.len());
            // A guard page cannot be read, and holds nothing.
            let Some(window) = chunk.get_mut(..want) else { break };
            let Ok(n_read) = memory.read_at(window, at) else { break };
            filter.look(chunk.get(..n_read).unwrap_or_default(), &mut found);
            if n_read < KEY_BYTES {
                break;
            }
            // The next window begins so that no 32 bytes are cut apart.
            let step = (n_read - (KEY_BYTES - 1)) as u64;
            n_bytes += step;
            at += step;
        }
    }
    wipe(&mut chunk);
    Ok((found.into_iter().collect(), n_bytes))
}

/// Begin and end of a map line that says `rw-p`.
fn writable_private(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (begin, end) = range.split_once('-')?;
    let range = (u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    rest.starts_with("rw-p").then_some(range)
}

/// Set in an entry of the page map when the page is in memory, or was swapped out.
const IN_USE: u64 = 0b11 << 62;

/// The parts of a mapping that were ever written to: an allocator reserves far more than it uses, and what it never touched
/// holds nothing. Without a page map: all of it.
fn touched(pages: Option<&File>, (begin, end): (u64, u64)) -> Vec<(u64, u64)> {
    let page_bytes = rustix::param::page_size() as u64;
    let n_pages = usize::try_from((end - begin) / page_bytes).unwrap_or(0);
    let mut entries = vec![0; n_pages * size_of::<u64>()];
    let at = begin / page_bytes * size_of::<u64>() as u64;
    if pages.is_none_or(|pages| pages.read_exact_at(&mut entries, at).is_err()) {
        return vec![(begin, end)];
    }
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let in_use = entries.chunks_exact(size_of::<u64>()).map(|entry| {
        let entry = entry.first_chunk().map_or(0, |entry| u64::from_ne_bytes(*entry));
        entry & IN_USE != 0
    });
    for (page, _) in (0u64..).zip(in_use).filter(|(_, in_use)| *in_use) {
        let (first, next) = (begin + page * page_bytes, begin + (page + 1) * page_bytes);
        match parts.last_mut() {
            Some(last) if last.1 == first => last.1 = next,
            _ => parts.push((first, next)),
        }
    }
    parts
}

/// A bit per 16-bit beginning of a first hash, so that nearly every offset costs one multiplication and one look.
struct Filter<'a> {
    needles: &'a [MemoryNeedle],
    salt: u64,
    bits: Vec<bool>,
}

impl<'a> Filter<'a> {
    fn new(needles: &'a [MemoryNeedle]) -> Self {
        let salt = needles.first().map_or(0, |needle| needle.salt);
        let mut bits = vec![false; 1 << 16];
        for needle in needles {
            if let Some(bit) = bits.get_mut((needle.first >> 16) as usize) {
                *bit = true;
            }
        }
        Self { needles, salt, bits }
    }

    fn look(&self, bytes: &[u8], found: &mut BTreeSet<[u8; 32]>) {
        for window in bytes.windows(KEY_BYTES) {
            let Some(first) = window.first_chunk() else { continue };
            let first = mix(u64::from_le_bytes(*first), self.salt);
            if !self.bits.get((first >> 16) as usize).copied().unwrap_or_default() {
                continue;
            }
            let mut candidates = self.needles.iter().filter(|needle| needle.first == first).peekable();
            if candidates.peek().is_some() {
                let whole = sha256(&[window]);
                found.extend(candidates.filter(|needle| needle.whole == whole).map(|needle| needle.whole));
            }
        }
    }
}
