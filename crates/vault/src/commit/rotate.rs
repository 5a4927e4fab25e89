//! Rotation: a new key-encryption-key version, every wrapped row anew under it, the old versions destroyed, and the files
//! rewritten. This is what makes a deleted key unrecoverable.
//!
//! It goes on in slices between the batches of others, and can be killed anywhere: the house says how far it came
//! ([`RotationForm`]), each row says its version, and an old version is destroyed only after a walk over all rows that
//! found none under it. What others write meanwhile is wrapped under the new version already, because the ring knows no
//! other way. The next opening goes on where it was.
//!
//! Deliberately not: when to rotate (the program), and what a version is (`key::ring`).

use super::{Batch, Committer, Reply};
use crate::VaultError;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::failpoint::Step as Durable;
use crate::format::{self, RecoveryForm, RotationForm, RotationStage};
use crate::house::House;
use crate::key::{DaySecrets, KekVersion, PersonKey, Ring, person};
use crate::record::{Rotation, RotationState};
use model::{At, ProfileId};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows wrapped anew in one slice: a few milliseconds of work. Few in this room's tests, so that a small house has slices.
const ROWS_PER_SLICE: usize = if cfg!(test) { 3 } else { 1_000 };
/// Rows looked at in one slice.
const ROWS_SEEN_PER_SLICE: usize = 10 * ROWS_PER_SLICE;

/// Whoever asked for a rotation, and the one under way.
#[derive(Default)]
pub(crate) struct Rotations {
    under_way: Option<UnderWay>,
    /// They wait for one that begins after they asked: it covers what was deleted before.
    asked: VecDeque<Reply<Rotation>>,
}

struct UnderWay {
    step: Step,
    version: KekVersion,
    n_rows: u64,
    replies: VecDeque<Reply<Rotation>>,
}

/// What is to be done next. Each is one slice, or some.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Begin,
    AddVersion,
    Rewrap(Walk),
    Destroy,
    Log,
    Compact,
    End,
}

/// A walk over all wrapped rows, from one slice to the next.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Walk {
    pub(crate) part: Part,
    /// The last key that was looked at.
    pub(crate) after: Vec<u8>,
    /// Rows that needed a new wrapping.
    n_rewrapped: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The rows of persons and days.
    #[default]
    Keys,
    /// Keys that wait with the recovery key.
    Recoveries,
}

impl Step {
    /// What is left to do of what is on record, with this current version of so many.
    pub(crate) fn unfinished(form: &RotationForm, current: KekVersion, n_versions: usize) -> Option<Self> {
        match form.stage {
            RotationStage::Compact => Some(Self::Compact),
            RotationStage::Rewrap if current < form.version => Some(Self::AddVersion),
            RotationStage::Rewrap => Some(Self::Rewrap(Walk::default())),
            RotationStage::None => (n_versions > 1).then(|| Self::Rewrap(Walk::default())),
        }
    }

    /// What comes after a step that is done; a walk says so itself.
    pub(crate) fn next(&self) -> Option<Self> {
        match self {
            Self::Begin => Some(Self::AddVersion),
            Self::AddVersion => Some(Self::Rewrap(Walk::default())),
            Self::Rewrap(walk) => Some(Self::Rewrap(walk.clone())),
            Self::Destroy => Some(Self::Log),
            Self::Log => Some(Self::Compact),
            Self::Compact => Some(Self::End),
            Self::End => None,
        }
    }
}

impl Walk {
    /// What comes after a slice in which so many rows were wrapped anew and which ended at this key, or at the end. A walk that
    /// found any is followed by another one, and one that found none by the destruction.
    pub(crate) fn next(mut self, n_rows: u64, last: Option<Vec<u8>>) -> Step {
        self.n_rewrapped = self.n_rewrapped.saturating_add(n_rows);
        match (last, self.part) {
            (Some(after), _) => Step::Rewrap(Self { after, ..self }),
            (None, Part::Keys) => Step::Rewrap(Self { part: Part::Recoveries, after: Vec::new(), ..self }),
            (None, Part::Recoveries) if self.n_rewrapped > 0 => Step::Rewrap(Self::default()),
            (None, Part::Recoveries) => Step::Destroy,
        }
    }
}

