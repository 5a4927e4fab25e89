//! The gate without a vault: kinds, instants, message ids, what a browser may say.

use super::{Gate, Minimised, value};
use crate::tests::{OPENED, shop};
use crate::wire::call::read;
use model::chance::Seeded;
use model::{At, Currency, DAY_MS, EventKind, Kind, Trust, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use vault::{Intake, MessageKey, OutcomeReason};

fn minimised(source: &str, call: &Json) -> Minimised {
    let promise = shop();
    let rng = Seeded::new(1);
    let source = promise.sources.get(source).unwrap();
    let gate = Gate { promise: &promise, source, now: At::parse(OPENED).unwrap(), is_gpc: false, rng: &rng };
    let text = call.to_string();
    let calls = read(&text, None).unwrap();
    gate.minimise(calls.calls[0].as_ref().unwrap()).0
}

fn taken(source: &str, call: &Json) -> Intake {
    match minimised(source, call) {
        Minimised::Take(intake) => *intake,
        other => panic!("{other:?}"),
    }
}

fn order(more: Json) -> Json {
    let mut call = json!({ "type": "track", "event": "Order Completed", "userId": "u", "anonymousId": "a" });
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

#[test]
fn declared_kinds_are_parsed_from_the_digits_as_written() {
    let gbp = Currency::GBP;
    let micros = |json: &str| match value(Kind::Money, json, gbp) {
        Some(Value::Money(money)) => Some(money.micros),
        _ => None,
    };
    assert_eq!(micros("0.1"), Some(100_000));
    assert_eq!(micros("19756254.468"), Some(19_756_254_468_000), "no float on the way");
    assert_eq!(micros("\"12.50\""), Some(12_500_000));
    assert_eq!((micros("1e5"), micros("0.0000001"), micros("true"), micros("\"£2\"")), (None, None, None, None));
    let text = |kind, json: &str| match value(kind, json, gbp) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    assert_eq!(text(Kind::Text, "\"https://shop.example/a?u=anna#x\"").as_deref(), Some("https://shop.example/a"));
    assert_eq!(text(Kind::Text, &format!("\"{}\"", "x".repeat(65))), None);
    assert_eq!((text(Kind::Text, "\"a\\u0007\""), text(Kind::Text, "7"), text(Kind::Text, "\"\"")), (None, None, None));
    assert_eq!(text(Kind::Id, "42").as_deref(), Some("42"));
    assert_eq!(text(Kind::Email, "\" Anna@Example.COM \"").as_deref(), Some("anna@example.com"));
    for wrong in ["\"anna\"", "\"a@b\"", "\"a b@c.example\"", "\"@c.example\"", "\"a@b@c.example\"", "7"] {
        assert_eq!(text(Kind::Email, wrong), None, "{wrong}");
    }
    assert!(matches!(value(Kind::Number, "42", gbp), Some(Value::Number(42))));
    assert!(value(Kind::Number, "4.2", gbp).is_none() && value(Kind::Ranking, "[]", gbp).is_none());
    assert!(matches!(value(Kind::Flag, "true", gbp), Some(Value::Flag(true))));
    assert!(value(Kind::Date, "\"2026-02-30\"", gbp).is_none());
    assert!(value(Kind::Instant, "\"2026-02-03T00:00:00Z\"", gbp).is_some());
}

#[test]
fn the_clients_clock_is_corrected_and_bounded() {
    let now = At::parse(OPENED).unwrap();
    let at = |source: &str, original: &str, sent: Option<&str>| {
        let call = order(json!({ "timestamp": original, "sentAt": sent }));
        let call = if source == "web" {
            json!({ "type": "page", "anonymousId": "a", "timestamp": original, "sentAt": sent })
        } else {
            call
        };
        taken(source, &call).occurred_at
    };
    // A clock that is years wrong: what counts is how long the event waited.
    assert_eq!(at("shop", "2001-01-01T00:00:00Z", Some("2001-01-01T00:10:00Z")), now.plus_ms(-600_000));
    assert_eq!(at("web", "2001-01-01T00:00:00Z", None), now.plus_ms(-DAY_MS), "a browser: a day at most");
    assert_eq!(at("web", "2030-01-01T00:00:00Z", None), now.plus_ms(300_000), "and five minutes ahead");
    assert_eq!(at("shop", "2025-11-23T12:00:00Z", None), now.plus_ms(-365 * DAY_MS), "a server may bring a history");
    assert_eq!(at("shop", "2001-01-01T00:00:00Z", None), now.plus_ms(-1_095 * DAY_MS), "as long as it may be kept");
    assert_eq!(at("shop", "yesterday", None), now);
}

#[test]
fn a_batch_lends_its_instant_and_its_context() {
    let text = json!({ "sentAt": "2026-11-23T11:00:00Z", "context": { "consent": { "categoryPreferences": { "x": false } } },
        "batch": [{ "type": "track", "event": "E", "userId": 7, "timestamp": "2026-11-23T10:00:00Z" }] });
    let text = text.to_string();
    let calls = read(&text, Some(EventKind::Page)).unwrap();
    let call = calls.calls[0].as_ref().unwrap();
    assert_eq!((call.user.as_deref(), call.sent_at), (Some("7"), At::parse("2026-11-23T11:00:00Z")));
    assert_eq!(call.consent.get("x"), Some(&false));
    assert!(!calls.is_single && calls.write_key.is_none());
}

#[test]
fn message_ids_are_kept_hashed_or_made() {
    let key = |more: Json| match taken("shop", &order(more)).message_key {
        MessageKey::Wire(key) => key,
        MessageKey::History(_) => panic!("not a history"),
    };
    assert_eq!(key(json!({ "messageId": "m1" })), "m1");
    let long = key(json!({ "messageId": "m".repeat(200) }));
    assert!(long.len() < 100 && long == key(json!({ "messageId": "m".repeat(200) })));
    assert_eq!(key(json!({})).len(), 26);
}

#[test]
fn a_refund_takes_back_whatever_sign_the_client_gives() {
    let mut refund = order(json!({ "properties": { "products": [
        { "product_id": 85123, "quantity": 2, "price": "1.50" }, { "sku": "B", "quantity": -1, "price": 1 },
        { "quantity": 1 }, { "sku": "C", "price": "a lot" }, "D", { "sku": "E", "quantity": 1.5 }] } }));
    refund["event"] = json!("Order Refunded");
    let lines = taken("shop", &refund).lines;
    let rows: Vec<(&str, i32, i64)> =
        lines.iter().map(|line| (line.item.as_str(), line.quantity, line.price.micros)).collect();
    assert_eq!(rows, [("85123", -2, 1_500_000), ("B", -1, 1_000_000)]);
}

#[test]
fn the_clients_time_zone_is_taken_where_a_field_is_declared_for_it() {
    let zones = |context: Json| {
        let fields = taken("shop", &order(json!({ "context": context }))).fields;
        fields.into_iter().filter(|(name, _)| name.as_str() == "zone").map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(zones(json!({ "timezone": "Asia/Tokyo" })), [Value::Text("Asia/Tokyo".into())]);
    assert_eq!(zones(json!({ "timezone": "my place" })), []);
    assert_eq!(zones(json!({ "locale": "ja-JP" })), []);
}

#[test]
fn a_server_key_narrows_and_never_widens() {
    let call =
        order(json!({ "context": { "consent": { "categoryPreferences": { "offers": true, "measuring": false } } } }));
    let consent = taken("shop", &call).consent;
    let consent: Vec<(&str, bool)> = consent.iter().map(|(purpose, flag)| (purpose.as_str(), *flag)).collect();
    assert_eq!(consent, [("measuring", false)]);
    assert_eq!(taken("shop", &call).trust, Trust::Server);
}

#[test]
fn an_event_that_is_not_declared_is_refused_before_anything_is_read() {
    let call = json!({ "type": "track", "event": "Unknown", "userId": "u" });
    assert!(matches!(minimised("shop", &call), Minimised::Refuse(OutcomeReason::UndeclaredEvent)));
    let screen = json!({ "type": "screen", "userId": "u", "name": "Home" });
    assert!(matches!(minimised("shop", &screen), Minimised::Refuse(OutcomeReason::UndeclaredEvent)));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "\\PC{0,20}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof!["[a-z_]{1,8}", Just("products".to_owned()), Just("total".to_owned())];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            proptest::collection::btree_map(key, inner, 0..6).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn only_declared_properties_ever_pass(properties in any_json(), traits in any_json(), context in any_json()) {
        let promise = shop();
        let call = order(json!({ "properties": properties, "traits": traits, "context": context }));
        if let Minimised::Take(intake) = minimised("shop", &call) {
            let plan = &promise.events[&intake.name];
            prop_assert!(intake.properties.keys().all(|name| plan.has.contains_key(name)));
            prop_assert!(intake.fields.is_empty());
        }
    }
}
