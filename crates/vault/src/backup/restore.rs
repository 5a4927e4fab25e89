//! Responsible for making a data folder from streams: every stream checked, every row written, and then everybody and
//! everything taken out that must not come back. The `house` file is written last, so that nothing opens half of it.
//!
//! What must not come back: whoever has a tombstone; whoever the keys no longer have; a yes that was taken back after the
//! backup, a "leave me alone" said after it; a message that may have been sent since. A campaign that ran is paused, because
//! whom it reached since is not known. Then the keys are rotated, and the whole is looked through once more.
//!
//! Deliberately not: deciding which promise is in force (the program), and serving.

use super::frame::unusable;
use super::merge::{BUFFER_BYTES, Merged};
use super::opening::{Opened, open_all};
use super::shelf::{Beside, Shelf};
use super::stream::{Change, Head, Kind, StreamReader};
use crate::campaign::{CampaignState, State as CampaignDoes};
use crate::commit::erase::{Leaving, OWN};
use crate::commit::undo::cut_short;
use crate::commit::{Committer, Rotations, Turns, load_rotation};
use crate::disk::{Disk, file_error};
use crate::engine::{Engine, EngineSnapshot, Keyspace, Op};
use crate::failpoint::{Step, around};
use crate::folder::{self, Folder, HouseFile};
use crate::format::{self, LedgerForm, LeftForm, OutboxForm};
use crate::house::House;
use crate::key::{HouseKeys, Ring, Root, RootSource};
use crate::narrowing;
use crate::narrowing::{Later, Taken, What};
use crate::open::{load_house, parts};
use crate::person::Open;
use crate::record::Erasure;
use crate::seal::RecordKind;
use crate::state::Wheel;
use crate::tally::{self, HouseTally};
use crate::tombstone::Tombstones;
use crate::witness::{Watch, Witness};
use crate::{EngineKind, Household, VaultError, engine};
use model::{At, ConsentId, ConsentStatus, Method, ProfileId};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of rows written to the engine at a time.
const BATCH_BYTES: usize = 4 << 20;

/// People mended per batch.
const PEOPLE_PER_BATCH: usize = 200;

/// What a person's ledger says about an answer that came back too old.
const RESTORED_WORDS: &str = "Taken back after the backup from which this was restored.";

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The folders of the streams.
    pub shelf: Shelf,
    /// Which batch; `None` for the newest data stream.
    pub at: Option<u64>,
    /// Who was erased and what was taken back: the newest copies there are.
    pub beside: Beside,
    /// How many erasures are known from elsewhere; fewer in the tombstone file is refused.
    pub n_witnessed: Option<u64>,
    /// The witness, when it can be reached: a tombstone file that is not what it saw is refused, and the step back is noted.
    pub witness: Option<PathBuf>,
    /// Where the root key comes from.
    pub root: RootSource,
    /// The new data folder; must be empty or not be there.
    pub into: PathBuf,
    /// Its engine.
    pub engine: EngineKind,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The batch of the data, and that of the keys.
    pub batch: u64,
    /// At least as new as the data.
    pub keys_batch: u64,
    /// When the house gave the data out.
    pub at: Option<At>,
    /// Rows written.
    pub n_rows: u64,
    /// People that are there.
    pub n_people: u64,
    /// People taken out because they were erased.
    pub n_erased: u64,
    /// People taken out because the keys no longer have them.
    pub n_without_keys: u64,
    /// Answers, limits and stops put back to what people said after the backup.
    pub n_taken_back: u64,
    /// Messages that may have been sent since, and are not sent again.
    pub n_messages: u64,
    /// Campaigns paused.
    pub n_paused: u64,
    /// Records that the newer keys no longer open, taken out.
    pub n_closed: u64,
}

/// What a drill found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drilled {
    /// What the restore itself did.
    pub restored: Restored,
    /// Rows held against the streams.
    pub n_compared: u64,
    /// Keys and records that opened.
    pub n_opened: u64,
    /// Records of a class or a day that is closed for ever.
    pub n_closed: u64,
    /// Rows that differ, are missing or too many, by keyspace and key; the first hundred.
    pub differing: Vec<String>,
    /// How many differ.
    pub n_differing: u64,
    /// Keys and records that do not open.
    pub n_shut: u64,
}

