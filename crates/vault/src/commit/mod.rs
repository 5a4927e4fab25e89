//! The one writer. It drains the queue, opens each profile once, lets every command see what the earlier ones of the batch
//! did, and writes one atomic, chained, synced batch; then memory follows, then the answers go out. The running sync is
//! its only timer. After an error of the engine it stops for ever: a failed sync is never tried again.
//!
//! What each command does stands in the files of this folder. It does not judge by itself (`promise::judge`), does not
//! know files, and lets nobody else write.

mod batch;
mod consent;
mod decide;
pub(crate) mod erase;
mod fact;
mod house;
mod intake;
mod join;
mod outbox;
mod rotate;
mod sweep;
pub(crate) mod times;
mod turn;
pub(crate) mod uses;

pub(crate) use batch::{Batch, Values, in_memory, warm_people};
pub(crate) use consent::{Answered, entry as consent_entry};
pub(crate) use house::SOURCE_KEY;
pub(crate) use rotate::{Rotations, load_rotation, rotation_state};
pub(crate) use turn::{Turns, is_known, narrowed_elsewhere};

use crate::VaultError;
use crate::house::{House, Ticket};
use crate::record::{
    AnonymousSale, Attempt, AttemptEnd, ConsentAnswer, ConsentChange, FactWrite, Intake, Item, Join, NewDecision,
    NotBegun, Outcome, Review, Rotation, StaffAct, Swept,
};
use crate::state::Wheel;
use model::{AlarmId, DecisionId, MessageId, SourceName};
use promise::Refusal;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use times::Stage;
use tokio::sync::oneshot;

/// Most events and commands that one batch takes in.
const BATCH_MAX: usize = 250;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, VaultError>>;

/// One command for the committer.
pub(crate) enum Command {
    Take(Vec<Intake>, Reply<Vec<Outcome>>),
    /// A yes comes with its place in the order of answers.
    Consent(Box<ConsentChange>, Option<Ticket>, Reply<ConsentAnswer>),
    Facts(Vec<FactWrite>, Reply<Vec<Result<(), Refusal>>>),
    Items(Vec<Item>, Reply<()>),
    Sales(Vec<AnonymousSale>, Reply<Vec<Outcome>>),
    Join(Box<Join>, Reply<Result<(), Refusal>>),
    HouseRecord(String, Option<Vec<u8>>, Reply<()>),
    Decide(Box<NewDecision>, Reply<Result<DecisionId, Refusal>>),
    Begin(MessageId, Reply<Result<Attempt, NotBegun>>),
    Finish(Attempt, AttemptEnd, Reply<()>),
    Token(DecisionId, Reply<Option<String>>),
    Review(Box<Review>, Reply<()>),
    Staff(Box<StaffAct>, Reply<()>),
    SourceKey(SourceName, KeyChange, Reply<String>),
    /// A member of staff looked at an alarm: who, and what they found.
    Acknowledge(AlarmId, String, String, Reply<bool>),
    /// A theft was answered: the statement, which names nobody.
    Breach(String, Reply<()>),
    /// Something is on the urgent log, or was read.
    Wake,
    /// The day moved: apply every date that has passed.
    Turn(Reply<()>),
    Sweep(Reply<Swept>),
    Rotate(Reply<Rotation>),
    /// A reading for a backup, with the key ring of the same moment.
    Backup(Reply<crate::backup::Source>),
    Close(Reply<()>),
}

/// Whether an earlier key stays valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// The newest old key stays valid beside the new one.
    Rotate,
    /// Only the new key is valid.
    Replace,
}

impl Command {
    /// How much of a batch it fills.
    fn weight(&self) -> usize {
        match self {
            Self::Take(events, _) => events.len(),
            Self::Facts(writes, _) => writes.len(),
            Self::Sales(sales, _) => sales.len(),
            _ => 1,
        }
    }

    /// Commands that need a batch, or no batch, of their own.
    const fn is_alone(&self) -> bool {
        matches!(self, Self::Turn(_) | Self::Sweep(_) | Self::Rotate(_) | Self::Backup(_) | Self::Close(_))
    }
}

/// The committer's own: what no reader needs.
pub(crate) struct Committer {
    pub house: Arc<House>,
    pub wheel: Wheel,
    pub chain: crate::chain::Chain,
    pub tally: crate::tally::HouseTally,
    pub rotations: Rotations,
    pub turns: Turns,
}

