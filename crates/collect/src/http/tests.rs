//! The doors as clients meet them: statuses and bodies of the wire contract, what is stored after them and what is not.

use super::{ANONYMOUS_ID, USER_ID, consent_routes, refused, routes};
use crate::REQUESTS_TOTAL;
use crate::live::{LiveWord, Seen};
use crate::tests::{House, OPENED, house};
use crate::wire::WireError;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine;
use model::{Awareness, Event, Fact, FactName, FieldName, Provenance, PurposeName, Value};
use promise::{Artefact, ArtefactKind};
use serde_json::{Value as Json, json};
use std::io::Write;
use tower::ServiceExt;
use vault::{Identifier, IdentifierKind};

const ORIGIN: &str = "http://localhost:4000";

/// One request, and what came back.
struct Said {
    status: StatusCode,
    headers: HeaderMap,
    body: Json,
}

async fn send(house: &House, request: Request<Body>) -> Said {
    let all = routes(house.state.clone()).merge(consent_routes(house.state.clone()));
    let response = all.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
    Said { status: parts.status, headers: parts.headers, body }
}

fn basic(key: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
}

fn post(path: &str, key: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri(path).header(header::AUTHORIZATION, basic(key));
    request.body(body.into()).unwrap()
}

async fn post_json(house: &House, path: &str, key: &str, body: &Json) -> Said {
    send(house, post(path, key, body.to_string())).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn order(user: &str, id: &str) -> Json {
    json!({
        "type": "track", "event": "Order Completed", "userId": user, "messageId": id,
        "properties": { "order_id": id, "total": 12.345, "currency": "GBP",
            "products": [{ "sku": "85123A", "quantity": 2, "price": 6.1725 }] },
    })
}

fn viewed(anonymous: &str, id: &str) -> Json {
    json!({ "type": "track", "event": "Product Viewed", "anonymousId": anonymous, "messageId": id,
        "properties": { "item": "85123A" } })
}

fn answer(anonymous: &str, status: &str) -> Json {
    json!({ "anonymousId": anonymous, "purpose": "offers", "status": status, "words": "Yes, send me offers.",
        "language": "en", "noticeVersion": 1 })
}

fn identifier(kind: IdentifierKind, value: &str) -> Identifier {
    Identifier { kind, value: value.to_owned() }
}

/// Everything stored about somebody; `None` when nobody is there.
fn events(house: &House, whose: &Identifier) -> Option<Vec<Event>> {
    let snapshot = house.state.vault.snapshot();
    let portal = house.state.promise.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap().id;
    let permit = snapshot.permit(snapshot.find(whose)?, portal).ok()?;
    Some(permit.all_events(100).unwrap().iter().map(|event| event.reveal().event.clone()).collect())
}

fn fact(house: &House, whose: &Identifier, name: &str) -> Option<Fact> {
    let snapshot = house.state.vault.snapshot();
    let portal = house.state.promise.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap().id;
    let permit = snapshot.permit(snapshot.find(whose)?, portal).ok()?;
    let name = FactName::Field(FieldName::parse(name).unwrap());
    permit.fact(&name).unwrap().map(|fact| fact.reveal().clone())
}

fn latest(house: &House) -> Seen {
    house.state.live.newest(1).remove(0)
}

#[tokio::test]
async fn success_is_200_with_exactly_that_body_however_the_request_is_dressed() {
    let house = house();
    let one = order("u1", "m1").to_string();
    let in_body = |id: &str| json!({ "batch": [order("u1", id)], "writeKey": house.shop }).to_string();
    let bare = |path: &str, kind: &str, body: Vec<u8>| {
        let request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, kind);
        request.body(Body::from(body)).unwrap()
    };
    let mut bearer = bare("/v1/batch", "application/json", in_body("m2").into_bytes());
    bearer.headers_mut().insert(header::AUTHORIZATION, "Bearer token".parse().unwrap());
    let query = format!("/v1/t?writeKey={}", house.shop);
    let retried = {
        let mut request = post("/v1/t", &house.shop, order("u1", "m9").to_string());
        request.headers_mut().insert("x-retry-count", "3".parse().unwrap());
        request
    };
    for (what, request) in [
        ("plain", post("/v1/track", &house.shop, one.clone())),
        ("bearer with the key in the body", bearer),
        ("python 2.3.6, no header at all", bare("/v1/batch", "application/json", in_body("m3").into_bytes())),
        ("browser, text/plain", bare("/v1/b", "text/plain", in_body("m4").into_bytes())),
        (
            "rudder-sdk-node, gzip as a form",
            bare("/v1/batch", "application/x-www-form-urlencoded", gzip(in_body("m5").as_bytes())),
        ),
        ("key in the query", bare(&query, "text/plain", order("u1", "m6").to_string().into_bytes())),
        ("a host configured with a path", post("/v1/batch/b", &house.shop, in_body("m7"))),
        ("import", post("/v1/import", &house.shop, in_body("m8"))),
        ("a retry", retried),
        ("an empty batch", post("/v1/batch", &house.shop, "{\"batch\":[]}")),
        ("a client's own measurements", bare("/v1/m", "text/plain", b"{\"series\":[]}".to_vec())),
    ] {
        let said = send(&house, request).await;
        assert_eq!((said.status, said.body), (StatusCode::OK, json!({ "success": true })), "{what}");
        assert_eq!(said.headers[header::CONTENT_TYPE], "application/json", "{what}");
    }
    let stored = events(&house, &identifier(IdentifierKind::User, "u1")).unwrap();
    assert_eq!(stored.len(), 9);
}

