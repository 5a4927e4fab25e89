//! Responsible for verifying a packed log with nothing but its files: every leaf from the bundles, every stored hash, the root
//! and its signature, and that older checkpoints are beginnings of it. No house, no store, no key but the public ones.
//!
//! What it does not show: what an entry says (its leaf is salted), whether a batch did what it was for, and whether another
//! log was shown to somebody else; for the last, compare checkpoints, or keep a witness.
//!
//! Deliberately not: opening files (the program hands in a reader), or receipts (`receipt`).

use crate::chain::leaf_number;
use crate::log::{Checkpoint, Hash, Tree, leaf_hash};
use crate::receipt::key_set;
use crate::tile::{TILE_WIDTH, TileAddress, TileKind};
use crate::witness;
use std::collections::BTreeMap;

/// A log that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLog {
    /// What the log calls itself.
    pub origin: String,
    /// How many batches.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The name of the key that signed it (RFC 7638 thumbprint).
    pub kid: String,
    /// Older checkpoints and witness notes that were shown to be beginnings of it.
    pub n_older: usize,
}

/// Why a log does not hold.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The keys are no JWK set.
    #[error("the keys are not a JWK set with an Ed25519 key")]
    Keys,
    /// The checkpoint cannot be read, or none of the keys signed it.
    #[error("the checkpoint is not one that any of these keys signed")]
    Checkpoint,
    /// A file is not there, or has another size.
    #[error("{address} is missing, or not as long as it must be")]
    Missing {
        /// Which.
        address: TileAddress,
    },
    /// A file could not be read.
    #[error("reading {address}")]
    Unread {
        /// Which.
        address: TileAddress,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The data of a leaf is not that of its batch.
    #[error("{address} does not say batch {number} where it must stand")]
    Leaf {
        /// In which bundle.
        address: TileAddress,
        /// Which batch.
        number: u64,
    },
    /// A stored hash is not the one that its leaves give.
    #[error("hash {at} of {address} is not the one that the batches give")]
    Hash {
        /// In which tile.
        address: TileAddress,
        /// Which hash of the tile, from 0.
        at: u64,
    },
    /// All of it fits together, and is not what was signed.
    #[error("the batches give another root than the one that was signed")]
    Root,
    /// An older checkpoint cannot be read or was signed by somebody else.
    #[error("what is to be a beginning of the log is neither a checkpoint nor a witness file that these keys signed")]
    Older,
    /// An older checkpoint is not a beginning of this log.
    #[error("the log does not begin with what was seen of it at batch {size}: it was changed, or set back")]
    NotABeginning {
        /// How long the log was then.
        size: u64,
    },
}

/// How many batches a checkpoint says that the log has; whoever signed it. `None` when it is no checkpoint.
#[must_use]
pub fn log_size(checkpoint: &str) -> Option<u64> {
    Checkpoint::read(checkpoint).map(|checkpoint| checkpoint.size)
}

/// Verifies a log from its checkpoint, its keys (JWK set) and its tiles, and that `older` (checkpoints or witness files) are
/// beginnings of it. Of a witness file that tells of a restore, what it saw since then counts.
///
/// # Errors
/// [`LogError`] for the first thing that does not hold.
pub fn verify_log(
    checkpoint: &str,
    keys: &str,
    older: &[&str],
    read: impl FnMut(&TileAddress) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>,
) -> Result<VerifiedLog, LogError> {
    let keys = key_set(keys).ok_or(LogError::Keys)?;
    let signed = keys.iter().find_map(|key| Some((Checkpoint::verify(checkpoint, &key.public)?, &key.kid)));
    let (signed, kid) = signed.ok_or(LogError::Checkpoint)?;
    let mut seen: BTreeMap<u64, Vec<Hash>> = BTreeMap::new();
    let mut n_older = 0usize;
    for text in older {
        let notes =
            keys.iter().find_map(|key| older_notes(text, &signed.origin, &key.public)).ok_or(LogError::Older)?;
        for (size, root) in notes {
            seen.entry(size).or_default().push(root);
            n_older = n_older.saturating_add(1);
        }
    }
    let mut tiles = Tiles { size: signed.size, read, held: BTreeMap::new() };
    let mut tree = Tree::default();
    begins(&mut seen, &tree)?;
    for address in TileAddress::all_of(signed.size).filter(|address| address.kind == TileKind::Entries) {
        for leaf in tiles.leaves(address)? {
            let mut grown = Vec::new();
            tree.append(leaf, |node, hash| grown.push((node, hash)));
            grown.into_iter().try_for_each(|(node, hash)| tiles.check(node.level, node.index, &hash))?;
            begins(&mut seen, &tree)?;
        }
    }
    if tree.root() != signed.root {
        return Err(LogError::Root);
    }
    match seen.keys().next() {
        Some(size) => Err(LogError::NotABeginning { size: *size }),
        None => {
            Ok(VerifiedLog { origin: signed.origin, size: signed.size, root: signed.root, kid: kid.clone(), n_older })
        }
    }
}

