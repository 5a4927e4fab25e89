//! `fineline apply --as NAME`: reviews what the promise file asks for and puts it in force. A weaker promise waits
//! the days in which people have to be told; telling them is still the operator's part, and it says so.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house::{self, Written};
use crate::promised;
use anyhow::Context;
use model::StaffName;
use promise::Promise;
use std::fmt::Write;
use std::io::{BufRead, IsTerminal};
use vault::{ArtefactState, Review, StaffAct, Vault};

/// Review the promise file and put it in force.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who reviews; stands in the record, signed
    #[arg(long = "as", value_name = "NAME")]
    staff: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Applies.
///
/// # Errors
/// A change that may not be made, or must be told first; a house that cannot be opened.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let staff = StaffName::parse(&args.staff).map_err(|error| Failure::usage(format!("--as: {error}")))?;
    house::with_file(ground, |vault, written| {
        if let Some(old) = promised::now(vault)?.filter(|old| old.hash != written.promise.hash) {
            change(args, ground, vault, &old, written)?;
        }
        let reviewed = review(vault, &staff)?;
        promised::put(vault, &written.text)?;
        let act = StaffAct {
            staff: staff.to_string(),
            act: "applied_promise",
            person: None,
            reason: format!("notice {}", written.promise.notice.version),
            at: vault.now(),
        };
        vault.staff_act(act)?.wait()?;
        tell(ground, vault, written, &reviewed)
    })
}

/// A change of what is promised: lawful, told, and wanted.
fn change(args: &Args, ground: &Ground, vault: &Vault, old: &Promise, written: &Written) -> anyhow::Result<()> {
    let today = vault.now().day();
    let changes = promise::changes(old, &written.promise);
    ground.say.talk(promised::shown(old, &written.promise, &changes, today));
    promised::check_lawful(&changes, &written.promise)?;
    if changes.needs_notice() {
        let told = promised::next(vault)?.filter(|told| told.text == written.text);
        let since = told.as_ref().and_then(promised::Told::since);
        let start = changes.earliest_start(since.unwrap_or(today)).max(written.promise.notice.starts);
        if since.is_none() {
            agree(args, ground, "Count the days from today? Fineline mails no notice yet: tell people yourself.")?;
            promised::tell(vault, &written.text, today)?;
        }
        if today < start {
            return Err(Failure::waits(format!(
                "the days count since {}, and Fineline mails no notice yet: tell people yourself (`fineline notice render` \
                 writes it). The old promise holds until {start}: run this again then",
                since.unwrap_or(today)
            )));
        }
    }
    agree(args, ground, "Put it in force?")
}

/// Asks on a terminal; elsewhere `--yes` has to say it.
fn agree(args: &Args, ground: &Ground, question: &str) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || ground.say.is_json() {
        return Err(Failure::usage("this changes what is promised: add --yes"));
    }
    ground.say.talk(format!("{question} [y/N]"));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("reading the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::waits("nothing was changed")),
    }
}

/// Reviews everything that waits for a review. Who has reviewed a thing already does not count twice.
///
/// # Errors
/// A vault that cannot be written.
pub fn review(vault: &Vault, staff: &StaffName) -> anyhow::Result<Vec<ArtefactState>> {
    let waiting: Vec<ArtefactState> =
        vault.snapshot().artefacts().into_iter().filter(|state| !state.is_effective).collect();
    let mut reviewed = Vec::new();
    for state in waiting {
        if state.reviewed.iter().any(|(name, _)| name == staff.as_str()) {
            continue;
        }
        let review =
            Review { artefact: state.id, staff: staff.to_string(), role: "privacy".to_owned(), at: vault.now() };
        vault.review(review)?.wait()?;
        reviewed.push(state);
    }
    Ok(reviewed)
}

fn tell(ground: &Ground, vault: &Vault, written: &Written, reviewed: &[ArtefactState]) -> anyhow::Result<Exit> {
    let states = vault.snapshot().artefacts();
    let waiting: Vec<&ArtefactState> = states.iter().filter(|state| !state.is_effective).collect();
    let named = |state: &ArtefactState| format!("{} {}", state.kind.as_str(), state.name);
    let mut human =
        format!("notice {} is in force from {}\n", written.promise.notice.version, written.promise.notice.starts);
    for state in reviewed {
        // Writing to a String cannot fail.
        let _ = writeln!(human, "  reviewed  {}", named(state));
    }
    for state in &waiting {
        let _ = writeln!(human, "  waits     {}: a second person has to review it", named(state));
    }
    let machine = serde_json::json!({
        "notice": written.promise.notice.version,
        "reviewed": reviewed.iter().map(named).collect::<Vec<_>>(),
        "waiting": waiting.iter().map(|state| named(state)).collect::<Vec<_>>(),
    });
    ground.say.answer(&machine, human)?;
    ground.say.next(if waiting.is_empty() {
        "fineline source key NAME, then fineline serve"
    } else {
        "fineline apply --as ANOTHER-NAME"
    });
    Ok(Exit::Fine)
}
