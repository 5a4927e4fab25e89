//! The vault: the only room that touches the data folder and the keys. This file is long because every command of the room
//! stands on one handle.
//!
//! Everything about people lives here, sealed under a key per person, and leaves only through a [`Permit`] (one person)
//! or a [`PermitSet`] (many), which come only from a [`Snapshot`] for a reviewed artefact. Nothing is written but through
//! the commands of [`Vault`]; one committer turns them into atomic, chained, synced batches and acknowledges after the
//! sync. Urgent commands (withdraw, object, erase, stop) go to the urgent log first and hold from their acknowledgement.
//!
//! Reading order: [`record`] (what goes in and out) → [`Vault`] (commands) → [`snapshot`] and [`permit`] (reading) →
//! `narrow` (urgent commands) and `commit` (the one writer, a file per command) → `house` (what is open) and `state` (what
//! is held in memory) → `person` (one profile, opened) → `key`, `seal`, `format`, `retention` (what lies on disk, how long)
//! → `engine` and `disk` (where) → `chain`, `log`, `note`, `statement`, [`receipt`], [`tile`], [`audit`] (proof) →
//! [`witness`] and [`fsck`] (whether all of it is still there), [`upgrade`] (which program may open it) and [`pulse`] (how it is
//! doing) → `commit::erase`, `commit::undo`, `commit::recipient`, `erasure`, `commit::rotate`, [`census`] (forgetting) →
//! `state_hash` and `replay` (what a house knows, and whether it knows the same when it is built anew) → `open` (how a house
//! begins) and [`pass`] (who may ask the process that serves it).
//!
//! It is not a query engine for marketers, it does not decide what may be done (that is `promise::judge`), and it speaks
//! no HTTP.
//!
//! To add one more command: its input in [`record`], a variant and fold in `commit`, its storage form with a number of its
//! own in `format`, a fixture in `formats/`, and a line in ARCHITECTURE.md.

pub mod alarm;
pub mod audit;
pub mod backup;
pub mod breach;
pub mod campaign;
pub mod census;
mod chain;
mod commit;
mod disk;
mod engine;
mod erasure;
mod error;
mod failpoint;
#[cfg(test)]
#[path = "../tests/it/fixture.rs"]
#[expect(dead_code, reason = "the tests of the whole room need more of it")]
mod fixture;
mod folder;
mod format;
pub mod fsck;
mod house;
mod index;
#[cfg(all(test, shuttle))]
mod interleave;
mod key;
mod lift;
mod log;
#[cfg(test)]
pub(crate) use engine::postgres::tests::local;
#[cfg(test)]
mod models;
mod narrow;
mod narrowing;
mod note;
mod open;
mod order;
pub mod pass;
pub mod permit;
mod person;
mod pressure;
pub mod projection;
pub mod pulse;
pub mod receipt;
pub mod record;
mod removal;
mod replay;
mod retention;
mod review;
mod room;
mod seal;
mod sealed;
mod segment;
mod set;
pub mod snapshot;
mod state;
mod state_hash;
mod statement;
mod sync;
mod tally;
mod terms;
pub mod tile;
mod tombstone;
mod totals;
pub mod trace;
mod unwritten;
pub mod upgrade;
mod urgent;
#[cfg(test)]
mod vectors;
mod wish;
pub mod witness;

pub use alarm::{Alarm, AlarmKind};
pub use commit::hold::HOLD_DAYS_MAX;
pub use commit::queue::Urgency;
pub use commit::remind::REMINDER_TITLE;
pub use commit::times::Stage;
pub use engine::postgres::{Fitness, Server};
pub use erasure::{CALLS_WITHIN_DAYS, RELAY_RECORD};
pub use error::VaultError;
pub use key::{PASSPHRASE_CHARS_MIN, Passphrase, RootSource, is_for_owner_alone};
pub use narrowing::NARROWING_DAYS;
pub use pass::Pass;
pub use permit::{Disclosed, Permit};
pub use projection::{Bucket, NoProjection, Projection, TraitColumn};
pub use pulse::{Pulse, REMOVED_WITHIN_DAYS};
pub use record::*;
pub use removal::RemovalState;
pub use retention::{ROTATED_WITHIN_DAYS, WHY_DAYS};
pub use room::{DISK_KEPT_PERCENT, DiskRoom, DiskState};
pub use sealed::{SEALED_BODY_BYTES_MAX, SealedAct, SealedHouse};
pub use set::PermitSet;
pub use snapshot::Snapshot;
pub use state_hash::StateHash;
pub use terms::PROMISE_IN_FORCE;
pub use totals::ImportTotals;

