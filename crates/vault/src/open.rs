//! Making and opening a house: what is found is checked before anybody is served (the engine recovers its own files
//! first), whoever was erased is taken out of the
//! store before anybody is served, and memory is built from what can be opened.

use crate::chain::{Chain, Head};
use crate::commit::erase::Leaving;
use crate::commit::queue::{NotTaken, queue};
use crate::commit::undo::cut_short;
use crate::commit::{Command, Committer, Rotations, Turns, Values, in_memory, load_rotation, warm_people};
use crate::engine::{Engine, EngineSnapshot, Keyspace};
use crate::folder::{Folder, Holds};
use crate::format::{self, ReviewForm, SourceKeyForm};
use crate::house::{House, Parts};
use crate::key::{DaySecrets, Ring};
use crate::log::sha256;
use crate::narrowing::{self, Narrowings};
use crate::person::Open;
use crate::record::{Review, StaffAct};
use crate::seal::RecordKind;
use crate::sealed::Sealed;
use crate::state::{Generation, Person, State, Wheel};
use crate::sync::{Mutex, thread};
use crate::tally::HouseTally;
use crate::terms::{self, Terms};
use crate::tombstone::Tombstones;
use crate::urgent::UrgentLog;
use crate::witness::Watch;
use crate::{EngineKind, Household, Inner, Options, Urgency, Vault, VaultError, engine};
use model::{At, Day, HouseId, ProfileId};
use promise::ReviewRole;
use std::path::Path;
use std::sync::Arc;

/// Profiles whose buckets are folded anew per batch, when the traits have changed.
const REFOLD_PER_BATCH: usize = 200;

/// People whose records are fetched ahead at start.
const PEOPLE_AHEAD: usize = 2_000;

/// The staff name under which a house in memory reviews everything.
const TEST_STAFF: &str = "Test";

impl Vault {
    pub(crate) fn make(options: &Options, household: &Household) -> Result<HouseId, VaultError> {
        if !matches!(options.engine, EngineKind::Postgres(_)) {
            let (folder, _) = Folder::create(&options.data, &options.root, household.rng.as_ref(), Holds::All)?;
            return Ok(folder.house());
        }
        // The server first: what is wrong with it is said before a folder is made.
        let engine = engine::open(options.engine, &options.data)?;
        let Some(nodes) = engine.nodes() else { return Err(VaultError::Closed) };
        if nodes.is_taken()? {
            let what = "it holds the rows of a house already: name another schema".to_owned();
            return Err(VaultError::Store { what });
        }
        let holds = Holds::KeysAlone;
        let (folder, ring) = match Folder::create(&options.data, &options.root, household.rng.as_ref(), holds) {
            // Cut short the first time, after its folder was made and before anything was in the schema.
            Err(VaultError::HouseExists { path }) => {
                let opened = Folder::open(&options.data, &options.root, holds)?;
                if opened.0.head().exists() || opened.0.tombstones().exists() || opened.0.store().exists() {
                    return Err(VaultError::HouseExists { path });
                }
                opened
            }
            made => made?,
        };
        let head = narrowing::first_head(&ring.house_keys()?);
        nodes.settle_in(*folder.house().as_bytes())?;
        nodes.move_in(Vec::new(), vec![(0, head)])?;
        Ok(folder.house())
    }

    pub(crate) fn open_folder(options: &Options, household: Household) -> Result<Self, VaultError> {
        if options.engine == EngineKind::Memory {
            return Self::open_memory(household, options.queue_max);
        }
        match Self::open_once(options, household.clone()) {
            // The witness may have been told by another node after this one read the store.
            Err(VaultError::Behind { .. }) if Holds::of(options.engine) == Holds::KeysAlone => {
                Self::open_once(options, household)
            }
            opened => opened,
        }
    }

    fn open_once(options: &Options, household: Household) -> Result<Self, VaultError> {
        let holds = Holds::of(options.engine);
        let (folder, ring) = Folder::open(&options.data, &options.root, holds)?;
        let engine = engine::open(options.engine, &folder.store())?;
        let (mut parts, chain) = parts(folder, ring, engine, household)?;
        let end = (chain.number(), chain.root());
        let (store, tombstones) = (&*parts.generation.store, &parts.tombstones);
        let watch =
            options.witness.clone().map(|path| Watch::begin(path, &parts.keys, &parts.id, end, store, tombstones));
        parts.watch = watch.transpose()?;
        Self::start(parts, chain, options.queue_max)
    }

