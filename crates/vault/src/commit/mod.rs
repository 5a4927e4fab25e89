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
pub(crate) mod hold;
mod house;
mod intake;
mod join;
mod leaving;
mod outbox;
pub(crate) mod queue;
pub(crate) mod recipient;
pub(crate) mod remind;
mod rotate;
mod sweep;
pub(crate) mod times;
mod turn;
pub(crate) mod undo;
pub(crate) mod uses;

#[cfg(test)]
pub(crate) use batch::with_pending;
pub(crate) use batch::{Batch, Values, address, in_memory, warm_people};
pub(crate) use consent::{Answered, entry as consent_entry};
pub(crate) use house::SOURCE_KEY;
#[cfg(test)]
pub(crate) use rotate::{Part, Step as RotationStep};
pub(crate) use rotate::{Rotations, load_rotation, rotation_state};
pub(crate) use turn::{Turns, is_known, narrowed_elsewhere};

use crate::VaultError;
use crate::house::{House, Ticket};
use crate::narrow::is_urgent;
use crate::record::{
    AnonymousSale, Attempt, AttemptEnd, ConsentAnswer, ConsentChange, EraseCallEnd, EraseCallId, ErasedWho,
    ErasureUndone, FactWrite, HandOn, HoldOrder, HoldView, Intake, Item, Join, LeavingChoice, NewDecision, NotBegun,
    NotHandedOn, NotUndone, Outcome, Review, Rotation, StaffAct, Swept, UndoneBy,
};
use crate::room::Allowed;
use crate::state::Wheel;
use model::{AlarmId, DecisionId, MessageId, ProfileId, SourceName};
use promise::Refusal;
use queue::{Next, Served};
use std::sync::Arc;
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
    /// The person is here.
    Visit(ProfileId, Reply<()>),
    /// What the person wants for the time after leaving.
    Fate(LeavingChoice, Reply<Result<(), Refusal>>),
    Hold(Box<HoldOrder>, Reply<Result<HoldView, Refusal>>),
    LiftHold(ProfileId, [u8; 16], Reply<bool>),
    /// A theft was answered: the statement, which names nobody.
    Breach(String, Reply<()>),
    /// People made anew from what another house has on record about them.
    Replay(Vec<crate::replay::Recorded>, Reply<()>),
    /// Something is on the urgent log, or was read.
    Wake,
    /// The day moved: apply every date that has passed.
    Turn(Reply<()>),
    Sweep(Reply<Swept>),
    Rotate(Reply<Rotation>),
    /// A reading for a backup, with the key ring of the same moment.
    Backup(Reply<crate::backup::Source>),
    /// Something about a person is to be handed to a recipient.
    HandOn(Box<HandOn>, Reply<Result<String, NotHandedOn>>),
    /// How a try to tell a recipient ended.
    Called(EraseCallId, EraseCallEnd, Reply<bool>),
    /// An erasure within its day is taken back: whose, and by whom.
    Undo(Box<ErasedWho>, Box<UndoneBy>, Reply<Result<ErasureUndone, NotUndone>>),
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

    /// Roughly how much memory it holds, in bytes.
    fn n_bytes(&self) -> usize {
        let event = |event: &Intake| {
            let values = event.properties.iter().map(|(name, value)| name.len().saturating_add(value_bytes(value)));
            let fields = event.fields.iter().map(|(_, value)| value_bytes(value));
            let lines = event.lines.len().saturating_mul(size_of::<model::LineItem>());
            values.chain(fields).fold(size_of::<Intake>().saturating_add(lines), usize::saturating_add)
        };
        let held = match self {
            Self::Take(events, _) => events.iter().map(event).fold(0, usize::saturating_add),
            Self::Facts(writes, _) => writes.len().saturating_mul(size_of::<FactWrite>()),
            Self::Items(items, _) => items.len().saturating_mul(2 * size_of::<Item>()),
            Self::Sales(sales, _) => sales.len().saturating_mul(2 * size_of::<AnonymousSale>()),
            Self::HouseRecord(_, bytes, _) => bytes.as_ref().map_or(0, Vec::len),
            Self::Decide(..) => DECISION_BYTES,
            _ => 0,
        };
        size_of::<Self>().saturating_add(held)
    }

    /// Whether it must not overtake what was there before it: a "no" of somebody whom the store may only be about to know.
    fn is_in_order(&self) -> bool {
        matches!(self, Self::Consent(change, None, _) if is_urgent(change))
    }

    /// Whether it may be turned away once it has waited for too long: whoever asked tries again.
    const fn may_be_turned_away(&self) -> bool {
        matches!(self, Self::Take(..) | Self::Decide(..))
    }

    /// Whether it is served on a full disk: what people are owed, what costs no room, and the end.
    pub(crate) fn is_owed(&self) -> bool {
        match self {
            Self::Consent(change, ..) => is_urgent(change),
            Self::Finish(..) | Self::Wake | Self::Turn(_) | Self::Backup(_) | Self::Close(_) => true,
            _ => false,
        }
    }

    /// Answers without doing anything.
    fn refuse(self, why: &dyn Fn() -> VaultError) {
        // Whoever asked may have gone.
        match self {
            Self::Take(_, reply) => drop(reply.send(Err(why()))),
            Self::Consent(_, _, reply) => drop(reply.send(Err(why()))),
            Self::Facts(_, reply) => drop(reply.send(Err(why()))),
            Self::Sales(_, reply) => drop(reply.send(Err(why()))),
            Self::Join(_, reply) => drop(reply.send(Err(why()))),
            Self::Decide(_, reply) => drop(reply.send(Err(why()))),
            Self::Begin(_, reply) => drop(reply.send(Err(why()))),
            Self::Token(_, reply) => drop(reply.send(Err(why()))),
            Self::SourceKey(_, _, reply) => drop(reply.send(Err(why()))),
            Self::Acknowledge(_, _, _, reply) => drop(reply.send(Err(why()))),
            Self::Called(_, _, reply) => drop(reply.send(Err(why()))),
            Self::Fate(_, reply) => drop(reply.send(Err(why()))),
            Self::Hold(_, reply) => drop(reply.send(Err(why()))),
            Self::LiftHold(_, _, reply) => drop(reply.send(Err(why()))),
            Self::HandOn(_, reply) => drop(reply.send(Err(why()))),
            Self::Undo(_, _, reply) => drop(reply.send(Err(why()))),
            Self::Sweep(reply) => drop(reply.send(Err(why()))),
            Self::Rotate(reply) => drop(reply.send(Err(why()))),
            Self::Backup(reply) => drop(reply.send(Err(why()))),
            Self::Items(_, reply)
            | Self::HouseRecord(_, _, reply)
            | Self::Finish(_, _, reply)
            | Self::Review(_, reply)
            | Self::Staff(_, reply)
            | Self::Breach(_, reply)
            | Self::Replay(_, reply)
            | Self::Visit(_, reply)
            | Self::Turn(reply)
            | Self::Close(reply) => drop(reply.send(Err(why()))),
            Self::Wake => {}
        }
    }

    /// Commands that need a batch, or no batch, of their own.
    const fn is_alone(&self) -> bool {
        matches!(
            self,
            Self::Turn(_) | Self::Sweep(_) | Self::Rotate(_) | Self::Backup(_) | Self::Undo(..) | Self::Close(_)
        )
    }
}

