//! What the vault holds of one mapping: asked from the vault itself, so it is true after a crash, after an erasure and in
//! whichever order files came.

use super::error::ImportError;
use super::mapping::Mapping;
use super::report::Totals;
use model::Money;
use vault::Snapshot;

/// Counts lines and money of everybody whose orders came through this mapping's source, and of sales of nobody.
///
/// # Errors
/// [`ImportError::NotReviewed`] when the mapping may not read, [`ImportError::Vault`].
pub fn totals(snapshot: &Snapshot, mapping: &Mapping) -> Result<Totals, ImportError> {
    let people = snapshot
        .import_totals(&mapping.artefact(), &mapping.source)?
        .map_err(|_| ImportError::NotReviewed { name: mapping.name.clone() })?;
    let nobody = snapshot.anonymous_sales()?;
    Ok(Totals {
        n_lines: people.n_lines.saturating_add(nobody.n_lines),
        n_lines_of_nobody: nobody.n_lines,
        n_orders: people.n_events,
        n_people: people.n_people,
        sum: Money { micros: people.micros.saturating_add(nobody.micros), currency: mapping.currency },
    })
}
