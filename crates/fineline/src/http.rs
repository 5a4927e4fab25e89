//! One router out of the rooms' routes, with the limits that hold for all of them ([`admitted`], [`aside`], [`guarded`]), and the
//! program's own routes: alive, ready, metrics, API description, and for the operator a backup, the search of its own memory and
//! the rotation of keys. The only file of the program, beside the demonstration's pages, that names axum.
//!
//! Requests are traced by route template, never by path: a path could hold a token.

use crate::admission::{Admission, Admitted, Ask, Shed};
use crate::clock::Stopwatch;
use crate::listener::Peer;
use crate::readiness::{NotReady, Readiness};
use crate::telemetry;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use collect::consent::{ConsentError, OneOrMore, SaidAt};
use hyper::body::Frame;
use metrics_exporter_prometheus::PrometheusHandle;
use model::{Buckets, Clock};
use promise::Promise;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use vault::census::MemoryNeedle;
use vault::{Pass, Pending, Rotation, SEALED_BODY_BYTES_MAX, SealedAct, SealedHouse, Urgency, Vault, VaultError};

/// Longest time for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Largest body of any route; rooms set smaller ones.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What the program's own routes need.
#[derive(Clone)]
struct Own {
    ready: Arc<Readiness>,
    metrics: PrometheusHandle,
    openapi: Arc<str>,
    vault: Vault,
}

/// `/livez`, `/readyz`, `/metrics`, `/openapi.json`.
pub fn own_routes(ready: Arc<Readiness>, metrics: PrometheusHandle, openapi: String, vault: Vault) -> Router {
    let own = Own { ready, metrics, openapi: openapi.into(), vault };
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .route("/openapi.json", get(openapi_json))
        .with_state(own)
}

async fn readyz(State(own): State<Own>) -> Response {
    match own.ready.why_not() {
        None => "ready\n".into_response(),
        Some(why) => busy(problem(StatusCode::SERVICE_UNAVAILABLE, why.as_str(), why.says()), READY_AFTER_SECONDS),
    }
}

async fn render(State(own): State<Own>) -> Response {
    // Some figures are asked of the disk, which may be slow just when they matter most.
    let vault = own.vault.clone();
    if tokio::task::spawn_blocking(move || telemetry::note_vault(&vault)).await.is_err() {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", "the figures could not be gathered: see the log");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], own.metrics.render()).into_response()
}

async fn openapi_json(State(own): State<Own>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], own.openapi.to_string()).into_response()
}

/// A key given as hashes, as `fineline census note` writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemoryKey {
    /// Drawn for this search.
    pub salt: u64,
    /// Salted hash of the first 8 bytes.
    pub first: u32,
    /// SHA-256 of all 32 bytes, in hex.
    pub whole: String,
}

/// How long one answer about a rotation is waited for; then the operator asks again.
const ROTATE_WAIT: Duration = Duration::from_secs(20);

/// Most keys in one search of memory.
const MEMORY_KEYS_MAX: usize = 1_000;

/// What the operator's own routes need.
struct Operator {
    vault: Vault,
    pass: Pass,
    /// One search at a time: each reads all of memory.
    turn: Mutex<()>,
    /// One backup at a time: each holds a reading of the store.
    backup: Arc<tokio::sync::Mutex<()>>,
    /// A rotation that was asked for and takes longer than one answer.
    rotating: tokio::sync::Mutex<Option<Pending<Rotation>>>,
}

/// What whoever reads the data folder may ask of the serving process, on the console's listener: they show the pass that lies
/// there. `POST /backup`: the streams of a backup, in which everything is ciphertext. `POST /removal`: whether what has ended is
/// removed in time. `POST /alarms/open`: how many alarms nobody has looked at, and how many calls to recipients are overdue.
/// `POST /key/rotate`. `POST /census/memory`: whether keys, given only as hashes, stand in this process's memory;
/// it tells nobody a key, for who asks must know its hash already.
pub fn operator_routes(vault: Vault, pass: Pass) -> Router {
    let (turn, backup, rotating) = (Mutex::new(()), Arc::default(), tokio::sync::Mutex::default());
    let operator = Arc::new(Operator { vault, pass, turn, backup, rotating });
    let is_operator = axum::middleware::from_fn_with_state(operator.clone(), operator_only);
    Router::new()
        .route("/census/memory", post(search_memory))
        .route("/alarms/open", post(open_alarms))
        .route("/removal", post(removal_state))
        .route("/backup", post(give_streams))
        .route("/key/rotate", post(rotate_keys))
        .route_layer(is_operator)
        .with_state(operator)
}

