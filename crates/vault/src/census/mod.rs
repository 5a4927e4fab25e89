//! Responsible for the search after an erasure: does anything that was left behind, together with every key that can be
//! found, still say something about the person?
//!
//! Three questions, each of its own: [`search`] looks through every byte of files for the person's words in many
//! spellings; [`Census`] collects keys and tries all of them on the person's noted rows and records; [`search_own_memory`]
//! looks for the person's key bytes in this process, given only as hashes.
//!
//! Reading order: [`needle`] (what is looked for, in which spellings) → `stream` (one pass over bytes, into what is
//! compressed) → [`walk`] (folders) → [`reach`] (keys, rows, records) → [`memory`].
//!
//! Deliberately not: blocks of the disk that no file names any more, other compressions than gzip, zip and zstd, and
//! freed memory that held values: those are named as out of reach wherever a census is shown.
//!
//! To add one more spelling: a variant in [`Spelling`] and its bytes in [`needle`]. One more compression: a variant in
//! [`Wrapping`] with its magic bytes, and its decoder in `stream`.

pub mod memory;
pub mod needle;
pub mod reach;
mod stream;
pub mod walk;

pub use memory::{MemoryNeedle, search_own_memory};
pub use needle::{Needle, Spelling};
pub use reach::{Census, FoundRing, NotedRecord, NotedRow, Notes, Reach, Reached};
pub use walk::{Finding, Layer, Searched, Unread, Wrapping, search};

#[cfg(test)]
mod tests;
