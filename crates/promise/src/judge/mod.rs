//! The pure verdict: may this artefact read about this person, and may it read this fact. Opens nothing.

use crate::artefact::Artefact;
use crate::declaration::{Basis, EventPlan, Fate, Field, Promise};
use crate::leaving::Hold;
use model::{At, Class, ConsentStatus, Fact, Provenance, PurposeName, Trust, Value};
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
    /// Their latest own act, as far as it is known.
    pub last_act: Option<At>,
    /// When they said that they leave.
    pub left_at: Option<At>,
    /// What they chose for the time after leaving.
    pub fate: Option<Fate>,
    /// What must not be deleted yet.
    pub holds: Vec<Hold>,
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
    /// There was a yes, but it is no longer valid: ended by us, outlived, or found not to have been one.
    AnswerLapsed,
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
    /// What was decided rests on something that is no longer so.
    NoLongerSo,
    /// Staff paused the campaign, or it ended.
    Paused,
    /// So many reads wait to be written down that one more could not be.
    NotCounted,
    /// Kept for a hold alone: it serves nothing else.
    Held,
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
            Self::AnswerLapsed => "answer_lapsed",
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
            Self::NoLongerSo => "no_longer_so",
            Self::Paused => "paused",
            Self::NotCounted => "not_counted",
            Self::Held => "held",
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
    if standing.erased || promise.is_gone(standing, now) {
        return Verdict::No(Refusal::because(RefusalReason::NoSuchPerson));
    }
    // Somebody who asked to be left alone still has to be told that their data was taken.
    if artefact.is_portal() || artefact.is_breach_notice() {
        return Verdict::Yes { level: None };
    }
    if standing.restrained {
        return Verdict::No(Refusal::because(RefusalReason::Restrained));
    }
    if artefact.is_desk() {
        return Verdict::Yes { level: None };
    }
    if standing.all_held_until(now).is_some() {
        return Verdict::No(Refusal::because(RefusalReason::Held));
    }
    if artefact.is_reminder() {
        return Verdict::Yes { level: None };
    }
    let mut refusal = None;
    for purpose in artefact.terms.purposes() {
        match promise.in_force(purpose, standing, now) {
            Ok(level) => return Verdict::Yes { level: level.map(str::to_owned) },
            Err(no) => refusal = refusal.or(Some(no)),
        }
    }
    Verdict::No(refusal.unwrap_or(Refusal::because(RefusalReason::UnknownArtefact)))
}

/// May it read this fact? Asked after [`judge`] said yes; asks it again, so that the order of calls opens nothing.
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
    if let Verdict::No(refusal) = judge(promise, artefact, standing, now) {
        return Err(refusal);
    }
    let no = |reason| Err(Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None });
    if fact.class >= Class::Never {
        return no(RefusalReason::Guarded);
    }
    if now >= fact.expires_at {
        return no(RefusalReason::Expired);
    }
    if artefact.is_portal() {
        return Ok(());
    }
    if !artefact.terms.reads.contains(fact.name.as_str()) {
        return no(RefusalReason::NotInTerms);
    }
    if fact.class >= Class::Sensitive {
        return no(RefusalReason::Guarded);
    }
    if !artefact.is_desk() && rests_on(fact).any(|name| standing.held_until(name, now).is_some()) {
        return no(RefusalReason::Held);
    }
    let told = fact.told_at.is_some_and(|told_at| told_at <= now);
    if !told || fact.notice_version > promise.binding_notice(now) {
        return no(RefusalReason::NotTold);
    }
    if artefact.is_desk() || artefact.is_breach_notice() || artefact.is_reminder() {
        return Ok(());
    }
    let declared = promise.fact_purposes(&fact.name).unwrap_or(&[]);
    let mut refusal = None;
    for purpose in artefact.terms.purposes() {
        let reason = match promise.in_force(purpose, standing, now) {
            Err(_) => continue,
            Ok(_) if !fact.purposes.contains(purpose) || !declared.contains(purpose) => RefusalReason::OtherPurpose,
            Ok(level) if !within_level(promise, purpose, level, fact) => RefusalReason::AboveLevel,
            Ok(_) => return Ok(()),
        };
        let line = promise.line("purpose", purpose.as_str());
        refusal = refusal.or(Some(Refusal { reason, purpose: Some(purpose.clone()), line }));
    }
    Err(refusal.unwrap_or(Refusal::because(RefusalReason::OtherPurpose)))
}

/// A fact tells what it is called, what it rests on, and, when it is a ranking of items, items.
fn within_level(promise: &Promise, purpose: &PurposeName, level: Option<&str>, fact: &Fact) -> bool {
    let Some(purpose) = promise.purposes.get(purpose) else { return false };
    let items = matches!(fact.value, Value::Ranking(_)).then_some("item");
    rests_on(fact).chain(items).all(|name| purpose.level_allows(level, name))
}

/// What a fact is called, and what it rests on.
fn rests_on(fact: &Fact) -> impl Iterator<Item = &str> {
    let ancestors: &[String] = match &fact.provenance {
        Provenance::Derived { ancestors } | Provenance::Inferred { ancestors } => ancestors,
        Provenance::Provided { .. } | Provenance::Observed { .. } | Provenance::ThirdParty { .. } => &[],
    };
    std::iter::once(fact.name.as_str()).chain(ancestors.iter().map(String::as_str))
}

