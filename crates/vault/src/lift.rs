//! A campaign in numbers: its decisions of everybody, and what they bought afterwards, counted. Only numbers leave.
//!
//! No permit is asked for each person: a measurement that left out whoever took their yes back would praise the campaign
//! that drives people away, and could not count them. Whom it was read of is written down like any set-wise read.

use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, DecisionForm, MessageState};
use crate::house::House;
use crate::permit::DECISIONS;
use crate::person::{self, Open};
use crate::record::CampaignNumbers;
use crate::retention;
use crate::seal::RecordKind;
use crate::snapshot::Snapshot;
use model::{At, CampaignName, EventName, ProfileId};
use promise::{Artefact, Refusal, RefusalReason};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

pub(crate) fn numbers(snapshot: &Snapshot, artefact: &Artefact) -> Result<CampaignNumbers, Refusal> {
    let unknown = || Refusal::because(RefusalReason::UnknownArtefact);
    let name = CampaignName::parse(&artefact.name).map_err(|_| unknown())?;
    let plan = snapshot.promise().campaigns.get(&name).ok_or_else(unknown)?;
    let slot = snapshot.house.unwritten.set_place().ok_or(Refusal::because(RefusalReason::NotCounted))?;
    let mut numbers = CampaignNumbers::default();
    let mut read: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
    for id in snapshot.house.people() {
        let before = numbers.n_goals;
        match count_person(snapshot, &id, &name, &plan.goal, &mut numbers) {
            Ok(None) => {}
            Ok(Some(number)) => {
                read.entry(DECISIONS.to_owned()).or_default().insert(number);
                if numbers.n_goals != before {
                    read.entry(plan.goal.0.as_str().to_owned()).or_default().insert(number);
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a profile could not be counted");
            }
        }
    }
    snapshot.leave_run(&slot, artefact, read);
    Ok(numbers)
}

/// Counts one person; the house number of whoever was decided about.
fn count_person(
    snapshot: &Snapshot,
    id: &ProfileId,
    campaign: &CampaignName,
    goal: &(EventName, i32),
    numbers: &mut CampaignNumbers,
) -> Result<Option<u32>, VaultError> {
    let (house, store): (&House, _) = (&snapshot.house, snapshot.store());
    let Some(open) = Open::load(house, store, id)? else { return Ok(None) };
    if open.core.decided.iter().all(|decided| decided.campaign != campaign.as_str()) {
        return Ok(None);
    }
    let mut first: Option<DecisionForm> = None;
    // Of decisions that took each other's place only the last one counts.
    let mut last: BTreeMap<(u32, u8), DecisionForm> = BTreeMap::new();
    for row in store.scan(Keyspace::Decisions, id.as_bytes()) {
        let (key, sealed) = row?;
        let plain = open.open_own(house, RecordKind::Decision, person::tail(&key), &sealed)?;
        let decision: DecisionForm = format::decode("decisions", &plain)?;
        let is_over = decision.at < retention::oldest_decision(snapshot.now()).ms();
        if decision.campaign != campaign.as_str() || is_over {
            continue;
        }
        if decision.reduced {
            add(&mut numbers.n_reduced);
        }
        last.insert((decision.run, decision.channel), decision.clone());
        if first.as_ref().is_none_or(|first| decision.at < first.at) {
            first = Some(decision);
        }
    }
    last.values().try_for_each(|decision| count_decision(decision, snapshot.now(), numbers))?;
    let Some(first) = first else { return Ok(None) };
    let arm = usize::from(first.held_out);
    add(if first.held_out { &mut numbers.n_held_out } else { &mut numbers.n_treated });
    let n_goals = count_goals(snapshot, &open, goal, At::from_ms(first.at))?;
    if let Some(total) = numbers.n_goals.get_mut(arm) {
        *total = total.saturating_add(n_goals);
    }
    if let Some(buyers) = numbers.n_buyers.get_mut(arm).filter(|_| n_goals > 0) {
        add(buyers);
    }
    Ok(Some(open.core.number))
}

fn count_decision(decision: &DecisionForm, now: At, numbers: &mut CampaignNumbers) -> Result<(), VaultError> {
    if !decision.held_out {
        let basis = decision.trace.basis()?.as_str();
        add(numbers.basis.entry(basis.to_owned()).or_default());
    }
    let Some(message) = &decision.message else { return Ok(()) };
    // What the decision itself waits for stands in its trace, until then.
    let waits_for = if message.due_at > now.ms() { decision.trace.waits_for()? } else { None };
    let why = || message.why.clone().unwrap_or_else(|| waits_for.map_or("due", RefusalReason::as_str).to_owned());
    match message.state {
        MessageState::Sent => add(&mut numbers.n_sent),
        MessageState::Waiting | MessageState::Trying => add(numbers.waiting.entry(why()).or_default()),
        MessageState::Refused | MessageState::Failed => add(numbers.refused.entry(why()).or_default()),
    }
    Ok(())
}

fn count_goals(snapshot: &Snapshot, open: &Open, goal: &(EventName, i32), since: At) -> Result<u64, VaultError> {
    let until = since.plus_days(goal.1);
    let mut n_goals = 0u64;
    for row in snapshot.store().scan_back(Keyspace::Events, open.id.as_bytes()) {
        let (key, value) = row?;
        let occurred_at = person::occurred_at(&key);
        if occurred_at.is_some_and(|at| at < since) {
            break;
        }
        let Some(stored) = open.open_event(&snapshot.house, &key, &value)? else { continue };
        let counts = stored.event.name == goal.0 && stored.event.occurred_at < until;
        if counts && snapshot.house.event_expires_at(&open.core, &stored) > snapshot.now() {
            n_goals = n_goals.saturating_add(1);
        }
    }
    Ok(n_goals)
}

fn add(n: &mut u64) {
    *n = n.saturating_add(1);
}
