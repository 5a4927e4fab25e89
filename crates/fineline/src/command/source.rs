//! `fineline source key NAME`: the write key of a source. Only a blind token of it is stored; it is shown once.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use model::SourceName;
use promise::SourceKind;

/// What can be done with sources.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a write key and print it; it cannot be shown again
    Key(Args),
}

/// Of which source.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A [source.NAME] of the promise file
    name: String,
    /// Replace the key there is; the old one works on until the next rotation
    #[arg(long)]
    rotate: bool,
}

/// Makes the key.
///
/// # Errors
/// An undeclared source, or the house cannot be opened.
pub fn run(Command::Key(args): Command, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, written| {
        let name = SourceName::parse(&args.name).map_err(|error| Failure::usage(error.to_string()))?;
        let Some(source) = written.promise.sources.get(&name) else {
            let known: Vec<&str> = written.promise.sources.keys().map(SourceName::as_str).collect();
            return Err(Failure::usage(format!("no [source.{name}] is declared; declared: {}", known.join(", "))));
        };
        if source.kind == SourceKind::Import {
            return Err(Failure::usage(format!("source {name} takes files; `fineline import` needs no key")));
        }
        let key = vault.issue_source_key(&name, args.rotate)?.wait()?;
        ground.say.answer(&serde_json::json!({ "source": name.as_str(), "key": key }), &key)?;
        ground.say.talk("Keep it: only a token of it is stored here.");
        ground.say.next("fineline serve");
        Ok(Exit::Fine)
    })
}