impl RotationForm {
    /// A rotation begins: what it covers was deleted before.
    pub(crate) fn begun(self, version: KekVersion) -> Self {
        let covered_at = earlier(self.covered_at, self.forgotten_at);
        Self { version, stage: RotationStage::Rewrap, covered_at, forgotten_at: None, ..self }
    }

    /// Its old versions are gone, and the log says so.
    pub(crate) fn logged(self, version: KekVersion) -> Self {
        Self { version, stage: RotationStage::Compact, ..self }
    }

    /// Nothing of it is left to do.
    pub(crate) fn ended(self, at: At) -> Self {
        Self { ended_at: Some(at.ms()), stage: RotationStage::None, covered_at: None, ..self }
    }
}

impl Rotations {
    /// What a killed process, or one that closed meanwhile, has left to do.
    pub(crate) fn unfinished(house: &House) -> Self {
        let form = house.rotation();
        let step = Step::unfinished(&form, house.ring.current(), house.ring.versions().len());
        let under_way = step.map(|step| UnderWay::new(step, house.ring.current(), VecDeque::new()));
        Self { under_way, asked: VecDeque::new() }
    }

    pub(crate) fn ask(&mut self, reply: Reply<Rotation>) {
        self.asked.push_back(reply);
    }

    /// Whether one has begun and has not ended.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether there is a slice to do.
    pub(crate) fn has_work(&self) -> bool {
        self.under_way.is_some() || !self.asked.is_empty()
    }

    /// The one under way, what an earlier one left, or a new one.
    fn next(&mut self, house: &House) -> Option<UnderWay> {
        if self.under_way.is_none() && !self.asked.is_empty() {
            self.under_way = Self::unfinished(house).under_way;
        }
        let begins = || {
            let replies = std::mem::take(&mut self.asked);
            (!replies.is_empty()).then(|| UnderWay::new(Step::Begin, house.ring.current(), replies))
        };
        self.under_way.take().or_else(begins)
    }
}

impl UnderWay {
    fn new(step: Step, version: KekVersion, replies: VecDeque<Reply<Rotation>>) -> Self {
        Self { step, version, n_rows: 0, replies }
    }
}