/// Bytes handed on at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait to be fetched.
const PIECES_MAX: usize = 8;
/// How long a piece may wait until it is fetched: a backup that stands still must not keep the store from clearing up.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The streams of a backup, from one reading of the store, as they are fetched. One at a time.
async fn give_streams(State(operator): State<Arc<Operator>>) -> Response {
    let Ok(turn) = operator.backup.clone().try_lock_owned() else {
        return problem(StatusCode::CONFLICT, "another_backup", "another backup is being fetched: wait for its end");
    };
    let source = match operator.vault.backup() {
        Ok(source) => source.await,
        Err(error) => Err(error),
    };
    let Ok(source) = source else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "busy", "the house cannot be read just now: try again");
    };
    let (pieces, fetched) = mpsc::channel(PIECES_MAX);
    let mut out = Pieces { pieces, runtime: Handle::current(), piece: Vec::new() };
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let written = source.write(&mut out).map_err(std::io::Error::other).and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::warn!(error = &error as &dyn std::error::Error, "a backup was not fetched to its end");
            // The connection breaks; and what ends too early has no trailer, so nobody takes it for whole.
            let _ = out.pieces.try_send(Err(error));
        }
    });
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(Fetched(fetched))).into_response()
}

type Piece = std::io::Result<Bytes>;

/// Where the streams are written: a bounded queue of pieces.
struct Pieces {
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        let sent = self.runtime.block_on(self.pieces.send_timeout(Ok(piece), PIECE_WAIT_MAX));
        sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    }
}

/// The other end of the queue, as the body of an answer.
struct Fetched(mpsc::Receiver<Piece>);

impl HttpBody for Fetched {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Before a body is read: whoever cannot read the data folder is nobody here.
async fn operator_only(State(operator): State<Arc<Operator>>, request: Request, next: Next) -> Response {
    let shown =
        request.headers().get(header::AUTHORIZATION).and_then(|shown| shown.to_str().ok()?.strip_prefix("Bearer "));
    if shown.is_some_and(|token| operator.pass.admits(token)) {
        return next.run(request).await;
    }
    let says =
        "show the token of the file `pass` in the data folder, as `fineline census memory` and `fineline backup` do";
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem(StatusCode::UNAUTHORIZED, "not_the_operator", says))
        .into_response()
}

async fn open_alarms(State(operator): State<Arc<Operator>>) -> Response {
    let n_overdue = operator.vault.snapshot().n_erase_calls_overdue();
    let n_overdue = n_overdue.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "the calls to recipients could not be counted");
    });
    Json(serde_json::json!({ "open": operator.vault.n_alarms_open(), "calls_overdue": n_overdue.ok() })).into_response()
}

/// How far the removal of what has ended has come.
async fn removal_state(State(operator): State<Arc<Operator>>) -> Response {
    match operator.vault.removal() {
        Ok(state) => Json(serde_json::json!({
            "due_at_ms": state.due_at().ms(),
            "late": state.is_late(operator.vault.now()),
            "within_days": state.within_days,
        }))
        .into_response(),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "unreadable", "the house cannot be read just now"),
    }
}

/// What is asked of a rotation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rotate {
    /// Wait on for the one asked for before; else a new one, which covers everything that was deleted until now.
    pub goes_on: bool,
}

/// How a rotation ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rotated {
    /// The new version.
    pub version: u32,
    /// Rows re-wrapped.
    pub rewrapped: u64,
}

