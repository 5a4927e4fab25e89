//! The way to the committer: one lane per class of urgency, all of them bounded together, in commands and in bytes. A lower
//! class finds the queue full sooner than a higher one, so that the higher always has room; people's own acts are turned
//! away only when memory ends.
//!
//! Out comes the most urgent first; of decisions that have to wait, the newest: whoever asked for the oldest has gone. Two things keep that fair: every [`FAIR_EVERY`]-th time the least urgent that waits has
//! its turn, and a "no" of somebody unknown comes after everything that was there before it, because among that may be what
//! makes them known. Work that waited longer than is allowed is answered with [`VaultError::Busy`] instead of being done.
//!
//! Deliberately not: what a command does, and who may send how much (the program's admission).

use super::Command;
use crate::VaultError;
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use model::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How urgent what a handle asks for is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A person's own act: an answer, an objection, an erasure, their pages. Never turned away before memory or disk end.
    Person,
    /// A decision that somebody waits for, and the sending of messages.
    Decision,
    /// Events from a company's server.
    Server,
    /// Events from browsers.
    Browser,
    /// Imports, exports, campaigns, reports: they wait, and try again.
    Background,
}

impl Urgency {
    /// All, most urgent first.
    pub const ALL: [Self; 5] = [Self::Person, Self::Decision, Self::Server, Self::Browser, Self::Background];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Decision => "decision",
            Self::Server => "server",
            Self::Browser => "browser",
            Self::Background => "background",
        }
    }

    /// The part of the queue that may be full before this class is turned away, in hundredths.
    const fn share(self) -> usize {
        match self {
            // Twice the memory of everybody else, and no count.
            Self::Person => 200,
            Self::Decision => 100,
            Self::Server => 90,
            Self::Browser => 80,
            Self::Background => 50,
        }
    }
}

/// Memory of everything that waits, in bytes, as estimated by [`Command::n_bytes`].
const BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// How often the least urgent has its turn although there is something more urgent.
const FAIR_EVERY: u32 = 16;

/// Decisions that wait longer than this are served the newest first.
const NEWEST_FIRST_AFTER: Duration = Duration::from_millis(200);

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// No room for this class.
    Full,
    /// Nobody serves any more.
    Over,
}

/// What is to be done next.
pub(crate) enum Next {
    Command(Command),
    /// Nothing waits.
    Nothing,
    /// Nothing will ever come.
    Over,
}

struct Queued {
    command: Command,
    n_bytes: usize,
    number: u64,
    since: Duration,
}

#[derive(Default)]
struct Lanes {
    lanes: [VecDeque<Queued>; 5],
    /// The last command; nothing comes after it.
    close: Option<Command>,
    /// Something is on the urgent log, or was read.
    wake: bool,
    n_commands: usize,
    n_bytes: usize,
    next_number: u64,
    n_taken: u32,
    n_turned_away: usize,
    /// Nobody serves any more.
    is_over: bool,
}

struct Shared {
    lanes: Mutex<Lanes>,
    filled: Condvar,
    commands_max: usize,
    /// Longest wait of work that can be turned away, in milliseconds.
    wait_ms_max: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// The end that takes in. Clones lead to the same queue.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Shared>);

/// The end that hands out; the committer's own. When it goes, everything that still waits goes with it.
pub(crate) struct Served(Arc<Shared>);

/// Both ends of a queue.
pub(crate) fn queue(commands_max: usize, clock: Arc<dyn Clock>) -> (Queue, Served) {
    let shared = Arc::new(Shared {
        lanes: Mutex::default(),
        filled: Condvar::new(),
        commands_max: commands_max.max(1),
        wait_ms_max: AtomicU64::new(u64::MAX),
        clock,
    });
    (Queue(Arc::clone(&shared)), Served(shared))
}

impl Queue {
    /// Takes a command when there is room for its class.
    pub(crate) fn try_send(&self, class: Urgency, command: Command) -> Result<(), NotTaken> {
        let n_bytes = command.n_bytes();
        let mut lanes = self.0.lock();
        if lanes.is_over || lanes.close.is_some() {
            return Err(NotTaken::Over);
        }
        let part = |whole: usize| whole.saturating_mul(class.share()).div_ceil(100);
        let is_crowded = class > Urgency::Person && lanes.n_commands >= part(self.0.commands_max);
        // Whatever comes to an empty queue is taken: its own size has a limit at the door.
        let is_heavy = lanes.n_commands > 0 && lanes.n_bytes.saturating_add(n_bytes) > part(BYTES_MAX);
        if is_crowded || is_heavy {
            return Err(NotTaken::Full);
        }
        lanes.put(class, command, n_bytes, self.0.clock.ticks());
        drop(lanes);
        self.0.filled.notify_one();
        Ok(())
    }

