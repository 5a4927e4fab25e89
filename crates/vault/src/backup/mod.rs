//! Backup and restore: the rows of the store as logical streams, data and keys apart, of one reading of the engine.
//!
//! A *data stream* holds the rows of all keyspaces but `keys`; a *key stream* the rows of `keys`, the key ring (sealed under
//! the root key, which is never in a backup) and the tokens of those who left. Everything in them is ciphertext as it lies
//! in the store, and the house signs what it gives out. The files of who was erased (tombstones) and of what was taken back
//! (narrowings) are in no stream: they only grow, and are copied beside it.
//!
//! Reading order: `frame` (bytes with checks) → `stream` (what is in them) → [`Source`] (an open house gives its streams
//! out) → `merge` (a full stream and what changed since, as one) → [`Shelf`] and [`take`] (folders of streams) →
//! `note` (when it was last done) → `opening` (does every record open) → [`restore`] (a new data folder, with everybody taken out who must not come back)
//!
//! Deliberately not: sockets (the program carries the bytes), the root key, and when a backup is due.

mod frame;
mod merge;
mod note;
mod opening;
mod restore;
mod shelf;
mod source;
mod stream;
mod take;
#[cfg(test)]
mod tests;

pub use note::{BACKUP_DUE_DAYS, BACKUP_GONE_DAYS, BackupNote};
pub use restore::{Drilled, Plan, Restored, drill, restore};
#[cfg(test)]
pub(crate) use restore::{Fate, fate};
pub use shelf::{Beside, Shelf};
pub use source::Source;
pub use take::{Extent, Taken, take};

#[cfg(test)]
pub(crate) use stream::vector;

/// How long a key stream is kept, in days: this long somebody who holds one, and the root key, can read an older data
/// stream. A data stream may be kept for any time.
pub const KEY_BACKUP_DAYS: i32 = 7;
