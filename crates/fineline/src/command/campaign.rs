//! `fineline campaign start|pause|lift NAME`.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use decide::order::{self, Wish};
use model::{CampaignName, StaffName};
use std::fmt::Write;
use understand::lift::{self, Count, Counts, Finding, Report, Trial};

/// What can be done with campaigns.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Decide and send from the next `fineline serve` on; a paused run goes on
    Start(Order),
    /// Decide and send nothing until started again
    Pause(Order),
    /// What it changed: those it was for against those left alone
    Lift(Args),
}

/// Who wants it.
#[derive(Debug, clap::Args)]
pub struct Order {
    /// A [campaign.NAME] of the promise file
    name: String,
    /// Who says so; stands in the log
    #[arg(long = "as", value_name = "NAME")]
    staff: String,
}

/// Of which campaign.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A [campaign.NAME] of the promise file
    name: String,
}

/// Does it.
///
/// # Errors
/// An unknown campaign; an audience below the smallest group (exit 4); a house that cannot be opened.
pub fn run(command: Command, ground: &Ground) -> anyhow::Result<Exit> {
    match command {
        Command::Start(order) => wish(&order, Wish::Start, ground),
        Command::Pause(order) => wish(&order, Wish::Pause, ground),
        Command::Lift(args) => lift(&args, ground),
    }
}

fn name(text: &str) -> anyhow::Result<CampaignName> {
    CampaignName::parse(text).map_err(|error| Failure::usage(error.to_string()))
}

fn wish(order: &Order, wish: Wish, ground: &Ground) -> anyhow::Result<Exit> {
    let name = name(&order.name)?;
    let staff = StaffName::parse(&order.staff).map_err(|error| Failure::usage(format!("--as: {error}")))?;
    house::with(ground, |vault, written| {
        if order::find(&written.promise, &name).is_none() {
            return Err(Failure::usage(format!("no [campaign.{name}] is declared")));
        }
        let state = order::order(vault, &written.promise, &name, wish, staff.as_str())?;
        let word = match wish {
            Wish::Start => "runs",
            Wish::Pause => "is paused",
        };
        ground.say.answer(&state, format!("{name} {word} (run {})", state.run))?;
        ground.say.next(match wish {
            Wish::Start => format!("fineline serve, then fineline campaign lift {name}"),
            Wish::Pause => format!("fineline campaign start {name} --as {staff}"),
        });
        Ok(Exit::Fine)
    })
}

fn lift(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let name = name(&args.name)?;
    house::with(ground, |vault, written| {
        let Some((plan, artefact)) = order::find(&written.promise, &name) else {
            return Err(Failure::usage(format!("no [campaign.{name}] is declared")));
        };
        let numbers = vault.snapshot().campaign_numbers(artefact.id)?;
        let report = lift::report(&numbers, plan.hold_out_permille, written.promise.guard.smallest_group);
        let floor = written.promise.guard.smallest_group;
        let undecided = decide::house::refusals(&vault.snapshot(), &name)?;
        let undecided = undecided.into_iter().map(|(word, n)| (word, Count::rounded(n, floor))).collect();
        ground.say.answer(&machine(&name, &report, &undecided), human(&report, &undecided))?;
        ground.say.next("fineline serve, and read it with its chart in the console");
        Ok(Exit::Fine)
    })
}

/// The report for machines: infinite ends of the interval are null, and so are counts below the smallest group.
#[must_use]
pub fn machine(name: &CampaignName, report: &Report, undecided: &Counts) -> serde_json::Value {
    let end = |end: f64| end.is_finite().then_some(end);
    let each = |counts: &Counts| -> serde_json::Map<String, serde_json::Value> {
        counts.iter().map(|(word, count)| (word.clone(), count.machine())).collect()
    };
    let trial = report.trial.as_ref();
    let finding = match trial.map(|trial| trial.finding) {
        None => "too_few",
        Some(Finding::Helps) => "helps",
        Some(Finding::Harms) => "harms",
        Some(Finding::NoEvidence) => "no_evidence",
    };
    serde_json::json!({
        "campaign": name.as_str(),
        "sentence": report.sentence,
        "finding": finding,
        "treated": trial.map(|Trial { treated, sent, .. }| serde_json::json!({
            "people": treated.n_people, "buyers": treated.buyers.machine(), "sent": sent.machine(),
        })),
        "held_out": trial.map(|Trial { held_out, .. }| serde_json::json!({
            "people": held_out.n_people, "buyers": held_out.buyers.machine(),
        })),
        "lift": trial.and_then(|trial| trial.lift),
        "interval_95": trial.and_then(|trial| trial.interval).map(|(low, high)| [end(low), end(high)]),
        "sample_ratio": trial.map(|trial| serde_json::json!({ "p": trial.sample_ratio.p, "fine": trial.sample_ratio.is_fine })),
        "basis": trial.map(|trial| each(&trial.basis)),
        "waiting": each(&report.waiting),
        "refused": each(&report.refused),
        "no_message_made": each(undecided),
        "turned_down": report.reduced.machine(),
    })
}

fn human(report: &Report, undecided: &Counts) -> String {
    let mut out = format!("{}\n\n", report.sentence);
    // Writing to a String cannot fail.
    if let Some(trial) = &report.trial {
        for (word, arm) in [("for", &trial.treated), ("left alone", &trial.held_out)] {
            let _ = writeln!(
                out,
                "  {word:<12} {:>7} people  {:>13} bought  {:>6.2} %",
                arm.n_people,
                arm.buyers,
                100.0 * arm.share
            );
        }
        let fine = if trial.sample_ratio.is_fine { "fine" } else { "BROKEN" };
        let _ = writeln!(out, "  sample ratio {fine}, p = {:.3}\n  sent {}", trial.sample_ratio.p, trial.sent);
    }
    let _ = writeln!(out, "  said less or stop: {}", report.reduced);
    for (heading, counts) in [("waiting", &report.waiting), ("refused", &report.refused), ("not made", undecided)] {
        for (reason, count) in counts {
            let _ = writeln!(out, "  {heading:<12} {count:>13}  {reason}");
        }
    }
    out
}