impl Promise {
    /// Whether a purpose is in force for a person: the chosen level (`None` = the fullest), or why not.
    ///
    /// # Errors
    /// The refusal, with the line of the purpose.
    pub fn in_force<'s>(
        &self,
        purpose: &PurposeName,
        standing: &'s Standing,
        now: At,
    ) -> Result<Option<&'s str>, Refusal> {
        let no = |reason| {
            let line = self.line("purpose", purpose.as_str());
            Err(Refusal { reason, purpose: Some(purpose.clone()), line })
        };
        if standing.erased || self.is_gone(standing, now) {
            return no(RefusalReason::NoSuchPerson);
        }
        if standing.restrained {
            return no(RefusalReason::Restrained);
        }
        if standing.all_held_until(now).is_some() {
            return no(RefusalReason::Held);
        }
        let Some(declared) = self.purposes.get(purpose) else { return no(RefusalReason::UnknownArtefact) };
        let relation = standing.relations.get(purpose);
        match (declared.basis, relation) {
            (Basis::Contract, Some(relation)) if relation.status.is_given() => Ok(None),
            (Basis::Contract, _) => no(RefusalReason::NoContract),
            (Basis::Consent, None) => no(RefusalReason::NeverAsked),
            (Basis::Consent, Some(relation)) => match relation.status {
                ConsentStatus::Given if self.lapses_at(purpose, standing).is_some_and(|at| at <= now) => {
                    no(RefusalReason::AnswerLapsed)
                }
                ConsentStatus::Given => {
                    let covers = declared.since_notice..=self.binding_notice(now);
                    let told = standing.told_version >= declared.since_notice;
                    if told && covers.contains(&relation.notice_version) && relation.at <= now {
                        Ok(relation.level.as_deref())
                    } else {
                        no(RefusalReason::NotTold)
                    }
                }
                ConsentStatus::Unknown | ConsentStatus::Requested | ConsentStatus::Deferred => {
                    no(RefusalReason::NeverAsked)
                }
                ConsentStatus::Refused => no(RefusalReason::SaidNo),
                ConsentStatus::Withdrawn => no(RefusalReason::Withdrawn),
                ConsentStatus::Revoked | ConsentStatus::Expired | ConsentStatus::Invalidated => {
                    no(RefusalReason::AnswerLapsed)
                }
            },
        }
    }

    /// Whether an event property may be read at the person's level of a purpose.
    #[must_use]
    pub fn may_see_property(&self, purpose: &PurposeName, level: Option<&str>, property: &str) -> bool {
        self.purposes.get(purpose).is_some_and(|purpose| purpose.level_allows(level, property))
    }

    /// The declared purposes under which an event may be stored for this person, or why it is not stored at all.
    ///
    /// A consent purpose counts only by the ledger; a contract purpose only from the company's server or a mapping.
    ///
    /// # Errors
    /// The refusal of the first purpose, with its promise line: nothing may be stored.
    pub fn intake_purposes(
        &self,
        event: &EventPlan,
        trust: Trust,
        standing: &Standing,
        now: At,
    ) -> Result<Vec<PurposeName>, Refusal> {
        self.intake(&event.retention.purposes, trust, standing, now)
    }

    /// The same for a field that somebody gives.
    ///
    /// # Errors
    /// As [`Promise::intake_purposes`].
    pub fn intake_field_purposes(
        &self,
        field: &Field,
        trust: Trust,
        standing: &Standing,
        now: At,
    ) -> Result<Vec<PurposeName>, Refusal> {
        self.intake(&field.retention.purposes, trust, standing, now)
    }

    fn intake(
        &self,
        purposes: &[PurposeName],
        trust: Trust,
        standing: &Standing,
        now: At,
    ) -> Result<Vec<PurposeName>, Refusal> {
        let mut in_force = Vec::new();
        let mut refusal = None;
        for purpose in purposes {
            match self.intake_purpose(purpose, trust, standing, now) {
                Ok(()) => in_force.push(purpose.clone()),
                // "They said no" tells more than "no contract", so a later refusal about consent wins.
                Err(no) if refusal.is_none() || no.reason != RefusalReason::NoContract => refusal = Some(no),
                Err(_) => {}
            }
        }
        match refusal {
            Some(no) if in_force.is_empty() => Err(no),
            None if in_force.is_empty() => Err(Refusal::because(RefusalReason::OtherPurpose)),
            _ => Ok(in_force),
        }
    }

    fn intake_purpose(&self, purpose: &PurposeName, trust: Trust, standing: &Standing, now: At) -> Result<(), Refusal> {
        let basis = self.purposes.get(purpose).map(|purpose| purpose.basis);
        let trusted = matches!(trust, Trust::Server | Trust::Import);
        let line = || self.line("purpose", purpose.as_str());
        let no = |reason| Err(Refusal { reason, purpose: Some(purpose.clone()), line: line() });
        match basis {
            _ if standing.erased || self.is_gone(standing, now) => no(RefusalReason::NoSuchPerson),
            _ if standing.restrained => no(RefusalReason::Restrained),
            // The order itself is what makes the contract, so no earlier relation is asked for.
            Some(Basis::Contract) if trusted => Ok(()),
            Some(Basis::Contract) => no(RefusalReason::NoContract),
            Some(Basis::Consent) | None => self.in_force(purpose, standing, now).map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests;
