//! A stream that is not whole names the frame; a chain gives what was signed or nothing; a drill sees one changed row.

use super::frame::{FrameReader, FrameWriter};
use super::restore::plant;
use super::stream::{Change, Content, StreamReader, StreamWriter, Trailer};
use super::*;
use crate::disk::Disk;
use crate::key::{Secret, Signer};
use crate::record::{ConsentChange, Identifier, IdentifierKind, Subject};
use crate::{EngineKind, Household, NoProjection, Options, Passphrase, RootSource, Vault, VaultError};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, ConsentStatus, Method, PurposeName, Words};
use std::path::Path;
use std::sync::Arc;

fn frames(bodies: &[&[u8]]) -> Vec<u8> {
    let mut writer = FrameWriter::new(Vec::new()).unwrap();
    bodies.iter().for_each(|body| writer.write(body).unwrap());
    writer.into_inner()
}

fn read(bytes: &[u8], n_frames: usize) -> Result<(), String> {
    let read = || {
        let mut reader = FrameReader::new(bytes, Path::new("stream"))?;
        (0..n_frames).try_for_each(|_| reader.next().map(|_| ()))?;
        reader.ends()
    };
    read().map_err(|error: VaultError| error.to_string())
}

#[test]
fn a_frame_that_is_cut_changed_doubled_swapped_or_foreign_is_named() {
    let (one, two, three): (&[u8], &[u8], &[u8]) = (b"one", b"two, longer", b"three");
    let whole = frames(&[one, two, three]);
    read(&whole, 3).unwrap();
    let first_ends = 8 + 4 + one.len() + 16;
    let second_ends = first_ends + 4 + two.len() + 16;
    for cut in 0..whole.len() {
        let says = read(&whole[..cut], 3).unwrap_err();
        let frame = if cut < first_ends {
            1
        } else if cut < second_ends {
            2
        } else {
            3
        };
        assert!(cut < 8 || says.contains(&format!("frame {frame} is cut off")), "{cut}: {says}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        assert!(read(&changed, 3).is_err(), "byte {at}");
    }
    let doubled = [&whole[..second_ends], &whole[first_ends..]].concat();
    assert!(read(&doubled, 4).unwrap_err().contains("frame 3"));
    assert!(read(&[whole.clone(), whole.clone()].concat(), 3).unwrap_err().contains("bytes follow"));
    let foreign = [&whole[..first_ends], &frames(&[b"uno", two, three])[first_ends..]].concat();
    assert!(read(&foreign, 3).unwrap_err().contains("frame 2"));
    let huge = [b"FLBACK1\n".as_slice(), &u32::MAX.to_be_bytes()].concat();
    assert!(read(&huge, 1).unwrap_err().contains("the limit"));
}

/// A backup of a small house, and how to restore it.
fn backed_up(folder: &Path) -> (Plan, Household) {
    backed_up_under(folder, folder.join("root").into())
}

fn backed_up_under(folder: &Path, root: RootSource) -> (Plan, Household) {
    let path = |name: &str| folder.join(name);
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap())),
        rng: Arc::new(Seeded::new(5)),
        projection: Arc::new(NoProjection),
    };
    let options =
        Options { data: path("data"), engine: EngineKind::Redb, root: root.clone(), queue_max: 100, witness: None };
    Vault::create(&options, &household).unwrap();
    let vault = Vault::open(&options, household.clone()).unwrap();
    vault.put_house_record("a", Some(vec![1])).unwrap().wait().unwrap();
    let shelf = Shelf { data: path("backup"), keys: path("keys") };
    let mut streams = Vec::new();
    vault.backup().unwrap().wait().unwrap().write(&mut streams).unwrap();
    take(&mut streams.as_slice(), &shelf, &Beside::of(&path("data")), Extent::Changes, vault.now()).unwrap();
    let plan = Plan {
        shelf,
        at: None,
        beside: Beside::of(&path("backup")),
        n_witnessed: None,
        witness: None,
        root,
        into: path("new"),
        engine: EngineKind::Redb,
    };
    (plan, household)
}