/// The committer's own: what no reader needs.
pub(crate) struct Committer {
    pub house: Arc<House>,
    pub wheel: Wheel,
    /// On which day one of somebody's own dates comes: a yes lapses, everything ends, a hold is over.
    pub dates: Wheel,
    pub chain: crate::chain::Chain,
    pub tally: crate::tally::HouseTally,
    pub rotations: Rotations,
    pub turning: Option<sweep::Turning>,
    pub turns: Turns,
}

impl Committer {
    /// Serves the queue until it is closed. Every answer not given by then is [`VaultError::Closed`].
    pub(crate) fn run(mut self, queue: &Served) {
        let mut held: Option<Command> = None;
        loop {
            let served = match held.take().map_or_else(|| self.next(queue), Next::Command) {
                Next::Command(first) => self.serve(first, queue, &mut held),
                Next::Nothing => Ok(Flow::Go),
                Next::Over => break,
            };
            self.house.waits.end(queue.n_turned_away());
            match served {
                Ok(Flow::Go) => self.go_on(),
                Ok(Flow::Stop) => break,
                Err(error) if self.house.room.is_broken_off() => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the store is written no more: no room");
                }
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

    /// A slice of the long work between the commands of others.
    fn go_on(&mut self) {
        self.turn_on();
        if !self.house.room.is_full() {
            self.rotate_on();
        }
    }

    /// The next command. Neither does what was read wait for one until it is written down, nor a rotation, which goes on by
    /// a slice after each batch.
    fn next(&mut self, queue: &Served) -> Next {
        // On a full disk whoever minds it wakes us.
        let is_full = self.house.room.is_full();
        if self.house.engine.nodes().is_some() && !self.is_anything_read() {
            return self.next_among_nodes(queue);
        }
        let has_work = self.turning.is_some() || (self.rotations.has_work() && !is_full);
        match (self.is_anything_read() && !is_full, has_work) {
            (false, false) => queue.recv(),
            (false, true) => queue.try_recv(),
            (true, _) => match queue.try_recv() {
                Next::Nothing => Next::Command(Command::Wake),
                next => next,
            },
        }
    }

    /// Serves a command, with those that fit into one batch with it.
    fn serve(&mut self, first: Command, queue: &Served, held: &mut Option<Command>) -> Result<Flow, VaultError> {
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
                Next::Command(next) if next.is_alone() || weight.saturating_add(next.weight()) > BATCH_MAX => {
                    *held = Some(next);
                    break;
                }
                Next::Command(next) => {
                    weight = weight.saturating_add(next.weight());
                    commands.push(next);
                }
                Next::Nothing | Next::Over => break,
            }
        }
        let n_asked = commands.iter().filter(|command| !matches!(command, Command::Wake)).count();
        let flushed = self.flush(commands);
        self.house.waits.end(n_asked);
        flushed.map(|()| Flow::Go)
    }

