//! Responsible for the chain of batches: each carries its number and the hash of the one before, and is a leaf of the
//! one log. Verified when the house is opened, because an engine's own recovery can take a damaged batch in the middle
//! of its journal for a torn tail and silently drop what was acknowledged after it.
//!
//! Rows (house keyspace): `\0chain` · number → digest, entries root, hash; `\0node` · level · index → hash; `\0entries` ·
//! number → its link's hash and the hashes of its entries; `\0checkpoint` → the newest signed checkpoint. All links are
//! kept, because each is what anybody needs to make a leaf of the log anew; opening verifies the newest [`LINKS_VERIFIED`],
//! `fsck` all of them. Beside the store, the file `head` says how far the chain was last seen to reach.
//!
//! Deliberately not: what an entry says, who gets its proof (`receipt`), or how the log is handed out (`tile`).

use crate::VaultError;
use crate::disk::{Disk, file_error};
use crate::engine::{EngineSnapshot, Keyspace, Op};
use crate::key::HouseKeys;
use crate::log::{
    Checkpoint, Hash, LogLeaf, Node, Tree, consistency, inclusion, is_consistent, leaf_hash, root_of, sha256,
};
use aws_lc_rs::digest::{Context, SHA256};
use model::HouseId;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many of the newest links are verified at opening.
const LINKS_VERIFIED: u64 = 1_024;

/// Bytes of a batch that are hashed in one go.
const DIGESTED_TOGETHER: usize = 16 * 1024;

/// How the data of a leaf begins: one batch.
const LEAF: &[u8] = b"fineline batch 1";

pub(crate) const CHAIN: &[u8] = b"\0chain";
pub(crate) const NODE: &[u8] = b"\0node";
pub(crate) const ENTRIES: &[u8] = b"\0entries";
pub(crate) const CHECKPOINT: &[u8] = b"\0checkpoint";

/// Why one entry is in the log: from the entry to its batch, from the batch to a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) batch: u64,
    pub(crate) chain: Hash,
    pub(crate) index: u64,
    pub(crate) n_entries: u64,
    pub(crate) entry_path: Vec<Hash>,
    pub(crate) log_path: Vec<Hash>,
    pub(crate) checkpoint: String,
}

impl Proof {
    fn new(
        batch: u64,
        link: &Link,
        entries: &[Hash],
        index: usize,
        log_path: Vec<Hash>,
        checkpoint: String,
    ) -> Option<Self> {
        let (index, n_entries) = (index as u64, entries.len() as u64);
        if index >= n_entries {
            return None;
        }
        let (mut nodes, mut tree) = (std::collections::BTreeMap::new(), Tree::default());
        for entry in entries {
            tree.append(*entry, |node, hash| {
                nodes.insert(node, hash);
            });
        }
        let entry_path = inclusion(index, n_entries, &mut |node| nodes.get(&node).copied().ok_or(())).ok()?;
        Some(Self { batch, chain: link.hash, index, n_entries, entry_path, log_path, checkpoint })
    }

    /// The log leaf that this proof leads an entry to.
    pub(crate) fn leaf(&self, entry: LogLeaf) -> Option<Hash> {
        let entries_root = crate::log::root_from_path(entry.0, self.index, self.n_entries, &self.entry_path)?;
        Some(batch_leaf(self.batch, &self.chain, &entries_root))
    }
}

/// One link of the chain, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) digest: Hash,
    pub(crate) entries_root: Hash,
    pub(crate) hash: Hash,
}

impl Link {
    pub(crate) fn new(before: &Hash, number: u64, digest: Hash, entries_root: Hash) -> Self {
        let hash = sha256(&[b"fineline chain 1", before, &number.to_be_bytes(), &digest, &entries_root]);
        Self { digest, entries_root, hash }
    }

    fn to_row(self) -> Vec<u8> {
        [self.digest, self.entries_root, self.hash].concat()
    }

    pub(crate) fn from_row(row: &[u8]) -> Option<Self> {
        let (digest, rest) = row.split_first_chunk()?;
        let (entries_root, rest) = rest.split_first_chunk()?;
        Some(Self { digest: *digest, entries_root: *entries_root, hash: rest.try_into().ok()? })
    }
}

pub(crate) fn batch_leaf(number: u64, chain: &Hash, entries_root: &Hash) -> Hash {
    leaf_hash(&leaf_data(number, chain, entries_root))
}

