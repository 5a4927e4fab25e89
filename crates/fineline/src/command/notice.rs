//! `fineline notice render`: the notice that people read, made from the promise file alone.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use promise::Notice;

/// What can be done with the notice.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the notice to stdout
    Render(Args),
}

/// In which language.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One of the promise file's languages [default: its first]
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<String>,
}

/// Writes it.
///
/// # Errors
/// A refused promise file, or a language that it does not have.
pub fn run(Command::Render(args): Command, ground: &Ground) -> anyhow::Result<Exit> {
    let written = house::promise(ground)?;
    let languages = &written.promise.languages;
    let language = args.lang.as_deref().or(languages.first().map(String::as_str)).unwrap_or("en");
    if !languages.iter().any(|known| known == language) {
        return Err(Failure::usage(format!("the promise file has no {language:?}; it has {}", languages.join(", "))));
    }
    let notice = written.promise.notice_text(language);
    ground.say.answer(&machine(&notice, language), notice.to_text())?;
    ground.say.next("fineline plan");
    Ok(Exit::Fine)
}

fn machine(notice: &Notice, language: &str) -> serde_json::Value {
    let sections = notice.sections.iter().map(|section| {
        let items = section.items.iter().map(|item| {
            serde_json::json!({ "declared": [item.proof.0, item.proof.1], "about": item.about, "text": item.text })
        });
        serde_json::json!({ "heading": section.heading, "items": items.collect::<Vec<_>>() })
    });
    serde_json::json!({
        "title": notice.title, "version": notice.version, "starts": notice.starts.to_string(),
        "language": language, "sections": sections.collect::<Vec<_>>(),
    })
}