/// Makes a data folder from streams.
///
/// # Errors
/// [`VaultError::Backup`] names the stream or file and what is wrong with it; [`VaultError::WrongRoot`];
/// [`VaultError::Tombstones`] and [`VaultError::Narrowings`] when those files are missing or reach less far than the streams.
pub fn restore(plan: &Plan, household: Household) -> Result<Restored, VaultError> {
    let ready = Ready::new(plan)?;
    let mut loaded = ready.load(plan, household)?;
    let restored = loaded.finish(&ready)?;
    // Last: a crash before this leaves a folder that the witness refuses, and it is restored once more.
    plan.witness.as_ref().map_or(Ok(()), |path| Watch::note_restored(path, &loaded.house))?;
    Ok(restored)
}

/// Restores into a folder beside the target, compares every row with the streams, opens every record, and takes the folder
/// away again.
///
/// # Errors
/// As [`restore`]; a difference is no error but a finding.
pub fn drill(plan: &Plan, household: Household) -> Result<Drilled, VaultError> {
    let mut name = plan.into.file_name().unwrap_or_default().to_owned();
    name.push(".drill");
    let plan = Plan { into: plan.into.with_file_name(name), ..plan.clone() };
    let done = Ready::new(&plan).and_then(|ready| {
        let mut loaded = ready.load(&plan, household)?;
        let mut drilled = Drilled::default();
        ready.compare(&*loaded.house.generation().store, &mut drilled)?;
        let opened = open_all(&loaded.house, &*loaded.house.generation().store)?;
        (drilled.n_opened, drilled.n_closed) = (opened.n_opened, opened.n_closed);
        // Records that newer keys have closed since are as they should be.
        drilled.n_shut = if ready.keys_are_newer() { 0 } else { opened.shut.len() as u64 };
        drilled.restored = loaded.finish(&ready)?;
        Ok(drilled)
    });
    // What was there before is somebody else's.
    let is_ours = !matches!(&done, Err(VaultError::Backup { path, .. }) if *path == plan.into);
    if is_ours && plan.into.exists() {
        std::fs::remove_dir_all(&plan.into).map_err(|source| file_error("removing", &plan.into, source))?;
    }
    done
}

/// Everything read and checked; nothing written yet.
struct Ready {
    chain: Vec<PathBuf>,
    keys_path: PathBuf,
    head: Head,
    keys_head: Head,
    file: HouseFile,
    root: Root,
    ring: Vec<u8>,
    tombstones: Vec<u8>,
    narrowings: Vec<u8>,
    later: Later,
}

impl Ready {
    fn new(plan: &Plan) -> Result<Self, VaultError> {
        if plan.into.exists() && !folder::is_empty(&plan.into)? {
            return Err(unusable(&plan.into, "it is not empty: a restore makes a new data folder"));
        }
        let batch = match plan.at.or(plan.shelf.newest()?) {
            Some(batch) => batch,
            None => return Err(unusable(&plan.shelf.data, "it holds no data stream")),
        };
        let chain = plan.shelf.chain(batch)?;
        let keys_path = plan.shelf.keys_for(batch)?;
        let mut reader = keys_reader(&keys_path)?;
        let (keys_head, ring_bytes) = (reader.head.clone(), reader.ring.clone());
        let house = keys_head.house();
        let file = keys_head.house_file().filter(|_| keys_head.kind == Kind::Keys);
        let file = file.ok_or_else(|| unusable(&keys_path, "it is no key stream that this program knows"))?;
        let root = plan.root.open(file.stretch.as_ref())?;
        if root.check_value(&house) != file.check {
            return Err(plan.root.wrong());
        }
        let ring_bytes = ring_bytes.ok_or_else(|| unusable(&keys_path, "it holds no key ring"))?;
        let keys = Arc::new(Ring::from_file(&ring_bytes, &root, &house, None)?.house_keys()?);
        while reader.next()?.is_some() {}
        reader.ends()?;
        let foreign = |path: &Path| unusable(path, "the house of this root key did not sign it");
        if !reader.trailer()?.is_signed(&keys.receipt) {
            return Err(foreign(&keys_path));
        }
        let mut data = Merged::open(&chain)?;
        let head = data.head().cloned().filter(|head| head.house() == house && head.kind == Kind::Data);
        let newest = chain.last().cloned().unwrap_or_default();
        let head = head.ok_or_else(|| unusable(&newest, "it is the data of another house than the keys"))?;
        while data.next()?.is_some() {}
        if data.trailer().is_none_or(|trailer| !trailer.is_signed(&keys.receipt)) {
            return Err(foreign(&newest));
        }
        let tombstones = check_tombstones(plan, &keys, [&head, &keys_head])?;
        let (narrowings, later) = check_narrowings(plan, &keys, &head, &keys_head)?;
        Ok(Self { chain, keys_path, head, keys_head, file, root, ring: ring_bytes, tombstones, narrowings, later })
    }

