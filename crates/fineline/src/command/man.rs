//! `fineline man`: the manual page, every command in one page.

use crate::cli::{Cli, Ground};
use crate::exit::Exit;
use clap::CommandFactory;

/// Write the manual page to stdout: `fineline man | man -l -`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Writes the page.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(_: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let mut page = Vec::new();
    let command = Cli::command();
    let man = clap_mangen::Man::new(command.clone());
    man.render(&mut page)?;
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        let man = clap_mangen::Man::new(part.clone()).title(format!("fineline {}", part.get_name()));
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    ground.say.data(String::from_utf8_lossy(&page))?;
    Ok(Exit::Fine)
}
