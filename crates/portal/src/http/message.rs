//! The doors behind a message's links: `/m/{token}`. The token is all they look at; no cookie is read or set. GET and HEAD
//! change nothing.

use super::{Sorry, State, Visit, With, show};
use crate::message::{Act, AddressPage, AskPage, DonePage, WhyPage};
use crate::{choice, reader};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use model::{Method, ProfileId};
use promise::{Artefact, Refusal};
use std::sync::Arc;
use vault::{Snapshot, TokenTarget};

/// The body of an unsubscribe of RFC 8058, to the letter.
pub(super) const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/m/{token}", get(why))
        .route("/m/{token}/address", get(address))
        .route("/m/{token}/unsubscribe", post(unsubscribe).get(ask_stop))
        .route("/m/{token}/{act}", get(ask).post(act))
}

fn open(snapshot: &Snapshot, token: &str) -> Result<TokenTarget, Sorry> {
    snapshot.token(token).ok_or(Sorry::Gone)
}

/// A token whose person is gone opens nothing, like any other bad token.
fn gone(_: Refusal) -> Sorry {
    Sorry::Gone
}

async fn why(With(state): With<Arc<State>>, visit: Visit, Path(token): Path<String>) -> Result<Response, Sorry> {
    let frame = visit.frame(&state);
    let snapshot = state.vault().snapshot();
    let target = open(&snapshot, &token)?;
    show(&WhyPage::read(&snapshot, target, token, frame).map_err(gone)?)
}

async fn address(With(state): With<Arc<State>>, visit: Visit, Path(token): Path<String>) -> Result<Response, Sorry> {
    let frame = visit.frame(&state);
    let snapshot = state.vault().snapshot();
    let target = open(&snapshot, &token)?;
    show(&AddressPage::read(&snapshot, target, token, frame).map_err(gone)?)
}

async fn ask(
    With(state): With<Arc<State>>,
    visit: Visit,
    Path((token, word)): Path<(String, String)>,
) -> Result<Response, Sorry> {
    let act = Act::parse(&word).ok_or(Sorry::Gone)?;
    let frame = visit.frame(&state);
    let snapshot = state.vault().snapshot();
    let target = open(&snapshot, &token)?;
    let ask = act.ask(&crate::message::says(snapshot.promise(), target));
    show(&AskPage { frame, token, ask })
}

async fn ask_stop(state: With<Arc<State>>, visit: Visit, Path(token): Path<String>) -> Result<Response, Sorry> {
    ask(state, visit, Path((token, "stop".to_owned()))).await
}

async fn act(
    With(state): With<Arc<State>>,
    visit: Visit,
    Path((token, word)): Path<(String, String)>,
) -> Result<Response, Sorry> {
    let act = Act::parse(&word).ok_or(Sorry::Gone)?;
    let target = if act == Act::Keep { keep(&state, &token).await? } else { reduce(&state, &token, act).await? };
    let frame = visit.frame(&state);
    let snapshot = state.vault().snapshot();
    let rate = || rate(&snapshot, target.person).unwrap_or_default();
    let (title, effect, more, undo) = match act {
        Act::Less => ("Less often", rate(), None, Some(("undo-less", "Undo"))),
        Act::UndoLess => ("Undone", rate(), None, Some(("less", "Less often"))),
        Act::NotThis => ("Not this", "You never get this offer from us again.".to_owned(), None, None),
        Act::Keep => ("Kept", "Nothing changes. We know that you are still there.".to_owned(), None, None),
        Act::Stop => {
            let says = crate::message::says(snapshot.promise(), target);
            let effect = format!("No more messages like this. We noted a no to: “{says}”");
            ("Stopped", effect, Some(crate::message::YES_AGAIN), None)
        }
    };
    show(&DonePage { frame, token, title, effect, more, undo })
}

/// RFC 8058: the exact body, no cookie, no redirect. Said twice, it is done once and answered twice.
async fn unsubscribe(
    With(state): With<Arc<State>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Sorry> {
    if !is_one_click(&headers, &body) {
        return Err(Sorry::Unclear);
    }
    reduce(&state, &token, Act::Stop).await?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "text/plain; charset=utf-8")], "You are unsubscribed.\n").into_response())
}

/// Urlencoded, or the one part of a multipart form.
fn is_one_click(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Some(boundary) = kind.strip_prefix("multipart/form-data").and_then(|rest| rest.split_once("boundary=")) else {
        return body == ONE_CLICK.as_bytes();
    };
    let mark = format!("--{}", boundary.1.trim().trim_matches('"'));
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut parts =
        text.split(mark.as_str()).map(|part| part.trim_matches(['\r', '\n'])).filter(|part| !part.is_empty());
    let (part, end) = (parts.next().unwrap_or_default(), parts.next());
    let (head, value) = part.split_once("\r\n\r\n").unwrap_or_default();
    let is_named = head.to_ascii_lowercase().contains("name=\"list-unsubscribe\"");
    is_named && value == "One-Click" && end == Some("--") && parts.next().is_none()
}

/// The person is there: that is an act of theirs, and gives nobody anything more than they gave.
async fn keep(state: &State, token: &str) -> Result<TokenTarget, Sorry> {
    let target = {
        let snapshot = state.vault().snapshot();
        open(&snapshot, token).and_then(|target| {
            if crate::message::is_reminder(snapshot.promise(), target) { Ok(target) } else { Err(Sorry::Gone) }
        })?
    };
    state.vault().visited(target.person)?.await?;
    Ok(target)
}

/// Asks the vault, and waits until it holds.
async fn reduce(state: &State, token: &str, act: Act) -> Result<TokenTarget, Sorry> {
    let (target, reductions) = {
        let snapshot = state.vault().snapshot();
        let target = open(&snapshot, token)?;
        (target, act.reductions(&snapshot, target, Method::MessageLink))
    };
    if reductions.is_empty() {
        return Err(Sorry::Gone);
    }
    for reduction in reductions {
        let answer = state.vault().reduce(target.person, reduction)?.await?;
        if answer.refusal.is_some() {
            return Err(Sorry::Gone);
        }
    }
    Ok(target)
}

fn rate(snapshot: &Snapshot, person: ProfileId) -> Result<String, Refusal> {
    let permit = snapshot.permit(person, reader::page(snapshot.promise(), Artefact::PORTAL)?)?;
    Ok(choice::rate(&reader::Reader::new(snapshot).contact(&permit)))
}
