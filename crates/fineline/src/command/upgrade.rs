//! `fineline upgrade --check`: whether this program may open the data folder, what it would change in it, and whether one
//! may go back to the release before. It opens no record and changes nothing; the folder may be served meanwhile.
//!
//! Not here: the rule itself (`vault::upgrade`).

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use crate::root::Asking;
use std::fmt::Write as _;
use vault::EngineKind;
use vault::upgrade::{Outlook, Previous, look};

/// Say whether this program may open the data folder, and the release before it afterwards.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only look; the only form there is: a folder needs no other step than to be served by the new program
    #[arg(long, required = true)]
    check: bool,
}

/// Looks: 0 = it opens and one may go back, 1 = something to know first, 5 = it does not open.
///
/// # Errors
/// Another format, a wrong root key, a file that is missing or of a later form.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    if !args.check {
        return Err(Failure::usage("nothing has to be upgraded by hand; use `fineline upgrade --check`"));
    }
    let root = ground.root(Asking::Once)?;
    let outlook = look(&ground.settings.data(), &root)?;
    let findings = findings(ground, &outlook)?;
    ground.say.answer(&machine(&outlook, &findings), human(ground, &outlook, &findings))?;
    if findings.is_empty() {
        ground.say.next("fineline serve");
        return Ok(Exit::Fine);
    }
    ground.say.next("fineline backup, with the program of before, and keep that program");
    Ok(Exit::Findings)
}

/// What should be known before this program serves the folder.
fn findings(ground: &Ground, outlook: &Outlook) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    if let Previous::MayNot { version, because } = &outlook.previous {
        findings.push(format!("no way back to {version}: {because}"));
    }
    let set = ground.settings.engine()?;
    if let Some(engine) = outlook.engine.filter(|engine| *engine != set) {
        findings.push(format!("its store is one of {}: set `engine` to that", word(engine)));
    }
    let promise = ground.settings.promise();
    if promise.exists() && house::promise(ground).is_err() {
        findings.push(format!("{} is refused by this program; see `fineline check`", promise.display()));
    }
    Ok(findings)
}

const fn word(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Fjall => "fjall",
        EngineKind::Redb => "redb",
        EngineKind::Memory => "memory",
        EngineKind::Postgres(_) => "postgres",
    }
}

fn machine(outlook: &Outlook, findings: &[String]) -> serde_json::Value {
    let (previous, may_open) = match &outlook.previous {
        Previous::None => (None, None),
        Previous::MayOpen(version) => (Some(version), Some(true)),
        Previous::MayNot { version, .. } => (Some(version), Some(false)),
    };
    serde_json::json!({
        "house": outlook.house.to_string(),
        "opens": true,
        "format": outlook.format,
        "program": env!("CARGO_PKG_VERSION"),
        "engine": outlook.engine.map(word),
        "files": outlook.files.iter().map(|(name, form)| ((*name).to_owned(), *form)).collect::<std::collections::BTreeMap<_, _>>(),
        "changes": outlook.changes,
        "previous": previous,
        "previous_may_open": may_open,
        "findings": findings,
    })
}

fn human(ground: &Ground, outlook: &Outlook, findings: &[String]) -> String {
    let (data, program) = (ground.settings.data(), env!("CARGO_PKG_VERSION"));
    let mut out = format!("{} has format {}: fineline {program} opens it\n", data.display(), outlook.format);
    // Writing to a String cannot fail.
    for change in &outlook.changes {
        let _ = writeln!(out, "at the next start {change}");
    }
    let _ = match &outlook.previous {
        Previous::None => writeln!(out, "there is no earlier release to go back to"),
        Previous::MayOpen(version) => writeln!(out, "fineline {version} may open it again afterwards"),
        Previous::MayNot { .. } => Ok(()),
    };
    for finding in findings {
        let _ = writeln!(out, "look: {finding}");
    }
    out
}
