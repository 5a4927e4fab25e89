//! Turns at writing, where several nodes share one store: the turn is taken before a batch is judged, and what the others
//! wrote meanwhile comes into memory first. So every batch is judged against everything that was committed before it,
//! whoever did, and against every wish that was acknowledged before its turn began.
//!
//! A batch of our own that failed is treated like one of another node: what it did to memory is taken from the store anew,
//! and its askers are told to come again.
//!
//! Deliberately not: how a turn is kept from others (`engine::postgres`). With one process over its store nothing here does
//! anything.

use super::queue::{Next, Served};
use super::undo::cut_short;
use super::{Command, Committer, load_rotation, uses, warm_people};
use crate::VaultError;
use crate::engine::postgres::{Changes, News, Postgres};
use crate::engine::{EngineSnapshot, Keyspace};
use crate::house::House;
use crate::key::DaySecrets;
use crate::log::Hash;
use crate::narrowing;
use crate::open::{load_desk, load_number, load_person};
use crate::room::is_no_room;
use crate::state::Person;
use crate::tally::HouseTally;
use crate::terms::{self, Terms};
use model::ProfileId;
use promise::Standing;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a node looks at what the others did when nobody asks it for anything. Nothing that is decided depends on it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Between two slices of this node's own long work.
const SLICE_REST: Duration = Duration::from_millis(1);

/// Looks after which a reading that nobody renewed is renewed, so that the server can clear up behind it: a minute.
const LOOKS_PER_READING: u32 = 300;

/// People whose records are fetched ahead.
const PEOPLE_AHEAD: usize = 10_000;

/// What a rotation of the keys is called among the nodes: one at a time.
const ROTATION: &str = "rotation";

/// The committer's own account of its turns.
#[derive(Default)]
pub(crate) struct Turns {
    has_turn: bool,
    /// A batch of ours failed: memory and chain may say what the store does not have.
    is_stale: bool,
    /// The last batch that memory knows, as the engine counts; `None` = as of the reading that memory was built from.
    position: Option<u64>,
    /// The end of the chain when it was last known to be in the store.
    known: Option<(u64, Hash)>,
    n_looks: u32,
}

