//! `fineline breach KEYS`: from what was stolen to who is concerned, what is kept about them, whether it could be read, and
//! by when the authority has to be told. KEYS and folders are opened here; the counting is the vault's, in one pass.
//!
//! It judges no risk and tells nobody: it prints, and leaves one entry in the log. It needs the data folder to itself, so
//! the server stands still meanwhile, as it may well do in such an hour.

use crate::cli::Ground;
use crate::clock::Stopwatch;
use crate::command::census::copy_folder;
use crate::config::{open, read_text};
use crate::exit::{Exit, Failure};
use crate::house;
use crate::root::{Asking, Root};
use anyhow::Context;
use model::{At, Class, FactName, Kind, ProfileId, Value};
use promise::{Artefact, ArtefactKind, RefusalReason};
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use vault::breach::{Breach, Category, CategoryCount, Concerned, Theft};
use vault::census::{Census, FoundRing, Needle, search};
use vault::{Snapshot, Vault};

/// Largest list of keys, in bytes: a million ids.
const KEYS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest root key file, in bytes.
const ROOT_BYTES_MAX: u64 = 4 * 1024;
/// Hours from knowing of a breach to telling the authority (GDPR Art. 33).
const AUTHORITY_HOURS: i64 = 72;
/// Addresses read between two pauses in which their reads are written down.
const ADDRESSES_PER_PAUSE: usize = 1_000;

/// What was stolen.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file with one key per line: per_… (a person's row), `kek 3` (a key version), or `all`; `-` reads stdin
    #[arg(required_unless_present = "stolen")]
    keys: Option<PathBuf>,
    /// A folder, backup or file that was stolen: whose rows and which keys are in it is found out
    #[arg(long, value_name = "PATH")]
    stolen: Vec<PathBuf>,
    /// The root key and the key ring were not taken: rows of the list cannot be opened [default: they were]
    #[arg(long)]
    without_keys: bool,
    /// Since when it is known, as 2026-11-24T08:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    known_since: Option<String>,
    /// Add the address of everybody who has to be told; each person will see that it was read
    #[arg(long)]
    addresses: bool,
}

/// What the folders held.
#[derive(Default)]
struct Found {
    rings: Vec<FoundRing>,
    has_root: bool,
    n_rows: usize,
}

/// Does it.
///
/// # Errors
/// A list that cannot be read, a house that is being served.
pub fn run(args: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let mut theft = args.keys.as_deref().map(listed).transpose()?.unwrap_or_default();
    let wrong = || Failure::usage("--known-since: a time such as 2026-11-24T08:00:00Z");
    let known_since = args.known_since.as_deref().map(|text| At::parse(text).ok_or_else(wrong)).transpose()?;
    let is_listed = theft.everybody || !theft.people.is_empty();
    theft.has_keys = is_listed && !args.without_keys;
    house::with(ground, |vault, _| {
        let known_since = known_since.unwrap_or_else(|| vault.now());
        let snapshot = vault.snapshot();
        let mut found = Found::default();
        for path in &args.stolen {
            look(ground, &snapshot, path, &mut theft, &mut found)?;
        }
        theft.has_keys |= found.has_root && !found.rings.is_empty();
        let watch = Stopwatch::start();
        let mut concerned = Vec::new();
        let breach = snapshot.breach(&theft, &mut |one| concerned.push(*one))??;
        let seconds = watch.elapsed().as_secs_f64();
        drop(snapshot);
        print_people(ground, vault, args, &concerned)?;
        let deadline = deadline(known_since);
        let summary = Summary { breach: &breach, theft: &theft, found: &found, known_since, deadline, seconds };
        vault.record_breach(&summary.statement())?.wait()?;
        ground.say.answer(&summary.machine(), summary.human())?;
        ground.say.next("docs/incident.md; fineline key rotate, which ends every copy of a key row from before");
        Ok(if breach.n_people == 0 { Exit::Fine } else { Exit::Findings })
    })
}

/// By when the authority has to be told.
fn deadline(known_since: At) -> At {
    known_since.plus_ms(AUTHORITY_HOURS * 3_600_000)
}

/// Reads the list of keys. A line that is none of them is named by its number alone.
fn listed(path: &Path) -> anyhow::Result<Theft> {
    let text = match path == Path::new("-") {
        true => {
            let mut text = String::new();
            std::io::stdin().lock().take(KEYS_BYTES_MAX).read_to_string(&mut text).context("reading stdin")?;
            text
        }
        false => read_text(path, KEYS_BYTES_MAX)?,
    };
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<Theft> {
    let mut theft = Theft::default();
    let lines = text.lines().map(str::trim).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let version = line.strip_prefix("kek ").and_then(|version| version.trim().parse().ok());
        match (line, version, ProfileId::parse_any(line)) {
            ("all", ..) => theft.everybody = true,
            (_, Some(version), _) => drop(theft.versions.insert(version)),
            (_, None, Ok((person, _))) => drop(theft.people.insert(person)),
            (_, None, Err(_)) => {
                let line = at + 1;
                return Err(Failure::usage(format!("line {line} is neither per_…, nor `kek N`, nor `all`")));
            }
        }
    }
    Ok(theft)
}

