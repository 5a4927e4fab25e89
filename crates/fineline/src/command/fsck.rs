//! `fineline fsck`: reads the whole data folder, which nobody may serve meanwhile, and names what is changed, missing, swapped
//! or put back: one line per finding. It mends nothing. With `--state-hash` it also says what the house knows, as one hash.

use crate::cli::Ground;
use crate::exit::Exit;
use crate::house;
use crate::http::hex;
use crate::root::Asking;
use indicatif::{ProgressBar, ProgressDrawTarget};
use vault::fsck::{Told, fsck};
use vault::{VaultError, fsck};

/// Read the whole data folder and name every record that is not as it was written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also print what the house knows as a hash: equal for two houses that know the same, on whatever engine. Opens the house as
    /// `serve` does, so what waited to be written is written
    #[arg(long)]
    state_hash: bool,
}

/// Checks.
///
/// # Errors
/// A house that is being served, another root key, another version. What is wrong inside is a finding, not an error.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let written = house::promise(ground)?;
    let options = house::options(ground, Asking::Once)?;
    let watched = ground.say.is_watched() && !ground.say.is_json();
    let bar = watched.then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
    // A closed pipe is not an error; another failure of stdout is told at the end.
    let mut failed = None;
    let checked = fsck(&options, house::household(written.promise), &mut |told| match told {
        Told::Found(finding) => {
            let machine = serde_json::json!({ "place": finding.place, "record": finding.record, "what": finding.what });
            failed = ground.say.answer(&machine, &finding).err().or(failed.take());
        }
        Told::Progress { what, n_done } => bar.iter().for_each(|bar| {
            bar.set_message(format!("{n_done} {what}"));
            bar.tick();
        }),
    });
    bar.iter().for_each(ProgressBar::finish_and_clear);
    let checked = checked.map_err(|error| match error {
        VaultError::Locked { .. } => anyhow::Error::new(error).context("the house is being served: stop it first"),
        other => other.into(),
    })?;
    failed.map_or(Ok(()), Err)?;
    let fsck::Checked { n_batches, n_people, n_rows, n_findings } = checked;
    if ground.say.is_json() {
        let machine =
            serde_json::json!({ "batches": n_batches, "people": n_people, "rows": n_rows, "findings": n_findings });
        ground.say.data(machine)?;
    }
    ground.say.talk(format!("{n_batches} batches, {n_people} people, {n_rows} rows read: {n_findings} findings"));
    if n_findings > 0 {
        ground.say.next("keep this folder as it is, and restore a backup into a new one");
    }
    if args.state_hash {
        state_hash(ground)?;
    }
    Ok(if n_findings == 0 { Exit::Fine } else { Exit::Findings })
}

fn state_hash(ground: &Ground) -> anyhow::Result<()> {
    let state = house::with(ground, |vault, _| Ok(vault.state_hash()?))?;
    let machine = serde_json::json!({
        "state": hex(&state.whole()),
        "living": hex(&state.of_the_living()),
        "people": state.n_people,
    });
    ground.say.answer(&machine, state)
}