/// 200 when it is done; 202 while it goes on: ask again.
async fn rotate_keys(State(operator): State<Arc<Operator>>, Json(rotate): Json<Rotate>) -> Response {
    let Ok(mut rotating) = operator.rotating.try_lock() else { return StatusCode::ACCEPTED.into_response() };
    let pending = match rotating.take().filter(|_| rotate.goes_on) {
        Some(pending) => Ok(pending),
        None => operator.vault.rotate(),
    };
    let answer = match pending {
        Ok(mut pending) => match tokio::time::timeout(ROTATE_WAIT, &mut pending).await {
            Ok(answer) => answer,
            Err(_) => {
                *rotating = Some(pending);
                return StatusCode::ACCEPTED.into_response();
            }
        },
        Err(error) => Err(error),
    };
    match answer {
        Ok(done) => Json(Rotated { version: done.version, rewrapped: done.n_rows }).into_response(),
        Err(error) => {
            let says = format!("{:#}; what is done stays done, ask again", anyhow::Error::new(error));
            problem(StatusCode::SERVICE_UNAVAILABLE, "not_rotated", &says)
        }
    }
}

async fn search_memory(State(operator): State<Arc<Operator>>, Json(keys): Json<Vec<MemoryKey>>) -> Response {
    let needles: Option<Vec<MemoryNeedle>> = keys.iter().map(needle).collect();
    let Some(needles) = needles.filter(|needles| needles.len() <= MEMORY_KEYS_MAX) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "malformed",
            "at most 1000 keys, each as salt, first and 64 hex digits",
        );
    };
    let house = operator.vault.house().to_string();
    let searched = tokio::task::spawn_blocking(move || {
        let _turn = operator.turn.lock().unwrap_or_else(PoisonError::into_inner);
        operator.vault.search_own_memory(&needles)
    });
    match searched.await {
        Ok(Ok((found, n_bytes))) => {
            let found: Vec<String> = found.iter().map(|whole| hex(whole)).collect();
            Json(serde_json::json!({ "house": house, "found": found, "bytes": n_bytes })).into_response()
        }
        Ok(Err(_)) | Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "not_searched", "memory cannot be read here"),
    }
}

fn needle(key: &MemoryKey) -> Option<MemoryNeedle> {
    let digits: Vec<u8> = key
        .whole
        .bytes()
        .map(|digit| char::from(digit).to_digit(16))
        .map(|digit| u8::try_from(digit?).ok())
        .collect::<Option<_>>()?;
    let mut whole = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in whole.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Some(MemoryNeedle { salt: key.salt, first: key.first, whole })
}

/// Bytes in hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// ── who is let in, and where the work is done ─────────────────────────────────────────────────────────────────────────

/// When to ask again for readiness, in seconds.
const READY_AFTER_SECONDS: u64 = 5;

/// What a route is for, by its path: the reserved room that it has under load. Health is nobody's affair here.
fn urgency(path: &str) -> Option<Urgency> {
    let wire = ["/v1/batch", "/v1/import", "/v1/b", "/v1/m", "/beacon/", "/pixel/", "/v1/projects", "/projects/"];
    match path {
        "/livez" | "/readyz" | "/metrics" | "/openapi.json" => None,
        "/v1/decide" => Some(Urgency::Decision),
        _ if wire.iter().any(|prefix| path.starts_with(prefix)) => Some(Urgency::Browser),
        _ if is_one_event(path) => Some(Urgency::Browser),
        // Everything else is somebody's own: answers, pages, links of messages, receipts, the log.
        _ => Some(Urgency::Person),
    }
}

fn is_one_event(path: &str) -> bool {
    let one = ["t", "p", "i", "g", "a", "s", "track", "page", "identify", "group", "alias", "screen"];
    path.strip_prefix("/v1/").is_some_and(|name| one.contains(&name))
}

/// Lets requests in one by one, before their bodies are read: see [`Admission`].
pub fn admitted(routes: Router, admission: Arc<Admission>) -> Router {
    routes.layer(axum::middleware::from_fn_with_state(admission, admit))
}

