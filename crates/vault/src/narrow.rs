//! Urgent commands: whatever lets less happen holds before the store has it. On the urgent log or the tombstone file,
//! synced; in memory; acknowledged; and only then written by the committer.
//!
//! A yes never comes this way.

use crate::commit::erase::Leaving;
use crate::commit::{Answered, consent_entry};
use crate::format::{Bytes16, LedgerForm, LessForm};
use crate::house::House;
use crate::person::Open;
use crate::record::{ConsentAnswer, ConsentChange, Erasure, ErasureAnswer, IdentifierKind, Reduction, Subject};
use crate::state::Person;
use crate::statement::{self, INCLUDED_WITHIN_MS};
use crate::wish::Wish;
use crate::{OutcomeReason, VaultError};
use model::{At, ConsentId, ConsentStatus, ProfileId, ProfileKind};

/// How long the message in which a person said "less" takes it back, in milliseconds. A link cannot give more than it took.
const UNDO_MS: i64 = 3_600_000;

/// Within this time, in milliseconds, a second "less" in the same message is the same tap: fingers and browsers send one
/// twice, and half of a half may be none.
const TAP_MS: i64 = 10_000;

impl House {
    /// The profile of a subject as memory knows it.
    pub(crate) fn known(&self, subject: &Subject) -> Result<Option<ProfileId>, VaultError> {
        let generation = self.generation();
        let id = match subject {
            Subject::Profile(id) => Some(*id),
            Subject::Identifiers { user, anonymous } => match user.as_ref().or(anonymous.as_ref()) {
                Some(identifier) => {
                    let row = generation.store.get(crate::engine::Keyspace::Index, &self.index_row(identifier))?;
                    row.and_then(|row| <[u8; 16]>::try_from(row).ok()).map(ProfileId::from_bytes)
                }
                None => None,
            },
        };
        Ok(id.filter(|id| generation.state.person(id).is_some()))
    }

    /// An answer that narrows, in force when this returns.
    pub(crate) fn narrow(&self, person: ProfileId, change: &ConsentChange) -> Result<ConsentAnswer, VaultError> {
        if !self.is_by_consent(&change.purpose) {
            return self.consent_answer(Answered::refused(OutcomeReason::NoPurpose));
        }
        let overtakes = self.overtakes(person, &change.purpose);
        if let Some(entry) = self.same_answer(&person, change)?.filter(|_| !overtakes) {
            return self.consent_answer(Answered { profile: Some(person), entry: Some(entry), refusal: None });
        }
        let now = self.now();
        let mut entry = consent_entry(change, ConsentId::new(now, self.rng()), now);
        entry.included_by = Some(now.plus_ms(INCLUDED_WITHIN_MS).ms());
        self.wish(person, Wish::Answer(entry.clone()))?;
        self.consent_answer(Answered { profile: Some(person), entry: Some(entry), refusal: None })
    }

    /// The entry that already says this: a browser that repeats its no on every page adds nothing.
    fn same_answer(&self, person: &ProfileId, change: &ConsentChange) -> Result<Option<LedgerForm>, VaultError> {
        let generation = self.generation();
        let known = generation.state.person(person);
        if self.engine.nodes().is_some() {
            // Another node may have heard something else since: it is said again.
            return Ok(None);
        }
        let is_same = known.is_some_and(|known| {
            let relation = known.wishes.standing.relations.get(&change.purpose);
            let same = |relation: &promise::Relation| {
                relation.status == change.status && relation.notice_version == change.notice_version
            };
            known.pending.is_empty() && relation.is_some_and(same)
        });
        if !is_same {
            return Ok(None);
        }
        let Some(open) = Open::load(self, &*generation.store, person)? else { return Ok(None) };
        open.latest_entry(self, &*generation.store, change.purpose.as_str())
    }

    /// A reduction, in force when this returns.
    pub(crate) fn reduce(&self, person: ProfileId, reduction: Reduction) -> Result<ConsentAnswer, VaultError> {
        let generation = self.generation();
        let Some(known) = generation.state.person(&person) else {
            return self.consent_answer(Answered::refused(OutcomeReason::NoSubject));
        };
        let id: Bytes16 = (*ConsentId::new(self.now(), self.rng()).as_bytes()).into();
        let wish = match reduction {
            Reduction::Stop { purpose, words, method } => {
                let change = ConsentChange {
                    subject: Subject::Profile(person),
                    source: None,
                    purpose,
                    status: ConsentStatus::Withdrawn,
                    level: None,
                    words,
                    method,
                    notice_version: known.wishes.standing.told_version,
                    made_up: false,
                };
                return self.narrow(person, &change);
            }
            Reduction::Less => Wish::Less(id, self.less(known)),
            Reduction::LessBy(decision) => {
                let is_same_tap = |less: &LessForm| {
                    *less.by == *decision.as_bytes() && self.now() < At::from_ms(less.at).plus_ms(TAP_MS)
                };
                if known.reach.less.is_some_and(|less| is_same_tap(&less)) {
                    return self.consent_answer(Answered { profile: Some(person), entry: None, refusal: None });
                }
                Wish::LessBy(id, self.less(known), (*decision.as_bytes()).into(), self.now().ms())
            }
            Reduction::UndoLess => Wish::UndoLess(id),
            Reduction::UndoLessBy(decision) => {
                let is_open = |less: &LessForm| {
                    *less.by == *decision.as_bytes() && self.now() < At::from_ms(less.at).plus_ms(UNDO_MS)
                };
                match known.reach.less.filter(is_open) {
                    Some(less) => Wish::Restore(id, less.before),
                    None => return self.consent_answer(Answered::refused(OutcomeReason::Expired)),
                }
            }
            Reduction::NotThis { offer, item } => {
                let item = item.map(|item| item.as_str().to_owned());
                Wish::NotThis(id, std::iter::once(offer.as_str().to_owned()).chain(item).collect())
            }
            Reduction::NotMe { item } => Wish::NotThis(id, vec![item.as_str().to_owned()]),
            Reduction::LeaveMeAlone => Wish::LeaveMeAlone(id),
        };
        self.wish(person, wish)?;
        self.consent_answer(Answered { profile: Some(person), entry: None, refusal: None })
    }

