//! What happens by itself, on the person's pages: said before, chosen with buttons of one size, answered with one tap.

use super::{House, seen};
use axum::body::Body;
use http::{Request, StatusCode};
use model::{ConsentStatus, Day};
use promise::{Artefact, ArtefactKind, Fate};
use std::collections::BTreeSet;
use vault::{HoldOrder, LeavingView};

impl House {
    fn leaving(&self) -> LeavingView {
        let snapshot = self.vault.snapshot();
        let portal = self.promise.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap();
        let permit = snapshot.permit(self.person(), portal.id).unwrap();
        permit.leaving().unwrap().reveal().clone()
    }

    fn today(&self) -> Day {
        self.vault.now().day()
    }
}

#[tokio::test]
async fn d08_each_fate_has_a_button_of_the_same_kind_and_none_is_hidden() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let page = house.get_as(&browser, "/privacy/me/choices").await.text();
    let form = page.split("action=\"/privacy/me/leaving\"").nth(1).unwrap().split("</form>").next().unwrap();
    let buttons: Vec<&str> = form.split("<button ").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    let kinds: BTreeSet<String> = buttons
        .iter()
        .map(|button| button.replace("forget", "*").replace("minimum", "*").replace("until", "*"))
        .collect();
    assert_eq!((buttons.len(), kinds.len()), (3, 1), "three buttons, alike but for their word: {buttons:?}");
    let text = seen(&page);
    for said in [
        "You have not chosen, so the strictest holds: we forget you.",
        "when we hear nothing of you for 3 years",
        "Everything about you is erased.",
        "We keep what is for orders, as long as its dates say.",
        "If we hear nothing of you, this yes ends on",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[tokio::test]
async fn d08_a_choice_is_kept_as_made_and_shown_from_then_on() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let until = house.today().plus(500);
    for (fields, expected) in [
        ("fate=minimum&when=silent".to_owned(), Fate::Minimum),
        (format!("fate=until&when=silent&until={until}"), Fate::Until(until)),
        ("fate=forget&when=silent&until=".to_owned(), Fate::Forget),
    ] {
        let done = house.post_as(&browser, "/privacy/me/leaving", &fields).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/privacy/me/choices"), "{fields}");
        assert_eq!(house.leaving().fate, expected);
    }
    let said = seen(&house.get_as(&browser, "/privacy/me/choices").await.text());
    assert!(said.contains("You chose on 23 November 2026: we forget you."), "{said}");
    for wrong in
        ["fate=sell&when=silent", "fate=until&when=silent", "fate=until&when=silent&until=1999-01-01", "fate=forget"]
    {
        let refused = house.post_as(&browser, "/privacy/me/leaving", wrong).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let unsigned = house.post("/privacy/me/leaving", "fate=minimum&when=silent").await;
    assert_eq!(unsigned.status, StatusCode::SEE_OTHER, "not without a session");
    assert_eq!(house.leaving().fate, Fate::Forget);
}

#[tokio::test]
async fn d08_who_leaves_now_is_led_to_the_erasure_or_keeps_what_they_chose() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let forget = house.post_as(&browser, "/privacy/me/leaving", "fate=forget&when=now").await;
    assert_eq!(forget.location(), "/privacy/me/erase", "where the two speeds and the receipt are");
    assert!(house.may_be_written_to(), "nothing has happened yet");
    house.post_as(&browser, "/privacy/me/leaving", "fate=minimum&when=now").await;
    assert!(!house.may_be_written_to(), "from this moment on");
    assert_eq!(house.answer("offers").unwrap().0, ConsentStatus::Expired);
    let said = seen(&house.get_as(&browser, "/privacy/me/choices").await.text());
    assert!(said.contains("You left on 23 November 2026."), "{said}");
}

#[tokio::test]
async fn d08_a_choice_made_on_joining_is_passed_on_by_the_shops_server_and_seen_by_the_person() {
    let house = House::with_one_customer().await;
    let key = house.server_key().await;
    let path = format!("/v1/people/{}/after_leaving", house.person());
    let ask = async |key: &str, reason: &str, body: &str| {
        let request = Request::post(&path).header("authorization", format!("Bearer {key}"));
        let request = if reason.is_empty() { request } else { request.header("fineline-reason", reason) };
        house.ask(request.body(Body::from(body.to_owned())).unwrap()).await.status
    };
    assert_eq!(ask("x", "she ticked it", "{\"fate\": \"minimum\"}").await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&key, "", "{\"fate\": \"minimum\"}").await, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&key, "she ticked it", "{\"fate\": \"sell\"}").await, StatusCode::BAD_REQUEST);
    let far = "{\"fate\": \"until\", \"until\": \"2099-01-01\"}";
    assert_eq!(ask(&key, "she ticked it", far).await, StatusCode::FORBIDDEN, "further ahead than was promised");
    assert_eq!(house.leaving().chosen_at, None);
    assert_eq!(ask(&key, "she ticked it", "{\"fate\": \"minimum\"}").await, StatusCode::NO_CONTENT);
    assert_eq!(house.leaving().fate, Fate::Minimum);
    let browser = house.sign_in().await;
    assert!(seen(&house.get_as(&browser, "/privacy/me").await.text()).contains("she ticked it"));
}

