//! Undoing an erasure within its day: the keys come back from the recovery key, what the erasure took away beside them
//! comes back from the record it left ([`UndoForm`]), and the person is as before, with what happened on their own page.
//!
//! The word that counts is the entry in the tombstone file. It is on the disk before the batch that follows it, and the next
//! opening finishes what a crash cut short ([`Committer::finish_undos`]). Before that entry nothing has changed.
//!
//! Not given back: what others may have put in the same place meanwhile. When a new person began under an identifier of
//! this one, the undo is refused, because it would make two of one.

use super::Committer;
use super::batch::Batch;
use super::erase::RECOVERY_MS;
use crate::VaultError;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::failpoint::Step;
use crate::format::{self, RecoveryForm, RequestForm, UndoForm};
use crate::house::House;
use crate::key::PersonKey;
use crate::person::{Open, Rows};
use crate::record::{ErasedWho, Erasure, ErasureUndone, NotUndone, StaffAct, UndoneBy};
use crate::seal::RecordKind;
use crate::statement;
use model::{At, ProfileId, RequestId};
use std::sync::Arc;

/// What the person reads in place of a staff name, when they took it back themselves.
const BY_THE_PERSON: &str = "You";

/// Somebody erased whose day has not passed, opened.
pub(crate) struct WaitingPerson {
    pub open: Open,
    pub undo: UndoForm,
    pub until: At,
}

impl House {
    /// Somebody who waits with the recovery key; `None` when nobody does, or the record is from before undoing was known.
    pub(crate) fn waiting_person(
        &self,
        rows: &dyn EngineSnapshot,
        id: &ProfileId,
    ) -> Result<Option<WaitingPerson>, VaultError> {
        let Some(row) = Rows::get(rows, Keyspace::House, &Self::recovery_row(id))? else { return Ok(None) };
        let form: RecoveryForm = format::decode("house", &row)?;
        // In a restored house the key row may be newer than the recovery key.
        let key = match Rows::get(rows, Keyspace::Keys, id.as_bytes())? {
            Some(row) => self.unwrap_person(id, &row)?,
            None => PersonKey::from_recovery(&form.sealed, &self.ring, &self.id, id)?,
        };
        let Some(sealed) = &form.undo else { return Ok(None) };
        let open = Open::load_under(self, rows, id, key)?;
        let undo: UndoForm = format::decode("house", &open.open_own(self, RecordKind::Undo, &[], sealed)?)?;
        // What is held stays longer with the recovery key; taken back it can be in its day alone.
        let erased_at = self.urgent().tombstones.erased(id).map(|(at, _)| at);
        let until = erased_at.map_or(form.until, |at| form.until.min(at.plus_ms(RECOVERY_MS).ms()));
        Ok(Some(WaitingPerson { open, undo, until: At::from_ms(until) }))
    }

    /// Profiles that were erased together with somebody who waits, and wait as well.
    pub(crate) fn left_with(&self, waiting: &WaitingPerson) -> Vec<ProfileId> {
        let urgent = self.urgent();
        let own = urgent.tombstones.erased(&waiting.open.id);
        let others = waiting.open.core.joins.iter().map(|join| ProfileId::from_bytes(*join.other));
        let mut others: Vec<ProfileId> =
            others.filter(|other| own.is_some() && urgent.tombstones.erased(other) == own).collect();
        others.sort();
        others.dedup();
        others
    }

