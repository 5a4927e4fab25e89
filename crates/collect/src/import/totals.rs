//! What the vault holds of one mapping: read through the mapping's own reviewed artefact, so it is true after a crash,
//! after an erasure and in whichever order files came.

use super::error::ImportError;
use super::mapping::Mapping;
use super::report::Totals;
use model::Trust;
use vault::Snapshot;

/// Counts lines and money of everybody whose orders came through this mapping's source, and of sales of nobody.
///
/// # Errors
/// [`ImportError::NotReviewed`] when the mapping may not read, [`ImportError::Vault`].
pub fn totals(snapshot: &Snapshot, mapping: &Mapping) -> Result<Totals, ImportError> {
    let artefact = mapping.artefact_id();
    let refused = |_| ImportError::NotReviewed { name: mapping.name.clone() };
    let mut totals = Totals::none(mapping.currency);
    let mut names: Vec<_> = mapping.events.iter().map(|rule| &rule.name).collect();
    names.sort_unstable();
    names.dedup();
    for person in snapshot.permit_set(artefact).map_err(refused)?.people() {
        let Ok(permit) = snapshot.permit(person, artefact) else { continue };
        let before = totals.n_orders;
        for name in &names {
            for event in permit.events(name, usize::MAX).map_err(refused)? {
                let event = &event.reveal().event;
                if event.trust == Trust::Import && event.source == mapping.source {
                    totals.n_orders += 1;
                    totals.n_lines += event.lines.len() as u64;
                    totals.sum.micros += event.lines.iter().map(micros).sum::<i64>();
                }
            }
        }
        totals.n_people += u64::from(totals.n_orders > before);
    }
    let nobody = snapshot.anonymous_sales()?;
    totals.n_lines += nobody.n_lines;
    totals.n_lines_of_nobody = nobody.n_lines;
    totals.sum.micros += nobody.micros;
    Ok(totals)
}

fn micros(line: &model::LineItem) -> i64 {
    line.price.micros.saturating_mul(i64::from(line.quantity))
}