    fn keys_are_newer(&self) -> bool {
        self.keys_head.batch > self.head.batch
    }

    /// Writes the folder, all but what makes it a house.
    fn load(&self, plan: &Plan, household: Household) -> Result<Loaded, VaultError> {
        let files = folder::Restored { ring: &self.ring, tombstones: &self.tombstones, narrowings: &self.narrowings };
        let house = self.head.house();
        let folder = Folder::restore(&plan.into, self.file.clone(), &files)?;
        let engine = engine::open(plan.engine, &folder.store())?;
        if let Some(nodes) = engine.nodes() {
            if nodes.is_taken()? {
                let what = "it holds the rows of a house already: name another schema to restore into".to_owned();
                return Err(VaultError::Store { what });
            }
            nodes.settle_in(*house.as_bytes())?;
            let tombstones = (1..).zip(Tombstones::entries(&self.tombstones));
            let tombstones = tombstones.map(|(number, (token, entry))| (number, token, entry)).collect();
            nodes.move_in(tombstones, narrowing::to_rows(&self.narrowings)?)?;
        }
        let Written { n_rows, left } = self.write_rows(engine.as_ref())?;
        let ring = Ring::open(&folder.ring(), &self.root, &house)?;
        let (parts, chain) = parts(folder, ring, engine, household)?;
        if (chain.number(), chain.root()) != (self.head.batch, self.head.log_root()) {
            let newest = self.chain.last().cloned().unwrap_or_default();
            return Err(unusable(&newest, "its chain of batches does not end where it says"));
        }
        let house = Arc::new(House::new(parts));
        let store = Arc::clone(&house.generation().store);
        load_house(&house, &*store)?;
        load_rotation(&house, &*store, true)?;
        drop(store);
        let mut tally = HouseTally::open(&house, &*house.generation().store, chain.number())?;
        for (key, [before, after]) in &left {
            let (before, after) = (before.as_deref(), after.as_deref());
            tally.count(&house.marker, &tally::Change { keyspace: Keyspace::House, key, before, after });
        }
        let (wheel, dates, rotations) = (Wheel::default(), Wheel::default(), Rotations::unfinished(&house));
        let (turning, turns) = (None, Turns::default());
        let committer = Committer { house: Arc::clone(&house), wheel, dates, chain, tally, rotations, turning, turns };
        Ok(Loaded { house, committer, n_rows })
    }

