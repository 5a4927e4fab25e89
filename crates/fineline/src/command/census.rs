//! `fineline census note`, `census search` and `census memory`: whether a person is still anywhere after an erasure. `note`
//! writes down what somebody who kept the old disk would have; `search` uses every key that can be found, and looks through
//! every byte; `memory` asks the serving process to look for the person's keys in itself.
//!
//! The first two hold the data folder's lock, so the committer stands still while the store is copied. The third opens
//! nothing: it reads the pass of the serving process and sends keys as hashes. Out of reach, and said so: blocks of the
//! disk that no file names any more, and freed memory.

use crate::chance::SystemChance;
use crate::cli::Ground;
use crate::config::read_text;
use crate::desk::Whom;
use crate::exit::{Exit, Failure};
use crate::house;
use crate::http::{MemoryKey, hex};
use crate::loopback::Loopback;
use crate::root::Asking;
use anyhow::Context;
use model::{FactName, ProfileId, Rng, Value};
use promise::{Artefact, ArtefactKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use vault::census::{Census, Finding, Needle, Notes, Reach, Searched, search};
use vault::{EngineKind, Pass, Vault};

/// Largest notes file, in bytes.
const NOTES_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Events looked through for words.
const EVENTS_MAX: usize = 10_000;
/// Findings shown.
const SHOWN_MAX: usize = 50;

/// What a process cannot see of itself.
const MEMORY_OUT_OF_REACH: [&str; 3] = ["freed memory that held values", "memory swapped to a disk", "registers"];

/// What can be asked.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Before an erasure: note the person's rows, records and words, and show that every word is in reach
    Note(NoteArgs),
    /// After it: try every key that can be found, and search every byte
    Search(SearchArgs),
    /// Ask the running server whether the person's keys stand in its memory
    Memory(MemoryArgs),
}

/// Of whom.
#[derive(Debug, clap::Args)]
pub struct NoteArgs {
    /// Whom it is about.
    #[command(flatten)]
    whom: Whom,
    /// Where the notes go; they hold the person's words, so destroy them after the census
    #[arg(long, value_name = "FILE")]
    notes: PathBuf,
}

/// Where.
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// What `census note` wrote
    #[arg(long, value_name = "FILE")]
    notes: PathBuf,
    /// More folders: temp, logs, backups, mail queues; key backups in them are used
    folders: Vec<PathBuf>,
}

/// Of whom.
#[derive(Debug, clap::Args)]
pub struct MemoryArgs {
    /// What `census note` wrote
    #[arg(long, value_name = "FILE")]
    notes: PathBuf,
}

/// The notes as a file.
#[derive(Serialize, Deserialize)]
struct NotesFile {
    house: String,
    notes: Notes,
    words: Vec<Word>,
    /// For `POST /census/memory` of the serving process.
    memory: Vec<MemoryKey>,
}

impl NotesFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read_text(path, NOTES_BYTES_MAX)?;
        serde_json::from_str(&text).map_err(|_| Failure::usage("this is not what `census note` wrote"))
    }

    fn check_house(&self, house: &str) -> anyhow::Result<()> {
        if self.house == house { Ok(()) } else { Err(Failure::usage("these notes are of another house")) }
    }
}

/// What the serving process answers.
#[derive(Deserialize)]
struct MemorySearched {
    house: String,
    found: Vec<String>,
    bytes: u64,
}

/// A word of the person. Words that others share (item codes) are looked for in the person's records only.
#[derive(Serialize, Deserialize)]
struct Word {
    what: String,
    text: String,
    is_own: bool,
}

/// Does it.
///
/// # Errors
/// A house that is being served (for `memory`: that is not), notes that cannot be read or written.
pub fn run(command: Command, ground: &Ground) -> anyhow::Result<Exit> {
    match command {
        Command::Note(args) => note(&args, ground),
        Command::Search(args) => look(&args, ground),
        Command::Memory(args) => memory(&args, ground),
    }
}

