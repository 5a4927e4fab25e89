//! Starting, pausing and stopping a campaign: one house record, written on behalf of a member of staff who stands in the
//! log. Who may be addressed is not decided here; an audience that is too small is refused before the record is written.

use anyhow::Context;
use decide::records::{CampaignState, State};
use model::CampaignName;
use promise::{Artefact, ArtefactKind, CampaignPlan, Promise};
use std::fmt;
use vault::{StaffAct, Vault};

/// What staff wants of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Decide and send; a paused run goes on, otherwise a new one begins.
    Start,
    /// Decide and send nothing for now.
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

/// How a campaign stands; `None` = never started.
///
/// # Errors
/// A vault that cannot be read.
pub fn state(vault: &Vault, name: &CampaignName) -> anyhow::Result<Option<CampaignState>> {
    let bytes = vault.snapshot().house_record(&record(name))?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).context("reading the campaign's state")).transpose()
}

fn record(name: &CampaignName) -> String {
    format!("campaign/{name}")
}

/// Does what staff wants, and writes down who wanted it.
///
/// # Errors
/// The refusal when the campaign was not reviewed or its audience is below the smallest group; a vault that cannot be
/// written.
pub fn order(
    vault: &Vault,
    promise: &Promise,
    name: &CampaignName,
    wish: Wish,
    staff: &str,
) -> anyhow::Result<CampaignState> {
    let (plan, artefact) = find(promise, name).with_context(|| format!("no [campaign.{name}] is declared"))?;
    if wish == Wish::Start {
        vault.snapshot().permit_set(artefact.id)?.within(&plan.to)?.at_least_the_smallest_group()?;
    }
    let before = state(vault, name)?;
    let run = before.as_ref().map_or(0, |state| state.run);
    let goes_on = before.as_ref().is_some_and(|state| matches!(state.state, State::Running | State::Paused));
    let next = CampaignState {
        state: match wish {
            Wish::Start => State::Running,
            Wish::Pause => State::Paused,
        },
        run: if goes_on { run } else { run + u32::from(wish == Wish::Start) },
        started_at: before.filter(|_| goes_on).map_or(vault.now().ms(), |state| state.started_at),
        by: staff.to_owned(),
    };
    vault.put_house_record(&record(name), Some(serde_json::to_vec(&next)?))?.wait()?;
    let act = match wish {
        Wish::Start => "started_campaign",
        Wish::Pause => "paused_campaign",
    };
    let act = StaffAct { staff: staff.to_owned(), act, person: None, reason: name.to_string(), at: vault.now() };
    vault.staff_act(act)?.wait()?;
    Ok(next)
}
