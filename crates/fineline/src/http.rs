//! One router out of the rooms' routes, with the limits that hold for all of them, and the program's own routes: alive,
//! ready, metrics, API description, and for the operator a backup, the search of its own memory and the rotation of keys. The only
//! file of the program, beside the demonstration's pages, that names axum.
//!
//! Requests are traced by route template, never by path: a path could hold a token.

use crate::clock::Stopwatch;
use crate::telemetry;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::body::Frame;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use vault::census::MemoryNeedle;
use vault::{Pass, Pending, Rotation, Vault};

/// Longest time for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Largest body of any route; rooms set smaller ones.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Whether the house may be sent work.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Says yes or no from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    /// What was said last.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

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
    match own.ready.is_ready() {
        true => "ready\n".into_response(),
        false => problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "starting, stopping or broken: see the log"),
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
/// there. `POST /backup`: the streams of a backup, in which everything is ciphertext. `POST /alarms/open`: how many alarms nobody
/// has looked at, and how many calls to recipients are overdue. `POST /key/rotate`. `POST /census/memory`: whether keys, given only as hashes, stand in this process's memory;
/// it tells nobody a key, for who asks must know its hash already.
pub fn operator_routes(vault: Vault, pass: Pass) -> Router {
    let (turn, backup, rotating) = (Mutex::new(()), Arc::default(), tokio::sync::Mutex::default());
    let operator = Arc::new(Operator { vault, pass, turn, backup, rotating });
    let is_operator = axum::middleware::from_fn_with_state(operator.clone(), operator_only);
    Router::new()
        .route("/census/memory", post(search_memory))
        .route("/alarms/open", post(open_alarms))
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

/// The limits and watches that stand around every route.
pub fn guarded(routes: Router) -> Router {
    routes
        .fallback(async || problem(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address"))
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
    use tower::ServiceExt;

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
        let metrics = crate::telemetry::metrics().unwrap();
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let rng = Arc::new(crate::chance::SystemChance::default());
        let household = crate::house::household_with(promise, Arc::new(crate::clock::SystemClock), rng);
        let vault = Vault::in_memory(household).unwrap();
        vault.put_house_record("a", Some(vec![1])).unwrap().wait().unwrap();
        let router = guarded(own_routes(ready.clone(), metrics, "{\"openapi\":\"3.1.0\"}".into(), vault));
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK);
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        ready.set(true);
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