    /// A house in memory, without reviews.
    pub(crate) fn open_memory(household: Household, queue_max: usize) -> Result<Self, VaultError> {
        Self::open_memory_over(engine::open(EngineKind::Memory, Path::new(""))?, household, queue_max)
    }

    fn open_memory_over(engine: Arc<dyn Engine>, household: Household, queue_max: usize) -> Result<Self, VaultError> {
        let id = HouseId::from_bytes(household.rng.bytes());
        let ring = Ring::in_memory(&id, household.rng.as_ref());
        let keys = Arc::new(ring.house_keys()?);
        let store = engine.snapshot();
        let chain = Chain::open(&*store, Arc::clone(&keys), &id)?;
        let days = DaySecrets::load(&*store, &ring, &id)?;
        let (tombstones, narrowings) = (Tombstones::in_memory(&keys), Narrowings::in_memory(&keys));
        let generation = empty(&household, store, chain.number());
        let parts = Parts {
            id,
            household,
            engine,
            keys,
            ring,
            days,
            log: None,
            sealed: None,
            tombstones,
            narrowings,
            head: None,
            watch: None,
            folder: None,
            generation,
        };
        Self::start(parts, chain, queue_max)
    }

    /// A house in memory that begins with these rows: those of another whose chance began alike, so that it has the same keys.
    #[cfg(all(test, shuttle))]
    pub(crate) fn in_memory_again(household: Household, rows: Vec<engine::Op>) -> Result<Self, VaultError> {
        let engine = engine::open(EngineKind::Memory, Path::new(""))?;
        engine.commit(rows)?;
        Self::open_memory_over(engine, household, crate::QUEUE_MAX)
    }

    /// Reviews every artefact of the promise as the test staff.
    pub(crate) fn review_everything(&self) -> Result<(), VaultError> {
        let artefacts = self.inner.house.household.promise.artefacts();
        for artefact in artefacts.values().filter(|artefact| artefact.review != ReviewRole::BuiltIn) {
            let second = (artefact.review == ReviewRole::Two).then(|| format!("{TEST_STAFF} 2"));
            for staff in std::iter::once(TEST_STAFF.to_owned()).chain(second) {
                let role = "privacy".to_owned();
                self.review(Review { artefact: artefact.id, staff, role, at: self.now() })?.wait()?;
            }
        }
        Ok(())
    }

    fn start(parts: Parts, chain: Chain, queue_max: usize) -> Result<Self, VaultError> {
        no_core_dumps();
        let house = Arc::new(House::new(parts));
        let tally = HouseTally::open(&house, &*house.generation().store, chain.number())?;
        let store = Arc::clone(&house.generation().store);
        let news = load_house(&house, &*store)?;
        load_rotation(&house, &*store, chain.number() > 0)?;
        drop(store);
        let (wheel, dates, rotations) = (Wheel::default(), Wheel::default(), Rotations::unfinished(&house));
        let (turning, turns) = (None, Turns::default());
        let mut committer =
            Committer { house: Arc::clone(&house), wheel, dates, chain, tally, rotations, turning, turns };
        let is_alone = house.engine.nodes().is_none();
        if is_alone {
            committer.finish_undos(&cut_short())?;
        }
        load_people(&house, &mut committer.wheel, &mut committer.dates)?;
        house.replay()?;
        committer.settle()?;
        if !is_alone {
            // Not before the wishes of the table are known.
            committer.finish_undone()?;
        }
        if let Some(bytes) = news {
            committer.write(|batch| batch.put_house_record(terms::RECORD, Some(&bytes)))?;
        }
        committer.write(|batch| batch.begin_removal())?;
        refold(&mut committer)?;
        let (queue, commands) = queue(queue_max, Arc::clone(&house.household.clock));
        #[expect(clippy::disallowed_methods, reason = "the one writer has a thread of its own")]
        let thread = thread::spawn(move || committer.run(&commands));
        let inner = Inner { house, queue, thread: Mutex::new(Some(thread)) };
        Ok(Self { inner: Arc::new(inner), urgency: Urgency::Server })
    }
}