/// Sizes and roots that a checkpoint or a witness file says.
fn older_notes(text: &str, origin: &str, public: &[u8]) -> Option<Vec<(u64, Hash)>> {
    if let Some(checkpoint) = Checkpoint::verify(text, public).filter(|checkpoint| checkpoint.origin == origin) {
        return Some(vec![(checkpoint.size, checkpoint.root)]);
    }
    let seen = witness::verified(text, &format!("{origin}/witness"), public)?;
    let since = seen.iter().rposition(|seen| seen.restored_from.is_some()).unwrap_or(0);
    Some(seen.iter().skip(since).map(|seen| (seen.size, seen.root)).collect())
}

/// Takes out what was seen at the size that the tree has now.
fn begins(seen: &mut BTreeMap<u64, Vec<Hash>>, tree: &Tree) -> Result<(), LogError> {
    match seen.remove(&tree.size()) {
        Some(roots) if roots.iter().any(|root| *root != tree.root()) => {
            Err(LogError::NotABeginning { size: tree.size() })
        }
        _ => Ok(()),
    }
}

/// The files of a log, with the tile of each level that the tree has reached.
struct Tiles<R> {
    size: u64,
    read: R,
    held: BTreeMap<u8, (TileAddress, Vec<u8>)>,
}

impl<R> Tiles<R>
where
    R: FnMut(&TileAddress) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>,
{
    fn get(&mut self, address: TileAddress) -> Result<Vec<u8>, LogError> {
        let read = (self.read)(&address).map_err(|source| LogError::Unread { address, source })?;
        read.ok_or(LogError::Missing { address })
    }

    /// The leaf hashes of a bundle; each says the batch that must stand there.
    fn leaves(&mut self, address: TileAddress) -> Result<Vec<Hash>, LogError> {
        let bytes = self.get(address)?;
        let (mut rest, mut leaves) = (bytes.as_slice(), Vec::new());
        for index in (address.first()..).take(address.width.into()) {
            let (length, more) = rest.split_first_chunk::<2>().ok_or(LogError::Missing { address })?;
            let split = more.split_at_checked(u16::from_be_bytes(*length).into());
            let (leaf, more) = split.ok_or(LogError::Missing { address })?;
            let number = index.saturating_add(1);
            if leaf_number(leaf) != Some(number) {
                return Err(LogError::Leaf { address, number });
            }
            leaves.push(leaf_hash(leaf));
            rest = more;
        }
        if rest.is_empty() { Ok(leaves) } else { Err(LogError::Missing { address }) }
    }

    /// Whether the stored hash of a node is this one. Seven of eight levels are not stored.
    fn check(&mut self, tree_level: u8, index: u64, hash: &Hash) -> Result<(), LogError> {
        if !tree_level.is_multiple_of(8) {
            return Ok(());
        }
        let (level, width) = (tree_level / 8, u64::from(TILE_WIDTH));
        let (tile, at) = (index / width, index % width);
        if at == 0 {
            let left = (self.size >> tree_level).saturating_sub(tile.saturating_mul(width));
            let address = TileAddress {
                kind: TileKind::Hashes { level },
                index: tile,
                width: u16::try_from(left.min(width)).unwrap_or(TILE_WIDTH),
            };
            let bytes = self.get(address)?;
            if bytes.len() != usize::from(address.width) * hash.len() {
                return Err(LogError::Missing { address });
            }
            self.held.insert(level, (address, bytes));
        }
        let Some((address, bytes)) = self.held.get(&level) else { return Err(LogError::Root) };
        let stored = bytes.chunks_exact(hash.len()).nth(usize::try_from(at).unwrap_or(usize::MAX));
        match stored {
            Some(stored) if stored == hash => Ok(()),
            _ => Err(LogError::Hash { address: *address, at }),
        }
    }
}