    /// The last command: everything that was taken is served before it, nothing is taken after it.
    pub(crate) fn close(&self, command: Command) -> Result<(), NotTaken> {
        let mut lanes = self.0.lock();
        if lanes.is_over || lanes.close.is_some() {
            return Err(NotTaken::Over);
        }
        lanes.close = Some(command);
        drop(lanes);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Tells the committer that something waits elsewhere. Needs no room.
    pub(crate) fn wake(&self) {
        self.0.lock().wake = true;
        self.0.filled.notify_one();
    }

    /// Work that waited longer than this is turned away.
    pub(crate) fn waits_at_most(&self, wait: Duration) {
        self.0.wait_ms_max.store(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long the oldest that waits below the class of people has waited.
    pub(crate) fn oldest(&self) -> Duration {
        let lanes = self.0.lock();
        let fronts = lanes.lanes.iter().skip(1).filter_map(|lane| lane.front());
        let oldest = fronts.map(|queued| queued.since).min();
        drop(lanes);
        oldest.map_or(Duration::ZERO, |since| self.0.clock.ticks().saturating_sub(since))
    }
}

impl Served {
    /// The next command, waited for.
    pub(crate) fn recv(&self) -> Next {
        let mut lanes = self.0.lock();
        loop {
            match lanes.next(&self.0) {
                Next::Nothing => lanes = self.0.filled.wait(lanes).unwrap_or_else(PoisonError::into_inner),
                next => return next,
            }
        }
    }

    /// The next command, waited for no longer than this.
    pub(crate) fn recv_within(&self, wait: Duration) -> Next {
        let mut lanes = self.0.lock();
        match lanes.next(&self.0) {
            Next::Nothing => {
                let waited = self.0.filled.wait_timeout(lanes, wait);
                lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
                lanes.next(&self.0)
            }
            next => next,
        }
    }

    /// The next command, if there is one.
    pub(crate) fn try_recv(&self) -> Next {
        self.0.lock().next(&self.0)
    }
}

impl Served {
    /// How many were turned away since this was asked the last time.
    pub(crate) fn n_turned_away(&self) -> usize {
        std::mem::take(&mut self.0.lock().n_turned_away)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut lanes = self.0.lock();
        lanes.is_over = true;
        let left = (std::mem::take(&mut lanes.lanes), lanes.close.take());
        drop(lanes);
        // Outside of the lock: whoever waits for an answer finds the vault closed.
        drop(left);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn put(&mut self, class: Urgency, command: Command, n_bytes: usize, since: Duration) {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        self.n_commands = self.n_commands.saturating_add(1);
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        if let Some(lane) = self.lanes.get_mut(class as usize) {
            lane.push_back(Queued { command, n_bytes, number, since });
        }
    }

    fn next(&mut self, shared: &Shared) -> Next {
        if self.is_over {
            return Next::Over;
        }
        if std::mem::take(&mut self.wake) {
            return Next::Command(Command::Wake);
        }
        let now = shared.clock.ticks();
        self.turn_away(now, Duration::from_millis(shared.wait_ms_max.load(Ordering::Relaxed)));
        match self.pop(now) {
            Some(queued) => Next::Command(queued.command),
            None => self.close.take().map_or(Next::Nothing, Next::Command),
        }
    }

    /// Answers whoever waited too long.
    fn turn_away(&mut self, now: Duration, wait_max: Duration) {
        for lane in self.lanes.iter_mut().skip(1) {
            let is_late =
                |queued: &Queued| queued.command.may_be_turned_away() && now.saturating_sub(queued.since) > wait_max;
            while lane.front().is_some_and(is_late)
                && let Some(queued) = lane.pop_front()
            {
                self.n_commands = self.n_commands.saturating_sub(1);
                self.n_bytes = self.n_bytes.saturating_sub(queued.n_bytes);
                queued.command.refuse(&|| VaultError::Busy);
                self.n_turned_away = self.n_turned_away.saturating_add(1);
            }
        }
    }

    /// The command whose turn it is.
    fn pop(&mut self, now: Duration) -> Option<Queued> {
        let waits = |lane: &&(usize, &VecDeque<Queued>)| !lane.1.is_empty();
        let mut filled = self.lanes.iter().enumerate();
        let first = filled.clone().find(|lane| waits(&lane))?.0;
        let last = filled.rfind(|lane| waits(&lane)).map_or(first, |lane| lane.0);
        self.n_taken = self.n_taken.wrapping_add(1);
        let is_fair_turn = self.n_taken.is_multiple_of(FAIR_EVERY);
        let comes_after_all = |lane: &VecDeque<Queued>| lane.front().is_some_and(|queued| queued.command.is_in_order());
        let at = match self.lanes.get(first) {
            _ if is_fair_turn => last,
            Some(lane) if comes_after_all(lane) => self.oldest_lane()?,
            _ => first,
        };
        // Also in its fair turn nothing comes before what it has to come after.
        let at = if self.lanes.get(at).is_some_and(comes_after_all) { self.oldest_lane()? } else { at };
        let lane = self.lanes.get_mut(at)?;
        let waited = lane.front().map_or(Duration::ZERO, |queued| now.saturating_sub(queued.since));
        let queued = match at == Urgency::Decision as usize && waited > NEWEST_FIRST_AFTER {
            true => lane.pop_back()?,
            false => lane.pop_front()?,
        };
        self.n_commands = self.n_commands.saturating_sub(1);
        self.n_bytes = self.n_bytes.saturating_sub(queued.n_bytes);
        Some(queued)
    }

    fn oldest_lane(&self) -> Option<usize> {
        let fronts = self.lanes.iter().enumerate().filter_map(|(at, lane)| Some((lane.front()?.number, at)));
        fronts.min().map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests;