    fn write_rows(&self, engine: &dyn Engine) -> Result<Written, VaultError> {
        let (mut ops, mut n_bytes, mut written) = (Vec::new(), 0usize, Written::default());
        let mut data = Merged::open(&self.chain)?;
        let mut keys = keys_reader(&self.keys_path)?;
        let mut in_keys = false;
        loop {
            // The tokens of those who left come last: the newer of the two streams has all of them.
            let row = if in_keys { keys.next()? } else { data.next()? };
            match row {
                Some(Change { keyspace, key, value: Some(value) }) => {
                    written.n_rows = written.n_rows.saturating_add(1);
                    if keyspace == Keyspace::House && key.starts_with(House::LEFT) {
                        let [before, after] = written.left.entry(key.clone()).or_default();
                        *(if in_keys { after } else { before }) = Some(value.clone());
                    }
                    n_bytes = n_bytes.saturating_add(key.len()).saturating_add(value.len());
                    ops.push(Op::Put(keyspace, key, value));
                }
                Some(_) => {}
                None if in_keys => break,
                None => in_keys = true,
            }
            if n_bytes >= BATCH_BYTES {
                around(Step::RestoreRows, || engine.commit(std::mem::take(&mut ops)))?;
                n_bytes = 0;
            }
        }
        around(Step::RestoreRows, || engine.commit(ops))?;
        Ok(written)
    }

    /// Every row of the streams against every row of the store.
    fn compare(&self, store: &dyn EngineSnapshot, drilled: &mut Drilled) -> Result<(), VaultError> {
        let mut data = Merged::open(&self.chain)?;
        let rows = Keyspace::ALL.into_iter().skip(1).flat_map(|keyspace| rows_of(store, keyspace, &[]));
        // Newer keys bring more tokens of those who left than the data has.
        let is_extra =
            |row: &Change| self.keys_are_newer() && row.keyspace == Keyspace::House && row.key.starts_with(House::LEFT);
        compare(rows, || data.next(), is_extra, drilled)?;
        let mut keys = keys_reader(&self.keys_path)?;
        let rows = rows_of(store, Keyspace::Keys, &[]).chain(rows_of(store, Keyspace::House, House::LEFT));
        compare(rows, || keys.next(), |_| false, drilled)
    }
}

fn rows_of<'s>(
    store: &'s dyn EngineSnapshot,
    keyspace: Keyspace,
    prefix: &[u8],
) -> impl Iterator<Item = Result<Change, VaultError>> + 's {
    store.scan(keyspace, prefix).map(move |row| row.map(|(key, value)| Change { keyspace, key, value: Some(value) }))
}

/// Two lists of rows in the same order, side by side.
fn compare(
    mut rows: impl Iterator<Item = Result<Change, VaultError>>,
    mut next: impl FnMut() -> Result<Option<Change>, VaultError>,
    is_extra: impl Fn(&Change) -> bool,
    drilled: &mut Drilled,
) -> Result<(), VaultError> {
    let (mut held, mut written) = (rows.next().transpose()?, next()?);
    while held.is_some() || written.is_some() {
        let order = match (&held, &written) {
            (Some(held), Some(written)) => held.place().cmp(&written.place()),
            (Some(_), None) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        drilled.n_compared = drilled.n_compared.saturating_add(1);
        let differing = if order.is_le() { &held } else { &written };
        match differing {
            Some(row) if (order.is_ne() || held != written) && !is_extra(row) => drilled.differs(row),
            _ => {}
        }
        if order.is_le() {
            held = rows.next().transpose()?;
        }
        if order.is_ge() {
            written = next()?;
        }
    }
    Ok(())
}

/// Differing rows that are named.
const DIFFERING_MAX: usize = 100;

impl Drilled {
    /// Whether everything is there and opens.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.n_differing == 0 && self.n_shut == 0
    }

    fn differs(&mut self, row: &Change) {
        self.n_differing = self.n_differing.saturating_add(1);
        if self.differing.len() < DIFFERING_MAX {
            self.differing.push(format!("{} {}", row.keyspace.name(), model::id::base32(&row.key)));
        }
    }
}

fn keys_reader(path: &Path) -> Result<StreamReader<BufReader<std::fs::File>>, VaultError> {
    StreamReader::new(BufReader::with_capacity(BUFFER_BYTES, Disk::open_to_read(path)?), path)
}

