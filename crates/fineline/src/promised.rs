//! What is promised now, as opposed to what the promise file says: the text in force and the one that people were told of
//! lie in the house's own records. `plan` compares, `apply` moves, `serve` refuses to run on anything else.

use crate::exit::Failure;
use crate::house::Written;
use anyhow::Context;
use model::Day;
use promise::{Changes, Direction, Promise};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;
use vault::Vault;

/// The text in force.
const NOW: &str = vault::PROMISE_IN_FORCE;
/// The text that people are being told of, and since when.
const NEXT: &str = "promise/next";

/// A promise that people are being told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The text, byte for byte.
    pub text: String,
    /// Since which day.
    pub since: String,
}

impl Told {
    /// Since which day people have been told; `None` for a damaged record.
    #[must_use]
    pub fn since(&self) -> Option<Day> {
        Day::parse(&self.since)
    }
}

/// The promise in force; `None` before the first `apply`.
///
/// # Errors
/// A vault that cannot be read, or a record in it that no longer parses.
pub fn now(vault: &Vault) -> anyhow::Result<Option<Arc<Promise>>> {
    Ok(in_force(vault)?.map(|written| written.promise))
}

/// The same with its text.
///
/// # Errors
/// A vault that cannot be read, or a record in it that no longer parses.
pub fn in_force(vault: &Vault) -> anyhow::Result<Option<Written>> {
    let Some(bytes) = vault.snapshot().house_record(NOW)? else { return Ok(None) };
    let text = String::from_utf8(bytes).context("the promise in force is not text")?;
    let promise = promise::parse("the promise in force", &text).map_err(anyhow::Error::new)?;
    Ok(Some(Written { promise: Arc::new(promise), text }))
}

/// The promise that people are being told of.
///
/// # Errors
/// A vault that cannot be read.
pub fn next(vault: &Vault) -> anyhow::Result<Option<Told>> {
    let bytes = vault.snapshot().house_record(NEXT)?;
    bytes.map(|bytes| Ok(serde_json::from_slice(&bytes)?)).transpose()
}

/// Begins to tell people of a promise.
///
/// # Errors
/// A vault that cannot be written.
pub fn tell(vault: &Vault, text: &str, since: Day) -> anyhow::Result<()> {
    let told = Told { text: text.to_owned(), since: since.to_string() };
    vault.put_house_record(NEXT, Some(serde_json::to_vec(&told)?))?.wait()?;
    Ok(())
}

/// Puts a promise in force.
///
/// # Errors
/// A vault that cannot be written.
pub fn put(vault: &Vault, text: &str) -> anyhow::Result<()> {
    vault.put_house_record(NOW, Some(text.as_bytes().to_vec()))?.wait()?;
    vault.put_house_record(NEXT, None)?.wait()?;
    Ok(())
}

/// Refuses to go on when the file is not what is promised now.
///
/// # Errors
/// [`Failure::Waits`].
pub fn check_in_force(vault: &Vault, file: &Promise) -> anyhow::Result<()> {
    match now(vault)? {
        None => Err(Failure::waits("nothing has been promised yet: run `fineline apply --as YOUR-NAME` first")),
        Some(now) if now.hash == file.hash => Ok(()),
        Some(_) => Err(Failure::waits(
            "the promise file differs from what is promised now: run `fineline plan`, then `fineline apply --as YOUR-NAME`",
        )),
    }
}

/// Changes as `plan` and `apply` show them.
#[must_use]
pub fn shown(old: &Promise, new: &Promise, changes: &Changes, today: Day) -> String {
    let count = |direction| changes.list.iter().filter(|change| change.direction == direction).count();
    let (weaker, stronger) = (count(Direction::Expanding), count(Direction::Narrowing));
    let mut out =
        format!("notice {} → {}   {weaker} weaker, {stronger} stronger\n\n", old.notice.version, new.notice.version);
    for change in &changes.list {
        let mark = match change.direction {
            Direction::Expanding => '!',
            Direction::Narrowing => '+',
            Direction::Neutral => ' ',
        };
        let name =
            if change.name.is_empty() { change.kind.to_owned() } else { format!("{}.{}", change.kind, change.name) };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{mark} {name:<28} {}  ({})", change.what, change.direction.as_str());
    }
    if changes.needs_notice() {
        let start = changes.earliest_start(today);
        let days = old.notice.tell_people_before_days;
        let _ = writeln!(
            out,
            "\nearliest start {start}: people are told {days} days before; who agreed to the old words keeps them"
        );
    }
    out
}

/// Changes for machines.
#[must_use]
pub fn machine(changes: &Changes, today: Day) -> serde_json::Value {
    let list = changes.list.iter().map(|change| {
        let purposes: Vec<&str> = change.purposes.iter().map(model::PurposeName::as_str).collect();
        serde_json::json!({
            "kind": change.kind, "name": change.name, "what": change.what,
            "direction": change.direction.as_str(), "purposes": purposes,
        })
    });
    serde_json::json!({
        "changes": list.collect::<Vec<_>>(),
        "needs_notice": changes.needs_notice(),
        "earliest_start": changes.earliest_start(today).to_string(),
        "needs_version": changes.needs_version,
        "uncovered": changes.uncovered.iter().map(model::PurposeName::as_str).collect::<Vec<_>>(),
    })
}

/// What forbids that a promise is put in force at all, whatever people are told.
///
/// # Errors
/// [`Failure::Refused`].
pub fn check_lawful(changes: &Changes, new: &Promise) -> anyhow::Result<()> {
    if changes.needs_version {
        let text = format!("the promise gets weaker, so [notice] needs a higher version than {}", new.notice.version);
        return Err(Failure::refused(text));
    }
    if !changes.uncovered.is_empty() {
        let names: Vec<&str> = changes.uncovered.iter().map(model::PurposeName::as_str).collect();
        return Err(Failure::refused(format!(
            "older answers do not cover the weaker promise: set `since_notice = {}` in [purpose.{}]",
            new.notice.version,
            names.join("], [purpose.")
        )));
    }
    Ok(())
}