/// What is hashed as the leaf of a batch.
pub(crate) fn leaf_data(number: u64, chain: &Hash, entries_root: &Hash) -> Vec<u8> {
    [LEAF, &number.to_be_bytes(), chain, entries_root].concat()
}

/// The number that the data of a leaf says; `None` when it is not the data of a leaf.
pub(crate) fn leaf_number(data: &[u8]) -> Option<u64> {
    let (number, rest) = data.strip_prefix(LEAF)?.split_first_chunk::<8>()?;
    (rest.len() == 64).then(|| u64::from_be_bytes(*number))
}

/// The end of the chain, held by the committer.
pub(crate) struct Chain {
    number: u64,
    hash: Hash,
    tree: Tree,
    root: Hash,
    origin: String,
    keys: Arc<HouseKeys>,
}

impl Chain {
    /// Reads and verifies the end of the chain: no link missing, each on the one before, the log's leaves and root those
    /// that were signed.
    pub(crate) fn open(
        snapshot: &dyn EngineSnapshot,
        keys: Arc<HouseKeys>,
        house: &HouseId,
    ) -> Result<Self, VaultError> {
        let origin = format!("fineline/{house}");
        let mut links = Vec::new();
        for row in
            snapshot.scan_back(Keyspace::House, CHAIN).take(usize::try_from(LINKS_VERIFIED).unwrap_or(usize::MAX))
        {
            let (key, row) = row?;
            links.push(
                link_number(&key)
                    .zip(Link::from_row(&row))
                    .ok_or_else(|| damaged("a link of the chain cannot be read"))?,
            );
        }
        links.reverse();
        let Some((number, last)) = links.last().copied() else {
            return match snapshot.get(Keyspace::House, CHECKPOINT)? {
                None => Ok(Self {
                    number: 0,
                    hash: [0; 32],
                    tree: Tree::default(),
                    root: Tree::default().root(),
                    origin,
                    keys,
                }),
                Some(_) => Err(damaged("the chain of batches is missing")),
            };
        };
        let expected_links = number.min(LINKS_VERIFIED);
        if links.len() as u64 != expected_links {
            return Err(damaged(&format!("{} of the last {expected_links} batches are there", links.len())));
        }
        let mut before = (number == expected_links).then_some([0; 32]);
        for (at, (each, link)) in (number - expected_links + 1..).zip(&links) {
            let follows =
                before.is_none_or(|before| Link::new(&before, *each, link.digest, link.entries_root) == *link);
            let leaf = node(snapshot, Node { level: 0, index: each - 1 })?;
            if at != *each || !follows || leaf != batch_leaf(*each, &link.hash, &link.entries_root) {
                return Err(damaged(&format!("batch {at} does not follow the one before")));
            }
            before = Some(link.hash);
        }
        let tree = Tree::load(number, |at| node(snapshot, at))?;
        let note = snapshot.get(Keyspace::House, CHECKPOINT)?.and_then(|note| String::from_utf8(note).ok());
        let expected = Checkpoint { origin: origin.clone(), size: number, root: tree.root() };
        if note.and_then(|note| Checkpoint::verify(&note, keys.receipt.public())) != Some(expected) {
            return Err(damaged("the log is not the one that was signed"));
        }
        Ok(Self { number, hash: last.hash, root: tree.root(), tree, origin, keys })
    }

    /// Goes to where another node brought the chain: its end as stored, which must have grown out of what was known of it.
    pub(crate) fn follow(&mut self, snapshot: &dyn EngineSnapshot, known: (u64, Hash)) -> Result<(), VaultError> {
        let Some(note) = checkpoint(snapshot)? else {
            return if known.0 == 0 { Ok(()) } else { Err(damaged("the log is missing")) };
        };
        let size = Checkpoint::read(&note).ok_or_else(|| damaged("the checkpoint cannot be read"))?.size;
        let tree = Tree::load(size, |at| node(snapshot, at))?;
        let expected = Checkpoint { origin: self.origin.clone(), size, root: tree.root() };
        if Checkpoint::verify(&note, self.keys.receipt.public()) != Some(expected) {
            return Err(damaged("the log is not the one that was signed"));
        }
        let last = link(snapshot, size)?.ok_or_else(|| damaged("the newest batch is missing"))?;
        let leaf = node(snapshot, Node { level: 0, index: size.saturating_sub(1) })?;
        let is_ours = leaf == batch_leaf(size, &last.hash, &last.entries_root);
        if !is_ours || !grew_out_of(known, (size, tree.root()), snapshot)? {
            return Err(damaged(&format!("the log is not the one that was seen at batch {}", known.0)));
        }
        (self.number, self.hash, self.root, self.tree) = (size, last.hash, tree.root(), tree);
        Ok(())
    }