async fn admit(State(admission): State<Arc<Admission>>, request: Request, next: Next) -> Response {
    let Some(urgency) = urgency(request.uri().path()).filter(|_| request.method() != Method::OPTIONS) else {
        return next.run(request).await;
    };
    let asked = {
        let headers = request.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let key = collect::wire::key::write_key(headers, None, request.uri().query()).ok();
        let urgency = if urgency == Urgency::Browser { admission.urgency_of(key.as_deref()) } else { urgency };
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let address = admission.address(peer, text(HeaderName::from_static("x-forwarded-for")));
        let n_bytes = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let n_bytes = if request.method() == Method::GET { Some(0) } else { n_bytes };
        admission.ask(&Ask { urgency, key: key.as_deref(), address, n_bytes }).map_err(|shed| (shed, urgency))
    };
    match asked {
        Ok(held) => kept(next.run(request).await, held),
        Err((shed, urgency)) => turned_away(&admission, &request, shed, urgency),
    }
}

/// The room is held until the answer is there: what is sent after it is small.
fn kept(response: Response, held: Admitted) -> Response {
    drop(held);
    response
}

fn turned_away(admission: &Admission, request: &Request, shed: Shed, urgency: Urgency) -> Response {
    metrics::counter!("fineline_program_shed_total", "urgency" => urgency.as_str(), "reason" => shed.as_str())
        .increment(1);
    let (status, code, says) = match (shed, urgency) {
        (Shed::Quota(_), _) => (
            StatusCode::TOO_MANY_REQUESTS,
            "slow_down",
            "more than your share: come again after the seconds in Retry-After",
        ),
        // Clients of the wire know no other word for it.
        (Shed::Overload(_), Urgency::Server | Urgency::Browser | Urgency::Background) => {
            (StatusCode::TOO_MANY_REQUESTS, "busy", "too busy right now; try again after the seconds in Retry-After")
        }
        (Shed::Overload(_), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "busy", "too busy right now; try again after the seconds in Retry-After")
        }
    };
    let mut response = busy(problem(status, code, says), shed.retry_after());
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && admission.is_a_page_of_ours(origin.as_bytes())
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
    response
}

/// With the time after which to come again.
fn busy(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Does the work of these routes on threads that may wait for a disk, so many at a time: those that serve never do. More wait
/// for their turn.
pub fn aside(routes: Router, turns: usize) -> Router {
    routes.layer(axum::middleware::from_fn_with_state(Arc::new(Semaphore::new(turns)), on_another_thread))
}

async fn on_another_thread(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // Read here: a slow client holds up no thread.
    let Ok(bytes) = to_bytes(body, BODY_BYTES_MAX).await else {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body has more than 1 MiB, or did not come to its end",
        );
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    let Ok(_turn) = turns.acquire_owned().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let runtime = Handle::current();
    match tokio::task::spawn_blocking(move || runtime.block_on(next.run(request))).await {
        Ok(response) => response,
        // Told once, by whoever stands around all routes.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the program is being stopped"),
        },
    }
}

// ── while the root key is away ────────────────────────────────────────────────────────────────────────────────────────

/// When to come again while the house is sealed, in seconds.
const SEALED_AFTER_SECONDS: u64 = 30;

/// What a sealed house works with.
pub struct SealedDoors {
    /// Where opt-outs go.
    pub house: SealedHouse,
    /// Whose pages may read an answer.
    pub promise: Arc<Promise>,
    /// When something was said.
    pub clock: Arc<dyn Clock>,
    /// What one address may ask for.
    pub addresses: Buckets,
    /// Says that it is sealed.
    pub ready: Arc<Readiness>,
}

impl std::fmt::Debug for SealedDoors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedDoors({:?})", self.house)
    }
}

/// The doors of a house whose root key is away: a no, in every way that needs nobody to be signed in, is taken and kept; for
/// everything else nobody is at home.
pub fn sealed_routes(doors: Arc<SealedDoors>) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/v1/consent", post(keep_no).options(sealed_preflight))
        .route("/m/{token}/{act}", post(keep_reduction))
        .layer(DefaultBodyLimit::max(SEALED_BODY_BYTES_MAX))
        .fallback(async || is_sealed())
        .method_not_allowed_fallback(async || is_sealed())
        .with_state(doors)
}

fn is_sealed() -> Response {
    let why = NotReady::Sealed;
    busy(problem(StatusCode::SERVICE_UNAVAILABLE, why.as_str(), why.says()), SEALED_AFTER_SECONDS)
}