impl Committer {
    /// Takes the turn, and learns what others wrote. Nothing to do when the turn is ours already.
    pub(crate) fn take_turn(&mut self) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let Some(nodes) = house.engine.nodes() else { return Ok(()) };
        if self.turns.has_turn {
            return Ok(());
        }
        let number = nodes.begin()?;
        let caught_up = self.catch_up(nodes, number);
        self.turns.has_turn = caught_up.is_ok();
        caught_up.inspect_err(|error| {
            self.turns.is_stale = true;
            nodes.give_back();
            if !is_passing(error) {
                house.close();
            }
        })
    }

    /// Nothing was written in this turn.
    pub(crate) fn give_back(&mut self) {
        if let Some(nodes) = self.house.engine.nodes().filter(|_| self.turns.has_turn) {
            nodes.give_back();
            self.turns.has_turn = false;
        }
    }

    /// What a batch was stopped by: an engine of our own stops for ever, a server may come back.
    pub(super) fn after_commit(&mut self, written: &Result<bool, VaultError>) {
        let house = Arc::clone(&self.house);
        if house.engine.nodes().is_none() {
            match written {
                // Nothing more goes into the store; what people take back goes on, on the urgent log.
                Err(error) if is_no_room(error) && !matches!(error, VaultError::File { doing: "syncing", .. }) => {
                    house.room.break_off();
                }
                Err(_) => house.close(),
                Ok(_) => {}
            }
            return;
        }
        match written {
            Ok(true) => {
                self.turns.has_turn = false;
                self.turns.position = self.turns.position.map(|position| position.saturating_add(1));
                self.turns.known = Some((self.chain.number(), self.chain.root()));
            }
            Ok(false) => self.give_back(),
            Err(error) => {
                // Given back, in case that the error came before the engine had it.
                self.give_back();
                self.turns.has_turn = false;
                self.turns.is_stale = true;
                if !is_passing(error) {
                    house.close();
                }
            }
        }
    }

    /// Whether the committer goes on after an error of a batch.
    pub(super) fn outlives(&self, error: &VaultError) -> bool {
        self.house.engine.nodes().is_some() && is_passing(error) && !self.house.is_closed()
    }

    fn catch_up(&mut self, nodes: &Postgres, number: u64) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let generation = house.generation();
        let position = self.turns.position.unwrap_or_else(|| generation.store.position());
        let known = self.turns.known.unwrap_or((self.chain.number(), self.chain.root()));
        if number < position {
            let what = format!(
                "batches {} to {position} were acknowledged and are missing: the database was set back",
                number + 1
            );
            return Err(VaultError::Damaged { keyspace: "store", what });
        }
        // Before anything is wrapped or opened: another node may have rotated the keys.
        house.ring.refresh()?;
        let is_behind = number != position || self.turns.is_stale;
        let store = match generation.store.position() == number && generation.store.is_readable() {
            true => Arc::clone(&generation.store),
            false => house.engine.snapshot(),
        };
        if !store.is_readable() || store.position() != number {
            return Err(VaultError::Away { source: "no reading could be opened".into() });
        }
        drop(generation);
        // Before anybody is read: whoever was erased stays out, and whose erasure was taken back comes in.
        let mut urgent = house.urgent();
        let known_tombstones = urgent.tombstones.epoch();
        urgent.tombstones.follow(&nodes.news(known_tombstones)?.tombstones)?;
        drop(urgent);
        let mut people = BTreeMap::new();
        if is_behind {
            let changes =
                if number == position { Some(Changes::default()) } else { nodes.changes(position, number)? };
            self.chain.follow(&*store, known)?;
            self.tally = HouseTally::open(&house, &*store, self.chain.number())?;
            house.narrowings().follow(narrowing::noted(&*store)?);
            let is_everything = self.turns.is_stale || changes.is_none();
            let rows = changes.as_ref().map(|changes| &changes.rows);
            let of_day = |row: &Vec<u8>| DaySecrets::is_row(row);
            if is_everything || rows.is_some_and(|rows| rows.iter().any(of_day)) {
                house.set_days(DaySecrets::load(&*store, &house.ring, &house.id)?);
            }
            let rotation = House::record_row(House::ROTATION);
            let has = |prefixes: &[&[u8]]| {
                let is_one = |row: &Vec<u8>| prefixes.iter().any(|prefix| row.starts_with(prefix));
                is_everything || rows.is_some_and(|rows| rows.iter().any(is_one))
            };
            if has(&[House::REVIEWS, House::SOURCE_KEYS]) {
                load_desk(&house, &*store)?;
            }
            if has(&[House::NUMBER]) {
                load_number(&house, &*store)?;
            }
            if self.turns.is_stale {
                uses::load(&house, &*store)?;
            } else if has(&[House::ALARMS, House::HABIT]) {
                uses::follow(&house, &*store)?;
            }
            if has(&[&House::record_row(terms::RECORD), &House::record_row(terms::PROMISE_IN_FORCE)]) {
                // What is new in it the other node has written.
                house.set_terms(Terms::load(&house, &*store)?.0);
            }
            if has(&[&rotation]) {
                load_rotation(&house, &*store, self.chain.number() > 0)?;
            }
            people = match changes {
                Some(changes) => changes.people,
                // Asleep for too long: everybody is read anew.
                None => everybody(&*store, &house.people())?.into_iter().map(|id| (id, number)).collect(),
            };
        }
        // As a batch would leave them.
        let today = house.now().day().max(house.generation().state.day);
        let mut loaded = Vec::new();
        warm_people(&*store, people.keys().take(PEOPLE_AHEAD).map(|id| ProfileId::from_bytes(*id)));
        for (id, batch) in people {
            let id = ProfileId::from_bytes(id);
            let person = match load_person(&house, &*store, &id, today) {
                Ok(person) => person,
                // Nobody reads or writes it; everybody else is served.
                Err(VaultError::Away { source }) => return Err(VaultError::Away { source }),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a profile could not be opened");
                    None
                }
            };
            if let Some((person, values)) = &person {
                self.set_dates(person, values.2);
            }
            loaded.push((id, batch, person));
        }
        house.learn(nodes, store, self.chain.number(), loaded)?;
        self.turns.position = Some(number);
        self.turns.known = Some((self.chain.number(), self.chain.root()));
        self.turns.is_stale = false;
        Ok(())
    }

    /// The next command; while there is none, what the other nodes do.
    pub(super) fn next_among_nodes(&mut self, queue: &Served) -> Next {
        let has_slices = self.turning.is_some() || self.rotations.is_under_way();
        // What cannot be read now makes no slices.
        let rest = match has_slices && self.house.generation().store.is_readable() {
            true => SLICE_REST,
            false => LOOK_EVERY,
        };
        match queue.recv_within(rest) {
            Next::Nothing if rest == LOOK_EVERY && self.is_news() => Next::Command(Command::Wake),
            next => next,
        }
    }

    /// Finishes what another node began and could not: an erasure that was taken back. Nothing to do with one process, which
    /// looks when it opens.
    pub(crate) fn finish_undone(&mut self) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        if house.engine.nodes().is_none() || !house.urgent().tombstones.take_undone_elsewhere() {
            return Ok(());
        }
        self.take_turn()?;
        let people = self.finish_undos(&cut_short())?;
        people.iter().try_for_each(|id| self.readmit(id))
    }

    /// What the last batch changed is taken from the store once more.
    pub(super) fn forget_last(&mut self) {
        self.turns.position = self.turns.position.map(|position| position.saturating_sub(1));
    }

    fn is_news(&mut self) -> bool {
        let house = &self.house;
        let Some(nodes) = house.engine.nodes() else { return false };
        self.turns.n_looks = self.turns.n_looks.saturating_add(1);
        if self.turns.n_looks >= LOOKS_PER_READING || !house.generation().store.is_readable() {
            self.turns.n_looks = 0;
            house.publish_reading();
        }
        let Ok(news) = nodes.news(house.urgent().tombstones.epoch()) else { return false };
        Some(news.number) != self.turns.position || self.turns.is_stale || house.is_news(&news)
    }

    /// Whether a slice of a rotation may be done: among nodes one of them rotates at a time.
    pub(super) fn may_rotate(&self) -> bool {
        self.house.engine.nodes().is_none_or(|nodes| nodes.lease(ROTATION))
    }

    /// A rotation has ended, or failed: another node may.
    pub(super) fn has_rotated(&self) {
        if let Some(nodes) = self.house.engine.nodes() {
            nodes.end_lease(ROTATION);
        }
    }
}