/// The newest copy of the tombstones, which must have all that either stream, and a witness, saw of it.
fn check_tombstones(plan: &Plan, keys: &Arc<HouseKeys>, heads: [&Head; 2]) -> Result<Vec<u8>, VaultError> {
    let path = &plan.beside.tombstones;
    let bytes = Disk::read(path)?
        .ok_or_else(|| unusable(path, "there is no tombstone file, and without it nobody knows who was erased"))?;
    let tombstones = Tombstones::open(path, keys).map_err(|error| unusable(path, error.to_string()))?;
    let reaches = tombstones.epoch();
    for head in heads {
        if !tombstones.reaches(head.tombstones()) {
            let what = format!(
                "it has {reaches} erasures and the backup knew of {}: an older file, or another; give the newest copy",
                head.tombstones().epoch
            );
            return Err(unusable(path, what));
        }
    }
    if let Some(seen) = plan.n_witnessed.filter(|seen| *seen > reaches) {
        return Err(unusable(
            path,
            format!("it has {reaches} erasures and the witness saw {seen}: give the newest copy"),
        ));
    }
    let witness =
        plan.witness.as_ref().map(|path| Witness::open(path, Arc::clone(keys), &heads[0].house())).transpose()?;
    if let Some(seen) = witness.as_ref().and_then(Witness::newest).filter(|seen| !seen.is_reached_by(&tombstones)) {
        let seen = seen.tombstone_epoch;
        let what = format!("it has {reaches} erasures and is not what the witness saw at {seen}: give the newest copy");
        return Err(unusable(path, what));
    }
    Ok(crate::tombstone::whole(&bytes).to_vec())
}

/// The newest copy of what was taken back, and what of it is later than the data.
fn check_narrowings(
    plan: &Plan,
    keys: &HouseKeys,
    head: &Head,
    keys_head: &Head,
) -> Result<(Vec<u8>, Later), VaultError> {
    let path = &plan.beside.narrowings;
    let bytes = Disk::read(path)?
        .ok_or_else(|| unusable(path, "there is no such file, and without it nobody knows what people took back"))?;
    let taken = Taken::from_bytes(&bytes, keys).map_err(|error| unusable(path, error.to_string()))?;
    if !taken.reaches(head.narrowings()) || !taken.reaches(keys_head.narrowings()) {
        let what = format!(
            "it has {} entries and the backup knew of {}: an older file, or another; give the newest copy",
            taken.reach().epoch,
            head.narrowings().epoch.max(keys_head.narrowings().epoch)
        );
        return Err(unusable(path, what));
    }
    if !taken.remembers(head.narrowings()) {
        let days = crate::NARROWING_DAYS;
        return Err(unusable(path, format!("the backup is more than {days} days older than it remembers: too old")));
    }
    Ok((crate::narrowing::whole(&bytes)?.0.to_vec(), taken.since(head.narrowings())))
}

/// What becomes of a profile that a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// It has a tombstone.
    Erased,
    /// The newer keys no longer have it.
    WithoutKeys,
    /// Streams of one moment disagree.
    Torn,
}

/// Whether it was erased; whether there is a key, and a record under it.
pub(crate) const fn fate(is_erased: bool, has: (bool, bool), keys_are_newer: bool) -> Fate {
    match (is_erased, has) {
        (true, _) => Fate::Erased,
        (false, (true, true)) => Fate::Stays,
        (false, _) if keys_are_newer => Fate::WithoutKeys,
        (false, _) => Fate::Torn,
    }
}

/// What was written.
#[derive(Default)]
struct Written {
    n_rows: u64,
    /// Tokens of those who left, as the data has them and as the keys have them, which are the newer.
    left: BTreeMap<Vec<u8>, [Option<Vec<u8>>; 2]>,
}

/// A house that is written, and is none yet.
struct Loaded {
    house: Arc<House>,
    committer: Committer,
    n_rows: u64,
}

impl Loaded {
    /// Takes out what must not come back, rotates, looks through it all once more, and makes the folder a house.
    fn finish(&mut self, ready: &Ready) -> Result<Restored, VaultError> {
        let mut done = Restored {
            batch: ready.head.batch,
            keys_batch: ready.keys_head.batch,
            at: Some(ready.head.at()),
            n_rows: self.n_rows,
            ..Restored::default()
        };
        self.committer.finish_undos(&cut_short())?;
        let everybody = self.everybody()?;
        self.take_back(ready, &everybody, &mut done)?;
        self.take_out(ready, &everybody, &mut done)?;
        self.close_records(ready, &mut done)?;
        self.quieten(&mut done)?;
        self.committer.rotate()?;
        done.n_people = self.check()?;
        self.house.finish_restore()?;
        Ok(done)
    }

