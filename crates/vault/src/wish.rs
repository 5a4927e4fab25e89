//! What a person takes back or changes, as one value that memory, permits and the committer apply in the same way: in
//! force from the moment it is on the urgent log, written to the store by the committer later.
//!
//! It does not decide whether the person may: narrowing is always allowed.

use crate::VaultError;
use crate::format::{self, Bytes16, CoreForm, LedgerForm, LessForm};
use crate::state::{Person, Wishes};
use minicbor::{Decode, Encode};
use model::{At, PurposeName};
use promise::{CapPlan, RefusalReason, Relation};
use std::sync::Arc;

/// The limit below which "less" does not halve any more, in messages per window: the next one means none.
const LEAST: u32 = 1;

/// Wishes remembered per person so that a replay does not write them twice: more than the urgent log ever holds of one.
const WISHES_REMEMBERED: usize = 32;

/// One change of a person's wishes.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) enum Wish {
    /// An answer about one purpose, with its ledger entry.
    #[n(0)]
    Answer(#[n(0)] LedgerForm),
    /// Half as often. From one message per window: none, until undone.
    #[n(1)]
    Less(#[n(0)] Bytes16, #[n(1)] u32),
    /// Back to the company's cap.
    #[n(2)]
    UndoLess(#[n(0)] Bytes16),
    /// Never these again.
    #[n(3)]
    NotThis(#[n(0)] Bytes16, #[n(1)] Vec<String>),
    /// Leave me alone.
    #[n(4)]
    LeaveMeAlone(#[n(0)] Bytes16),
    /// Half as often, said in the message of a decision at an instant.
    #[n(5)]
    LessBy(#[n(0)] Bytes16, #[n(1)] u32, #[n(2)] Bytes16, #[n(3)] i64),
    /// Back to the limit that stood before the latest "less".
    #[n(6)]
    Restore(#[n(0)] Bytes16, #[n(1)] Option<u32>),
}

impl Wish {
    /// Its id: applying it twice is applying it once.
    pub(crate) fn id(&self) -> &Bytes16 {
        match self {
            Self::Answer(entry) => &entry.id,
            Self::Less(id, _) | Self::UndoLess(id) | Self::NotThis(id, _) | Self::LeaveMeAlone(id) => id,
            Self::LessBy(id, ..) | Self::Restore(id, _) => id,
        }
    }

    /// Whether the person's record has it already: after a crash the log is played again.
    pub(crate) fn is_written(&self, core: &CoreForm) -> bool {
        core.wishes_done.contains(self.id())
    }

    /// Notes that the person's record has it.
    pub(crate) fn note_written(&self, core: &mut CoreForm) {
        core.wishes_done.push(*self.id());
        let surplus = core.wishes_done.len().saturating_sub(WISHES_REMEMBERED);
        core.wishes_done.drain(..surplus);
    }

    /// "Half as often" for a person whose limit stands at `own` or the company's.
    pub(crate) fn less(own: Option<u32>, cap: &CapPlan) -> u32 {
        let now = own.unwrap_or(cap.at_most).min(cap.at_most);
        if now > LEAST { (now / 2).max(LEAST) } else { 0 }
    }

    /// The limit this wish sets, what it can be taken back to, and by which message; `None` when it is about another thing.
    fn limit(&self, before: Option<u32>) -> Option<(Option<u32>, Option<LessForm>)> {
        match self {
            Self::Less(_, at_most) => Some((Some(*at_most), None)),
            Self::LessBy(_, at_most, by, at) => Some((Some(*at_most), Some(LessForm { by: *by, before, at: *at }))),
            Self::UndoLess(_) => Some((None, None)),
            Self::Restore(_, before) => Some((*before, None)),
            Self::Answer(_) | Self::NotThis(..) | Self::LeaveMeAlone(_) => None,
        }
    }

    /// Changes the person's record; each moves `consent_seq` by one.
    pub(crate) fn apply(&self, core: &mut CoreForm) -> Result<(), VaultError> {
        if let Some(limit) = self.limit(core.at_most) {
            (core.at_most, core.less) = limit;
        }
        match self {
            Self::Answer(entry) => {
                let (purpose, relation) = answer(entry)?;
                core.set_relation(&purpose, &relation);
                core.told_version = core.told_version.max(entry.notice_version);
            }
            Self::NotThis(_, names) => {
                for name in names.iter().filter(|name| !core.turned_down.contains(name)).cloned().collect::<Vec<_>>() {
                    core.turned_down.push(name);
                }
            }
            Self::LeaveMeAlone(_) => core.restrained = true,
            Self::Less(..) | Self::LessBy(..) | Self::UndoLess(_) | Self::Restore(..) => {}
        }
        core.consent_seq = core.consent_seq.saturating_add(1);
        Ok(())
    }

    /// The same in memory, for what is on the urgent log only.
    pub(crate) fn hold(&self, person: &mut Person) {
        let mut wishes = Wishes::clone(&person.wishes);
        if let Some(limit) = self.limit(person.reach.at_most) {
            (person.reach.at_most, person.reach.less) = limit;
        }
        match self {
            Self::Answer(entry) => {
                if let Ok((purpose, relation)) = answer(entry) {
                    wishes.standing.relations.insert(purpose, relation);
                    wishes.standing.told_version = wishes.standing.told_version.max(entry.notice_version);
                }
            }
            Self::LeaveMeAlone(_) => wishes.standing.restrained = true,
            Self::NotThis(..) | Self::Less(..) | Self::LessBy(..) | Self::UndoLess(_) | Self::Restore(..) => {}
        }
        wishes.seq = wishes.seq.saturating_add(1);
        person.wishes = Arc::new(wishes);
    }
}

/// Whether a person's wishes are as they were seen: the sequence in force, and the one that was read.
pub(crate) const fn look(now: Option<u64>, seen: u64) -> Result<(), RefusalReason> {
    match now {
        None => Err(RefusalReason::NoSuchPerson),
        Some(now) if now != seen => Err(RefusalReason::ChangedMeanwhile),
        Some(_) => Ok(()),
    }
}

/// A ledger entry as the relation it makes.
pub(crate) fn answer(entry: &LedgerForm) -> Result<(PurposeName, Relation), VaultError> {
    let purpose = PurposeName::parse(&entry.purpose).map_err(|_| format::damaged("ledger", "not a purpose"))?;
    let relation = Relation {
        status: format::status_of(entry.status)?,
        notice_version: entry.notice_version,
        at: At::from_ms(entry.answered_at.min(entry.at)),
        level: entry.level.clone(),
    };
    Ok((purpose, relation))
}
