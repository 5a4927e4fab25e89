//! What an import tells: on the screen line by line, or as JSON. Counts and line numbers, never a value of a person.

use super::catalogue::CatalogueSummary;
use model::{Day, Money};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Most unreadable lines that are listed; all are counted.
pub const UNREADABLE_MAX: usize = 1_000;

/// Most unmatched items shown on a screen.
const SHOWN_MAX: usize = 20;

/// What became of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Name of the mapping.
    pub mapping: String,
    /// The file was read to its end.
    pub is_finished: bool,
    /// Lines of the file that were read, without the head line.
    pub n_lines: u64,
    /// Of these: lines that an earlier run had committed.
    pub n_resumed_lines: u64,
    /// What the lines are, in the order of the mapping.
    pub kinds: Vec<KindCount>,
    /// Orders, refunds and sales of nobody that were there before: nothing changed.
    pub n_repeated: u64,
    /// Orders, refunds and sales of nobody that were not taken, by reason word.
    pub refused: BTreeMap<&'static str, u64>,
    /// Lines that cannot be read.
    pub n_unreadable: u64,
    /// Their numbers and reasons, at most [`UNREADABLE_MAX`].
    pub unreadable: Vec<(u64, String)>,
    /// How items were classed.
    pub catalogue: CatalogueSummary,
    /// By how many days the dates were moved.
    pub shift: Option<Shift>,
    /// What was made up.
    pub made_up: Option<MadeUpCount>,
    /// What the vault holds of this mapping now, from all files.
    pub totals: Option<Totals>,
}

/// Lines of one `[[event]]` of the mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// What they are, in the mapping's words.
    pub says: String,
    /// The declared event.
    pub event: String,
    /// Orders of known customers.
    pub n_orders: u64,
    /// Their lines.
    pub n_lines: u64,
    /// Lines without a customer: sales of nobody.
    pub n_lines_of_nobody: u64,
}

/// By how many days the dates were moved: fixed at the mapping's first import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// Days.
    pub days: i32,
    /// Last day of the history in the file.
    #[serde(serialize_with = "as_shown")]
    pub history_ends: Day,
    /// The same day after the move.
    #[serde(serialize_with = "as_shown")]
    pub ends_now: Day,
}

/// People for whom something was made up in this run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MadeUpCount {
    /// What the mapping says about it.
    pub says: String,
    /// Addresses.
    pub n_addresses: u64,
    /// By purpose: said yes, said no, said yes and later no, never asked.
    pub answers: BTreeMap<String, [u64; 4]>,
}

/// What the vault holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Lines, those of nobody included.
    pub n_lines: u64,
    /// Of these: sales of nobody.
    pub n_lines_of_nobody: u64,
    /// Orders and refunds.
    pub n_orders: u64,
    /// People.
    pub n_people: u64,
    /// Quantity times price over all lines.
    #[serde(serialize_with = "as_shown")]
    pub sum: Money,
}

fn as_shown<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl ImportReport {
    /// The report in lines for a terminal.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut out = vec![match self.n_resumed_lines {
            0 => format!("{} lines read", self.n_lines),
            resumed => format!("{} lines read, the first {resumed} of them committed by an earlier run", self.n_lines),
        }];
        for kind in &self.kinds {
            out.push(match kind.n_lines + kind.n_lines_of_nobody {
                0 => format!("{}: this file has none", kind.says),
                _ => format!(
                    "{}: {} as \"{}\" with {} lines; {} lines without a customer, kept as sales of nobody",
                    kind.says, kind.n_orders, kind.event, kind.n_lines, kind.n_lines_of_nobody
                ),
            });
        }
        if self.n_repeated > 0 {
            out.push(format!("{} were there before; nothing changed", self.n_repeated));
        }
        out.extend(self.refused.iter().map(|(reason, n)| format!("{n} not taken: {reason}")));
        if self.n_unreadable > 0 {
            out.push(format!("{} lines cannot be read; the rest went in", self.n_unreadable));
            out.extend(self.unreadable.iter().map(|(line, reason)| format!("  line {line}: {reason}")));
        }
        out.extend(self.catalogue_lines());
        if let Some(shift) = &self.shift {
            out.push(format!(
                "dates were moved by {} days: {} in the file is {} here; the date of the source is kept beside",
                shift.days, shift.history_ends, shift.ends_now
            ));
        }
        if let Some(made_up) = &self.made_up {
            out.push(format!("made up: {} addresses. {}", made_up.n_addresses, made_up.says));
            out.extend(made_up.answers.iter().map(|(purpose, [yes, no, later, never])| {
                format!("made up for {purpose}: {yes} yes, {no} no, {later} yes and later no, {never} never asked")
            }));
        }
        if let Some(totals) = &self.totals {
            out.push(format!(
                "held now from all files: {} lines, {}; {} orders and refunds of {} people, {} lines of nobody",
                totals.n_lines, totals.sum, totals.n_orders, totals.n_people, totals.n_lines_of_nobody
            ));
        }
        if !self.is_finished {
            out.push("stopped before the end; the next run goes on from there".to_owned());
        }
        out
    }

    fn catalogue_lines(&self) -> Vec<String> {
        let summary = &self.catalogue;
        let per_mille = |n: u64| n.saturating_mul(1_000) / summary.n_lines.max(1);
        let percent = |n: u64| format!("{}.{} %", per_mille(n) / 10, per_mille(n) % 10);
        let mut out = vec![format!(
            "{} items: plain ones stand on {} of the lines; {} are never offered (postage and the like)",
            summary.n_items,
            percent(summary.n_plain_lines),
            percent(summary.n_not_for_sale_lines)
        )];
        out.extend(summary.guarded.iter().map(|(family, (n_items, n_lines))| {
            format!("guarded, {family}: {n_items} items on {} of the lines", percent(*n_lines))
        }));
        if summary.n_unmatched_items > 0 {
            out.push(format!(
                "{} items on {} lines are named by no word, and so guarded:",
                summary.n_unmatched_items, summary.n_unmatched_lines
            ));
            let listed = summary.unmatched.iter().take(SHOWN_MAX);
            out.extend(listed.map(|(code, title)| format!("  {code}: {title}")));
            let n_more = summary.n_unmatched_items.saturating_sub(SHOWN_MAX as u64);
            if n_more > 0 {
                out.push(format!("  and {n_more} more, with --json"));
            }
        }
        out
    }
}
