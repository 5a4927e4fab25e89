//! `fineline backup`: the rows of the house as streams, data and keys apart, from a house that is served or not.
//!
//! A house that is served is asked over the console's listener with the pass that lies in its data folder; the bytes come
//! from one reading of the engine, and nobody waits for them.

use crate::cli::Ground;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::house;
use crate::loopback::Loopback;
use anyhow::Context;
use model::Clock;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use vault::backup::{BackupNote, Beside, Extent, KEY_BACKUP_DAYS, Shelf, Taken, take};
use vault::{Pass, Vault, VaultError};

/// Where to, and how much.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where data streams go; they may be kept for any time
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Where key streams go, apart from the data; those older than 7 days are removed
    #[arg(long, value_name = "FOLDER")]
    keys_to: PathBuf,
    /// Write all of the data, not only what changed since the newest stream there
    #[arg(long)]
    full: bool,
}

/// Backs up.
///
/// # Errors
/// A house that neither opens nor answers; a stream that cannot be written, or built on.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let shelf = Shelf { data: args.to.clone(), keys: args.keys_to.clone() };
    let extent = if args.full { Extent::Full } else { Extent::Changes };
    if shelf.data == shelf.keys {
        ground.say.talk(format!(
            "data and keys go to the same folder: whoever takes it, and the root key, reads who was erased less than \
             {KEY_BACKUP_DAYS} days ago"
        ));
    }
    let taken = match house::with(ground, |vault, _| from_house(vault, ground, &shelf, extent)) {
        Err(error) if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(VaultError::Locked { .. }))) => {
            from_server(ground, &shelf, extent)?
        }
        taken => taken?,
    };
    // Both streams are whole on their disks: from here on nobody is reminded of a backup.
    BackupNote { batch: taken.batch, at: SystemClock.now() }.write(&ground.settings.data())?;
    ground.say.answer(&machine(&taken), human(&taken))?;
    ground.say.next("fineline restore --drill, to see that it can be restored");
    Ok(Exit::Fine)
}

/// Nobody serves the house: it is opened here.
fn from_house(vault: &Vault, ground: &Ground, shelf: &Shelf, extent: Extent) -> anyhow::Result<Taken> {
    let source = vault.backup()?.wait()?;
    let (mut reader, writer) = std::io::pipe().context("making a pipe")?;
    std::thread::scope(|scoped| {
        let written = scoped.spawn(move || {
            let mut out = BufWriter::new(writer);
            source.write(&mut out)?;
            out.flush().context("writing the streams")
        });
        let beside = Beside::of(&ground.settings.data());
        let taken = take(&mut reader, shelf, &beside, extent, vault.now());
        drop(reader);
        let written = written.join().map_err(|_| anyhow::anyhow!("reading the house ended in a panic"))?;
        // Streams that could not be taken break the pipe as well: the first cause is the one to say.
        let taken = taken?;
        written?;
        Ok(taken)
    })
}

/// The house is served: its process gives the streams.
fn from_server(ground: &Ground, shelf: &Shelf, extent: Extent) -> anyhow::Result<Taken> {
    let data = ground.settings.data();
    let pass = Pass::read(&data)?;
    let pass = pass.with_context(|| {
        format!("another process has {} open and serves nobody: try again when it has ended", data.display())
    })?;
    let server = Loopback::with_token(pass.at, pass.token())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut streams = server.read(&runtime, "/backup").with_context(|| format!("asking the server at {}", pass.at))?;
    Ok(take(&mut streams, shelf, &Beside::of(&data), extent, SystemClock.now())?)
}

fn machine(taken: &Taken) -> serde_json::Value {
    serde_json::json!({
        "batch": taken.batch,
        "data": taken.data,
        "base": taken.base,
        "rows": taken.n_rows,
        "written": taken.n_written,
        "keys": taken.keys,
        "removed": taken.removed,
    })
}

fn human(taken: &Taken) -> String {
    let mut out = match (&taken.data, taken.base) {
        (None, _) => format!("batch {}: nothing changed since the newest data stream\n", taken.batch),
        (Some(path), None) => format!("batch {}: all {} rows\n  {}\n", taken.batch, taken.n_rows, path.display()),
        (Some(path), Some(base)) => format!(
            "batch {}: {} rows changed since batch {base}, of {}\n  {}\n",
            taken.batch,
            taken.n_written,
            taken.n_rows,
            path.display()
        ),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {}", taken.keys.display());
    for gone in &taken.removed {
        let _ = writeln!(out, "removed, as old as keys may get: {}", gone.display());
    }
    out
}
