//! The made-up shop's pages and the inbox. What a visitor does reaches Fineline over the wire only, as from any shop.

use super::catalogue::{self, Gift, SHELVES, Shelf};
use super::drawing;
use super::people::Story;
use super::shop::{Visit, order_completed, pounds};
use crate::loopback::Loopback;
use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use deliver::mail::OpenedMail;
use deliver::sink::Inbox;
use model::{At, Class, Rng};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Rows of the live panel.
const LIVE_ROWS_MAX: usize = 12;
/// Mails listed in the inbox.
const MAILS_MAX: usize = 200;

/// One row of the live panel: words only.
#[derive(Debug, Clone)]
pub struct LiveRow {
    /// Time of day, UTC.
    pub at: String,
    /// Source.
    pub source: String,
    /// Event name.
    pub event: String,
    /// What became of it, and which promise line decided.
    pub outcome: String,
}

/// What the shop's pages need.
pub struct Stage {
    /// The shop's own server.
    pub server: Loopback,
    /// What was mailed.
    pub inbox: Arc<Inbox>,
    /// The key that the pages send with.
    pub write_key: String,
    /// The promise, for the questions and the words of them.
    pub promise: Arc<promise::Promise>,
    /// What was taken and refused lately, newest first.
    pub live: Box<dyn Fn(usize) -> Vec<LiveRow> + Send + Sync>,
    /// A link into the console.
    pub staff: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// For order numbers and message ids.
    pub rng: Arc<dyn Rng>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

/// The shop at `/`, its parts under `/shop`, the inbox at `/inbox`.
pub fn routes(stage: Arc<Stage>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/shop/item/{code}", get(product))
        .route("/shop/be", post(be))
        .route("/shop/add", post(add))
        .route("/shop/checkout", post(checkout))
        .route("/shop/privacy", post(privacy))
        .route("/shop/as/{who}", get(privacy_as))
        .route("/shop/staff", get(staff))
        .route("/shop/live", get(live))
        .route("/shop/fl.js", get(async || asset("text/javascript; charset=utf-8", include_str!("assets/fl.js"))))
        .route("/shop/shop.js", get(async || asset("text/javascript; charset=utf-8", include_str!("assets/shop.js"))))
        .route("/shop/shop.css", get(async || asset("text/css; charset=utf-8", include_str!("assets/shop.css"))))
        .route(
            "/shop/fineline.css",
            get(async || asset("text/css; charset=utf-8", include_str!("../../../../assets/fineline.css"))),
        )
        .route("/shop/mark.svg", get(async || asset("image/svg+xml", include_str!("../../../../assets/mark.svg"))))
        .route("/inbox", get(inbox))
        .route("/inbox/{number}", get(mail))
        .route("/inbox/{number}/html", get(mail_html))
        .with_state(stage)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

// ── what stands on every page ─────────────────────────────────────────────────────────────────────────────────────────

struct Frame {
    n_basket: usize,
    shopper: Option<String>,
}

struct Ware {
    code: &'static str,
    title: &'static str,
    price: String,
}

struct Ranged {
    group: &'static str,
    title: &'static str,
    drawing: &'static str,
    is_guarded: bool,
    gifts: Vec<Ware>,
}

fn ware(gift: &Gift) -> Ware {
    Ware { code: gift.code, title: gift.title, price: pounds(gift.pence) }
}

fn ranged(shelf: &Shelf) -> Ranged {
    Ranged {
        group: shelf.group,
        title: shelf.title,
        drawing: drawing::of(shelf.group),
        is_guarded: shelf.class >= Class::Sensitive,
        gifts: shelf.gifts.iter().map(ware).collect(),
    }
}

fn visit(headers: &HeaderMap) -> Visit {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    Visit::read(&cookies.collect::<Vec<_>>().join("; "))
}

fn frame(visit: &Visit) -> Frame {
    Frame { n_basket: visit.basket.len(), shopper: visit.shopper.clone() }
}

/// Everything from here, nothing inline, nothing framed but our own mails.
fn page(template: &impl Template) -> Response {
    let Ok(body) = template.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                  frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(body)).into_response()
}

/// Back to the shop, with what the visitor's browser keeps from now on.
fn back_to(to: &str, visit: &Visit) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let cookies = visit.cookies().into_iter().map(|cookie| (header::SET_COOKIE, cookie));
    for (name, value) in cookies.chain([(header::LOCATION, to.to_owned())]) {
        append(&mut response, name, &value);
    }
    response
}

fn append(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}

// ── the shop ──────────────────────────────────────────────────────────────────────────────────────────────────────────

struct Face {
    user_id: &'static str,
    name: String,
    says: &'static str,
    is_here: bool,
}

struct Asked {
    name: String,
    says: String,
    notice: u32,
}

struct Placed {
    says: String,
    why: String,
    why_url: Option<String>,
}

#[derive(Template)]
#[template(path = "shop.html")]
struct Front {
    frame: Frame,
    says: String,
    done: String,
    offer: Option<Placed>,
    faces: Vec<Face>,
    purposes: Vec<Asked>,
    basket: Vec<Ware>,
    total: String,
    shelves: Vec<Ranged>,
    live: Vec<LiveRow>,
    write_key: String,
}

