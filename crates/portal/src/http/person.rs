//! The doors of a signed-in person: `/privacy/me` and below. Every form carries the session's token.

use super::{Sent, Sorry, State, Visit, With, file, redirect, same, set_cookie, show};
use crate::choice::{self, AlonePage, ChoicesPage};
use crate::copy::{AnswerCopy, PersonCopy};
use crate::decision::MessagesPage;
use crate::erasure::{self, ErasePage, ErasedPage, RequestPage, UndonePage};
use crate::export::{self, ExportPage};
use crate::frame::Frame;
use crate::front::NoticePage;
use crate::guess;
use crate::profile::{EventPage, EventsPage, MePage};
use crate::reader;
use crate::receipt::{ReceiptPage, ReceiptsPage};
use crate::session::{Receipt, Session};
use crate::taste::{self, TastesPage};
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use http::request::Parts;
use model::ItemCode;
use promise::{Artefact, Fate, Promise};
use std::sync::Arc;
use vault::{ErasedWho, Erasure, Reduction, Snapshot, UndoneBy, WhenLeaving};

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/privacy/me", get(everything))
        .route("/privacy/me/events", get(events))
        .route("/privacy/me/events/{event}", get(event))
        .route("/privacy/me/not-me", post(not_me))
        .route("/privacy/me/choices", get(choices).post(choose))
        .route("/privacy/me/contact", post(contact))
        .route("/privacy/me/leaving", post(leaving))
        .route("/privacy/me/alone", get(alone_page).post(alone))
        .route("/privacy/me/tastes", get(tastes).post(state_tastes))
        .route("/privacy/me/messages", get(messages))
        .route("/privacy/me/receipts", get(receipts))
        .route("/privacy/me/receipts/{id}", get(receipt))
        .route("/privacy/me/receipts/{id}/receipt.json", get(receipt_file))
        .route("/privacy/me/export", get(export_page).post(take_copy))
        .route("/privacy/me/erase", get(erase_page).post(erase))
        .route("/privacy/gone/{secret}", get(erased))
        .route("/privacy/gone/{secret}/undo", post(undo))
        .route("/privacy/gone/{secret}/receipt.json", get(erased_file))
        .route("/privacy/requests/{request}", get(request))
        .route("/privacy/requests/{request}/receipt.json", get(request_file))
}

/// Somebody who is signed in.
struct Person {
    session: Session,
    gpc: bool,
}

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = Sorry;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Sorry> {
        let visit = Visit::from_request_parts(parts, state).await?;
        Ok(Self { session: visit.session.ok_or(Sorry::SignIn)?, gpc: visit.gpc })
    }
}

impl Person {
    fn frame(&self, promise: &Promise, here: &'static str) -> Frame {
        Frame::of(promise, &self.session, here, self.gpc)
    }

    fn copy(&self, snapshot: &Snapshot) -> Result<PersonCopy, Sorry> {
        Ok(PersonCopy::read(snapshot, self.session.person)?)
    }

    /// The copy without events, for pages that show none.
    fn brief(&self, snapshot: &Snapshot) -> Result<PersonCopy, Sorry> {
        Ok(PersonCopy::without_events(snapshot, self.session.person)?)
    }

    /// A form of this session, or none of ours.
    fn check(&self, sent: &Sent) -> Result<(), Sorry> {
        let is_ours = sent.get("csrf").is_some_and(|csrf| same(csrf, &self.session.csrf));
        if is_ours { Ok(()) } else { Err(Sorry::StaleForm) }
    }
}

pub(super) async fn notice(With(state): With<Arc<State>>, visit: Visit) -> Result<Response, Sorry> {
    let frame = visit.frame(&state);
    let snapshot = state.vault().snapshot();
    let record = state.vault().removal()?.record;
    show(&NoticePage::new(frame, snapshot.promise(), snapshot.holds_on(), record))
}

async fn everything(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    show(&MePage::new(person.frame(snapshot.promise(), "/privacy/me"), person.copy(&snapshot)?))
}

#[derive(serde::Deserialize)]
struct PageNumber {
    #[serde(default)]
    page: usize,
}

async fn events(
    With(state): With<Arc<State>>,
    person: Person,
    number: Result<Query<PageNumber>, QueryRejection>,
) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let page = number.map_or(1, |Query(number)| number.page);
    show(&EventsPage::new(person.frame(snapshot.promise(), "/privacy/me"), person.copy(&snapshot)?, page))
}

async fn event(With(state): With<Arc<State>>, person: Person, Path(id): Path<String>) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let event = person.copy(&snapshot)?.events.into_iter().find(|event| event.id == id).ok_or(Sorry::Gone)?;
    show(&EventPage { frame: person.frame(snapshot.promise(), "/privacy/me"), event })
}

/// "That is not me": the guess goes, and its thing is never offered or guessed again.
async fn not_me(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    let item = sent.get("item").and_then(ItemCode::parse).ok_or(Sorry::Unclear)?;
    let who = person.session.person;
    let write = guess::without(&state.vault().snapshot(), who, &item)?;
    state.vault().reduce(who, Reduction::NotMe { item })?.await?;
    if let Some(write) = write {
        for answer in state.vault().write_facts(vec![write])?.await? {
            answer?;
        }
    }
    Ok(redirect("/privacy/me"))
}

