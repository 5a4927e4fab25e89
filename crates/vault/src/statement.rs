//! What receipts say: the payloads, as JSON of strings and integers. The bytes made here are what the one log commits to
//! and what the signature covers, at acknowledgement and ever after.
//!
//! It signs nothing (`receipt`) and proves nothing (`chain`).

use crate::VaultError;
use crate::backup::KEY_BACKUP_DAYS;
use crate::chain;
use crate::engine::EngineSnapshot;
use crate::format::{LedgerForm, ProofForm, RequestForm, method_of, status_of};
use crate::house::House;
use crate::receipt;
use crate::record::{ErasureView, RecipientTold, Told};
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
    can_be_undone_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    says: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    included_by: Option<String>,
}

/// The words in which the receipt of an erasure is written today. Receipts of older words are made from them for ever: the
/// log commits to each byte, so that [`erasure_says`] may get new words only under a new number.
pub(crate) const ERASURE_WORDS: u8 = 1;

/// What is certain when an erasure is acknowledged. Nothing about what others do, or about copies that nobody knows of.
fn erasure_says(request: &RequestForm) -> Vec<String> {
    if request.words.is_none() {
        return Vec::new();
    }
    let unrecoverable_on = Day::from_number(request.unrecoverable_on);
    let destroyed_by = unrecoverable_on.plus(-KEY_BACKUP_DAYS);
    let undo = request
        .undo_until
        .map(|until| format!("Until {} this can be taken back. After that nobody can undo it.", At::from_ms(until)));
    std::iter::once(format!("Since {} nobody here can see anything about you.", At::from_ms(request.at)))
        .chain(undo)
        .chain([
            format!(
                "What was stored is encrypted. Its keys are destroyed here, by software, by {destroyed_by}. Backups of keys \
                 are kept for {KEY_BACKUP_DAYS} days. From {unrecoverable_on} on, no key that we know of opens it."
            ),
            "Counts and models are made anew without you within a day.".to_owned(),
            "Whoever got something about you from us is told, where that can be done. What each of them answered stands with \
             this request. We cannot promise for them."
                .to_owned(),
            REMAINS.to_owned(),
        ])
        .collect()
}

/// What stays after an erasure, and why.
const REMAINS: &str = "What stays: a mark that somebody was erased, and this request, so that a backup does not bring you \
                       back and we can show what we did; and scrambled marks of your address and numbers with this date, so \
                       that old lists do not bring you back. None of them holds your name.";

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
        can_be_undone_until: request.undo_until.map(|until| At::from_ms(until).to_string()),
        says: erasure_says(request),
        included_by: Some(At::from_ms(request.at.saturating_add(INCLUDED_WITHIN_MS)).to_string()),
    })
}

#[derive(Serialize)]
struct ErasureState<'a> {
    r#type: &'static str,
    house: String,
    request: String,
    as_of: String,
    asked_at: String,
    invisible_since: String,
    unrecoverable_on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_back_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_destroyed_at: Option<String>,
    recipients: Vec<RecipientState<'a>>,
    says: &'a [String],
}

#[derive(Serialize)]
struct RecipientState<'a> {
    recipient: &'a str,
    who: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    at: String,
}

/// The payload of the signed state of an erasure, as of an instant.
pub(crate) fn of_erasure_state(house: &House, view: &ErasureView, as_of: At) -> Result<String, VaultError> {
    text(&ErasureState {
        r#type: "erase_state",
        house: house.id.to_string(),
        request: view.request.to_string(),
        as_of: as_of.to_string(),
        asked_at: view.asked_at.to_string(),
        invisible_since: view.asked_at.to_string(),
        unrecoverable_on: view.unrecoverable_on.to_string(),
        taken_back_at: view.taken_back_at.map(|at| at.to_string()),
        keys_destroyed_at: view.keys_destroyed_at.map(|at| at.to_string()),
        recipients: view
            .recipients
            .iter()
            .map(|told| RecipientState {
                recipient: &told.recipient,
                who: &told.who,
                state: told.state.as_str(),
                why: told.why.as_deref(),
                at: told.at.to_string(),
            })
            .collect(),
        says: &view.says,
    })
}

/// What is certain of an erasure now.
pub(crate) fn erasure_state_says(view: &ErasureView) -> Vec<String> {
    if let Some(at) = view.taken_back_at {
        return vec![format!("This erasure was taken back at {at}. Nobody was told to erase anything.")];
    }
    let undo = view.undo_until.map(|until| format!("Until {until} this can be taken back."));
    let destroyed_by = view.unrecoverable_on.plus(-KEY_BACKUP_DAYS);
    let keys = match view.keys_destroyed_at {
        Some(at) => {
            format!("The keys to what was stored were destroyed here, by software, no later than {at}.")
        }
        None => format!("The keys to what was stored will be destroyed here, by software, by {destroyed_by}."),
    };
    let backups = format!(
        "Backups of keys are kept for {KEY_BACKUP_DAYS} days. From {} on, no key that we know of opens what was stored.",
        view.unrecoverable_on
    );
    let recipients = match view.recipients.is_empty() {
        true => vec!["We have on record nobody who got anything about you from us.".to_owned()],
        false => view.recipients.iter().map(recipient_says).collect(),
    };
    std::iter::once(format!("Since {} nobody here can see anything about you.", view.asked_at))
        .chain(undo)
        .chain([keys, backups])
        .chain(recipients)
        .chain([REMAINS.to_owned()])
        .collect()
}

fn recipient_says(told: &RecipientTold) -> String {
    let (who, day) = (&told.who, told.at.day());
    let why = told.why.as_deref().map(|why| why.replace('_', " "));
    match (told.state, why) {
        (Told::Waiting, None) => format!("{who} will be told."),
        (Told::Waiting, Some(why)) => format!("{who} could not be told yet ({why}); we try again."),
        (Told::Told, _) => format!("{who} was told on {day} and took our call. Whether it has erased, we do not know."),
        (Told::Confirmed, _) => format!("{who} was told, and answered on {day} that it has erased."),
        (Told::Impossible, Some(why)) if why == "left our hands" => {
            format!("{who} got the mails we sent you. They have left our hands, and nobody can call them back.")
        }
        (Told::Impossible, why) => format!("{who} cannot be told by us ({}).", why.unwrap_or_default()),
    }
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
