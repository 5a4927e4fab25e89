//! The doors: addresses, cookies, headers, forms. Around every answer stand the same headers; a page that cannot be shown
//! becomes a kind word in one place. What the pages say is in their own files.

mod api;
mod log;
mod message;
mod person;

pub use api::Api;
pub use log::log_routes;

use crate::frame::{Frame, MARK, SHEET};
use crate::front::{EnterPage, FrontPage, SorryPage};
use crate::{PortalError, Session, State};
use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Form, FromRequestParts, Path, Request, State as With};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderName, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use promise::Refusal;
use std::sync::Arc;
use vault::VaultError;

/// Largest form, in bytes.
pub const FORM_BYTES_MAX: usize = 16 * 1024;
/// How long a browser may keep the sheet and the mark, in seconds: a year; their address names their version.
const ASSET_SECONDS: u32 = 31_536_000;

const SHEET_AT: &str = "/privacy/fineline.css";
const MARK_AT: &str = "/privacy/mark.svg";

const HEADERS: [(HeaderName, &str); 8] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (CACHE_CONTROL, "no-store"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// Everything the portal answers: pages, message links, server API, well-known files, the log.
pub fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/privacy", get(front))
        .route("/privacy/notice", get(person::notice))
        .route(SHEET_AT, get(sheet))
        .route(MARK_AT, get(mark))
        .route("/privacy/enter/{secret}", get(enter_page).post(enter))
        .route("/privacy/leave", post(leave))
        .merge(person::routes())
        .merge(message::routes())
        .merge(api::routes())
        .merge(log::routes())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&state), around))
        .with_state(state)
}

/// Who is here, as one request knows it.
#[derive(Clone)]
struct Visit {
    session: Option<Session>,
    /// Global Privacy Control is on.
    gpc: bool,
}

