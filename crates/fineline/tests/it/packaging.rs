//! What stands in `packaging/` fits the program: units, container, first settings and the bill of materials name commands,
//! settings and paths that there are, and leave no wall out.

#[path = "../../examples/sbom/bill.rs"]
mod bill;

use clap::Parser;
use fineline::cli::Cli;
use fineline::config::{KEYS, Settings};
use fineline::root::Root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn top(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[expect(clippy::disallowed_methods, reason = "a test reads the file it judges")]
fn read(path: &str) -> String {
    std::fs::read_to_string(top(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `Key=value` lines of a unit, every value of a key.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = read(&format!("packaging/systemd/{name}"));
    for line in text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty()) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        found.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    found
}

fn only<'a>(unit: &'a BTreeMap<String, Vec<String>>, key: &str) -> &'a str {
    match unit.get(key).map(Vec::as_slice) {
        Some([value]) => value,
        other => panic!("{key}: {other:?}"),
    }
}

/// A command line as it stands in a file must be one that the program takes.
fn parses(line: &str) -> Cli {
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], "/usr/local/bin/fineline", "{line}");
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The first settings of the packaging, the environment of the service beside them.
fn settings(environment: &[(String, String)]) -> Settings {
    let file = top("packaging/systemd/fineline.toml");
    Settings::load(Some(&file), environment.to_vec(), Vec::new()).unwrap()
}

const SERVICES: [&str; 2] = ["fineline.service", "fineline-backup.service"];

#[test]
fn the_units_start_commands_that_there_are_on_paths_of_the_settings() {
    let settings = settings(&[]);
    settings.check_listeners().unwrap();
    let Root::File(root) = settings.root().unwrap() else { panic!("the root key is a credential") };
    assert_eq!(settings.text("root"), "credential:root");
    assert_eq!(root.file_name().unwrap(), "root");
    for name in SERVICES {
        let unit = unit(name);
        let line = only(&unit, "ExecStart");
        parses(line);
        assert!(line.contains("--config /etc/fineline/fineline.toml"), "{name}");
        assert_eq!(
            only(&unit, "LoadCredential"),
            "root:/etc/fineline/root",
            "{name}: the credential that the settings name"
        );
        let folders: Vec<PathBuf> =
            only(&unit, "StateDirectory").split_whitespace().map(|folder| Path::new("/var/lib").join(folder)).collect();
        assert!(folders.iter().any(|folder| settings.data().starts_with(folder)), "{name}: {folders:?}");
        // Every path that it writes to lies in a folder of its own: the rest of the disk cannot be written.
        for word in line.split_whitespace().filter(|word| word.starts_with("/var/")) {
            assert!(folders.iter().any(|folder| Path::new(word).starts_with(folder)), "{name}: {word}");
        }
        assert_eq!((only(&unit, "DynamicUser"), only(&unit, "User")), ("yes", "fineline"), "{name}: one user for both");
    }
    assert!(settings.promise().starts_with("/etc/fineline"), "the unit can read it and not write it");
    let backup = unit("fineline-backup.service");
    let line = only(&backup, "ExecStart");
    let path = |flag: &str| line.split(flag).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    assert_ne!(path("--to"), path("--keys-to"), "data and keys apart");
    let timer = unit("fineline-backup.timer");
    assert_eq!(only(&timer, "Persistent"), "yes", "a night that was missed is made up for");
    let daily = only(&timer, "OnCalendar");
    assert!(daily.starts_with("*-*-* ") && daily.ends_with(" UTC"), "{daily}");
    let socket = unit("fineline.socket");
    assert_eq!(only(&socket, "ListenStream"), settings.text("listen"), "the port that the settings name");
    assert_eq!(only(&socket, "FileDescriptorName"), "public");
}

#[test]
fn no_wall_is_left_out_of_a_unit() {
    let wanted = [
        "LimitCORE=0",
        "MemorySwapMax=0",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6",
        "SystemCallFilter=@system-service",
        "UMask=0077",
        "StateDirectoryMode=0700",
    ];
    for name in SERVICES {
        let unit = unit(name);
        for wall in wanted {
            let (key, value) = wall.split_once('=').unwrap();
            assert!(unit.get(key).is_some_and(|values| values.iter().any(|found| found == value)), "{name}: {wall}");
        }
    }
    let serve = unit("fineline.service");
    assert_eq!(only(&serve, "KillMode"), "mixed");
    // All but 5, which a new start may mend.
    use fineline::exit::Exit;
    let for_good = [Exit::Findings, Exit::Usage, Exit::ChangesWait, Exit::Refused].map(|exit| (exit as u8).to_string());
    assert_eq!(only(&serve, "RestartPreventExitStatus"), for_good.join(" "));
}

/// `systemd-analyze` itself, where there is one: it knows every key and its values.
#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let there = ["fineline.service", "fineline.socket", "fineline-backup.service", "fineline-backup.timer"];
    for name in there {
        let path = top("packaging/systemd").join(name);
        let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        // Of our units only, and but for the program, which is not in place on this machine.
        let wrong: Vec<&str> =
            said.lines().filter(|line| line.contains("fineline") && !line.contains("is not executable")).collect();
        assert_eq!(wrong, Vec::<&str>::new());
    }
}

