//! `fineline import MAPPING FILES…`: a history from files, through a reviewed mapping. A kill loses nothing and doubles
//! nothing: the same command goes on where it stopped.

use crate::cli::Ground;
use crate::clock::Stopwatch;
use crate::config::{open, read_text};
use crate::exit::{Exit, Failure};
use crate::house::{self, PROMISE_BYTES_MAX};
use crate::promised;
use anyhow::Context;
use collect::import::{ImportReport, Mapping, Progress, fingerprint, import};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::StaffName;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vault::{Review, StaffAct, Vault};

/// Off a terminal, one line about so often.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Load a history from files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The mapping file: which column is what, under which purpose, what is guarded
    mapping: PathBuf,
    /// CSV files, also gzipped
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Who reviews the mapping, when nobody has yet; stands in the record, signed
    #[arg(long = "as", value_name = "NAME")]
    staff: Option<String>,
}

/// Imports each file; unreadable lines are listed and end with 1.
///
/// # Errors
/// A mapping that is refused or not reviewed; a file that cannot be read or does not fit; a house that cannot be opened.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    house::with_file(ground, |vault, written| {
        promised::check_in_force(vault, &written.promise)?;
        let mapping = read_mapping(args, ground, vault)?;
        let mut n_unreadable = 0;
        for path in &args.files {
            let report = load(path, &mapping, ground, vault)?;
            n_unreadable += report.n_unreadable;
            tell(path, &report, ground)?;
        }
        ground.say.next("fineline segment count NAME");
        Ok(if n_unreadable > 0 { Exit::Findings } else { Exit::Fine })
    })
}

/// Parses the mapping and sees to its review.
fn read_mapping(args: &Args, ground: &Ground, vault: &Vault) -> anyhow::Result<Mapping> {
    let text = read_text(&args.mapping, PROMISE_BYTES_MAX)?;
    let name = args.mapping.display().to_string();
    let mapping = Mapping::parse(&name, &text, vault.snapshot().promise()).map_err(|report| {
        ground.say.stderr(&super::check::shown(ground.say, &report, &text));
        Failure::findings(format!("{name} is refused: {}", report.counts()))
    })?;
    vault.put_house_record(&mapping.record_name(), Some(mapping.bytes().to_vec()))?.wait()?;
    if vault.snapshot().is_reviewed(&mapping.artefact()) {
        return Ok(mapping);
    }
    let Some(staff) = &args.staff else {
        return Err(Failure::refused(format!("{name} has not been reviewed: add --as YOUR-NAME")));
    };
    let staff = StaffName::parse(staff).map_err(|error| Failure::usage(format!("--as: {error}")))?;
    let at = vault.now();
    let review = Review { artefact: mapping.artefact_id(), staff: staff.to_string(), role: "privacy".to_owned(), at };
    vault.review(review)?.wait()?;
    let reason = args.mapping.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    vault
        .staff_act(StaffAct { staff: staff.to_string(), act: "reviewed_mapping", person: None, reason, at })?
        .wait()?;
    ground.say.talk(format!("{name}: reviewed by {staff}"));
    Ok(mapping)
}

fn load(path: &Path, mapping: &Mapping, ground: &Ground, vault: &Vault) -> anyhow::Result<ImportReport> {
    let sha256 = fingerprint(open(path)?).with_context(|| format!("reading {}", path.display()))?;
    let file = Counted { file: open(path)?, n_bytes: Arc::default() };
    let n_bytes = file.n_bytes.clone();
    let size = file.file.metadata().map_or(0, |stat| stat.len());
    let mut teller = Teller::new(path, size, n_bytes, ground);
    let report = import(vault, mapping, &sha256, BufReader::with_capacity(BUFFER_BYTES, file), &mut |progress| {
        teller.tell(progress);
        ControlFlow::Continue(())
    });
    teller.end();
    report.with_context(|| format!("importing {}", path.display()))
}

/// A file that counts what was read of it, also under a decompressor.
struct Counted {
    file: File,
    n_bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.n_bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// A bar on a terminal, a line now and then elsewhere.
struct Teller<'g> {
    name: String,
    ground: &'g Ground,
    bar: Option<ProgressBar>,
    n_bytes: Arc<AtomicU64>,
    size: u64,
    watch: Stopwatch,
    told: Duration,
}

impl<'g> Teller<'g> {
    fn new(path: &Path, size: u64, n_bytes: Arc<AtomicU64>, ground: &'g Ground) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let bar = (ground.say.is_watched() && !ground.say.is_json()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
            let form = "{msg} {wide_bar} {percent:>3} %  {prefix} lines  {eta} left";
            bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(name.clone());
            bar
        });
        Self { name, ground, bar, n_bytes, size, watch: Stopwatch::start(), told: Duration::ZERO }
    }

    fn tell(&mut self, progress: Progress) {
        let n_bytes = self.n_bytes.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(n_bytes.min(self.size));
            bar.set_prefix(progress.n_committed.to_string());
            return;
        }
        let elapsed = self.watch.elapsed();
        if elapsed.saturating_sub(self.told) >= TELL_EVERY {
            self.told = elapsed;
            let percent = n_bytes.saturating_mul(100) / self.size.max(1);
            self.ground.say.talk(format!("{}: {percent} %, {} lines committed", self.name, progress.n_committed));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn tell(path: &Path, report: &ImportReport, ground: &Ground) -> anyhow::Result<()> {
    let mut human = format!("{}\n", path.display());
    for line in report.lines() {
        human.push_str(&format!("  {line}\n"));
    }
    ground.say.answer(report, human)
}