    fn store(&self) -> Arc<dyn EngineSnapshot> {
        Arc::clone(&self.house.generation().store)
    }

    /// Every profile that any row is of.
    fn everybody(&self) -> Result<BTreeSet<ProfileId>, VaultError> {
        let store = self.store();
        let mut everybody = BTreeSet::new();
        for row in store.scan(Keyspace::Keys, &[]) {
            everybody.extend(<[u8; 16]>::try_from(row?.0).ok().map(ProfileId::from_bytes));
        }
        for keyspace in OWN {
            for row in store.scan(keyspace, &[]) {
                everybody.extend(row?.0.first_chunk::<16>().map(|id| ProfileId::from_bytes(*id)));
            }
        }
        for row in store.scan(Keyspace::House, House::RECOVERIES) {
            everybody.extend(House::recovery_of(&row?.0));
        }
        Ok(everybody)
    }

    fn is_erased(&self, id: &ProfileId) -> bool {
        self.house.urgent().tombstones.contains(id)
    }

    /// Puts answers, limits and stops back to what the living said after the backup.
    fn take_back(
        &mut self,
        ready: &Ready,
        everybody: &BTreeSet<ProfileId>,
        done: &mut Restored,
    ) -> Result<(), VaultError> {
        if ready.later.is_empty() {
            return Ok(());
        }
        let living: Vec<ProfileId> = everybody.iter().filter(|id| !self.is_erased(id)).copied().collect();
        for some in living.chunks(PEOPLE_PER_BATCH) {
            let n_taken = self.committer.write(|batch| {
                let mut n_taken = 0u64;
                for id in some {
                    // Without a core record there is nobody to mend: they go afterwards.
                    if batch
                        .store
                        .get(Keyspace::Profiles, &crate::person::class_key(id, crate::retention::CORE))?
                        .is_none()
                    {
                        continue;
                    }
                    let taken = batch.with(id, |batch, open| take_back_from(batch, open, &ready.later))?;
                    n_taken = n_taken.saturating_add(taken.unwrap_or(0));
                }
                Ok(n_taken)
            })?;
            done.n_taken_back = done.n_taken_back.saturating_add(n_taken);
        }
        Ok(())
    }

    /// Everybody with a tombstone, and everybody whom the keys no longer have, leaves every keyspace.
    fn take_out(
        &mut self,
        ready: &Ready,
        everybody: &BTreeSet<ProfileId>,
        done: &mut Restored,
    ) -> Result<(), VaultError> {
        let (house, store) = (Arc::clone(&self.house), self.store());
        let (mut erased, mut without) = (Vec::new(), Vec::new());
        for id in everybody {
            let known = house.urgent().tombstones.erased(id);
            if let Some((at, how)) = known {
                let request = house.urgent().tombstones.request(id, at);
                // The words of the receipt that was given stay; what is restored waits for nothing.
                erased.push(Leaving { how: Erasure::Now, ..Leaving::new(*id, how, at, request) });
                continue;
            }
            let has_key = store.get(Keyspace::Keys, id.as_bytes())?.is_some();
            let core = crate::person::class_key(id, crate::retention::CORE);
            let has_core = store.get(Keyspace::Profiles, &core)?.is_some();
            match fate(known.is_some(), (has_key, has_core), ready.keys_are_newer()) {
                Fate::Stays | Fate::Erased => {}
                Fate::WithoutKeys => without.push(*id),
                Fate::Torn => {
                    return Err(unusable(
                        &ready.keys_path,
                        "a person of the data has no keys in it, or the other way round",
                    ));
                }
            }
        }
        let note = house.urgent().tombstones.note();
        self.committer.write(|batch| {
            batch.ops().push(note);
            Ok(())
        })?;
        for some in erased.chunks(PEOPLE_PER_BATCH) {
            self.committer.write(|batch| some.iter().try_for_each(|leaving| erase(batch, leaving, &ready.later)))?;
        }
        for some in without.chunks(PEOPLE_PER_BATCH) {
            self.committer.write(|batch| {
                for id in some {
                    batch.delete(Keyspace::Keys, id.as_bytes().to_vec());
                    batch.delete(Keyspace::House, House::recovery_row(id));
                    batch.delete_rows(id)?;
                }
                Ok(())
            })?;
        }
        let gone: BTreeSet<[u8; 16]> =
            erased.iter().map(|leaving| &leaving.person).chain(&without).map(|id| *id.as_bytes()).collect();
        self.unindex(&gone)?;
        let had_rows = |leaving: &&Leaving| {
            OWN.iter().any(|keyspace| store.scan(*keyspace, leaving.person.as_bytes()).next().is_some())
        };
        done.n_erased = erased.iter().filter(had_rows).count() as u64;
        done.n_without_keys = without.len() as u64;
        Ok(())
    }

