//! The door of the console: who may come in, which page is which address. GET changes nothing; each POST carries the
//! session's word and is refused from another origin.

use crate::page::{
    CampaignPage, CampaignsPage, Enter, Frame, LivePage, LiveRows, LogPage, ProblemPage, ReviewsPage, SegmentPage,
    SegmentsPage,
};
use crate::session::{Page, Role, SESSION_MS, Staff};
use crate::state::State;
use crate::view;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Form, FromRequest, FromRequestParts, Path, Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use decide::DecideError;
use decide::order::Wish;
use model::{AlarmId, ArtefactId, CampaignName, SegmentName};
use serde::Deserialize;
use std::sync::Arc;
use vault::{Review, StaffAct};

/// Largest form, in bytes.
const FORM_BYTES_MAX: usize = 4 * 1024;
/// Calls to recipients on one page.
const CALL_ROWS: usize = 100;
/// Entries of the log on one page.
const LOG_ROWS: usize = 200;
/// Alarms on one page.
const ALARM_ROWS: usize = 50;
/// Events on the live page.
const LIVE_ROWS: usize = 100;
const COOKIE: &str = "fineline_staff";
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

type Console = Arc<State>;

/// Every page of the console.
pub fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(live))
        .route("/live/rows", get(live_rows))
        .route("/segments", get(segments))
        .route("/segments/{name}", get(segment))
        .route("/campaigns", get(campaigns))
        .route("/campaigns/{name}", get(campaign))
        .route("/campaigns/{name}/start", post(start))
        .route("/campaigns/{name}/pause", post(pause))
        .route("/reviews", get(reviews))
        .route("/reviews/{id}", post(review))
        .route("/log", get(log))
        .route("/log/alarms/{id}", post(acknowledge))
        .route("/leave", post(leave))
        .route("/enter/{secret}", get(enter).post(redeem))
        .route(
            "/assets/fineline.css",
            get(|| asset("text/css; charset=utf-8", include_bytes!("../../../assets/fineline.css"))),
        )
        .route("/assets/mark.svg", get(|| asset("image/svg+xml", include_bytes!("../../../assets/mark.svg"))))
        .route(
            "/assets/console.js",
            get(|| asset("text/javascript; charset=utf-8", include_bytes!("../../../assets/console.js"))),
        )
        .fallback(|Shared(console): Shared<Console>| async move {
            problem(&console, StatusCode::NOT_FOUND, "There is no such page", "The address may have a typing mistake.")
        })
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn(guard_headers))
        .with_state(state)
}

async fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], bytes).into_response()
}

/// Strict headers on every answer; a form sent by another site's page is refused before it reaches a handler.
async fn guard_headers(request: Request, next: Next) -> Response {
    let foreign = request.method() != axum::http::Method::GET && comes_from_elsewhere(request.headers());
    let mut response = if foreign {
        (StatusCode::FORBIDDEN, "this form was sent from another site").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A browser says where a form came from in `Sec-Fetch-Site`; `Origin` is asked only where that is missing, because with
/// no referrer it reads "null" also for our own pages.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let word = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (word("sec-fetch-site"), word("origin"), word("host")) {
        (Some(site), _, _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, from)| from != host),
        (None, origin, _) => origin.is_some(),
    }
}

/// Somebody signed in, with the word their forms carry. A handler that asks for it is closed to everybody else.
struct Inside {
    staff: Staff,
    csrf: String,
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

impl FromRequestParts<Console> for Inside {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let found = cookie(&parts.headers).and_then(|value| console.sessions.find(&console.vault, value));
        let Some((staff, csrf)) = found else {
            let page = Enter { frame: frame(console, None, ""), secret: None };
            return Err((StatusCode::UNAUTHORIZED, render(&page)).into_response());
        };
        let role = staff.role;
        match Page::of(parts.uri.path()) {
            Some(page) if !role.may_see(page) => Err(match home(role).filter(|_| parts.uri.path() == "/") {
                // Where everybody arrives: on to the first page of their own.
                Some(home) => Redirect::to(home.href()).into_response(),
                None => {
                    let inside = Self { staff, csrf };
                    let says = format!("The role {} does not open this page.", role.as_str());
                    let page = ProblemPage {
                        frame: frame(console, Some(&inside), ""),
                        title: "Not with your role",
                        message: says,
                    };
                    (StatusCode::FORBIDDEN, render(&page)).into_response()
                }
            }),
            _ => Ok(Self { staff, csrf }),
        }
    }
}

fn home(role: Role) -> Option<Page> {
    Page::ALL.into_iter().find(|page| role.may_see(*page))
}

/// Somebody signed in, through a form of ours: it carries the session's word.
struct Meant(Inside);

/// The same, with a reason written into it.
struct Reasoned(Inside, String);

/// A form that carries the session's word, and perhaps a reason.
#[derive(Deserialize)]
struct Word {
    csrf: String,
    #[serde(default)]
    reason: String,
}

impl FromRequest<Console> for Meant {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        Reasoned::from_request(request, console).await.map(|Reasoned(inside, _)| Self(inside))
    }
}

