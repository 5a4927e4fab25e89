//! The vault: the only room that touches the data folder and the keys.
//!
//! Everything about people lives here, sealed under a key per person, and leaves only through a [`Permit`] (one person)
//! or a [`PermitSet`] (many), which come only from a [`Snapshot`] for a reviewed artefact. Nothing is written but through
//! the commands of [`Vault`]; one committer turns them into atomic, chained, synced batches and acknowledges after the
//! sync. Urgent commands (withdraw, object, erase, stop) go to the urgent log first and hold from their acknowledgement.
//!
//! Reading order: [`record`] (what goes in and out) → [`Vault`] (commands) → [`snapshot`] and [`permit`] (reading) →
//! `commit` (the one writer) → `state` (what is held in memory) → `key`, `seal`, `format` (what lies on disk) →
//! `engine` and `disk` (where) → `log` and `receipt` (proof) → `erase`, `rotate`, `census` (forgetting).
//!
//! It is not a query engine for marketers, it does not decide what may be done (that is `promise::judge`), and it speaks
//! no HTTP.
//!
//! To add one more command: its input in [`record`], a variant and fold in `commit`, its storage form with a number of its
//! own in `format`, a fixture in `formats/`, and a line in ARCHITECTURE.md.

pub mod census;
mod chain;
mod disk;
mod engine;
mod error;
mod folder;
mod index;
mod key;
mod log;
pub mod permit;
pub mod projection;
pub mod receipt;
pub mod record;
mod seal;
pub mod snapshot;
mod tombstone;
pub mod trace;
mod urgent;

pub use error::VaultError;
pub use permit::{Disclosed, Permit, PermitSet};
pub use projection::{Bucket, Projection, TraitColumn};
pub use record::*;
pub use snapshot::Snapshot;

use model::{At, Clock, DecisionId, HouseId, MessageId, ProfileId, Rng};
use promise::{Promise, Refusal};
use std::path::PathBuf;
use std::sync::Arc;

/// Which engine holds the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// fjall, the default.
    Fjall,
    /// redb, under the same tests.
    Redb,
    /// Nothing on disk: for tests and simulations.
    Memory,
}

/// Where and with what to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder. Ignored by [`EngineKind::Memory`], which keeps everything in memory.
    pub data: PathBuf,
    /// Which engine.
    pub engine: EngineKind,
    /// Root key file (0600); made by [`Vault::create`] when absent. Default: `keys/root` beside the data.
    pub root: PathBuf,
    /// Commands that may wait for the committer; more are answered with [`VaultError::Busy`].
    pub queue_max: usize,
}

/// A handle; clones are cheap and speak to the same committer.
#[derive(Clone)]
pub struct Vault {
    _inner: Arc<()>,
}

/// The answer to a command, ready once the batch that holds it has been synced. Await it, or [`Pending::wait`].
#[derive(Debug)]
pub struct Pending<T>(tokio::sync::oneshot::Receiver<Result<T, VaultError>>);

impl<T> Pending<T> {
    /// Blocks until the answer is there. Not for async code.
    ///
    /// # Errors
    /// What the command says, or [`VaultError::Closed`].
    pub fn wait(self) -> Result<T, VaultError> {
        self.0.blocking_recv().unwrap_or(Err(VaultError::Closed))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, VaultError>;
    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(VaultError::Closed)))
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

