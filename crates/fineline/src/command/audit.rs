//! `fineline audit verify`: whether a receipt, or a whole log, holds, with nothing but files. No server, no house. `fineline
//! audit pack` writes the log for it: checkpoint, keys, tiles and leaves, and nothing about anybody.

use crate::cli::Ground;
use crate::config::{read_bytes, read_text, write_over_bytes};
use crate::exit::{Exit, Failure};
use crate::house;
use crate::loopback::Loopback;
use anyhow::Context;
use std::io::Read;
use std::path::{Path, PathBuf};
use vault::Pass;
use vault::audit::{LogError, VerifiedLog, log_size, verify_log};
use vault::receipt::{Inclusion, KeyTrust, RECEIPT_BYTES_MAX, Verified, verify};
use vault::tile::TileAddress;

/// Largest tile or bundle, in bytes.
const TILE_BYTES_MAX: u64 = 64 << 10;
/// Largest checkpoint, key set or witness file, in bytes.
const NOTES_BYTES_MAX: u64 = 4 << 20;

const CHECKPOINT: &str = "checkpoint";
const KEYS: &str = "fineline-keys.json";

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Verify a receipt, or a packed log, offline
    Verify(Args),
    /// Write the log into a folder: checkpoint, keys, tiles, leaves; nothing in it is about anybody
    Pack(PackArgs),
}

/// What is verified, by which keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The receipt, as downloaded; `-` reads stdin
    #[arg(conflicts_with = "log")]
    receipt: Option<PathBuf>,
    /// A folder with a log, as `audit pack` writes it
    #[arg(long, value_name = "FOLDER")]
    log: Option<PathBuf>,
    /// An older checkpoint, or a witness file: the log must begin with what it says; can be given several times
    #[arg(long, value_name = "FILE", requires = "log")]
    since: Vec<PathBuf>,
    /// The house's keys, as fetched from /.well-known/fineline-keys.json and kept; without them the key in the receipt, or
    /// beside the log, is all there is
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub struct PackArgs {
    /// A new folder, or one with an earlier pack
    folder: PathBuf,
}

/// Verifies, or packs.
///
/// # Errors
/// What does not hold ends with 1; a file that cannot be read with 5.
pub fn run(command: Command, ground: &Ground) -> anyhow::Result<Exit> {
    match command {
        Command::Verify(Args { receipt: Some(receipt), keys, .. }) => verify_receipt(&receipt, keys.as_deref(), ground),
        Command::Verify(Args { log: Some(log), since, keys, .. }) => {
            verify_packed(&log, &since, keys.as_deref(), ground)
        }
        Command::Verify(_) => Err(Failure::usage("name a receipt, or a log with --log FOLDER")),
        Command::Pack(args) => pack(&args.folder, ground),
    }
}

// ── receipts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

fn verify_receipt(path: &Path, keys: Option<&Path>, ground: &Ground) -> anyhow::Result<Exit> {
    let limit = RECEIPT_BYTES_MAX as u64;
    let receipt = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
        text
    } else {
        read_text(path, limit)?
    };
    let keys = keys.map(|path| read_text(path, limit)).transpose()?;
    let verified = verify(&receipt, keys.as_deref()).map_err(|error| Failure::findings(error.to_string()))?;
    ground.say.answer(&machine(&verified), human(&verified))?;
    if verified.key == KeyTrust::Embedded {
        ground.say.next("fineline audit verify RECEIPT --keys FILE, with keys that you fetched yourself");
    }
    Ok(Exit::Fine)
}