/// Finds out whose rows lie in what was stolen, and whether the keys were with them.
fn look(ground: &Ground, snapshot: &Snapshot, path: &Path, theft: &mut Theft, found: &mut Found) -> anyhow::Result<()> {
    anyhow::ensure!(path.exists(), "there is no {}", path.display());
    let root = ground.root(Asking::Once)?;
    let mut census = Census::begin(&ground.settings.data(), &root, &[path.to_path_buf()])?;
    found.rings.extend(census.rings());
    // A passphrase that is typed stands in no file.
    if let Root::File(file) | Root::Passphrase(Some(file)) = ground.settings.root()? {
        let mut own_root = Vec::new();
        open(&file)?.take(ROOT_BYTES_MAX).read_to_end(&mut own_root).context("reading the root key")?;
        let first_line = own_root.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let needle = Needle::new("root key", first_line.trim_ascii());
        found.has_root |= search(&[path.to_path_buf()], needle.as_slice())?.n_findings > 0;
    }
    let before = theft.people.len();
    let store = path.join("store");
    if store.is_dir() {
        let copy = tempfile::tempdir().context("making a temporary folder")?;
        copy_folder(&store, copy.path()).context("copying the stolen store")?;
        census.read_store(ground.settings.engine()?, copy.path())?;
        theft.people.extend(census.wrapped_people()?.into_keys());
    }
    name_people(snapshot, path, &store, theft)?;
    found.n_rows += theft.people.len() - before;
    Ok(())
}

/// Files beside a store (backups): rows stand behind their person's id.
fn name_people(snapshot: &Snapshot, path: &Path, store: &Path, theft: &mut Theft) -> anyhow::Result<()> {
    if path == store {
        return Ok(());
    }
    if !path.is_dir() {
        let named = snapshot.people_named_in(open(path)?).with_context(|| format!("reading {}", path.display()))?;
        theft.people.extend(named);
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| format!("looking into {}", path.display()))? {
        name_people(snapshot, &entry?.path(), store, theft)?;
    }
    Ok(())
}

// ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn print_people(ground: &Ground, vault: &Vault, args: &Args, concerned: &[Concerned]) -> anyhow::Result<()> {
    for some in concerned.chunks(ADDRESSES_PER_PAUSE) {
        let snapshot = vault.snapshot();
        for one in some {
            let wanted = args.addresses && one.has_to_be_told();
            let address = if wanted { address(&snapshot, one.person)? } else { None };
            let id = one.person.show(one.kind);
            let machine = serde_json::json!({
                "person": id, "readable": one.is_readable, "class": class_word(one.class), "records": one.n_records,
                "tell": one.has_to_be_told(), "address": address,
            });
            let readable = if one.is_readable { "readable" } else { "unintelligible" };
            let address = address.map(|address| format!("  {address}")).unwrap_or_default();
            let human = format!("{id}  {readable}  {}  {} records{address}", class_word(one.class), one.n_records);
            ground.say.answer(&machine, human)?;
        }
        drop(snapshot);
        if args.addresses {
            // What was read is written down before more is read.
            vault.put_items(Vec::new())?.wait()?;
        }
    }
    Ok(())
}

/// The address by which a person is told, through the permit of the built-in artefact.
fn address(snapshot: &Snapshot, person: ProfileId) -> anyhow::Result<Option<String>> {
    let promise = snapshot.promise();
    let notice = promise.artefact(ArtefactKind::Page, Artefact::BREACH_NOTICE).context("the notice is an artefact")?;
    let permit = snapshot.permit(person, notice.id)?;
    for field in promise.fields.values().filter(|field| field.kind == Kind::Email) {
        match permit.fact(&FactName::Field(field.name.clone())) {
            Ok(Some(fact)) => {
                if let Value::Text(text) = &fact.reveal().value {
                    return Ok(Some(text.clone()));
                }
            }
            Err(refusal) if refusal.reason == RefusalReason::NotCounted => return Err(refusal.into()),
            Ok(None) | Err(_) => {}
        }
    }
    Ok(None)
}

const fn class_word(class: Class) -> &'static str {
    match class {
        Class::Plain => "plain",
        Class::Personal => "personal",
        Class::Sensitive => "sensitive",
        Class::Never => "never",
    }
}

// ── numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

struct Summary<'a> {
    breach: &'a Breach,
    theft: &'a Theft,
    found: &'a Found,
    known_since: At,
    deadline: At,
    seconds: f64,
}

