//! The door `POST /v1/decide`: which offer stands in a placement for one person, or why none does.
//!
//! With a server key the body names a `userId`; with a browser key only the browser's own `anonymousId` (a browser's
//! claim to be somebody is not a key). A decision of the running campaign that was made before, by mail or here, is the
//! answer again. Nothing is answered before the decision is on record and the person's wishes were looked at once more.

use crate::DecideError;
use crate::house::{self, Stock};
use crate::run::{Place, Prepared, prepare};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use model::{At, DecisionId, ProfileId, Rng, SegmentName};
use promise::{CampaignPlan, ChannelKind, Refusal, RefusalReason, Source, SourceKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use utoipa::ToSchema;
use vault::{Identifier, IdentifierKind, NewDecision, Snapshot, Trace, Vault, VaultError};

/// Largest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024;
/// Longest id or placement, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// How long counts of people are used before they are read again, in milliseconds.
const STOCK_FRESH_MS: i64 = 5_000;
/// Seconds after which a caller may try again when the committer's queue is full.
const RETRY_AFTER_SECONDS: &str = "1";

/// What the door works with.
pub struct Door {
    vault: Vault,
    rng: Arc<dyn Rng>,
    /// Begins the links that people open, without a final slash.
    base_url: String,
    stock: Mutex<BTreeMap<SegmentName, (At, Arc<Stock>)>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door(…)")
    }
}

impl Door {
    /// A door to a vault; `base_url` begins the links that people open.
    #[must_use]
    pub fn new(vault: Vault, rng: Arc<dyn Rng>, base_url: &str) -> Self {
        Self { vault, rng, base_url: base_url.trim_end_matches('/').to_owned(), stock: Mutex::default() }
    }
}

/// The route of this room.
pub fn routes(door: Arc<Door>) -> Router {
    Router::new()
        .route("/v1/decide", post(answer_decide).options(preflight))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(door)
}

/// The description of this room's public API.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(paths(answer_decide), components(schemas(DecideRequest, DecideAnswer, OfferAnswer, Problem)))]
pub struct Api;

/// About whom, and where.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DecideRequest {
    /// The company's id of the person; with a server key only.
    user_id: Option<String>,
    /// The browser's id.
    anonymous_id: Option<String>,
    /// A placement that an offer of the promise file names.
    placement: String,
    /// The source's key, when it does not come as Basic or Bearer authorisation.
    write_key: Option<String>,
}

/// What was decided.
#[derive(Debug, Serialize, ToSchema)]
struct DecideAnswer {
    /// The decision on record; null when none was made.
    decision_id: Option<String>,
    /// What to show; null when nothing is to be shown.
    offer: Option<OfferAnswer>,
    /// With an offer: the sentence that says why. Without: the reason word ("held_out", "not_in_segment").
    reason: String,
    /// Where the person can see why, and change it; null when no decision was made.
    why_url: Option<String>,
}

/// One offer, ready to show. Escape it like any text.
#[derive(Debug, Serialize, ToSchema)]
struct OfferAnswer {
    /// Headline.
    title: String,
    /// Text.
    says: String,
    /// Code of the item, when one was picked.
    item: Option<String>,
    /// Code to redeem, if any.
    code: Option<String>,
    /// Link to follow.
    link: String,
}

/// Why a request was not answered (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    message: String,
}

/// A request that cannot be answered.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }
}

impl From<DecideError> for Failure {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Vault(VaultError::DiskFull) => {
                let says = "the disk is full: no decision can be recorded";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk_full", says)
            }
            DecideError::Vault(VaultError::Busy | VaultError::Closed | VaultError::Away { .. }) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the house cannot record decisions just now")
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a decision failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the house could not decide")
            }
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        DecideError::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            code: self.code,
            message: self.message,
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

