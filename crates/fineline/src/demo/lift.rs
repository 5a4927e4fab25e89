//! Purchases after the send, with a lift that is known because it is made: people who got a mail buy at the base rate times
//! one plus the lift, the others at the base rate. They reach the program over the wire, as any shop's orders do; then the
//! program's own report has to find the lift.

use super::catalogue;
use super::people::Customer;
use super::shop::order_completed;
use crate::command::campaign::machine;
use crate::loopback::Loopback;
use anyhow::Context;
use decide::order;
use deliver::sink::Inbox;
use model::chance::Seeded;
use model::{CampaignName, Rng};
use promise::Promise;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use understand::lift::{Counts, report};
use vault::Vault;

/// Of people who hear nothing, so many buy within the goal's days.
const BASE_RATE: f64 = 0.25;
/// Orders in one request.
const BATCH_ORDERS: usize = 50;
/// How long to wait for the campaign to have asked everybody and for the outbox to be empty.
const SEND_TRIES_MAX: u32 = 1_200;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// One trial.
#[derive(Debug, Clone)]
pub struct Trial {
    /// 0.2 = a fifth more buyers.
    pub true_lift: f64,
    /// Who buys is drawn from it.
    pub seed: u64,
    /// The campaign that is measured.
    pub campaign: CampaignName,
}

/// What the program found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The report's sentence.
    pub sentence: String,
    /// The report, the truth beside it.
    pub machine: Value,
}

/// Waits for the send, lets people buy, and reads the report.
///
/// # Errors
/// When the campaign does not come to an end, or the program does not take the orders.
pub async fn run(
    trial: &Trial,
    vault: &Vault,
    promise: &Promise,
    customers: &[Customer],
    inbox: &Inbox,
    server: &Loopback,
) -> anyhow::Result<Outcome> {
    sent(vault, &trial.campaign).await?;
    let mailed: BTreeSet<String> = inbox.mails().iter().flat_map(|mail| mail.to.iter().cloned()).collect();
    let orders = orders(trial, customers, &mailed);
    for batch in orders.chunks(BATCH_ORDERS) {
        let (status, _) = server.post("/v1/batch", &json!({ "batch": batch })).await?;
        anyhow::ensure!(status.is_success(), "the orders were answered with {status}");
    }
    let (plan, artefact) = order::find(promise, &trial.campaign).context("the campaign is declared")?;
    let numbers = vault.snapshot().campaign_numbers(artefact.id)?;
    let report = report(&numbers, plan.hold_out_permille, promise.guard.smallest_group);
    let mut machine = machine(&trial.campaign, &report, &Counts::new());
    if let Some(object) = machine.as_object_mut() {
        object.insert("true_lift".to_owned(), json!(trial.true_lift));
        object.insert("seed".to_owned(), json!(trial.seed));
        object.insert("orders".to_owned(), json!(orders.len()));
    }
    Ok(Outcome { sentence: report.sentence, machine })
}

/// Everybody was asked, and nothing is due any more.
async fn sent(vault: &Vault, campaign: &CampaignName) -> anyhow::Result<()> {
    for _ in 0..SEND_TRIES_MAX {
        {
            let snapshot = vault.snapshot();
            let run = snapshot.house_record(&format!("run/{campaign}"))?;
            let looked = run.and_then(|bytes| serde_json::from_slice::<decide::records::RunState>(&bytes).ok());
            if looked.is_some_and(|run| run.looked_at > 0) && snapshot.outbox_due(1)?.is_empty() {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    anyhow::bail!("the campaign did not come to an end within {} s", u64::from(SEND_TRIES_MAX) * 100 / 1_000)
}

/// Who buys: one order each, of the first thing on a shelf.
fn orders(trial: &Trial, customers: &[Customer], mailed: &BTreeSet<String>) -> Vec<Value> {
    let rng = Seeded::new(trial.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x11f7);
    let rng: &dyn Rng = &rng;
    let gifts: Vec<_> = catalogue::all().map(|(_, gift)| gift).collect();
    let mut orders = Vec::new();
    for customer in customers.iter().filter(|customer| customer.is_lapsed(90)) {
        let rate = if mailed.contains(&customer.email()) { BASE_RATE * (1.0 + trial.true_lift) } else { BASE_RATE };
        let (buys, what) = (rng.unit() < rate, rng.below(gifts.len() as u64));
        let gift = usize::try_from(what).ok().and_then(|what| gifts.get(what));
        if let Some(gift) = gift.filter(|_| buys) {
            let number = format!("after-{}", customer.user_id);
            orders.push(order_completed(&customer.user_id, &number, &number, std::iter::once((*gift, 1))));
        }
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::super::people::draw;
    use super::*;

    #[test]
    fn mailed_people_buy_more_by_the_true_lift_and_the_others_at_the_base_rate() {
        let customers = draw(20_000, 5);
        let mailed: BTreeSet<String> = customers.iter().step_by(2).map(Customer::email).collect();
        let trial = Trial { true_lift: 0.2, seed: 3, campaign: CampaignName::parse("win_back").unwrap() };
        let orders = orders(&trial, &customers, &mailed);
        let lapsed = customers.iter().filter(|customer| customer.is_lapsed(90));
        let (got, not): (Vec<&Customer>, Vec<&Customer>) = lapsed.partition(|one| mailed.contains(&one.email()));
        let bought = |people: &[&Customer]| {
            let ids: BTreeSet<&str> = people.iter().map(|one| one.user_id.as_str()).collect();
            let n = orders.iter().filter(|order| ids.contains(order["userId"].as_str().unwrap())).count();
            n as f64 / people.len() as f64
        };
        assert!((bought(&got) - 0.30).abs() < 0.03, "{}", bought(&got));
        assert!((bought(&not) - 0.25).abs() < 0.03, "{}", bought(&not));
    }
}
