//! `fineline person show|export|erase|restore`: at the desk what people do in the portal themselves. Each act stands in the log and
//! on the person's own page, with who did it and why.

use crate::cli::Ground;
use crate::config::write_new_bytes;
use crate::desk::{Behalf, Whom, WhomErased};
use crate::exit::{Exit, Failure};
use crate::house;
use std::path::PathBuf;
use vault::{Erasure, NotUndone, UndoneBy};

/// What can be done for a person.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write everything that is known about a person as JSON
    Show(ShowArgs),
    /// Write the person's whole copy: one zip with a page to read, JSON, CSV and receipts
    Export(ExportArgs),
    /// Erase a person
    Erase(EraseArgs),
    /// Take an erasure back within its 24 hours: the person is there again as before
    Restore(RestoreArgs),
}

/// Whom, and on whose behalf.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Who looks.
    #[command(flatten)]
    behalf: Behalf,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Who looks.
    #[command(flatten)]
    behalf: Behalf,
    /// The zip to write; never over another file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// How.
#[derive(Debug, clap::Args)]
pub struct EraseArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Who acts.
    #[command(flatten)]
    behalf: Behalf,
    /// At once; without it a wrongful erasure can be undone for 24 hours
    #[arg(long)]
    now: bool,
    /// Yes, erase this one person
    #[arg(long)]
    yes: bool,
}

/// Whose erasure.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Who was erased.
    #[command(flatten)]
    whom: WhomErased,
    /// Who acts.
    #[command(flatten)]
    behalf: Behalf,
}

/// Does it.
///
/// # Errors
/// Nobody by this id, a missing reason, a house that cannot be opened.
pub fn run(command: Command, ground: &Ground) -> anyhow::Result<Exit> {
    match command {
        Command::Show(args) => show(&args, ground),
        Command::Export(args) => export(&args, ground),
        Command::Erase(args) => erase(&args, ground),
        Command::Restore(args) => restore(&args, ground),
    }
}

fn show(args: &ShowArgs, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        args.behalf.note(vault, "opened_person", person)?;
        let copy = portal::desk::copy_json(vault, person)?;
        ground.say.data(copy)?;
        ground.say.next("fineline person export --out FILE");
        Ok(Exit::Fine)
    })
}

fn export(args: &ExportArgs, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        args.behalf.note(vault, "exported_person", person)?;
        let archive = portal::desk::export(vault, person)?;
        write_new_bytes(&args.out, &archive)?;
        let machine = serde_json::json!({ "file": args.out, "bytes": archive.len() });
        ground.say.answer(&machine, args.out.display())?;
        ground.say.next("hand it over, then delete it");
        Ok(Exit::Fine)
    })
}

fn erase(args: &EraseArgs, ground: &Ground) -> anyhow::Result<Exit> {
    if !args.yes {
        return Err(Failure::usage("this erases 1 person and cannot be undone after 24 hours: add --yes"));
    }
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        args.behalf.note(vault, "erased_person", person)?;
        let how = if args.now { Erasure::Now } else { Erasure::WithinADay };
        let answer = vault.erase(person, how)?.wait()?;
        ground.say.data(&answer.receipt)?;
        ground.say.talk(format!("gone for everybody now; unrecoverable by {}", answer.unrecoverable_on));
        ground.say.next("fineline key rotate, which makes it unrecoverable here at once");
        Ok(Exit::Fine)
    })
}

fn restore(args: &RestoreArgs, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let (staff, reason) = args.behalf.checked()?;
        let by = UndoneBy::Staff { staff: staff.to_string(), reason };
        for who in args.whom.candidates()? {
            match vault.undo_erasure(who, by.clone())?.wait()? {
                Ok(undone) => {
                    ground.say.data(&undone.receipt)?;
                    ground.say.talk("as before the erasure; the person sees who took it back, and why");
                    ground.say.next("fineline person show");
                    return Ok(Exit::Fine);
                }
                Err(NotUndone::NobodyWaits) => {}
                Err(why) => return Err(Failure::findings(why.to_string())),
            }
        }
        Err(Failure::findings(NotUndone::NobodyWaits.to_string()))
    })
}
