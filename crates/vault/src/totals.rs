//! What the house holds of one import source: lines, money, orders, people. Sums leave, nothing about anybody.
//!
//! Asked by an import for its own reviewed mapping, so that the totals it tells are those that are kept, also after a
//! crash, an erasure, or an expiry. No permit is asked for each person: totals that left out whoever took a purpose back
//! would not be those that are kept. Whom they were read of is written down like any set-wise read.

use crate::VaultError;
use crate::engine::Keyspace;
use crate::person::Open;
use crate::snapshot::Snapshot;
use model::{LineItem, SourceName, Trust};
use promise::{Artefact, Refusal, RefusalReason};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Sums over the orders of everybody that came through one import source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportTotals {
    /// People with at least one of these events.
    pub n_people: u64,
    /// Events.
    pub n_events: u64,
    /// Their lines.
    pub n_lines: u64,
    /// Quantity times price over all lines, in micros of the house currency.
    pub micros: i64,
}

impl Snapshot {
    /// Sums over the events that a reviewed mapping names and that came through its source. Sales of nobody are apart
    /// ([`Snapshot::anonymous_sales`]).
    ///
    /// # Errors
    /// The refusal (inside) when the mapping was not reviewed as it stands; [`VaultError`] when the store cannot be read.
    pub fn import_totals(
        &self,
        mapping: &Artefact,
        source: &SourceName,
    ) -> Result<Result<ImportTotals, Refusal>, VaultError> {
        if !self.is_reviewed(mapping) {
            return Ok(Err(Refusal::because(RefusalReason::NotReviewed)));
        }
        let Some(slot) = self.house.unwritten.set_place() else {
            return Ok(Err(Refusal::because(RefusalReason::NotCounted)));
        };
        let mut read: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
        let mut totals = ImportTotals::default();
        let state = &self.generation.state;
        for person in state.everybody().iter().filter_map(|number| state.by_number(number)) {
            let Some(open) = Open::load(&self.house, self.store(), &person.id)? else { continue };
            let before = totals.n_events;
            for row in self.store().scan(Keyspace::Events, person.id.as_bytes()) {
                let (key, row) = row?;
                let Some(stored) = open.open_event(&self.house, &key, &row)? else { continue };
                let event = &stored.event;
                let is_counted = event.trust == Trust::Import
                    && event.source == *source
                    && mapping.terms.reads.contains(event.name.as_str())
                    && self.house.event_expires_at(&open.core, &stored) > self.now();
                if is_counted {
                    read.entry(event.name.as_str().to_owned()).or_default().insert(person.number);
                    totals.n_events = totals.n_events.saturating_add(1);
                    totals.n_lines = totals.n_lines.saturating_add(event.lines.len() as u64);
                    totals.micros = event.lines.iter().map(worth).fold(totals.micros, i64::saturating_add);
                }
            }
            totals.n_people = totals.n_people.saturating_add(u64::from(totals.n_events > before));
        }
        self.leave_run(&slot, mapping, read);
        Ok(Ok(totals))
    }
}

fn worth(line: &LineItem) -> i64 {
    line.price.micros.saturating_mul(i64::from(line.quantity))
}