async fn choices(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let promise = snapshot.promise();
    show(&ChoicesPage::new(person.frame(promise, "/privacy/me/choices"), promise, &person.brief(&snapshot)?))
}

async fn choose(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    let change = {
        let snapshot = state.vault().snapshot();
        let (purpose, answer) = (sent.get("purpose").unwrap_or_default(), sent.get("answer").unwrap_or_default());
        let copy = person.brief(&snapshot)?;
        let had_yes = copy.answer(purpose).is_some_and(|answer| answer.status == "given");
        let (who, now) = (person.session.person, snapshot.now());
        choice::change(snapshot.promise(), who, purpose, answer, sent.get("level"), had_yes, now)
    };
    let answer = state.vault().consent(change.ok_or(Sorry::Unclear)?)?.await?;
    match (answer.consent, answer.refusal) {
        (Some(id), _) => Ok(redirect(&format!("/privacy/me/receipts/{id}"))),
        (None, Some(_)) => Err(Sorry::Refused),
        (None, None) => Ok(redirect("/privacy/me/choices")),
    }
}

/// What is to become of everything after leaving; whoever leaves now to be forgotten is led to the page that erases, with its
/// two speeds and its receipt.
async fn leaving(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    let get = |name| sent.get(name).unwrap_or_default();
    let who = person.session.person;
    let choice = crate::leaving::choice(who, get("fate"), sent.get("until"), get("when")).ok_or(Sorry::Unclear)?;
    if choice.fate == Fate::Forget && choice.when == WhenLeaving::Now {
        return Ok(redirect("/privacy/me/erase"));
    }
    state.vault().choose_after_leaving(choice)?.await?.map_err(|_| Sorry::Unclear)?;
    Ok(redirect("/privacy/me/choices"))
}

async fn contact(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    let reduction = match sent.get("rate") {
        Some("less") => Reduction::Less,
        Some("normal") => Reduction::UndoLess,
        _ => return Err(Sorry::Unclear),
    };
    // A tap that arrives twice, or from a page that is old, asks for what has happened already: half of a half may be none.
    let limit = choice::limit(&person.brief(&state.vault().snapshot())?.contact);
    let from = sent.get("from").and_then(|from| from.parse().ok()).unwrap_or(limit);
    if reduction == Reduction::Less && from != limit {
        return Ok(redirect("/privacy/me/choices"));
    }
    state.vault().reduce(person.session.person, reduction)?.await?;
    Ok(redirect("/privacy/me/choices"))
}

async fn alone_page(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    show(&alone_view(&state, &person, false))
}

fn alone_view(state: &State, person: &Person, is_done: bool) -> AlonePage {
    let snapshot = state.vault().snapshot();
    let frame = person.frame(snapshot.promise(), "/privacy/me/choices");
    AlonePage { csrf: frame.csrf().to_owned(), frame, is_done }
}

async fn alone(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    state.vault().reduce(person.session.person, Reduction::LeaveMeAlone)?.await?;
    show(&alone_view(&state, &person, true))
}

async fn tastes(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    tastes_page(&state, &person, false, Vec::new())
}

fn tastes_page(state: &State, person: &Person, is_saved: bool, sorries: Vec<String>) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let promise = snapshot.promise();
    let status = if sorries.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
    let frame = person.frame(promise, "/privacy/me/tastes");
    let mut response = show(&TastesPage::new(frame, promise, &person.brief(&snapshot)?, is_saved, sorries))?;
    *response.status_mut() = status;
    Ok(response)
}

async fn state_tastes(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    let (writes, unreadable) = {
        let snapshot = state.vault().snapshot();
        let promise = snapshot.promise();
        let artefact = reader::page(promise, Artefact::PORTAL)?;
        let copy = person.brief(&snapshot)?;
        taste::writes(promise, &copy, &sent.0, person.session.person, artefact, snapshot.now())
    };
    let mut sorries: Vec<String> =
        unreadable.iter().map(|label| format!("{label}: this is not on our list.")).collect();
    let labels: Vec<String> = writes.iter().map(taste::label).collect();
    if !writes.is_empty() {
        let answers = state.vault().write_facts(writes)?.await?;
        let refused =
            labels.iter().zip(answers).filter_map(|(label, answer)| answer.err().map(|refusal| (label, refusal)));
        sorries.extend(refused.map(|(label, refusal)| taste::sorry(label, &refusal)));
    }
    tastes_page(&state, &person, sorries.is_empty(), sorries)
}

async fn messages(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    show(&MessagesPage::new(person.frame(snapshot.promise(), "/privacy/me/messages"), person.brief(&snapshot)?))
}

async fn receipts(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let frame = person.frame(snapshot.promise(), "/privacy/me/receipts");
    show(&ReceiptsPage { frame, answers: person.brief(&snapshot)?.answers })
}