fn note(args: &NoteArgs, ground: &Ground) -> anyhow::Result<Exit> {
    house::with(ground, |vault, _| {
        let person = args.whom.find(vault)?;
        let words = words(vault, person)?;
        let opened = begin(ground, &[])?;
        let census = &opened.census;
        let notes = census.note(&person)?;
        let reach = census.reach(&notes, &needles(&words, |_| true));
        let n_words = words.len();
        let salt = u64::from_le_bytes((&SystemChance::default() as &dyn Rng).bytes());
        let memory = census.memory_needles(&notes, salt).into_iter().map(|needle| MemoryKey {
            salt: needle.salt,
            first: needle.first,
            whole: hex(&needle.whole),
        });
        let memory = memory.collect();
        let file = NotesFile { house: vault.house().to_string(), notes, words, memory };
        write_private(&args.notes, &serde_json::to_string(&file)?)?;
        ground.say.answer(&reach_machine(&reach), reach_human(&reach))?;
        ground.say.talk(format!(
            "{} holds {n_words} of the person's words: destroy it after the census",
            args.notes.display()
        ));
        ground.say.next(
            "fineline person erase --now, fineline key rotate, then fineline census search --notes FILE; \
             with the server on, fineline census memory --notes FILE",
        );
        Ok(if reach.out_of_reach.is_empty() { Exit::Fine } else { Exit::Findings })
    })
}

fn look(args: &SearchArgs, ground: &Ground) -> anyhow::Result<Exit> {
    let file = NotesFile::read(&args.notes)?;
    house::with(ground, |vault, _| {
        file.check_house(&vault.house().to_string())?;
        let opened = begin(ground, &args.folders)?;
        let census = &opened.census;
        let reach = census.reach(&file.notes, &needles(&file.words, |_| true));
        let mut folders = vec![ground.settings.data()];
        folders.extend(args.folders.iter().cloned());
        let mut searched_for = needles(&file.words, |word| word.is_own);
        searched_for.extend(file.notes.needles());
        let searched = search(&folders, &searched_for)?;
        let found = !reach.reached.is_empty() || searched.n_findings > 0;
        let complete = searched.unread.is_empty() && census.unread.is_empty();
        ground.say.answer(&machine(&reach, &searched), human(census, &reach, &searched))?;
        ground
            .say
            .talk("out of reach of this search: freed blocks of the disk, freed memory, and copies held elsewhere");
        Ok(if found || !complete { Exit::Findings } else { Exit::Fine })
    })
}

/// Asks the process that serves the data folder. Nothing of the data folder is read but its pass.
fn memory(args: &MemoryArgs, ground: &Ground) -> anyhow::Result<Exit> {
    let file = NotesFile::read(&args.notes)?;
    if file.memory.is_empty() {
        return Err(Failure::usage("these notes hold no key of the person: nothing could be found by them"));
    }
    let data = ground.settings.data();
    let pass = Pass::read(&data)?;
    let pass = pass.with_context(|| format!("nobody serves {}: start `fineline serve` first", data.display()))?;
    let server = Loopback::with_token(pass.at, pass.token())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(server.post("/census/memory", &serde_json::to_value(&file.memory)?));
    let (status, answer) = asked.with_context(|| format!("no server answers at {}", pass.at))?;
    let searched: Option<MemorySearched> = serde_json::from_value(answer).ok();
    let searched =
        searched.with_context(|| format!("the server at {} did not search: it answered {status}", pass.at))?;
    file.check_house(&searched.house)?;
    let (n_keys, n_found) = (file.memory.len(), searched.found.len());
    let machine = serde_json::json!({ "keys": n_keys, "found": n_found, "bytes": searched.bytes, "out_of_reach": MEMORY_OUT_OF_REACH });
    let found = if n_found == 0 { "none".to_owned() } else { format!("{n_found} FOUND") };
    ground.say.answer(
        &machine,
        format!("keys of the person: {n_keys} looked for, {found}\nmemory: {} bytes searched\n", searched.bytes),
    )?;
    ground.say.talk(format!("out of reach of this search: {}", MEMORY_OUT_OF_REACH.join(", ")));
    Ok(if n_found == 0 { Exit::Fine } else { Exit::Findings })
}

/// A census with the copy that its engine reads.
struct Opened {
    census: Census,
    // The last field: the files go when the engine has let go of them.
    _copy: tempfile::TempDir,
}

/// Every key that can be found, and a copy of the store.
fn begin(ground: &Ground, also: &[PathBuf]) -> anyhow::Result<Opened> {
    let data = ground.settings.data();
    let folders: Vec<PathBuf> = std::iter::once(data.clone()).chain(also.iter().cloned()).collect();
    let mut census = Census::begin(&data, &ground.root(Asking::Once)?, &folders)?;
    let copy = tempfile::tempdir().context("making a temporary folder")?;
    let engine = ground.settings.engine()?;
    // A database gives a reading of its own; its files, when they are on this machine, are named as one more folder.
    if !matches!(engine, EngineKind::Postgres(_)) {
        copy_folder(&data.join("store"), copy.path()).context("copying the store")?;
    }
    census.read_store(engine, copy.path())?;
    Ok(Opened { census, _copy: copy })
}

