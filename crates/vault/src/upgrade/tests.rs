//! Which program may open what: folders as they are, as a later program leaves them, and releases that do not exist yet.

use super::*;
use crate::{Household, NoProjection, Options, Vault};
use model::At;
use model::chance::Seeded;
use model::time::ManualClock;
use std::sync::Arc;

struct Made {
    options: Options,
    _folder: tempfile::TempDir,
}

fn made(engine: EngineKind) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        data: folder.path().join("data"),
        engine,
        root: folder.path().join("root").into(),
        queue_max: 100,
        witness: None,
    };
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap())),
        rng: Arc::new(Seeded::new(5)),
        projection: Arc::new(NoProjection),
    };
    Vault::create(&options, &household).unwrap();
    Vault::open(&options, household).unwrap().close().unwrap();
    Made { options, _folder: folder }
}

#[test]
fn a_folder_is_told_by_format_engine_and_files_and_what_is_made_is_said() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let Made { options, _folder } = made(engine);
        let outlook = look(&options.data, &options.root).unwrap();
        assert_eq!((outlook.format, outlook.engine), (FORMAT, Some(engine)));
        let files = ["keys/ring", "tombstones", "narrowings", "urgent.log"].map(|name| (name, 1));
        assert_eq!((outlook.files, outlook.changes), (files.to_vec(), Vec::new()));
        // As a program from before narrowings were kept leaves it.
        std::fs::remove_file(options.data.join("narrowings")).unwrap();
        assert_eq!(look(&options.data, &options.root).unwrap().changes.len(), 1);
    }
}

#[test]
fn what_a_later_program_wrote_is_refused_by_file_before_anything_is_opened() {
    let Made { options, _folder } = made(EngineKind::Redb);
    let refused = |says: &str| {
        let error = look(&options.data, &options.root).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    for (name, _, _) in FORMS {
        let path = options.data.join(name);
        let whole = Disk::read(&path).unwrap().unwrap();
        let mut later = whole.clone();
        later[6] = b'2';
        Disk::replace(&path, &later).unwrap();
        refused(&format!("{name}: it is of form 2"));
        Disk::replace(&path, &whole[1..]).unwrap();
        refused(&format!("{name}: it does not begin like one"));
        if name != "narrowings" {
            std::fs::remove_file(&path).unwrap();
            refused(&format!("{name}: the file is missing"));
        }
        Disk::replace(&path, &whole).unwrap();
    }
    look(&options.data, &options.root).unwrap();
    let root = options.data.with_file_name("other");
    Disk::create(&root, &[b'0'; 64]).unwrap();
    assert!(matches!(look(&options.data, &root.into()), Err(VaultError::WrongRoot { .. })));
}

#[test]
fn going_back_one_release_is_possible_until_something_is_there_that_it_does_not_know() {
    let before = Release { version: "0.9.0", format: 2, knows: &["old-word"] };
    for format in [1, 2] {
        assert_eq!(judge(format, &[], &before), Previous::MayOpen("0.9.0"));
        assert_eq!(judge(format, &["old-word"], &before), Previous::MayOpen("0.9.0"));
        assert!(matches!(judge(format, &["old-word", "new-word"], &before),
            Previous::MayNot { because, .. } if because.contains("`new-word`")));
    }
    assert!(matches!(judge(3, &[], &before), Previous::MayNot { because, .. } if because.contains("format 3")));
}

#[test]
fn this_program_is_the_last_release_and_none_opens_less_than_the_one_before() {
    let ours = RELEASES.last().unwrap();
    assert_eq!((ours.version, ours.format, ours.knows), (env!("CARGO_PKG_VERSION"), FORMAT, KNOWS));
    for pair in RELEASES.windows(2) {
        assert!(pair[0].format <= pair[1].format, "forward only");
        assert!(pair[0].knows.iter().all(|word| pair[1].knows.contains(word)), "what was known stays known");
    }
}