impl Committer {
    /// One slice of the rotation, between two batches of others. Its error is the asker's: what is done stays done, and
    /// the next time goes on there.
    pub(crate) fn rotate_on(&mut self) {
        if self.rotations.has_work() && !self.may_rotate() {
            return;
        }
        let Some(mut under_way) = self.rotations.next(&Arc::clone(&self.house)) else { return };
        let stepped = self.rotation_step(&mut under_way);
        self.give_back();
        if !matches!(stepped, Ok(Some(_))) {
            self.has_rotated();
        }
        match stepped {
            Ok(Some(next)) => {
                under_way.step = next;
                self.rotations.under_way = Some(under_way);
            }
            Ok(None) => {
                let done = Rotation { version: under_way.version, n_rows: under_way.n_rows };
                for reply in under_way.replies {
                    let _ = reply.send(Ok(done));
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a rotation of the keys is not finished");
                // One is told; the others are tried again, each with an answer of its own.
                let mut replies = under_way.replies;
                if let Some(reply) = replies.pop_front().or_else(|| self.rotations.asked.pop_front()) {
                    let _ = reply.send(Err(error));
                }
                replies.append(&mut self.rotations.asked);
                self.rotations.asked = replies;
            }
        }
    }

    /// A whole rotation, before anybody is served.
    pub(crate) fn rotate(&mut self) -> Result<Rotation, VaultError> {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        self.rotations.ask(reply);
        while self.rotations.has_work() {
            self.rotate_on();
        }
        answer.try_recv().unwrap_or(Err(VaultError::Closed))
    }

    /// Does a slice; what comes next, `None` at the end.
    fn rotation_step(&mut self, under_way: &mut UnderWay) -> Result<Option<Step>, VaultError> {
        let house = Arc::clone(&self.house);
        // Clearing up takes long, and others write meanwhile.
        if !matches!(under_way.step, Step::Compact) {
            self.take_turn()?;
        }
        let (points, form) = (&house.failpoints, house.rotation());
        let step = std::mem::replace(&mut under_way.step, Step::End);
        let next = step.next();
        match step {
            Step::Begin => {
                let form = form.begun(house.ring.next());
                points.around(Durable::RotationBegin, || self.write_rotation(form))?;
            }
            Step::AddVersion => {
                under_way.version =
                    points.around(Durable::RotationAddVersion, || house.ring.add_version(house.rng()))?;
            }
            Step::Rewrap(walk) => return self.walk_on(under_way, walk).map(Some),
            Step::Destroy => {
                // A reader of an older state still opens rows as they were.
                house.engine.wait_for_readers()?;
                for number in house.ring.versions() {
                    points.around(Durable::RotationDestroy, || house.ring.destroy(number, house.rng()))?;
                }
            }
            Step::Log => {
                let version = under_way.version;
                let form = form.logged(version);
                points.around(Durable::RotationLog, || {
                    self.write(|batch| {
                        batch.leaf("rotate", &version.to_be_bytes());
                        batch.put_rotation(&form)
                    })?;
                    house.set_rotation(form);
                    Ok::<_, VaultError>(())
                })?;
            }
            Step::Compact => {
                points.around(Durable::RotationCompact, || {
                    self.write(|batch| batch.note_covered())?;
                    house.engine.compact()?;
                    house.publish_reading();
                    Ok::<_, VaultError>(())
                })?;
            }
            Step::End => {
                let form = form.ended(house.now());
                points.around(Durable::RotationEnd, || {
                    self.write(|batch| batch.note_clean())?;
                    self.write_rotation(form)
                })?;
            }
        }
        Ok(next)
    }

    /// Wraps some rows anew; what comes next.
    fn walk_on(&mut self, under_way: &mut UnderWay, walk: Walk) -> Result<Step, VaultError> {
        let house = Arc::clone(&self.house);
        let step = match walk.part {
            Part::Keys => Durable::RotationRewrapKeys,
            Part::Recoveries => Durable::RotationRewrapRecoveries,
        };
        let (n_rows, last) = house.failpoints.around(step, || {
            let slice = self.slice(&walk)?;
            let n_rows = slice.rows.len() as u64;
            if n_rows > 0 {
                self.write(|batch| {
                    slice.rows.into_iter().for_each(|(key, row)| batch.put(slice.keyspace, key, row));
                    Ok(())
                })?;
            }
            Ok::<_, VaultError>((n_rows, slice.last))
        })?;
        under_way.n_rows += n_rows;
        Ok(walk.next(n_rows, last))
    }

    /// The next rows under another version than the current one, wrapped anew.
    fn slice(&self, walk: &Walk) -> Result<Slice, VaultError> {
        let house = &self.house;
        let store = Arc::clone(&house.generation().store);
        let (keyspace, prefix) = match walk.part {
            Part::Keys => (Keyspace::Keys, [].as_slice()),
            Part::Recoveries => (Keyspace::House, House::RECOVERIES),
        };
        let mut slice = Slice { keyspace, rows: Vec::new(), last: None };
        for (n_seen, row) in (1..).zip(store.scan_after(keyspace, prefix, &walk.after)) {
            let (key, value) = row?;
            if let Some(rewrapped) = match walk.part {
                Part::Keys => rewrapped_key(house, &key, &value)?,
                Part::Recoveries => rewrapped_recovery(house, &key, &value)?,
            } {
                slice.rows.push((key.clone(), rewrapped));
            }
            if n_seen == ROWS_SEEN_PER_SLICE || slice.rows.len() == ROWS_PER_SLICE {
                slice.last = Some(key);
                break;
            }
        }
        Ok(slice)
    }

    fn write_rotation(&mut self, form: RotationForm) -> Result<(), VaultError> {
        self.write(|batch| batch.put_rotation(&form))?;
        self.house.set_rotation(form);
        Ok(())
    }
}

struct Slice {
    keyspace: Keyspace,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next one goes on; `None` at the end.
    last: Option<Vec<u8>>,
}

/// The row of a person or a day under the current version; `None` when it is under it.
fn rewrapped_key(house: &House, key: &[u8], wrapped: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
    let place = match <[u8; 16]>::try_from(key) {
        Ok(id) => person::place(&house.id, &ProfileId::from_bytes(id)),
        Err(_) if DaySecrets::is_row(key) => DaySecrets::place(&house.id, key),
        Err(_) => return Ok(None),
    };
    if Ring::version_of(wrapped) == Some(house.ring.current()) {
        return Ok(None);
    }
    house.ring.rewrap(&place, wrapped, house.rng()).map(Some).map_err(|error| unopened("keys", &error))
}

/// The same for keys that wait with the recovery key.
fn rewrapped_recovery(house: &House, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
    let form: RecoveryForm = format::decode("house", value)?;
    let Some(id) = House::recovery_of(key) else { return Ok(None) };
    if Ring::version_of(&form.sealed) == Some(house.ring.current()) {
        return Ok(None);
    }
    let person = PersonKey::from_recovery(&form.sealed, &house.ring, &house.id, &id);
    let person = person.map_err(|error| unopened("house", &error))?;
    let sealed = person.to_recovery(&house.ring, &house.id, &id, house.rng())?;
    Ok(Some(format::encode(&RecoveryForm { sealed, ..form })))
}

/// Nothing is destroyed while a row is there that the new version does not open: it may be mended from a backup.
fn unopened(keyspace: &'static str, error: &VaultError) -> VaultError {
    let what = format!("a wrapped key does not open ({error}), so no version of the keys is destroyed");
    VaultError::Damaged { keyspace, what }
}

impl Batch<'_> {
    fn put_rotation(&mut self, form: &RotationForm) -> Result<(), VaultError> {
        self.put_house_record(House::ROTATION, Some(&format::encode(form)))
    }

