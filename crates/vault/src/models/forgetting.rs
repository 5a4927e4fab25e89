//! Erase × backup × rotate × restore: one person who goes and one who stays, rotations, a backup, a thief, and crashes anywhere.

use super::{Met, PERSON, finds, holds, now};
use crate::Erasure;
use crate::backup::{Fate, fate};
use crate::commit::{Part, RotationStep};
use crate::format::{RotationForm, RotationStage};
use crate::narrowing::Reach;
use crate::tombstone::Tombstones;
use model::HouseId;
use stateright::{Model, Property};
use std::sync::Arc;

/// One person who goes and one who stays, one rotation after the other, one backup.
#[derive(Clone)]
struct Forgetting {
    met: Arc<Met>,
    planted: Option<Planted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    /// The erasures of the backup count, not the newest.
    TombstonesInTheBackup,
    /// A rotation that destroys no version.
    NothingDestroyed,
    /// Versions are destroyed before the rows are wrapped anew.
    DestroyedFirst,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Disk {
    /// The version that each of the two wrapped keys is under: who goes, who stays.
    rows: [Option<u32>; 2],
    versions: Vec<u32>,
    next: u32,
    form: (u32, u8, bool, bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Keys {
    disk: Disk,
    n_tombstones: usize,
    step: Option<RotationStep>,
    /// The person's rows still have to go.
    is_leaving: bool,
    was_told: bool,
    /// A copy of the person's wrapped key that somebody took from the files.
    stolen: Option<u32>,
    /// A rotation that began after the rows were gone has ended.
    is_covered: bool,
    backup: Option<(Disk, usize)>,
    n_rotations: u8,
    n_crashes: u8,
    n_restores: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Erase,
    Drain,
    Steal,
    Rotate,
    Step,
    Crash,
    BackUp,
    Restore,
    RestoreOlder,
}

impl Disk {
    fn form(&self) -> RotationForm {
        let (version, stage, covered, forgotten) = self.form;
        let stage = [RotationStage::None, RotationStage::Rewrap, RotationStage::Compact].into_iter().nth(stage.into());
        RotationForm {
            ended_at: None,
            version,
            stage: stage.unwrap(),
            forgotten_at: forgotten.then_some(1),
            covered_at: covered.then_some(1),
        }
    }

    fn set(&mut self, form: &RotationForm) {
        let stage = match form.stage {
            RotationStage::None => 0,
            RotationStage::Rewrap => 1,
            RotationStage::Compact => 2,
        };
        self.form = (form.version, stage, form.covered_at.is_some(), form.forgotten_at.is_some());
    }

    fn current(&self) -> u32 {
        self.versions.last().copied().unwrap_or(0)
    }

    fn opens(&self, row: u32) -> bool {
        self.versions.contains(&row)
    }

    /// One step; what comes next.
    fn step(&mut self, step: RotationStep, model: &Forgetting) -> Option<RotationStep> {
        let planted = |fault| model.planted == Some(fault);
        let next = step.next();
        match step {
            RotationStep::Begin => {
                model.met.note("begin");
                let form = self.form().begun(self.next);
                self.set(&form);
            }
            RotationStep::AddVersion => {
                model.met.note("add a version");
                self.versions.push(self.next);
                self.next += 1;
                if planted(Planted::DestroyedFirst) {
                    self.versions = vec![self.current()];
                }
            }
            RotationStep::Rewrap(walk) if walk.part == Part::Recoveries => {
                model.met.note("wrap recoveries");
                return Some(walk.next(0, None));
            }
            RotationStep::Rewrap(walk) => {
                model.met.note("wrap keys");
                // One row a slice, in the order of the rows.
                let current = self.current();
                let begins = walk.after.first().map_or(0, |last| usize::from(*last) + 1);
                let found = (begins..2).find(|each| self.rows[*each].is_some_and(|row| row != current));
                let Some(found) = found else { return Some(walk.next(0, None)) };
                // What does not open stops the rotation (`rewrapped_key`).
                if !self.rows[found].is_some_and(|row| self.opens(row)) {
                    return None;
                }
                self.rows[found] = Some(current);
                return Some(walk.next(1, Some(vec![u8::try_from(found).unwrap()])));
            }
            RotationStep::Destroy => {
                model.met.note("destroy");
                if !planted(Planted::NothingDestroyed) {
                    self.versions = vec![self.current()];
                }
            }
            RotationStep::Log => {
                model.met.note("log");
                let form = self.form().logged(self.current());
                self.set(&form);
            }
            RotationStep::Compact => model.met.note("compact"),
            RotationStep::End => {
                model.met.note("end");
                let form = self.form().ended(now());
                self.set(&form);
            }
        }
        next
    }

    fn unfinished(&self) -> Option<RotationStep> {
        RotationStep::unfinished(&self.form(), self.current(), self.versions.len())
    }
}

/// A file with so many erasures, by the product's own hand, and how far it reaches.
fn tombstones(n: usize) -> (Tombstones, Reach) {
    let house = HouseId::from_bytes([1; 16]);
    let rng = model::chance::Seeded::new(1);
    let keys = crate::key::Ring::in_memory(&house, &rng).house_keys().unwrap();
    let mut tombstones = Tombstones::in_memory(&keys);
    for _ in 0..n {
        tombstones.add(&PERSON, now(), Erasure::Now).unwrap();
    }
    let end = tombstones.end();
    (tombstones, end)
}

impl Forgetting {
    /// Restores; `None` when it is refused.
    fn restored(&self, state: &Keys, n_tombstones: usize) -> Option<Keys> {
        let (disk, noted) = state.backup.clone()?;
        let (file, _) = tombstones(n_tombstones);
        if !file.reaches(tombstones(noted).1) {
            self.met.note("refused: older erasures");
            return None;
        }
        let n_known = if self.planted == Some(Planted::TombstonesInTheBackup) { noted } else { n_tombstones };
        let is_erased = tombstones(n_known).0.contains(&PERSON);
        let mut disk = disk;
        let has = disk.rows[0].is_some();
        match fate(is_erased, (has, has), false) {
            Fate::Erased => {
                self.met.note("taken out");
                disk.rows[0] = None;
            }
            Fate::Stays => self.met.note("came back"),
            // Gone before the backup was made: nobody asks for it.
            Fate::WithoutKeys | Fate::Torn => {}
        }
        let mut step = disk.unfinished().or(Some(RotationStep::Begin));
        while let Some(each) = step {
            step = disk.step(each, self);
        }
        Some(Keys {
            disk,
            n_tombstones: n_known,
            step: None,
            is_leaving: false,
            n_restores: state.n_restores + 1,
            ..state.clone()
        })
    }
}

impl Model for Forgetting {
    type State = Keys;
    type Action = Deed;

    fn init_states(&self) -> Vec<Keys> {
        let disk = Disk { rows: [Some(1); 2], versions: vec![1], next: 2, form: (0, 0, false, false) };
        vec![Keys {
            disk,
            n_tombstones: 0,
            step: None,
            is_leaving: false,
            was_told: false,
            stolen: None,
            is_covered: false,
            backup: None,
            n_rotations: 0,
            n_crashes: 0,
            n_restores: 0,
        }]
    }

    fn actions(&self, state: &Keys, actions: &mut Vec<Deed>) {
        let mut may = |deed: Deed, may: bool| {
            if may {
                actions.push(deed);
            }
        };
        may(Deed::Erase, !state.was_told);
        may(Deed::Drain, state.is_leaving);
        may(Deed::Steal, state.stolen.is_none() && state.disk.rows[0].is_some() && state.n_restores == 0);
        may(Deed::Rotate, state.step.is_none() && state.n_rotations < 2);
        may(Deed::Step, state.step.is_some());
        may(Deed::Crash, state.n_crashes < 2);
        may(Deed::BackUp, state.backup.is_none());
        may(Deed::Restore, state.backup.is_some() && state.n_restores < 1);
        may(Deed::RestoreOlder, state.backup.is_some() && state.n_restores < 1 && state.n_tombstones > 0);
    }

    fn next_state(&self, last: &Keys, deed: Deed) -> Option<Keys> {
        let mut state = last.clone();
        match deed {
            Deed::Erase => {
                self.met.note("erase");
                state.n_tombstones = 1;
                (state.is_leaving, state.was_told) = (state.disk.rows[0].is_some(), true);
            }
            Deed::Drain => {
                self.met.note("drain");
                state.disk.rows[0] = None;
                state.is_leaving = false;
                let mut form = state.disk.form();
                form.forgotten_at.get_or_insert(1);
                state.disk.set(&form);
            }
            Deed::Steal => {
                self.met.note("steal");
                state.stolen = state.disk.rows[0];
            }
            Deed::Rotate => {
                state.n_rotations += 1;
                state.step = Some(RotationStep::Begin);
            }
            Deed::Step => {
                let step = state.step.take()?;
                let ends = step == RotationStep::End;
                // What the product says about itself: nothing deleted waits for a rotation any more.
                state.step = state.disk.step(step, self);
                let form = state.disk.form();
                let is_gone = state.was_told && state.disk.rows[0].is_none() && !state.is_leaving;
                state.is_covered |= ends && is_gone && form.forgotten_at.is_none() && form.covered_at.is_none();
            }
            Deed::Crash => {
                self.met.note("crash");
                state.n_crashes += 1;
                state.step = state.disk.unfinished();
                // Opening finds the tombstone and lets the rows go.
                state.is_leaving = state.n_tombstones > 0 && state.disk.rows[0].is_some();
            }
            Deed::BackUp => {
                self.met.note("back up");
                state.backup = Some((state.disk.clone(), state.n_tombstones));
            }
            Deed::Restore => return self.restored(last, last.n_tombstones),
            Deed::RestoreOlder => {
                // An older copy of the file is noticed where the backup knew of more; where it did not, the witness says so
                // (`backup`'s own tests).
                let (_, noted) = last.backup.as_ref()?;
                return if *noted > 0 { self.restored(last, 0) } else { None };
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("who stays is always opened", |_, state: &Keys| {
                state.disk.rows[1].is_some_and(|row| state.disk.opens(row))
            }),
            Property::always("who was erased is read nowhere", |_, state: &Keys| {
                !state.was_told || state.n_tombstones > 0 || state.disk.rows[0].is_none()
            }),
            Property::always("after the rotation that covers it, a stolen key opens nothing", |_, state: &Keys| {
                !state.is_covered || state.n_restores > 0 || state.stolen.is_none_or(|row| !state.disk.opens(row))
            }),
        ]
    }
}

#[test]
fn every_order_of_erasing_rotating_backing_up_and_restoring_forgets_for_good() {
    let model = Forgetting { met: Arc::default(), planted: None };
    let met = Arc::clone(&model.met);
    let all = [
        "erase",
        "drain",
        "steal",
        "crash",
        "back up",
        "begin",
        "add a version",
        "wrap keys",
        "wrap recoveries",
        "destroy",
        "log",
        "compact",
        "end",
        "refused: older erasures",
        "taken out",
        "came back",
    ];
    holds("erase × backup × rotate × restore", model, &met, &all);
    for planted in [Planted::TombstonesInTheBackup, Planted::NothingDestroyed, Planted::DestroyedFirst] {
        finds(&format!("{planted:?}"), Forgetting { met: Arc::default(), planted: Some(planted) });
    }
}