    /// Nothing leads to somebody who is gone.
    fn unindex(&mut self, gone: &BTreeSet<[u8; 16]>) -> Result<(), VaultError> {
        let mut keys = Vec::new();
        for row in self.store().scan(Keyspace::Index, &[]) {
            let (key, value) = row?;
            if value.first_chunk::<16>().is_some_and(|id| gone.contains(id)) {
                keys.push(key);
            }
        }
        self.committer.write(|batch| {
            keys.into_iter().for_each(|key| batch.delete(Keyspace::Index, key));
            Ok(())
        })
    }

    /// What newer keys no longer open was closed after the backup, and stays closed; under keys of the same moment it is
    /// damage.
    fn close_records(&mut self, ready: &Ready, done: &mut Restored) -> Result<(), VaultError> {
        let Opened { shut, .. } = open_all(&self.house, &*self.store())?;
        if let Some((keyspace, key)) = shut.first().filter(|_| !ready.keys_are_newer()) {
            let (n_shut, keyspace) = (shut.len(), keyspace.name());
            let first = model::id::base32(key);
            let what = format!("{n_shut} records do not open with it; the first: {keyspace} {first}");
            return Err(unusable(&ready.keys_path, what));
        }
        done.n_closed = shut.len() as u64;
        self.committer.write(|batch| {
            shut.into_iter().for_each(|(keyspace, key)| batch.delete(keyspace, key));
            Ok(())
        })
    }

