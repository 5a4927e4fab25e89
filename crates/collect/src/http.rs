//! The doors on HTTP: wire routes with the statuses of the wire contract, the settings document, `/v1/consent` with
//! problem documents. Reads no cookie; a caller's origin is echoed only when a browser source names it.

use crate::consent::{ConsentBody, ConsentError, ConsentRecorded, ConsentState, state as consent_state, whose};
use crate::wire::WireError;
use crate::wire::body::{BODY_BYTES_MAX, json_text};
use crate::wire::call::{self, kind_of};
use crate::wire::key::write_key;
use crate::wire::settings::settings;
use crate::{CONSENTS_TOTAL, REQUESTS_TOTAL, State};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use promise::{Source, SourceKind};
use serde_json::json;
use std::sync::Arc;
use vault::VaultError;

/// How long a browser may remember a preflight answer, in seconds.
const PREFLIGHT_S: &str = "86400";
/// Most bytes of request header names that are echoed.
const ECHO_BYTES_MAX: usize = 1_024;
/// Carries the browser's id for `GET /v1/consent`: an id in an address would stand in logs.
const ANONYMOUS_ID: &str = "anonymousid";
/// Carries the person's id for `GET /v1/consent`, with a server key.
const USER_ID: &str = "userid";

/// The public routes of this room, for `/openapi.json`.
#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    paths(take_batch, take_one, get_settings, post_consent, get_consent),
    components(schemas(ConsentBody, ConsentRecorded, ConsentState, Problem))
)]
pub struct Api;

/// All routes of this room.
pub fn routes(state: Arc<State>) -> Router {
    let one = ["t", "p", "i", "g", "a", "s", "track", "page", "identify", "group", "alias", "screen"];
    let many = ["/v1/batch", "/v1/import", "/v1/b", "/v1/batch/{any}", "/v1/import/{any}"];
    let documents = ["/v1/projects/{key}/settings", "/projects/{key}/settings", "/projects/projects/{key}/settings"];
    let mut router = Router::new().route("/v1/m", post(metrics_of_clients));
    for letter in one {
        router = router.route(&format!("/v1/{letter}"), post(take_one));
    }
    for path in many {
        router = router.route(path, post(take_batch));
    }
    for path in documents {
        router = router.route(path, get(get_settings));
    }
    router
        .route("/v1/consent", post(post_consent).get(get_consent))
        .method_not_allowed_fallback(|| async { refused("wire", &WireError::NotFound) })
        .layer(from_fn_with_state(state.clone(), cors))
        .with_state(state)
}

// ── wire ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Takes a batch of events of the Segment spec, or a single one.
#[utoipa::path(post, path = "/v1/batch", request_body(content_type = "application/json"), responses(
    (status = 200, description = "taken, each event judged and synced; undeclared ones are counted, not stored"),
    (status = 400, description = "not readable, or above a limit: final"),
    (status = 401, description = "no key, or an unknown one: final"),
    (status = 429, description = "busy; Retry-After says when again"),
    (status = 503, description = "nothing is taken right now")))]
async fn take_batch(shared: Shared<Arc<State>>, request: Request) -> Response {
    take(shared, request).await
}

/// Takes one event; its type may stand in the path alone.
#[utoipa::path(post, path = "/v1/track", request_body(content_type = "application/json"), responses(
    (status = 200, description = "taken, judged and synced; an undeclared event is counted, not stored"),
    (status = 400, description = "not readable, or above a limit: final"),
    (status = 401, description = "no key, or an unknown one: final"),
    (status = 429, description = "busy; Retry-After says when again"),
    (status = 503, description = "nothing is taken right now")))]
async fn take_one(shared: Shared<Arc<State>>, request: Request) -> Response {
    take(shared, request).await
}

async fn take(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let bytes = bytes_of(&parts.headers, body).await?;
        let json = json_text(&bytes)?;
        let by_path = parts.uri.path().rsplit('/').next().and_then(kind_of);
        let calls = call::read(&json, by_path)?;
        let key = write_key(&parts.headers, calls.write_key.clone(), parts.uri.query())?;
        let source = source_of(&state, &key, &parts.headers)?;
        state.take(calls, source, is_gpc(&parts.headers, source)).await
    };
    match answer.await {
        Ok(()) => {
            count("wire", StatusCode::OK);
            as_json(StatusCode::OK, &json!({ "success": true }))
        }
        Err(error) => refused("wire", &error),
    }
}

/// What clients measure about themselves is nobody's business here.
async fn metrics_of_clients(request: Request) -> Response {
    // Read, so that the connection stays open; nothing is looked at.
    let _ = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
    as_json(StatusCode::OK, &json!({ "success": true }))
}

/// The document a browser client fetches before any event.
#[utoipa::path(get, path = "/v1/projects/{writeKey}/settings", params(("writeKey" = String, Path,)), responses(
    (status = 200, description = "where events go, and which consents are asked for"),
    (status = 404, description = "no such key")))]
async fn get_settings(Shared(state): Shared<Arc<State>>, Path(key): Path<String>) -> Response {
    let Some(source) = state.source_of(&key) else { return refused("settings", &WireError::NotFound) };
    count("settings", StatusCode::OK);
    as_json(StatusCode::OK, &settings(source, &key, &state.base_url))
}

async fn bytes_of(headers: &HeaderMap, body: Body) -> Result<Bytes, WireError> {
    let too_large = WireError::TooLarge { what: "the body", limit: "500 KB" };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large);
    }
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| too_large)
}