async fn keep_no(State(doors): State<Arc<SealedDoors>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let bytes = to_bytes(body, SEALED_BODY_BYTES_MAX).await.map_err(|_| too_large())?;
        let text = collect::wire::body::json_text(&bytes).map_err(IntoResponse::into_response)?;
        let said = collect::consent::ConsentBody::read(&text).map_err(IntoResponse::into_response)?;
        let (status, purpose) = match (said.status.as_deref(), &said.purpose) {
            (Some(status @ ("refused" | "withdrawn")), Some(OneOrMore::One(purpose))) => {
                (status.to_owned(), purpose.clone())
            }
            // A yes needs somebody who can judge it.
            _ => return Err(is_sealed()),
        };
        let key = collect::wire::key::write_key(&parts.headers, said.write_key.clone(), parts.uri.query());
        let key = key.map_err(IntoResponse::into_response)?;
        if let Some(refusal) = doors.never_heard(&text) {
            return Err(refusal);
        }
        doors.keep(&parts, Some(key), text.as_bytes().to_vec()).await?;
        let kept = serde_json::json!({ "recorded": true, "status": status, "purpose": purpose, "sealed": true, "receipt": null });
        Ok::<_, Response>(Json(kept).into_response())
    };
    let response = answer.await.unwrap_or_else(|response| response);
    doors.with_origin(response, &parts.headers)
}

/// Unsubscribe, stop, less, not this: behind the link of a message.
async fn keep_reduction(
    State(doors): State<Arc<SealedDoors>>,
    Path((_, act)): Path<(String, String)>,
    request: Request,
) -> Response {
    if !["unsubscribe", "stop", "less", "not-this"].contains(&act.as_str()) {
        return is_sealed();
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, SEALED_BODY_BYTES_MAX).await else { return too_large() };
    match doors.keep(&parts, None, bytes.to_vec()).await {
        Ok(()) => "Noted. Nothing is sent to you before this is obeyed.\n".into_response(),
        Err(response) => response,
    }
}

fn too_large() -> Response {
    problem(StatusCode::BAD_REQUEST, "too_large", "the body has more than 16 KiB, or did not come to its end")
}

async fn sealed_preflight(State(doors): State<Arc<SealedDoors>>, request: Request) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    if let Some(asked) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    doors.with_origin(response, request.headers())
}

impl SealedDoors {
    /// Why what is said would not be taken, whoever's key it has: what never could be heard is told now.
    fn never_heard(&self, text: &str) -> Option<Response> {
        let mut refusal = None;
        for source in self.promise.sources.values() {
            let said = collect::consent::ConsentBody::read(text);
            match said.and_then(|said| said.change(&self.promise, source, self.clock.now())) {
                Ok(_) => return None,
                // That a browser may not speak for a person says least.
                Err(error) if refusal.is_none() || refusal == Some(ConsentError::NotYours) => refusal = Some(error),
                Err(_) => {}
            }
        }
        Some(refusal.map_or_else(is_sealed, IntoResponse::into_response))
    }

    /// On the disk before this returns.
    async fn keep(self: &Arc<Self>, parts: &Parts, key: Option<String>, body: Vec<u8>) -> Result<(), Response> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0).filter(|peer| !peer.is_loopback());
        if let Some(peer) = peer {
            let wait = self.addresses.take(&crate::admission::network(peer), 1, self.clock.ticks());
            let slow = || problem(StatusCode::TOO_MANY_REQUESTS, "slow_down", "more than your share: come again later");
            wait.map_err(|wait| busy(slow(), wait.as_secs().saturating_add(1)))?;
        }
        let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let act = SealedAct {
            at: self.clock.now(),
            path: parts.uri.path().to_owned(),
            key,
            origin: text(header::ORIGIN),
            content_type: text(header::CONTENT_TYPE),
            body,
        };
        let doors = Arc::clone(self);
        match tokio::task::spawn_blocking(move || doors.house.take(&act)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(VaultError::TooLarge { .. })) => Err(too_large()),
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an opt-out could not be kept");
                Err(is_sealed())
            }
            Err(_) => Err(is_sealed()),
        }
    }

    fn with_origin(&self, mut response: Response, asked: &HeaderMap) -> Response {
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(origin) = asked.get(header::ORIGIN)
            && crate::admission::is_a_page_of(&self.promise, origin.as_bytes())
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        }
        response
    }
}