async fn front(State(stage): State<Arc<Stage>>, headers: HeaderMap, uri: axum::http::Uri) -> Response {
    let visit = visit(&headers);
    let here = Story::ALL.into_iter().find(|story| visit.shopper.as_deref() == Some(story.user_id()));
    let says = here.map_or("Seventy-two small things, and a promise about what we may know.", Story::says);
    let purposes = stage.promise.purposes.values().filter(|purpose| purpose.basis == promise::Basis::Consent);
    let front = Front {
        frame: frame(&visit),
        says: says.to_owned(),
        done: match uri.query() {
            Some("ordered") => "Your order is on its way, in our imagination.".to_owned(),
            Some("not-reached") => "Nothing: our own server did not answer. Please try again.".to_owned(),
            _ => String::new(),
        },
        offer: offer(&stage, &visit).await,
        faces: Story::ALL.into_iter().map(|story| face(story, here)).collect(),
        purposes: purposes
            .map(|purpose| Asked {
                name: purpose.name.to_string(),
                says: purpose.words(&stage.promise.company),
                notice: stage.promise.notice.version,
            })
            .collect(),
        basket: visit.gifts().map(ware).collect(),
        total: pounds(visit.gifts().map(|gift| gift.pence).sum()),
        shelves: SHELVES.iter().map(ranged).collect(),
        live: (stage.live)(LIVE_ROWS_MAX),
        write_key: stage.write_key.clone(),
    };
    page(&front)
}

fn face(story: Story, here: Option<Story>) -> Face {
    let mut name = story.user_id().to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Face { user_id: story.user_id(), name, says: story.says(), is_here: here == Some(story) }
}

/// What may stand on the page for this shopper, if anything: asked as any shop's server asks.
async fn offer(stage: &Stage, visit: &Visit) -> Option<Placed> {
    let user_id = visit.shopper.as_deref()?;
    let body = json!({ "userId": user_id, "placement": "home" });
    let (status, answer) = stage.server.post("/v1/decide", &body).await.ok()?;
    let offer = answer.get("offer").filter(|offer| status.is_success() && offer.is_object())?;
    let text = |value: Option<&serde_json::Value>| Some(value?.as_str()?.to_owned());
    Some(Placed {
        says: text(offer.get("says"))?,
        why: text(offer.get("why")).or_else(|| text(answer.get("why"))).unwrap_or_default(),
        why_url: text(answer.get("why_url")),
    })
}

#[derive(Template)]
#[template(path = "product.html")]
struct Product {
    frame: Frame,
    gift: Ware,
    shelf: Ranged,
    write_key: String,
}

async fn product(State(stage): State<Arc<Stage>>, Path(code): Path<String>, headers: HeaderMap) -> Response {
    let Some((shelf, gift)) = catalogue::find(&code) else { return StatusCode::NOT_FOUND.into_response() };
    let frame = frame(&visit(&headers));
    page(&Product { frame, gift: ware(gift), shelf: ranged(shelf), write_key: stage.write_key.clone() })
}

#[derive(Deserialize)]
struct Be {
    who: String,
}

async fn be(headers: HeaderMap, Form(be): Form<Be>) -> Response {
    let mut visit = visit(&headers);
    let story = Story::ALL.into_iter().find(|story| story.user_id() == be.who);
    visit.shopper = story.map(|story| story.user_id().to_owned());
    back_to("/", &visit)
}

#[derive(Deserialize)]
struct Add {
    code: String,
}

async fn add(headers: HeaderMap, Form(add): Form<Add>) -> Response {
    let mut visit = visit(&headers);
    visit.add(&add.code);
    back_to("/#basket", &visit)
}

#[derive(Deserialize)]
struct Checkout {
    email: Option<String>,
}

/// The shop's server tells of the order: first the address of a guest, then what was bought.
async fn checkout(State(stage): State<Arc<Stage>>, headers: HeaderMap, Form(form): Form<Checkout>) -> Response {
    let mut visit = visit(&headers);
    if visit.basket.is_empty() {
        return back_to("/", &visit);
    }
    let number = model::id::base32(&stage.rng.bytes::<8>());
    let user_id = visit.shopper.clone().unwrap_or_else(|| format!("guest-{number}"));
    let lines = visit.gifts().map(|gift| (gift, 1));
    let mut batch = vec![order_completed(&user_id, &number, &format!("order-{number}"), lines)];
    if let Some(email) = form.email.filter(|email| email.contains('@') && email.len() <= 200) {
        let message_id = format!("guest-{number}");
        let identify =
            json!({ "type": "identify", "userId": user_id, "messageId": message_id, "traits": { "email": email } });
        batch.push(identify);
    }
    let answer = stage.server.post("/v1/batch", &json!({ "batch": batch })).await;
    if !matches!(answer, Ok((status, _)) if status.is_success()) {
        return back_to("/?not-reached", &visit);
    }
    visit.basket.clear();
    visit.shopper = Some(user_id);
    back_to("/?ordered", &visit)
}

