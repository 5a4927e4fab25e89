//! Opening a house for a command: promise, root key, data folder. What the rooms need is made here and passed in.

use crate::chance::SystemChance;
use crate::cli::Ground;
use crate::clock::SystemClock;
use crate::config::read_text;
use crate::exit::Failure;
use crate::promised;
use crate::root::Asking;
use anyhow::Context;
use model::{Clock, Rng};
use promise::Promise;
use std::path::Path;
use std::sync::Arc;
use vault::{Household, Options, Vault, VaultError};

/// Largest promise or mapping file, in bytes.
pub const PROMISE_BYTES_MAX: u64 = 1024 * 1024;

/// A promise with the text it was read from.
#[derive(Debug, Clone)]
pub struct Written {
    /// What it declares.
    pub promise: Arc<Promise>,
    /// The file, byte for byte.
    pub text: String,
}

/// Reads and checks the promise file of the settings.
///
/// # Errors
/// The file cannot be read, or every mistake in it with its place.
pub fn promise(ground: &Ground) -> anyhow::Result<Written> {
    read_promise(ground, &ground.settings.promise())
}

/// Reads and checks one promise file.
///
/// # Errors
/// The file cannot be read, or every mistake in it with its place.
pub fn read_promise(ground: &Ground, path: &Path) -> anyhow::Result<Written> {
    if !path.exists() {
        return Err(anyhow::anyhow!("there is no {} here; `fineline init` writes a starter", path.display()));
    }
    let text = read_text(path, PROMISE_BYTES_MAX)?;
    match promise::parse(&path.display().to_string(), &text) {
        Ok(promise) => Ok(Written { promise: Arc::new(promise), text }),
        Err(report) => {
            ground.say.stderr(&crate::command::check::shown(ground.say, &report, &text));
            Err(Failure::findings(format!("{} is refused: {}", path.display(), report.counts())))
        }
    }
}

/// What the vault is given to work with: this machine's clock and chance, and the traits and segments of the promise.
#[must_use]
pub fn household(promise: Arc<Promise>) -> Household {
    household_with(promise, Arc::new(SystemClock), Arc::new(SystemChance::default()))
}

/// The same with a clock and chance of the caller's: for the demonstration and the tests.
#[must_use]
pub fn household_with(promise: Arc<Promise>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Household {
    let projection = Arc::new(understand::Traits::new(&promise));
    Household { promise, clock, rng, projection }
}

/// Where and with what to open, from the settings.
///
/// # Errors
/// A wrong setting, or a passphrase that cannot be had.
pub fn options(ground: &Ground, asking: Asking) -> anyhow::Result<Options> {
    let settings = &ground.settings;
    Ok(Options {
        data: settings.data(),
        engine: settings.engine()?,
        root: ground.root(asking)?,
        queue_max: settings.queue_max(),
        witness: settings.witness(),
    })
}

/// Opens the house of the settings under its promise file.
///
/// # Errors
/// A refused promise file; a locked, foreign, damaged or missing data folder; a wrong root key.
pub fn open(ground: &Ground) -> anyhow::Result<(Vault, Written)> {
    let written = promise(ground)?;
    let vault = open_under(ground, &written)?;
    Ok((vault, written))
}

/// Opens the house under a promise already read.
///
/// # Errors
/// A locked, foreign, damaged or missing data folder; a wrong root key.
pub fn open_under(ground: &Ground, written: &Written) -> anyhow::Result<Vault> {
    let options = options(ground, Asking::Once)?;
    let vault = Vault::open(&options, household(written.promise.clone()));
    vault.map_err(|error| match error {
        VaultError::Locked { .. } => anyhow::Error::new(error)
            .context("the house is being served by another process: do this in its console, or stop it first"),
        other => other.into(),
    })
}

/// Opens the house under the promise in force, does something, and closes it again whatever came of it. Where the file says
/// something else already, it waits for `apply`; before the first `apply` the file is all there is.
///
/// # Errors
/// What opening, the deed or closing says.
pub fn with<T>(ground: &Ground, deed: impl FnOnce(&Vault, &Written) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (vault, written) = open(ground)?;
    match promised::in_force(&vault) {
        Ok(Some(now)) if now.promise.hash != written.promise.hash => {
            vault.close().context("closing the data folder")?;
            drop(vault);
            let version = now.promise.notice.version;
            ground
                .say
                .talk(format!("under the promise in force, notice {version}: the file differs, see `fineline plan`"));
            finish(open_under(ground, &now)?, &now, deed)
        }
        Ok(_) => finish(vault, &written, deed),
        Err(error) => finish(vault, &written, |_, _| Err(error)),
    }
}

/// The same under the promise file, whatever is in force: for the commands that compare the two or move from one to the
/// other.
///
/// # Errors
/// What opening, the deed or closing says.
pub fn with_file<T>(ground: &Ground, deed: impl FnOnce(&Vault, &Written) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (vault, written) = open(ground)?;
    finish(vault, &written, deed)
}

fn finish<T>(
    vault: Vault,
    written: &Written,
    deed: impl FnOnce(&Vault, &Written) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let done = deed(&vault, written);
    let closed = vault.close().context("closing the data folder");
    let done = done?;
    closed?;
    Ok(done)
}