/// Lets the doors hear what was said while the root key was away; what they answered. It is judged like everything they hear.
pub async fn heard(routes: &Router, act: SealedAct) -> StatusCode {
    use base64::Engine;
    let basic = |key: String| base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
    let mut request = Request::builder().method(Method::POST).uri(act.path).extension(SaidAt(act.at));
    if let Some(key) = act.key {
        request = request.header(header::AUTHORIZATION, format!("Basic {}", basic(key)));
    }
    for (name, value) in [(header::ORIGIN, act.origin), (header::CONTENT_TYPE, act.content_type)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(Body::from(act.body)) else { return StatusCode::BAD_REQUEST };
    match routes.clone().oneshot(request).await {
        Ok(response) => response.status(),
        Err(never) => match never {},
    }
}

/// The limits and watches that stand around every route, and an answer where there is none.
pub fn guarded(routes: Router) -> Router {
    watched_over(
        routes.fallback(async || problem(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")),
    )
}

/// The limits and watches alone.
pub fn watched_over(routes: Router) -> Router {
    routes
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn(watched))
}

/// Counts and times each answer by route template, and forbids sniffing of content types.
async fn watched(request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let watch = Stopwatch::start();
    let mut response = next.run(request).await;
    let (status, elapsed) = (response.status(), watch.elapsed());
    tracing::debug!(%method, route, status = status.as_u16(), ms = elapsed.as_millis(), "answered");
    metrics::histogram!("fineline_program_request_seconds", "route" => route.clone()).record(elapsed);
    metrics::counter!("fineline_program_requests_total", "route" => route, "status" => status.as_u16().to_string())
        .increment(1);
    response.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// A panic is a bug: the request fails, the program goes on, the operator is told. The message may hold anything, so it
/// is not repeated.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    metrics::counter!("fineline_program_panics_total").increment(1);
    tracing::error!("a request ended in a panic");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "bug", "this is our mistake; it has been counted")
}

/// RFC 9457, with the `code` and `message` that clients of the wire expect.
fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "status": status.as_u16(), "title": message, "code": code, "message": message });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    #[tokio::test]
    async fn the_programs_own_routes_answer_and_readiness_turns() {
        let ready = Arc::new(Readiness::default());
        ready.set(NotReady::Starting, true);
        let metrics = crate::telemetry::metrics().unwrap();
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let rng = Arc::new(crate::chance::SystemChance::default());
        let household = crate::house::household_with(promise, Arc::new(crate::clock::SystemClock), rng);
        let vault = Vault::in_memory(household).unwrap();
        vault.put_house_record("a", Some(vec![1])).unwrap().wait().unwrap();
        let router = guarded(own_routes(ready.clone(), metrics, "{\"openapi\":\"3.1.0\"}".into(), vault));
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK);
        let (status, says) = ask(&router, "/readyz").await;
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && says.contains("\"code\":\"starting\""), "{says}");
        ready.set(NotReady::Starting, false);
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);
        assert!(ask(&router, "/openapi.json").await.1.contains("3.1.0"));
        let metrics = ask(&router, "/metrics").await.1;
        assert!(metrics.contains("fineline_program_requests_total"), "{metrics}");
        assert!(metrics.contains("fineline_vault_commit_microseconds_total{stage=\"write\"}"), "{metrics}");
        assert!(!metrics.contains("fineline_vault_batches_total 0\n"), "{metrics}");
        let (status, body) = ask(&router, "/nowhere?email=x@y.example").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("\"code\":\"not_found\"") && !body.contains("x@y"));
    }

    #[tokio::test]
    async fn a_panic_fails_one_request_and_repeats_nothing_of_it() {
        let routes = Router::new().route("/boom", get(async || -> &'static str { panic!("lena@mail.example") }));
        let (status, body) = ask(&guarded(routes), "/boom").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!body.contains("lena"));
    }
}
