//! The pure verdict: may this artefact read about this person, and may it read this fact. Opens nothing.

use crate::artefact::Artefact;
use crate::declaration::Promise;
use model::{At, ConsentStatus, Fact, PurposeName};
use std::collections::BTreeMap;

/// What is known about one person's wishes when a verdict is asked for.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Tombstoned: does not exist.
    pub erased: bool,
    /// "Leave me alone": nothing but what law requires.
    pub restrained: bool,
    /// State per purpose; absent = unknown.
    pub relations: BTreeMap<PurposeName, Relation>,
    /// Highest notice version that reached the person.
    pub told_version: u32,
}

/// How one person stands to one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// For a consent purpose: the answer. For a contract purpose: `Given` while the contract relation stands.
    pub status: ConsentStatus,
    /// Under which notice version.
    pub notice_version: u32,
    /// Since when.
    pub at: At,
    /// Chosen level; `None` = the fullest.
    pub level: Option<String>,
}

/// Why not. Each has a sentence, a question that would make it a yes, and where a promise decided, its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// The person was erased, or never was here.
    NoSuchPerson,
    /// The person said "leave me alone".
    Restrained,
    /// No review on record for this artefact.
    NotReviewed,
    /// Not a declared artefact.
    UnknownArtefact,
    /// The person was never asked.
    NeverAsked,
    /// The person said no.
    SaidNo,
    /// The person said yes and took it back.
    Withdrawn,
    /// No contract relation.
    NoContract,
    /// The notice that covers this has not reached the person, or is not in force yet.
    NotTold,
    /// The artefact's terms do not name this fact.
    NotInTerms,
    /// The fact is not for this purpose.
    OtherPurpose,
    /// Above the level the person chose.
    AboveLevel,
    /// Outlived.
    Expired,
    /// Guarded class.
    Guarded,
    /// Fewer people than the smallest group.
    GroupTooSmall,
    /// The cap is used up.
    CapReached,
    /// Inside quiet hours.
    QuietHours,
    /// In the group that is left alone to measure.
    HeldOut,
    /// No address to write to.
    NoAddress,
    /// The person turned this offer or item down.
    TurnedDown,
    /// Nothing fits.
    NothingFits,
    /// The person's wishes changed between deciding and acting.
    ChangedMeanwhile,
    /// Not a member of the segment.
    NotInSegment,
    /// A second message of the same campaign.
    AlreadyDecided,
    /// The address bounced or complained.
    Suppressed,
}

/// The verdict no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused: {}", .reason.as_str())]
pub struct Refusal {
    /// Why not.
    pub reason: RefusalReason,
    /// Which purpose decided, if one did.
    pub purpose: Option<PurposeName>,
    /// The promise line that decided, if one did.
    pub line: Option<u32>,
}

impl Refusal {
    /// A refusal that no promise line decided.
    #[must_use]
    pub const fn because(reason: RefusalReason) -> Self {
        Self { reason, purpose: None, line: None }
    }
}

impl RefusalReason {
    /// The word used in metrics, records and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSuchPerson => "no_such_person",
            Self::Restrained => "restrained",
            Self::NotReviewed => "not_reviewed",
            Self::UnknownArtefact => "unknown_artefact",
            Self::NeverAsked => "never_asked",
            Self::SaidNo => "said_no",
            Self::Withdrawn => "withdrawn",
            Self::NoContract => "no_contract",
            Self::NotTold => "not_told",
            Self::NotInTerms => "not_in_terms",
            Self::OtherPurpose => "other_purpose",
            Self::AboveLevel => "above_level",
            Self::Expired => "expired",
            Self::Guarded => "guarded",
            Self::GroupTooSmall => "group_too_small",
            Self::CapReached => "cap_reached",
            Self::QuietHours => "quiet_hours",
            Self::HeldOut => "held_out",
            Self::NoAddress => "no_address",
            Self::TurnedDown => "turned_down",
            Self::NothingFits => "nothing_fits",
            Self::ChangedMeanwhile => "changed_meanwhile",
            Self::NotInSegment => "not_in_segment",
            Self::AlreadyDecided => "already_decided",
            Self::Suppressed => "suppressed",
        }
    }
}

/// The answer about one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The artefact may read about this person, at this level (names of properties it may see; `None` = all its terms).
    Yes {
        /// Chosen level of the purpose.
        level: Option<String>,
    },
    /// It may not.
    No(Refusal),
}

/// May this artefact read about this person at all?
#[must_use]
pub fn judge(promise: &Promise, artefact: &Artefact, standing: &Standing, now: At) -> Verdict {
    let _ = (promise, artefact, standing, now);
    unimplemented!()
}

/// May it read this fact? Asked after [`judge`] said yes.
///
/// # Errors
/// The refusal.
pub fn judge_fact(
    promise: &Promise,
    artefact: &Artefact,
    standing: &Standing,
    fact: &Fact,
    now: At,
) -> Result<(), Refusal> {
    let _ = (promise, artefact, standing, fact, now);
    unimplemented!()
}