impl Committer {
    /// Serves the queue until it is closed. Every answer not given by then is [`VaultError::Closed`].
    pub(crate) fn run(mut self, queue: &Receiver<Command>) {
        let mut held: Option<Command> = None;
        loop {
            let served = match held.take().map_or_else(|| self.next(queue), Ok) {
                Ok(first) => self.serve(first, queue, &mut held),
                Err(TryRecvError::Empty) => Ok(Flow::Go),
                Err(TryRecvError::Disconnected) => break,
            };
            match served {
                Ok(Flow::Go) => self.rotate_on(),
                Ok(Flow::Stop) => break,
                Err(error) if self.outlives(&error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a batch was not written; its askers are told"
                    );
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the committer stops");
                    break;
                }
            }
            if self.house.is_closed() {
                break;
            }
        }
        self.house.close();
    }

    /// The next command. Neither does what was read wait for one until it is written down, nor a rotation, which goes on by
    /// a slice after each batch.
    fn next(&mut self, queue: &Receiver<Command>) -> Result<Command, TryRecvError> {
        if self.house.engine.nodes().is_some() && !self.is_anything_read() {
            return self.next_among_nodes(queue);
        }
        match (self.is_anything_read(), self.rotations.has_work()) {
            (false, false) => queue.recv().map_err(|_| TryRecvError::Disconnected),
            (false, true) => queue.try_recv(),
            (true, _) => match queue.try_recv() {
                Err(TryRecvError::Empty) => Ok(Command::Wake),
                next => next,
            },
        }
    }

    /// Serves a command, with those that fit into one batch with it.
    fn serve(
        &mut self,
        first: Command,
        queue: &Receiver<Command>,
        held: &mut Option<Command>,
    ) -> Result<Flow, VaultError> {
        if first.is_alone() {
            let flow = match (self.flush(Vec::new()), first) {
                (Ok(()), first) => Ok(self.serve_alone(first)),
                // A database that is away keeps nobody from closing.
                (Err(error), Command::Close(reply)) if self.outlives(&error) => {
                    self.house.close();
                    let _ = reply.send(Err(error));
                    Ok(Flow::Stop)
                }
                (Err(error), _) => Err(error),
            };
            self.house.waits.end(1);
            return flow;
        }
        let mut weight = first.weight();
        let mut commands = vec![first];
        while weight < BATCH_MAX {
            match queue.try_recv() {
                Ok(next) if next.is_alone() || weight.saturating_add(next.weight()) > BATCH_MAX => {
                    *held = Some(next);
                    break;
                }
                Ok(next) => {
                    weight = weight.saturating_add(next.weight());
                    commands.push(next);
                }
                Err(_) => break,
            }
        }
        let n_asked = commands.iter().filter(|command| !matches!(command, Command::Wake)).count();
        let flushed = self.flush(commands);
        self.house.waits.end(n_asked);
        flushed.map(|()| Flow::Go)
    }

    /// Urgent commands first, then what was read, then these, in one batch; erasures in one of their own.
    fn flush(&mut self, commands: Vec<Command>) -> Result<(), VaultError> {
        self.turn_if_due()?;
        self.drain_erasures()?;
        self.take_turn()?;
        let house = Arc::clone(&self.house);
        let began = house.ticks();
        let mut batch = Batch::new(&house, self.chain.number().saturating_add(1));
        batch.warm(&commands);
        batch.drain_urgent();
        batch.count_reads();
        for command in commands {
            batch.serve(command);
        }
        batch.judge_reads();
        house.took(Stage::Judge, began);
        self.commit(batch)
    }

    /// Serves what has no batch, or many. An error is the asker's; only a batch that failed stops the committer.
    fn serve_alone(&mut self, command: Command) -> Flow {
        match command {
            Command::Turn(reply) => {
                let _ = reply.send(self.turn_if_due());
            }
            Command::Sweep(reply) => {
                let _ = reply.send(self.sweep());
            }
            Command::Rotate(reply) => self.rotations.ask(reply),
            Command::Backup(reply) => {
                let _ = reply.send(self.backup());
            }
            Command::Close(reply) => {
                let written = self.write_down();
                self.house.close();
                let _ = reply.send(written);
            }
            _ => {}
        }
        if self.house.is_closed() { Flow::Stop } else { Flow::Go }
    }

    /// Writes, publishes, answers. After an error nothing is written any more: the chain has gone on without its batch.
    fn commit(&mut self, batch: Batch<'_>) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let began = house.ticks();
        let taken = match house.engine.nodes() {
            Some(_) => batch.taken.clone(),
            None => crate::unwritten::Taken::default(),
        };
        let sealed = batch.seal(&mut self.chain, &mut self.tally);
        house.took(Stage::Seal, began);
        let written = match sealed {
            Ok(Some(sealed)) => sealed.write(&house, &mut self.wheel, &self.chain).map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        self.after_commit(&written);
        if written.is_err() && !house.is_closed() {
            house.unwritten.give_back(taken);
        }
        written.map(|_| ())
    }

    /// Before anybody is served: whoever was erased leaves the store, and what the urgent log held is written.
    pub(crate) fn settle(&mut self) -> Result<(), VaultError> {
        self.flush(Vec::new())
    }

    /// One batch of the committer's own.
    pub(crate) fn write<T>(
        &mut self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.take_turn()?;
        let house = Arc::clone(&self.house);
        let mut batch = Batch::new(&house, self.chain.number().saturating_add(1));
        let filled = fill(&mut batch).inspect_err(|_| self.give_back())?;
        self.commit(batch)?;
        Ok(filled)
    }

    /// Applies decay days that have come: no store write, values follow from buckets.
    pub(crate) fn turn_if_due(&mut self) -> Result<(), VaultError> {
        let today = self.house.now().day();
        if self.house.generation().state.day >= today {
            return Ok(());
        }
        sweep::turn(&self.house, &mut self.wheel, today)
    }
}

enum Flow {
    Go,
    Stop,
}

/// The last place in the touch order that a batch can give out.
pub(crate) fn touch_end(batch: u64) -> u64 {
    batch.saturating_add(1).saturating_mul(1 << batch::TOUCH_BITS).saturating_sub(1)
}