/// What a data folder holds, each thing checked against the others.
pub(crate) fn parts(
    folder: Folder,
    ring: Ring,
    engine: Arc<dyn Engine>,
    household: Household,
) -> Result<(Parts, Chain), VaultError> {
    let keys = Arc::new(ring.house_keys()?);
    if let Some(nodes) = engine.nodes() {
        nodes.check_house(*folder.house().as_bytes())?;
    }
    let head = Head::open(&folder.head())?;
    let seen = head.seen()?;
    // After the file was read: another node may go on meanwhile, and the store is never behind.
    let store = engine.snapshot();
    let chain = Chain::open(&*store, Arc::clone(&keys), &folder.house())?;
    Head::check_seen(seen, (chain.number(), chain.root()), &*store)?;
    let (tombstones, narrowings, log) = match engine.nodes() {
        Some(nodes) => {
            let tombstones = Tombstones::from_store(&keys, &nodes.news(0)?.tombstones)?;
            (tombstones, Narrowings::from_store(&keys, &nodes.narrowings()?, &*store)?, None)
        }
        None => {
            let narrowings = Narrowings::open(&folder.narrowings(), &keys, &*store)?;
            (Tombstones::open(&folder.tombstones(), &keys)?, narrowings, Some(UrgentLog::open(&folder.urgent_log())?))
        }
    };
    tombstones.check(&*store)?;
    let sealed = match engine.nodes() {
        // Several nodes may hold the folder, and the file is one process's.
        Some(_) => None,
        None => Some(Sealed::open(&folder, &keys)?),
    };
    let days = DaySecrets::load(&*store, &ring, &folder.house())?;
    let parts = Parts {
        id: folder.house(),
        generation: empty(&household, store, chain.number()),
        household,
        engine,
        keys,
        ring,
        days,
        log,
        sealed,
        tombstones,
        narrowings,
        head: Some(head),
        watch: None,
        folder: Some(folder),
    };
    Ok((parts, chain))
}

fn empty(household: &Household, store: Arc<dyn EngineSnapshot>, batch: u64) -> Generation {
    let today = household.clock.now().day();
    Generation { store, state: State::new(&household.promise, household.projection.as_ref(), today), batch }
}

/// Reviews, source keys, the next person number, what is usual, alarms. What is to be remembered of the wordings in force comes
/// back, when it is anything new.
pub(crate) fn load_house(house: &House, store: &dyn EngineSnapshot) -> Result<Option<Vec<u8>>, VaultError> {
    load_desk(house, store)?;
    load_number(house, store)?;
    crate::commit::uses::load(house, store)?;
    let (terms, news) = Terms::load(house, store)?;
    house.set_terms(terms);
    Ok(news)
}

/// Reviews and source keys, in place of those that are known.
pub(crate) fn load_desk(house: &House, store: &dyn EngineSnapshot) -> Result<(), VaultError> {
    for row in store.scan(Keyspace::House, House::REVIEWS) {
        let (key, sealed) = row?;
        let form: ReviewForm = format::decode("house", &house.open_house(RecordKind::Review, &key, &sealed)?)?;
        house.add_review(form);
    }
    let mut keys = Vec::new();
    for row in store.scan(Keyspace::House, House::SOURCE_KEYS) {
        let (key, sealed) = row?;
        keys.push(format::decode::<SourceKeyForm>("house", &house.open_house(RecordKind::House, &key, &sealed)?)?);
    }
    house.replace_source_keys(keys);
    Ok(())
}

/// The next person number.
pub(crate) fn load_number(house: &House, store: &dyn EngineSnapshot) -> Result<(), VaultError> {
    let number = store.get(Keyspace::House, House::NUMBER)?.and_then(|row| <[u8; 4]>::try_from(row).ok());
    house.publish(|generation| generation.state.next_number = number.map_or(0, u32::from_be_bytes));
    Ok(())
}