/// The source of a key; a browser key from a page that its source does not name is refused.
fn source_of<'s>(state: &'s State, key: &str, headers: &HeaderMap) -> Result<&'s Source, WireError> {
    let source = state.source_of(key).ok_or(WireError::UnknownKey)?;
    match headers.get(header::ORIGIN) {
        Some(origin) if source.kind == SourceKind::Browser && !names(source, origin) => Err(WireError::ForeignOrigin),
        _ => Ok(source),
    }
}

/// Global Privacy Control is the wish of the browser's person; a server's own header says nothing about anybody.
fn is_gpc(headers: &HeaderMap, source: &Source) -> bool {
    source.kind == SourceKind::Browser && headers.get("sec-gpc").is_some_and(|value| value == "1")
}

fn refused(door: &'static str, error: &WireError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    count(door, status);
    let mut response = as_json(status, &json!({ "code": error.code(), "message": error.to_string() }));
    if matches!(error, WireError::Busy | WireError::Unavailable) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(WireError::RETRY_AFTER_S));
    }
    response
}

fn as_json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn count(door: &'static str, status: StatusCode) {
    metrics::counter!(REQUESTS_TOTAL, "door" => door, "status" => status.as_u16().to_string()).increment(1);
}

// ── consent ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A problem document (RFC 9457).
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`.
    pub r#type: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The word for machines.
    pub code: &'static str,
    /// In a sentence.
    pub message: String,
    /// The promise line that decided, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

fn problem(status: StatusCode, code: &'static str, message: String, line: Option<u32>) -> Response {
    count("consent", status);
    let title = status.canonical_reason().unwrap_or("Problem");
    let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), code, message, line };
    let mut response = as_json(status, &problem);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(WireError::RETRY_AFTER_S));
    }
    response
}

impl IntoResponse for WireError {
    /// As a problem document, for the routes that are not part of the wire.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        problem(status, self.code(), self.to_string(), None)
    }
}

impl IntoResponse for ConsentError {
    fn into_response(self) -> Response {
        let status = if self == Self::NotYours { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
        problem(status, self.code(), self.to_string(), self.line())
    }
}

/// Records one answer about one purpose, with the words the person saw.
#[utoipa::path(post, path = "/v1/consent", request_body = ConsentBody, responses(
    (status = 200, description = "in force and synced; the receipt is the person's", body = ConsentRecorded),
    (status = 400, description = "no free answer: no words, several purposes, ticked beforehand", body = Problem),
    (status = 401, description = "no key, or an unknown one", body = Problem),
    (status = 403, description = "a browser key for a person", body = Problem),
    (status = 429, description = "busy; Retry-After says when again", body = Problem)))]
async fn post_consent(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let bytes = bytes_of(&parts.headers, body).await.map_err(IntoResponse::into_response)?;
        let json = json_text(&bytes).map_err(IntoResponse::into_response)?;
        let body = ConsentBody::read(&json).map_err(IntoResponse::into_response)?;
        let key = write_key(&parts.headers, body.write_key.clone(), parts.uri.query());
        let source =
            key.and_then(|key| source_of(&state, &key, &parts.headers)).map_err(IntoResponse::into_response)?;
        let change = body.change(&state.promise, source, state.vault.now()).map_err(IntoResponse::into_response)?;
        let vault = |error: VaultError| WireError::from(error).into_response();
        let answer = state.vault.consent(change.clone()).map_err(vault)?.await.map_err(vault)?;
        Ok::<_, Response>(ConsentRecorded::of(&change, &answer))
    };
    match answer.await {
        Ok(recorded) => {
            let known = if recorded.recorded { "yes" } else { "no" };
            metrics::counter!(CONSENTS_TOTAL, "status" => recorded.status, "recorded" => known).increment(1);
            count("consent", StatusCode::OK);
            as_json(StatusCode::OK, &recorded)
        }
        Err(response) => response,
    }
}

/// How a browser (header `AnonymousId`) or a person (header `UserId`, server key) stands to each purpose that asks.
#[utoipa::path(get, path = "/v1/consent", params(
    ("AnonymousId" = Option<String>, Header, description = "the browser's id"),
    ("UserId" = Option<String>, Header, description = "the person's id; with a server key only")),
    responses((status = 200, body = ConsentState), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem)))]
async fn get_consent(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let key = write_key(headers, None, request.uri().query());
    let source = match key.and_then(|key| source_of(&state, &key, headers)) {
        Ok(source) => source,
        Err(error) => return error.into_response(),
    };
    match whose(source, text(ANONYMOUS_ID), text(USER_ID)) {
        Ok(whose) => {
            count("consent", StatusCode::OK);
            as_json(StatusCode::OK, &consent_state(&state.vault.snapshot(), &state.promise, &whose))
        }
        Err(error) => error.into_response(),
    }
}

// ── origins ───────────────────────────────────────────────────────────────────────────────────────────────────────────

fn names(source: &Source, origin: &HeaderValue) -> bool {
    source.origins.iter().any(|known| known.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

/// Echoes the origin of pages that a browser source names, on preflights and answers.
async fn cors(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let browsers = || state.promise.sources.values().filter(|source| source.kind == SourceKind::Browser);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| browsers().any(|source| names(source, origin)));
    let is_preflight = request.method() == Method::OPTIONS;
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = if is_preflight {
        (StatusCode::OK, [(header::CONTENT_LENGTH, "0")]).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(origin) = origin else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    if is_preflight {
        headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_S));
        if let Some(asked) = asked.filter(|asked| asked.len() <= ECHO_BYTES_MAX) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
    }
    response
}

#[cfg(test)]
mod tests;