/// Decides which offer stands in a placement.
#[utoipa::path(
    post,
    path = "/v1/decide",
    request_body = DecideRequest,
    responses(
        (status = 200, description = "An offer, or the reason why there is none", body = DecideAnswer),
        (status = 400, description = "Not a request that can be read", body = Problem),
        (status = 401, description = "No key, or an unknown one", body = Problem),
        (status = 403, description = "A browser key on a page that its source does not name", body = Problem),
        (status = 429, description = "More than your share; Retry-After says when again"),
        (status = 503, description = "The house cannot record decisions just now", body = Problem),
    )
)]
async fn answer_decide(State(door): State<Arc<Door>>, headers: HeaderMap, body: Bytes) -> Response {
    let response = match door.answer(&headers, &body).await {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(failure) => failure.into_response(),
    };
    door.with_origin(response, &headers)
}

async fn preflight(State(door): State<Arc<Door>>, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let out = response.headers_mut();
    out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    door.with_origin(response, &headers)
}

/// Whether a source names the page that asks.
fn names(source: &Source, origin: &HeaderValue) -> bool {
    source.origins.iter().any(|known| known.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

/// A decision ready to be shown once the person's wishes were looked at again.
struct Shown {
    person: ProfileId,
    consent_seq: u64,
    id: DecisionId,
    offer: Option<OfferAnswer>,
    reason: String,
}

/// What reading led to.
enum Found {
    Nothing(RefusalReason),
    Standing(Shown),
    New(Box<NewDecision>, Shown),
}

impl Door {
    /// Lets a page that a browser source names read the answer. No cookie is ever looked at.
    fn with_origin(&self, mut response: Response, headers: &HeaderMap) -> Response {
        let out = response.headers_mut();
        out.insert(header::VARY, HeaderValue::from_static("origin"));
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(origin) = headers.get(header::ORIGIN) {
            let snapshot = self.vault.snapshot();
            let browsers = || snapshot.promise().sources.values().filter(|source| source.kind == SourceKind::Browser);
            if browsers().any(|source| names(source, origin)) {
                out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
        }
        response
    }

    async fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Result<DecideAnswer, Failure> {
        let request: DecideRequest = serde_json::from_slice(body).map_err(|error| {
            Failure::bad(format!("not a decide request (line {}, column {})", error.line(), error.column()))
        })?;
        let identifier = self.identifier(headers, &request)?;
        let shown = match self.find(&identifier, &request.placement)? {
            Found::Nothing(reason) => return Ok(nothing(reason)),
            Found::Standing(shown) => shown,
            Found::New(decision, shown) => match self.vault.decide(*decision)?.await? {
                Ok(_) => shown,
                // Somebody else decided in between: that decision is the answer.
                Err(Refusal { reason: RefusalReason::AlreadyDecided, .. }) => {
                    match self.find(&identifier, &request.placement)? {
                        Found::Standing(shown) => shown,
                        Found::Nothing(reason) => return Ok(nothing(reason)),
                        Found::New(..) => return Ok(nothing(RefusalReason::ChangedMeanwhile)),
                    }
                }
                Err(refusal) => return Ok(nothing(refusal.reason)),
            },
        };
        let token = self.vault.message_token(shown.id)?.await?;
        // The second look: a wish acknowledged before this line is obeyed by this answer.
        if let Err(refusal) = self.vault.look(shown.person, shown.consent_seq) {
            return Ok(nothing(refusal.reason));
        }
        count(if shown.offer.is_some() { "offer" } else { &shown.reason });
        Ok(DecideAnswer {
            decision_id: Some(shown.id.to_string()),
            offer: shown.offer,
            reason: shown.reason,
            why_url: token.map(|token| format!("{}/m/{token}", self.base_url)),
        })
    }

    /// Whom the caller may speak of.
    fn identifier(&self, headers: &HeaderMap, request: &DecideRequest) -> Result<Identifier, Failure> {
        let unauthorised = |message: &str| Failure::new(StatusCode::UNAUTHORIZED, "unauthorised", message);
        let key = key_of(headers).or_else(|| request.write_key.clone());
        let key = key.ok_or_else(|| unauthorised("a source key is missing"))?;
        let source = self.vault.source_of_key(&key).ok_or_else(|| unauthorised("this is not a key of a source"))?;
        let snapshot = self.vault.snapshot();
        let source = snapshot.promise().sources.get(&source);
        let kind = source.map(|source| source.kind);
        // Only browsers send an origin, and only their keys are public: those serve the pages that the promise names.
        if let (Some(source), Some(origin)) = (source, headers.get(header::ORIGIN))
            && source.kind == SourceKind::Browser
            && !names(source, origin)
        {
            let says = "pages of this origin do not use this key: name it in the source's `origins`";
            return Err(Failure::new(StatusCode::FORBIDDEN, "wrong_origin", says));
        }
        let (kind, value) = match (kind, &request.user_id, &request.anonymous_id) {
            (Some(SourceKind::Server), Some(user), _) => (IdentifierKind::User, user),
            (Some(SourceKind::Server | SourceKind::Browser), None, Some(anonymous)) => {
                (IdentifierKind::Anonymous, anonymous)
            }
            (Some(SourceKind::Browser), Some(_), _) => {
                return Err(Failure::bad(
                    "a browser key speaks of its own anonymousId only; userId needs a server key",
                ));
            }
            (Some(SourceKind::Import) | None, ..) => {
                return Err(unauthorised("this source does not ask for decisions"));
            }
            (Some(_), None, None) => return Err(Failure::bad("userId or anonymousId is missing")),
        };
        if [value.as_str(), request.placement.as_str()]
            .iter()
            .any(|text| text.is_empty() || text.len() > NAME_BYTES_MAX)
        {
            return Err(Failure::bad(format!("an id and a placement have 1 to {NAME_BYTES_MAX} bytes")));
        }
        Ok(Identifier { kind, value: value.clone() })
    }

    /// Reads, and decides where nothing stands yet. Takes no lock across the answer and writes nothing.
    fn find(&self, identifier: &Identifier, placement: &str) -> Result<Found, Failure> {
        let snapshot = self.vault.snapshot();
        let Some(person) = snapshot.find(identifier) else { return Ok(Found::Nothing(RefusalReason::NoSuchPerson)) };
        let mut reason = RefusalReason::NothingFits;
        for campaign in snapshot.promise().campaigns.values() {
            let stands =
                campaign.offers_in(snapshot.promise()).any(|offer| offer.placements.iter().any(|p| p == placement));
            if !stands || !campaign.by.contains(&ChannelKind::Page) {
                continue;
            }
            let Some(state) = house::running(&snapshot, &campaign.name)? else { continue };
            let Some(stock) = self.stock(&snapshot, campaign)? else { continue };
            let place = Place { channel: ChannelKind::Page, placement: Some(placement) };
            match prepare(&snapshot, campaign, &stock, person, state.run, place, &*self.rng) {
                Err(refusal) => reason = refusal.reason,
                Ok(Prepared::New(decision)) => {
                    let shown = shown(&snapshot, &decision);
                    return Ok(Found::New(decision, shown));
                }
                Ok(Prepared::Decided(id)) => match standing(&snapshot, campaign, person, id, placement) {
                    Ok(Some(shown)) => return Ok(Found::Standing(shown)),
                    Ok(None) => {}
                    Err(refusal) => reason = refusal.reason,
                },
            }
        }
        Ok(Found::Nothing(reason))
    }

    fn stock(&self, snapshot: &Snapshot, campaign: &CampaignPlan) -> Result<Option<Arc<Stock>>, DecideError> {
        let now = snapshot.now();
        let is_fresh = |read_at: At| now < read_at.plus_ms(STOCK_FRESH_MS) && now >= read_at;
        if let Ok(known) = self.stock.lock()
            && let Some((_, stock)) = known.get(&campaign.to).filter(|(read_at, _)| is_fresh(*read_at))
        {
            return Ok(Some(Arc::clone(stock)));
        }
        let Some(stock) = Stock::read(snapshot, campaign)?.map(Arc::new) else { return Ok(None) };
        if let Ok(mut known) = self.stock.lock() {
            known.insert(campaign.to.clone(), (now, Arc::clone(&stock)));
        }
        Ok(Some(stock))
    }
}

fn shown(snapshot: &Snapshot, decision: &NewDecision) -> Shown {
    let offer =
        decision.offer.as_ref().and_then(|offer| answer_of(snapshot, offer, decision.item.as_ref(), &decision.trace));
    let reason = reason_of(offer.is_some(), decision.held_out, &decision.trace);
    Shown { person: decision.person, consent_seq: decision.consent_seq, id: decision.id, offer, reason }
}

/// A decision on record, when its offer may stand in this placement.
fn standing(
    snapshot: &Snapshot,
    campaign: &CampaignPlan,
    person: ProfileId,
    id: DecisionId,
    placement: &str,
) -> Result<Option<Shown>, Refusal> {
    let artefact = snapshot.promise().artefact(promise::ArtefactKind::Campaign, campaign.name.as_str());
    let artefact = artefact.ok_or(Refusal::because(RefusalReason::UnknownArtefact))?;
    let permit = snapshot.permit(person, artefact.id)?;
    let Some(decision) = snapshot.decision(&permit, id)? else { return Ok(None) };
    let trace = decision.trace.reveal();
    let stands = |name: &model::OfferName| {
        let offer = snapshot.promise().offers.get(name);
        offer.is_some_and(|offer| offer.placements.iter().any(|known| known == placement))
    };
    if decision.offer.as_ref().is_some_and(|offer| !stands(offer)) {
        return Ok(None);
    }
    let offer = decision.offer.as_ref().and_then(|offer| answer_of(snapshot, offer, decision.item.as_ref(), trace));
    let reason = reason_of(offer.is_some(), decision.held_out, trace);
    Ok(Some(Shown { person, consent_seq: permit.consent_seq(), id, offer, reason }))
}

fn answer_of(
    snapshot: &Snapshot,
    offer: &model::OfferName,
    item: Option<&model::ItemCode>,
    trace: &Trace,
) -> Option<OfferAnswer> {
    let plan = snapshot.promise().offers.get(offer)?;
    Some(OfferAnswer {
        title: trace.title()?,
        says: trace.says()?,
        item: item.map(|item| item.as_str().to_owned()),
        code: plan.code.clone(),
        link: plan.link.clone(),
    })
}

fn reason_of(has_offer: bool, held_out: bool, trace: &Trace) -> String {
    let word = if held_out { RefusalReason::HeldOut } else { RefusalReason::NothingFits };
    let why = if has_offer { trace.why() } else { None };
    why.unwrap_or_else(|| word.as_str().to_owned())
}

fn nothing(reason: RefusalReason) -> DecideAnswer {
    count(reason.as_str());
    DecideAnswer { decision_id: None, offer: None, reason: reason.as_str().to_owned(), why_url: None }
}

fn count(outcome: &str) {
    metrics::counter!("fineline_decide_answers_total", "outcome" => outcome.to_owned()).increment(1);
}

/// The key of a request: Basic (key as the user name, with or without colon), or Bearer.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get::<HeaderName>(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.split_once(':').map_or(text.as_str(), |(key, _)| key).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_both_schemes_and_nowhere_else() {
        let check = |value: &str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(key_of(&headers).as_deref(), expected, "{value}");
        };
        check("Basic ZmxfcHViX3g6", Some("fl_pub_x"));
        check("Basic ZmxfcHViX3g=", Some("fl_pub_x"));
        check("basic ZmxfcHViX3g6c2VjcmV0", Some("fl_pub_x"));
        check("Bearer fl_sec_y", Some("fl_sec_y"));
        check("Basic ???", None);
        check("Digest abc", None);
        check("fl_sec_y", None);
        assert_eq!(key_of(&HeaderMap::new()), None);
    }
}
