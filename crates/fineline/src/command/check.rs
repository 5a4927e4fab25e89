//! `fineline check [FILES]`: reads promise files and says what is wrong, with file, line, column, caret and help.

use crate::cli::Ground;
use crate::config::read_text;
use crate::exit::Exit;
use crate::house::{self, PROMISE_BYTES_MAX};
use crate::say::Say;
use collect::import::Mapping;
use promise::{Report, Style};
use std::path::{Path, PathBuf};

/// Check promise files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Promise files, or mapping files [default: the promise file of the settings]
    files: Vec<PathBuf>,
    /// How to answer
    #[arg(long, value_name = "FORM", default_value = "human")]
    format: Format,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// As rustc shows mistakes.
    Human,
    /// One JSON object per file.
    Json,
}

/// Checks each file; warnings alone are fine.
///
/// # Errors
/// A file that cannot be read.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let default = [ground.settings.promise()];
    let files = if args.files.is_empty() { &default[..] } else { &args.files[..] };
    let json = args.format == Format::Json || ground.say.is_json();
    let mut n_errors = 0;
    for path in files {
        let text = read_text(path, PROMISE_BYTES_MAX)?;
        let report = report(path, &text, ground)?;
        n_errors += report.n_errors();
        if json {
            ground.say.data(report.to_json())?;
        } else if report.diagnostics.is_empty() {
            ground.say.talk(format!("{}: nothing to say", path.display()));
        } else {
            ground.say.data(shown(ground.say, &report, &text))?;
        }
    }
    if n_errors > 0 {
        return Ok(Exit::Findings);
    }
    if !json {
        ground.say.next("fineline plan");
    }
    Ok(Exit::Fine)
}

/// Mistakes of a promise file, or of a mapping file under the promise of the settings.
fn report(path: &Path, text: &str, ground: &Ground) -> anyhow::Result<Report> {
    let name = path.display().to_string();
    let is_mapping = toml::from_str::<toml::Table>(text).is_ok_and(|table| table.contains_key("columns"));
    if is_mapping {
        let written = house::promise(ground)?;
        let parsed = Mapping::parse(&name, text, &written.promise);
        return Ok(parsed.err().unwrap_or(Report { file_name: name, diagnostics: Vec::new() }));
    }
    Ok(promise::parse_with_warnings(&name, text).map_or_else(|report| report, |(_, warnings)| warnings))
}

/// Mistakes as a reader sees them.
#[must_use]
pub fn shown(say: Say, report: &Report, text: &str) -> String {
    report.render(text, if say.has_colour() { Style::Colour } else { Style::Plain })
}
