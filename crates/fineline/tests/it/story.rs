//! The story of the first honest message, from the wire to forgetting: once on each engine.

use crate::house::{House, address, link_in};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;
use vault::EngineKind;

#[test]
fn the_first_honest_message_in_memory() {
    story(EngineKind::Memory);
}

#[test]
fn the_first_honest_message_on_fjall() {
    story(EngineKind::Fjall);
}

fn story(engine: EngineKind) {
    let house = House::open(engine);
    house.customers(80, 8);
    assert_eq!(house.lapsed().matching, Some(80));
    assert_eq!(house.lapsed().tellable, Some(72));

    let n_sent = house.send_campaign();
    assert!((50..=72).contains(&n_sent), "{n_sent} mails: about a tenth of 72 is left alone");
    assert!((72..80).all(|number| house.mail_to(&format!("p{number}")).is_none()), "who said no hears nothing");
    let user = (0..72).map(|number| format!("p{number}")).find(|user| house.mail_to(user).is_some()).unwrap();

    why_less_stop(&house, &user);
    portal_export_erase(&house, &user);
}

/// The mail says why; its links open the facts and take things back, one tap each, no sign-in.
fn why_less_stop(house: &House, user: &str) {
    let mail = house.mail_to(user).unwrap();
    assert!(mail.text.contains("You placed 3 orders with us, but none in the last 90 days."), "{}", mail.text);
    let unsubscribe = mail.header("List-Unsubscribe").unwrap();
    assert!(mail.header("List-Unsubscribe-Post").unwrap().contains("One-Click"));
    let path = link_in(&mail, "");
    let token = path.split('/').nth(2).unwrap();
    assert!(unsubscribe.contains(&format!("/m/{token}/unsubscribe")), "{unsubscribe}");

    let why = house.get(&format!("/m/{token}")).fine().text();
    assert!(why.contains("in the last 90 days") && !why.contains(&address(user)));
    let own = |link: &str| link.contains(&format!("/m/{token}"));
    let places: BTreeSet<&str> = mail
        .text
        .split_whitespace()
        .filter(|link| own(link))
        .filter_map(|link| link.split_once('#'))
        .map(|(_, place)| place)
        .collect();
    assert_eq!(places, BTreeSet::from(["less", "not-this", "stop"]));
    for place in places {
        let (_, there) = why.split_once(&format!("id=\"{place}\"")).unwrap_or_else(|| panic!("nothing is at #{place}"));
        let form = there.split("<form").nth(1).unwrap();
        assert!(form.contains(&format!("action=\"/m/{token}/{place}\"")), "#{place} is above its form");
    }
    for tail in ["", "/less", "/stop", "/address"] {
        let path = format!("/m/{token}{tail}");
        assert_eq!(house.method(Method::HEAD, &path).status, StatusCode::OK, "{path}");
        assert_eq!(house.get(&path).status, StatusCode::OK, "{path}");
    }
    let choices = |house: &House| house.get_as(&house.sign_in(user), "/privacy/me/choices").fine().text();
    assert!(!choices(house).contains("as you asked"), "looking changed nothing");

    house.form(&format!("/m/{token}/less"), "", "");
    assert!(choices(house).contains("At most 1 message in 7 days, as you asked."));
    house.form(&format!("/m/{token}/stop"), "", "");
    let decided = house.post("/v1/decide", &json!({ "userId": user, "placement": "home" })).fine().json();
    assert_eq!(decided["offer"], Value::Null, "{decided}");
}

/// Everything known is shown, taken along, and forgotten; what was forgotten stays forgotten.
fn portal_export_erase(house: &House, user: &str) {
    let browser = house.sign_in(user);
    let me = house.get_as(&browser, "/privacy/me").fine().text();
    assert!(me.contains(&address(user)), "everything known is shown");
    let export = house.form_as(&browser, "/privacy/me/export", "").fine();
    let mut archive = zip_of(&export.bytes);
    let data: Value = serde_json::from_str(&entry(&mut archive, "data.json")).unwrap();
    assert!(data.to_string().contains(&address(user)));
    assert!(entry(&mut archive, "index.html").contains("<html"));

    let erased = house.form_as(&browser, "/privacy/me/erase", "when=now");
    assert_eq!(erased.status, StatusCode::SEE_OTHER, "{}", erased.text());
    assert_eq!(house.person(user), None);
    let replay: Vec<Value> =
        (0..3).map(|round| House::order(user, &format!("{}-{round}", &user[1..]), &["MUG01"])).collect();
    let old = replay.into_iter().map(|mut event| {
        event["timestamp"] = json!("2026-03-03T12:00:00Z");
        event
    });
    house.post("/v1/batch", &json!({ "batch": old.collect::<Vec<_>>() })).fine();
    assert_eq!(house.person(user), None, "old events bring nobody back");
    let lookup = house.post("/v1/people/lookup", &json!({ "userId": user }));
    assert_eq!(lookup.status, StatusCode::NOT_FOUND);
}

fn zip_of(bytes: &[u8]) -> zip::ZipArchive<std::io::Cursor<Vec<u8>>> {
    zip::ZipArchive::new(std::io::Cursor::new(bytes.to_vec())).unwrap()
}

fn entry(archive: &mut zip::ZipArchive<std::io::Cursor<Vec<u8>>>, name: &str) -> String {
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}
