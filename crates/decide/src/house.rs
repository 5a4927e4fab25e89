//! What a decision needs of the house rather than of a person: is the campaign running, what do many buy, how many share
//! what. Read from house records.

use crate::DecideError;
use crate::records::{CampaignState, Combination, POPULAR, Popular, RunState, State};
use model::{At, CampaignName};
use promise::{ArtefactKind, CampaignPlan, Refusal};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use vault::{Snapshot, Vault};

/// How the people of a run stand, one record for each campaign.
const RUN: &str = "run/";

/// Records of runs, at most.
const RUNS_MAX: usize = 10_000;

/// Counts and codes behind the choice of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    /// How many people of the audience share what.
    pub combination: Combination,
    /// What many people buy.
    pub popular: Popular,
}

impl Stock {
    /// Reads what `understand` left for a campaign; `None` when it has not looked at its segment yet. Where no offer picks an
    /// item there is nothing for it to look at: only how many people there are matters.
    ///
    /// # Errors
    /// [`DecideError`] when a record cannot be read.
    pub fn read(snapshot: &Snapshot, campaign: &CampaignPlan) -> Result<Option<Self>, DecideError> {
        if !campaign.offers_in(snapshot.promise()).any(|offer| offer.picks_item) {
            let artefact = snapshot.promise().artefact(ArtefactKind::Campaign, campaign.name.as_str());
            let audience =
                artefact.and_then(|artefact| snapshot.permit_set(artefact.id).ok()?.within(&campaign.to).ok());
            let n_people = audience.and_then(|audience| audience.count()).unwrap_or(0);
            let n_people = u32::try_from(n_people).unwrap_or(u32::MAX);
            return Ok(Some(Self {
                combination: Combination { n_people, ..Combination::default() },
                ..Self::default()
            }));
        }
        let Some(combination) = record(snapshot, &Combination::name(&campaign.to))? else { return Ok(None) };
        let popular = record(snapshot, POPULAR)?.unwrap_or_default();
        Ok(Some(Self { combination, popular }))
    }
}

/// How a campaign stands; `None` = never started.
///
/// # Errors
/// [`DecideError`] when the record cannot be read.
pub fn campaign(snapshot: &Snapshot, campaign: &CampaignName) -> Result<Option<CampaignState>, DecideError> {
    record(snapshot, &campaign_record(campaign))
}

/// The state of a campaign, when it runs.
///
/// # Errors
/// [`DecideError`] when the record cannot be read.
pub fn running(snapshot: &Snapshot, name: &CampaignName) -> Result<Option<CampaignState>, DecideError> {
    Ok(campaign(snapshot, name)?.filter(|state| state.state == State::Running))
}

/// Why there is no decision, and for how many people, at the latest look of a campaign's present run. Counts are as they
/// are: whoever tells them keeps to the smallest group.
///
/// # Errors
/// [`DecideError`] when a record cannot be read.
pub fn refusals(snapshot: &Snapshot, name: &CampaignName) -> Result<BTreeMap<String, u64>, DecideError> {
    let Some(state) = campaign(snapshot, name)? else { return Ok(BTreeMap::new()) };
    let run: Option<RunState> = record(snapshot, &run_record(name))?;
    Ok(run.filter(|run| run.run == state.run).map(|run| run.outcomes).unwrap_or_default())
}

/// Lets a campaign rest whose audience is too small, say, until staff starts it again. What staff ordered meanwhile stays.
///
/// # Errors
/// [`DecideError`].
pub(crate) fn refuse(vault: &Vault, campaign: &CampaignName, refusal: &Refusal) -> Result<(), DecideError> {
    let Some(known) = running(&vault.snapshot(), campaign)? else { return Ok(()) };
    let refused_for = Some(refusal.reason.as_str().to_owned());
    put(vault, &campaign_record(campaign), &CampaignState { state: State::Refused, refused_for, ..known })
}

/// Takes away the counts of campaigns that do not run any more, the day after they were taken: nobody looks again, and
/// whoever was erased since would stay counted in them for ever.
///
/// # Errors
/// [`DecideError`] when a record cannot be read.
pub(crate) fn forget_old_looks(vault: &Vault, snapshot: &Snapshot) -> Result<(), DecideError> {
    for (name, bytes) in snapshot.house_records(RUN, RUNS_MAX)? {
        let campaign = name.strip_prefix(RUN).and_then(|name| CampaignName::parse(name).ok());
        let runs = match campaign {
            Some(campaign) => running(snapshot, &campaign)?.is_some(),
            None => false,
        };
        let look: RunState =
            serde_json::from_slice(&bytes).map_err(|source| DecideError::Record { name: name.clone(), source })?;
        if !runs && At::from_ms(look.looked_at).day() < snapshot.now().day() {
            vault.put_house_record(&name, None)?.wait()?;
        }
    }
    Ok(())
}

pub(crate) fn put(vault: &Vault, name: &str, value: &impl serde::Serialize) -> Result<(), DecideError> {
    let bytes = serde_json::to_vec(value).map_err(|source| DecideError::Record { name: name.to_owned(), source })?;
    vault.put_house_record(name, Some(bytes))?.wait()?;
    Ok(())
}

pub(crate) fn campaign_record(campaign: &CampaignName) -> String {
    CampaignState::record_name(campaign.as_str())
}

pub(crate) fn run_record(campaign: &CampaignName) -> String {
    format!("{RUN}{campaign}")
}

fn record<T: DeserializeOwned>(snapshot: &Snapshot, name: &str) -> Result<Option<T>, DecideError> {
    let read = |bytes: Vec<u8>| {
        serde_json::from_slice(&bytes).map_err(|source| DecideError::Record { name: name.to_owned(), source })
    };
    snapshot.house_record(name)?.map(read).transpose()
}
