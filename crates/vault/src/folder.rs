//! Responsible for the data folder: its layout, its format version, its lock, and the check that the root key is the
//! right one, made before anything is written.
//!
//! With PostgreSQL only the house file, the key ring and `head` lie here; several nodes then hold the folder at once.
//!
//! `house` (format, id, root check value, how a passphrase becomes the root key, what a program must know) · `lock` · `keys/ring` · `tombstones` ·
//! `narrowings` · `urgent.log` · `sealed.key` · `sealed.log` · `head` · `store/` · `tables.seen` · `backed-up` (the last backup) · `ballast` and `pass`
//! (while it is served)
//!
//! Deliberately not: what stands in those files. One process holds a folder at a time.

use crate::disk::{Disk, file_error};
use crate::failpoint::{Step, around};
use crate::key::{Ring, Root, RootSource, Stretch};
use crate::narrowing::Narrowings;
use crate::sealed::Sealed;
use crate::tombstone::Tombstones;
use crate::urgent::UrgentLog;
use crate::{EngineKind, VaultError, upgrade};
use model::{HouseId, Rng};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The format this program writes.
pub(crate) const FORMAT: u32 = 1;

/// Who was erased, and what people took back: the two files that a restore needs from outside of the backup.
pub(crate) const TOMBSTONES: &str = "tombstones";
pub(crate) const NARROWINGS: &str = "narrowings";

/// Stands in a folder from the first to the last moment of a restore.
const RESTORING: &str = "restoring";

/// Begins the line of the file `house` that says what a program must know to open the folder: words, written before the first
/// thing that an older program would take for damage. Its house writes none yet; a later one may.
const NEEDS: &str = "needs ";

const TITLE: &str = "fineline data folder";

/// What an interrupted making of a house can have left behind.
const LEFTOVERS: [&str; 7] =
    ["keys/ring", "tombstones", "narrowings", "urgent.log", "sealed.key", "sealed.log", "head"];
/// What a data folder holds, and so who may hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Everything: one process.
    All,
    /// The key ring beside a server that has the rest: every node.
    KeysAlone,
}

impl Holds {
    /// By the engine.
    pub(crate) const fn of(engine: EngineKind) -> Self {
        match engine {
            EngineKind::Postgres(_) => Self::KeysAlone,
            EngineKind::Fjall | EngineKind::Redb | EngineKind::Memory => Self::All,
        }
    }
}

/// A data folder that this process holds.
pub(crate) struct Folder {
    path: PathBuf,
    file: HouseFile,
    /// Held until dropped.
    _lock: Lock,
}

/// The lock on a data folder. It is let go by name: a child that another thread is just starting holds a copy of every open
/// file until it has become its own program, and a lock that is only closed lives on in that copy.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the lock of the data folder ends with this process"
            );
        }
    }
}