    /// Adds the rows of the next batch to its own ops; its number. If the batch is not committed, this chain must not be used again.
    pub(crate) fn next(&mut self, ops: &mut Vec<Op>, entries: &[LogLeaf]) -> Result<u64, VaultError> {
        let entries: Vec<Hash> = entries.iter().map(|entry| entry.0).collect();
        let number = self.number + 1;
        let link = Link::new(&self.hash, number, digest(ops), root_of(&entries));
        let put = |key: &[u8], rest: &[u8], value: Vec<u8>| Op::Put(Keyspace::House, [key, rest].concat(), value);
        ops.push(put(CHAIN, &number.to_be_bytes(), link.to_row()));
        if !entries.is_empty() {
            ops.push(put(ENTRIES, &number.to_be_bytes(), [link.hash.as_slice(), &entries.concat()].concat()));
        }
        let leaf = batch_leaf(number, &link.hash, &link.entries_root);
        self.tree.append(leaf, |node, hash| ops.push(put(NODE, &node_key(node), hash.to_vec())));
        (self.number, self.hash, self.root) = (number, link.hash, self.tree.root());
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: number, root: self.root };
        ops.push(put(CHECKPOINT, b"", checkpoint.sign(&self.keys.receipt)?.into_bytes()));
        Ok(number)
    }

    /// How many batches were committed.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The root of the log over all of them.
    pub(crate) fn root(&self) -> Hash {
        self.root
    }
}

/// The proof of an entry of any earlier batch, up to the newest checkpoint. `None` when there is no such entry.
pub(crate) fn proof_of(snapshot: &dyn EngineSnapshot, batch: u64, index: usize) -> Result<Option<Proof>, VaultError> {
    let Some(row) = snapshot.get(Keyspace::House, &[ENTRIES, &batch.to_be_bytes()].concat())? else {
        return Ok(None);
    };
    let (chain, hashes) = row.split_first_chunk().ok_or_else(|| damaged("the entries of a batch cannot be read"))?;
    let entries: Vec<Hash> = hashes.chunks(32).filter_map(|hash| hash.try_into().ok()).collect();
    let Some(note) = checkpoint(snapshot)? else { return Ok(None) };
    let size = Checkpoint::read(&note).ok_or_else(|| damaged("the checkpoint cannot be read"))?.size;
    let log_path = inclusion(batch - 1, size, &mut |at| node(snapshot, at))?;
    let link = Link { digest: [0; 32], entries_root: root_of(&entries), hash: *chain };
    Ok(Proof::new(batch, &link, &entries, index, log_path, note))
}

/// The newest signed checkpoint.
pub(crate) fn checkpoint(snapshot: &dyn EngineSnapshot) -> Result<Option<String>, VaultError> {
    Ok(snapshot.get(Keyspace::House, CHECKPOINT)?.and_then(|note| String::from_utf8(note).ok()))
}

/// The number in the key of a link.
pub(crate) fn link_number(key: &[u8]) -> Option<u64> {
    key.strip_prefix(CHAIN)?.try_into().ok().map(u64::from_be_bytes)
}

/// The link of one batch.
pub(crate) fn link(snapshot: &dyn EngineSnapshot, number: u64) -> Result<Option<Link>, VaultError> {
    let row = snapshot.get(Keyspace::House, &[CHAIN, &number.to_be_bytes()].concat())?;
    Ok(row.and_then(|row| Link::from_row(&row)))
}

pub(crate) fn node_key(node: Node) -> [u8; 9] {
    let mut key = [node.level; 9];
    for (target, source) in key.iter_mut().skip(1).zip(node.index.to_be_bytes()) {
        *target = source;
    }
    key
}

pub(crate) fn node(snapshot: &dyn EngineSnapshot, at: Node) -> Result<Hash, VaultError> {
    let row = snapshot.get(Keyspace::House, &[NODE, &node_key(at)].concat())?;
    row.and_then(|row| row.try_into().ok()).ok_or_else(|| damaged("a node of the log is missing"))
}

