//! `fineline explain FL203`: the long text of a code, with an example of the mistake and of its repair.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use promise::explain::{EXPLANATIONS, explain};

/// Explain a code.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as FL203; without one, all codes are listed
    code: Option<String>,
}

/// Prints the text, or the list.
///
/// # Errors
/// An unknown code.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let Some(code) = &args.code else {
        for (code, text) in EXPLANATIONS {
            let title = text.lines().next().unwrap_or("").trim_start_matches(['#', ' ']);
            let title = title.trim_start_matches(code).trim_start_matches([':', ' ']);
            ground.say.answer(&serde_json::json!({ "code": code, "title": title }), format!("{code}  {title}"))?;
        }
        ground.say.next("fineline explain CODE");
        return Ok(Exit::Fine);
    };
    let Some(text) = explain(code) else {
        return Err(Failure::usage(format!("there is no code {code}; `fineline explain` lists them")));
    };
    ground.say.answer(&serde_json::json!({ "code": code.to_ascii_uppercase(), "text": text }), text)?;
    ground.say.next("fineline check");
    Ok(Exit::Fine)
}