#[tokio::test]
async fn errors_have_the_statuses_that_clients_treat_as_final_or_not() {
    let house = house();
    let large = json!({ "type": "track", "event": "Order Completed", "userId": "u",
        "properties": { "order_id": "x".repeat(33 * 1024) } });
    let mut deep = "1".to_owned();
    for _ in 0..40 {
        deep = format!("{{\"a\":{deep}}}");
    }
    let deep = format!("{{\"type\":\"track\",\"event\":\"Order Completed\",\"userId\":\"u\",\"properties\":{deep}}}");
    let very_deep = "[".repeat(200_000);
    let wide: String = (0..300).map(|n| format!("\"p{n}\":1,")).collect();
    let wide = format!("{{\"type\":\"track\",\"event\":\"X\",\"userId\":\"u\",\"properties\":{{{wide}\"z\":1}}}}");
    let long_id = json!({ "type": "track", "event": "X", "userId": "u".repeat(513) }).to_string();
    let many = format!("{{\"batch\":[{}{{}}]}}", "{},".repeat(2_500));
    let mut foreign = post("/v1/t", &house.web, viewed("a", "m").to_string());
    foreign.headers_mut().insert(header::ORIGIN, "https://elsewhere.example".parse().unwrap());
    let no_key = Request::post("/v1/batch").body(Body::from("{\"batch\":[]}")).unwrap();
    for (what, request, status, code) in [
        ("no key", no_key, 401, "no_key"),
        ("an unknown key", post("/v1/batch", "fl_sec_wrong", "{\"batch\":[]}"), 401, "unknown_key"),
        ("a foreign page", foreign, 401, "foreign_origin"),
        ("no JSON", post("/v1/t", &house.shop, "hello"), 400, "malformed"),
        ("cut JSON", post("/v1/batch", &house.shop, "{\"batch\":[{\"type\":"), 400, "malformed"),
        ("no UTF-8", post("/v1/t", &house.shop, vec![b'{', 0xff, b'}']), 400, "malformed"),
        ("UTF-16", post("/v1/t", &house.shop, vec![0xff, 0xfe, b'{', 0, b'}', 0]), 400, "malformed"),
        ("broken gzip", post("/v1/t", &house.shop, vec![0x1f, 0x8b, 8, 0, 0]), 400, "malformed"),
        ("no event", post("/v1/track", &house.shop, "{\"type\":\"track\"}"), 400, "malformed"),
        ("an event above 32 KB", post("/v1/track", &house.shop, large.to_string()), 400, "too_large"),
        ("a body above 500 KB", post("/v1/batch", &house.shop, vec![b' '; 513_000]), 400, "too_large"),
        ("above 500 KB after gunzip", post("/v1/batch", &house.shop, gzip(&vec![b' '; 600_000])), 400, "too_large"),
        ("deep JSON", post("/v1/track", &house.shop, deep), 400, "too_large"),
        ("very deep JSON", post("/v1/track", &house.shop, very_deep), 400, "malformed"),
        ("300 properties", post("/v1/track", &house.shop, wide), 400, "too_large"),
        ("a long id", post("/v1/track", &house.shop, long_id), 400, "too_large"),
        ("2,501 events", post("/v1/batch", &house.shop, many), 400, "malformed"),
        ("another method", Request::delete("/v1/batch").body(Body::empty()).unwrap(), 404, "not_found"),
    ] {
        let said = send(&house, request).await;
        assert_eq!((said.status.as_u16(), &said.body["code"]), (status, &json!(code)), "{what}: {}", said.body);
        assert!(said.body["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}");
    }
    assert!(house.state.live.newest(10).is_empty(), "nothing got as far as the vault");
}

#[test]
fn a_body_that_is_no_object_is_refused_at_every_door_and_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let house = house();
    let event = order("u1", "m1");
    // By its place in a list, a field would be read as the one that is declared there.
    let bodies =
        [json!([[event]]), json!([[event], house.shop]), json!([[]]), json!([event]), json!([]), json!("x"), json!(7)];
    let doors = ["/v1/batch", "/v1/import", "/v1/b", "/v1/batch/b", "/v1/import/b", "/v1/consent"];
    let one = ["t", "p", "i", "g", "a", "s", "track", "page", "identify", "group", "alias", "screen"];
    let doors: Vec<String> = doors.map(str::to_owned).into_iter().chain(one.map(|one| format!("/v1/{one}"))).collect();
    for (door, body) in doors.iter().flat_map(|door| bodies.iter().map(move |body| (door, body))) {
        let said =
            metrics::with_local_recorder(&recorder, || runtime.block_on(post_json(&house, door, &house.shop, body)));
        assert_eq!((said.status.as_u16(), &said.body["code"]), (400, &json!("malformed")), "{door} {body}");
        assert!(
            said.body["message"].as_str().is_some_and(|message| message.contains("not a JSON object")),
            "{door} {body}"
        );
    }
    assert_eq!(events(&house, &identifier(IdentifierKind::User, "u1")), None, "nobody came in");
    let counted = recorder.handle().render();
    let n_wire = bodies.len() * (doors.len() - 1);
    for line in [
        format!("{REQUESTS_TOTAL}{{door=\"wire\",status=\"400\"}} {n_wire}"),
        format!("{REQUESTS_TOTAL}{{door=\"consent\",status=\"400\"}} {}", bodies.len()),
    ] {
        assert!(counted.contains(&line), "{line} is not in {counted}");
    }
}