impl FromRequest<Console> for Reasoned {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let inside = Inside::from_request_parts(&mut parts, console).await?;
        let form = Form::<Word>::from_request(Request::from_parts(parts, body), console).await;
        let Form(word) = form.map_err(IntoResponse::into_response)?;
        if word.csrf == inside.csrf {
            return Ok(Self(inside, word.reason));
        }
        let says = "Open the page again and repeat what you did.";
        Err(problem(console, StatusCode::FORBIDDEN, "This form is too old", says))
    }
}

fn frame(console: &Console, inside: Option<&Inside>, here: &'static str) -> Frame {
    Frame {
        company: console.promise.company.clone(),
        banner: console.banner.clone(),
        staff: inside.map(|inside| inside.staff.clone()),
        csrf: inside.map(|inside| inside.csrf.clone()).unwrap_or_default(),
        here,
    }
}

fn render(page: &impl Template) -> Response {
    metrics::counter!("fineline_console_pages_total").increment(1);
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn problem(console: &Console, status: StatusCode, title: &'static str, message: &str) -> Response {
    let page = ProblemPage { frame: frame(console, None, ""), title, message: message.to_owned() };
    (status, render(&page)).into_response()
}

fn not_found(console: &Console) -> Response {
    problem(console, StatusCode::NOT_FOUND, "There is no such thing", "The promise file declares nothing of this name.")
}

/// A failure of the store: told plainly, logged once with its whole chain.
fn failed(console: &Console, error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "a console page failed");
    problem(
        console,
        StatusCode::SERVICE_UNAVAILABLE,
        "This did not work",
        "The store did not answer. Please try again.",
    )
}

// ── the door ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async fn enter(Shared(console): Shared<Console>, Path(secret): Path<String>) -> Response {
    render(&Enter { frame: frame(&console, None, ""), secret: Some(secret) })
}

async fn redeem(Shared(console): Shared<Console>, Path(secret): Path<String>) -> Response {
    let staff = match blocking(&console, move |console| console.sessions.redeem(&console.vault, &secret)).await {
        Ok(staff) => staff,
        Err(error) => return failed(&console, &error),
    };
    let Some(staff) = staff else {
        let page = Enter { frame: frame(&console, None, ""), secret: None };
        return (StatusCode::NOT_FOUND, render(&page)).into_response();
    };
    let value = console.sessions.begin(&console.vault, &*console.rng, staff);
    let seconds = SESSION_MS / 1000;
    let set = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    ([(header::SET_COOKIE, set)], Redirect::to("/")).into_response()
}

async fn leave(Shared(console): Shared<Console>, headers: HeaderMap, _: Meant) -> Response {
    if let Some(value) = cookie(&headers) {
        console.sessions.end(&console.vault, value);
    }
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, gone)], Redirect::to("/")).into_response()
}