impl Visit {
    /// The frame of a page for anybody; the menu stays for who is signed in.
    fn frame(&self, state: &State) -> Frame {
        let snapshot = state.vault().snapshot();
        match &self.session {
            Some(session) => Frame::of(snapshot.promise(), session, "", self.gpc),
            None => Frame::open(snapshot.promise(), self.gpc),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Sorry;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Sorry> {
        parts.extensions.get::<Self>().cloned().ok_or(Sorry::Gone)
    }
}

/// Why a page cannot be shown; `around` turns it into words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sorry {
    /// Not there, used, too old: always the same answer.
    Gone,
    /// Not signed in: to the front page.
    SignIn,
    /// A form without the session's token, or from another site.
    StaleForm,
    /// A form that cannot be read.
    Unclear,
    /// The vault said no.
    Refused,
    /// Busy: again soon.
    Busy,
    /// Broken; the log has it.
    Failed,
}

impl IntoResponse for Sorry {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Gone => StatusCode::NOT_FOUND,
            Self::SignIn => StatusCode::SEE_OTHER,
            Self::StaleForm | Self::Refused => StatusCode::FORBIDDEN,
            Self::Unclear => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<PortalError> for Sorry {
    fn from(error: PortalError) -> Self {
        match &error {
            PortalError::Vault(
                VaultError::Busy | VaultError::DiskFull | VaultError::Closed | VaultError::Away { .. },
            ) => Self::Busy,
            _ => {
                tracing::error!(error = &error as &dyn std::error::Error, "the portal could not answer");
                Self::Failed
            }
        }
    }
}

impl From<VaultError> for Sorry {
    fn from(error: VaultError) -> Self {
        PortalError::from(error).into()
    }
}

impl From<Refusal> for Sorry {
    fn from(refusal: Refusal) -> Self {
        match refusal.reason {
            promise::RefusalReason::NoSuchPerson => Self::SignIn,
            _ => Self::Refused,
        }
    }
}

impl Sorry {
    fn page(&self, frame: Frame) -> Option<SorryPage> {
        Some(match self {
            Self::SignIn => return None,
            Self::Gone => SorryPage::gone(frame),
            Self::StaleForm => SorryPage::stale_form(frame),
            Self::Unclear => SorryPage::unclear(frame),
            Self::Refused => SorryPage::refused(frame),
            Self::Busy | Self::Failed => SorryPage::busy(frame),
        })
    }
}

/// Who is here before; kind words, cookie and headers after. Message links and the server's door never look at cookies.
async fn around(With(state): With<Arc<State>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // The sheet and the mark are kept by caches that many share, so no session is looked up, or renewed, for them.
    let is_own = path.starts_with("/privacy") && ![SHEET_AT, MARK_AT].contains(&path);
    let is_api = path.starts_with("/v1/") || path.starts_with("/log/");
    let cookie = is_own.then(|| cookie(request.headers(), state.cookie().0)).flatten();
    let session = cookie.and_then(|token| state.sessions.find(&token));
    let gpc = request.headers().get_all("sec-gpc").iter().any(|value| value == "1");
    let visit = Visit { session, gpc };
    let foreign = is_own && request.method() == Method::POST && is_foreign(request.headers());
    request.extensions_mut().insert(visit.clone());
    let mut response = if foreign { Sorry::StaleForm.into_response() } else { next.run(request).await };
    let sorry = response.extensions_mut().remove::<Sorry>();
    match sorry {
        Some(sorry) => response = sorry_response(&state, &visit, &sorry),
        None if is_api => response = api_response(response),
        None if response.status() == StatusCode::NOT_FOUND => response = sorry_response(&state, &visit, &Sorry::Gone),
        None => {}
    }
    if let Some(token) = visit.session.and_then(|session| session.renewed)
        && !response.headers().contains_key(SET_COOKIE)
    {
        set_cookie(&state, &mut response, &token, crate::session::SESSION_MS / 1_000);
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The server's door answers in JSON, also when axum refused before it.
fn api_response(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if response.status().is_client_error() && !kind.contains("json") {
        return api::refused(response.status());
    }
    response
}

fn sorry_response(state: &State, visit: &Visit, sorry: &Sorry) -> Response {
    let mut response = match sorry.page(visit.frame(state)) {
        None => redirect("/privacy"),
        Some(page) => show(&page).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    };
    *response.status_mut() = sorry.clone().into_response().status();
    if *sorry == Sorry::Busy {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A form that another site made the browser send.
fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

fn set_cookie(state: &State, response: &mut Response, token: &str, seconds: i64) {
    let (name, is_secure) = state.cookie();
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
}

fn show(page: &impl Template) -> Result<Response, Sorry> {
    let html = page.render().map_err(PortalError::from)?;
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

/// After a form: `to` is made of fixed words and random ids only.
fn redirect(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(value) => (StatusCode::SEE_OTHER, [(LOCATION, value)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn file(kind: &'static str, name: &str, bytes: impl Into<Body>) -> Response {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let mut response = ([(CONTENT_TYPE, kind)], bytes.into()).into_response();
    if let Ok(disposition) = disposition {
        response.headers_mut().insert(http::header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// A sent form, in order.
struct Sent(Vec<(String, String)>);

impl Sent {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> axum::extract::FromRequest<S> for Sent {
    type Rejection = Sorry;
    async fn from_request(request: Request, state: &S) -> Result<Self, Sorry> {
        let Form(fields) = Form::from_request(request, state).await.map_err(|_| Sorry::Unclear)?;
        Ok(Self(fields))
    }
}

/// Equal, in a time that does not tell where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

async fn front(With(state): With<Arc<State>>, visit: Visit) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    show(&FrontPage::new(visit.frame(&state), snapshot.promise()))
}

async fn sheet() -> Response {
    asset("text/css; charset=utf-8", SHEET)
}

async fn mark() -> Response {
    asset("image/svg+xml", MARK)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let keep = format!("public, max-age={ASSET_SECONDS}, immutable");
    ([(CONTENT_TYPE, kind.to_owned()), (CACHE_CONTROL, keep)], text).into_response()
}

async fn enter_page(
    With(state): With<Arc<State>>,
    visit: Visit,
    Path(secret): Path<String>,
) -> Result<Response, Sorry> {
    if !state.sessions.is_link(&secret) {
        return Err(Sorry::Gone);
    }
    show(&EnterPage { frame: Visit { session: None, ..visit }.frame(&state), secret })
}

async fn enter(With(state): With<Arc<State>>, visit: Visit, Path(secret): Path<String>) -> Result<Response, Sorry> {
    let (token, person) = state.sessions.enter(&secret).ok_or(Sorry::Gone)?;
    // A visit is an act of the person: the dates that a silence would bring move on.
    state.vault().visited(person)?.await?;
    if let Some(before) = visit.session {
        state.sessions.leave(&before);
    }
    let mut response = redirect("/privacy/me");
    set_cookie(&state, &mut response, &token, crate::session::SESSION_MS / 1_000);
    Ok(response)
}

async fn leave(With(state): With<Arc<State>>, visit: Visit, sent: Sent) -> Result<Response, Sorry> {
    let session = visit.session.ok_or(Sorry::SignIn)?;
    if !sent.get("csrf").is_some_and(|csrf| same(csrf, &session.csrf)) {
        return Err(Sorry::StaleForm);
    }
    state.sessions.leave(&session);
    let mut response = redirect("/privacy");
    set_cookie(&state, &mut response, "", 0);
    Ok(response)
}