fn one_answer(person: &Person, snapshot: &Snapshot, id: &str) -> Result<AnswerCopy, Sorry> {
    person.brief(snapshot)?.answers.into_iter().find(|answer| answer.id == id).ok_or(Sorry::Gone)
}

async fn receipt(With(state): With<Arc<State>>, person: Person, Path(id): Path<String>) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let frame = person.frame(snapshot.promise(), "/privacy/me/receipts");
    show(&ReceiptPage { frame, answer: one_answer(&person, &snapshot, &id)? })
}

async fn receipt_file(
    With(state): With<Arc<State>>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    Ok(file("application/json", "receipt.json", one_answer(&person, &snapshot, &id)?.receipt))
}

async fn export_page(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let frame = person.frame(snapshot.promise(), "/privacy/me/export");
    show(&ExportPage { csrf: frame.csrf().to_owned(), frame })
}

async fn take_copy(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    archive(&state, person.session.person).await
}

/// Packs the copy off the serving threads: a long history is some seconds of work.
pub(super) async fn archive(state: &Arc<State>, person: model::ProfileId) -> Result<Response, Sorry> {
    let state = Arc::clone(state);
    let packed = tokio::task::spawn_blocking(move || -> Result<Vec<u8>, Sorry> {
        let snapshot = state.vault().snapshot();
        let copy = PersonCopy::read(&snapshot, person)?;
        let keys = state.vault().public_keys_json();
        Ok(export::pack(&copy, &snapshot.promise().contact, &keys)?)
    });
    Ok(file("application/zip", "my-data.zip", packed.await.map_err(|_| Sorry::Failed)??))
}

async fn erase_page(With(state): With<Arc<State>>, person: Person) -> Result<Response, Sorry> {
    let snapshot = state.vault().snapshot();
    let frame = person.frame(snapshot.promise(), "/privacy/me/erase");
    let holds = person.brief(&snapshot)?.leaving.holds;
    let held_until = holds.iter().max_by(|a, b| a.until.cmp(&b.until)).map(crate::leaving::HoldCopy::until_day);
    show(&ErasePage { csrf: frame.csrf().to_owned(), frame, held_until })
}

async fn erase(With(state): With<Arc<State>>, person: Person, sent: Sent) -> Result<Response, Sorry> {
    person.check(&sent)?;
    let how = sent.get("when").and_then(erasure::parse).ok_or(Sorry::Unclear)?;
    if how == Erasure::Now && !person.session.proof.is_strong() {
        return Err(Sorry::Refused);
    }
    let answer = state.vault().erase(person.session.person, how)?.await?;
    state.sessions.end(person.session.person);
    let receipt =
        Receipt { json: answer.receipt, request: answer.request, unrecoverable_on: answer.unrecoverable_on, how };
    let secret = state.sessions.keep(receipt);
    let mut response = redirect(&format!("/privacy/gone/{secret}"));
    set_cookie(&state, &mut response, "", 0);
    Ok(response)
}

async fn erased(With(state): With<Arc<State>>, visit: Visit, Path(secret): Path<String>) -> Result<Response, Sorry> {
    let receipt = state.sessions.kept(&secret).ok_or(Sorry::Gone)?;
    show(&ErasedPage::new(visit.frame(&state), secret, receipt))
}

/// Takes an erasure within a day back. Whoever knows this address was signed in when it was made.
async fn undo(With(state): With<Arc<State>>, visit: Visit, Path(secret): Path<String>) -> Result<Response, Sorry> {
    let receipt = state.sessions.kept(&secret).ok_or(Sorry::Gone)?;
    let undone = state.vault().undo_erasure(ErasedWho::Request(receipt.request), UndoneBy::Person)?.await?;
    let sorry = undone.as_ref().err().map(ToString::to_string);
    let status = if sorry.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    if sorry.is_none() {
        state.sessions.drop_kept(&secret);
    }
    let mut response = show(&UndonePage { frame: visit.frame(&state), request: receipt.request.to_string(), sorry })?;
    *response.status_mut() = status;
    Ok(response)
}

/// How an erasure stands. Its number was given to the person alone, and nothing about anybody stands here.
async fn request(With(state): With<Arc<State>>, visit: Visit, Path(id): Path<String>) -> Result<Response, Sorry> {
    show(&RequestPage::new(visit.frame(&state), erasure_of(&state, &id)?))
}

async fn request_file(With(state): With<Arc<State>>, Path(id): Path<String>) -> Result<Response, Sorry> {
    Ok(file("application/json", "receipt.json", erasure_of(&state, &id)?.receipt))
}

fn erasure_of(state: &State, id: &str) -> Result<vault::ErasureView, Sorry> {
    let id = model::RequestId::parse(id).map_err(|_| Sorry::Gone)?;
    state.vault().snapshot().erasure(id)?.ok_or(Sorry::Gone)
}

async fn erased_file(With(state): With<Arc<State>>, Path(secret): Path<String>) -> Result<Response, Sorry> {
    let receipt = state.sessions.kept(&secret).ok_or(Sorry::Gone)?;
    Ok(file("application/json", "receipt.json", receipt.json))
}
