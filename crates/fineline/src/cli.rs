//! What can be typed: the surface of `design.md` § 6, and nothing that does not work yet.

use crate::command::{
    apply, audit, backup, breach, campaign, census, check, completions, config as config_command, demo, doctor,
    explain, fmt, fsck, hold, import, init, key, man, notice, person, plan, recipient, restore, segment, serve, source,
    staff, upgrade,
};
use crate::config::Settings;
use crate::exit::Exit;
use crate::root::Asking;
use crate::say::{Colour, Form, Say};
use std::path::PathBuf;
use std::sync::OnceLock;
use vault::RootSource;

/// The customer engine that does not have to be trusted.
#[derive(Debug, clap::Parser)]
#[command(name = "fineline", version, propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "exit codes: 0 fine · 1 findings · 2 usage · 3 changes wait · 4 refused by the promise · 5 cannot \
                        reach or open\nFirst time here? Run `fineline demo`."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub everywhere: Everywhere,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that stand behind every command.
#[derive(Debug, Clone, clap::Args)]
pub struct Everywhere {
    /// Answer in JSON: one object, or one per line of a list
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Colours on stderr and in diagnostics
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Everywhere")]
    pub color: Colour,
    /// Settings file [default: fineline.toml when there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// Promise file [default: promise.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub promise: Option<String>,
    /// Data folder [default: ./data]
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Everywhere")]
    pub data: Option<String>,
    /// Root key: a file, credential:NAME or passphrase [default: keys/root beside the data folder]
    #[arg(long, global = true, value_name = "SOURCE", help_heading = "Everywhere")]
    pub root: Option<String>,
    /// PostgreSQL in place of the data folder's store: postgres://ROLE@HOST/DATABASE [default: the data folder]
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Everywhere")]
    pub store: Option<String>,
}

/// What a command stands on.
#[derive(Debug)]
pub struct Ground {
    /// Its voice.
    pub say: Say,
    /// Its settings.
    pub settings: Settings,
    /// Asked for once, however often the house is opened.
    source: OnceLock<RootSource>,
}

impl Ground {
    /// Where the root key comes from; a passphrase is asked for at the first call.
    ///
    /// # Errors
    /// What [`crate::root::Root::source`] says.
    pub fn root(&self, asking: Asking) -> anyhow::Result<RootSource> {
        if let Some(source) = self.source.get() {
            return Ok(source.clone());
        }
        let source = self.settings.root()?.source(self.say, asking)?;
        Ok(self.source.get_or_init(|| source).clone())
    }
}

impl Everywhere {
    /// The voice these flags ask for.
    #[must_use]
    pub fn say(&self) -> Say {
        Say::new(if self.json { Form::Json } else { Form::Human }, self.color)
    }

