//! The rules of the house as tests: who may depend on whom, who may open what, how files begin, which licences may enter,
//! and that `docs/capabilities.md` tells the truth. Not a style guide: each rule here keeps a promise that a reader relies on.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/fineline lies two below the root")
        .to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a test reads the sources it judges")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file that git tracks or would track, relative to the root.
fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(output.status.success(), "git ls-files failed");
    let listing = String::from_utf8(output.stdout).expect("paths are UTF-8");
    listing.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

fn rust_files() -> Vec<(String, String)> {
    tracked()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = read(&root().join(&path));
            (path, text)
        })
        .collect()
}

/// Sources of the rooms, without their tests.
fn product_files() -> Vec<(String, String)> {
    rust_files()
        .into_iter()
        .filter(|(path, _)| path.contains("/src/") && !path.ends_with("/tests.rs") && !path.contains("/tests/"))
        .map(|(path, text)| {
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            (path, product)
        })
        .collect()
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn every_metric_that_is_counted_is_listed() {
    let listed: BTreeSet<&str> = fineline::telemetry::all_metrics().into_iter().map(|(name, _)| name).collect();
    for (path, text) in product_files() {
        for text in code_lines(&text).flat_map(|line| line.split('"').skip(1).step_by(2)) {
            // A rule begins with its metric.
            let name = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
            let is_metric = name.starts_with("fineline_") && name.split('_').count() >= 4 && !name.ends_with('_');
            assert!(!is_metric || listed.contains(name), "{path}: {name} is in no METRICS of a room");
        }
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// What each room may name besides crates from the registry.
const ARROWS: &[(&str, &[&str])] = &[
    ("fineline-model", &[]),
    ("fineline-promise", &["fineline-model"]),
    ("fineline-vault", &["fineline-model", "fineline-promise"]),
    ("fineline-collect", &["fineline-model", "fineline-promise", "fineline-vault"]),
    ("fineline-understand", &["fineline-model", "fineline-promise", "fineline-vault"]),
    ("fineline-decide", &["fineline-model", "fineline-promise", "fineline-vault"]),
    ("fineline-deliver", &["fineline-model", "fineline-promise", "fineline-vault"]),
    ("fineline-portal", FACE),
    ("fineline-console", FACE),
];

const FACE: &[&str] = &[
    "fineline-model",
    "fineline-promise",
    "fineline-vault",
    "fineline-collect",
    "fineline-understand",
    "fineline-decide",
    "fineline-deliver",
];

fn forbidden_arrows(room: &str, dependencies: &BTreeSet<String>) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else { return Vec::new() };
    dependencies
        .iter()
        .filter(|name| name.starts_with("fineline") && !allowed.contains(&name.as_str()))
        .map(|name| format!("{room} → {name}"))
        .collect()
}

#[test]
fn d27_rooms_know_only_the_rooms_they_may() {
    let metadata = metadata();
    let members: BTreeSet<&str> = list(&metadata, "workspace_members").filter_map(Value::as_str).collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for package in list(&metadata, "packages").filter(|package| members.contains(text(package, "id"))) {
        let name = text(package, "name");
        seen.insert(name.to_owned());
        let dependencies = list(package, "dependencies").map(|d| text(d, "name").to_owned()).collect();
        wrong.extend(forbidden_arrows(name, &dependencies));
    }
    assert_eq!(wrong, Vec::<String>::new());
    let rooms: BTreeSet<String> =
        ARROWS.iter().map(|(name, _)| (*name).to_owned()).chain(["fineline".to_owned()]).collect();
    assert_eq!(seen, rooms, "the house has ten rooms");
    // A room that looks over a wall is caught.
    let planted = BTreeSet::from(["fineline-deliver".to_owned()]);
    assert_eq!(forbidden_arrows("fineline-decide", &planted).len(), 1);
}

/// Words that open something, and the only files in which they may stand.
const OPENERS: &[(&str, &[&str], &[&str])] = &[
    (
        "the web framework",
        &["axum::", "use axum"],
        &["/src/http.rs", "/src/http/", "crates/fineline/src/demo/", "crates/fineline/src/serve.rs"],
    ),
    (
        "an outgoing socket",
        &[
            "TcpStream::connect",
            "UnixStream::connect",
            "AsyncSmtpConnection",
            "SmtpTransport",
            "hyper_util::client",
            "connect_tokio1",
        ],
        &[
            "crates/deliver/src/egress",
            "crates/vault/src/engine/postgres/server.rs",
            "crates/fineline/src/loopback.rs",
            "crates/fineline/src/command/doctor.rs",
        ],
    ),
    (
        "a file",
        &["std::fs::", "fs::File", "File::open", "File::create", "OpenOptions", "read_dir"],
        &["crates/vault/src/", "crates/fineline/src/"],
    ),
    (
        "the system's clock",
        &["SystemTime::now", "Timestamp::now", "Instant::now", "Zoned::now"],
        &["crates/fineline/src/"],
    ),
    (
        "the system's chance",
        &["SystemRandom", "thread_rng", "getrandom"],
        &[
            "crates/fineline/src/chance.rs",
            "crates/vault/src/key/",
            "crates/vault/src/receipt.rs",
            "crates/deliver/src/dkim.rs",
        ],
    ),
    ("an engine", &["fjall::", "redb::", "tokio_postgres::"], &["crates/vault/src/engine/"]),
];

fn openers_out_of_place(path: &str, text: &str) -> Vec<String> {
    OPENERS
        .iter()
        .filter(|(_, _, places)| !places.iter().any(|place| path.contains(place)))
        .flat_map(|(what, words, _)| {
            words
                .iter()
                .filter(|word| code_lines(text).any(|line| line.contains(**word)))
                .map(move |word| format!("{path}: {what} ({word})"))
        })
        .collect()
}

#[test]
fn d27_only_the_named_files_open_files_sockets_clocks_and_engines() {
    let wrong: Vec<String> = product_files().iter().flat_map(|(path, text)| openers_out_of_place(path, text)).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let planted = "fn leak() { let _ = std::fs::read(\"data/store\"); }";
    assert_eq!(openers_out_of_place("crates/decide/src/leak.rs", planted).len(), 1);
}

/// The lines that make a right to read: where a maker is called, and where its fields are filled in.
fn makers_of_permits(path: &str, text: &str) -> Vec<String> {
    let is_made = |line: &&str| {
        let is_called = ["Permit::new(", "PermitSet::new("].iter().any(|word| line.contains(word));
        is_called || (line.contains("_stays_here") && !line.contains("PhantomData<"))
    };
    code_lines(text).filter(is_made).map(|line| format!("{path}: {}", line.trim())).collect()
}

#[test]
fn d27_a_permit_is_made_by_a_snapshot_alone() {
    let made: Vec<String> = product_files().iter().flat_map(|(path, text)| makers_of_permits(path, text)).collect();
    let places: Vec<&str> = made.iter().filter_map(|line| line.split(": ").next()).collect();
    let room = "crates/vault/src";
    let expected = ["permit.rs", "set.rs", "snapshot.rs", "snapshot.rs"].map(|file| format!("{room}/{file}"));
    assert_eq!(places, expected, "{made:#?}");
    let planted = "fn any() -> Permit {\n    Permit::new(snapshot, artefact, person, None)\n}";
    assert_eq!(makers_of_permits("crates/vault/src/lift.rs", planted).len(), 1);
}

#[test]
fn at_least_fourteen_files_must_not_compile() {
    let n = tracked()
        .iter()
        .filter(|path| path.starts_with("crates/vault/tests/compile_fail/") && path.ends_with(".rs"))
        .count();
    assert!(n >= 14, "only {n} compile-fail files");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = rust_files()
        .into_iter()
        .filter(|(path, text)| !path.contains("compile_fail/") && !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(silent, Vec::<String>::new(), "files begin with //!");
}

#[test]
fn a_long_file_says_why_in_its_first_paragraph() {
    let long: Vec<String> = rust_files()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 800)
        .filter(|(_, text)| {
            let first = text.lines().take_while(|line| line.starts_with("//!") && line.len() > 3).collect::<Vec<_>>();
            !first.join(" ").to_lowercase().contains("long because")
        })
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn no_thing_without_a_home() {
    let homeless = ["util", "utils", "common", "helper", "helpers", "misc", "shared"];
    let found: Vec<String> = tracked()
        .into_iter()
        .filter(|path| path.split('/').any(|part| homeless.contains(&part.split('.').next().unwrap_or_default())))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn exceptions_to_lints_give_a_reason() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        if path.contains("compile_fail/") || path.ends_with("tests/tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let is_allow = line.starts_with("#[allow(") || line.starts_with("#![allow(");
            if is_allow || line.contains("todo!(") || line.contains("unimplemented!(") {
                wrong.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "use #[expect(…, reason = \"…\")], and finish what you begin");
}

#[test]
fn nothing_names_a_machine_or_a_registry_host() {
    // Spelled in pieces so that this file does not name them either.
    let needles = [
        ["/work", "/main"],
        ["/work", "/shared"],
        ["/tmp", "/wt/"],
        ["registry.npm", "js.org"],
        ["files.python", "hosted.org"],
        ["static.crates", ".io"],
    ];
    let mut wrong = Vec::new();
    for path in tracked() {
        let lock_of_cargo = path == "Cargo.lock";
        if lock_of_cargo || path.ends_with(".gz") || path.ends_with(".png") {
            continue;
        }
        #[expect(clippy::disallowed_methods, reason = "a test reads the sources it judges")]
        let bytes = std::fs::read(root().join(&path)).expect("a tracked file can be read");
        let text = String::from_utf8_lossy(&bytes);
        for needle in &needles {
            if text.contains(&needle.concat()) {
                wrong.push(format!("{path}: {}", needle.concat()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Licences under which a crate may enter. Any one part of an `OR` is enough; every part of an `AND` is needed.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BlueOak-1.0.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "BSL-1.0",
    "Unlicense",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
];

fn licence_may_enter(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        part.split(" OR ").any(|name| LICENCES.contains(&name.trim_matches(|c| matches!(c, '(' | ')' | ' '))))
    })
}

#[test]
fn every_crate_has_a_licence_that_may_enter() {
    let metadata = metadata();
    let wrong: Vec<String> = list(&metadata, "packages")
        .filter(|package| !licence_may_enter(text(package, "license")))
        .map(|package| {
            format!("{} {}: {:?}", text(package, "name"), text(package, "version"), text(package, "license"))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert!(!licence_may_enter("AGPL-3.0") && !licence_may_enter("MIT AND GPL-2.0") && !licence_may_enter(""));
}

/// A row of `docs/capabilities.md`: id, state word, names of tests.
struct Row {
    id: String,
    state: String,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    read(&root().join("docs/capabilities.md"))
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, id, _capability, state, _today, tests, ..] = cells.as_slice() else { return None };
            let is_row = id.len() == 3
                && id.starts_with(['A', 'B', 'C', 'D', 'E'])
                && id.chars().skip(1).all(|c| c.is_ascii_digit());
            let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            is_row.then(|| Row { id: (*id).to_owned(), state: (*state).to_owned(), tests })
        })
        .collect()
}

/// Names of all tests in the tree that begin with a row id: Rust functions, titles of browser and client tests.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in tracked() {
        let marks: &[&str] = match path.rsplit('.').next() {
            Some("rs") => &["fn "],
            Some("mjs" | "ts") if path.starts_with("tests/") => &["test('", "test(`"],
            _ => continue,
        };
        let text = read(&root().join(&path));
        for line in code_lines(&text) {
            for mark in marks {
                let Some((_, rest)) = line.split_once(mark) else { continue };
                let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
                if row_id(name).is_some() {
                    names.insert(name.to_owned());
                }
            }
        }
    }
    names
}

/// `a14_both_files_load_whole` → `A14`.
fn row_id(name: &str) -> Option<String> {
    let (head, rest) = name.split_once('_')?;
    let letter = head.chars().next()?;
    let fits = head.len() == 3 && ('a'..='e').contains(&letter) && head.chars().skip(1).all(|c| c.is_ascii_digit());
    (fits && !rest.is_empty()).then(|| head.to_uppercase())
}

#[test]
fn the_page_of_capabilities_tells_the_truth() {
    let rows = rows();
    assert_eq!(rows.len(), 141, "docs/capabilities.md has a line for each of the 141 rows");
    let names = test_names();
    let mut wrong = Vec::new();
    let by_id: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    for row in &rows {
        match row.state.as_str() {
            "works" | "partly" => {
                if row.tests.is_empty() {
                    wrong.push(format!("{} is said to be {}, but names no test", row.id, row.state));
                }
                for test in &row.tests {
                    if !names.contains(test) {
                        wrong.push(format!("{}: there is no test `{test}`", row.id));
                    }
                    if row_id(test).as_deref() != Some(&row.id) {
                        wrong.push(format!("{}: `{test}` does not bear its id", row.id));
                    }
                }
            }
            "not yet" => {
                if let Some(name) = names.iter().find(|name| row_id(name).as_deref() == Some(&row.id)) {
                    wrong.push(format!("{} is said to be not yet, but `{name}` bears its id", row.id));
                }
            }
            other => wrong.push(format!("{}: {other:?} is not one of works, partly, not yet", row.id)),
        }
    }
    for name in &names {
        let id = row_id(name).unwrap_or_default();
        if !by_id.contains_key(id.as_str()) {
            wrong.push(format!("`{name}` bears an id that is no row"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The crates that are built into the program, by name and version, with their licences.
fn third_parties() -> String {
    let metadata = metadata();
    let members: BTreeSet<&str> = list(&metadata, "workspace_members").filter_map(Value::as_str).collect();
    let nodes: BTreeMap<&str, &Value> = metadata
        .get("resolve")
        .map(|resolve| list(resolve, "nodes").map(|node| (text(node, "id"), node)).collect())
        .unwrap_or_default();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = members.iter().copied().collect();
    while let Some(id) = open.pop() {
        if !reached.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        for dependency in list(node, "deps") {
            let is_for_tests_only = list(dependency, "dep_kinds").all(|kind| text(kind, "kind") == "dev");
            if !is_for_tests_only {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    let mut lines: Vec<String> = list(&metadata, "packages")
        .filter(|package| reached.contains(text(package, "id")) && !members.contains(text(package, "id")))
        .map(|package| {
            format!("| {} | {} | {} |", text(package, "name"), text(package, "version"), text(package, "license"))
        })
        .collect();
    lines.sort();
    lines.dedup();
    format!(
        "# Third-party notices\n\nFineline is built with the crates below; each stands under its own licence, whose text is in the crate's \
         source. Generated from the lock file: `UPDATE=1 cargo test -p fineline --test tidy third`.\n\n\
         The sample of Online Retail II in `data/` is by Daqing Chen, CC BY 4.0; see `data/README.md`.\n\n\
         | crate | version | licence |\n|---|---|---|\n{}\n",
        lines.join("\n")
    )
}

#[test]
fn third_party_notices_are_up_to_date() {
    let path = root().join("THIRD-PARTY.md");
    let now = third_parties();
    if std::env::var_os("UPDATE").is_some() {
        #[expect(clippy::disallowed_methods, reason = "writes the generated page when asked to")]
        std::fs::write(&path, &now).expect("the page can be written");
    }
    assert!(read(&path) == now, "THIRD-PARTY.md is stale: UPDATE=1 cargo test -p fineline --test tidy third");
}
