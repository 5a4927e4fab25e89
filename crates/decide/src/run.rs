//! A campaign's run: everybody in the audience who has no decision of this run yet gets one, a bounded number per step.
//!
//! A *look* goes once through the audience, and again on another day or when the audience has another size: each look is
//! a reading that people's portals show. Who is decided stays decided, unless the message was refused before it left; who
//! is refused for now (cap, no address, nothing fits) is asked again the next day. Every refusal is counted with its
//! reason in `run/<name>`. An audience below the smallest group, or a campaign that nobody reviewed, is refused before
//! anybody is asked anything. Counts taken while it was too small are no reason to refuse anybody: a look waits until they
//! are taken anew.

use crate::DecideError;
use crate::choose::Shelf;
use crate::decide::{Question, decide};
use crate::house::{self, Stock};
use crate::records::{CampaignState, RunState};
use model::{At, CampaignName, Day, DecisionId, ProfileId, Rng};
use promise::{ArtefactKind, CampaignPlan, ChannelKind, Refusal, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};
use vault::{NewDecision, Pending, PermitSet, Snapshot, Vault, VaultError};

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// People asked about.
    pub n_asked: usize,
    /// Decisions recorded, left-alone ones included.
    pub n_decided: usize,
    /// People of running campaigns who still wait for their turn.
    pub n_left: usize,
}

/// Remembers where each running campaign stands. Lost without harm: what was decided stands in the vault.
#[derive(Debug, Default)]
pub struct Runs {
    runs: BTreeMap<CampaignName, Look>,
}

/// One way through an audience.
#[derive(Debug)]
struct Look {
    run: u32,
    day: Day,
    /// Not asked yet in this look, last first.
    waiting: Vec<ProfileId>,
    decided: BTreeSet<ProfileId>,
    /// Asked today, without a decision.
    refused: BTreeSet<ProfileId>,
    outcomes: BTreeMap<String, u64>,
    /// Size of the audience when it was last gone through; `None` = to be gone through.
    seen: Option<u64>,
}

impl Look {
    fn new(run: u32, day: Day) -> Self {
        Self {
            run,
            day,
            waiting: Vec::new(),
            decided: BTreeSet::new(),
            refused: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            seen: None,
        }
    }

    fn count(&mut self, word: &str) {
        *self.outcomes.entry(word.to_owned()).or_default() += 1;
    }

    fn refuse(&mut self, person: ProfileId, refusal: &Refusal) {
        match refusal.reason {
            RefusalReason::AlreadyDecided => drop(self.decided.insert(person)),
            // Asked again at once, with the new wishes.
            RefusalReason::ChangedMeanwhile => self.seen = None,
            reason => {
                self.refused.insert(person);
                self.count(reason.as_str());
            }
        }
    }
}

impl Runs {
    /// Nobody asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides for at most `budget` people over all running campaigns that write mail.
    ///
    /// # Errors
    /// [`DecideError`]; what was decided before it stays decided.
    pub fn step(&mut self, vault: &Vault, rng: &dyn Rng, budget: usize) -> Result<Progress, DecideError> {
        let snapshot = vault.snapshot();
        let mut progress = Progress::default();
        house::forget_old_looks(vault, &snapshot)?;
        for campaign in snapshot.promise().campaigns.values() {
            let Some(state) = house::running(&snapshot, &campaign.name)? else {
                self.runs.remove(&campaign.name);
                continue;
            };
            let left = budget.saturating_sub(progress.n_asked);
            let done = self.campaign(vault, &snapshot, campaign, state, rng, left)?;
            progress.n_asked += done.n_asked;
            progress.n_decided += done.n_decided;
            progress.n_left += done.n_left;
        }
        Ok(progress)
    }

