//! `fineline config`: each setting with its origin.

use crate::cli::Ground;
use crate::config::KEYS;
use crate::exit::Exit;
use std::fmt::Write;

/// Show each setting and where it comes from: default, fineline.toml, `FINELINE_*` or flag.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints one line per setting.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(_: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let says = |name: &str| KEYS.iter().find(|key| key.name == name).map_or("", |key| key.says);
    let mut out = String::new();
    for (name, setting) in ground.settings.iter() {
        if ground.say.is_json() {
            let line = serde_json::json!({
                "name": name, "value": setting.text, "origin": setting.origin.to_string(), "says": says(name),
            });
            ground.say.data(line)?;
        } else {
            let value = if setting.text.is_empty() { "\"\"" } else { &setting.text };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name:<20} = {value:<24} {:<28} {}", format!("({})", setting.origin), says(name));
        }
    }
    ground.say.data(out)?;
    ground.say.next("fineline doctor");
    Ok(Exit::Fine)
}