fn digest(ops: &[Op]) -> Hash {
    let mut context = Context::new(&SHA256);
    // Most parts are a few bytes: hashed together, they cost what their bytes cost.
    let mut together = Vec::with_capacity(2 * DIGESTED_TOGETHER);
    let mut part = |bytes: &[u8]| {
        together.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        together.extend_from_slice(bytes);
        if together.len() >= DIGESTED_TOGETHER {
            context.update(&together);
            together.clear();
        }
    };
    for op in ops {
        match op {
            Op::Put(keyspace, key, value) => {
                part(&[1, *keyspace as u8]);
                part(key);
                part(value);
            }
            Op::Delete(keyspace, key) => {
                part(&[0, *keyspace as u8]);
                part(key);
            }
        }
    }
    context.update(&together);
    let mut out = [0; 32];
    for (target, source) in out.iter_mut().zip(context.finish().as_ref()) {
        *target = *source;
    }
    out
}

fn damaged(what: &str) -> VaultError {
    VaultError::Damaged { keyspace: Keyspace::House.name(), what: what.to_owned() }
}

/// Whether the log as it is stored grew out of what was seen of it; both as size and root.
pub(crate) fn grew_out_of(
    seen: (u64, Hash),
    now: (u64, Hash),
    snapshot: &dyn EngineSnapshot,
) -> Result<bool, VaultError> {
    if seen.0 > now.0 {
        return Ok(false);
    }
    let path = consistency(seen.0, now.0, &mut |at| node(snapshot, at))?;
    Ok(is_consistent(seen, now, &path))
}

/// The file `head`: how far the chain reached when somebody last looked. Written after each commit without a sync of its
/// own, so it may be behind the store and never ahead of it; a store that is behind *it* has lost batches.
pub(crate) struct Head {
    path: PathBuf,
    file: std::fs::File,
}

/// Two slots, written in turn, so that a torn write leaves the other: size 8 · root of the log 32 · check 8.
const SLOT_BYTES: usize = 48;

impl Head {
    /// Opens the file, making it when absent.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        Ok(Self { path: path.to_path_buf(), file: Disk::open_or_create(path)? })
    }

    /// Refuses a chain that ends before what was seen, or whose log did not grow out of it.
    pub(crate) fn check(&self, now: (u64, Hash), snapshot: &dyn EngineSnapshot) -> Result<(), VaultError> {
        Self::check_seen(self.seen()?, now, snapshot)
    }

    /// The same with what stood in the file earlier: other nodes may write on.
    pub(crate) fn check_seen(
        seen: Option<(u64, Hash)>,
        now: (u64, Hash),
        snapshot: &dyn EngineSnapshot,
    ) -> Result<(), VaultError> {
        let Some(seen) = seen else { return Ok(()) };
        if seen.0 > now.0 {
            let first = now.0 + 1;
            return Err(damaged(&format!("batches {first} to {} were acknowledged and are missing", seen.0)));
        }
        match grew_out_of(seen, now, snapshot)? {
            true => Ok(()),
            false => Err(damaged(&format!("the log is not the one that was seen at batch {}", seen.0))),
        }
    }

    /// Notes the end of the chain, after its batch was synced.
    pub(crate) fn note(&self, chain: &Chain) -> Result<(), VaultError> {
        let mut slot = [chain.number.to_be_bytes().as_slice(), &chain.root].concat();
        let check = sha256(&[&slot]);
        slot.extend(check.iter().take(8));
        let at = (chain.number % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, at).map_err(|source| file_error("writing", &self.path, source))
    }

    /// How far the chain was seen to reach.
    pub(crate) fn seen(&self) -> Result<Option<(u64, Hash)>, VaultError> {
        let mut newest = None;
        for at in [0, SLOT_BYTES as u64] {
            let mut slot = [0; SLOT_BYTES];
            match self.file.read_exact_at(&mut slot, at) {
                Ok(()) => newest = newest.max(from_slot(&slot)),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(file_error("reading", &self.path, error)),
            }
        }
        Ok(newest)
    }
}

fn from_slot(slot: &[u8; SLOT_BYTES]) -> Option<(u64, Hash)> {
    let (number, rest) = slot.split_first_chunk::<8>()?;
    let (hash, check) = rest.split_first_chunk::<32>()?;
    let whole = sha256(&[number, hash]);
    whole.starts_with(check).then(|| (u64::from_be_bytes(*number), *hash))
}

#[cfg(test)]
mod tests;