impl Summary<'_> {
    /// For the log: numbers, and nobody.
    fn statement(&self) -> String {
        let Breach { n_people, n_readable, n_to_tell, n_unknown, .. } = self.breach;
        let (since, until) = (self.known_since, self.deadline);
        format!(
            "known_since {since}\nauthority_by {until}\npeople {n_people}\nreadable {n_readable}\nto_tell {n_to_tell}\nunknown {n_unknown}"
        )
    }

    fn machine(&self) -> serde_json::Value {
        let breach = self.breach;
        let category = |(category, count): (&Category, &CategoryCount)| {
            serde_json::json!({
                "kind": category.kind, "name": category.name, "class": class_word(category.class),
                "people": count.n_people, "people_readable": count.n_people_readable, "records": count.n_records,
            })
        };
        serde_json::json!({
            "people": breach.n_people, "readable": breach.n_readable, "to_tell": breach.n_to_tell,
            "unknown": breach.n_unknown, "damaged": breach.n_damaged,
            "categories": breach.categories.iter().map(category).collect::<Vec<_>>(),
            "keys_with_it": self.theft.has_keys, "root_key_found": self.found.has_root,
            "rings_found": self.found.rings.iter().map(|ring| &ring.versions).collect::<Vec<_>>(),
            "versions_alive": breach.versions_alive, "versions_destroyed": breach.versions_destroyed,
            "versions_unknown": breach.versions_unknown,
            "known_since": self.known_since.to_string(), "authority_by": self.deadline.to_string(),
            "seconds": self.seconds,
        })
    }

    fn human(&self) -> String {
        let (breach, mut out) = (self.breach, String::new());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\nwhat is kept about the people above");
        for (category, count) in &breach.categories {
            let (class, kind, name) = (class_word(category.class), category.kind, &category.name);
            let CategoryCount { n_people, n_people_readable, n_records } = count;
            let _ = writeln!(
                out,
                "  {class:<10} {kind:<10} {name:<24} {n_people:>9} people ({n_people_readable} readable) {n_records:>9} records"
            );
        }
        let _ = writeln!(out, "\nkeys: {}", self.keys());
        let Breach { n_people, n_readable, n_to_tell, n_unknown, n_damaged, .. } = breach;
        let _ = writeln!(out, "people: {n_people} concerned, {n_readable} readable, {n_to_tell} to be told");
        if *n_unknown > 0 {
            let _ = writeln!(out, "  {n_unknown} more were named and are not here: erased since, or of another house");
        }
        if *n_damaged > 0 {
            let _ = writeln!(out, "  {n_damaged} cannot be opened here either: the worst is assumed of them");
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let rate = *n_people as f64 / self.seconds.max(0.001);
        let _ = writeln!(out, "counted in {:.1} s, {rate:.0} people/s", self.seconds);
        let _ = writeln!(out, "known since {}: tell the authority by {} (72 hours)", self.known_since, self.deadline);
        let told = match *n_to_tell {
            0 => "none by this: nothing that is not plain could be read",
            _ => "those marked readable and not plain, without undue delay",
        };
        let _ = write!(out, "people who have to be told: {told}");
        out
    }

    fn keys(&self) -> String {
        let (breach, found) = (self.breach, self.found);
        let mut says = Vec::new();
        if self.theft.has_keys {
            says.push("root key and key ring were with it".to_owned());
        } else if !self.theft.people.is_empty() || self.theft.everybody {
            let ring = if found.rings.is_empty() { "no key ring of ours" } else { "a key ring" };
            let root = if found.has_root { "the root key" } else { "no root key" };
            says.push(format!("{ring} and {root} were with it: the rows do not open"));
        }
        for ring in &found.rings {
            says.push(format!("a ring with versions {:?} was in it", ring.versions));
        }
        if !breach.versions_alive.is_empty() {
            says.push(format!("versions {:?} are in use here: rotate now", breach.versions_alive));
        }
        if !breach.versions_unknown.is_empty() {
            says.push(format!("versions {:?} were never in use here", breach.versions_unknown));
        }
        if !breach.versions_destroyed.is_empty() {
            let versions = &breach.versions_destroyed;
            says.push(format!(
                "versions {versions:?} are destroyed here, and open copies from before that: everybody is counted who may have been in one"
            ));
        }
        says.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c22_the_clock_of_the_authority_runs_72_hours_from_knowing_and_the_record_names_nobody() {
        let since = At::parse("2026-11-24T08:00:00Z").unwrap();
        let (theft, found) = (parse("all").unwrap(), Found::default());
        let breach = Breach { n_people: 3, n_readable: 2, n_to_tell: 1, ..Breach::default() };
        let deadline = deadline(since);
        let summary =
            Summary { breach: &breach, theft: &theft, found: &found, known_since: since, deadline, seconds: 1.0 };
        assert_eq!(summary.machine()["authority_by"], "2026-11-27T08:00:00.000Z");
        assert!(summary.human().contains("2026-11-27T08:00:00.000Z (72 hours)"));
        assert!(summary.human().contains("3 concerned, 2 readable, 1 to be told"));
        assert!(!summary.statement().contains("per_") && summary.statement().contains("to_tell 1"));
    }

    #[test]
    fn c22_a_list_of_keys_is_read_and_a_wrong_line_is_named_by_its_number() {
        let id = ProfileId::from_bytes([7; 16]);
        let theft = parse(&format!("# stolen on Monday\n\n{id}\nkek 3\nkek 4\n")).unwrap();
        assert!(theft.people.contains(&id) && theft.versions.iter().eq(&[3, 4]) && !theft.everybody);
        assert!(parse("all").unwrap().everybody);
        let error = parse(&format!("{id}\nlena@mail.example\n")).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("lena"), "{error}");
    }
}
