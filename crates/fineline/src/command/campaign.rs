//! `fineline campaign start|pause|lift NAME`.

use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use decide::order::{self, Wish};
use model::{CampaignName, StaffName};
use std::fmt::Write;
use understand::lift::{self, Finding, Report};
use vault::CampaignNumbers;

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
        let report = lift::report(&numbers, plan.hold_out_permille);
        ground.say.answer(&machine(&name, &numbers, &report), human(&numbers, &report))?;
        ground.say.next("fineline serve, and read it with its chart in the console");
        Ok(Exit::Fine)
    })
}

/// The report for machines: infinite ends of the interval are null.
#[must_use]
pub fn machine(name: &CampaignName, numbers: &CampaignNumbers, report: &Report) -> serde_json::Value {
    let end = |end: f64| end.is_finite().then_some(end);
    let finding = match report.finding {
        Finding::Helps => "helps",
        Finding::Harms => "harms",
        Finding::NoEvidence => "no_evidence",
    };
    serde_json::json!({
        "campaign": name.as_str(),
        "sentence": report.sentence,
        "treated": { "people": report.treated.n_people, "buyers": report.treated.n_buyers, "sent": numbers.n_sent },
        "held_out": { "people": report.held_out.n_people, "buyers": report.held_out.n_buyers },
        "lift": report.lift,
        "interval_95": report.interval.map(|(low, high)| [end(low), end(high)]),
        "finding": finding,
        "sample_ratio": { "p": report.sample_ratio.p, "fine": report.sample_ratio.is_fine },
        "waiting": numbers.waiting,
        "refused": numbers.refused,
        "basis": numbers.basis,
        "turned_down": numbers.n_reduced,
    })
}

fn human(numbers: &CampaignNumbers, report: &Report) -> String {
    let mut out = format!("{}\n\n", report.sentence);
    for (word, arm) in [("for", report.treated), ("left alone", report.held_out)] {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  {word:<12} {:>7} people  {:>6} bought  {:>6.2} %",
            arm.n_people,
            arm.n_buyers,
            100.0 * arm.share()
        );
    }
    let _ = writeln!(
        out,
        "  sample ratio {}, p = {:.3}",
        if report.sample_ratio.is_fine { "fine" } else { "BROKEN" },
        report.sample_ratio.p
    );
    let _ = writeln!(out, "  sent {}, said less or stop {}", numbers.n_sent, numbers.n_reduced);
    for (heading, counts) in [("waiting", &numbers.waiting), ("refused", &numbers.refused)] {
        for (reason, n) in counts {
            let _ = writeln!(out, "  {heading:<12} {n:>7}  {reason}");
        }
    }
    out
}
