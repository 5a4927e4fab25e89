//! What the shop sells: title, group, class and price of each item, from all descriptions that occur for its code. The
//! answer does not depend on the order of lines or files: the latest description that says something gives the title,
//! the most sensitive one the class, the latest price the price. It is kept as a house record, so that a second file
//! adds to what the first one told.

use super::error::ImportError;
use super::mapping::{CataloguePlan, Titles};
use super::words::tokens;
use model::{Class, Currency, Day, ItemCode, Money};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use vault::Item;

/// Most different items of one mapping.
pub const ITEMS_MAX: usize = 100_000;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 64;
/// The group of what is guarded or unmatched: says nothing.
pub const OTHER: &str = "other things";

/// What the words of a mapping say of one description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// A guarded word of this family.
    Guarded(usize),
    /// A plain word of this group.
    Plain(usize),
    /// Nothing.
    Nothing,
}

/// What is known of one item, over all files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// (says something, day, description): the greatest gives title and group.
    named: (bool, i32, String),
    /// (day, micros) of the latest price above zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priced: Option<(i32, i64)>,
    /// A guarded description occurred.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_guarded: bool,
}

impl Known {
    fn merge(&mut self, other: Self) {
        self.named = std::mem::take(&mut self.named).max(other.named);
        self.priced = self.priced.max(other.priced);
        self.is_guarded |= other.is_guarded;
    }
}

/// Collects what one file says about items.
#[derive(Debug)]
pub struct Catalogue<'m> {
    plan: &'m CataloguePlan,
    said: HashMap<String, Said>,
    items: HashMap<ItemCode, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    known: Known,
    n_lines: u64,
    family: Option<usize>,
}

/// The catalogue after a file: what to write, and what to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stocked {
    /// For the vault.
    pub items: Vec<Item>,
    /// What is known, for the next file: the house record `import/<mapping>/catalogue`.
    pub record: Vec<u8>,
    /// For the screen.
    pub summary: CatalogueSummary,
}

/// How the items of one file were classed, in items and in lines of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CatalogueSummary {
    /// Items of the file.
    pub n_items: u64,
    /// Lines of the file.
    pub n_lines: u64,
    /// Lines of plain items.
    pub n_plain_lines: u64,
    /// Lines of items that are on invoices, but never offered.
    pub n_not_for_sale_lines: u64,
    /// Guarded items by family: items and lines.
    pub guarded: BTreeMap<String, (u64, u64)>,
    /// Items that no word names: guarded.
    pub n_unmatched_items: u64,
    /// Their lines.
    pub n_unmatched_lines: u64,
    /// Their codes and titles, at most [`UNMATCHED_MAX`].
    pub unmatched: Vec<(String, String)>,
}

/// Most unmatched items that are listed; all are counted.
pub const UNMATCHED_MAX: usize = 1_000;

impl<'m> Catalogue<'m> {
    /// Empty.
    #[must_use]
    pub fn new(plan: &'m CataloguePlan) -> Self {
        Self { plan, said: HashMap::new(), items: HashMap::new() }
    }

    /// Hears what one line says about its item.
    ///
    /// # Errors
    /// [`ImportError::TooManyItems`].
    pub fn hear(&mut self, item: &ItemCode, description: &str, day: Day, price: Money) -> Result<(), ImportError> {
        if !self.items.contains_key(item) {
            if self.items.len() >= ITEMS_MAX {
                return Err(ImportError::TooManyItems { limit: ITEMS_MAX });
            }
            self.items.insert(item.clone(), Entry::default());
        }
        let said = self.said_of(description);
        let Some(entry) = self.items.get_mut(item) else { return Ok(()) };
        entry.n_lines += 1;
        if let Said::Guarded(family) = said {
            entry.known.is_guarded = true;
            entry.family = entry.family.into_iter().chain([family]).min();
        }
        let (day, named) = (day.number(), &mut entry.known.named);
        if (named.0, named.1, named.2.as_str()) < (said != Said::Nothing, day, description) {
            (named.0, named.1) = (said != Said::Nothing, day);
            if named.2 != description {
                description.clone_into(&mut named.2);
            }
        }
        if price.micros > 0 {
            entry.known.priced = entry.known.priced.max(Some((day, price.micros)));
        }
        Ok(())
    }

