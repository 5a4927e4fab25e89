//! `fineline completions SHELL`.

use crate::cli::{Cli, Ground};
use crate::exit::Exit;
use clap::CommandFactory;

/// Write completions for a shell to stdout.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Writes the script.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fineline", &mut script);
    ground.say.data(String::from_utf8_lossy(&script))?;
    ground.say.talk("Source this in your shell's start-up file.");
    Ok(Exit::Fine)
}
