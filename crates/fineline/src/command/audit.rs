//! `fineline audit verify RECEIPT`: whether a receipt holds, with nothing but the file. No server, no house.

use crate::cli::Ground;
use crate::config::read_text;
use crate::exit::{Exit, Failure};
use std::io::Read;
use std::path::{Path, PathBuf};
use vault::receipt::{Inclusion, KeyTrust, RECEIPT_BYTES_MAX, Verified, verify};

/// What can be verified.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Verify a receipt, offline
    Verify(Args),
}

/// Which receipt, by which keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The receipt, as downloaded; `-` reads stdin
    receipt: PathBuf,
    /// The house's keys, as fetched from /.well-known/fineline-keys.json and kept; without them the key in the receipt is
    /// all there is
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// Verifies.
///
/// # Errors
/// A receipt that does not hold ends with 1; a file that cannot be read with 5.
pub fn run(Command::Verify(args): Command, ground: &Ground) -> anyhow::Result<Exit> {
    let limit = RECEIPT_BYTES_MAX as u64;
    let receipt = if args.receipt == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
        text
    } else {
        read_text(&args.receipt, limit)?
    };
    let keys = args.keys.as_deref().map(|path| read_text(path, limit)).transpose()?;
    let verified = verify(&receipt, keys.as_deref()).map_err(|error| Failure::findings(error.to_string()))?;
    ground.say.answer(&machine(&verified), human(&verified))?;
    if verified.key == KeyTrust::Embedded {
        ground.say.next("fineline audit verify RECEIPT --keys FILE, with keys that you fetched yourself");
    }
    Ok(Exit::Fine)
}

fn key_word(verified: &Verified) -> &'static str {
    match verified.key {
        KeyTrust::Pinned => "pinned",
        KeyTrust::Embedded => "embedded",
    }
}

fn machine(verified: &Verified) -> serde_json::Value {
    let says: serde_json::Value = serde_json::from_str(&verified.payload).unwrap_or_default();
    let inclusion = match &verified.inclusion {
        Inclusion::Proven { log, batch, size } => {
            serde_json::json!({ "state": "proven", "log": log, "batch": batch, "size": size })
        }
        Inclusion::Promised { by } => serde_json::json!({ "state": "promised", "by": by }),
        Inclusion::Unsaid => serde_json::json!({ "state": "unsaid" }),
    };
    serde_json::json!({ "holds": true, "says": says, "kid": verified.kid, "key": key_word(verified), "inclusion": inclusion })
}

fn human(verified: &Verified) -> String {
    let key = match verified.key {
        KeyTrust::Pinned => "signed by one of your pinned keys",
        KeyTrust::Embedded => "signed by the key in the receipt itself: whoever made it chose that key",
    };
    let inclusion = match &verified.inclusion {
        Inclusion::Proven { batch, size, .. } => format!("in the log: batch {batch} of {size}"),
        Inclusion::Promised { by } => format!("promised to be in the log by {by}"),
        Inclusion::Unsaid => "says nothing about the log".to_owned(),
    };
    format!("the receipt holds\n  {key} ({})\n  {inclusion}\n  {}\n", verified.kid, verified.payload)
}