    /// Whom the asker means, among those who wait.
    fn waiting_by(&self, rows: &dyn EngineSnapshot, who: &ErasedWho) -> Result<Option<ProfileId>, VaultError> {
        for row in rows.scan(Keyspace::House, Self::RECOVERIES) {
            let Some(id) = Self::recovery_of(&row?.0) else { continue };
            let is_meant = match who {
                ErasedWho::Profile(profile) => *profile == id,
                ErasedWho::Request(request) => {
                    let urgent = self.urgent();
                    let erased = urgent.tombstones.erased(&id);
                    erased.is_some_and(|(at, _)| urgent.tombstones.request(&id, at) == *request)
                }
                ErasedWho::Identifier(identifier) => {
                    let row = self.index_row(identifier);
                    // Somebody else's damaged record is not what was asked for.
                    let waiting = self.waiting_person(rows, &id).ok().flatten();
                    waiting.is_some_and(|waiting| waiting.undo.rows.iter().any(|(_, key, _)| **key == row))
                }
            };
            if is_meant {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

impl Committer {
    /// Takes an erasure back, with the browsers that were erased together with the person.
    pub(crate) fn undo_erasure(
        &mut self,
        who: &ErasedWho,
        by: &UndoneBy,
    ) -> Result<Result<ErasureUndone, NotUndone>, VaultError> {
        let house = Arc::clone(&self.house);
        let store = Arc::clone(&house.generation().store);
        let refused = |why| Ok(Err(why));
        let Some(id) = house.waiting_by(&*store, who)? else {
            let known = match who {
                ErasedWho::Profile(id) => house.urgent().tombstones.erased(id),
                ErasedWho::Request(_) | ErasedWho::Identifier(_) => None,
            };
            return refused(match known {
                Some((_, Erasure::Now)) => NotUndone::Now,
                Some((_, Erasure::WithinADay)) => NotUndone::TooLate,
                None => NotUndone::NobodyWaits,
            });
        };
        let Some(waiting) = house.waiting_person(&*store, &id)? else { return refused(NotUndone::NobodyWaits) };
        let mut all = vec![waiting];
        for other in all.first().map(|own| house.left_with(own)).unwrap_or_default() {
            all.extend(house.waiting_person(&*store, &other)?);
        }
        for waiting in &all {
            if house.now() >= waiting.until {
                return refused(NotUndone::TooLate);
            }
            if is_taken(&*store, waiting)? {
                return refused(NotUndone::TakenMeanwhile);
            }
        }
        let taken_back = |id: &ProfileId| house.exhume(id, house.now());
        let noted = house.failpoints.around(Step::TombstoneAppend, || {
            for (n, waiting) in all.iter().enumerate() {
                // "Now" may have been said since: then it stands.
                if !taken_back(&waiting.open.id)? && n == 0 {
                    return Ok(false);
                }
            }
            Ok::<_, VaultError>(true)
        });
        if !noted? {
            return refused(NotUndone::Now);
        }
        self.finish_undos(by)?;
        for waiting in &all {
            self.readmit(&waiting.open.id)?;
        }
        self.undone(id, &all)
    }

    fn undone(&self, person: ProfileId, all: &[WaitingPerson]) -> Result<Result<ErasureUndone, NotUndone>, VaultError> {
        let (house, store) = (&self.house, Arc::clone(&self.house.generation().store));
        let Some(own) = all.first() else { return Ok(Err(NotUndone::NobodyWaits)) };
        let request = RequestId::from_bytes(*own.undo.request);
        let form = house.request(&*store, &request)?.filter(|form| form.taken_back_at.is_some());
        let Some(form) = form else { return Ok(Err(NotUndone::Now)) };
        let payload = statement::of_undo(house, &form)?;
        let receipt = statement::receipt(house, &*store, &payload, form.taken_back_proof.as_ref())?;
        Ok(Ok(ErasureUndone { person, request, receipt }))
    }

    /// Gives back to the store everybody whose erasure was taken back; also what a crash has cut short. Who they are.
    pub(crate) fn finish_undos(&mut self, by: &UndoneBy) -> Result<Vec<ProfileId>, VaultError> {
        let house = Arc::clone(&self.house);
        let store = Arc::clone(&house.generation().store);
        let mut waiting = Vec::new();
        for row in store.scan(Keyspace::House, House::RECOVERIES) {
            let Some(id) = House::recovery_of(&row?.0) else { continue };
            if house.urgent().tombstones.is_taken_back(&id) {
                let opened = house.waiting_person(&*store, &id).unwrap_or_else(|error| {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an undo cannot be finished: it does not open"
                    );
                    None
                });
                waiting.extend(opened);
            }
        }
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let people = waiting.iter().map(|waiting| waiting.open.id).collect();
        let note = house.urgent().tombstones.note();
        self.write(|batch| {
            batch.ops().push(note);
            waiting.into_iter().try_for_each(|waiting| batch.undo(waiting, by))
        })?;
        Ok(people)
    }

    /// Back into memory, unless erased again meanwhile.
    pub(super) fn readmit(&mut self, id: &ProfileId) -> Result<(), VaultError> {
        let house = Arc::clone(&self.house);
        let store = Arc::clone(&house.generation().store);
        let loaded = crate::open::load_person(&house, &*store, id, house.now().day());
        // A server that is away: the next turn reads it anew.
        let Some((person, values)) = loaded.inspect_err(|_| self.forget_last())? else { return Ok(()) };
        // An erasure takes this lock before it takes somebody out of memory.
        let urgent = house.urgent();
        if !urgent.tombstones.contains(id) {
            self.set_dates(&person, values.2);
            house.admit(person, values);
        }
        drop(urgent);
        Ok(())
    }
}

/// Who is named on the person's page when the program itself finished what a stop had cut short.
pub(crate) fn cut_short() -> UndoneBy {
    UndoneBy::Staff { staff: "Fineline".to_owned(), reason: "finished an undo that a stop had cut short".to_owned() }
}

/// Whether an identifier of somebody who waits leads to somebody else by now.
fn is_taken(store: &dyn EngineSnapshot, waiting: &WaitingPerson) -> Result<bool, VaultError> {
    for (keyspace, key, value) in &waiting.undo.rows {
        if *keyspace == Keyspace::Index as u8
            && Rows::get(store, Keyspace::Index, key)?.is_some_and(|row| row != **value)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl House {
    /// A request on record.
    pub(crate) fn request(
        &self,
        rows: &(impl Rows + ?Sized),
        id: &RequestId,
    ) -> Result<Option<RequestForm>, VaultError> {
        let key = Self::request_row(id);
        let Some(sealed) = rows.get(Keyspace::House, &key)? else { return Ok(None) };
        format::decode("house", &self.open_house(RecordKind::Request, &key, &sealed)?).map(Some)
    }
}

impl Batch<'_> {
    /// Everything as it was; then what the person had said before leaving, and that somebody took the erasure back.
    fn undo(&mut self, waiting: WaitingPerson, by: &UndoneBy) -> Result<(), VaultError> {
        let WaitingPerson { mut open, undo, .. } = waiting;
        let id = open.id;
        for (keyspace, key, value) in &undo.rows {
            let keyspace = Keyspace::ALL.into_iter().find(|known| *known as u8 == *keyspace);
            if let Some(keyspace) = keyspace
                && Rows::get(self, keyspace, key)?.is_none()
            {
                self.put(keyspace, key.to_vec(), value.to_vec());
            }
        }
        for left in &undo.left {
            // Another erasure may have written a later date since: the stricter one stays.
            if Rows::get(self, Keyspace::House, &left.key)?.as_deref() == Some(left.written.as_slice()) {
                self.change(Keyspace::House, left.key.to_vec(), left.before.as_ref().map(|row| row.to_vec()), None);
            }
        }
        for tie in &undo.joins {
            self.with(&ProfileId::from_bytes(*tie.of), |_, theirs| {
                let joins = &mut theirs.core.joins;
                if !joins.contains(&tie.join) {
                    joins.insert(joins.len().min(tie.at as usize), tie.join.clone());
                }
                Ok(())
            })?;
        }
        self.delete(Keyspace::House, House::recovery_row(&id));
        // The key row is written anew; memory follows when all of this is on the disk.
        open.key_changed = true;
        let columns = self.store.get(Keyspace::House, House::COLUMNS)?;
        if columns.as_deref() != undo.columns.as_ref().map(|columns| columns.as_slice()) {
            self.refold_open(&mut open)?;
        }
        self.admit(open);
        for wish in &undo.wishes {
            self.apply_wish(&id, wish)?;
        }
        let (staff, reason) = match by {
            UndoneBy::Person => (BY_THE_PERSON.to_owned(), "the erasure was taken back from its page".to_owned()),
            UndoneBy::Staff { staff, reason } => (staff.clone(), reason.clone()),
        };
        let act = StaffAct { staff, act: StaffAct::UNDID_ERASURE, person: Some(id), reason, at: self.now };
        self.staff_act(&act)?;
        let request = RequestId::from_bytes(*undo.request);
        if let Some(mut form) = self.house.request(self, &request)? {
            // Nobody was told yet: calls wait as long as the erasure can be taken back.
            self.drop_calls(&request)?;
            form.told = None;
            form.taken_back_at = Some(self.now.ms());
            let statement = statement::of_undo(self.house, &form)?;
            form.taken_back_proof = Some(self.leaf("undo", statement.as_bytes()));
            self.put_house(RecordKind::Request, House::request_row(&request), &format::encode(&form))?;
        }
        Ok(())
    }
}
