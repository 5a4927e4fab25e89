//! The program: command line, settings, assembly of the rooms behind one router, the pump that keeps them going,
//! telemetry, and the demonstration shop.
//!
//! Reading order: [`cli`] (what can be typed) → [`command`] (one file per command) → [`config`] (settings and their
//! origins) → [`house`] (opening a data folder for a command) → [`demo`].
//! The only room that makes a clock ([`clock`]) and chance ([`chance`]), starts tasks, listens, prints ([`say`]) and opens
//! files named on the command line. It decides nothing about people: rooms do.
//!
//! To add one more command: a variant in [`cli::Command`], a file in [`command`] with its `Args` and `run`, a line in
//! `docs/reference/cli.md` (a test says so).

pub mod admission;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod clock_step;
pub mod command;
pub mod config;
pub mod demo;
pub mod desk;
pub mod exit;
pub mod house;
pub mod http;
pub mod listener;
pub mod loopback;
pub mod mail;
pub mod promised;
pub mod pump;
pub mod readiness;
pub mod reference;
pub mod root;
pub mod rotation;
pub mod say;
pub mod serve;
pub mod telemetry;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// A commit makes and drops many small buffers: the system's allocator took a fifth of its time (`docs/measurements.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs one command line and tells how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let say = cli.everywhere.say();
    match cli.everywhere.ground(&cli.command).and_then(|ground| cli.command.run(&ground)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say.error(&error);
            exit::of(&error).into()
        }
    }
}

/// clap's own words; help and version are no failure.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody left to tell when the terminal is gone.
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(2).into()
}
