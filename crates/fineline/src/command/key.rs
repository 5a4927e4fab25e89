//! `fineline key rotate`: a new version of the keys that wrap everybody's keys; the old version is destroyed. A house that is
//! served is asked to do it, with the pass that lies in its data folder; otherwise the house is opened for it.

use crate::cli::Ground;
use crate::exit::Exit;
use crate::house;
use crate::http::{Rotate, Rotated};
use crate::loopback::Loopback;
use anyhow::Context;
use http::StatusCode;
use std::time::Duration;
use vault::{Pass, VaultError};

/// How long to wait before asking on.
const PAUSE: Duration = Duration::from_millis(500);

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Re-wrap everybody's keys under a new version and destroy the old one: what was erased is then unreadable
    Rotate,
}

/// Rotates.
///
/// # Errors
/// The house can be neither opened nor asked, or the rotation fails: then the old version stays, and the next rotation goes
/// on there.
pub fn run(Command::Rotate: Command, ground: &Ground) -> anyhow::Result<Exit> {
    let opened = house::with(ground, |vault, _| {
        let done = vault.rotate()?.wait()?;
        Ok(Rotated { version: done.version, rewrapped: done.n_rows })
    });
    let rotated = match opened {
        Err(error) if matches!(error.downcast_ref(), Some(VaultError::Locked { .. })) => served(ground)?,
        opened => opened?,
    };
    let human =
        format!("key version {}: {} rows re-wrapped, older versions destroyed", rotated.version, rotated.rewrapped);
    ground.say.answer(&rotated, human)?;
    ground.say.next("fineline census search --notes FILE, to see that an erased person is gone");
    Ok(Exit::Fine)
}

/// Asks the process that serves the data folder, until it is done.
fn served(ground: &Ground) -> anyhow::Result<Rotated> {
    let data = ground.settings.data();
    let pass = Pass::read(&data)?.with_context(|| {
        format!("another process has {} open and does not serve it: wait until it has ended", data.display())
    })?;
    let server = Loopback::with_token(pass.at, pass.token())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rotate = Rotate { goes_on: false };
    loop {
        let asked = runtime.block_on(server.post("/key/rotate", &serde_json::to_value(rotate)?));
        let (status, answer) = asked.with_context(|| format!("no server answers at {}", pass.at))?;
        if status == StatusCode::ACCEPTED {
            ground.say.talk("the keys are still being rotated; others are served meanwhile");
            rotate.goes_on = true;
            runtime.block_on(tokio::time::sleep(PAUSE));
            continue;
        }
        let says = answer.get("message").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let rotated = serde_json::from_value(answer).ok();
        return rotated.with_context(|| format!("the server at {} did not rotate: {status} {says}", pass.at));
    }
}
