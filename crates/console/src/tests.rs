//! The console from outside: who gets in, what a page may say, what a form may do.

use crate::{Page, Role, State, invite, routes};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use collect::live::Live;
use decide::records::{CampaignState, RunState};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, Rng, StaffName};
use promise::Promise;
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt;
use understand::traits::Traits;
use vault::{Household, Vault};

struct Console {
    router: Router,
    vault: Vault,
    clock: Arc<ManualClock>,
    rng: Arc<dyn Rng>,
}

fn console() -> Console {
    let promise: Arc<Promise> = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
    let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
    let rng: Arc<dyn Rng> = Arc::new(Seeded::new(11));
    let projection = Arc::new(Traits::new(&promise));
    let household =
        Household { promise: Arc::clone(&promise), clock: clock.clone(), rng: Arc::clone(&rng), projection };
    let vault = Vault::in_memory(household).unwrap();
    let state = State::new(vault.clone(), promise, Live::default(), Arc::clone(&rng));
    Console { router: routes(Arc::new(state)), vault, clock, rng }
}

struct Answer {
    status: StatusCode,
    cookie: Option<String>,
    location: Option<String>,
    text: String,
}

impl Console {
    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let cookie = response.headers().get(header::SET_COOKIE).map(|value| value.to_str().unwrap().to_owned());
        let location = response.headers().get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(!policy.contains("unsafe"), "{policy}");
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, cookie, location, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask(Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        self.ask(request).await
    }

    async fn invited(&self, role: Role) -> String {
        let (vault, rng) = (self.vault.clone(), Arc::clone(&self.rng));
        let name = StaffName::parse("Ada").unwrap();
        let secret =
            tokio::task::spawn_blocking(move || invite(&vault, &*rng, &name, role).unwrap().secret).await.unwrap();
        format!("/enter/{secret}")
    }

