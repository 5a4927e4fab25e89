//! `fineline fmt`: a promise file in its usual form; comments stay.

use crate::cli::Ground;
use crate::config::{read_text, write_over};
use crate::exit::{Exit, Failure};
use crate::house::PROMISE_BYTES_MAX;
use std::path::PathBuf;

/// Put promise files in their usual form.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Promise files [default: the one of the settings]
    files: Vec<PathBuf>,
    /// Change nothing; end with 1 when a file is not in its usual form
    #[arg(long)]
    check: bool,
}

/// Formats each file.
///
/// # Errors
/// A file that cannot be read or written, or is not TOML.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let default = [ground.settings.promise()];
    let files = if args.files.is_empty() { &default[..] } else { &args.files[..] };
    let mut exit = Exit::Fine;
    for path in files {
        let text = read_text(path, PROMISE_BYTES_MAX)?;
        let formatted = promise::fmt(&path.display().to_string(), &text).map_err(|report| {
            ground.say.stderr(&super::check::shown(ground.say, &report, &text));
            Failure::findings(format!("{} is not TOML", path.display()))
        })?;
        let changed = formatted != text;
        let word = match (changed, args.check) {
            (false, _) => "unchanged",
            (true, true) => "differs",
            (true, false) => "formatted",
        };
        if changed && args.check {
            exit = Exit::Findings;
        } else if changed {
            write_over(path, &formatted)?;
        }
        ground
            .say
            .answer(&serde_json::json!({ "file": path, "result": word }), format!("{word}  {}", path.display()))?;
    }
    ground.say.next("fineline check");
    Ok(exit)
}