    /// No message goes out for the second time, and no campaign goes on by itself.
    fn quieten(&mut self, done: &mut Restored) -> Result<(), VaultError> {
        let (house, store) = (Arc::clone(&self.house), self.store());
        let mut waiting = Vec::new();
        for row in store.scan(Keyspace::Outbox, &[]) {
            let (key, sealed) = row?;
            let form: OutboxForm = format::decode("outbox", &house.open_house(RecordKind::Outbox, &key, &sealed)?)?;
            waiting.push((key, form));
        }
        done.n_messages = waiting.len() as u64;
        for some in waiting.chunks(PEOPLE_PER_BATCH) {
            self.committer
                .write(|batch| some.iter().try_for_each(|(key, form)| batch.end_restored(key.clone(), form)))?;
        }
        let prefix = House::record_row(&CampaignState::record_name(""));
        for row in store.scan(Keyspace::House, &prefix) {
            let (key, sealed) = row?;
            let Ok(mut state) =
                serde_json::from_slice::<CampaignState>(&house.open_house(RecordKind::House, &key, &sealed)?)
            else {
                continue;
            };
            if state.state == CampaignDoes::Running {
                state.state = CampaignDoes::Paused;
                let bytes = serde_json::to_vec(&state).map_err(|error| format::damaged("house", &error.to_string()))?;
                self.committer.write(|batch| batch.put_house(RecordKind::House, key, &bytes))?;
                done.n_paused = done.n_paused.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Once more, over what is now there: nobody who was erased has a row, and everything opens. How many people there are.
    fn check(&self) -> Result<u64, VaultError> {
        let store = self.store();
        let everybody = self.everybody()?;
        let mut n_left = everybody.iter().filter(|id| self.is_erased(id)).count();
        for row in store.scan(Keyspace::Index, &[]) {
            let (_, value) = row?;
            let id = value.first_chunk::<16>().map(|id| ProfileId::from_bytes(*id));
            n_left = n_left.saturating_add(usize::from(id.is_some_and(|id| self.is_erased(&id))));
        }
        let n_shut = open_all(&self.house, &*store)?.shut.len();
        match (n_left, n_shut) {
            (0, 0) => Ok(everybody.len() as u64),
            (0, _) => Err(unusable(self.path(), format!("{n_shut} records do not open after the rotation"))),
            _ => Err(unusable(self.path(), format!("{n_left} rows of people who were erased are still there"))),
        }
    }

    fn path(&self) -> &Path {
        self.house.data().unwrap_or(Path::new(""))
    }
}

/// One person who has a tombstone: as any erasure, and a "leave me alone" said after the backup outlives it.
fn erase(batch: &mut crate::commit::Batch<'_>, leaving: &Leaving, later: &Later) -> Result<(), VaultError> {
    let id = leaving.person;
    let open = Open::load(batch.house, &*batch.store, &id).ok().flatten();
    batch.erase(leaving)?;
    let is_alone = later.of(&id, What::Alone).is_some();
    for form in open.iter().filter(|_| is_alone).flat_map(|open| &open.core.identifiers) {
        let Some(identifier) = House::identifier(form) else { continue };
        let left = LeftForm { erased_at: leaving.at.ms(), restrained: true };
        batch.put(Keyspace::House, batch.house.left_row(&identifier), format::encode(&left));
    }
    Ok(())
}

/// One living person; how many things were put back.
fn take_back_from(batch: &mut crate::commit::Batch<'_>, open: &mut Open, later: &Later) -> Result<u64, VaultError> {
    let id = open.id;
    let mut n_taken = 0u64;
    let relations = open.core.standing()?.relations;
    for (purpose, relation) in relations.iter().filter(|(_, relation)| relation.status.is_given()) {
        let Some((at, _)) = later.of(&id, What::Purpose(purpose.as_str())) else { continue };
        let entry = LedgerForm {
            id: (*ConsentId::new(batch.now, batch.house.rng()).as_bytes()).into(),
            purpose: purpose.as_str().to_owned(),
            status: format::status_code(ConsentStatus::Withdrawn),
            level: None,
            text: RESTORED_WORDS.to_owned(),
            language: "en".to_owned(),
            answered_at: at.ms(),
            method: format::method_code(Method::Desk),
            notice_version: relation.notice_version,
            made_up: false,
            source: None,
            at: batch.now.ms(),
            proof: None,
            included_by: None,
        };
        batch.apply_answer(open, entry)?;
        n_taken = n_taken.saturating_add(1);
    }
    let before = (open.core.restrained, open.core.suppressed, open.core.at_most);
    open.core.restrained |= later.of(&id, What::Alone).is_some();
    open.core.suppressed |= later.of(&id, What::Suppressed).is_some();
    if let Some((_, limit)) = later.of(&id, What::AtMost(0)) {
        open.core.at_most = Some(open.core.at_most.map_or(limit, |own| own.min(limit)));
    }
    if before != (open.core.restrained, open.core.suppressed, open.core.at_most) {
        open.core.less = None;
        open.core.consent_seq = open.core.consent_seq.saturating_add(1);
        n_taken = n_taken.saturating_add(1);
    }
    Ok(n_taken)
}

/// Loads a plan, changes one row of the house behind its back, and compares.
#[cfg(test)]
pub(super) fn plant(plan: &Plan, household: Household, key: &[u8]) -> Result<Drilled, VaultError> {
    let ready = Ready::new(plan)?;
    let loaded = ready.load(plan, household)?;
    loaded.house.engine.commit(vec![Op::Put(Keyspace::House, key.to_vec(), b"changed".to_vec())])?;
    let mut drilled = Drilled::default();
    ready.compare(&*loaded.house.engine.snapshot(), &mut drilled)?;
    Ok(drilled)
}
