//! The server-side door: who may ask, what a reason is for, and that nothing personal stands in an address.

use super::{ADDRESS, Answer, House, USER, seen};
use crate::Api;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, StatusCode};
use model::{Clock, SourceName};
use utoipa::OpenApi;

/// Why these tests open somebody.
const REASON: &str = "she asked us by letter";

async fn ask(house: &House, method: Method, path: &str, key: &str, reason: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    let request = if reason.is_empty() { request } else { request.header("fineline-reason", reason) };
    house.ask(request.body(Body::from(body.to_owned())).unwrap()).await
}

fn user() -> String {
    format!("{{\"userId\":\"{USER}\"}}")
}

#[tokio::test]
async fn only_the_secret_key_of_a_server_source_opens_the_door() {
    let house = House::with_one_customer().await;
    let server = house.server_key().await;
    let browser = house.vault.issue_source_key(&SourceName::parse("web").unwrap(), false).unwrap().await.unwrap();
    for path in ["/v1/people/lookup", "/v1/portal_sessions"] {
        for key in ["", "x", browser.as_str()] {
            let answer = ask(&house, Method::POST, path, key, "", &user()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["code"], "wrong_key");
        }
        assert_eq!(ask(&house, Method::POST, path, &server, "", &user()).await.status, StatusCode::OK);
        let basic =
            Request::post(path).header("authorization", format!("Basic {}", STANDARD.encode(format!("{server}:"))));
        assert_eq!(
            house.ask(basic.body(Body::from(user())).unwrap()).await.status,
            StatusCode::OK,
            "as the wire has it"
        );
    }
}

