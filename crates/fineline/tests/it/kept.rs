//! A data folder of every released format is kept in `formats/` and opened for ever: what was done in it, as the script knows
//! that made it, is what this program finds, also after it has served, rotated and closed it.

use fineline::chance::SystemChance;
use fineline::house::household_with;
use model::time::ManualClock;
use model::{At, EventName, ProfileId};
use promise::{Artefact, ArtefactKind, RefusalReason};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vault::upgrade::{Outlook, look};
use vault::{EngineKind, Identifier, IdentifierKind, Options, Snapshot, Vault, VaultError};

/// A kept folder, unpacked.
struct Kept {
    name: String,
    folder: tempfile::TempDir,
    expected: Value,
}

#[expect(clippy::disallowed_methods, reason = "a test unpacks a kept folder")]
fn unpacked(path: &Path) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    for number in 0..zip.len() {
        let mut file = zip.by_index(number).unwrap();
        let to = folder.path().join(file.enclosed_name().unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        std::fs::write(&to, bytes).unwrap();
        std::fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let expected = std::fs::read_to_string(folder.path().join("expected.json")).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    Kept { name, folder, expected: serde_json::from_str(&expected).unwrap() }
}

fn kept() -> Vec<Kept> {
    let formats = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../formats");
    let entries = std::fs::read_dir(formats).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "zip"));
    paths.sort();
    paths.iter().map(|path| unpacked(path)).collect()
}

impl Kept {
    fn engine(&self) -> EngineKind {
        match self.expected["engine"].as_str().unwrap() {
            "fjall" => EngineKind::Fjall,
            "redb" => EngineKind::Redb,
            other => panic!("{other}"),
        }
    }

    fn options(&self) -> Options {
        Options {
            data: self.folder.path().join("data"),
            engine: self.engine(),
            root: self.folder.path().join("keys/root").into(),
            queue_max: 100,
            witness: None,
        }
    }

    fn outlook(&self) -> Result<Outlook, VaultError> {
        let options = self.options();
        look(&options.data, &options.root)
    }

    /// Opened on the day after it was made, whenever this test runs.
    #[expect(clippy::disallowed_methods, reason = "a test reads the kept promise")]
    fn open(&self) -> Vault {
        let text = std::fs::read_to_string(self.folder.path().join("promise.toml")).unwrap();
        let promise = Arc::new(promise::parse("promise.toml", &text).unwrap());
        let made_at = At::parse(self.expected["at"].as_str().unwrap()).unwrap();
        let clock = Arc::new(ManualClock::new(made_at.plus_days(1)));
        let household = household_with(promise, clock, Arc::new(SystemChance::default()));
        Vault::open(&self.options(), household).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Everything that the script did is found, and nothing else.
    fn check(&self, vault: &Vault) {
        let snapshot = vault.snapshot();
        let portal = snapshot.promise().artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap().id;
        let campaign = snapshot.promise().artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        for (user, did) in self.expected["people"].as_object().unwrap() {
            let person = find(&snapshot, user).unwrap_or_else(|| panic!("{}: {user} is not found", self.name));
            let permit = snapshot.permit(person, portal).unwrap();
            let orders = permit.events(&EventName::parse("Order Completed").unwrap(), 100).unwrap();
            assert_eq!(orders.len() as u64, did["orders"].as_u64().unwrap(), "{}: {user}", self.name);
            assert!(!permit.ledger().unwrap().is_empty(), "{}: {user}", self.name);
            let refused = snapshot.permit(person, campaign).err().map(|refusal| refusal.reason);
            let wanted = match did["offers"].as_str().unwrap() {
                "given" => None,
                "withdrawn" => Some(RefusalReason::Withdrawn),
                other => panic!("{other}"),
            };
            assert_eq!(refused, wanted, "{}: {user}", self.name);
        }
        for user in self.expected["erased"].as_array().unwrap() {
            assert_eq!(find(&snapshot, user.as_str().unwrap()), None, "{}: {user} came back", self.name);
        }
    }
}

fn find(snapshot: &Snapshot, user: &str) -> Option<ProfileId> {
    snapshot.find(&Identifier { kind: IdentifierKind::User, value: user.to_owned() })
}

#[test]
fn a_folder_of_every_released_format_is_opened_for_ever() {
    let kept = kept();
    assert!(kept.len() >= 2, "one for each engine");
    for kept in kept {
        let outlook = kept.outlook().unwrap_or_else(|error| panic!("{}: {error}", kept.name));
        assert_eq!(Value::from(outlook.format), kept.expected["format"], "{}", kept.name);
        assert_eq!(outlook.engine, Some(kept.engine()), "{}", kept.name);
        let vault = kept.open();
        kept.check(&vault);
        // What this program makes of it when it serves, it opens again.
        vault.sweep().unwrap().wait().unwrap();
        vault.rotate().unwrap().wait().unwrap();
        vault.close().unwrap();
        drop(vault);
        let vault = kept.open();
        kept.check(&vault);
        vault.close().unwrap();
        assert_eq!(kept.outlook().unwrap().format, outlook.format, "serving does not move the format");
    }
}

#[test]
fn every_format_that_a_release_wrote_is_kept_on_both_engines() {
    let names: Vec<String> = kept().into_iter().map(|kept| kept.name).collect();
    for release in vault::upgrade::RELEASES {
        for engine in ["fjall", "redb"] {
            let wanted = format!("folder-{}-{engine}", release.format);
            assert!(names.contains(&wanted), "{wanted}: see formats/keep-folder");
        }
    }
}
