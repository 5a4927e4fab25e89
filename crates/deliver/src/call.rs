//! Telling recipients that somebody was erased: what is due is called, and each call ends in exactly one state: told,
//! confirmed, or impossible with its reason.
//!
//! [`step`] takes a bounded number of due calls from the vault, one after the other. A call that got no yes is made again
//! after a minute, five, thirty, and so on up to a day, for [`LIFE_DAYS`]; then it ends as impossible. The same call has the
//! same id at every try, so that a recipient who took it twice takes it once. A recipient that the promise does not declare
//! any more is not called: no socket is opened for it.

use crate::DeliverError;
use crate::egress::webhook::{Answer, CallFault, Caller, Message};
use crate::recipient::{NotCallable, registered};
use model::At;
use std::collections::BTreeMap;
use vault::{EraseCall, EraseCallEnd, Vault};

/// Calls that one step makes, at most.
pub const BUDGET_MAX: usize = 20;

/// For how long a call is tried, in days, from when it could first be made.
pub const LIFE_DAYS: i32 = 7;

/// Pauses between tries, in minutes; the last one repeats.
const PAUSES_MIN: [i64; 7] = [1, 5, 30, 2 * 60, 5 * 60, 10 * 60, 24 * 60];

/// What one step did: calls by outcome word ("told", "confirmed", "down", "not_registered", …).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many of each.
    pub ended: BTreeMap<&'static str, u64>,
}

/// How long to wait after the `n`-th try, from 1, in milliseconds.
fn pause_ms(n: u32) -> i64 {
    let at = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    PAUSES_MIN.get(at).or(PAUSES_MIN.last()).copied().unwrap_or(1).saturating_mul(60_000)
}

/// Makes the calls that are due, at most `budget` ([`BUDGET_MAX`]).
///
/// # Errors
/// [`DeliverError::Vault`] when the vault is closed or damaged. What becomes of a call is its outcome, not an error.
pub async fn step(vault: &Vault, caller: &Caller, budget: usize) -> Result<Progress, DeliverError> {
    let mut progress = Progress::default();
    let due = {
        let snapshot = vault.snapshot();
        let mut calls = snapshot.erase_calls(budget.min(BUDGET_MAX))?;
        calls.retain(|call| call.due_at <= snapshot.now());
        calls
    };
    for call in due {
        let (word, end) = one(vault, caller, &call).await?;
        metrics::counter!("fineline_deliver_erase_calls_total", "outcome" => word).increment(1);
        *progress.ended.entry(word).or_default() += 1;
        vault.finish_erase_call(call.id, end)?.await?;
    }
    Ok(progress)
}

async fn one(vault: &Vault, caller: &Caller, call: &EraseCall) -> Result<(&'static str, EraseCallEnd), DeliverError> {
    let now = vault.now();
    let found = registered(&vault.snapshot(), &call.id.recipient)?;
    let recipient = match found {
        Ok(recipient) => recipient,
        Err(NotCallable::NotRegistered) => return Ok(never(EraseCallEnd::NOT_REGISTERED)),
        Err(NotCallable::NoAddress) => return Ok(never("no_address")),
        Err(NotCallable::NoSecret) => return Ok(later("no_secret", call, now)),
    };
    let body = serde_json::json!({
        "type": "person.erase",
        "timestamp": now.to_string(),
        "data": { "reference": call.reference },
    });
    let message = Message { id: call.wire_id.clone(), at: now, body: body.to_string() };
    Ok(match caller.post(&recipient, &message).await {
        Ok(Answer::Taken) => ("told", EraseCallEnd::Told),
        Ok(Answer::Erased) => ("confirmed", EraseCallEnd::Confirmed),
        Err(CallFault::Closed) => never(CallFault::Closed.as_str()),
        Err(fault) => later(fault.as_str(), call, vault.now()),
    })
}

const fn never(why: &'static str) -> (&'static str, EraseCallEnd) {
    (why, EraseCallEnd::Impossible { why })
}

fn later(why: &'static str, call: &EraseCall, now: At) -> (&'static str, EraseCallEnd) {
    // The day in which the erasure could be taken back is not the recipient's.
    let at = now.plus_ms(pause_ms(call.n_tries.saturating_add(1)));
    if at > call.asked_at.plus_days(LIFE_DAYS + 1) {
        return never(why);
    }
    (why, EraseCallEnd::Later { why, at })
}

#[cfg(test)]
mod tests;
