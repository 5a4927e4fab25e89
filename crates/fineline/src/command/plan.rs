//! `fineline plan`: compares the promise file with what is promised now. Changes nothing.

use crate::cli::Ground;
use crate::exit::Exit;
use crate::{house, promised};

/// Compare the promise file with what is promised now.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End with 3 when changes wait
    #[arg(long)]
    exit_code: bool,
}

/// Compares.
///
/// # Errors
/// A refused promise file, or a house that cannot be opened.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let waits = if args.exit_code { Exit::ChangesWait } else { Exit::Fine };
    house::with_file(ground, |vault, written| {
        let today = vault.now().day();
        let Some(old) = promised::now(vault)? else {
            let text = format!("nothing is promised yet; this would be notice {}", written.promise.notice.version);
            ground.say.answer(&serde_json::json!({ "changes": null, "first": true }), text)?;
            ground.say.next("fineline apply --as YOUR-NAME");
            return Ok(waits);
        };
        let changes = promise::changes(&old, &written.promise);
        if old.hash == written.promise.hash {
            ground
                .say
                .answer(&promised::machine(&changes, today), format!("no change: notice {}", old.notice.version))?;
            ground.say.next("fineline serve");
            return Ok(Exit::Fine);
        }
        ground
            .say
            .answer(&promised::machine(&changes, today), promised::shown(&old, &written.promise, &changes, today))?;
        if let Err(refused) = promised::check_lawful(&changes, &written.promise) {
            ground.say.talk(format!("`apply` would refuse: {refused}"));
        }
        ground.say.next("fineline apply --as YOUR-NAME");
        Ok(waits)
    })
}