/// Runs what may wait for the store off the async threads.
async fn blocking<T: Send + 'static>(console: &Console, work: impl FnOnce(&State) -> T + Send + 'static) -> T {
    let console = Arc::clone(console);
    match tokio::task::spawn_blocking(move || work(&console)).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async fn live(Shared(console): Shared<Console>, inside: Inside) -> Response {
    render(&LivePage { frame: frame(&console, Some(&inside), "/"), rows: view::live(&console, LIVE_ROWS) })
}

async fn live_rows(Shared(console): Shared<Console>, _: Inside) -> Response {
    render(&LiveRows { rows: view::live(&console, LIVE_ROWS) })
}

async fn segments(Shared(console): Shared<Console>, inside: Inside) -> Response {
    let segments = blocking(&console, move |console| {
        let snapshot = console.vault.snapshot();
        console.promise.segments.values().map(|plan| view::segment(console, &snapshot, plan)).collect()
    })
    .await;
    render(&SegmentsPage { frame: frame(&console, Some(&inside), "/segments"), segments })
}

async fn segment(Shared(console): Shared<Console>, inside: Inside, Path(name): Path<String>) -> Response {
    let known = SegmentName::parse(&name).is_ok_and(|name| console.promise.segments.contains_key(&name));
    if !known {
        return not_found(&console);
    }
    let segment = blocking(&console, move |console| {
        let snapshot = console.vault.snapshot();
        console.promise.segments.get(name.as_str()).map(|plan| view::segment(console, &snapshot, plan))
    })
    .await;
    match segment {
        Some(segment) => render(&SegmentPage { frame: frame(&console, Some(&inside), "/segments"), segment }),
        None => not_found(&console),
    }
}

async fn campaigns(Shared(console): Shared<Console>, inside: Inside) -> Response {
    let campaigns = blocking(&console, move |console| {
        let snapshot = console.vault.snapshot();
        console.promise.campaigns.values().map(|plan| view::campaign_row(&snapshot, plan)).collect()
    })
    .await;
    render(&CampaignsPage { frame: frame(&console, Some(&inside), "/campaigns"), campaigns })
}

async fn campaign(Shared(console): Shared<Console>, inside: Inside, Path(name): Path<String>) -> Response {
    let framed = frame(&console, Some(&inside), "/campaigns");
    let page: Option<CampaignPage> = blocking(&console, move |console| {
        let snapshot = console.vault.snapshot();
        let plan = console.promise.campaigns.get(name.as_str())?;
        Some(view::campaign(console, &snapshot, plan, framed))
    })
    .await;
    page.map_or_else(|| not_found(&console), |page| render(&page))
}

async fn reviews(Shared(console): Shared<Console>, inside: Inside) -> Response {
    let rows = view::reviews(&console.vault.snapshot());
    let may_review = inside.staff.role.may_review();
    render(&ReviewsPage { frame: frame(&console, Some(&inside), "/reviews"), rows, may_review })
}

async fn log(Shared(console): Shared<Console>, inside: Inside) -> Response {
    let framed = frame(&console, Some(&inside), "/log");
    let page = blocking(&console, move |console| {
        let snapshot = console.vault.snapshot();
        let (rows, outbox) = view::log(&snapshot, LOG_ROWS)?;
        let alarms = view::alarms(&snapshot, ALARM_ROWS)?;
        let calls = view::calls(&snapshot, CALL_ROWS)?;
        let may_acknowledge = framed.staff.as_ref().is_some_and(|staff| staff.role.may_acknowledge());
        Ok::<_, vault::VaultError>(LogPage { frame: framed, rows, outbox, calls, alarms, may_acknowledge })
    })
    .await;
    match page {
        Ok(page) => render(&page),
        Err(error) => failed(&console, &error),
    }
}

// ── acting ────────────────────────────────────────────────────────────────────────────────────────────────────────────

async fn start(shared: Shared<Console>, path: Path<String>, meant: Meant) -> Response {
    turn(shared, path, meant, Wish::Start).await
}

async fn pause(shared: Shared<Console>, path: Path<String>, meant: Meant) -> Response {
    turn(shared, path, meant, Wish::Pause).await
}

/// Starts or pauses a campaign: its state record, and an entry in the one log.
async fn turn(
    Shared(console): Shared<Console>,
    Path(name): Path<String>,
    Meant(inside): Meant,
    wish: Wish,
) -> Response {
    if !inside.staff.role.may_run_campaigns() {
        return problem(
            &console,
            StatusCode::FORBIDDEN,
            "Not with your role",
            "Only marketers start and pause campaigns.",
        );
    }
    let Some(campaign) = CampaignName::parse(&name).ok().filter(|name| console.promise.campaigns.contains_key(name))
    else {
        return not_found(&console);
    };
    let done = blocking(&console, move |console| {
        decide::order::order(&console.vault, &console.promise, &campaign, wish, &inside.staff.name)
    })
    .await;
    match done {
        Ok(_) => Redirect::to(&format!("/campaigns/{name}")).into_response(),
        Err(DecideError::Refused { refusal, .. }) => {
            problem(&console, StatusCode::CONFLICT, "This campaign may not start", &refusal.sentence())
        }
        Err(error) => failed(&console, &error),
    }
}

/// Notes that somebody looked at an alarm, and what they found.
async fn acknowledge(
    Shared(console): Shared<Console>,
    Path(id): Path<String>,
    Reasoned(inside, reason): Reasoned,
) -> Response {
    if !inside.staff.role.may_acknowledge() {
        let says = "Privacy staff and operators look at alarms.";
        return problem(&console, StatusCode::FORBIDDEN, "Not with your role", says);
    }
    let Ok(alarm) = AlarmId::parse(&id) else { return not_found(&console) };
    let name = inside.staff.name;
    match blocking(&console, move |console| console.vault.acknowledge(alarm, &name, &reason)?.wait()).await {
        Ok(true) => Redirect::to("/log").into_response(),
        Ok(false) => {
            let says = "Say what you found. Perhaps somebody has looked at it already.";
            problem(&console, StatusCode::CONFLICT, "This alarm was not changed", says)
        }
        Err(error) => failed(&console, &error),
    }
}

async fn review(Shared(console): Shared<Console>, Path(id): Path<String>, Meant(inside): Meant) -> Response {
    if !inside.staff.role.may_review() {
        return problem(&console, StatusCode::FORBIDDEN, "Not with your role", "Marketers and privacy staff review.");
    }
    let Ok(artefact) = ArtefactId::parse(&id) else { return not_found(&console) };
    let known = console.vault.snapshot().artefacts().iter().any(|state| state.id == artefact);
    if !known {
        return not_found(&console);
    }
    let done = blocking(&console, move |console| {
        let (staff, at) = (inside.staff.name, console.vault.now());
        let role = inside.staff.role.as_str().to_owned();
        console.vault.review(Review { artefact, staff: staff.clone(), role, at })?.wait()?;
        let act = StaffAct { staff, act: "reviewed", person: None, reason: artefact.to_string(), at };
        console.vault.staff_act(act)?.wait()
    })
    .await;
    match done {
        Ok(()) => Redirect::to("/reviews").into_response(),
        Err(error) => failed(&console, &error),
    }
}
