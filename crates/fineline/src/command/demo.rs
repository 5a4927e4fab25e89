//! `fineline demo`: everything at once, with made-up people, in a folder that is gone afterwards.

use crate::cli::Ground;
use crate::demo::stage::{self, Wanted};
use crate::exit::{Exit, Failure};
use crate::{command, telemetry};

/// Most people in a demonstration.
const PEOPLE_MAX: usize = 100_000;

/// Show everything in a temporary folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many made-up people
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    people: usize,
    /// Where the shop stands; the console takes the next port [default: 4000, or any that is free]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Which shop is made up: the same seed, the same people
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// After the send, let people buy so that the offer truly changes the share of buyers by this much (0.2 = a fifth more),
    /// and print what the program finds
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    true_lift: Option<f64>,
    /// With --true-lift: end after the report
    #[arg(long, requires = "true_lift")]
    once: bool,
}

/// Runs it until Ctrl-C.
///
/// # Errors
/// When it cannot be built, or a number makes no sense.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    if args.people > PEOPLE_MAX {
        return Err(Failure::usage(format!("--people: at most {PEOPLE_MAX}")));
    }
    if args.true_lift.is_some_and(|lift| !(-1.0..=3.0).contains(&lift)) {
        return Err(Failure::usage("--true-lift: between -1 and 3"));
    }
    telemetry::start_log(false, "warn", ground.say.has_colour());
    let wanted =
        Wanted { people: args.people, port: args.port, seed: args.seed, true_lift: args.true_lift, once: args.once };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(stage::run(wanted, ground.say, command::serve::stopped()))?;
    Ok(Exit::Fine)
}