    /// A cookie of somebody signed in, and the word their forms carry.
    async fn signed_in(&self, role: Role) -> (String, String) {
        let link = self.invited(role).await;
        let answer = self.post(&link, "", "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let cookie = answer.cookie.unwrap().split(';').next().unwrap().to_owned();
        let mut page = self.get("/", &cookie).await;
        if let Some(home) = page.location {
            page = self.get(&home, &cookie).await;
        }
        let word = page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (cookie, word)
    }
}

const PAGES: &[&str] =
    &["/", "/live/rows", "/segments", "/segments/lapsed", "/campaigns", "/campaigns/win_back", "/reviews", "/log"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_page_without_a_session() {
    let console = console();
    for page in PAGES {
        for cookie in ["", "fineline_staff=", "fineline_staff=zzzz"] {
            let answer = console.get(page, cookie).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{page} with {cookie:?}");
            assert!(!answer.text.contains("orders_all"), "{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_works_once_and_not_by_looking_at_it() {
    let console = console();
    let link = console.invited(Role::Marketer).await;
    for _ in 0..3 {
        assert_eq!(console.get(&link, "").await.status, StatusCode::OK, "opening the link uses nothing up");
    }
    assert_eq!(console.post(&link, "", "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(console.post(&link, "", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_ends_after_a_quarter_of_an_hour_and_a_session_after_idling() {
    let console = console();
    let link = console.invited(Role::Marketer).await;
    console.clock.advance_ms(crate::session::INVITE_MS);
    assert_eq!(console.post(&link, "", "").await.status, StatusCode::NOT_FOUND);
    let (cookie, _) = console.signed_in(Role::Marketer).await;
    console.clock.advance_ms(crate::session::IDLE_MS - 1);
    assert_eq!(console.get("/", &cookie).await.status, StatusCode::OK);
    console.clock.advance_ms(crate::session::IDLE_MS);
    assert_eq!(console.get("/", &cookie).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_opens_for_staff() {
    let console = console();
    let (cookie, _) = console.signed_in(Role::Marketer).await;
    for page in PAGES {
        let answer = console.get(page, &cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.text);
    }
    assert_eq!(console.get("/segments/nobody", &cookie).await.status, StatusCode::NOT_FOUND);
    assert_eq!(console.get("/nowhere", &cookie).await.status, StatusCode::NOT_FOUND);
    let segment = console.get("/segments/lapsed", &cookie).await;
    assert!(segment.text.contains("fewer than 50"), "an empty segment is not told as 0 people");
    assert!(segment.text.contains("promise.toml:"));
    let log = console.get("/log", &cookie).await;
    assert!(log.text.contains("<dt>due</dt><dd>0</dd>"), "{}", log.text);
    let campaign = console.get("/campaigns/win_back", &cookie).await;
    assert!(campaign.text.contains("Too few to say") && !campaign.text.contains("messages sent"), "{}", campaign.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_its_word_or_from_elsewhere_does_nothing() {
    let console = console();
    let (cookie, word) = console.signed_in(Role::Marketer).await;
    let start = "/campaigns/win_back/start";
    assert_eq!(console.post(start, &cookie, "csrf=wrong").await.status, StatusCode::FORBIDDEN);
    let foreign = Request::post(start)
        .header(header::COOKIE, &cookie)
        .header(header::HOST, "localhost:4001")
        .header(header::ORIGIN, "http://elsewhere.example")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf={word}")))
        .unwrap();
    assert_eq!(console.ask(foreign).await.status, StatusCode::FORBIDDEN);
    let own = Request::post("/leave")
        .header(header::COOKIE, &cookie)
        .header("sec-fetch-site", "same-origin")
        .header(header::ORIGIN, "null")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf={word}")))
        .unwrap();
    assert_eq!(console.ask(own).await.status, StatusCode::SEE_OTHER, "a browser without a referrer says origin null");
    assert!(console.vault.snapshot().house_record("campaign/win_back").unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b03_an_audience_below_the_floor_cannot_be_started() {
    let console = console();
    let (cookie, word) = console.signed_in(Role::Marketer).await;
    let answer = console.post("/campaigns/win_back/start", &cookie, &format!("csrf={word}")).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("Fewer people match than the smallest group"), "{}", answer.text);
    assert!(console.vault.snapshot().house_record("campaign/win_back").unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_does_what_it_may_and_no_more() {
    let console = console();
    for role in [Role::Privacy, Role::Operator, Role::Agency] {
        let (cookie, word) = console.signed_in(role).await;
        let answer = console.post("/campaigns/win_back/start", &cookie, &format!("csrf={word}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_opens_its_own_pages_and_no_other() {
    let console = console();
    let everything = &Page::ALL[..];
    for (role, own) in [
        (Role::Marketer, everything),
        (Role::Privacy, everything),
        (Role::Operator, &[Page::Live, Page::Log]),
        (Role::Agency, &[Page::Segments]),
    ] {
        let (cookie, _) = console.signed_in(role).await;
        for path in PAGES {
            let page = Page::of(path).unwrap();
            let answer = console.get(path, &cookie).await;
            let expected = match own.contains(&page) {
                true => StatusCode::OK,
                // Where everybody arrives leads on to what is theirs.
                false if *path == "/" => StatusCode::SEE_OTHER,
                false => StatusCode::FORBIDDEN,
            };
            assert_eq!(answer.status, expected, "{role:?} {path}");
            for other in Page::ALL.iter().filter(|page| !own.contains(page) && page.href() != "/") {
                assert!(
                    !answer.text.contains(&format!("href=\"{}\"", other.href())),
                    "{role:?} {path} leads to {other:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_used_by_many_at_once_lets_one_in() {
    let console = console();
    for _ in 0..8 {
        let link = console.invited(Role::Marketer).await;
        let (a, b, c, d) = tokio::join!(
            console.post(&link, "", ""),
            console.post(&link, "", ""),
            console.post(&link, "", ""),
            console.post(&link, "", "")
        );
        let n_in = [a, b, c, d].iter().filter(|answer| answer.status == StatusCode::SEE_OTHER).count();
        assert_eq!(n_in, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_refused_before_there_was_a_message_is_told_above_the_floor() {
    let console = console();
    let (cookie, _) = console.signed_in(Role::Marketer).await;
    let put = |name: &'static str, bytes: Vec<u8>| {
        let vault = console.vault.clone();
        tokio::task::spawn_blocking(move || vault.put_house_record(name, Some(bytes)).unwrap().wait().unwrap())
    };
    let state = CampaignState {
        state: decide::records::State::Running,
        run: 1,
        started_at: 0,
        by: "Ada".to_owned(),
        refused_for: None,
    };
    put("campaign/win_back", serde_json::to_vec(&state).unwrap()).await.unwrap();
    let outcomes = BTreeMap::from([("no_address".to_owned(), 61), ("cap_reached".to_owned(), 7)]);
    let run = RunState { run: 1, outcomes, ..RunState::default() };
    put("run/win_back", serde_json::to_vec(&run).unwrap()).await.unwrap();
    let page = console.get("/campaigns/win_back", &cookie).await.text;
    assert!(page.contains("<dt>no address</dt><dd class=\"number\">about 50</dd>"), "{page}");
    assert!(page.contains("<dt>cap reached</dt><dd class=\"number\">fewer than 50</dd>"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_ends_the_session() {
    let console = console();
    let (cookie, word) = console.signed_in(Role::Operator).await;
    assert_eq!(console.post("/leave", &cookie, &format!("csrf={word}")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(console.get("/", &cookie).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn c04_an_alarm_is_shown_with_what_to_do_and_ends_when_somebody_says_what_they_found() {
    let console = console();
    for person in 0..21u8 {
        let (vault, person) = (console.vault.clone(), model::ProfileId::from_bytes([person; 16]));
        let act = vault::StaffAct {
            staff: "Mallory".into(),
            act: "opened_person",
            person: Some(person),
            reason: "curious".into(),
            at: vault.now(),
        };
        tokio::task::spawn_blocking(move || vault.staff_act(act).unwrap().wait().unwrap()).await.unwrap();
    }
    // Nobody by these ids was opened: who looks up nobody reads nobody.
    assert_eq!(console.vault.n_alarms_open(), 0);
    let campaign = promise::parse("shop.toml", promise::fixture::SHOP).unwrap();
    let campaign = campaign.artefact(promise::ArtefactKind::Campaign, "win_back").unwrap().id;
    let change = vault::ConsentChange {
        subject: vault::Subject::Identifiers {
            user: Some(vault::Identifier { kind: vault::IdentifierKind::User, value: "ada".into() }),
            anonymous: None,
        },
        source: None,
        purpose: model::PurposeName::parse("offers").unwrap(),
        status: model::ConsentStatus::Given,
        level: None,
        words: model::Words { text: "Yes.".into(), language: "en".into(), answered_at: console.vault.now() },
        method: model::Method::SiteForm,
        notice_version: 1,
        made_up: false,
    };
    let vault = console.vault.clone();
    let said = tokio::task::spawn_blocking(move || vault.consent(change).unwrap().wait().unwrap()).await.unwrap();
    let person = said.profile.unwrap();
    console.clock.advance_ms(3 * 24 * 3_600_000);
    let vault = console.vault.clone();
    tokio::task::spawn_blocking(move || {
        let _ = vault.snapshot().permit(person, campaign).unwrap().contact();
        vault.put_items(Vec::new()).unwrap().wait().unwrap();
    })
    .await
    .unwrap();
    assert_eq!(console.vault.n_alarms_open(), 1);
    let (cookie, word) = console.signed_in(Role::Privacy).await;
    let page = console.get("/log", &cookie).await;
    assert!(page.text.contains("campaign win_back asked for record contact for the first time"), "{}", page.text);
    let address = page.text.split("action=\"/log/alarms/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/log/alarms/{address}");
    let (marketer, marketer_word) = console.signed_in(Role::Marketer).await;
    let form = |word: &str, reason: &str| format!("csrf={word}&reason={reason}");
    assert_eq!(console.post(&path, &marketer, &form(&marketer_word, "fine")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(console.post(&path, &cookie, &form(&word, "")).await.status, StatusCode::CONFLICT);
    assert_eq!(console.vault.n_alarms_open(), 1, "a reason is asked for");
    assert_eq!(console.post(&path, &cookie, &form(&word, "started+today")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(console.vault.n_alarms_open(), 0);
    let page = console.get("/log", &cookie).await;
    assert!(page.text.contains("started today") && page.text.contains("acknowledge") && !page.text.contains(&path));
}
