//! From the vault's and the rooms' answers to what a page shows. Reads counts, rules and states; never a person.

use crate::chart;
use crate::page::{
    AlarmRow, CallRow, CampaignPage, CampaignRow, Frame, LiveRow, ReportView, ReviewRow, SegmentView, grouped, spoken,
    told,
};
use crate::state::State as Console;
use collect::live::LiveWord;
use decide::records::State;
use model::At;
use promise::{ArtefactKind, CampaignPlan, ChannelKind, SegmentPlan};
use understand::lift::{self, Count, Counts, ToldArm, Trial};
use vault::{CampaignNumbers, Snapshot, VaultError};

/// "17:32:08" of an instant, UTC.
fn time_of_day(at: At) -> String {
    at.timestamp().strftime("%H:%M:%S").to_string()
}

/// "2026-11-23 17:32" of an instant, UTC.
fn minute(at: At) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M").to_string()
}

pub(crate) fn live(state: &Console, limit: usize) -> Vec<LiveRow> {
    state
        .live
        .newest(limit)
        .into_iter()
        .map(|seen| LiveRow {
            at: time_of_day(seen.at),
            source: seen.source.to_string(),
            stanza: seen.stanza(),
            outcome: seen.word.as_str(),
            chip: match seen.word {
                LiveWord::Taken => "is-good",
                LiveWord::Refused => "is-warn",
                _ => "",
            },
            reason: seen.reason.map(spoken).unwrap_or_default(),
            line: seen.line,
            cut: seen.cut.iter().map(|cut| format!("{} ({})", cut.name, spoken(cut.reason.as_str()))).collect(),
            event: seen.event,
        })
        .collect()
}

pub(crate) fn segment(state: &Console, snapshot: &Snapshot, plan: &SegmentPlan) -> SegmentView {
    let says = |name: &str| {
        let of_trait = state.promise.traits.get(name).map(|plan| plan.says.clone());
        of_trait.or_else(|| state.promise.fields.get(name).map(|field| format!("from {}", field.from)))
    };
    let reads = plan.reads.iter().map(|name| (name.clone(), says(name).unwrap_or_default())).collect();
    let purpose = state.promise.purposes.get(&plan.purpose);
    let line = state.promise.lines.get(&("segment", plan.name.to_string())).copied();
    let mut view = SegmentView {
        name: plan.name.to_string(),
        purpose: plan.purpose.to_string(),
        purpose_says: purpose.map(|purpose| purpose.says.clone()).unwrap_or_default(),
        who: plan.who.clone(),
        reads,
        matching: String::new(),
        tellable: String::new(),
        hearing: String::new(),
        dropped: Vec::new(),
        line,
        floor: state.promise.guard.smallest_group,
        refused: None,
    };
    match snapshot.segment_count(&plan.name) {
        Ok(count) => {
            view.floor = count.floor;
            view.matching = told(count.matching, count.floor);
            view.tellable = told(count.tellable, count.floor);
            view.hearing = told(count.hearing, count.floor);
            view.dropped = count
                .dropped
                .iter()
                .map(|(reason, number)| (spoken(reason.as_str()), told(*number, count.floor)))
                .collect();
        }
        Err(refusal) => view.refused = Some(refusal.sentence()),
    }
    view
}

pub(crate) fn campaign_row(snapshot: &Snapshot, plan: &CampaignPlan) -> CampaignRow {
    let state = decide::house::campaign(snapshot, &plan.name).ok().flatten().map(|state| state.state);
    let reviewed = snapshot.artefacts().iter().any(|artefact| {
        artefact.kind == ArtefactKind::Campaign && artefact.name == plan.name.as_str() && artefact.is_effective
    });
    let by: Vec<&str> = plan
        .by
        .iter()
        .map(|channel| match channel {
            ChannelKind::Email => "e-mail",
            ChannelKind::Page => "page",
        })
        .collect();
    CampaignRow {
        name: plan.name.to_string(),
        to: plan.to.to_string(),
        by: by.join(" and "),
        state: state.map_or("not started", state_word).to_owned(),
        is_running: state == Some(State::Running),
        reviewed,
    }
}

pub(crate) fn campaign(state: &Console, snapshot: &Snapshot, plan: &CampaignPlan, frame: Frame) -> CampaignPage {
    let row = campaign_row(snapshot, plan);
    let artefact = state.promise.artefact(ArtefactKind::Campaign, plan.name.as_str());
    let numbers = artefact.map(|artefact| snapshot.campaign_numbers(artefact.id));
    let (numbers, refusal) = match numbers {
        Some(Ok(numbers)) => (numbers, None),
        Some(Err(refusal)) => (CampaignNumbers::default(), Some(refusal.sentence())),
        None => (CampaignNumbers::default(), None),
    };
    let floor = state.promise.guard.smallest_group;
    let report = lift::report(&numbers, plan.hold_out_permille, floor);
    let offers = plan
        .offers
        .iter()
        .filter_map(|name| state.promise.offers.get(name))
        .map(|offer| (offer.name.to_string(), offer.says.clone(), offer.why.clone()))
        .collect();
    let undecided = decide::house::refusals(snapshot, &plan.name).unwrap_or_default();
    let undecided: Counts = undecided.into_iter().map(|(word, n)| (word, Count::rounded(n, floor))).collect();
    let may_run = frame.staff.as_ref().is_some_and(|staff| staff.role.may_run_campaigns());
    CampaignPage {
        offers,
        hold_out: format!("{} %", f64::from(plan.hold_out_permille) / 10.0),
        sentence: report.sentence,
        reduced: counted(report.reduced),
        refused: each(&report.refused),
        undecided: each(&undecided),
        waiting: each(&report.waiting),
        report: report.trial.as_ref().map(|trial| shown(trial, plan)),
        may_run,
        problem: refusal,
        campaign: row,
        frame,
    }
}