/// The signed hand-off: the shop knows who is signed in, so the person's page opens without another password.
async fn privacy(State(stage): State<Arc<Stage>>, headers: HeaderMap) -> Response {
    hand_off(&stage, &visit(&headers)).await
}

/// The same for one of the people with a story: the link that the demonstration prints.
async fn privacy_as(State(stage): State<Arc<Stage>>, Path(who): Path<String>, headers: HeaderMap) -> Response {
    let mut visit = visit(&headers);
    if Story::ALL.iter().all(|story| story.user_id() != who) {
        return StatusCode::NOT_FOUND.into_response();
    }
    visit.shopper = Some(who);
    hand_off(&stage, &visit).await
}

async fn hand_off(stage: &Stage, visit: &Visit) -> Response {
    let Some(user_id) = &visit.shopper else { return back_to("/privacy", visit) };
    let answer = stage.server.post("/v1/portal_sessions", &json!({ "userId": user_id })).await;
    let url = answer.ok().filter(|(status, _)| status.is_success()).and_then(|(_, body)| {
        let url = body.get("url")?.as_str()?;
        // On our own listener, whatever name it was asked under.
        let path = url
            .split_once("://")
            .map_or(url, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/privacy"));
        Some(path.to_owned())
    });
    back_to(url.as_deref().unwrap_or("/privacy"), visit)
}

async fn staff(State(stage): State<Arc<Stage>>, headers: HeaderMap) -> Response {
    let url = tokio::task::spawn_blocking(move || (stage.staff)()).await.ok().flatten();
    back_to(url.as_deref().unwrap_or("/"), &visit(&headers))
}

async fn live(State(stage): State<Arc<Stage>>) -> Response {
    let rows = (stage.live)(LIVE_ROWS_MAX);
    match (LiveRows { live: rows }).render() {
        Ok(rows) => ([(header::CACHE_CONTROL, "no-store")], Html(rows)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = "{% for row in live %}<tr><td>{{ row.at }}</td><td>{{ row.source }}</td><td>{{ row.event }}</td><td>{{ row.outcome }}</td></tr>{% endfor %}"
)]
struct LiveRows {
    live: Vec<LiveRow>,
}

// ── the inbox ─────────────────────────────────────────────────────────────────────────────────────────────────────────

struct Listed {
    number: u64,
    to: String,
    subject: String,
    at: String,
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    frame: Frame,
    mails: Vec<Listed>,
    n_received: usize,
}

/// "23 Nov 2026, 22:05" of an instant, UTC.
fn minute(at: At) -> String {
    at.timestamp().strftime("%-d %b %Y, %H:%M").to_string()
}

async fn inbox(State(stage): State<Arc<Stage>>, headers: HeaderMap) -> Response {
    let listed = |mail: &Arc<deliver::sink::ReceivedMail>| Listed {
        number: mail.number,
        to: mail.to.join(", "),
        subject: OpenedMail::read(&mail.bytes)
            .and_then(|mail| mail.header("Subject").map(str::to_owned))
            .unwrap_or_default(),
        at: minute(mail.at),
    };
    let mut mails: Vec<Listed> = stage.inbox.mails().iter().map(listed).collect();
    // The people with a story first: they are the ones a visitor looks for.
    let planted = |to: &str| Story::ALL.iter().any(|story| to.starts_with(&format!("{}@", story.user_id())));
    mails.sort_by_key(|mail| !planted(&mail.to));
    mails.truncate(MAILS_MAX);
    let n_received = usize::try_from(stage.inbox.n_received()).unwrap_or(usize::MAX);
    page(&InboxPage { frame: frame(&visit(&headers)), mails, n_received })
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    frame: Frame,
    number: u64,
    subject: String,
    to: String,
    at: String,
    n_bytes: usize,
    source: String,
}

async fn mail(State(stage): State<Arc<Stage>>, Path(number): Path<u64>, headers: HeaderMap) -> Response {
    let Some(mail) = stage.inbox.mail(number) else { return StatusCode::NOT_FOUND.into_response() };
    let opened = OpenedMail::read(&mail.bytes);
    let subject = opened.as_ref().and_then(|mail| mail.header("Subject")).unwrap_or("(unreadable)").to_owned();
    page(&MailPage {
        frame: frame(&visit(&headers)),
        number,
        subject,
        to: mail.to.join(", "),
        at: minute(mail.at),
        n_bytes: mail.bytes.len(),
        source: String::from_utf8_lossy(&mail.bytes).into_owned(),
    })
}

/// The HTML part as a mail program would show it: no scripts, nothing loaded, links in a new window.
async fn mail_html(State(stage): State<Arc<Stage>>, Path(number): Path<u64>) -> Response {
    let mail = stage.inbox.mail(number).and_then(|mail| OpenedMail::read(&mail.bytes));
    let Some(mail) = mail else { return StatusCode::NOT_FOUND.into_response() };
    let html = mail.html.replacen("<head>", "<head><base target=\"_blank\">", 1);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inbox_tells_the_time_as_people_write_it() {
        assert_eq!(minute(At::parse("2026-11-23T22:05:41Z").unwrap()), "23 Nov 2026, 22:05");
    }
}
