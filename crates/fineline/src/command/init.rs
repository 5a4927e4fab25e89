//! `fineline init`: a starter promise file, and a data folder with its keys. Writes over nothing.

use crate::cli::Ground;
use crate::clock::SystemClock;
use crate::config::write_new;
use crate::exit::Exit;
use crate::house;
use crate::root::Asking;
use model::Clock;
use vault::{Vault, VaultError};

/// Begin: a promise file to edit, a data folder to fill.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the promise file only; no data folder yet
    #[arg(long)]
    promise_only: bool,
}

/// Writes what is not there yet.
///
/// # Errors
/// A promise file that is there but refused; a folder or key that cannot be made.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let path = ground.settings.promise();
    let is_new = !path.exists();
    if is_new {
        write_new(&path, &promise::starter::starter(SystemClock.now().day()))?;
        ground.say.talk(format!("wrote {}: one page, yours to edit", path.display()));
    } else {
        ground.say.talk(format!("{} is there already: left as it is", path.display()));
    }
    let written = house::promise(ground)?;
    let mut made = None;
    if !args.promise_only {
        let root = ground.settings.root()?;
        let options = house::options(ground, Asking::Twice)?;
        match Vault::create(&options, &house::household(written.promise)) {
            Ok(id) => {
                made = Some(id.to_string());
                ground.say.talk(format!("made {}; its root key is {root}", options.data.display()));
                ground.say.talk("Keep a copy of it elsewhere: without it nobody can read the data, nor you.");
            }
            Err(VaultError::HouseExists { path }) => {
                ground.say.talk(format!("{} holds a house already: left as it is", path.display()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    ground.say.answer(
        &serde_json::json!({ "promise": path, "wrote_promise": is_new, "house": made }),
        if is_new { path.display().to_string() } else { String::new() },
    )?;
    ground.say.next("fineline check, then fineline apply --as YOUR-NAME");
    Ok(Exit::Fine)
}