const fn key_word(key: KeyTrust) -> &'static str {
    match key {
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
    serde_json::json!({ "holds": true, "says": says, "kid": verified.kid, "key": key_word(verified.key), "inclusion": inclusion })
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

// ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────────

fn verify_packed(folder: &Path, since: &[PathBuf], keys: Option<&Path>, ground: &Ground) -> anyhow::Result<Exit> {
    let key = if keys.is_some() { KeyTrust::Pinned } else { KeyTrust::Embedded };
    let verified = verified(folder, since, keys)?;
    let older = match verified.n_older {
        0 => String::new(),
        n => format!("  begins with what was seen of it before: {n} notes\n"),
    };
    let trust = match key {
        KeyTrust::Pinned => "signed by one of your pinned keys",
        KeyTrust::Embedded => "signed by a key that lies beside it: whoever packed it chose that key",
    };
    let VerifiedLog { origin, size, kid, .. } = &verified;
    let root = crate::http::hex(&verified.root);
    let machine = serde_json::json!({
        "holds": true, "log": origin, "size": size, "root": root, "kid": kid, "key": key_word(key), "since": verified.n_older,
    });
    let human = format!("the log holds\n  {origin}: {size} batches, root {root}\n  {trust} ({kid})\n{older}");
    ground.say.answer(&machine, human)?;
    if key == KeyTrust::Embedded {
        ground.say.next("fineline audit verify --log FOLDER --keys FILE, with keys that you fetched yourself");
    }
    Ok(Exit::Fine)
}

fn verified(folder: &Path, since: &[PathBuf], keys: Option<&Path>) -> anyhow::Result<VerifiedLog> {
    let checkpoint = read_text(&folder.join(CHECKPOINT), NOTES_BYTES_MAX)?;
    let keys = read_text(&keys.map_or_else(|| folder.join(KEYS), Path::to_path_buf), NOTES_BYTES_MAX)?;
    let older = since.iter().map(|path| read_text(path, NOTES_BYTES_MAX)).collect::<anyhow::Result<Vec<String>>>()?;
    let older: Vec<&str> = older.iter().map(String::as_str).collect();
    let verified = verify_log(&checkpoint, &keys, &older, |address| {
        read_bytes(&folder.join(address.to_string()), TILE_BYTES_MAX).map_err(Into::into)
    });
    verified.map_err(|error| match error {
        LogError::Unread { .. } => error.into(),
        _ => Failure::findings(error.to_string()),
    })
}

/// Gives the file of the log at an address; `None` when there is none.
type Fetch<'f> = &'f mut dyn FnMut(&str) -> anyhow::Result<Option<Vec<u8>>>;

/// From the process that serves the house, or from the house itself.
fn pack(folder: &Path, ground: &Ground) -> anyhow::Result<Exit> {
    let is_new = !folder.exists() || folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if !is_new && !folder.join(CHECKPOINT).exists() {
        return Err(Failure::usage(format!("{} holds something else than a packed log", folder.display())));
    }
    let Some(pass) = Pass::read(&ground.settings.data())? else { return pack_from_house(folder, ground) };
    let server = Loopback::with_token(pass.at, pass.token())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let get = |path: &str| {
        let asked = runtime.block_on(server.get(path));
        let (status, body) = asked.with_context(|| format!("no server answers at {}", pass.at))?;
        match status {
            http::StatusCode::OK => Ok(Some(body.to_vec())),
            http::StatusCode::NOT_FOUND => Ok(None),
            _ => anyhow::bail!("the server at {} answered {status} to {path}", pass.at),
        }
    };
    if get("/log/checkpoint").is_err() {
        // A pass of a process that died: the house is free.
        return pack_from_house(folder, ground);
    }
    pack_into(folder, ground, &mut |name| match name {
        KEYS => get("/.well-known/fineline-keys.json"),
        name => get(&format!("/log/{name}")),
    })
}

fn pack_from_house(folder: &Path, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let snapshot = vault.snapshot();
        pack_into(folder, ground, &mut |name| {
            Ok(match name {
                KEYS => Some(vault.public_keys_json().into_bytes()),
                CHECKPOINT => snapshot.log_checkpoint()?.map(String::into_bytes),
                name => match TileAddress::parse(name) {
                    Some(address) => snapshot.log_tile(&address)?,
                    None => None,
                },
            })
        })
    })
}

/// Everything up to one checkpoint, which is written last; then the pack is verified as an auditor would.
fn pack_into(folder: &Path, ground: &Ground, fetch: Fetch<'_>) -> anyhow::Result<Exit> {
    let mut must = |name: &str| fetch(name)?.with_context(|| format!("the log has no {name}"));
    let checkpoint = must(CHECKPOINT)?;
    let size = std::str::from_utf8(&checkpoint).ok().and_then(log_size).context("the checkpoint cannot be read")?;
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    write_over_bytes(&folder.join(KEYS), &must(KEYS)?)?;
    let mut n_files = 2u64;
    for address in TileAddress::all_of(size) {
        let name = address.to_string();
        let path = folder.join(&name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        write_over_bytes(&path, &must(&name)?)?;
        n_files = n_files.saturating_add(1);
    }
    write_over_bytes(&folder.join(CHECKPOINT), &checkpoint)?;
    let VerifiedLog { origin, .. } = verified(folder, &[], None)?;
    let machine = serde_json::json!({ "log": origin, "size": size, "files": n_files, "folder": folder });
    ground.say.answer(&machine, format!("{origin}: {size} batches in {n_files} files, verified"))?;
    ground.say.next(format!("fineline audit verify --log {}", folder.display()));
    Ok(Exit::Fine)
}
