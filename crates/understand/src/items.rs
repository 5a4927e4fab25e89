//! Which item goes with which: an item-to-item model from what people bought, and plain popularity beside it.
//!
//! Method: item-based top-N by cosine over buyers (Deshpande and Karypis, "Item-based top-N recommendation algorithms",
//! ACM TOIS 22(1), 2004), with the support of a pair shrunk as in Bell and Koren ("Scalable collaborative filtering with
//! jointly derived neighborhood interpolation weights", ICDM 2007): `n_both / (√(n_i · n_j) + SHRINKAGE)`. An item's score
//! is the plain sum over those of its own nearest neighbours that a person has, so the largest term is the true reason and
//! can be told in one sentence. (Summing over the neighbours of what is owned instead, as often done, finds a seventh less
//! on a real shop: `tests/retail.rs`.)
//!
//! It learns only from counts of at least [`SUPPORT_MIN`] people, for an item and for each pair, so what is kept is about
//! crowds. Guarded items are left out by the caller before they get here. Same input, same bytes; ties go to the smaller
//! item code. It reads no store: `follow` does.

use crate::UnderstandError;
use minicbor::{Decode, Encode};
use model::{ItemCode, RankedItem};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most neighbours kept per item.
pub const NEIGHBOURS_MAX: usize = 50;
/// Fewest buyers of an item, and of a pair, to be learnt from.
pub const SUPPORT_MIN: u32 = 5;
/// Most items read of one basket, newest first: one shopper for a warehouse does not rule the model.
pub const BASKET_ITEMS_MAX: usize = 2_000;
/// Buyers added to the denominator, so that a small coincidence weighs little.
const SHRINKAGE: f64 = 10.0;

/// One neighbour of an item.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
struct Neighbour {
    /// Index into the items.
    #[n(0)]
    item: u32,
    /// Similarity.
    #[n(1)]
    weight: f32,
    /// How many people bought both.
    #[n(2)]
    n_both: u32,
}

/// One item that enough people bought.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct Row {
    #[n(0)]
    code: String,
    #[n(1)]
    n_buyers: u32,
    /// Best first.
    #[n(2)]
    neighbours: Vec<Neighbour>,
}

/// The form in which the model lies in the house record `model/items`.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct Stored {
    #[n(0)]
    n_people: u32,
    #[n(1)]
    rows: Vec<Row>,
}

/// The model: items in order of code, each with its neighbours.
#[derive(Debug, Clone, PartialEq)]
pub struct Items {
    n_people: u32,
    codes: Vec<ItemCode>,
    n_buyers: Vec<u32>,
    /// Nearest first.
    neighbours: Vec<Vec<Neighbour>>,
    /// The other way round: among whose nearest neighbours an item is, in order of item.
    speaks_for: Vec<Vec<(u32, f32)>>,
    /// Indexes, most bought first, then by code.
    popular: Vec<u32>,
}

impl Items {
    /// Learns from baskets: one per person, each item once or more, newest first.
    #[must_use]
    pub fn fit(baskets: &[Vec<ItemCode>]) -> Self {
        let baskets: Vec<BTreeSet<&ItemCode>> =
            baskets.iter().map(|basket| basket.iter().take(BASKET_ITEMS_MAX).collect()).collect();
        let mut counts: BTreeMap<&ItemCode, u32> = BTreeMap::new();
        for item in baskets.iter().flatten() {
            *counts.entry(item).or_default() += 1;
        }
        counts.retain(|_, n| *n >= SUPPORT_MIN);
        let index: BTreeMap<&ItemCode, u32> = counts.keys().copied().zip(0..).collect();
        let owned: Vec<Vec<u32>> =
            baskets.iter().map(|basket| basket.iter().filter_map(|item| index.get(*item).copied()).collect()).collect();
        let n_buyers: Vec<u32> = counts.values().copied().collect();
        let neighbours = neighbours_of_all(&owned, &n_buyers);
        let codes = counts.into_keys().cloned().collect();
        Self::assemble(u32::try_from(baskets.len()).unwrap_or(u32::MAX), codes, n_buyers, neighbours)
    }