impl Folder {
    /// Makes a data folder with a new house, its key ring and its empty files. A root key file is made when absent.
    pub(crate) fn create(
        path: &Path,
        source: &RootSource,
        rng: &dyn Rng,
        holds: Holds,
    ) -> Result<(Self, Ring), VaultError> {
        let house_file = path.join("house");
        // A store without its house file is a damaged house, not an empty folder: its key ring must not be replaced.
        if house_file.exists() || path.join("store").exists() {
            return Err(VaultError::HouseExists { path: path.to_path_buf() });
        }
        Disk::make_folder(path)?;
        Disk::make_folder(&path.join("keys"))?;
        let lock = lock(path, holds)?;
        let (root, stretch) = source.make(rng)?;
        let house = HouseId::from_bytes(rng.bytes());
        let check = root.check_value(&house);
        // Whatever an interrupted attempt left behind belongs to no house.
        for left in LEFTOVERS.map(|name| path.join(name)) {
            match std::fs::remove_file(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_error("removing", &left, error));
                }
                _ => {}
            }
        }
        let file = HouseFile { house, check, stretch };
        let folder = Self { path: path.to_path_buf(), file, _lock: lock };
        let ring = around(Step::MakeRing, || Ring::create(Some(&folder.ring()), &root, &house, rng))?;
        if holds == Holds::All {
            around(Step::MakeFiles, || {
                Tombstones::create(&folder.tombstones())?;
                Narrowings::create(&folder.narrowings(), &ring.house_keys()?)?;
                UrgentLog::create(&folder.urgent_log())?;
                Sealed::open(&folder, &ring.house_keys()?).map(|_| ())
            })?;
        }
        // The house file is the last: a folder without it is not a house.
        around(Step::MakeHouse, || Disk::create(&house_file, folder.file.to_text().as_bytes()))?;
        Ok((folder, ring))
    }

    /// Opens a data folder: house, format, root key, lock, ring, in that order. Writes nothing.
    pub(crate) fn open(path: &Path, source: &RootSource, holds: Holds) -> Result<(Self, Ring), VaultError> {
        let (file, root) = open_root(path, source)?;
        let house = file.house;
        let folder = Self { path: path.to_path_buf(), file, _lock: lock(path, holds)? };
        let ring = Ring::open(&folder.ring(), &root, &house)?;
        Ok((folder, ring))
    }

    /// Makes the folder of a restored house, all but the `house` file, which [`Folder::finish`] writes last: until then
    /// nothing opens it. The folder must be empty or not be there.
    pub(crate) fn restore(path: &Path, file: HouseFile, files: &Restored<'_>) -> Result<Self, VaultError> {
        if path.exists() && !is_empty(path)? {
            let what = "it is not empty: a restore makes a new data folder".to_owned();
            return Err(VaultError::Backup { path: path.to_path_buf(), what });
        }
        Disk::make_folder(path)?;
        Disk::create(&path.join(RESTORING), b"")?;
        Disk::make_folder(&path.join("keys"))?;
        let folder = Self { path: path.to_path_buf(), file, _lock: lock(path, Holds::All)? };
        around(Step::RestoreFolder, || {
            Disk::create(&folder.ring(), files.ring)?;
            Disk::create(&folder.tombstones(), files.tombstones)?;
            Disk::create(&folder.narrowings(), files.narrowings)?;
            UrgentLog::create(&folder.urgent_log())
        })?;
        Ok(folder)
    }

    /// From here on the restored folder is a house.
    pub(crate) fn finish(&self) -> Result<(), VaultError> {
        let bytes = self.file.to_text();
        around(Step::RestoreHouse, || Disk::create(&self.path.join("house"), bytes.as_bytes()))?;
        around(Step::RestoreMark, || Disk::remove(&self.path.join(RESTORING)))
    }

    /// What stands in its file `house`.
    pub(crate) fn file(&self) -> &HouseFile {
        &self.file
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose folder this is.
    pub(crate) fn house(&self) -> HouseId {
        self.file.house
    }

    /// The key ring file.
    pub(crate) fn ring(&self) -> PathBuf {
        self.path.join("keys").join("ring")
    }

    /// The tombstone file.
    pub(crate) fn tombstones(&self) -> PathBuf {
        self.path.join(TOMBSTONES)
    }

    /// What people took back.
    pub(crate) fn narrowings(&self) -> PathBuf {
        self.path.join(NARROWINGS)
    }

    /// The urgent log.
    pub(crate) fn urgent_log(&self) -> PathBuf {
        self.path.join("urgent.log")
    }

    /// To which key opt-outs are sealed while the root key is away.
    pub(crate) fn sealed_key(&self) -> PathBuf {
        self.path.join("sealed.key")
    }

    /// What was said meanwhile.
    pub(crate) fn sealed_log(&self) -> PathBuf {
        self.path.join("sealed.log")
    }

    /// Holds a folder whose root key is away: its `house` file and its lock.
    pub(crate) fn hold(path: &Path) -> Result<(HouseFile, Lock), VaultError> {
        let file = read_house_file(path)?;
        Ok((file, lock(path, Holds::All)?))
    }

    /// How far the chain was seen to reach.
    pub(crate) fn head(&self) -> PathBuf {
        self.path.join("head")
    }

    /// The engine's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }
}