/// Whether it may go over: then nothing is lost by going on.
fn is_passing(error: &VaultError) -> bool {
    matches!(error, VaultError::Away { .. } | VaultError::DiskFull | VaultError::Busy | VaultError::Engine { .. })
}

fn everybody(store: &dyn EngineSnapshot, known: &[ProfileId]) -> Result<Vec<[u8; 16]>, VaultError> {
    let mut all: Vec<[u8; 16]> = known.iter().map(|id| *id.as_bytes()).collect();
    for row in store.scan(Keyspace::Keys, &[]) {
        all.extend(<[u8; 16]>::try_from(row?.0));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Purposes that somebody had said yes to, as this node knew, and that are not given any more.
pub(crate) fn narrowed_elsewhere(before: Option<&Person>, after: &Standing) -> Vec<model::PurposeName> {
    let was = before.map(|before| &before.wishes.standing.relations);
    let is_new = |(purpose, relation): &(&model::PurposeName, &promise::Relation)| {
        let was = was.and_then(|was| was.get(*purpose));
        !relation.status.is_given() && was != Some(*relation)
    };
    after.relations.iter().filter(is_new).map(|(purpose, _)| purpose.clone()).collect()
}

/// Whether nothing of this is news to somebody who knows these.
pub(crate) fn is_known(news: &News, waiting: &[u64], leaving: &[[u8; 16]]) -> bool {
    let urgent: Vec<u64> = news.urgent.iter().map(|(number, ..)| *number).collect();
    news.tombstones.is_empty() && urgent == waiting && news.leaving == leaving
}