#[cfg(test)]
extern crate self as vault;

use commit::queue::Queue;
use commit::{Command, KeyChange};
use engine::Keyspace;
use house::House;
use model::{AlarmId, At, Clock, DecisionId, HouseId, MessageId, ProfileId, Rng, SourceName};
use open::send;
use promise::{Promise, Refusal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use sync::thread::{self, JoinHandle};
use sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// Commands that may wait for the committer of a house in memory.
const QUEUE_MAX: usize = 4_096;

/// Largest house record, in bytes.
pub const HOUSE_RECORD_BYTES_MAX: usize = 16 << 20;

/// Which engine holds the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// fjall, the default.
    Fjall,
    /// redb, under the same tests.
    Redb,
    /// Nothing on disk: for tests and simulations.
    Memory,
    /// A PostgreSQL server, for one node or several. The data folder then holds the house file and the key ring.
    Postgres(&'static Server),
}

/// Where and with what to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder. Ignored by [`EngineKind::Memory`], which keeps everything in memory.
    pub data: PathBuf,
    /// Which engine.
    pub engine: EngineKind,
    /// Where the root key comes from.
    pub root: RootSource,
    /// Commands that may wait for the committer; more are answered with [`VaultError::Busy`].
    pub queue_max: usize,
    /// The witness file, best on a second disk; `None` = nobody remembers elsewhere how far the log reached.
    pub witness: Option<PathBuf>,
}

/// A handle; clones are cheap and speak to the same committer, which ends with the last of them.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
    /// How urgent what it asks for is.
    urgency: Urgency,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.house())
    }
}

struct Inner {
    house: Arc<House>,
    queue: Queue,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    /// The last handle waits until everything that was taken is on the disk.
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        let _ = self.queue.close(Command::Close(reply));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// The answer to a command, ready once the batch that holds it has been synced. Await it, or [`Pending::wait`].
#[derive(Debug)]
pub struct Pending<T> {
    answer: oneshot::Receiver<Result<T, VaultError>>,
    /// Among nodes a batch may fail and the house go on: whether it is closed.
    closed: Option<Arc<AtomicBool>>,
}

impl<T> Pending<T> {
    /// An answer that is there already.
    fn ready(answer: T) -> Self {
        let (reply, answered) = oneshot::channel();
        let _ = reply.send(Ok(answer));
        Self { answer: answered, closed: None }
    }

    /// Why no answer came.
    fn unanswered(&self) -> VaultError {
        match &self.closed {
            Some(closed) if !closed.load(Ordering::SeqCst) => {
                VaultError::Away { source: "the batch could not be written".into() }
            }
            _ => VaultError::Closed,
        }
    }

    /// Blocks until the answer is there. Not for async code.
    ///
    /// # Errors
    /// What the command says, or [`VaultError::Closed`].
    pub fn wait(self) -> Result<T, VaultError> {
        let waker = std::task::Waker::from(Arc::new(Parked(thread::current())));
        let mut context = std::task::Context::from_waker(&waker);
        let mut answer = std::pin::pin!(self);
        loop {
            match answer.as_mut().poll(&mut context) {
                std::task::Poll::Ready(answer) => return answer,
                std::task::Poll::Pending => thread::park(),
            }
        }
    }

    /// The answer, or the error of [`Pending::wait`], when it is there already. Given out once.
    pub fn try_now(&mut self) -> Option<Result<T, VaultError>> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(self.unanswered())),
        }
    }
}

/// Wakes the thread that waits.
struct Parked(thread::Thread);

impl std::task::Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, VaultError>;
    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let answer = std::pin::Pin::new(&mut self.answer).poll(context);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(self.unanswered())))
    }
}