/// The files of a house that come from outside of its store.
pub(crate) struct Restored<'a> {
    pub ring: &'a [u8],
    pub tombstones: &'a [u8],
    pub narrowings: &'a [u8],
}

/// Whether a folder has nothing in it.
pub(crate) fn is_empty(path: &Path) -> Result<bool, VaultError> {
    let mut entries = std::fs::read_dir(path).map_err(|source| file_error("reading the folder", path, source))?;
    Ok(entries.next().is_none())
}

/// What stands in the file `house`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HouseFile {
    pub house: HouseId,
    pub check: [u8; 32],
    /// How the passphrase is stretched; `None` = the root key is a file.
    pub stretch: Option<Stretch>,
}

/// Whose folder it is and its root key, compared with the check value before anything is opened with it.
pub(crate) fn open_root(path: &Path, source: &RootSource) -> Result<(HouseFile, Root), VaultError> {
    let file = read_house_file(path)?;
    let root = source.open(file.stretch.as_ref())?;
    match root.check_value(&file.house) == file.check {
        true => Ok((file, root)),
        false => Err(source.wrong()),
    }
}

/// Which house a folder holds, and the root check value; without locking it (census, `doctor`).
pub(crate) fn read_house(path: &Path) -> Result<(HouseId, [u8; 32]), VaultError> {
    read_house_file(path).map(|file| (file.house, file.check))
}

/// The same with how the root key is had. A line that is not known is another program's: refused.
pub(crate) fn read_house_file(path: &Path) -> Result<HouseFile, VaultError> {
    let no_house = || match path.join(RESTORING).exists() {
        true => VaultError::HalfRestored { path: path.to_path_buf() },
        false => VaultError::NoHouse { path: path.to_path_buf() },
    };
    let bytes = Disk::read(&path.join("house"))?.ok_or_else(no_house)?;
    let text = String::from_utf8(bytes).map_err(|_| no_house())?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(no_house());
    }
    let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).map(str::trim);
    let found = field("format ").and_then(|format| format.parse().ok()).ok_or_else(no_house)?;
    if found != FORMAT {
        return Err(VaultError::Version { path: path.to_path_buf(), found, known: FORMAT });
    }
    let house = field("house ").and_then(|house| HouseId::parse(house).ok()).ok_or_else(no_house)?;
    let check = field("root check ").and_then(model::id::from_base32).ok_or_else(no_house)?;
    let mut stretch = None;
    for line in lines {
        if let Some(words) = line.strip_prefix(NEEDS) {
            let unknown = words.split_whitespace().find(|word| !upgrade::KNOWS.contains(word));
            if let Some(what) = unknown {
                return Err(VaultError::Needs { path: path.to_path_buf(), what: what.to_owned() });
            }
        } else {
            let from = line.strip_prefix("root from ").filter(|_| stretch.is_none()).and_then(Stretch::from_text);
            stretch = Some(from.ok_or_else(no_house)?);
        }
    }
    Ok(HouseFile { house, check, stretch })
}

impl HouseFile {
    /// Its format: no other is opened.
    pub(crate) const fn format(&self) -> u32 {
        FORMAT
    }

    fn to_text(&self) -> String {
        let stretch = self.stretch.as_ref();
        let stretch = stretch.map_or_else(String::new, |stretch| format!("root from {}\n", stretch.to_text()));
        let (house, check) = (&self.house, model::id::base32(&self.check));
        format!("{TITLE}\nformat {FORMAT}\nhouse {house}\nroot check {check}\n{stretch}")
    }
}

