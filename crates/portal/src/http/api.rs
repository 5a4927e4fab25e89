//! The company's server-side door (`/v1/…`, secret key of a server source) and the well-known files. It reads a person only
//! with a reason, and each such read is shown to that person. Answers that are not as asked are problem documents.

use super::{Sorry, State, With, log, person};
use crate::copy::{self, MessageCopy};
use crate::reader::{self, Reader};
use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::{DecisionId, ProfileId, SourceName};
use promise::{Artefact, ArtefactKind, Refusal, RefusalReason, SourceKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{OpenApi, ToSchema};
use vault::{Identifier, IdentifierKind, Snapshot, StaffAct, VaultError, WHY_DAYS};

/// Longest external id, in bytes.
pub const USER_ID_BYTES_MAX: usize = 512;
/// Longest reason for opening a person, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// The header that says why a person is opened.
const REASON: &str = "fineline-reason";
/// What the person reads about a link that was made for them.
const HANDED_OFF: &str = "to open this page for you";

/// The documented routes of the portal.
#[derive(OpenApi, Debug)]
#[openapi(
    paths(
        portal_sessions,
        lookup,
        read_person,
        export_person,
        after_leaving,
        why,
        gpc,
        keys,
        log::checkpoint,
        log::hashes,
        log::entries
    ),
    components(schemas(UserIdBody, AfterLeavingBody, PortalSession, PersonRef, PersonRead, Problem, Gpc))
)]
pub struct Api;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/portal_sessions", post(portal_sessions))
        .route("/v1/people/lookup", post(lookup))
        .route("/v1/people/{person}", get(read_person))
        .route("/v1/people/{person}/export", post(export_person))
        .route("/v1/people/{person}/after_leaving", post(after_leaving))
        .route("/v1/decisions/{decision}/why", get(why))
        .route("/.well-known/gpc.json", get(gpc))
        .route("/.well-known/fineline-keys.json", get(keys))
}

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always "about:blank": the code says it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The HTTP status again.
    status: u16,
    /// A stable word.
    code: &'static str,
    /// What stands in the way, in a sentence.
    message: String,
    /// The promise line that decided, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { kind: "about:blank", status: status.as_u16(), code, message: message.to_owned(), line: None }
    }

    fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "we know nobody and nothing under this")
    }
}

/// What axum itself refused at this door: a body too large, a method or an address that is not there.
pub(super) fn refused(status: StatusCode) -> Response {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => ("not_found", "we know nobody and nothing under this"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this address takes another method"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the body is too large"),
        _ => ("malformed", "the request cannot be read"),
    };
    Problem::new(status, code, message).into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"fineline\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        if refusal.reason == RefusalReason::NoSuchPerson {
            return Self::unknown();
        }
        let message = refusal.reason.says();
        Self { line: refusal.line, ..Self::new(StatusCode::FORBIDDEN, refusal.reason.as_str(), message) }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        Sorry::from(error).into()
    }
}

impl From<Sorry> for Problem {
    fn from(sorry: Sorry) -> Self {
        match sorry {
            Sorry::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "try again in a moment"),
            Sorry::Refused => Self::new(StatusCode::FORBIDDEN, "refused", "the promise does not allow this"),
            Sorry::Gone | Sorry::SignIn => Self::unknown(),
            Sorry::StaleForm | Sorry::Unclear => {
                Self::new(StatusCode::BAD_REQUEST, "malformed", "the request cannot be read")
            }
            Sorry::Failed => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "something broke; the log has it"),
        }
    }
}

/// Whom a server means, by the company's own id.
#[derive(Deserialize, ToSchema)]
pub(super) struct UserIdBody {
    /// The company's own id of the person.
    #[serde(rename = "userId", alias = "user_id")]
    user_id: String,
}

/// What a person chose, on a form of the company's, for the time after leaving.
#[derive(Deserialize, ToSchema)]
pub(super) struct AfterLeavingBody {
    /// "forget", "minimum" or "until".
    fate: String,
    /// The day on which everything ends, for "until": "2027-03-31".
    until: Option<String>,
}

/// A way in for one person.
#[derive(Serialize, ToSchema)]
pub(super) struct PortalSession {
    /// Opens once.
    url: String,
    /// Until when, RFC 3339.
    expires_at: String,
}

/// Our id of a person.
#[derive(Serialize, ToSchema)]
pub(super) struct PersonRef {
    /// `per_…`
    person: String,
}

/// What the desk may read about one person.
#[derive(Serialize, ToSchema)]
pub(super) struct PersonRead {
    /// `per_…`
    person: String,
    /// Facts with their origin, purposes and end, as in the person's own copy.
    #[schema(value_type = Vec<Object>)]
    facts: Vec<copy::FactCopy>,
    /// Events, newest first, as in the person's own copy.
    #[schema(value_type = Vec<Object>)]
    events: Vec<copy::EventCopy>,
}

