//! The one log, for anybody: the signed checkpoint, tiles of hashes, and bundles of leaves, as C2SP tlog-tiles has them. An
//! onlooker learns how many batches there are and which of them made entries; nothing in it is about anybody.

use super::api::{Problem, keys};
use super::{State, With};
use axum::Router;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use vault::tile::{TILE_WIDTH, TileAddress};

/// How long a full tile may be kept by caches, in seconds. It is the same for ever, unless a backup is restored.
const TILE_SECONDS: u32 = 3_600;

/// The routes of the log and of the keys that sign it, for a listener of their own.
pub fn log_routes(state: Arc<State>) -> Router {
    Router::new().merge(routes()).route("/.well-known/fineline-keys.json", get(keys)).with_state(state)
}

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/tile/entries/{*index}", get(entries))
        .route("/log/tile/{level}/{*index}", get(hashes))
}

fn not_there() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "the log has no such tile, or not so much of it yet")
}

/// The newest signed checkpoint of the one log: origin, number of batches, root (C2SP signed note).
#[utoipa::path(
    get, path = "/log/checkpoint",
    responses(
        (status = 200, description = "a signed note", content_type = "text/plain"),
        (status = 404, description = "before the first batch", body = Problem),
    )
)]
pub(super) async fn checkpoint(With(state): With<Arc<State>>) -> Result<Response, Problem> {
    let note = state.vault().snapshot().log_checkpoint()?.ok_or_else(not_there)?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

/// A tile of up to 256 hashes of 32 bytes.
#[utoipa::path(
    get, path = "/log/tile/{level}/{index}",
    params(
        ("level" = u8, Path, description = "0 to 7; 0 = leaves"),
        ("index" = String, Path, description = "groups of three digits, all but the last with x before: x001/234; with `.p/<width>` behind it when it is not full"),
    ),
    responses(
        (status = 200, description = "the hashes", content_type = "application/octet-stream"),
        (status = 404, description = "the log does not reach so far", body = Problem),
    )
)]
pub(super) async fn hashes(
    With(state): With<Arc<State>>,
    Path(_): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    tile(&state, &request)
}

/// A bundle with the data of up to 256 leaves, each preceded by its length in two bytes: one batch of the log each.
#[utoipa::path(
    get, path = "/log/tile/entries/{index}",
    params(("index" = String, Path, description = "as of a tile")),
    responses(
        (status = 200, description = "the leaves", content_type = "application/octet-stream"),
        (status = 404, description = "the log does not reach so far", body = Problem),
    )
)]
pub(super) async fn entries(
    With(state): With<Arc<State>>,
    Path(_): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    tile(&state, &request)
}

/// The address as it was asked: decoded, `%2e` would be another spelling of the same tile in every cache.
fn tile(state: &State, request: &Request) -> Result<Response, Problem> {
    let address = request.uri().path().strip_prefix("/log/").and_then(TileAddress::parse).ok_or_else(not_there)?;
    let bytes = state.vault().snapshot().log_tile(&address)?.ok_or_else(not_there)?;
    let mut response = ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response();
    if address.width == TILE_WIDTH {
        let keep = HeaderValue::from_str(&format!("public, max-age={TILE_SECONDS}"));
        response.headers_mut().extend(keep.ok().map(|keep| (CACHE_CONTROL, keep)));
    }
    Ok(response)
}