const fn state_word(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Paused => "paused",
        State::Stopped => "stopped",
        State::Refused => "refused: too few people",
    }
}

fn counted(count: Count) -> String {
    match count {
        Count::Exactly(n) => grouped(n),
        Count::About(n) => format!("about {}", grouped(n)),
        Count::Fewer(_) => count.to_string(),
    }
}

fn each(counts: &Counts) -> Vec<(String, String)> {
    counts.iter().map(|(word, count)| (spoken(word), counted(*count))).collect()
}

fn shown(trial: &Trial, plan: &CampaignPlan) -> ReportView {
    let row = |name: &str, arm: &ToldArm| {
        [
            name.to_owned(),
            grouped(arm.n_people),
            counted(arm.buyers),
            format!("{:.1}", arm.share * 1_000.0),
            counted(arm.goals),
        ]
    };
    let (figure, interval) = match (trial.lift, trial.interval) {
        (Some(lift), Some((low, high))) if high.is_finite() => (
            chart::interval(low * 100.0, lift * 100.0, high * 100.0),
            format!("95 % interval of the difference: {:+.1} % to {:+.1} %.", low * 100.0, high * 100.0),
        ),
        _ => (String::new(), "There is no interval yet: too few people bought.".to_owned()),
    };
    let ratio = trial.sample_ratio;
    let sample_ratio = if ratio.is_fine {
        format!("Sample-ratio check: fine (p = {:.3}). The groups have the sizes that were promised.", ratio.p)
    } else {
        format!(
            "Sample-ratio check: failed (p = {:.5}). The groups do not have the promised sizes, so believe nothing above.",
            ratio.p
        )
    };
    ReportView {
        figure,
        rows: vec![row("heard from us", &trial.treated), row("left alone", &trial.held_out)],
        sent: counted(trial.sent),
        basis: each(&trial.basis),
        interval,
        sample_ratio,
        sample_ratio_is_bad: !ratio.is_fine,
        goal: format!("{} within {} days after the decision", plan.goal.0, plan.goal.1),
    }
}

pub(crate) fn reviews(snapshot: &Snapshot) -> Vec<ReviewRow> {
    let mut rows: Vec<ReviewRow> = snapshot
        .artefacts()
        .into_iter()
        .map(|state| ReviewRow {
            id: state.id.to_string(),
            kind: state.kind.as_str().to_owned(),
            name: state.name,
            reviewed: state.reviewed.into_iter().map(|(who, at)| (who, minute(at))).collect(),
            is_effective: state.is_effective,
        })
        .collect();
    rows.sort_by(|a, b| (a.is_effective, &a.kind, &a.name).cmp(&(b.is_effective, &b.kind, &b.name)));
    rows
}

/// Alarms, the open ones first.
pub(crate) fn alarms(snapshot: &Snapshot, limit: usize) -> Result<Vec<AlarmRow>, VaultError> {
    let row = |alarm: vault::Alarm| AlarmRow {
        id: alarm.id.to_string(),
        at: minute(alarm.at),
        says: alarm.sentence(),
        what_to_do: alarm.kind.what_to_do(),
        acknowledged: alarm.acknowledged.map(|(staff, reason, at)| (staff, minute(at), reason)),
    };
    let mut rows: Vec<AlarmRow> = snapshot.alarms(limit)?.into_iter().map(row).collect();
    rows.sort_by_key(|row| row.acknowledged.is_some());
    Ok(rows)
}

/// Calls to recipients that have not ended, the one that is due first at the beginning.
pub(crate) fn calls(snapshot: &Snapshot, limit: usize) -> Result<Vec<CallRow>, VaultError> {
    let row = |call: vault::EraseCall| CallRow {
        request: call.id.request.to_string(),
        recipient: call.id.recipient,
        asked: minute(call.asked_at),
        due: minute(call.due_at),
        n_tries: call.n_tries,
        why: call.why.as_deref().map(spoken).unwrap_or_default(),
    };
    Ok(snapshot.erase_calls(limit)?.into_iter().map(row).collect())
}

type LogRows = (Vec<(String, String, String, u64)>, Vec<(String, String)>);

pub(crate) fn log(snapshot: &Snapshot, limit: usize) -> Result<LogRows, VaultError> {
    let entries = snapshot
        .log_entries(limit)?
        .into_iter()
        .map(|entry| (minute(entry.at), spoken(&entry.kind), entry.hash, entry.batch))
        .collect();
    let floor = snapshot.promise().guard.smallest_group;
    let told = |number| counted(Count::of(number, floor.into()));
    let outbox = snapshot.outbox_counts()?.into_iter().map(|(word, number)| (spoken(word), told(number))).collect();
    Ok((entries, outbox))
}
