//! `fineline hold place|list|lift`: a legal hold on one person's data. What is held is not deleted, serves nothing else, and
//! stands with its reason on that person's page and with its end in the notice; it ends by itself.

use crate::cli::Ground;
use crate::desk::{Behalf, Whom};
use crate::exit::{Exit, Failure};
use crate::house;
use anyhow::Context;
use model::{Day, ProfileId};
use promise::{Artefact, ArtefactKind};
use std::collections::BTreeSet;
use vault::{HOLD_DAYS_MAX, HoldOrder, HoldView, Vault};

/// What can be done about holds.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Hold a person's data until a day: a court or an authority asks for it
    Place(PlaceArgs),
    /// List the holds on a person's data
    List(ListArgs),
    /// End the holds on a person's data before their day
    Lift(LiftArgs),
}

/// What, and until when.
#[derive(Debug, clap::Args)]
pub struct PlaceArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Who orders it.
    #[command(flatten)]
    behalf: Behalf,
    /// The day on which it ends by itself, such as 2027-03-31
    #[arg(long, value_name = "DATE")]
    until: String,
    /// Only these fields and events; without it everything about the person
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// Whose.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Who looks.
    #[command(flatten)]
    behalf: Behalf,
}

/// Whose.
#[derive(Debug, clap::Args)]
pub struct LiftArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Who ends it.
    #[command(flatten)]
    behalf: Behalf,
}

/// Does it.
///
/// # Errors
/// Nobody by this id, a missing reason, a day that is none, a house that cannot be opened.
pub fn run(command: Command, ground: &Ground) -> anyhow::Result<Exit> {
    match command {
        Command::Place(args) => place(&args, ground),
        Command::List(args) => list(&args, ground),
        Command::Lift(args) => lift(&args, ground),
    }
}

fn place(args: &PlaceArgs, ground: &Ground) -> anyhow::Result<Exit> {
    let until = Day::parse(&args.until).ok_or_else(|| Failure::usage("--until: a day such as 2027-03-31"))?;
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        let staff = args.behalf.note(vault, "held_person", person)?;
        let order = HoldOrder {
            person,
            names: args.only.iter().cloned().collect::<BTreeSet<_>>(),
            reason: args.behalf.reason.clone(),
            staff: staff.to_string(),
            until,
        };
        let held = vault.hold(order)?.wait()?.map_err(|_| {
            Failure::refused(format!(
                "a hold ends at most {HOLD_DAYS_MAX} days ahead, and --only names declared fields and events"
            ))
        })?;
        ground.say.answer(&machine(&held), human(&held))?;
        ground.say.next("fineline hold list, and take the page to the person who asked");
        Ok(Exit::Fine)
    })
}

fn list(args: &ListArgs, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        args.behalf.note(vault, "opened_person", person)?;
        let holds = holds_of(vault, person)?;
        let shown: Vec<String> = holds.iter().map(human).collect();
        let text = if shown.is_empty() { "nothing is held".to_owned() } else { shown.join("\n") };
        ground.say.answer(&serde_json::json!({ "holds": holds.iter().map(machine).collect::<Vec<_>>() }), text)?;
        Ok(Exit::Fine)
    })
}

fn lift(args: &LiftArgs, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        args.behalf.note(vault, "lifted_hold", person)?;
        let mut n_lifted = 0usize;
        for hold in holds_of(vault, person)? {
            let id = HoldView::parse_id(&hold.id).context("a hold has an id that is none")?;
            n_lifted += usize::from(vault.lift_hold(person, id)?.wait()?);
        }
        ground.say.answer(&serde_json::json!({ "lifted": n_lifted }), format!("{n_lifted} lifted"))?;
        ground.say.next("what had ended meanwhile goes with the next sweep of `fineline serve`");
        Ok(Exit::Fine)
    })
}

fn holds_of(vault: &Vault, person: ProfileId) -> anyhow::Result<Vec<HoldView>> {
    let snapshot = vault.snapshot();
    let page = snapshot.promise().artefact(ArtefactKind::Page, Artefact::PORTAL).context("there is no portal")?.id;
    let permit = snapshot.permit(person, page)?;
    let leaving = permit.leaving()?;
    Ok(leaving.reveal().holds.clone())
}

fn human(hold: &HoldView) -> String {
    let what = if hold.names.is_empty() { "everything".to_owned() } else { hold.names.join(", ") };
    format!("{}: {what} until {}, by {}: {}", hold.id, hold.until, hold.staff, hold.reason)
}

fn machine(hold: &HoldView) -> serde_json::Value {
    serde_json::json!({
        "id": hold.id, "names": hold.names, "until": hold.until.to_string(), "staff": hold.staff,
        "reason": hold.reason, "since": hold.at.to_string(),
    })
}