    /// Voice and settings for a command.
    ///
    /// # Errors
    /// A wrong setting.
    pub fn ground(&self, command: &Command) -> anyhow::Result<Ground> {
        let named = [("promise", &self.promise), ("data", &self.data), ("root", &self.root), ("store", &self.store)];
        let named = named.into_iter().filter_map(|(name, flag)| Some((name, flag.clone()?)));
        let settings = Settings::load(self.config.as_deref(), std::env::vars(), named.chain(command.flags()))?;
        Ok(Ground { say: self.say(), settings, source: OnceLock::new() })
    }
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show everything: a seeded shop with 5,000 made-up people, console, portal and inbox, in a temporary folder
    Demo(demo::Args),
    /// Write a starter promise file and make a data folder
    Init(init::Args),
    /// Check promise files and say what is wrong, with places and codes
    Check(check::Args),
    /// Explain a code such as FL203, with an example
    Explain(explain::Args),
    /// Put a promise file in its usual form; comments stay
    Fmt(fmt::Args),
    /// Compare the promise file with what is promised now: weaker, stronger, earliest lawful date
    Plan(plan::Args),
    /// Review what the promise file asks for and put it in force
    Apply(apply::Args),
    /// Serve sites, servers, people and staff
    Serve(serve::Args),
    /// Look at clock, disk, keys, promise and settings
    Doctor(doctor::Args),
    /// Make the write key of a source
    #[command(subcommand)]
    Source(source::Command),
    /// Invite staff to the console
    #[command(subcommand)]
    Staff(staff::Command),
    /// Load a history from files, through a mapping file
    Import(import::Args),
    /// Do at the desk what people do in the portal: see, export, erase, take an erasure back
    #[command(subcommand)]
    Person(person::Command),
    /// See who else gets data of people, and the secret that signs calls to them
    #[command(subcommand)]
    Recipient(recipient::Command),
    /// Hold a person's data for a court or an authority; list holds, or end them
    #[command(subcommand)]
    Hold(hold::Command),
    /// Count a segment: match, may be told, will hear this week
    #[command(subcommand)]
    Segment(segment::Command),
    /// Start, pause or stop a campaign, or read its lift
    #[command(subcommand)]
    Campaign(campaign::Command),
    /// Search every byte for one person, with every key that can be found
    #[command(subcommand)]
    Census(census::Command),
    /// Say who is concerned by a theft, what was taken, whether it can be read, and by when to tell
    Breach(breach::Args),
    /// Write what changed since the last backup as streams, data and keys apart; also while it is served
    Backup(backup::Args),
    /// Make a new data folder from a backup, without those who were erased and what was taken back
    Restore(restore::Args),
    /// Verify receipts and the log, offline; pack the log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Read the whole data folder and name every record that is not as it was written
    Fsck(fsck::Args),
    /// Replace the keys that wrap everybody's keys, and destroy the old ones
    #[command(subcommand)]
    Key(key::Command),
    /// Write the notice that people read
    #[command(subcommand)]
    Notice(notice::Command),
    /// Show each setting and where it comes from
    Config(config_command::Args),
    /// Say whether this program reads the data folder
    Upgrade(upgrade::Args),
    /// Write completions for a shell
    Completions(completions::Args),
    /// Write the manual page
    Man(man::Args),
}

impl Command {
    /// Flags that are settings.
    fn flags(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Serve(args) => args.flags(),
            _ => Vec::new(),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// What went wrong, in words for the operator; [`crate::exit::of`] knows the exit code.
    pub fn run(self, ground: &Ground) -> anyhow::Result<Exit> {
        match self {
            Self::Demo(args) => demo::run(&args, ground),
            Self::Init(args) => init::run(&args, ground),
            Self::Check(args) => check::run(&args, ground),
            Self::Explain(args) => explain::run(&args, ground),
            Self::Fmt(args) => fmt::run(&args, ground),
            Self::Plan(args) => plan::run(&args, ground),
            Self::Apply(args) => apply::run(&args, ground),
            Self::Serve(args) => serve::run(&args, ground),
            Self::Doctor(args) => doctor::run(&args, ground),
            Self::Source(command) => source::run(command, ground),
            Self::Staff(command) => staff::run(command, ground),
            Self::Import(args) => import::run(&args, ground),
            Self::Person(command) => person::run(command, ground),
            Self::Recipient(command) => recipient::run(command, ground),
            Self::Hold(command) => hold::run(command, ground),
            Self::Segment(command) => segment::run(command, ground),
            Self::Campaign(command) => campaign::run(command, ground),
            Self::Census(command) => census::run(command, ground),
            Self::Breach(args) => breach::run(&args, ground),
            Self::Backup(args) => backup::run(&args, ground),
            Self::Restore(args) => restore::run(&args, ground),
            Self::Audit(command) => audit::run(command, ground),
            Self::Fsck(args) => fsck::run(&args, ground),
            Self::Key(command) => key::run(command, ground),
            Self::Notice(command) => notice::run(command, ground),
            Self::Config(args) => config_command::run(&args, ground),
            Self::Upgrade(args) => upgrade::run(&args, ground),
            Self::Completions(args) => completions::run(&args, ground),
            Self::Man(args) => man::run(&args, ground),
        }
    }
}
