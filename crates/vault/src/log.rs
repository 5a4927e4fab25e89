//! Responsible for the one log as a Merkle tree (RFC 6962): hashing, appending with stored nodes, proofs, and the signed
//! checkpoints (C2SP signed note) by which anybody can tell that nothing was taken out.
//!
//! A leaf of the log is one committed batch; a leaf of the batch is one entry, hashed with a salt, so that after an
//! erasure it links to nobody.
//!
//! Deliberately not: what is entered (the committer), and the receipt that carries a proof (`receipt`).

use crate::key::Signer;
use crate::{VaultError, note};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A SHA-256 hash.
pub(crate) type Hash = [u8; 32];

/// Bytes of the salt of one entry.
pub(crate) const SALT_BYTES: usize = 16;

/// Levels of a tree: enough for 2^63 batches.
const LEVELS_MAX: usize = 64;

/// SHA-256 over parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (target, source) in out.iter_mut().zip(context.finish().as_ref()) {
        *target = *source;
    }
    out
}

/// RFC 6962 § 2.1: the hash of a leaf.
pub(crate) fn leaf_hash(data: &[u8]) -> Hash {
    sha256(&[&[0], data])
}

/// RFC 6962 § 2.1: the hash of two subtrees.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// One entry of a batch, as it stands in the log: salted, so that nobody can guess what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLeaf(pub(crate) Hash);

impl LogLeaf {
    /// Commits to bytes that are stored elsewhere, beside the salt.
    pub(crate) fn commit(salt: &[u8; SALT_BYTES], entry: &[u8]) -> Self {
        Self(sha256(&[&[0], salt, entry]))
    }
}

/// A complete subtree by its level (leaves: 0) and its number from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) level: u8,
    pub(crate) index: u64,
}

/// A growing tree: its size and the hashes of its complete subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// How many leaves it has.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// A tree of `size` leaves, with nodes from where they are stored.
    pub(crate) fn load<E>(size: u64, mut node: impl FnMut(Node) -> Result<Hash, E>) -> Result<Self, E> {
        let mut peaks = Vec::new();
        let mut begin = 0;
        for level in (0..u8::try_from(LEVELS_MAX).unwrap_or(u8::MAX)).rev().filter(|level| size >> level & 1 == 1) {
            peaks.push(node(Node { level, index: begin >> level })?);
            begin += 1 << level;
        }
        Ok(Self { size, peaks })
    }

    /// RFC 6962 Merkle tree hash.
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return sha256(&[]) };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Appends a leaf; gives each subtree that this completes to `store`. Returns the inclusion path of the new leaf.
    pub(crate) fn append(&mut self, leaf: Hash, mut store: impl FnMut(Node, Hash)) -> Vec<Hash> {
        let path = self.peaks.iter().rev().copied().collect();
        let (mut node, mut hash) = (Node { level: 0, index: self.size }, leaf);
        store(node, hash);
        while node.index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            node = Node { level: node.level + 1, index: node.index >> 1 };
            store(node, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        path
    }
}

/// The root of a short list of leaves (one batch).
pub(crate) fn root_of(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.append(*leaf, |_, _| {});
    }
    tree.root()
}

/// RFC 6962 § 2.1.1: the path of leaf `index` in a tree of `size` leaves, nearest sibling first.
pub(crate) fn inclusion<E>(
    index: u64,
    size: u64,
    node: &mut impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut begin, mut end, mut path) = (0, size, Vec::new());
    while end - begin > 1 && index < size {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(range_hash(middle, end, node)?);
            end = middle;
        } else {
            path.push(range_hash(begin, middle, node)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// RFC 6962 § 2.1.2: why the tree of `first` leaves is the beginning of the tree of `second`.
pub(crate) fn consistency<E>(
    first: u64,
    second: u64,
    node: &mut impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if first == 0 || first >= second {
        return Ok(Vec::new());
    }
    let (mut begin, mut end, mut path) = (0, second, Vec::new());
    while first < end {
        let middle = begin + split(end - begin);
        if first <= middle {
            path.push(range_hash(middle, end, node)?);
            end = middle;
        } else {
            path.push(range_hash(begin, middle, node)?);
            begin = middle;
        }
    }
    if begin > 0 {
        path.push(range_hash(begin, end, node)?);
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `n` (which is at least 2).
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The hash over leaves `begin..end`, where `begin` is a multiple of the largest power of two below their number.
fn range_hash<E>(begin: u64, end: u64, node: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let (mut begin, mut peaks) = (begin, Vec::new());
    while begin < end {
        let level = 63 - (end - begin).leading_zeros();
        peaks.push(node(Node { level: u8::try_from(level).unwrap_or(u8::MAX), index: begin >> level })?);
        begin += 1 << level;
    }
    Ok(Tree { size: end, peaks }.root())
}

/// RFC 9162 § 2.1.3.2: the root that a path leads to; `None` when the path cannot be one.
pub(crate) fn root_from_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size || path.len() > LEVELS_MAX {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// RFC 9162 § 2.1.4.2: whether `path` shows that the tree with root `first.1` is the beginning of the one with `second.1`.
pub(crate) fn is_consistent(first: (u64, Hash), second: (u64, Hash), path: &[Hash]) -> bool {
    if first.0 == 0 || first.0 >= second.0 {
        return path.is_empty() && (first.0 == 0 || first == second);
    }
    let mut path = path.iter();
    let mut seed = first.1;
    if !first.0.is_power_of_two() {
        let Some(next) = path.next() else { return false };
        seed = *next;
    }
    let (mut node, mut last) = (first.0 - 1, second.0 - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (seed, seed);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            (old, new) = (node_hash(sibling, &old), node_hash(sibling, &new));
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old == first.1 && new == second.1
}

/// What a checkpoint says: the log called `origin` has this many leaves and this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

impl Checkpoint {
    fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }

    /// As a signed note.
    pub(crate) fn sign(&self, signer: &Signer) -> Result<String, VaultError> {
        note::sign(&self.origin, &self.body(), signer)
    }

    /// Reads a signed note without asking who signed it.
    pub(crate) fn read(note: &str) -> Option<Self> {
        let body = note::body(note)?;
        let mut lines = body.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().ok()?,
            root: BASE64_STANDARD.decode(root).ok()?.try_into().ok()?,
        };
        (lines.next().is_none() && checkpoint.body() == body).then_some(checkpoint)
    }

    /// Reads a signed note that this key signed.
    pub(crate) fn verify(note: &str, public: &[u8]) -> Option<Self> {
        let checkpoint = Self::read(note)?;
        note::verify(note, &checkpoint.origin, public).is_some().then_some(checkpoint)
    }
}

#[cfg(test)]
mod tests;