    fn assemble(n_people: u32, codes: Vec<ItemCode>, n_buyers: Vec<u32>, neighbours: Vec<Vec<Neighbour>>) -> Self {
        let mut popular: Vec<u32> = (0..).take(codes.len()).collect();
        popular.sort_by_key(|item| Reverse(at(&n_buyers, *item)));
        let mut speaks_for = vec![Vec::new(); codes.len()];
        for (item, near) in (0u32..).zip(&neighbours) {
            for neighbour in near {
                if let Some(list) = speaks_for.get_mut(neighbour.item as usize) {
                    list.push((item, neighbour.weight));
                }
            }
        }
        Self { n_people, codes, n_buyers, neighbours, speaks_for, popular }
    }

    /// How many people it was learnt from.
    #[must_use]
    pub const fn n_people(&self) -> u32 {
        self.n_people
    }

    /// How many items it knows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether it knows no item at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// What goes with what a person owns, best first, at most `limit`, never an owned item. `because` names the owned item
    /// with the largest share of the score.
    #[must_use]
    pub fn rank(&self, owned: &BTreeSet<ItemCode>, limit: usize) -> Vec<RankedItem> {
        let mut scores: BTreeMap<u32, (f64, f32, u32)> = BTreeMap::new();
        let owned: BTreeSet<u32> = owned.iter().filter_map(|item| self.find(item)).collect();
        for anchor in &owned {
            for (item, weight) in self.speaks_for.get(*anchor as usize).into_iter().flatten() {
                let (score, best, because) = scores.entry(*item).or_insert((0.0, 0.0, *anchor));
                *score += f64::from(*weight);
                if weight > best {
                    (*best, *because) = (*weight, *anchor);
                }
            }
        }
        let mut ranked: Vec<(i64, u32, u32)> = scores
            .into_iter()
            .filter(|(item, _)| !owned.contains(item))
            .map(|(item, (score, _, because))| (micros(score), item, because))
            .collect();
        ranked.sort_by_key(|(score, item, _)| (Reverse(*score), *item));
        ranked.truncate(limit);
        let entry = |(score_micros, item, because)| {
            Some(RankedItem { item: self.code(item)?, because: Some(self.code(because)?), score_micros })
        };
        ranked.into_iter().filter_map(entry).collect()
    }

    /// What most people bought, most first; the baseline, and what is left when nothing personal may be used.
    pub fn popular(&self) -> impl Iterator<Item = (&ItemCode, u32)> {
        self.popular.iter().filter_map(|item| Some((self.codes.get(*item as usize)?, at(&self.n_buyers, *item))))
    }

    /// How many people bought an item; 0 for one that fewer than [`SUPPORT_MIN`] bought.
    #[must_use]
    pub fn n_buyers(&self, item: &ItemCode) -> u32 {
        self.find(item).map_or(0, |index| at(&self.n_buyers, index))
    }

    /// The bytes of the house record `model/items`.
    ///
    /// # Errors
    /// [`UnderstandError::Model`] when they cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, UnderstandError> {
        let rows = self.codes.iter().zip(&self.n_buyers).zip(&self.neighbours);
        let stored = Stored {
            n_people: self.n_people,
            rows: rows
                .map(|((code, n_buyers), neighbours)| Row {
                    code: code.as_str().to_owned(),
                    n_buyers: *n_buyers,
                    neighbours: neighbours.clone(),
                })
                .collect(),
        };
        minicbor::to_vec(&stored).map_err(|_| UnderstandError::Model)
    }

    /// Reads [`Items::to_bytes`] back.
    ///
    /// # Errors
    /// [`UnderstandError::Model`] when the bytes are not a model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnderstandError> {
        let stored: Stored = minicbor::decode(bytes).map_err(|_| UnderstandError::Model)?;
        let (mut codes, mut n_buyers, mut neighbours) = (Vec::new(), Vec::new(), Vec::new());
        for row in stored.rows {
            codes.push(ItemCode::parse(&row.code).ok_or(UnderstandError::Model)?);
            n_buyers.push(row.n_buyers);
            neighbours.push(row.neighbours);
        }
        if !codes.is_sorted() {
            return Err(UnderstandError::Model);
        }
        Ok(Self::assemble(stored.n_people, codes, n_buyers, neighbours))
    }

    fn find(&self, item: &ItemCode) -> Option<u32> {
        self.codes.binary_search(item).ok().and_then(|index| u32::try_from(index).ok())
    }

    fn code(&self, index: u32) -> Option<ItemCode> {
        self.codes.get(index as usize).cloned()
    }
}