fn lock(path: &Path, holds: Holds) -> Result<Lock, VaultError> {
    let lock_path = path.join("lock");
    let file = Disk::open_or_create(&lock_path)?;
    let locked = match holds {
        Holds::All => file.try_lock(),
        Holds::KeysAlone => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(VaultError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(file_error("locking", &lock_path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Passphrase;
    use model::chance::Seeded;
    use std::collections::BTreeMap;

    fn contents(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            match entry.path().is_dir() {
                true => found.extend(contents(&entry.path())),
                false => {
                    let modified = entry.metadata().unwrap().modified().unwrap();
                    found.insert(entry.path(), (Disk::read(&entry.path()).unwrap().unwrap(), modified));
                }
            }
        }
        found
    }

    fn house() -> (tempfile::TempDir, PathBuf, RootSource) {
        let temp = tempfile::tempdir().unwrap();
        let (data, root) = (temp.path().join("data"), RootSource::File(temp.path().join("root")));
        Folder::create(&data, &root, &Seeded::new(1), Holds::All).unwrap();
        (temp, data, root)
    }

    #[test]
    fn a_house_is_made_once_and_opens_again() {
        let (_temp, data, root) = house();
        let (folder, ring) = Folder::open(&data, &root, Holds::All).unwrap();
        assert_eq!((ring.current(), folder.house()), (1, read_house(&data).unwrap().0));
        drop(folder);
        assert!(matches!(
            Folder::create(&data, &root, &Seeded::new(2), Holds::All),
            Err(VaultError::HouseExists { .. })
        ));
    }

    #[test]
    fn a_second_opening_is_refused_while_the_first_lives() {
        let (_temp, data, root) = house();
        let first = Folder::open(&data, &root, Holds::All).unwrap();
        assert!(matches!(Folder::open(&data, &root, Holds::All), Err(VaultError::Locked { .. })));
        drop(first);
        Folder::open(&data, &root, Holds::All).unwrap();
    }

    #[test]
    fn a_child_that_is_being_started_does_not_hold_a_closed_folder() {
        let (_temp, data, root) = house();
        let (first, _ring) = Folder::open(&data, &root, Holds::All).unwrap();
        // What a child has between its beginning and its own program: a copy of every open file.
        let copy = first._lock.0.try_clone().unwrap();
        drop(first);
        Folder::open(&data, &root, Holds::All).unwrap();
        drop(copy);
    }

    #[test]
    fn a_wrong_root_key_is_refused_before_any_write() {
        let (temp, data, root) = house();
        let other = temp.path().join("other");
        Root::create(&other, &Seeded::new(9)).unwrap();
        let before = contents(&data);
        assert!(matches!(Folder::open(&data, &other.clone().into(), Holds::All), Err(VaultError::WrongRoot { .. })));
        assert!(Folder::open(&data, &temp.path().join("missing").into(), Holds::All).is_err());
        assert_eq!(contents(&data), before);
        Folder::open(&data, &root, Holds::All).unwrap();
    }

    #[test]
    fn no_house_and_another_version_are_named() {
        let (temp, data, root) = house();
        assert!(matches!(Folder::open(temp.path(), &root, Holds::All), Err(VaultError::NoHouse { .. })));
        let text = String::from_utf8(Disk::read(&data.join("house")).unwrap().unwrap()).unwrap();
        Disk::replace(&data.join("house"), text.replace("format 1", "format 9").as_bytes()).unwrap();
        assert!(matches!(Folder::open(&data, &root, Holds::All), Err(VaultError::Version { found: 9, known: 1, .. })));
        Disk::replace(&data.join("house"), b"something else").unwrap();
        assert!(matches!(Folder::open(&data, &root, Holds::All), Err(VaultError::NoHouse { .. })));
    }

    #[test]
    fn an_interrupted_making_can_be_made_again() {
        let (_temp, data, root) = house();
        std::fs::remove_file(data.join("house")).unwrap();
        let (folder, _) = Folder::create(&data, &root, &Seeded::new(3), Holds::All).unwrap();
        drop(folder);
        Folder::open(&data, &root, Holds::All).unwrap();
    }

    #[test]
    fn a_house_that_lost_its_house_file_keeps_its_keys() {
        let (_temp, data, root) = house();
        Disk::make_folder(&data.join("store")).unwrap();
        std::fs::remove_file(data.join("house")).unwrap();
        let before = contents(&data);
        assert!(matches!(
            Folder::create(&data, &root, &Seeded::new(3), Holds::All),
            Err(VaultError::HouseExists { .. })
        ));
        assert!(matches!(Folder::open(&data, &root, Holds::All), Err(VaultError::NoHouse { .. })));
        assert_eq!(contents(&data), before);
    }

    fn words(text: &str) -> RootSource {
        RootSource::Passphrase(Passphrase::new(text.to_owned()).unwrap())
    }

    #[test]
    fn d14_a_passphrase_opens_its_folder_and_another_one_writes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let (data, right) = (temp.path().join("data"), words("correct horse battery"));
        Folder::create(&data, &right, &Seeded::new(1), Holds::All).unwrap();
        let before = contents(&data);
        assert!(matches!(
            Folder::open(&data, &words("correct horse batter"), Holds::All),
            Err(VaultError::WrongPassphrase)
        ));
        let file = RootSource::File(temp.path().join("root"));
        Folder::create(&temp.path().join("other"), &file, &Seeded::new(2), Holds::All).unwrap();
        assert!(matches!(
            Folder::open(&data, &file, Holds::All),
            Err(VaultError::RootSource { wants: "a passphrase", .. })
        ));
        let other = temp.path().join("other");
        assert!(matches!(
            Folder::open(&other, &right, Holds::All),
            Err(VaultError::RootSource { wants: "a key file", .. })
        ));
        assert_eq!(contents(&data), before);
        Folder::open(&data, &right, Holds::All).unwrap();
        for (path, (bytes, _)) in contents(&data) {
            assert!(!bytes.windows(13).any(|part| part == b"correct horse"), "{}", path.display());
        }
        assert_eq!(format!("{right:?}"), "Passphrase");
    }

    #[test]
    fn a_line_that_nobody_knows_is_no_house() {
        let (_temp, data, root) = house();
        let text = String::from_utf8(Disk::read(&data.join("house")).unwrap().unwrap()).unwrap();
        let salt = "248h248h248h248h248h248h24";
        let twice = "root from argon2id m=65536 t=3 p=1 salt=248h248h248h248h248h248h24\n".repeat(2);
        for line in [
            "root from somewhere".to_owned(),
            format!("root from argon2id m=1 t=1 p=1 salt={salt}"),
            "more".into(),
            twice,
        ] {
            Disk::replace(&data.join("house"), format!("{text}{line}\n").as_bytes()).unwrap();
            assert!(matches!(Folder::open(&data, &root, Holds::All), Err(VaultError::NoHouse { .. })), "{line}");
        }
    }

    #[test]
    fn a_folder_that_needs_what_we_do_not_know_is_refused_by_that_word() {
        let (_temp, data, root) = house();
        let text = String::from_utf8(Disk::read(&data.join("house")).unwrap().unwrap()).unwrap();
        Disk::replace(&data.join("house"), format!("{text}needs sealed-names\n").as_bytes()).unwrap();
        let before = contents(&data);
        let error = Folder::open(&data, &root, Holds::All).err().unwrap();
        assert!(matches!(&error, VaultError::Needs { what, .. } if what == "sealed-names"), "{error}");
        assert_eq!(contents(&data), before);
        Disk::replace(&data.join("house"), format!("{text}needs \n").as_bytes()).unwrap();
        Folder::open(&data, &root, Holds::All).unwrap();
    }

    #[test]
    fn d14_a_passphrase_has_twelve_characters_and_its_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("words");
        assert!(matches!(Passphrase::new("elf zeichen".into()), Err(VaultError::ShortPassphrase { limit: 12 })));
        Disk::create(&path, "zwölf zeichen\r\nand a remark".as_bytes()).unwrap();
        let read = Passphrase::read(&path).unwrap();
        assert!(read.is_same(&Passphrase::new("zwölf zeichen".into()).unwrap()));
        assert!(!read.is_same(&Passphrase::new("zwölf Zeichen".into()).unwrap()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Passphrase::read(&path), Err(VaultError::RootReadable { mode: 0o640, .. })));
        assert!(matches!(Passphrase::read(&temp.path().join("none")), Err(VaultError::File { .. })));
    }
}
