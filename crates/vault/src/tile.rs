//! Responsible for the one log as anybody may fetch it (C2SP tlog-tiles): hashes of the tree in tiles of 256, and bundles
//! with the data of 256 leaves, each leaf one batch. Addresses are parsed and written here, for the doors and the auditor.
//!
//! What it tells an onlooker: how many batches there are, and which of them made entries; no person, no kind, no instant.
//!
//! Deliberately not: checking what a tile says (`audit`), or how it travels (the doors).

use crate::VaultError;
use crate::chain;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::log::{Checkpoint, Node};
use std::fmt;

/// Hashes of a full tile, and leaves of a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Tile levels: each covers eight levels of the tree, and no log has more than 2^63 leaves.
const LEVELS: u8 = 8;

/// Longest address that is parsed, in bytes: seven groups of the index with their level and width.
const ADDRESS_BYTES_MAX: usize = 64;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of the tree at eight times this level.
    Hashes {
        /// 0 = leaves.
        level: u8,
    },
    /// The data of leaves.
    Entries,
}

/// Which tile, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileAddress {
    /// What it holds.
    pub kind: TileKind,
    /// Its number from the left.
    pub index: u64,
    /// 1 to [`TILE_WIDTH`]; less than that = the log had no more when somebody asked.
    pub width: u16,
}

impl fmt::Display for TileAddress {
    /// As in a URL or a folder: `tile/0/x001/x234/067`, `tile/entries/000.p/12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1_000];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            groups.push(rest % 1_000);
            rest /= 1_000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.index % 1_000)?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl TileAddress {
    /// Reads what [`fmt::Display`] writes, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("tile/").filter(|_| text.len() <= ADDRESS_BYTES_MAX)?;
        let (kind, rest) = rest.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes { level: level.parse().ok().filter(|level| *level < LEVELS)? },
        };
        let (path, width) = match rest.split_once(".p/") {
            Some((path, width)) => (path, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0u64;
        for group in path.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            index = index.checked_mul(1_000)?.checked_add(digits.parse().ok().filter(|group| *group < 1_000)?)?;
        }
        let address = Self { kind, index, width };
        ((1..=TILE_WIDTH).contains(&width) && address.to_string() == text).then_some(address)
    }

    /// The number of the first hash or leaf in it.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH as u64)
    }

    /// The level of the tree that it stands for.
    const fn tree_level(&self) -> u8 {
        match self.kind {
            TileKind::Hashes { level } => 8 * level,
            TileKind::Entries => 0,
        }
    }

    /// Whether a log of so many batches has all of it.
    #[must_use]
    pub fn is_in(&self, size: u64) -> bool {
        let n_nodes = size >> self.tree_level();
        let end = self.index.checked_mul(u64::from(TILE_WIDTH)).and_then(|first| first.checked_add(self.width.into()));
        end.is_some_and(|end| end <= n_nodes)
    }

    /// Every tile and bundle of a log of so many batches, the last of each level as far as it goes.
    pub fn all_of(size: u64) -> impl Iterator<Item = Self> {
        let kinds = (0..LEVELS).map(|level| TileKind::Hashes { level }).chain([TileKind::Entries]);
        kinds.flat_map(move |kind| {
            let n_nodes = size >> Self { kind, index: 0, width: 1 }.tree_level();
            let width = u64::from(TILE_WIDTH);
            (0..n_nodes.div_ceil(width)).map(move |index| {
                let left = n_nodes - index * width;
                Self { kind, index, width: u16::try_from(left.min(width)).unwrap_or(TILE_WIDTH) }
            })
        })
    }
}

/// One tile out of the stored tree; `None` when the log is not that long.
pub(crate) fn read(store: &dyn EngineSnapshot, address: &TileAddress) -> Result<Option<Vec<u8>>, VaultError> {
    let size = chain::checkpoint(store)?.and_then(|note| Checkpoint::read(&note)).map_or(0, |at| at.size);
    if !address.is_in(size) {
        return Ok(None);
    }
    let mut out = Vec::new();
    for index in (address.first()..).take(address.width.into()) {
        match address.kind {
            TileKind::Hashes { .. } => {
                out.extend(chain::node(store, Node { level: address.tree_level(), index })?);
            }
            TileKind::Entries => {
                let number = index.saturating_add(1);
                let link = chain::link(store, number)?.ok_or_else(|| VaultError::Damaged {
                    keyspace: Keyspace::House.name(),
                    what: format!("the link of batch {number} is missing"),
                })?;
                let data = chain::leaf_data(number, &link.hash, &link.entries_root);
                out.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
                out.extend(data);
            }
        }
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests;