    /// Notes since when a deleted key waits, when this batch deletes the first.
    pub(super) fn write_forgotten(&mut self, forgets: bool) -> Result<(), VaultError> {
        let form = self.house.rotation();
        if !forgets || form.forgotten_at.is_some() {
            return Ok(());
        }
        let form = RotationForm { forgotten_at: Some(self.now.ms()), ..form };
        self.put_rotation(&form)?;
        self.then(move |house, _| house.set_rotation(form));
        Ok(())
    }
}

/// Reads where the rotation stands. A house of before this was written down may have deleted keys that wait.
pub(crate) fn load_rotation(house: &House, store: &dyn EngineSnapshot, has_batches: bool) -> Result<(), VaultError> {
    let form = match house.house_record(store, House::ROTATION)? {
        Some(bytes) => format::decode("house", &bytes)?,
        None => RotationForm { forgotten_at: has_batches.then(|| house.now().ms()), ..RotationForm::default() },
    };
    house.set_rotation(form);
    Ok(())
}

/// Where the rotation stands, for whoever decides when to rotate.
pub(crate) fn rotation_state(house: &House) -> RotationState {
    let form = house.rotation();
    RotationState {
        version: house.ring.current(),
        ended_at: form.ended_at.map(At::from_ms),
        forgotten_at: earlier(form.covered_at, form.forgotten_at).map(At::from_ms),
        is_under_way: form.stage != RotationStage::None || house.ring.versions().len() > 1,
    }
}

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests;