    /// Urgent commands first, then what was read, then these, in one batch; erasures in one of their own.
    fn flush(&mut self, commands: Vec<Command>) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let allowed = house.room.for_batch();
        let commands = match allowed {
            Allowed::Everything => commands,
            Allowed::Owed | Allowed::Nothing => {
                let is_served = |command: &Command| allowed == Allowed::Owed && command.is_owed();
                let (owed, others): (Vec<_>, Vec<_>) = commands.into_iter().partition(is_served);
                others.into_iter().for_each(|command| command.refuse(&|| VaultError::DiskFull));
                owed
            }
        };
        if allowed == Allowed::Nothing {
            return Ok(());
        }
        self.drain_erasures()?;
        self.take_turn()?;
        self.finish_undone()?;
        self.take_turn()?;
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
            Command::Turn(reply) => self.ask_to_turn(reply),
            Command::Sweep(_) | Command::Rotate(_) if self.house.room.is_full() => {
                command.refuse(&|| VaultError::DiskFull);
            }
            Command::Sweep(reply) => {
                let _ = reply.send(self.sweep());
            }
            Command::Rotate(reply) => self.rotations.ask(reply),
            Command::Backup(reply) => {
                let _ = reply.send(self.backup());
            }
            Command::Undo(who, by, reply) => {
                // In a turn, so that no other node lies between the look and the word.
                let undone = self.take_turn().and_then(|()| self.undo_erasure(&who, &by));
                self.give_back();
                let _ = reply.send(undone);
            }
            Command::Close(reply) => {
                // On a full disk what was read is not written down any more; what people said is on the urgent log.
                let written = if self.house.room.is_full() { Ok(()) } else { self.write_down() };
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
            Ok(Some(sealed)) => sealed.write(&house, (&mut self.wheel, &mut self.dates), &self.chain).map(|()| true),
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
}

/// Roughly what a decision with its trace holds, in bytes.
const DECISION_BYTES: usize = 8 << 10;

fn value_bytes(value: &model::Value) -> usize {
    let held = match value {
        model::Value::Text(text) => text.len(),
        model::Value::Ranking(items) => items.len().saturating_mul(256),
        _ => 0,
    };
    size_of::<model::Value>().saturating_add(held)
}

enum Flow {
    Go,
    Stop,
}

/// The last place in the touch order that a batch can give out.
pub(crate) fn touch_end(batch: u64) -> u64 {
    batch.saturating_add(1).saturating_mul(1 << batch::TOUCH_BITS).saturating_sub(1)
}