    fn said_of(&mut self, description: &str) -> Said {
        if let Some(said) = self.said.get(description) {
            return *said;
        }
        let words = tokens(description);
        let guarded =
            self.plan.guarded.iter().position(|family| family.words.fits(&words) && !family.but_not.fits(&words));
        let plain = || self.plan.plain.iter().position(|(_, list)| list.fits(&words));
        let said = match guarded {
            Some(family) => Said::Guarded(family),
            None => plain().map_or(Said::Nothing, Said::Plain),
        };
        if self.said.len() < ITEMS_MAX {
            self.said.insert(description.to_owned(), said);
        }
        said
    }

    /// Joins what this file told with what is known from others. `stored` is the record of an earlier file.
    ///
    /// # Errors
    /// [`ImportError::Record`] when the record cannot be read.
    pub fn finish(
        mut self,
        stored: Option<&[u8]>,
        currency: Currency,
        record_name: &str,
    ) -> Result<Stocked, ImportError> {
        let unreadable = |_| ImportError::Record { name: record_name.to_owned() };
        let mut known: BTreeMap<String, Known> =
            stored.map(serde_json::from_slice).transpose().map_err(unreadable)?.unwrap_or_default();
        let heard = std::mem::take(&mut self.items);
        let mut told: Vec<(ItemCode, u64, Option<usize>)> = Vec::with_capacity(heard.len());
        for (code, entry) in heard {
            known.entry(code.as_str().to_owned()).or_default().merge(entry.known);
            told.push((code, entry.n_lines, entry.family));
        }
        told.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut summary = CatalogueSummary::default();
        let mut items = Vec::with_capacity(told.len());
        for (code, n_lines, family) in told {
            let Some(known) = known.get(code.as_str()) else { continue };
            items.push(self.item(code, known, n_lines, family, currency, &mut summary));
        }
        let record = serde_json::to_vec(&known).map_err(unreadable)?;
        Ok(Stocked { items, record, summary })
    }

    fn item(
        &mut self,
        code: ItemCode,
        known: &Known,
        n_lines: u64,
        family: Option<usize>,
        currency: Currency,
        summary: &mut CatalogueSummary,
    ) -> Item {
        summary.n_items += 1;
        summary.n_lines += n_lines;
        let title = self.title(&code, &known.named.2);
        let (group, class) = if self.plan.not_for_sale.1.contains(code.as_str()) {
            summary.n_not_for_sale_lines += n_lines;
            (self.plan.not_for_sale.0.as_str(), Class::Sensitive)
        } else if known.is_guarded {
            let family = family.and_then(|family| self.plan.guarded.get(family));
            let family = family.map_or("guarded in another file", |family| family.family.as_str());
            let counts = summary.guarded.entry(family.to_owned()).or_default();
            *counts = (counts.0 + 1, counts.1 + n_lines);
            (OTHER, Class::Sensitive)
        } else {
            let said = self.said_of(&known.named.2);
            match said {
                Said::Plain(group) => {
                    summary.n_plain_lines += n_lines;
                    (self.plan.plain.get(group).map_or(OTHER, |(group, _)| group.as_str()), Class::Plain)
                }
                _ => {
                    summary.n_unmatched_items += 1;
                    summary.n_unmatched_lines += n_lines;
                    if summary.unmatched.len() < UNMATCHED_MAX {
                        summary.unmatched.push((code.as_str().to_owned(), title.clone()));
                    }
                    (OTHER, Class::Sensitive)
                }
            }
        };
        let price = known.priced.map(|(_, micros)| Money { micros, currency });
        Item { code, title, group: group.to_owned(), class, price }
    }

    fn title(&self, code: &ItemCode, description: &str) -> String {
        let words: Vec<&str> = description.split_whitespace().collect();
        let joined: String = words.join(" ").chars().take(TITLE_CHARS_MAX).collect();
        let joined = joined.trim_end_matches(['.', ',', ' ']);
        if joined.is_empty() {
            return code.as_str().to_owned();
        }
        match self.plan.titles {
            Titles::AsWritten => joined.to_owned(),
            Titles::Sentence => {
                let mut letters = joined.chars();
                let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
                first + &letters.as_str().to_lowercase()
            }
        }
    }
}