/// Instructions of the container file, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("packaging/container/Containerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

#[test]
fn the_container_runs_as_nobody_with_data_and_keys_apart() {
    let instructions = instructions();
    let last =
        |word: &str| instructions.iter().rev().find(|(found, _)| found == word).map(|(_, rest)| rest.as_str()).unwrap();
    for (word, rest) in &instructions {
        assert!(word != "ADD", "nothing is fetched: {rest}");
        let image = rest.split_whitespace().next().unwrap();
        assert!(
            word != "FROM" || (image.contains(':') && !image.ends_with(":latest")),
            "an image without a version: {rest}"
        );
    }
    let (user, group) = last("USER").split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() >= 10_000 && user == group, "a number of its own, never root");
    let volumes: Vec<String> = serde_json::from_str(last("VOLUME")).unwrap();
    let environment: Vec<(String, String)> = last("ENV")
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for (name, _) in &environment {
        let short = name.strip_prefix("FINELINE_").unwrap().to_lowercase();
        assert!(KEYS.iter().any(|key| key.name == short), "{name} is no setting");
    }
    let nothing = Path::new("/dev/null");
    let settings = Settings::load(Some(nothing), environment.clone(), Vec::new()).unwrap();
    let Root::File(root) = settings.root().unwrap() else { panic!("a key file") };
    let of = |path: &Path| volumes.iter().position(|volume| path.starts_with(volume)).unwrap();
    assert_ne!(of(&settings.data()), of(&root), "who has the one volume must not have the other");
    // In the open, and refused until it is said who may connect.
    assert!(settings.check_listeners().is_err());
    let told = [("FINELINE_BASE_URL", "https://privacy.example"), ("FINELINE_TRUSTED_PROXIES", "10.0.0.2")];
    let told = environment.into_iter().chain(told.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Settings::load(Some(nothing), told, Vec::new()).unwrap().check_listeners().unwrap();
    let port = settings.listen().unwrap().port().to_string();
    assert_eq!(last("EXPOSE"), port);
    let entry: Vec<String> = serde_json::from_str(last("ENTRYPOINT")).unwrap();
    let command: Vec<String> = serde_json::from_str(last("CMD")).unwrap();
    parses(&[entry, command].concat().join(" "));
    let copied =
        instructions.iter().find(|(word, rest)| word == "COPY" && rest.contains("target/dist/fineline")).unwrap();
    assert!(copied.1.ends_with("/usr/local/bin/fineline"));
    assert!(read("Cargo.toml").contains("[profile.dist]"), "the profile that is built");
}

#[test]
fn the_bill_of_materials_lists_exactly_the_packages_of_the_lock_file() {
    let lock = read("Cargo.lock");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(top(""))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bill = bill::of(&lock, &metadata).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&Value::from("CycloneDX"), &Value::from("1.5")));
    let program = &bill["metadata"]["component"];
    let listed: Vec<&Value> = bill["components"].as_array().unwrap().iter().chain([program]).collect();
    let named = |component: &&Value| {
        (component["name"].as_str().unwrap().to_owned(), component["version"].as_str().unwrap().to_owned())
    };
    let names: BTreeSet<(String, String)> = listed.iter().map(named).collect();
    let locked = bill::locked(&lock).unwrap();
    assert_eq!(names, locked.keys().cloned().collect());
    assert_eq!(names.len(), listed.len(), "each once");
    // As many as the file has headings: the reading itself loses none.
    assert_eq!(names.len(), lock.matches("[[package]]").count());
    let refs: BTreeSet<&str> = listed.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
    for edge in bill["dependencies"].as_array().unwrap() {
        let ends = edge["dependsOn"].as_array().unwrap().iter().chain([&edge["ref"]]);
        ends.for_each(|end| assert!(refs.contains(end.as_str().unwrap()), "{end}"));
    }
    // What is built in is what THIRD-PARTY.md names, and the rooms.
    let third: BTreeSet<String> = read("THIRD-PARTY.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next().map(str::to_owned))
        .collect();
    for component in bill["components"].as_array().unwrap().iter().filter(|component| component["scope"] == "required")
    {
        let name = component["name"].as_str().unwrap();
        assert!(name.starts_with("fineline-") || third.contains(name), "{name}");
        let is_ours = name.starts_with("fineline-");
        assert_eq!(component["hashes"].is_null(), is_ours, "{name}: from elsewhere, so with its digest");
    }
    // The same source, the same bytes.
    assert_eq!(bill::of(&lock, &metadata).unwrap().to_string(), bill.to_string());
    let planted =
        lock.replacen("[[package]]", "[[package]]\nname = \"planted\"\nversion = \"1.0.0\"\n\n[[package]]", 1);
    assert!(bill::of(&planted, &metadata).unwrap_err().contains("planted"), "the control");
}