/// Our answer to Global Privacy Control.
#[derive(Serialize, ToSchema)]
pub(super) struct Gpc {
    /// We obey it.
    gpc: bool,
    /// Day of the notice that says so.
    #[serde(rename = "lastUpdate")]
    last_update: String,
}

/// The server source of the key in `Authorization`: `Basic base64(key:)` as the wire has it, or `Bearer key`.
fn server(state: &State, headers: &HeaderMap) -> Result<SourceName, Problem> {
    let key = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(read_key);
    let source = key.and_then(|key| state.vault().source_of_key(&key));
    let no = || Problem::new(StatusCode::UNAUTHORIZED, "wrong_key", "this needs the secret key of a server source");
    let snapshot = state.vault().snapshot();
    let is_server =
        |name: &SourceName| snapshot.promise().sources.get(name).is_some_and(|plan| plan.kind == SourceKind::Server);
    source.filter(is_server).ok_or_else(no)
}

fn read_key(header: &str) -> Option<String> {
    if let Some(key) = header.strip_prefix("Bearer ") {
        return Some(key.trim().to_owned());
    }
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split_once(':').map_or(text.as_str(), |(key, _)| key).to_owned())
}

fn find(state: &State, body: &[u8]) -> Result<ProfileId, Problem> {
    let malformed = || Problem::new(StatusCode::BAD_REQUEST, "malformed", "the body must be {\"userId\": \"…\"}");
    let body: UserIdBody = serde_json::from_slice(body).map_err(|_| malformed())?;
    if body.user_id.is_empty() || body.user_id.len() > USER_ID_BYTES_MAX {
        return Err(malformed());
    }
    let identifier = Identifier { kind: IdentifierKind::User, value: body.user_id };
    state.vault().snapshot().find(&identifier).ok_or_else(Problem::unknown)
}

fn reason(headers: &HeaderMap) -> Result<String, Problem> {
    let given = headers.get(REASON).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
    let fits = !given.is_empty() && given.chars().count() <= REASON_CHARS_MAX;
    let message =
        "say in the header Fineline-Reason why you open this person, in at most 200 characters; they will see it";
    fits.then(|| given.to_owned()).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "no_reason", message))
}

/// Notes the opening where its person sees it, before anything is read.
async fn note(
    state: &State,
    source: &SourceName,
    act: &'static str,
    person: ProfileId,
    reason: String,
) -> Result<(), Problem> {
    let staff = format!("server key {source}");
    let act = StaffAct { staff, act, person: Some(person), reason, at: state.vault().now() };
    Ok(state.vault().staff_act(act)?.await?)
}