#[test]
fn a_full_queue_says_when_to_try_again() {
    let busy = refused("wire", &WireError::Busy);
    assert_eq!(
        (busy.status(), &busy.headers()[header::RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"2".parse().unwrap())
    );
    let full = refused("wire", &WireError::from(vault::VaultError::DiskFull));
    assert_eq!(
        (full.status(), &full.headers()[header::RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"60".parse().unwrap())
    );
    let away = refused("wire", &WireError::from(vault::VaultError::Away { source: "cut".into() }));
    assert_eq!(
        (away.status(), &away.headers()[header::RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"2".parse().unwrap())
    );
    assert_eq!(WireError::from(vault::VaultError::Busy), WireError::Busy);
}

#[tokio::test]
async fn one_bad_event_does_not_spoil_its_batch() {
    let house = house();
    let large = json!({ "type": "track", "event": "Order Completed", "userId": "u1", "pad": "x".repeat(33 * 1024) });
    let batch = json!({ "batch": [order("u1", "m1"), large, { "type": "track" }, 7, order("u1", "m2")] });
    assert_eq!(post_json(&house, "/v1/batch", &house.shop, &batch).await.status, StatusCode::OK);
    assert_eq!(events(&house, &identifier(IdentifierKind::User, "u1")).unwrap().len(), 2);
    let reasons: Vec<_> = house.state.live.newest(5).iter().rev().map(|seen| seen.reason).collect();
    assert_eq!(reasons, [None, Some("too_large"), Some("malformed"), Some("malformed"), None]);
}

#[tokio::test]
async fn an_order_is_stored_with_the_digits_as_written_and_nothing_undeclared() {
    let house = house();
    let mut sent = order("u1", "m1");
    sent["properties"]["cart_colour"] = json!("turquoise");
    sent["context"] = json!({ "ip": "203.0.113.9", "userAgent": "Test/1" });
    post_json(&house, "/v1/track", &house.shop, &sent).await;
    let stored = events(&house, &identifier(IdentifierKind::User, "u1")).unwrap().remove(0);
    let names: Vec<&str> = stored.properties.keys().map(String::as_str).collect();
    assert_eq!(names, ["order_id", "total"]);
    assert!(matches!(stored.properties["total"], Value::Money(money) if money.micros == 12_345_000));
    let line = &stored.lines[0];
    assert_eq!((line.item.as_str(), line.quantity, line.price.micros), ("85123A", 2, 6_172_500));
    let seen = latest(&house);
    assert_eq!((seen.word, seen.cut[0].name.as_str()), (LiveWord::Trimmed, "cart_colour"));
    assert!(seen.stanza().unwrap().contains("cart_colour = \"text\""));
    assert!(!format!("{seen:?}").contains("turquoise"), "names, never values");
    // The same message again changes nothing.
    post_json(&house, "/v1/track", &house.shop, &sent).await;
    assert_eq!(latest(&house).word, LiveWord::Repeated);
    assert_eq!(events(&house, &identifier(IdentifierKind::User, "u1")).unwrap().len(), 1);
}

#[tokio::test]
async fn a14_an_order_and_its_refund_over_the_wire_keep_their_lines_and_cancel_out() {
    let house = house();
    let mut refund = order("u1", "m2");
    refund["event"] = json!("Order Refunded");
    for sent in [order("u1", "m1"), refund.clone(), refund] {
        post_json(&house, "/v1/track", &house.shop, &sent).await;
        house.clock.advance_ms(1_000);
    }
    let stored = events(&house, &identifier(IdentifierKind::User, "u1")).unwrap();
    let mut lines: Vec<_> = stored.iter().flat_map(|event| &event.lines).map(|line| line.quantity).collect();
    lines.sort_unstable();
    assert_eq!((stored.len(), lines.as_slice()), (2, [-2, 2].as_slice()), "each once, and one takes back the other");
    assert!(stored.iter().all(|event| event.lines[0].item.as_str() == "85123A"));
    assert!(stored.iter().all(|event| event.lines[0].price.micros == 6_172_500));
}

#[tokio::test]
async fn without_a_purpose_nothing_is_stored_and_the_client_is_content() {
    let house = house();
    let browser = identifier(IdentifierKind::Anonymous, "a1");
    let say = async |body: Json| post_json(&house, "/v1/t", &house.web, &body).await.status;
    assert_eq!(say(viewed("a1", "m1")).await, StatusCode::OK);
    assert_eq!((latest(&house).word, latest(&house).reason), (LiveWord::Refused, Some("no_purpose")));
    assert!(latest(&house).line.is_some(), "the promise line that decided");
    assert_eq!(events(&house, &browser), None, "not even that somebody knocked");

    let said = post_json(&house, "/v1/consent", &house.web, &answer("a1", "given")).await;
    assert_eq!((said.status, &said.body["recorded"]), (StatusCode::OK, &json!(true)), "{}", said.body);
    say(viewed("a1", "m2")).await;
    assert_eq!(events(&house, &browser).unwrap().len(), 1);

    house.clock.advance_ms(1_000);
    post_json(&house, "/v1/consent", &house.web, &answer("a1", "withdrawn")).await;
    say(viewed("a1", "m3")).await;
    assert_eq!(latest(&house).reason, Some("no_purpose"));
    assert_eq!(events(&house, &browser).unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_declared_or_never_taken_is_refused() {
    let house = house();
    let track = |event: &str, properties: Json| json!({ "type": "track", "event": event, "userId": "u1", "properties": properties });
    let cases = [
        (track("Wish Made", json!({ "wish": "a pony" })), "undeclared_event"),
        (track("Order Completed", json!({ "order_id": "1", "note": "4111 1111 1111 1111" })), "never"),
        (track("Order Completed", json!({ "order_id": "1", "payment": { "card_number": "x" } })), "never"),
        (track("Order Completed", json!({ "order_id": "4111111111111111" })), "never"),
        (json!({ "type": "track", "event": "Order Completed", "anonymousId": null }), "no_subject"),
        (json!({ "type": "group", "userId": "u1", "groupId": "g" }), "undeclared_event"),
    ];
    for (body, reason) in cases {
        assert_eq!(post_json(&house, "/v1/track", &house.shop, &body).await.status, StatusCode::OK);
        assert_eq!((latest(&house).word, latest(&house).reason), (LiveWord::Refused, Some(reason)), "{body}");
    }
    assert!(house.state.live.newest(6)[5].stanza().unwrap().contains("[event.\"Wish Made\"]"));
    assert_eq!(events(&house, &identifier(IdentifierKind::User, "u1")), None);
}

#[tokio::test]
async fn a_browsers_user_id_and_address_are_claims_and_dropped() {
    let house = house();
    post_json(&house, "/v1/consent", &house.web, &answer("a1", "given")).await;
    let mut body = viewed("a1", "m1");
    body["userId"] = json!("somebody-else");
    post_json(&house, "/v1/t", &house.web, &body).await;
    assert_eq!(events(&house, &identifier(IdentifierKind::Anonymous, "a1")).unwrap().len(), 1);
    assert_eq!(events(&house, &identifier(IdentifierKind::User, "somebody-else")), None);
    let identify =
        json!({ "type": "identify", "anonymousId": "a1", "userId": "u9", "traits": { "email": "x@y.example" } });
    post_json(&house, "/v1/i", &house.web, &identify).await;
    assert_eq!(fact(&house, &identifier(IdentifierKind::Anonymous, "a1"), "email"), None);
    assert_eq!(events(&house, &identifier(IdentifierKind::User, "u9")), None);
    assert_eq!(latest(&house).word, LiveWord::Refused);
}

#[tokio::test]
async fn consent_of_the_page_and_global_privacy_control_narrow() {
    let house = house();
    post_json(&house, "/v1/consent", &house.web, &answer("a1", "given")).await;
    let browser = identifier(IdentifierKind::Anonymous, "a1");
    let mut narrowed = viewed("a1", "m1");
    narrowed["context"] = json!({ "consent": { "categoryPreferences": { "marketing": false } } });
    post_json(&house, "/v1/t", &house.web, &narrowed).await;
    assert_eq!(latest(&house).reason, Some("no_purpose"));
    let mut rudder = viewed("a1", "m2");
    rudder["context"] = json!({ "consentManagement": { "allowedConsentIds": [], "deniedConsentIds": ["offers"] } });
    post_json(&house, "/v1/t", &house.web, &rudder).await;
    assert_eq!(latest(&house).reason, Some("no_purpose"));
    let mut signal = post("/v1/t", &house.web, viewed("a1", "m3").to_string());
    signal.headers_mut().insert("sec-gpc", "1".parse().unwrap());
    send(&house, signal).await;
    assert_eq!(latest(&house).reason, Some("no_purpose"));
    assert_eq!(events(&house, &browser).unwrap().len(), 0);
    // Measuring may be allowed by the page for its own device; offers may not.
    let page = json!({ "type": "page", "anonymousId": "a2", "messageId": "m4",
        "properties": { "path": "/mugs?token=secret" },
        "context": { "consent": { "categoryPreferences": { "analytics": true } } } });
    post_json(&house, "/v1/p", &house.web, &page).await;
    let stored = events(&house, &identifier(IdentifierKind::Anonymous, "a2")).unwrap();
    assert!(matches!(&stored[0].properties["path"], Value::Text(path) if path == "/mugs"), "the query stays outside");
}

#[tokio::test]
async fn pages_of_the_source_may_read_answers_and_no_others() {
    let house = house();
    let preflight = |origin: &str| {
        Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/t")
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type,x-retry-count")
            .body(Body::empty())
            .unwrap()
    };
    let said = send(&house, preflight(ORIGIN)).await;
    assert_eq!(said.status, StatusCode::OK);
    assert_eq!(said.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], ORIGIN);
    assert_eq!(said.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization,content-type,x-retry-count");
    assert_eq!(said.headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert_eq!(said.headers[header::ACCESS_CONTROL_MAX_AGE], "86400");
    let said = send(&house, preflight("https://elsewhere.example")).await;
    assert!(!said.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let mut event = post("/v1/t", &house.web, viewed("a1", "m1").to_string());
    event.headers_mut().insert(header::ORIGIN, ORIGIN.parse().unwrap());
    let said = send(&house, event).await;
    assert_eq!(
        (said.status, &said.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN]),
        (StatusCode::OK, &ORIGIN.parse().unwrap())
    );
    assert!(!said.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn the_settings_document_sends_everything_here_and_nothing_elsewhere() {
    let house = house();
    let get = |path: String| Request::get(path).body(Body::empty()).unwrap();
    for path in ["/v1/projects/KEY/settings", "/projects/KEY/settings", "/projects/projects/KEY/settings"] {
        let said = send(&house, get(path.replace("KEY", &house.web))).await;
        assert_eq!(said.status, StatusCode::OK, "{path}");
        let segment = &said.body["integrations"]["Segment.io"];
        assert_eq!(segment["apiKey"], json!(house.web));
        assert_eq!((&segment["apiHost"], &segment["protocol"]), (&json!("localhost:4000/v1"), &json!("http")));
        assert_eq!(said.body["metrics"], json!({ "sampleRate": 0 }));
        assert_eq!(said.body["remotePlugins"], json!([]));
        assert_eq!(
            said.body["consentSettings"],
            json!({ "allCategories": ["analytics", "marketing", "measuring", "offers"], "hasUnmappedDestinations": false })
        );
    }
    let said = send(&house, get("/v1/projects/fl_pub_wrong/settings".to_owned())).await;
    assert_eq!((said.status, &said.body["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
}

#[tokio::test]
async fn an_answer_gives_a_receipt_and_can_be_read_again() {
    let house = house();
    let mut body = answer("a1", "given");
    body["level"] = json!("little");
    let said = post_json(&house, "/v1/consent", &house.web, &body).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.body);
    assert_eq!((&said.body["purpose"], &said.body["level"]), (&json!("offers"), &json!("little")));
    assert_eq!(said.body["at"], json!("2026-11-23T12:00:00.000Z"));
    assert!(said.body["consentId"].as_str().unwrap().starts_with("con_"));
    assert!(said.body["receipt"]["signature"].is_string() && said.body["receipt"]["payload"].is_string());
    assert!(OPENED.starts_with("2026-11-23T12:00:00"));

    let ask = async |key: &str, header: &str, value: &str| {
        let request = Request::get("/v1/consent").header(header::AUTHORIZATION, basic(key)).header(header, value);
        send(&house, request.body(Body::empty()).unwrap()).await
    };
    let said = ask(&house.web, ANONYMOUS_ID, "a1").await;
    let offers = &said.body["purposes"]["offers"];
    assert_eq!((&offers["status"], &offers["level"]), (&json!("given"), &json!("little")));
    assert_eq!(said.body["purposes"]["measuring"]["status"], json!("unknown"));
    assert_eq!(said.body["purposes"].get("orders"), None, "a contract purpose asks nobody");
    house.clock.advance_ms(1_000);
    post_json(&house, "/v1/consent", &house.web, &answer("a1", "withdrawn")).await;
    let said = ask(&house.web, ANONYMOUS_ID, "a1").await;
    assert_eq!(said.body["purposes"]["offers"]["status"], json!("withdrawn"));
    assert_eq!(ask(&house.web, ANONYMOUS_ID, "stranger").await.body["purposes"]["offers"]["status"], json!("unknown"));
    assert_eq!(ask(&house.web, USER_ID, "u1").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&house.shop, USER_ID, "u1").await.status, StatusCode::OK);
    assert_eq!(ask("fl_pub_wrong", ANONYMOUS_ID, "a1").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_unknown_browser_that_says_no_leaves_nothing() {
    let house = house();
    let said = post_json(&house, "/v1/consent", &house.web, &answer("a1", "refused")).await;
    assert_eq!((said.status, &said.body["recorded"]), (StatusCode::OK, &json!(false)));
    assert!(said.body["reason"].is_string() && said.body["receipt"].is_null());
    assert_eq!(events(&house, &identifier(IdentifierKind::Anonymous, "a1")), None);
}

#[tokio::test]
async fn what_is_no_free_answer_is_a_problem_with_its_reason() {
    let house = house();
    let with = |name: &str, value: Json| {
        let mut body = answer("a1", "given");
        body[name] = value;
        body.to_string()
    };
    let without = |name: &str| {
        let mut body = answer("a1", "given");
        body.as_object_mut().unwrap().remove(name);
        body.to_string()
    };
    let twice = answer("a1", "given").to_string().replacen('{', "{\"purpose\":\"measuring\",", 1);
    for (body, status, code) in [
        (with("preset", json!(true)), 400, "ticked_beforehand"),
        (with("purpose", json!(["offers", "measuring"])), 400, "several_purposes"),
        (twice, 400, "malformed"),
        (with("purposes", json!(["offers"])), 400, "malformed"),
        (without("purpose"), 400, "unknown_purpose"),
        (with("purpose", json!("world_peace")), 400, "unknown_purpose"),
        (with("purpose", json!("orders")), 400, "not_asked"),
        (with("status", json!("maybe")), 400, "unknown_status"),
        (with("status", json!("expired")), 400, "unknown_status"),
        (with("level", json!("medium")), 400, "unknown_level"),
        (without("words"), 400, "no_words"),
        (with("words", json!("  ")), 400, "no_words"),
        (with("words", json!("x".repeat(4_001))), 400, "no_words"),
        (without("language"), 400, "no_language"),
        (without("noticeVersion"), 400, "unknown_notice"),
        (with("noticeVersion", json!(2)), 400, "unknown_notice"),
        (without("anonymousId"), 400, "no_subject"),
        (with("userId", json!("u1")), 403, "not_yours"),
        ("no JSON".to_owned(), 400, "malformed"),
    ] {
        let said = send(&house, post("/v1/consent", &house.web, body.clone())).await;
        assert_eq!((said.status.as_u16(), &said.body["code"]), (status, &json!(code)), "{body}: {}", said.body);
        assert_eq!(said.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(said.body["status"], json!(status));
    }
    let said = send(&house, post("/v1/consent", &house.web, with("purpose", json!("orders")))).await;
    assert!(said.body["line"].is_u64(), "the promise line that decided");
    let said = send(&house, post("/v1/consent", "fl_pub_wrong", answer("a1", "given").to_string())).await;
    assert_eq!((said.status, &said.body["code"]), (StatusCode::UNAUTHORIZED, &json!("unknown_key")));
    assert_eq!(events(&house, &identifier(IdentifierKind::Anonymous, "a1")), None);
}

#[tokio::test]
async fn a29_an_address_given_at_the_checkout_says_when_where_and_what_for() {
    let house = house();
    post_json(&house, "/v1/track", &house.shop, &order("u1", "m1")).await;
    let identify =
        json!({ "type": "identify", "userId": "u1", "traits": { "email": "Anna@Example.com", "plan": "x" } });
    post_json(&house, "/v1/identify", &house.shop, &identify).await;
    assert_eq!((latest(&house).word, latest(&house).cut[0].name.as_str()), (LiveWord::Trimmed, "plan"));
    let email = fact(&house, &identifier(IdentifierKind::User, "u1"), "email").unwrap();
    assert!(matches!(&email.value, Value::Text(text) if text == "anna@example.com"));
    assert!(matches!(&email.provenance, Provenance::Provided { source } if source.as_str() == "shop"));
    assert_eq!(email.as_of, house.state.vault.now());
    assert_eq!((email.told_how, email.notice_version), (Awareness::InNotice, 1));
    assert!(email.told_at.is_some() && email.purposes.contains(&PurposeName::parse("orders").unwrap()));
    // RudderStack puts the same under the context.
    let rudder =
        json!({ "type": "identify", "userId": "u1", "context": { "traits": { "email": "anna@example.org" } } });
    house.clock.advance_ms(1_000);
    post_json(&house, "/v1/identify", &house.shop, &rudder).await;
    let email = fact(&house, &identifier(IdentifierKind::User, "u1"), "email").unwrap();
    assert!(matches!(&email.value, Value::Text(text) if text == "anna@example.org"));
}

#[tokio::test]
async fn a26_a_stated_taste_is_taken_from_the_list_and_only_with_consent() {
    let house = house();
    let browser = identifier(IdentifierKind::Anonymous, "a1");
    let state = async |group: &str| {
        let body = json!({ "type": "identify", "anonymousId": "a1", "traits": { "favourite_group": group } });
        post_json(&house, "/v1/i", &house.web, &body).await
    };
    state("garden").await;
    assert_eq!(latest(&house).reason, Some("no_purpose"));
    assert_eq!(fact(&house, &browser, "favourite_group"), None);
    post_json(&house, "/v1/consent", &house.web, &answer("a1", "given")).await;
    house.clock.advance_ms(1_000);
    state("garden").await;
    let taste = fact(&house, &browser, "favourite_group").unwrap();
    assert!(matches!(&taste.value, Value::Text(text) if text == "garden"));
    assert!(matches!(&taste.provenance, Provenance::Provided { source } if source.as_str() == "web"));
    house.clock.advance_ms(1_000);
    state("my neighbour's garden").await;
    assert_eq!(latest(&house).word, LiveWord::Refused, "what is not in the list is no taste");
    let taste = fact(&house, &browser, "favourite_group").unwrap();
    assert!(matches!(&taste.value, Value::Text(text) if text == "garden"));
}

#[tokio::test]
async fn a_server_key_ties_a_browser_to_a_person() {
    let house = house();
    post_json(&house, "/v1/track", &house.shop, &order("u1", "m1")).await;
    post_json(&house, "/v1/consent", &house.web, &answer("a1", "given")).await;
    let alias = json!({ "type": "alias", "previousId": "a1", "userId": "u1" });
    post_json(&house, "/v1/alias", &house.web, &alias).await;
    assert_eq!(latest(&house).word, LiveWord::Refused, "a browser's word ties nothing");
    post_json(&house, "/v1/alias", &house.shop, &alias).await;
    assert_eq!(latest(&house).word, LiveWord::Taken, "{:?}", latest(&house));
    // An identify with both ids ties as well, beside what it tells.
    let identify =
        json!({ "type": "identify", "anonymousId": "a2", "userId": "u1", "traits": { "email": "a@b.example" } });
    post_json(&house, "/v1/identify", &house.shop, &identify).await;
    let person = |kind, value| house.state.vault.snapshot().find(&identifier(kind, value));
    assert_eq!(person(IdentifierKind::Anonymous, "a2"), person(IdentifierKind::User, "u1"));
    assert!(person(IdentifierKind::Anonymous, "a2").is_some());
}