#[tokio::test]
async fn lookup_finds_by_the_companys_own_id_and_says_so_when_there_is_nobody() {
    let house = House::with_one_customer().await;
    let key = house.server_key().await;
    let found = ask(&house, Method::POST, "/v1/people/lookup", &key, "", &user()).await;
    assert_eq!(found.json()["person"], house.person().to_string());
    let nobody = ask(&house, Method::POST, "/v1/people/lookup", &key, "", "{\"userId\":\"nobody\"}").await;
    assert_eq!((nobody.status, nobody.json()["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    for body in ["", "{}", "{\"userId\":17}", "{\"userId\":\"\"}", "[1,2"] {
        let answer = ask(&house, Method::POST, "/v1/people/lookup", &key, "", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let large = ask(&house, Method::POST, "/v1/people/lookup", &key, "", &"x".repeat(20_000)).await;
    assert_eq!((large.status, large.json()["code"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("too_large")));
    let long = format!("{{\"userId\":\"{}\"}}", "x".repeat(513));
    let answer = ask(&house, Method::POST, "/v1/people/lookup", &key, "", &long).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_person_is_opened_with_a_reason_that_they_see() {
    let house = House::with_one_customer().await;
    let key = house.server_key().await;
    let path = format!("/v1/people/{}", house.person());
    let without = ask(&house, Method::GET, &path, &key, "", "").await;
    assert_eq!((without.status, without.json()["code"].as_str()), (StatusCode::BAD_REQUEST, Some("no_reason")));
    let browser = house.sign_in().await;
    assert!(!seen(&house.get_as(&browser, "/privacy/me").await.text()).contains("a parcel that got lost"));
    let opened = ask(&house, Method::GET, &path, &key, "a parcel that got lost", "").await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text());
    let facts = opened.json()["facts"].as_array().unwrap().clone();
    assert!(facts.iter().any(|fact| fact["name"] == "email" && fact["value"] == ADDRESS), "{facts:?}");
    let text = seen(&house.get_as(&browser, "/privacy/me").await.text());
    assert!(text.contains("server key shop") && text.contains("a parcel that got lost"), "{text}");
}

#[tokio::test]
async fn the_export_through_the_server_is_the_persons_own_copy_and_shown_to_them() {
    let house = House::with_one_customer().await;
    let key = house.server_key().await;
    let path = format!("/v1/people/{}/export", house.person());
    assert_eq!(ask(&house, Method::POST, &path, &key, "", "").await.status, StatusCode::BAD_REQUEST);
    let taken = ask(&house, Method::POST, &path, &key, "she asked by letter", "").await;
    assert_eq!((taken.status, taken.header("content-type")), (StatusCode::OK, Some("application/zip")));
    let browser = house.sign_in().await;
    assert!(seen(&house.get_as(&browser, "/privacy/me").await.text()).contains("she asked by letter"));
    let looked = ask(&house, Method::GET, &path, &key, "x", "").await;
    assert_eq!(looked.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(looked.json()["code"], "method_not_allowed");
}

#[tokio::test]
async fn somebody_left_alone_is_not_opened_by_staff() {
    let house = House::with_one_customer().await;
    let key = house.server_key().await;
    house.vault.reduce(house.person(), vault::Reduction::LeaveMeAlone).unwrap().await.unwrap();
    let path = format!("/v1/people/{}", house.person());
    let answer = ask(&house, Method::GET, &path, &key, "curious", "").await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (StatusCode::FORBIDDEN, Some("restrained")));
}

#[tokio::test]
async fn d02_the_why_of_a_decision_is_what_its_person_reads() {
    let house = House::with_one_customer().await;
    let (decision, token) = house.message().await;
    let key = house.server_key().await;
    let path = format!("/v1/decisions/{decision}/why");
    let why = ask(&house, Method::GET, &path, &key, REASON, "").await;
    assert_eq!(why.status, StatusCode::OK, "{}", why.text());
    let sentence = why.json()["why"].as_str().unwrap().to_owned();
    let of_the_trace = "You placed 1 orders with us, but none in the last 90 days. \
                        We picked Hanging heart candle because you bought Cake stand.";
    assert_eq!(sentence, of_the_trace, "the sentence that its trace makes");
    assert!(seen(&house.get(&format!("/m/{token}")).await.text()).contains(&sentence));
    assert_eq!(ask(&house, Method::GET, &path, "x", REASON, "").await.status, StatusCode::UNAUTHORIZED);
    let other = "/v1/decisions/dec_00000000000000000000000000/why";
    assert_eq!(ask(&house, Method::GET, other, &key, REASON, "").await.status, StatusCode::NOT_FOUND);
    house.says("offers", model::ConsentStatus::Withdrawn).await;
    let later = ask(&house, Method::GET, &path, &key, REASON, "").await;
    assert_eq!((later.status, later.json()["code"].as_str()), (StatusCode::FORBIDDEN, Some("withdrawn")));
}

#[tokio::test]
async fn the_why_needs_a_reason_that_the_person_sees() {
    let house = House::with_one_customer().await;
    let (decision, _) = house.message().await;
    let (key, browser) = (house.server_key().await, house.sign_in().await);
    let path = format!("/v1/decisions/{decision}/why");
    let without = ask(&house, Method::GET, &path, &key, "", "").await;
    assert_eq!((without.status, without.json()["code"].as_str()), (StatusCode::BAD_REQUEST, Some("no_reason")));
    assert!(!without.text().contains("orders_all"));
    assert_eq!(ask(&house, Method::GET, &path, &key, REASON, "").await.status, StatusCode::OK);
    let text = seen(&house.get_as(&browser, "/privacy/me").await.text());
    assert!(text.contains("server key shop") && text.contains(REASON), "{text}");
}

#[tokio::test]
async fn the_why_shows_nothing_past_its_end_and_closes_after_its_days() {
    let house = House::with_one_customer().await;
    let (decision, _) = house.message().await;
    let (key, path) = (house.server_key().await, format!("/v1/decisions/{decision}/why"));
    let facts = async || {
        let why = ask(&house, Method::GET, &path, &key, REASON, "").await.json();
        (why["facts"].as_array().map_or(0, Vec::len), why["why"].is_string(), why["item"].is_string())
    };
    assert_eq!(facts().await, (2, true, true));
    house.clock.set(house.clock.now().plus_days(1));
    assert_eq!(
        facts().await,
        (1, false, true),
        "a count of the last 90 days ends with its day, and a sentence may quote it"
    );
    house.clock.set(house.clock.now().plus_days(vault::WHY_DAYS - 1));
    assert_eq!(ask(&house, Method::GET, &path, &key, REASON, "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_link_made_for_a_person_is_shown_to_them_once_a_day() {
    let house = House::with_one_customer().await;
    let (browser, _) = (house.sign_in().await, house.link().await);
    let visits = async |browser| {
        seen(&house.get_as(browser, "/privacy/me").await.text()).matches("open this page for you").count()
    };
    assert_eq!(visits(&browser).await, 1);
    house.clock.set(house.clock.now().plus_days(1));
    assert_eq!(visits(&house.sign_in().await).await, 2);
}

#[tokio::test]
async fn public_keys_are_there_for_everybody() {
    let house = House::with_one_customer().await;
    let keys = house.get("/.well-known/fineline-keys.json").await;
    assert!(keys.json()["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
}

#[tokio::test]
async fn d14_anybody_may_fetch_the_log_and_verify_it_without_the_house() {
    let house = House::with_one_customer().await;
    for n in 0..300u32 {
        house.vault.put_house_record("n", Some(n.to_be_bytes().to_vec())).unwrap().await.unwrap();
    }
    let checkpoint = house.get("/log/checkpoint").await.text();
    let keys = house.get("/.well-known/fineline-keys.json").await.text();
    let size = vault::audit::log_size(&checkpoint).unwrap();
    let mut files = std::collections::BTreeMap::new();
    for address in vault::tile::TileAddress::all_of(size) {
        let answer = house.get(&format!("/log/{address}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{address}");
        let kept = answer.headers["cache-control"].to_str().unwrap().to_owned();
        assert_eq!(kept.starts_with("public"), address.width == 256, "{address}: {kept}");
        files.insert(address, answer.bytes);
    }
    let verified =
        vault::audit::verify_log(&checkpoint, &keys, &[], |address| Ok(files.get(address).cloned())).unwrap();
    assert_eq!(verified.size, size);
    for wrong in
        ["tile/0/001", "tile/0/000.p/0", "tile/0/0", "tile/9/000", "tile/entries/x", "tile/entries/%30%30%30", "else"]
    {
        let answer = house.get(&format!("/log/{wrong}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{wrong}");
        assert_eq!(answer.json()["status"], 404, "{wrong}");
    }
}

#[test]
fn every_json_route_is_described() {
    let api = serde_json::to_value(Api::openapi()).unwrap();
    let paths: Vec<&String> = api["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/.well-known/fineline-keys.json",
            "/.well-known/gpc.json",
            "/log/checkpoint",
            "/log/tile/entries/{index}",
            "/log/tile/{level}/{index}",
            "/v1/decisions/{decision}/why",
            "/v1/people/lookup",
            "/v1/people/{person}",
            "/v1/people/{person}/after_leaving",
            "/v1/people/{person}/export",
            "/v1/portal_sessions",
        ]
    );
}
