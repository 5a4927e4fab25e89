//! `fineline segment count NAME`: the three counts of a segment and each drop-off, as the console shows them.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use model::SegmentName;
use std::fmt::Write;
use vault::snapshot::SegmentCount;

/// What can be done with segments.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Count: match, may be told, will hear this week
    Count(Args),
}

/// Of which segment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A [segment.NAME] of the promise file
    name: String,
}

/// Counts.
///
/// # Errors
/// An unknown or unreviewed segment, or the house cannot be opened.
pub fn run(Command::Count(args): Command, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let name = SegmentName::parse(&args.name).map_err(|error| Failure::usage(error.to_string()))?;
        let count = vault.snapshot().segment_count(&name)?;
        ground.say.answer(&machine(&name, &count), human(&name, &count))?;
        ground.say.next("fineline campaign start NAME");
        Ok(Exit::Fine)
    })
}

fn machine(name: &SegmentName, count: &SegmentCount) -> serde_json::Value {
    let dropped = count.dropped.iter().map(|(reason, n)| serde_json::json!({ "reason": reason.as_str(), "people": n }));
    serde_json::json!({
        "segment": name.as_str(),
        "match": count.matching,
        "may_be_told": count.tellable,
        "will_hear_this_week": count.hearing,
        "dropped": dropped.collect::<Vec<_>>(),
        "floor": count.floor,
    })
}

fn human(name: &SegmentName, count: &SegmentCount) -> String {
    let n = |n: Option<u64>| n.map_or_else(|| format!("fewer than {}", count.floor), |n| n.to_string());
    let mut out = format!(
        "{name}\n  match                {}\n  may be told          {}\n  will hear this week  {}\n",
        n(count.matching),
        n(count.tellable),
        n(count.hearing)
    );
    for (reason, people) in &count.dropped {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "    - {:<18} {}", reason.as_str(), n(*people));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use promise::RefusalReason;

    #[test]
    fn counts_below_the_floor_are_not_told() {
        let count = SegmentCount {
            matching: Some(400),
            tellable: None,
            hearing: None,
            dropped: vec![(RefusalReason::NeverAsked, Some(61)), (RefusalReason::SaidNo, None)],
            floor: 50,
        };
        let name = SegmentName::parse("lapsed").unwrap();
        let shown = human(&name, &count);
        assert!(shown.contains("may be told          fewer than 50"), "{shown}");
        assert!(shown.contains("- said_no            fewer than 50"), "{shown}");
        assert_eq!(machine(&name, &count)["may_be_told"], serde_json::Value::Null);
        assert_eq!(machine(&name, &count)["dropped"][0]["people"], 61);
    }
}
