//! `fineline key rotate`: a new version of the keys that wrap everybody's keys; the old version is destroyed.

use crate::cli::Ground;
use crate::exit::Exit;
use crate::house;

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Re-wrap everybody's keys under a new version and destroy the old one: what was erased is then unreadable
    Rotate,
}

/// Rotates.
///
/// # Errors
/// The house cannot be opened, or the rotation fails; then the old version stays.
pub fn run(Command::Rotate: Command, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let rotation = vault.rotate()?.wait()?;
        let machine = serde_json::json!({ "version": rotation.version, "rewrapped": rotation.n_rows });
        let human =
            format!("key version {}: {} rows re-wrapped, older versions destroyed", rotation.version, rotation.n_rows);
        ground.say.answer(&machine, human)?;
        ground.say.next("fineline census search --notes FILE, to see that an erased person is gone");
        Ok(Exit::Fine)
    })
}