    fn less(&self, known: &Person) -> u32 {
        Wish::less(known.reach.at_most, &self.household.promise.cap)
    }

    /// The answer with its receipt, with the proof when the log has it.
    pub(crate) fn consent_answer(&self, answered: Answered) -> Result<ConsentAnswer, VaultError> {
        let receipt = match (&answered.profile, &answered.entry) {
            (Some(profile), Some(entry)) => Some(self.consent_receipt(profile, entry)?),
            _ => None,
        };
        Ok(ConsentAnswer {
            profile: answered.profile,
            consent: answered.entry.map(|entry| ConsentId::from_bytes(*entry.id)),
            receipt,
            refusal: answered.refusal,
        })
    }

    fn consent_receipt(&self, profile: &ProfileId, entry: &LedgerForm) -> Result<String, VaultError> {
        let payload = statement::of_consent(self, profile, entry)?;
        statement::receipt(self, &*self.generation().store, &payload, entry.proof.as_ref())
    }

    // ── erasure, first half ───────────────────────────────────────────────────────────────────────────────────────

    /// Tombstones on the disk, gone from memory; the answer, and what the committer has to take away.
    pub(crate) fn begin_erasure(&self, person: ProfileId, how: Erasure) -> Result<ErasureAnswer, VaultError> {
        if self.is_closed() {
            return Err(VaultError::Closed);
        }
        let now = self.now();
        let devices = self.devices_of(&person)?;
        let held_until = self.held_until(&person)?;
        let own = {
            let mut urgent = self.urgent();
            // Each goes with its own tombstone: an error between two of them leaves nobody half gone.
            let mut go = |person: ProfileId| {
                let began = self.ticks();
                let (at, how) = self.bury(&mut urgent, &person, now, how)?;
                self.times.urgent.add(self.ticks().saturating_sub(began));
                let leaving = Leaving::new(person, how, at, urgent.tombstones.request(&person, at));
                self.leave(&[leaving]);
                Ok::<_, VaultError>(leaving)
            };
            let own = go(person)?;
            devices.into_iter().try_for_each(|device| go(device).map(|_| ()))?;
            own
        };
        let request = own.held(held_until).request_form();
        let payload = statement::of_erasure(self, &request)?;
        let receipt = statement::receipt(self, &*self.generation().store, &payload, None)?;
        let unrecoverable_on = model::Day::from_number(request.unrecoverable_on);
        Ok(ErasureAnswer { request: own.request, receipt, unrecoverable_on })
    }

    /// Until when something of a person is held.
    fn held_until(&self, person: &ProfileId) -> Result<Option<At>, VaultError> {
        let generation = self.generation();
        let Some(known) = generation.state.person(person) else { return Ok(None) };
        Ok(known.wishes.standing.any_held_until(self.now()))
    }

    /// Browsers tied to this person alone: they go too. Also when the person is gone for a day already, and now for good.
    fn devices_of(&self, person: &ProfileId) -> Result<Vec<ProfileId>, VaultError> {
        // Among nodes, what this one knows may be a moment old.
        let store = match self.engine.nodes() {
            Some(_) => self.engine.snapshot(),
            None => std::sync::Arc::clone(&self.generation().store),
        };
        let Some(open) = Open::load(self, &*store, person)? else {
            let waiting = self.waiting_person(&*store, person)?;
            return Ok(waiting.map(|waiting| self.left_with(&waiting)).unwrap_or_default());
        };
        let mut devices = Vec::new();
        for join in &open.core.joins {
            let other = ProfileId::from_bytes(*join.other);
            let Some(device) = Open::load(self, &*store, &other)?.filter(|_| !self.is_erased(&other)) else { continue };
            let is_device = crate::format::kind_of(device.core.kind)? == ProfileKind::Device;
            if is_device && device.core.joins.iter().all(|back| *back.other == *person.as_bytes()) {
                devices.push(other);
            }
        }
        Ok(devices)
    }
}

/// Whether an answer must not wait for the committer: it narrows, and the person gave it just now.
pub(crate) fn is_urgent(change: &ConsentChange) -> bool {
    !change.status.is_given() && change.method != model::Method::Import
}

/// Longest identifier, in bytes.
pub(crate) const IDENTIFIER_BYTES_MAX: usize = 512;

/// Refuses identifiers above the limit.
pub(crate) fn check_subject(subject: &Subject) -> Result<(), VaultError> {
    let Subject::Identifiers { user, anonymous } = subject else { return Ok(()) };
    for identifier in user.iter().chain(anonymous) {
        let bytes = identifier.value.len();
        if bytes > IDENTIFIER_BYTES_MAX {
            let what = match identifier.kind {
                IdentifierKind::User => "a user id",
                IdentifierKind::Anonymous => "an anonymous id",
                IdentifierKind::Email => "an e-mail address",
            };
            return Err(VaultError::TooLarge { what, bytes, limit: IDENTIFIER_BYTES_MAX });
        }
    }
    Ok(())
}