/// Makes a one-time link that opens a person's own pages. It is shown to them, once a day.
#[utoipa::path(
    post, path = "/v1/portal_sessions", request_body = UserIdBody,
    responses((status = 200, body = PortalSession), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn portal_sessions(
    With(state): With<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let source = server(&state, &headers)?;
    let person = find(&state, &body)?;
    note(&state, &source, StaffAct::HANDED_OFF, person, HANDED_OFF.to_owned()).await?;
    let (url, until) = state.hand_off(person);
    Ok(Json(PortalSession { url, expires_at: until.to_string() }).into_response())
}

/// Finds our id of a person by the company's own.
#[utoipa::path(
    post, path = "/v1/people/lookup", request_body = UserIdBody,
    responses((status = 200, body = PersonRef), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn lookup(
    With(state): With<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    server(&state, &headers)?;
    Ok(Json(PersonRef { person: find(&state, &body)?.to_string() }).into_response())
}

fn person_id(text: &str) -> Result<ProfileId, Problem> {
    ProfileId::parse(text).map_err(|_| Problem::unknown())
}

/// What the desk may read about a person. The reason is shown to them.
#[utoipa::path(
    get, path = "/v1/people/{person}",
    params(("person" = String, Path, description = "per_…"), ("Fineline-Reason" = String, Header, description = "shown to the person")),
    responses((status = 200, body = PersonRead), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn read_person(
    With(state): With<Arc<State>>,
    headers: HeaderMap,
    Path(person): Path<String>,
) -> Result<Response, Problem> {
    let source = server(&state, &headers)?;
    let (person, reason) = (person_id(&person)?, reason(&headers)?);
    may_open(&state, person, Artefact::DESK)?;
    note(&state, &source, "opened_person", person, reason).await?;
    Ok(Json(desk(&state.vault().snapshot(), person)?).into_response())
}

/// Whether this page may be opened about a person at all: reads nothing, and spares a refused asking its note.
fn may_open(state: &State, person: ProfileId, name: &str) -> Result<(), Problem> {
    let snapshot = state.vault().snapshot();
    snapshot.permit(person, reader::page(snapshot.promise(), name)?)?;
    Ok(())
}

fn desk(snapshot: &Snapshot, person: ProfileId) -> Result<PersonRead, Problem> {
    let permit = snapshot.permit(person, reader::page(snapshot.promise(), Artefact::DESK)?)?;
    let reader = Reader::new(snapshot);
    Ok(PersonRead {
        person: person.show(permit.kind()),
        facts: reader.facts(&permit),
        events: reader.events(&permit, reader::EVENTS_MAX)?,
    })
}

/// Passes on what a person chose for the time after leaving, when they joined or later. They see it, and may choose anew.
#[utoipa::path(
    post, path = "/v1/people/{person}/after_leaving", request_body = AfterLeavingBody,
    params(("person" = String, Path, description = "per_…"), ("Fineline-Reason" = String, Header, description = "shown to the person")),
    responses((status = 204, description = "kept"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn after_leaving(
    With(state): With<Arc<State>>,
    headers: HeaderMap,
    Path(person): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let source = server(&state, &headers)?;
    let (person, reason) = (person_id(&person)?, reason(&headers)?);
    let malformed = || {
        let message = "the body must be {\"fate\": \"forget\", \"minimum\" or \"until\", \"until\": a day}";
        Problem::new(StatusCode::BAD_REQUEST, "malformed", message)
    };
    let body: AfterLeavingBody = serde_json::from_slice(&body).map_err(|_| malformed())?;
    let choice = crate::leaving::choice(person, &body.fate, body.until.as_deref(), "silent").ok_or_else(malformed)?;
    may_open(&state, person, Artefact::PORTAL)?;
    note(&state, &source, "passed_on_a_choice", person, reason).await?;
    state.vault().choose_after_leaving(choice)?.await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The person's own copy, for a request that reached the company by another way. The reason is shown to them.
#[utoipa::path(
    post, path = "/v1/people/{person}/export",
    params(("person" = String, Path, description = "per_…"), ("Fineline-Reason" = String, Header, description = "shown to the person")),
    responses((status = 200, description = "a zip", content_type = "application/zip"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn export_person(
    With(state): With<Arc<State>>,
    headers: HeaderMap,
    Path(person): Path<String>,
) -> Result<Response, Problem> {
    let source = server(&state, &headers)?;
    let (person, reason) = (person_id(&person)?, reason(&headers)?);
    may_open(&state, person, Artefact::PORTAL)?;
    note(&state, &source, "exported_person", person, reason).await?;
    Ok(person::archive(&state, person).await?)
}

/// Why a decision was made, for 30 days and without what has ended since. The reason is shown to the person.
#[utoipa::path(
    get, path = "/v1/decisions/{decision}/why",
    params(("decision" = String, Path, description = "dec_…"), ("Fineline-Reason" = String, Header, description = "shown to the person")),
    responses((status = 200, description = "the sentence and everything behind it"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn why(
    With(state): With<Arc<State>>,
    headers: HeaderMap,
    Path(decision): Path<String>,
) -> Result<Response, Problem> {
    let source = server(&state, &headers)?;
    let reason = reason(&headers)?;
    let decision = DecisionId::parse(&decision).map_err(|_| Problem::unknown())?;
    let person = state.vault().snapshot().person_of(decision).ok_or_else(Problem::unknown)?;
    // Whether it may be told is known only by opening it, so an asking that is refused stands there too.
    note(&state, &source, "opened_decision", person, reason).await?;
    Ok(Json(explain(&state.vault().snapshot(), person, decision)?).into_response())
}

/// The reading belongs to the campaign that decided: no other may look.
fn explain(snapshot: &Snapshot, person: ProfileId, decision: DecisionId) -> Result<MessageCopy, Problem> {
    let reader = Reader::masking(snapshot);
    let mut refusal = None;
    for artefact in snapshot.promise().artefacts().values().filter(|artefact| artefact.kind == ArtefactKind::Campaign) {
        let found = snapshot
            .permit(person, artefact.id)
            .and_then(|permit| Ok(snapshot.decision(&permit, decision)?.map(|view| reader.message(&view))));
        match found {
            Ok(Some(message)) if message.at.0.plus_days(WHY_DAYS) <= snapshot.now() => return Err(Problem::unknown()),
            Ok(Some(message)) => return Ok(message.without_expired(snapshot.now())),
            Ok(None) => {}
            Err(no) => refusal = Some(no),
        }
    }
    Err(refusal.map_or_else(Problem::unknown, Problem::from))
}

/// That we obey Global Privacy Control.
#[utoipa::path(get, path = "/.well-known/gpc.json", responses((status = 200, body = Gpc)))]
pub(super) async fn gpc(With(state): With<Arc<State>>) -> Response {
    let last_update = state.vault().snapshot().promise().notice.starts.to_string();
    Json(Gpc { gpc: true, last_update }).into_response()
}

/// The public keys of receipts and reviews, as a JWK set.
#[utoipa::path(
    get, path = "/.well-known/fineline-keys.json",
    responses((status = 200, description = "a JWK set", content_type = "application/json"))
)]
pub(super) async fn keys(With(state): With<Arc<State>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], state.vault().public_keys_json()).into_response()
}
