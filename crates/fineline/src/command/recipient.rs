//! `fineline recipient list|secret`: the register of who else gets data of people, and the secret with which calls to one of
//! them are signed. Who stands in it is the promise's affair.

use crate::chance::SystemChance;
use crate::cli::Ground;
use crate::exit::{Exit, Failure};
use crate::house;
use deliver::recipient;

/// What can be done with recipients.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List everybody who may get data of people: who, why, what, until when
    List,
    /// Print the secret that signs calls to a recipient, for its people to check them with
    Secret(Args),
}

/// Of which recipient.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A [recipient.NAME] of the promise file that has an `erase` address
    name: String,
}

/// Does it.
///
/// # Errors
/// An undeclared recipient, or the house cannot be opened.
pub fn run(command: Command, ground: &Ground) -> anyhow::Result<Exit> {
    match command {
        Command::List => list(ground),
        Command::Secret(args) => secret(&args, ground),
    }
}

fn list(ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        for known in deliver::recipients(&vault.snapshot())? {
            let until = known.until.map(|until| until.to_string());
            let machine = serde_json::json!({
                "recipient": known.name, "who": known.who, "why": known.why, "what": known.what, "until": until,
            });
            let end = until.map_or_else(String::new, |until| format!(", until {until}"));
            let what = known.what.join(", ");
            ground.say.answer(&machine, format!("{}  {}: {what} ({}){end}", known.name, known.who, known.why))?;
        }
        ground.say.next("fineline recipient secret NAME");
        Ok(Exit::Fine)
    })
}

fn secret(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(recipient::make_secrets(vault, &SystemChance::default()))?;
        let Some(secret) = recipient::secret(&vault.snapshot(), &args.name)? else {
            let text = format!("no [recipient.{}] with an `erase` address is declared in the promise file", args.name);
            return Err(Failure::usage(text));
        };
        ground.say.answer(&serde_json::json!({ "recipient": args.name, "secret": secret }), &secret)?;
        ground.say.talk("Hand it to this recipient alone: whoever has it can make calls that look like yours.");
        Ok(Exit::Fine)
    })
}
