//! What receipts say: the payloads, as JSON of strings and integers. The bytes made here are what the one log commits to
//! and what the signature covers, at acknowledgement and ever after.
//!
//! It signs nothing (`receipt`) and proves nothing (`chain`).

use crate::VaultError;
use crate::chain;
use crate::engine::EngineSnapshot;
use crate::format::{LedgerForm, ProofForm, RequestForm, method_of, status_of};
use crate::house::House;
use crate::receipt;
use model::{At, ConsentId, DAY_MS, Day, ProfileId, RequestId};
use serde::Serialize;

/// Within which time an urgent answer must be in the log, in milliseconds (24 hours).
pub(crate) const INCLUDED_WITHIN_MS: i64 = DAY_MS;

#[derive(Serialize)]
struct Consent<'a> {
    r#type: &'static str,
    house: String,
    id: String,
    profile: String,
    purpose: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
    words: &'a str,
    language: &'a str,
    answered_at: String,
    method: &'static str,
    notice_version: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[serde(serialize_with = "as_word")]
    made_up: bool,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    included_by: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn as_word<S: serde::Serializer>(flag: &bool, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(if *flag { "yes" } else { "no" })
}

#[derive(Serialize)]
struct Erased {
    r#type: &'static str,
    house: String,
    request: String,
    asked_at: String,
    invisible_since: String,
    unrecoverable_on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    included_by: Option<String>,
}

/// The payload of an answer's receipt.
pub(crate) fn of_consent(house: &House, profile: &ProfileId, entry: &LedgerForm) -> Result<String, VaultError> {
    text(&Consent {
        r#type: "consent",
        house: house.id.to_string(),
        id: ConsentId::from_bytes(*entry.id).to_string(),
        profile: profile.to_string(),
        purpose: &entry.purpose,
        status: status_of(entry.status)?.as_str(),
        level: entry.level.as_deref(),
        words: &entry.text,
        language: &entry.language,
        answered_at: At::from_ms(entry.answered_at).to_string(),
        method: method_of(entry.method)?.as_str(),
        notice_version: entry.notice_version,
        made_up: entry.made_up,
        recorded_at: At::from_ms(entry.at).to_string(),
        included_by: entry.included_by.map(|ms| At::from_ms(ms).to_string()),
    })
}

/// The payload of an erasure's receipt: only what is certain, and nothing about the person.
pub(crate) fn of_erasure(house: &House, request: &RequestForm) -> Result<String, VaultError> {
    text(&Erased {
        r#type: "erase",
        house: house.id.to_string(),
        request: RequestId::from_bytes(*request.id).to_string(),
        asked_at: At::from_ms(request.at).to_string(),
        invisible_since: At::from_ms(request.at).to_string(),
        unrecoverable_on: Day::from_number(request.unrecoverable_on).to_string(),
        included_by: Some(At::from_ms(request.at.saturating_add(INCLUDED_WITHIN_MS)).to_string()),
    })
}

#[derive(Serialize)]
struct Undone {
    r#type: &'static str,
    house: String,
    request: String,
    asked_at: String,
    taken_back_at: String,
}

/// The payload of the receipt that an erasure was taken back: nothing about the person.
pub(crate) fn of_undo(house: &House, request: &RequestForm) -> Result<String, VaultError> {
    text(&Undone {
        r#type: "undo",
        house: house.id.to_string(),
        request: RequestId::from_bytes(*request.id).to_string(),
        asked_at: At::from_ms(request.at).to_string(),
        taken_back_at: At::from_ms(request.taken_back_at.unwrap_or_default()).to_string(),
    })
}

fn text(payload: &impl Serialize) -> Result<String, VaultError> {
    serde_json::to_string(payload).map_err(|error| crate::format::damaged("ledger", &error.to_string()))
}

/// A signed receipt; with the proof once the log has its payload.
pub(crate) fn receipt(
    house: &House,
    store: &dyn EngineSnapshot,
    payload: &str,
    proof: Option<&ProofForm>,
) -> Result<String, VaultError> {
    let signed = receipt::sign(&house.keys.receipt, payload)?;
    let Some(form) = proof else { return Ok(signed) };
    let index = usize::try_from(form.index).unwrap_or(usize::MAX);
    match chain::proof_of(store, form.batch, index)? {
        Some(proof) => receipt::with_proof(&signed, &form.salt, &proof),
        None => Ok(signed),
    }
}