    fn campaign(
        &mut self,
        vault: &Vault,
        snapshot: &Snapshot,
        campaign: &CampaignPlan,
        state: CampaignState,
        rng: &dyn Rng,
        budget: usize,
    ) -> Result<Progress, DecideError> {
        let now = snapshot.now();
        let look = self.runs.entry(campaign.name.clone()).or_insert_with(|| Look::new(state.run, now.day()));
        if look.run != state.run {
            *look = Look::new(state.run, now.day());
        }
        if look.waiting.is_empty() {
            match look.begin(vault, snapshot, campaign)? {
                Begun::Look => {}
                Begun::Nobody => return Ok(Progress::default()),
                Begun::Uncounted(n_left) => return Ok(Progress { n_left, ..Progress::default() }),
            }
        }
        if !campaign.by.contains(&ChannelKind::Email) {
            look.waiting.clear();
            return Ok(Progress::default());
        }
        let stock = Stock::read(snapshot, campaign)?.unwrap_or_default();
        let mut progress = Progress::default();
        let mut submitted: Vec<Submitted> = Vec::new();
        while progress.n_asked < budget
            && let Some(person) = look.waiting.pop()
        {
            progress.n_asked += 1;
            match ask(snapshot, campaign, &stock, person, look.run, rng) {
                Ok(None) => drop(look.decided.insert(person)),
                Err(refusal) => look.refuse(person, &refusal),
                Ok(Some(decision)) => match vault.decide(decision) {
                    Ok(pending) => submitted.push((person, pending)),
                    Err(VaultError::Busy) => {
                        look.waiting.push(person);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        for (person, pending) in submitted {
            match pending.wait()? {
                Ok(_) => {
                    look.decided.insert(person);
                    progress.n_decided += 1;
                }
                Err(refusal) => look.refuse(person, &refusal),
            }
        }
        progress.n_left = look.waiting.len();
        if look.waiting.is_empty() && progress.n_asked > 0 {
            look.end(vault, campaign, now)?;
        }
        metrics::counter!("fineline_decide_decisions_total").increment(progress.n_decided as u64);
        Ok(progress)
    }
}

type Submitted = (ProfileId, Pending<Result<DecisionId, Refusal>>);

/// Whether there is somebody to ask.
enum Begun {
    /// These wait for their turn.
    Look,
    /// Nobody now.
    Nobody,
    /// So many, once it is known how many of them share what.
    Uncounted(usize),
}

impl Look {
    /// Begins a look when it is time for one.
    fn begin(&mut self, vault: &Vault, snapshot: &Snapshot, campaign: &CampaignPlan) -> Result<Begun, DecideError> {
        let now = snapshot.now();
        if self.day != now.day() {
            self.day = now.day();
            self.seen = None;
            // Also who was decided: a message may have been refused since, because it no longer held.
            self.decided.clear();
            self.refused.clear();
            self.outcomes.clear();
        }
        let artefact = snapshot.promise().artefact(ArtefactKind::Campaign, campaign.name.as_str());
        let audience = artefact
            .ok_or(Refusal::because(RefusalReason::UnknownArtefact))
            .and_then(|artefact| snapshot.permit_set(artefact.id))
            .and_then(|set| set.within(&campaign.to))
            .and_then(PermitSet::at_least_the_smallest_group);
        let audience = match audience {
            Ok(audience) => audience,
            Err(refusal) => {
                tracing::warn!(campaign = %campaign.name, reason = refusal.reason.as_str(), "campaign refused");
                house::refuse(vault, &campaign.name, &refusal)?;
                return Ok(Begun::Nobody);
            }
        };
        if self.seen.is_some() && self.seen == audience.count() {
            return Ok(Begun::Nobody);
        }
        let n_counted = Stock::read(snapshot, campaign)?.map_or(0, |stock| stock.combination.n_people);
        if n_counted < snapshot.promise().guard.smallest_group {
            return Ok(Begun::Uncounted(audience.count().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)));
        }
        self.seen = audience.count();
        let open = |person: &ProfileId| !self.decided.contains(person) && !self.refused.contains(person);
        self.waiting = audience.people().filter(open).collect();
        self.waiting.reverse();
        Ok(if self.waiting.is_empty() { Begun::Nobody } else { Begun::Look })
    }

    fn end(&self, vault: &Vault, campaign: &CampaignPlan, now: At) -> Result<(), DecideError> {
        let state = RunState {
            run: self.run,
            looked_at: now.ms(),
            n_decided: self.decided.len() as u64,
            outcomes: self.outcomes.clone(),
        };
        house::put(vault, &house::run_record(&campaign.name), &state)
    }
}

/// Decides for one person of an audience; `None` when this run has decided already.
fn ask(
    snapshot: &Snapshot,
    campaign: &CampaignPlan,
    stock: &Stock,
    person: ProfileId,
    run: u32,
    rng: &dyn Rng,
) -> Result<Option<NewDecision>, Refusal> {
    let place = Place { channel: ChannelKind::Email, placement: None };
    match prepare(snapshot, campaign, stock, person, run, place, rng)? {
        Prepared::Decided(_) => Ok(None),
        Prepared::New(decision) => Ok(Some(*decision)),
    }
}

/// Where an offer would stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub channel: ChannelKind,
    pub placement: Option<&'a str>,
}

/// A decision of this run that stands, or one to submit.
pub(crate) enum Prepared {
    Decided(DecisionId),
    New(Box<NewDecision>),
}

/// Reads one person through a permit of the campaign and decides, without writing anything.
pub(crate) fn prepare(
    snapshot: &Snapshot,
    campaign: &CampaignPlan,
    stock: &Stock,
    person: ProfileId,
    run: u32,
    place: Place<'_>,
    rng: &dyn Rng,
) -> Result<Prepared, Refusal> {
    let promise = snapshot.promise();
    let artefact = promise.artefact(ArtefactKind::Campaign, campaign.name.as_str());
    let artefact = artefact.ok_or(Refusal::because(RefusalReason::UnknownArtefact))?;
    let permit = snapshot.permit(person, artefact.id)?;
    // A mail goes out once per run, also to somebody who has seen the offer on a page. A page shows what stands already, as
    // long as it holds.
    let standing = permit.decided(run, place.channel);
    let decided = match place.channel {
        ChannelKind::Email => standing,
        ChannelKind::Page => {
            let known = permit.decided(run, ChannelKind::Email).into_iter().chain(standing);
            known.into_iter().find(|id| permit.still_holds(*id).is_ok())
        }
    };
    if let Some(id) = decided {
        return Ok(Prepared::Decided(id));
    }
    let catalogue = |code: &model::ItemCode| snapshot.item(code);
    let question = Question {
        promise,
        campaign,
        artefact,
        person,
        channel: place.channel,
        placement: place.placement,
        now: snapshot.now(),
        shelf: Shelf {
            catalogue: &catalogue,
            popular: &stock.popular,
            combination: &stock.combination,
            floor: promise.guard.smallest_group,
        },
    };
    let choice = decide(&question, &permit).map_err(|declined| declined.refusal)?;
    Ok(Prepared::New(Box::new(NewDecision {
        id: DecisionId::new(snapshot.now(), rng),
        person,
        artefact: artefact.id,
        campaign: campaign.name.clone(),
        consent_seq: permit.consent_seq(),
        offer: choice.offer,
        item: choice.item,
        held_out: choice.held_out,
        channel: place.channel,
        send_at: choice.send_at,
        run,
        replaces: standing,
        trace: choice.trace,
    })))
}