#[tokio::test]
async fn d08_a_visit_is_an_act_and_looking_at_its_link_is_none() {
    let house = House::with_one_customer().await;
    let before = house.leaving().leaves_at;
    let link = house.link().await;
    house.get(&link).await;
    assert_eq!(house.leaving().leaves_at, before, "a scanner of mails opens links too");
    house.post(&link, "").await;
    assert_eq!(house.leaving().leaves_at, Some(house.today().plus(1_095).start()));
}

#[tokio::test]
async fn d11_the_reminder_is_answered_with_one_tap_of_three() {
    let house = House::with_one_customer().await;
    house.clock.advance_days(270);
    assert_eq!(house.vault.sweep().unwrap().await.unwrap().n_reminded, 1);
    let entry = house.vault.snapshot().outbox_due(9).unwrap()[0];
    let token = house.vault.message_token(entry.decision).unwrap().await.unwrap().unwrap();
    let page = house.get(&format!("/m/{token}")).await;
    let text = seen(&page.text());
    assert!(
        text.contains("“Send you offers picked from what you bought.” If we hear nothing of you, this yes ends on"),
        "{text}"
    );
    for act in ["keep", "less", "stop"] {
        let form = format!("action=\"/m/{token}/{act}\"><button>");
        assert_eq!(page.text().matches(&form).count(), 1, "{act} is one button and nothing to fill in");
    }
    let before = house.leaving().leaves_at;
    house.get(&format!("/m/{token}/keep")).await;
    assert_eq!(house.leaving().leaves_at, before, "looking changes nothing");
    assert_eq!(house.post(&format!("/m/{token}/keep"), "").await.status, StatusCode::OK);
    assert!(house.leaving().leaves_at > before, "a tap does");
    assert!(house.may_be_written_to());
    assert_eq!(house.post(&format!("/m/{token}/less"), "").await.status, StatusCode::OK);
    assert_eq!(house.post(&format!("/m/{token}/stop"), "").await.status, StatusCode::OK);
    assert!(!house.may_be_written_to());
    assert_eq!(house.answer("offers").unwrap().0, ConsentStatus::Withdrawn);
}

#[tokio::test]
async fn d11_the_link_of_another_message_keeps_nothing() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    assert_eq!(house.post(&format!("/m/{token}/keep"), "").await.status, StatusCode::NOT_FOUND);
    assert!(!house.get(&format!("/m/{token}")).await.text().contains("/keep\""));
}

#[tokio::test]
async fn d03_a_hold_stands_on_the_persons_page_and_in_the_notice_until_its_day() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let until = house.today().plus(30);
    let order = HoldOrder {
        person: house.person(),
        names: BTreeSet::from(["email".to_owned()]),
        reason: "A court asked us to.".to_owned(),
        staff: "Grace".to_owned(),
        until,
    };
    house.vault.hold(order).unwrap().await.unwrap().unwrap();
    let own = seen(&house.get_as(&browser, "/privacy/me").await.text());
    assert!(own.contains("Until 23 December 2026: email. Ordered by Grace"), "{own}");
    assert!(own.contains("Their reason: A court asked us to."), "{own}");
    let notice = seen(&house.get("/privacy/notice").await.text());
    assert!(notice.contains("data of one person is kept until 2026-12-23"), "{notice}");
    assert!(!notice.contains("court asked us"), "no reason of one person's in a page for everybody");
    let erase = seen(&house.get_as(&browser, "/privacy/me/erase").await.text());
    assert!(erase.contains("Something of yours is held until 23 December 2026."), "{erase}");
    house.clock.set(until.start());
    let notice = seen(&house.get("/privacy/notice").await.text());
    assert!(!notice.contains("data of one person"), "over by itself");
}

#[tokio::test]
async fn d03_the_notice_on_the_page_tells_what_was_measured() {
    let house = House::with_one_customer().await;
    let notice = async || seen(&house.get("/privacy/notice").await.text());
    assert!(!notice().await.contains("Measured"), "nothing was removed yet");
    house.clock.advance_days(3);
    house.vault.sweep().unwrap().await.unwrap();
    house.vault.rotate().unwrap().await.unwrap();
    let told = notice().await;
    assert!(told.contains("Measured 1 time since") && told.contains("days at the longest"), "{told}");
}
