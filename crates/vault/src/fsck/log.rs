//! The chain of batches from the first link to the last, every stored node of the tree over it, the entries of each batch, and
//! the checkpoint that was signed. When one of two things that must agree is wrong, the one that a third does not confirm is
//! named, and the other is gone on with, so that one change is one finding.

use super::{Check, hex};
use crate::VaultError;
use crate::chain::{self, CHAIN, CHECKPOINT, ENTRIES, Link, NODE, batch_leaf, link_number, node_key};
use crate::engine::Keyspace;
use crate::format::{self, LogForm};
use crate::house::House;
use crate::log::{Checkpoint, Hash, Node, Tree, root_of};

/// What an entry of the log can be.
const KINDS: [&str; 17] = [
    "acknowledge",
    "alarm",
    "breach",
    "consent",
    "decision",
    "erase",
    "handed_on",
    "hold",
    "join",
    "leaving",
    "recipient",
    "review",
    "rotate",
    "source_key",
    "staff",
    "undo",
    "wish",
];

/// Batches between two words about progress.
const PROGRESS_BATCHES: u64 = 10_000;

impl Check<'_> {
    /// Everything about the log; its root as the batches give it.
    pub(super) fn log(&mut self) -> Result<Hash, VaultError> {
        let store = std::sync::Arc::clone(&self.store);
        let (mut tree, mut before, mut next) = (Tree::default(), vec![[0; 32]], 1u64);
        for row in store.scan(Keyspace::House, CHAIN) {
            let (key, row) = row?;
            let Some((number, link)) = link_number(&key).zip(Link::from_row(&row)) else {
                self.found(Keyspace::House, hex(&key), "a link of the chain cannot be read");
                continue;
            };
            if number > next {
                self.missing_links(&mut tree, next, number)?;
                before.clear();
            }
            let expected: Vec<Link> =
                before.iter().map(|before| Link::new(before, number, link.digest, link.entries_root)).collect();
            let follows = before.is_empty() || expected.contains(&link);
            if !follows {
                self.found(Keyspace::House, format!("batch {number}"), "its link does not follow the one before");
            }
            before = expected.iter().map(|link| link.hash).chain([link.hash]).collect();
            self.leaf(&mut tree, number, batch_leaf(number, &link.hash, &link.entries_root), follows)?;
            self.entries(number, &link)?;
            next = number.saturating_add(1);
            if number.is_multiple_of(PROGRESS_BATCHES) {
                self.teller.progress("batches", number);
            }
        }
        self.checkpoint(&mut tree, next)
    }

    /// Links that are not there: their stored leaves stand for them, so that what follows can still be verified.
    fn missing_links(&mut self, tree: &mut Tree, first: u64, next: u64) -> Result<(), VaultError> {
        self.found(Keyspace::House, batches(first, next), "links of the chain are missing");
        for number in first..next {
            let Ok(leaf) = self.stored(Node { level: 0, index: number.saturating_sub(1) }) else { return Ok(()) };
            self.grow(tree, leaf)?;
        }
        Ok(())
    }

    /// Adds the leaf of a batch. Where link and stored leaf differ, the link is believed if it follows the one before.
    fn leaf(&mut self, tree: &mut Tree, number: u64, leaf: Hash, link_holds: bool) -> Result<(), VaultError> {
        let stored = self.stored(Node { level: 0, index: number.saturating_sub(1) }).ok();
        match stored {
            Some(stored) if stored != leaf && !link_holds => self.grow(tree, stored),
            Some(stored) if stored != leaf => {
                self.found(Keyspace::House, format!("batch {number}"), "its leaf in the log is another one");
                self.grow(tree, leaf)
            }
            Some(_) => self.grow(tree, leaf),
            None => {
                self.found(Keyspace::House, format!("batch {number}"), "its leaf in the log is missing");
                self.grow(tree, leaf)
            }
        }
    }

    /// Appends to the tree and compares every node above with the stored one.
    fn grow(&mut self, tree: &mut Tree, leaf: Hash) -> Result<(), VaultError> {
        let mut grown = Vec::new();
        tree.append(leaf, |node, hash| grown.push((node, hash)));
        for (node, hash) in grown.into_iter().filter(|(node, _)| node.level > 0) {
            let what = match self.stored(node) {
                Ok(stored) if stored == hash => continue,
                Ok(_) => "is not the hash of what is below it",
                Err(_) => "is missing",
            };
            self.found(Keyspace::House, format!("node {} of level {}", node.index, node.level), what);
        }
        Ok(())
    }

    fn stored(&self, node: Node) -> Result<Hash, VaultError> {
        chain::node(&*self.store, node)
    }

    /// The entries of a batch and the rows that say what kind each is.
    fn entries(&mut self, number: u64, link: &Link) -> Result<(), VaultError> {
        let record = || format!("batch {number}");
        let row = self.store.get(Keyspace::House, &[ENTRIES, &number.to_be_bytes()].concat())?;
        let Some(row) = row else {
            if link.entries_root != root_of(&[]) {
                self.found(Keyspace::House, record(), "its entries are missing");
            }
            return Ok(());
        };
        let (hash, entries) = split(&row);
        if root_of(&entries) != link.entries_root || hash != Some(link.hash) || !row.len().is_multiple_of(32) {
            self.found(Keyspace::House, record(), "its entries are not those of its link");
        }
        let mut at: Option<i64> = None;
        for (index, entry) in (0u32..).zip(&entries) {
            let row = self.store.get(Keyspace::House, &House::log_row(number, index))?;
            let form = row.map(|row| format::decode::<LogForm>("house", &row)).transpose();
            let what = match form {
                Ok(Some(form)) if *form.hash != *entry => "is not the entry that stands in the batch",
                Ok(Some(form)) if !KINDS.contains(&form.kind.as_str()) => "is of no kind that is written",
                Ok(Some(form)) if at.is_some_and(|at| at != form.at) => "has another instant than its batch",
                Ok(Some(form)) => {
                    at = Some(form.at);
                    continue;
                }
                Ok(None) => "is missing",
                Err(_) => "cannot be read",
            };
            self.found(Keyspace::House, format!("log entry {index} of batch {number}"), what);
        }
        Ok(())
    }

    /// The signed end.
    fn checkpoint(&mut self, tree: &mut Tree, next: u64) -> Result<Hash, VaultError> {
        let note = chain::checkpoint(&*self.store)?;
        let Some(note) = note else {
            if tree.size() > 0 || self.store.get(Keyspace::House, CHECKPOINT)?.is_some() {
                self.found(Keyspace::House, "checkpoint", "is missing or no text");
            }
            return self.ends(tree);
        };
        let Some(signed) = Checkpoint::verify(&note, self.house.keys.receipt.public()) else {
            self.found(Keyspace::House, "checkpoint", "is not signed by this house");
            return self.ends(tree);
        };
        if signed.size >= next {
            self.missing_links(tree, next, signed.size.saturating_add(1))?;
        }
        let is_ours = signed.origin == format!("fineline/{}", self.house.id);
        if !is_ours || signed.size != tree.size() || signed.root != tree.root() {
            let what = format!("was signed over {} batches, and is not what these {} give", signed.size, tree.size());
            self.found(Keyspace::House, "checkpoint", what);
        }
        self.ends(tree)
    }

    fn ends(&mut self, tree: &Tree) -> Result<Hash, VaultError> {
        self.size = tree.size();
        self.teller.checked.n_batches = self.size;
        self.teller.progress("batches", self.size);
        Ok(tree.root())
    }

    /// The hash of an entry as its batch has it, and when and as what it was written.
    pub(super) fn entry(&self, batch: u64, index: u32) -> Result<Option<(Hash, LogForm)>, VaultError> {
        let Some(row) = self.store.get(Keyspace::House, &[ENTRIES, &batch.to_be_bytes()].concat())? else {
            return Ok(None);
        };
        let entry = split(&row).1.get(usize::try_from(index).unwrap_or(usize::MAX)).copied();
        let form = self.store.get(Keyspace::House, &House::log_row(batch, index))?;
        let form = form.and_then(|row| format::decode::<LogForm>("house", &row).ok());
        Ok(entry.zip(form))
    }

    /// A row of the log that has no place in it.
    pub(super) fn log_row(&mut self, key: &[u8]) -> Result<(), VaultError> {
        let is_in_place = if let Some(node) = key.strip_prefix(NODE) {
            node.split_first().and_then(|(level, index)| {
                let index = u64::from_be_bytes(index.try_into().ok()?);
                (node_key(Node { level: *level, index }) == *node).then_some(())?;
                let end = index.checked_add(1)?.checked_mul(1u64.checked_shl((*level).into())?)?;
                Some(end <= self.size)
            })
        } else if let Some(number) = key.strip_prefix(ENTRIES) {
            let number = number.try_into().ok().map(u64::from_be_bytes);
            let link = number.map(|number| chain::link(&*self.store, number)).transpose()?.flatten();
            link.map(|link| link.entries_root != root_of(&[]))
        } else if let Some(entry) = key.strip_prefix(House::LOG) {
            match entry.split_first_chunk::<8>().zip(entry.get(8..).and_then(|index| index.try_into().ok())) {
                Some(((batch, _), index)) => {
                    Some(self.entry(u64::from_be_bytes(*batch), u32::from_be_bytes(index))?.is_some())
                }
                None => None,
            }
        } else {
            Some(key.starts_with(CHAIN) || key == CHECKPOINT)
        };
        if is_in_place != Some(true) {
            self.found(Keyspace::House, hex(key), "a row of the log that no batch wrote");
        }
        Ok(())
    }
}

/// The link's hash and the hashes of the entries.
fn split(row: &[u8]) -> (Option<Hash>, Vec<Hash>) {
    match row.split_first_chunk::<32>() {
        Some((hash, rest)) => (Some(*hash), rest.chunks(32).filter_map(|entry| entry.try_into().ok()).collect()),
        None => (None, Vec::new()),
    }
}

fn batches(first: u64, next: u64) -> String {
    match next.saturating_sub(first) {
        1 => format!("batch {first}"),
        _ => format!("batches {first} to {}", next.saturating_sub(1)),
    }
}
