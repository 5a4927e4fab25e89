//! `fineline upgrade --check`: whether this program reads the data folder. It changes nothing.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;

/// Say whether this program reads the data folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only look; the only form there is yet
    #[arg(long, required = true)]
    check: bool,
}

/// Opens the folder, which refuses another format before any write, and closes it.
///
/// # Errors
/// Another format, a wrong root key, a damaged or locked folder.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    if !args.check {
        return Err(Failure::usage("there is nothing to upgrade yet; use `fineline upgrade --check`"));
    }
    house::with_file(ground, |vault, _| {
        let machine = serde_json::json!({ "house": vault.house().to_string(), "reads": true });
        ground.say.answer(&machine, format!("{} is of this program's format", ground.settings.data().display()))?;
        ground.say.next("fineline serve");
        Ok(Exit::Fine)
    })
}