impl Vault {
    /// Makes a new data folder with its root key, key ring, review key and receipt key. Refuses a folder that has one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn create(options: &Options, household: &Household) -> Result<HouseId, VaultError> {
        let _ = (options, household);
        unimplemented!()
    }

    /// Opens a data folder: lock, format version, root key check, ring, tombstones, urgent log, batch chain, columns.
    /// Refuses before any write when one of them is wrong.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(options: &Options, household: Household) -> Result<Self, VaultError> {
        let _ = (options, household);
        unimplemented!()
    }

    /// A house in memory, created and opened, all file artefacts of the promise reviewed: for tests.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn in_memory(household: Household) -> Result<Self, VaultError> {
        let _ = household;
        unimplemented!()
    }

    /// Which house this is.
    #[must_use]
    pub fn house(&self) -> HouseId {
        unimplemented!()
    }

    /// One consistent reading of everything. Applies every date that has passed (expiry, windows, notices) first.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        unimplemented!()
    }

    // ── intake ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Takes minimised events from a door. Each is judged in the commit: no purpose in force = nothing stored. One
    /// outcome per event, in order, ready after the sync.
    ///
    /// # Errors
    /// [`VaultError::Busy`] at once when the queue is full.
    pub fn take(&self, events: Vec<Intake>) -> Result<Pending<Vec<Outcome>>, VaultError> {
        let _ = events;
        unimplemented!()
    }

    /// Records an answer about one purpose. A yes goes through the committer; anything less is urgent: on the urgent log,
    /// in force in memory and acknowledged before the store has it.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn consent(&self, change: ConsentChange) -> Result<Pending<ConsentAnswer>, VaultError> {
        let _ = change;
        unimplemented!()
    }

    /// Writes stated or derived facts of one person (portal, corrections, `understand`'s candidates). Each is judged.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn write_facts(&self, writes: Vec<FactWrite>) -> Result<Pending<Vec<Result<(), Refusal>>>, VaultError> {
        let _ = writes;
        unimplemented!()
    }

    /// Replaces the catalogue entries named (item, words, group, class). Not personal.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn put_items(&self, items: Vec<Item>) -> Result<Pending<()>, VaultError> {
        let _ = items;
        unimplemented!()
    }

    /// Adds sales of nobody (lines without a customer): no person, kept under the house key until they expire.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn put_anonymous_sales(&self, sales: Vec<AnonymousSale>) -> Result<Pending<Vec<Outcome>>, VaultError> {
        let _ = sales;
        unimplemented!()
    }

    /// Ties two profiles by a proven act, or records a claim. The stricter consent wins.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn join(&self, join: Join) -> Result<Pending<Result<(), Refusal>>, VaultError> {
        let _ = join;
        unimplemented!()
    }

    /// A named small house record that is not about a person (import positions, models of ≥ `smallest_group` people,
    /// campaign states, key hashes). At most 16 MiB.
    ///
    /// # Errors
    /// [`VaultError::Busy`], [`VaultError::TooLarge`].
    pub fn put_house_record(&self, name: &str, bytes: Option<Vec<u8>>) -> Result<Pending<()>, VaultError> {
        let _ = (name, bytes);
        unimplemented!()
    }

    // ── deciding and sending ──────────────────────────────────────────────────────────────────────────────────────

    /// Records a decision, and its message in the outbox when it has a channel. Refused when the person's wishes moved
    /// since `consent_seq`, the cap is used up, or this campaign already decided for this person.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn decide(&self, decision: NewDecision) -> Result<Pending<Result<DecisionId, Refusal>>, VaultError> {
        let _ = decision;
        unimplemented!()
    }

    /// Starts one try at sending: checks wishes, cap and quiet hours again in the same commit. Each retry is a new one.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn begin_attempt(&self, message: MessageId) -> Result<Pending<Result<Attempt, Refusal>>, VaultError> {
        let _ = message;
        unimplemented!()
    }

    /// The second look, right before DATA or the answer: in-memory sequence under the lock that urgent commands take. No I/O.
    ///
    /// # Errors
    /// The refusal when the person's wishes moved.
    pub fn look(&self, person: ProfileId, consent_seq: u64) -> Result<(), Refusal> {
        let _ = (person, consent_seq);
        unimplemented!()
    }

    /// Writes back how an attempt ended.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn finish_attempt(&self, attempt: Attempt, end: AttemptEnd) -> Result<Pending<()>, VaultError> {
        let _ = (attempt, end);
        unimplemented!()
    }

    /// Makes a token for the links of one decision; only its hash is stored. `None` when the decision is unknown.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn message_token(&self, decision: DecisionId) -> Result<Pending<Option<String>>, VaultError> {
        let _ = decision;
        unimplemented!()
    }

    /// A reduction by the person: less, not this, stop. Urgent.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn reduce(&self, person: ProfileId, reduction: Reduction) -> Result<Pending<ConsentAnswer>, VaultError> {
        let _ = (person, reduction);
        unimplemented!()
    }

    // ── rights ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Erases a person: tombstone, invisible at once, acknowledged from the urgent log; rows, edges, columns, bitmaps and
    /// queue follow in the same call of the committer.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn erase(&self, person: ProfileId, how: Erasure) -> Result<Pending<ErasureAnswer>, VaultError> {
        let _ = (person, how);
        unimplemented!()
    }

    /// New key-encryption-key version: re-wraps every living person's row, destroys the old version, compacts.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn rotate(&self) -> Result<Pending<Rotation>, VaultError> {
        unimplemented!()
    }

    // ── the house ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// Records the review of an artefact by a member of staff, signed by the house review key.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn review(&self, review: Review) -> Result<Pending<()>, VaultError> {
        let _ = review;
        unimplemented!()
    }

    /// Writes one entry about staff doing something (opened a person, exported, started a campaign) to the one log; when
    /// about a person, it is shown to that person.
    ///
    /// # Errors
    /// [`VaultError::Busy`].
    pub fn staff_act(&self, act: StaffAct) -> Result<Pending<()>, VaultError> {
        let _ = act;
        unimplemented!()
    }

    /// Blind token of a secret (source keys, sessions, hand-off links): keyed, so that only its hash is ever stored.
    #[must_use]
    pub fn blind(&self, label: &str, secret: &str) -> [u8; 32] {
        let _ = (label, secret);
        unimplemented!()
    }

    /// Public receipt and review keys, as a JWK set (`/.well-known/fineline-keys.json`).
    #[must_use]
    pub fn public_keys_json(&self) -> String {
        unimplemented!()
    }

    /// Which of these SHA-256 hashes are hashes of key bytes found in this process's own memory (census).
    #[must_use]
    pub fn search_own_memory(&self, hashes: &[[u8; 32]]) -> Vec<[u8; 32]> {
        let _ = hashes;
        unimplemented!()
    }

    /// Runs the daily wheel and the sweeper up to now: expired records and day secrets go.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn sweep(&self) -> Result<Pending<Swept>, VaultError> {
        unimplemented!()
    }

    /// Drains the queue, syncs and closes. Later commands answer [`VaultError::Closed`].
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn close(&self) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// The present instant of the household's clock.
    #[must_use]
    pub fn now(&self) -> At {
        unimplemented!()
    }
}