/// One item at a time over its buyers' baskets: memory grows with items and kept neighbours, never with pairs.
fn neighbours_of_all(owned: &[Vec<u32>], n_buyers: &[u32]) -> Vec<Vec<Neighbour>> {
    let mut buyers: Vec<Vec<u32>> = vec![Vec::new(); n_buyers.len()];
    for (person, basket) in (0u32..).zip(owned) {
        for item in basket {
            if let Some(list) = buyers.get_mut(*item as usize) {
                list.push(person);
            }
        }
    }
    let mut both = vec![0u32; n_buyers.len()];
    let mut all = Vec::with_capacity(n_buyers.len());
    for (item, people) in (0u32..).zip(&buyers) {
        both.fill(0);
        for basket in people.iter().filter_map(|person| owned.get(*person as usize)) {
            for other in basket {
                if let Some(n) = both.get_mut(*other as usize) {
                    *n += 1;
                }
            }
        }
        let mut near: Vec<Neighbour> = (0u32..)
            .zip(&both)
            .filter(|(other, n_both)| *other != item && **n_both >= SUPPORT_MIN)
            .map(|(other, n_both)| Neighbour {
                item: other,
                weight: similarity(*n_both, at(n_buyers, item), at(n_buyers, other)),
                n_both: *n_both,
            })
            .collect();
        near.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.item.cmp(&b.item)));
        near.truncate(NEIGHBOURS_MAX);
        near.shrink_to_fit();
        all.push(near);
    }
    all
}

#[expect(clippy::cast_possible_truncation, reason = "a weight of 24 bits is precise enough and half as large")]
fn similarity(n_both: u32, n_one: u32, n_other: u32) -> f32 {
    let norm = (f64::from(n_one) * f64::from(n_other)).sqrt();
    (f64::from(n_both) / (norm + SHRINKAGE)) as f32
}

#[expect(clippy::cast_possible_truncation, reason = "a sum of at most 1,000 weights below 1 fits")]
fn micros(score: f64) -> i64 {
    (score * 1e6).round() as i64
}

fn at(counts: &[u32], index: u32) -> u32 {
    counts.get(index as usize).copied().unwrap_or(0)
}

/// How good two ways to choose were on people that the model was not shown the future of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// People with at least one target.
    pub n_people: usize,
    /// Share of the targets (of at most 20) found among the first 20 of the model.
    pub recall_20: f64,
    /// The same for popularity.
    pub popular_recall_20: f64,
}

/// Judges the model by what people bought later: `people` are (owned before, bought after). Only new items that the model
/// knows count as targets; people with fewer than `owned_min` known items are left out.
#[must_use]
pub fn evaluate(items: &Items, people: &[(BTreeSet<ItemCode>, BTreeSet<ItemCode>)], owned_min: usize) -> Evaluation {
    const FIRST: usize = 20;
    let (mut n, mut recall, mut popular_recall) = (0usize, 0.0, 0.0);
    for (owned, later) in people {
        let targets: BTreeSet<&ItemCode> =
            later.iter().filter(|item| !owned.contains(*item) && items.find(item).is_some()).collect();
        let n_owned = owned.iter().filter(|item| items.find(item).is_some()).count();
        if targets.is_empty() || n_owned < owned_min {
            continue;
        }
        let ranked = items.rank(owned, FIRST);
        let hits = ranked.iter().filter(|ranked| targets.contains(&ranked.item)).count();
        let popular = items.popular().map(|(item, _)| item).filter(|item| !owned.contains(*item)).take(FIRST);
        n += 1;
        recall += share(hits, FIRST.min(targets.len()));
        popular_recall += share(popular.filter(|item| targets.contains(item)).count(), FIRST.min(targets.len()));
    }
    let mean = |sum: f64| if n == 0 { 0.0 } else { sum / count(n) };
    Evaluation { n_people: n, recall_20: mean(recall), popular_recall_20: mean(popular_recall) }
}

fn share(part: usize, whole: usize) -> f64 {
    count(part) / count(whole)
}

#[expect(clippy::cast_precision_loss, reason = "counts of people and items are far below 2^52")]
const fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