/// What the program gives the vault to work with.
#[derive(Clone)]
pub struct Household {
    /// The promise in force.
    pub promise: Arc<Promise>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance (cryptographic).
    pub rng: Arc<dyn Rng>,
    /// Traits and segments, kept by the committer (from `understand`).
    pub projection: Arc<dyn Projection>,
}

impl std::fmt::Debug for Household {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Household({})", self.promise.company)
    }
}

impl Vault {
    /// Makes a new data folder with its root key, key ring, review key and receipt key. Refuses a folder that has one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn create(options: &Options, household: &Household) -> Result<HouseId, VaultError> {
        Self::make(options, household)
    }

    /// Opens a data folder: lock, format version, root key check, ring, tombstones, urgent log, batch chain, columns.
    /// Refuses when one of them is wrong: lock, version and root key before any write, the rest once the engine, which
    /// recovers its own files, is open.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(options: &Options, household: Household) -> Result<Self, VaultError> {
        Self::open_folder(options, household)
    }

    /// A house in memory, created and opened, all file artefacts of the promise reviewed: for tests.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn in_memory(household: Household) -> Result<Self, VaultError> {
        let vault = Self::open_memory(household, QUEUE_MAX)?;
        vault.review_everything()?;
        Ok(vault)
    }

    /// A handle of the same house whose commands have another urgency: each door and each job has its own. A handle that was
    /// just opened asks like a company's server.
    #[must_use]
    pub fn of(&self, urgency: Urgency) -> Self {
        Self { inner: Arc::clone(&self.inner), urgency }
    }

    /// Events and decisions that waited longer than this are answered with [`VaultError::Busy`] instead of being done. Without
    /// it they wait as long as it takes.
    pub fn waits_at_most(&self, wait: std::time::Duration) {
        self.inner.queue.waits_at_most(wait);
    }

    /// How long the oldest command below the class of people has waited: the sign of overload. Zero under a clock that does
    /// not tick.
    #[must_use]
    pub fn oldest_wait(&self) -> std::time::Duration {
        self.inner.queue.oldest()
    }

    /// Looks at the disk under the data folder: lets the ballast go when less than `kept_percent` of it is free, and puts it
    /// back, and takes everything again, once there is room. For a thread that may wait for a slow disk; ask every second
    /// or so. Without it the end of the disk is noticed when a write meets it.
    ///
    /// # Errors
    /// [`VaultError::File`] when the disk cannot be looked at, or the ballast cannot be made although there is room.
    pub fn mind_disk(&self, kept_percent: u8) -> Result<DiskState, VaultError> {
        let house = &self.inner.house;
        let state = house.room.look(kept_percent, house.rng())?;
        if state.room < DiskRoom::Full {
            house.engine.note_files()?;
        }
        // What waited for room is tried again.
        self.wake();
        Ok(state)
    }

    /// Whether only opt-outs and erasures are taken, because the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.inner.house.room.is_full()
    }

    /// Which house this is.
    #[must_use]
    pub fn house(&self) -> HouseId {
        self.inner.house.id
    }

    /// One consistent reading of everything. Applies every date that has passed (expiry, windows, notices) first.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let house = &self.inner.house;
        // Whoever says no does not wait for everybody's new day: see `Snapshot::is_of_today`.
        if self.urgency > Urgency::Person
            && house.generation().state.day < house.now().day()
            && let Ok(turned) = send(self, Command::Turn)
        {
            let _ = turned.wait();
        }
        Snapshot::new(Arc::clone(house), self.inner.queue.clone())
    }

    // ── intake ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Takes minimised events from a door. Each is judged in the commit: no purpose in force = nothing stored. One
    /// outcome per event, in order, ready after the sync.
    ///
    /// # Errors
    /// [`VaultError::Busy`] at once when the queue is full.
    pub fn take(&self, events: Vec<Intake>) -> Result<Pending<Vec<Outcome>>, VaultError> {
        events.iter().try_for_each(|event| narrow::check_subject(&event.subject))?;
        send(self, |reply| Command::Take(events, reply))
    }

    /// Records an answer about one purpose. A yes goes through the committer; anything less is urgent: on the urgent log,
    /// in force in memory and acknowledged before the store has it.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn consent(&self, change: ConsentChange) -> Result<Pending<ConsentAnswer>, VaultError> {
        narrow::check_subject(&change.subject)?;
        let house = &self.inner.house;
        let known = if narrow::is_urgent(&change) { house.known(&change.subject)? } else { None };
        // Somebody unknown may still be on the way in: then the committer answers, in order.
        let Some(person) = known else {
            let ticket = change.status.is_given().then(|| house.ticket()).transpose()?;
            return send(self, |reply| Command::Consent(Box::new(change), ticket, reply));
        };
        let answer = house.narrow(person, &change)?;
        self.wake();
        Ok(Pending::ready(answer))
    }

    /// Writes stated or derived facts of one person (portal, corrections, `understand`'s candidates). Each is judged.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn write_facts(&self, writes: Vec<FactWrite>) -> Result<Pending<Vec<Result<(), Refusal>>>, VaultError> {
        send(self, |reply| Command::Facts(writes, reply))
    }

    /// Replaces the catalogue entries named (item, words, group, class). Not personal.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn put_items(&self, items: Vec<Item>) -> Result<Pending<()>, VaultError> {
        send(self, |reply| Command::Items(items, reply))
    }

    /// Adds sales of nobody (lines without a customer): no person, kept under the house key until they expire.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn put_anonymous_sales(&self, sales: Vec<AnonymousSale>) -> Result<Pending<Vec<Outcome>>, VaultError> {
        send(self, |reply| Command::Sales(sales, reply))
    }

    /// Ties two profiles by a proven act, or records a claim. The stricter consent wins.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn join(&self, join: Join) -> Result<Pending<Result<(), Refusal>>, VaultError> {
        send(self, |reply| Command::Join(Box::new(join), reply))
    }

    /// A named small house record that is not about a person (import positions, models of ≥ `smallest_group` people,
    /// campaign states, key hashes). At most 16 MiB.
    ///
    /// # Errors
    /// [`VaultError::Busy`], [`VaultError::TooLarge`].
    pub fn put_house_record(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<Pending<()>, VaultError> {
        let length = bytes.as_ref().map_or(0, Vec::len);
        if length > HOUSE_RECORD_BYTES_MAX {
            return Err(VaultError::TooLarge { what: "a house record", bytes: length, limit: HOUSE_RECORD_BYTES_MAX });
        }
        let name = name.to_owned();
        send(self, |reply| Command::HouseRecord(name, bytes, reply))
    }

    // ── deciding and sending ──────────────────────────────────────────────────────────────────────────────────────

    /// Records a decision, and its message in the outbox when it has a channel. Refused when the person's wishes moved
    /// since `consent_seq`, the cap is used up, or another decision of this run and channel than the one it replaces stands.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn decide(&self, decision: NewDecision) -> Result<Pending<Result<DecisionId, Refusal>>, VaultError> {
        send(self, |reply| Command::Decide(Box::new(decision), reply))
    }

    /// Starts one try at sending: checks wishes, cap and quiet hours again in the same commit. Each retry is a new one. A
    /// message whose last try has no end is not tried again: it ends as [`NotBegun::Unknown`] in that commit.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn begin_attempt(&self, message: MessageId) -> Result<Pending<Result<Attempt, NotBegun>>, VaultError> {
        send(self, |reply| Command::Begin(message, reply))
    }

    /// The second look, right before DATA or the answer: in-memory sequence under the lock that urgent commands take, without
    /// I/O. Among nodes the shared store is asked, which waits for it; where it cannot be asked, nothing has been allowed.
    ///
    /// # Errors
    /// The refusal when the person's wishes moved.
    pub fn look(&self, person: ProfileId, consent_seq: u64) -> Result<(), Refusal> {
        if let Some(nodes) = self.inner.house.engine.nodes() {
            return self.inner.house.look_among_nodes(nodes, person, consent_seq);
        }
        wish::look(self.inner.house.consent_seq(&person), consent_seq).map_err(Refusal::because)
    }

    /// Writes back how an attempt ended.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn finish_attempt(&self, attempt: Attempt, end: AttemptEnd) -> Result<Pending<()>, VaultError> {
        send(self, |reply| Command::Finish(attempt, end, reply))
    }

    /// The token for the links of one decision: always the same, and only its hash is stored, by the first call. `None` when
    /// the decision is unknown.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn message_token(&self, decision: DecisionId) -> Result<Pending<Option<String>>, VaultError> {
        let house = &self.inner.house;
        let (token, row) = house.message_token(&decision);
        if house.generation().store.get(Keyspace::Index, &row)?.is_some() {
            return Ok(Pending::ready(Some(token)));
        }
        send(self, |reply| Command::Token(decision, reply))
    }

    /// A reduction by the person: less, not this, stop. Urgent.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn reduce(&self, person: ProfileId, reduction: Reduction) -> Result<Pending<ConsentAnswer>, VaultError> {
        self.meet(&person)?;
        let answer = self.inner.house.reduce(person, reduction)?;
        self.wake();
        Ok(Pending::ready(answer))
    }

    // ── rights ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// What people said while the root key was away, by number, oldest first; an error for one that does not open. Whoever opens
    /// the house lets the doors hear it before they hear anybody else, and then says so ([`Vault::sealed_done`]).
    #[must_use]
    pub fn sealed_acts(&self) -> Vec<(u64, Result<SealedAct, VaultError>)> {
        let house = &self.inner.house;
        house.sealed().as_ref().map(|sealed| sealed.acts(&house.id)).unwrap_or_default()
    }

    /// These were heard: they leave the file, overwritten where they lay.
    ///
    /// # Errors
    /// [`VaultError::File`].
    pub fn sealed_done(&self, numbers: &[u64]) -> Result<(), VaultError> {
        self.inner.house.sealed().as_mut().map_or(Ok(()), |sealed| sealed.done(numbers))
    }

    /// Erases a person: tombstone, invisible at once, acknowledged from the urgent log; rows, edges, columns, bitmaps and
    /// queue follow in the same call of the committer.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn erase(&self, person: ProfileId, how: Erasure) -> Result<Pending<ErasureAnswer>, VaultError> {
        let answer = self.inner.house.begin_erasure(person, how)?;
        self.wake();
        Ok(Pending::ready(answer))
    }

    /// The right to hand something about a person to a recipient of the promise, written down before it leaves. Whoever
    /// carries anything out of the house by another way than mail asks this first. The answer is the reference by which the
    /// recipient knows the person.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn hand_on(&self, new: HandOn) -> Result<Pending<Result<String, NotHandedOn>>, VaultError> {
        send(self, |reply| Command::HandOn(Box::new(new), reply))
    }

    /// Writes back how a try to tell a recipient of an erasure ended. False when there is no such call any more.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn finish_erase_call(&self, call: EraseCallId, end: EraseCallEnd) -> Result<Pending<bool>, VaultError> {
        send(self, |reply| Command::Called(call, end, reply))
    }

    /// Takes an erasure within a day back: the person is there again as before, in memory and store, and sees who did it.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn undo_erasure(
        &self,
        who: ErasedWho,
        by: UndoneBy,
    ) -> Result<Pending<Result<ErasureUndone, NotUndone>>, VaultError> {
        send(self, |reply| Command::Undo(Box::new(who), Box::new(by), reply))
    }

    /// New key-encryption-key version: re-wraps every living person's row, destroys the old version, compacts. Goes on in
    /// slices between other commands, and after a crash where it was. Covers everything that was deleted before this call.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn rotate(&self) -> Result<Pending<Rotation>, VaultError> {
        send(self, Command::Rotate)
    }

    /// The streams of a backup, as of now: written out by whoever asked, while the committer goes on. As long as it is
    /// held, a rotation fails after two seconds and has to be asked for again.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn backup(&self) -> Result<Pending<backup::Source>, VaultError> {
        send(self, Command::Backup)
    }

    /// When the keys were last rotated, and since when a deleted key waits for the next time.
    #[must_use]
    pub fn rotation(&self) -> RotationState {
        commit::rotation_state(&self.inner.house)
    }

    /// The person is here: they opened their page, or tapped "keep". Moves on the dates that a silence would bring.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn visited(&self, person: ProfileId) -> Result<Pending<()>, VaultError> {
        send(self, |reply| Command::Visit(person, reply))
    }

    /// What the person wants for the time after leaving, and whether they leave now. Whoever leaves now to be forgotten is
    /// gone for every reader from the acknowledgement on; [`Vault::erase`] does the same with a receipt.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn choose_after_leaving(&self, choice: LeavingChoice) -> Result<Pending<Result<(), Refusal>>, VaultError> {
        send(self, |reply| Command::Fate(choice, reply))
    }

    /// Holds data of one person: nothing of it is deleted until a day, and it serves nothing else meanwhile. The person sees
    /// it, with the reason.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn hold(&self, order: HoldOrder) -> Result<Pending<Result<HoldView, Refusal>>, VaultError> {
        send(self, |reply| Command::Hold(Box::new(order), reply))
    }

    /// Ends a hold before its day; whether there was one.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn lift_hold(&self, person: ProfileId, id: [u8; 16]) -> Result<Pending<bool>, VaultError> {
        send(self, |reply| Command::LiftHold(person, id, reply))
    }

    /// How far the removal of what has ended has come.
    ///
    /// # Errors
    /// [`VaultError`] when the store cannot be read.
    pub fn removal(&self) -> Result<RemovalState, VaultError> {
        self.inner.house.removal_state()
    }

    // ── the house ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// Records the review of an artefact by a member of staff, signed by the house review key.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn review(&self, review: Review) -> Result<Pending<()>, VaultError> {
        send(self, |reply| Command::Review(Box::new(review), reply))
    }

    /// Writes one entry about staff doing something (opened a person, exported, started a campaign) to the one log; when
    /// about a person, it is shown to that person.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn staff_act(&self, act: StaffAct) -> Result<Pending<()>, VaultError> {
        send(self, |reply| Command::Staff(Box::new(act), reply))
    }

    /// A member of staff looked at an alarm and says what they found; one entry of the log. False when there is no such
    /// alarm, somebody has looked already, or nothing is said.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn acknowledge(&self, alarm: AlarmId, staff: &str, reason: &str) -> Result<Pending<bool>, VaultError> {
        let (staff, reason) = (staff.to_owned(), reason.to_owned());
        send(self, |reply| Command::Acknowledge(alarm, staff, reason, reply))
    }

    /// Puts on record that a theft was answered: one entry of the log. The statement names nobody.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn record_breach(&self, statement: &str) -> Result<Pending<()>, VaultError> {
        let statement = statement.to_owned();
        send(self, |reply| Command::Breach(statement, reply))
    }

    /// Alarms that nobody has looked at.
    #[must_use]
    pub fn n_alarms_open(&self) -> usize {
        self.inner.house.alarms().values().filter(|form| form.acknowledged.is_none()).count()
    }

    /// Blind token of a secret (source keys, sessions, hand-off links): keyed, so that only its hash is ever stored.
    #[must_use]
    pub fn blind(&self, label: &str, secret: &str) -> [u8; 32] {
        self.inner.house.blind(label, secret)
    }

    /// Public receipt and review keys, as a JWK set (`/.well-known/fineline-keys.json`).
    #[must_use]
    pub fn public_keys_json(&self) -> String {
        receipt::public_keys_json(&self.inner.house.keys)
    }

    /// Which of these keys, given only as hashes, stand in this process's own memory, and how many bytes were looked
    /// through (census).
    ///
    /// # Errors
    /// [`VaultError::File`] when the kernel does not let a process read itself.
    pub fn search_own_memory(&self, needles: &[census::MemoryNeedle]) -> Result<(Vec<[u8; 32]>, u64), VaultError> {
        census::search_own_memory(needles)
    }

    /// Runs the daily wheel and the sweeper up to now: expired records and day secrets go.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn sweep(&self) -> Result<Pending<Swept>, VaultError> {
        send(self, Command::Sweep)
    }

    /// Drains the queue, syncs and closes. Later commands answer [`VaultError::Closed`].
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn close(&self) -> Result<(), VaultError> {
        if let Some(data) = self.inner.house.data() {
            Pass::withdraw(data)?;
        }
        send(self, Command::Close)?.wait()?;
        if let Some(Err(error)) = self.inner.house.note_witness(witness::Due::Now) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the witness could not be told how far the log reaches"
            );
        }
        Ok(())
    }

    /// Notes in the witness file how far log and tombstones reach, when a note is due: after growth at most once a minute, after
    /// an erasure at once. Whether one was written. For a thread that may wait for a slow disk; nothing waits for it.
    ///
    /// # Errors
    /// [`VaultError`] when the witness cannot be read or written, or has seen more than there is: the house serves on.
    pub fn witness(&self) -> Result<bool, VaultError> {
        self.inner.house.note_witness(witness::Due::Sometimes).unwrap_or(Ok(false))
    }

    /// How the witness is.
    #[must_use]
    pub fn witness_state(&self) -> witness::WitnessState {
        self.inner.house.witness_state()
    }

    /// Lets whoever reads the data folder prove it to the process that serves it at this address, until it is closed.
    ///
    /// # Errors
    /// [`VaultError::File`].
    pub fn issue_pass(&self, at: std::net::SocketAddr) -> Result<Pass, VaultError> {
        Pass::issue(&self.inner.house, at)
    }

    /// Makes a key for a source: `fl_pub_…` for browsers, `fl_sec_…` for servers and files; only a blind token of it is
    /// stored. With `rotate` the newest old key stays valid beside the new one.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn issue_source_key(&self, source: &SourceName, rotate: bool) -> Result<Pending<String>, VaultError> {
        let change = if rotate { KeyChange::Rotate } else { KeyChange::Replace };
        send(self, |reply| Command::SourceKey(source.clone(), change, reply))
    }

    /// Whose key this is. In memory, constant work.
    #[must_use]
    pub fn source_of_key(&self, key: &str) -> Option<SourceName> {
        self.inner.house.source_of_token(&self.inner.house.blind(commit::SOURCE_KEY, key))
    }

    /// Whether this process does the house's recurring work (runs, sending, sweeping). Among nodes it is one at a time, and
    /// another one takes over when it is gone.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.inner.house.engine.nodes().is_none_or(|nodes| nodes.lease("pump"))
    }

    /// What the database server is; `None` with an embedded engine.
    #[must_use]
    pub fn server(&self) -> Option<Fitness> {
        self.inner.house.engine.nodes().map(|nodes| nodes.fitness().clone())
    }

    /// Somebody whom another node may have taken in a moment ago is known here afterwards.
    fn meet(&self, person: &ProfileId) -> Result<(), VaultError> {
        let house = &self.inner.house;
        if house.engine.nodes().is_some()
            && house.generation().state.person(person).is_none()
            && !house.is_erased(person)
        {
            send(self, Command::Turn)?.wait()?;
        }
        Ok(())
    }

    /// Tells the committer that something urgent waits; when its queue is full it will find it anyway.
    fn wake(&self) {
        self.inner.queue.wake();
    }

    /// Time since some fixed moment on the household's clock, never going back: for measuring, and for quotas.
    #[must_use]
    pub fn ticks(&self) -> std::time::Duration {
        self.inner.house.ticks()
    }

    /// The present instant of the household's clock.
    #[must_use]
    pub fn now(&self) -> At {
        self.inner.house.now()
    }

    /// How long the committer has spent in a stage since the vault was opened; zero under a clock that does not tick.
    #[must_use]
    pub fn spent(&self, stage: Stage) -> std::time::Duration {
        self.inner.house.times.of(stage)
    }

    /// The longest that one batch was written and synced since the vault was opened.
    #[must_use]
    pub fn longest_write(&self) -> std::time::Duration {
        self.inner.house.times.longest_write()
    }

    /// Bytes of all records sealed since the vault was opened, before they were compressed.
    #[must_use]
    pub fn n_plain_bytes(&self) -> u64 {
        self.inner.house.times.n_plain_bytes()
    }

    /// Batches written and synced since the vault was opened.
    #[must_use]
    pub fn n_batches(&self) -> u64 {
        self.inner.house.times.n_batches()
    }
}
