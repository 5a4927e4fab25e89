//! `fineline restore`: a new data folder from the streams of a backup, without those who were erased and what was taken
//! back; `--drill` does the same in a folder that is taken away again, and compares every row.

use crate::cli::Ground;
use crate::exit::Exit;
use crate::house;
use crate::root::Asking;
use std::fmt::Write as _;
use std::path::PathBuf;
use vault::backup::{Beside, Drilled, Plan, Restored, Shelf, drill, restore};

/// From where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the data streams
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The folder of the key streams
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// The newest copy of the file `tombstones`: who was erased
    #[arg(long, value_name = "FILE")]
    tombstones: PathBuf,
    /// The newest copy of the file `narrowings`: what people took back [default: beside the tombstones]
    #[arg(long, value_name = "FILE")]
    narrowings: Option<PathBuf>,
    /// The state of this batch [default: the newest data stream]
    #[arg(long, value_name = "BATCH")]
    at: Option<u64>,
    /// How many erasures are known from elsewhere: fewer in the tombstone file is refused
    #[arg(long, value_name = "N")]
    erasures_seen: Option<u64>,
    /// Restore into a folder beside --data, compare every row, open every record, and take the folder away
    #[arg(long)]
    drill: bool,
}

/// Restores into the data folder of the settings, which must be empty or not be there.
///
/// # Errors
/// Streams, keys or files that do not fit together; a drill that finds a difference ends with 1.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let written = house::promise(ground)?;
    let household = house::household(written.promise);
    let folder = args.tombstones.parent().unwrap_or(std::path::Path::new(""));
    let narrowings = args.narrowings.clone().unwrap_or_else(|| Beside::of(folder).narrowings);
    let plan = Plan {
        shelf: Shelf { data: args.from.clone(), keys: args.keys.clone() },
        at: args.at,
        beside: Beside { tombstones: args.tombstones.clone(), narrowings },
        n_witnessed: args.erasures_seen,
        witness: ground.settings.witness(),
        root: ground.root(Asking::Once)?,
        into: ground.settings.data(),
        engine: ground.settings.engine()?,
    };
    if args.drill {
        let drilled = drill(&plan, household)?;
        ground.say.answer(&drilled_machine(&drilled), drilled_human(&drilled))?;
        return Ok(if drilled.is_sound() { Exit::Fine } else { Exit::Findings });
    }
    let restored = restore(&plan, household)?;
    ground.say.answer(&machine(&restored), human(&restored))?;
    ground.say.next("fineline serve; campaigns that ran are paused");
    Ok(Exit::Fine)
}

fn machine(restored: &Restored) -> serde_json::Value {
    serde_json::json!({
        "batch": restored.batch,
        "keys_batch": restored.keys_batch,
        "at": restored.at.map(|at| at.to_string()),
        "rows": restored.n_rows,
        "people": restored.n_people,
        "erased": restored.n_erased,
        "without_keys": restored.n_without_keys,
        "taken_back": restored.n_taken_back,
        "messages_not_sent_again": restored.n_messages,
        "campaigns_paused": restored.n_paused,
        "records_closed": restored.n_closed,
    })
}

fn human(restored: &Restored) -> String {
    let mut out = format!("restored: batch {}, {} rows, {} people", restored.batch, restored.n_rows, restored.n_people);
    if let Some(at) = restored.at {
        // Writing to a String cannot fail.
        let _ = write!(out, ", as of {at}");
    }
    out.push('\n');
    let facts = [
        (restored.n_erased, "people were erased since and are not in it"),
        (restored.n_without_keys, "people are not in the newer keys and were taken out"),
        (restored.n_taken_back, "answers, limits and stops put back to what people said since"),
        (restored.n_closed, "records that the newer keys closed were taken out"),
        (restored.n_messages, "messages may have been sent since and will not be sent again"),
        (restored.n_paused, "campaigns ran and are paused"),
    ];
    for (n, says) in facts.into_iter().filter(|(n, _)| *n > 0) {
        let _ = writeln!(out, "  {n} {says}");
    }
    out
}

fn drilled_machine(drilled: &Drilled) -> serde_json::Value {
    serde_json::json!({
        "sound": drilled.is_sound(),
        "compared": drilled.n_compared,
        "differing": drilled.n_differing,
        "where": drilled.differing,
        "opened": drilled.n_opened,
        "closed_for_ever": drilled.n_closed,
        "not_opening": drilled.n_shut,
        "restored": machine(&drilled.restored),
    })
}

fn drilled_human(drilled: &Drilled) -> String {
    let mut out = format!(
        "drill: {} rows compared, {} differ; {} keys and records opened, {} do not open\n",
        drilled.n_compared, drilled.n_differing, drilled.n_opened, drilled.n_shut
    );
    for place in &drilled.differing {
        let _ = writeln!(out, "  DIFFERS  {place}");
    }
    out.push_str(&human(&drilled.restored));
    out.push_str("the folder of the drill was taken away\n");
    out
}