pub(super) fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Everything the person's own page can say about them, as far as it is made of words.
fn words(vault: &Vault, person: ProfileId) -> anyhow::Result<Vec<Word>> {
    let snapshot = vault.snapshot();
    let portal =
        snapshot.promise().artefact(ArtefactKind::Page, Artefact::PORTAL).context("the portal is an artefact")?;
    let permit = snapshot.permit(person, portal.id)?;
    let mut seen = BTreeSet::new();
    let mut words = Vec::new();
    let mut add = |what: &str, text: &str, is_own: bool| {
        if seen.insert(text.to_owned()) && Needle::new(what, text.as_bytes()).is_some() {
            let what = format!("{what} {}", words.len() + 1);
            words.push(Word { what, text: text.to_owned(), is_own });
        }
    };
    for view in permit.facts() {
        let fact = &view.reveal().fact;
        if let (FactName::Field(name), Value::Text(text)) = (&fact.name, &fact.value) {
            // A choice from a list is shared with others.
            let is_own = snapshot.promise().fields.get(name).is_some_and(|field| field.one_of.is_empty());
            add(name.as_str(), text, is_own);
        }
    }
    for view in permit.all_events(EVENTS_MAX)? {
        let event = &view.reveal().event;
        for (name, value) in &event.properties {
            if let Value::Text(text) = value {
                add(name, text, name.ends_with("_id"));
            }
        }
        for line in &event.lines {
            add("item", line.item.as_str(), false);
        }
    }
    Ok(words)
}

fn needles(words: &[Word], which: impl Fn(&Word) -> bool) -> Vec<Needle> {
    words.iter().filter(|word| which(word)).filter_map(|word| Needle::new(&word.what, word.text.as_bytes())).collect()
}

/// For the owner alone: it holds a person's words.
#[expect(clippy::disallowed_methods, reason = "the program writes the files named on the command line")]
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

fn reach_machine(reach: &Reach) -> serde_json::Value {
    serde_json::json!({
        "rows_opened": reach.n_rows_opened,
        "records_opened": reach.n_records_opened,
        "records_closed": reach.n_records_closed,
        "words_reached": reach.reached.len(),
        "words_out_of_reach": reach.out_of_reach.len(),
    })
}

fn machine(reach: &Reach, searched: &Searched) -> serde_json::Value {
    let unread = searched.unread.iter().map(|unread| format!("{}: {}", unread.path.display(), unread.why));
    serde_json::json!({
        "reach": reach_machine(reach),
        "files": searched.n_files,
        "bytes": searched.n_bytes,
        "findings": searched.n_findings,
        "where": searched.findings.iter().take(SHOWN_MAX).map(Finding::to_string).collect::<Vec<_>>(),
        "unread": unread.collect::<Vec<_>>(),
    })
}

fn reach_human(reach: &Reach) -> String {
    format!(
        "keys: {} rows opened, {} records opened, {} stay closed\nwords: {} reached, {} out of reach\n",
        reach.n_rows_opened,
        reach.n_records_opened,
        reach.n_records_closed,
        reach.reached.len(),
        reach.out_of_reach.len()
    )
}

fn human(census: &Census, reach: &Reach, searched: &Searched) -> String {
    let mut out = String::new();
    for ring in census.rings() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "key ring: {} with versions {:?}", ring.file.display(), ring.versions);
    }
    out.push_str(&reach_human(reach));
    for reached in &reach.reached {
        let _ = writeln!(out, "  REACHED  {} in {}", reached.what, reached.keyspace);
    }
    let _ = writeln!(
        out,
        "bytes: {} files, {} bytes searched, {} findings",
        searched.n_files, searched.n_bytes, searched.n_findings
    );
    for finding in searched.findings.iter().take(SHOWN_MAX) {
        let _ = writeln!(out, "  FOUND    {finding}");
    }
    for unread in searched.unread.iter().chain(&census.unread) {
        let _ = writeln!(out, "  UNREAD   {}: {}", unread.path.display(), unread.why);
    }
    out
}
