//! Starting and pausing a campaign: one house record, written on behalf of a member of staff who stands in the log. Who may
//! be addressed is not decided here; an audience that is too small is refused before the record is written.

use crate::records::{CampaignState, State};
use crate::{DecideError, house};
use model::CampaignName;
use promise::{Artefact, ArtefactKind, CampaignPlan, Promise};
use std::fmt;
use vault::{StaffAct, Vault};

/// What staff wants of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Decide and send; a run that was paused or refused goes on where it stood, so that nobody is written to twice.
    Start,
    /// Decide and send nothing for now, also of what waits in the outbox.
    Pause,
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Pause => "pause",
        })
    }
}

/// A campaign with its artefact, by its declared name.
#[must_use]
pub fn find<'p>(promise: &'p Promise, name: &CampaignName) -> Option<(&'p CampaignPlan, &'p Artefact)> {
    Some((promise.campaigns.get(name)?, promise.artefact(ArtefactKind::Campaign, name.as_str())?))
}

/// Does what staff wants, and writes down who wanted it.
///
/// # Errors
/// [`DecideError::Refused`] when the campaign is unknown, was not reviewed or its audience is below the smallest group; a
/// vault that cannot be written.
pub fn order(
    vault: &Vault,
    promise: &Promise,
    name: &CampaignName,
    wish: Wish,
    staff: &str,
) -> Result<CampaignState, DecideError> {
    let refused = |refusal| DecideError::Refused { campaign: name.to_string(), refusal };
    let unknown = || refused(promise::Refusal::because(promise::RefusalReason::UnknownArtefact));
    let (plan, artefact) = find(promise, name).ok_or_else(unknown)?;
    let snapshot = vault.snapshot();
    if wish == Wish::Start {
        let audience = snapshot.permit_set(artefact.id).and_then(|everybody| everybody.within(&plan.to));
        audience.and_then(vault::PermitSet::at_least_the_smallest_group).map_err(refused)?;
    }
    let before = house::campaign(&snapshot, name)?;
    let run = before.as_ref().map_or(0, |state| state.run);
    let goes_on = before.as_ref().is_some_and(|state| state.state != State::Stopped);
    let (to, act) = match wish {
        Wish::Start => (State::Running, "started_campaign"),
        Wish::Pause => (State::Paused, "paused_campaign"),
    };
    let next = CampaignState {
        state: to,
        run: if goes_on { run } else { run + u32::from(wish == Wish::Start) },
        started_at: before.filter(|_| goes_on).map_or(vault.now().ms(), |state| state.started_at),
        by: staff.to_owned(),
        refused_for: None,
    };
    house::put(vault, &house::campaign_record(name), &next)?;
    let act = StaffAct { staff: staff.to_owned(), act, person: None, reason: name.to_string(), at: vault.now() };
    vault.staff_act(act)?.wait()?;
    Ok(next)
}