/// Everybody into memory; whoever has a tombstone is on the way out instead.
fn load_people(house: &House, wheel: &mut Wheel, dates: &mut Wheel) -> Result<(), VaultError> {
    let store = Arc::clone(&house.generation().store);
    let (now, today) = (house.now(), house.now().day());
    let mut people = Vec::new();
    let mut left = Vec::new();
    let mut unreadable = None;
    let mut all = Vec::new();
    for row in store.scan(Keyspace::Keys, &[]) {
        all.extend(<[u8; 16]>::try_from(row?.0).map(ProfileId::from_bytes));
    }
    for (n, id) in all.iter().copied().enumerate() {
        if n.is_multiple_of(PEOPLE_AHEAD) {
            warm_people(&*store, all.iter().copied().skip(n).take(PEOPLE_AHEAD));
        }
        let erased = house.urgent().tombstones.erased(&id);
        if let Some((at, how)) = erased {
            // Cut short by a crash: what is left to do is done as it was asked for.
            let request = house.urgent().tombstones.request(&id, at);
            left.push(Leaving::new(id, how, at, request));
            continue;
        }
        match load_person(house, &*store, &id, today) {
            Ok(Some((person, values))) => {
                wheel.set(person.number, values.2);
                let next = house.household.promise.next_date(&person.wishes.standing, now);
                dates.set(person.number, next.map(At::day));
                people.push((person, values));
            }
            Ok(None) => {}
            Err(error) => {
                // Nobody reads or writes it; everybody else is served.
                tracing::error!(error = &error as &dyn std::error::Error, "a profile could not be opened");
                unreadable = Some(error);
            }
        }
    }
    if let Some(error) = unreadable.filter(|_| people.is_empty()) {
        return Err(error);
    }
    house.publish(|generation| {
        for (person, (values, members, _)) in people {
            let (id, number) = (person.id, person.number);
            house.follow(None, person.touched, id);
            generation.state.put(Arc::new(person), now);
            generation.state.put_values(number, &values, &members);
        }
    });
    house.leave(&left);
    Ok(())
}

/// A profile as memory holds it, with its trait values; `None` when it is not there, or was erased.
pub(crate) fn load_person(
    house: &House,
    store: &dyn EngineSnapshot,
    id: &ProfileId,
    today: Day,
) -> Result<Option<(Person, Values)>, VaultError> {
    if house.urgent().tombstones.contains(id) {
        return Ok(None);
    }
    let Some(mut open) = Open::load(house, store, id)? else { return Ok(None) };
    let values = house.values(&mut open, store, today)?;
    let reach = house.reach(&mut open, store, None)?;
    for read in open.core.staff_reads.iter().filter(|read| At::from_ms(read.at).day() == today) {
        if read.act.as_deref().is_none_or(StaffAct::is_a_look) {
            // Whoever opened too many people today had their alarm when it happened.
            let _ = house.habit().opened(&read.staff, open.core.number, today);
        }
    }
    Ok(Some((in_memory(&open, reach)?, values)))
}

/// Folds everybody's events anew when the traits, or how long events are kept, are not those the buckets were made for.
fn refold(committer: &mut Committer) -> Result<(), VaultError> {
    let house = Arc::clone(&committer.house);
    let household = &house.household;
    let (columns, promise) = (household.projection.columns(), &household.promise);
    let traits = format!("{columns:?}\n{:?}\n{:?}", promise.traits, house.terms());
    let signature = sha256(&[traits.as_bytes()]).to_vec();
    let known = house.generation().store.get(Keyspace::House, House::COLUMNS)?;
    if known.as_ref() == Some(&signature) {
        return Ok(());
    }
    for some in house.people().chunks(REFOLD_PER_BATCH) {
        committer.write(|batch| some.iter().try_for_each(|id| batch.refold(id)))?;
    }
    committer.write(|batch| {
        batch.put(Keyspace::House, House::COLUMNS.to_vec(), signature);
        Ok(())
    })
}

/// Memory holds keys and values: a crash must not write it to a disk.
fn no_core_dumps() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Sends a command; a full queue is [`VaultError::Busy`] at once, a full disk [`VaultError::DiskFull`].
pub(crate) fn send<T>(
    vault: &Vault,
    command: impl FnOnce(crate::commit::Reply<T>) -> Command,
) -> Result<crate::Pending<T>, VaultError> {
    if vault.inner.house.is_closed() {
        return Err(VaultError::Closed);
    }
    let (reply, answer) = tokio::sync::oneshot::channel();
    let (house, command) = (&vault.inner.house, command(reply));
    if house.room.is_full() && !command.is_owed() {
        return Err(VaultError::DiskFull);
    }
    // Before it can be served: who is served has been counted.
    house.waits.begin(house.ticks());
    // Dates that have passed are everybody's, and the last command waits for nobody's room.
    let urgency = if matches!(command, Command::Turn(_)) { Urgency::Person } else { vault.urgency };
    let taken = match command {
        Command::Close(_) => vault.inner.queue.close(command),
        command => vault.inner.queue.try_send(urgency, command),
    };
    taken.inspect_err(|_| house.waits.take_back()).map_err(|error| match error {
        NotTaken::Full => VaultError::Busy,
        NotTaken::Over => VaultError::Closed,
    })?;
    Ok(crate::Pending { answer, closed: house.closed_flag() })
}

#[cfg(test)]
mod tests;