#[test]
fn c22_rows_that_the_house_did_not_sign_are_refused_whoever_made_the_checks() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, household) = backed_up(folder.path());
    let path = plan.shelf.chain(plan.shelf.newest().unwrap().unwrap()).unwrap().remove(0);
    let bytes = Disk::read(&path).unwrap().unwrap();
    let forged_by = |seed: u64, change: fn(&mut Change)| {
        let mut reader = StreamReader::new(bytes.as_slice(), &path).unwrap();
        let mut content = Content::new(&reader.head);
        let mut writer = StreamWriter::new(Vec::new(), &reader.head, None).unwrap();
        while let Some(mut row) = reader.next().unwrap() {
            change(&mut row);
            content.row(&row);
            writer.change(&row).unwrap();
        }
        let (n_rows, digest) = content.finish();
        let signer = Signer::new(&Secret::generate(&Seeded::new(seed))).unwrap();
        writer.finish(&Trailer::sign(n_rows, digest, &signer).unwrap()).unwrap()
    };
    let changes: [fn(&mut Change); 2] = [|_| {}, |row| row.value.get_or_insert_default().push(1)];
    for change in changes {
        Disk::replace(&path, &forged_by(9, change)).unwrap();
        let says = restore(&plan, household.clone()).unwrap_err().to_string();
        assert!(says.contains("did not sign it"), "{says}");
    }
    Disk::replace(&path, &bytes).unwrap();
    restore(&plan, household).unwrap();
}

#[test]
fn d14_a_house_under_a_passphrase_is_restored_with_it_and_with_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let under = |words: &str| RootSource::Passphrase(Passphrase::new(words.to_owned()).unwrap());
    let (plan, household) = backed_up_under(folder.path(), under("four words nobody joins"));
    let with = |root| restore(&Plan { root, ..plan.clone() }, household.clone());
    assert!(matches!(with(under("four words nobody knows")), Err(VaultError::WrongPassphrase)));
    assert!(matches!(with(folder.path().join("root").into()), Err(VaultError::RootSource { .. })));
    assert!(!plan.into.exists(), "nothing was written");
    restore(&plan, household.clone()).unwrap();
    let options = Options { data: plan.into, engine: EngineKind::Redb, root: plan.root, queue_max: 100, witness: None };
    assert_eq!(Vault::open(&options, household).unwrap().snapshot().house_record("a").unwrap(), Some(vec![1]));
}

#[test]
fn c22_a_drill_finds_one_changed_row() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, household) = backed_up(folder.path());
    let path = |name: &str| folder.path().join(name);
    let sound = drill(&plan, household.clone()).unwrap();
    assert!(sound.is_sound() && sound.n_compared > 5 && sound.n_opened > 0, "{sound:?}");
    assert!(!path("new.drill").exists() && !path("new").exists());
    let found = plant(&plan, household, b"h/a").unwrap();
    assert_eq!((found.n_differing, found.differing.len(), found.is_sound()), (1, 1, false));
    assert!(Disk::read(&path("new").join("house")).unwrap().is_none(), "what was not finished is no house");
}

#[test]
fn c22_a_no_and_a_later_yes_in_one_batch_are_a_no_to_an_older_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, household) = backed_up(folder.path());
    let options = Options {
        data: folder.path().join("data"),
        engine: EngineKind::Redb,
        root: plan.root.clone(),
        queue_max: 100,
        witness: None,
    };
    let vault = Vault::open(&options, household.clone()).unwrap();
    let user = Identifier { kind: IdentifierKind::User, value: "ada".into() };
    let answer = |status| ConsentChange {
        subject: Subject::Identifiers { user: Some(user.clone()), anonymous: None },
        source: None,
        purpose: PurposeName::parse("offers").unwrap(),
        status,
        level: None,
        words: Words { text: "Offers?".into(), language: "en".into(), answered_at: vault.now() },
        method: Method::Portal,
        notice_version: 1,
        made_up: false,
    };
    let person = vault.consent(answer(ConsentStatus::Given)).unwrap().wait().unwrap().profile.unwrap();
    let mut streams = Vec::new();
    vault.backup().unwrap().wait().unwrap().write(&mut streams).unwrap();
    take(&mut streams.as_slice(), &plan.shelf, &Beside::of(&options.data), Extent::Full, vault.now()).unwrap();
    let n_batches = vault.n_batches();
    // On the urgent log, and the committer is not told before the yes wakes it.
    vault.inner.house.narrow(person, &answer(ConsentStatus::Withdrawn)).unwrap();
    vault.consent(answer(ConsentStatus::Given)).unwrap().wait().unwrap();
    assert_eq!(vault.n_batches(), n_batches + 1, "one batch held both");
    drop(vault);
    let plan = Plan { beside: Beside::of(&options.data), ..plan };
    assert_eq!(restore(&plan, household).unwrap().n_taken_back, 1);
}
