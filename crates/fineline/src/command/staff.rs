//! `fineline staff invite NAME --role ROLE`: a single-use link to the console, valid for 15 minutes.

use crate::chance::SystemChance;
use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use console::{Role, invite};
use model::StaffName;

/// What can be done with staff.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a single-use link to the console, valid for 15 minutes
    Invite(Args),
}

/// Whom.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How this person stands in the log
    name: String,
    /// marketer, privacy, operator or agency
    #[arg(long, value_name = "ROLE")]
    role: String,
}

/// Makes the link.
///
/// # Errors
/// A wrong name or role, or the house cannot be opened.
pub fn run(Command::Invite(args): Command, ground: &Ground) -> anyhow::Result<Exit> {
    let name = StaffName::parse(&args.name).map_err(|error| Failure::usage(error.to_string()))?;
    let role = Role::parse(&args.role).ok_or_else(|| {
        Failure::usage(format!("there is no role {}: marketer, privacy, operator, agency", args.role))
    })?;
    let console = ground.settings.console_listen()?;
    house::with(ground, |vault, _| {
        let invite = invite(vault, &SystemChance::default(), &name, role)?;
        let url = format!("http://localhost:{}/enter/{}", console.port(), invite.secret);
        let machine = serde_json::json!({ "url": url, "name": name.as_str(), "role": role.as_str(), "expires_at": invite.expires_at.to_string() });
        ground.say.answer(&machine, &url)?;
        ground.say.talk(format!("For {name}, once, until {}.", invite.expires_at));
        ground.say.next("fineline serve, and open the link on this machine or through a tunnel");
        Ok(Exit::Fine)
    })
}
