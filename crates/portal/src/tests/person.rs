//! The pages of a signed-in person: the way in and out, what is seen, chosen, stated, taken along and erased.

use super::{ADDRESS, Answer, Browser, House, USER, seen};
use crate::copy::PersonCopy;
use crate::session::{IDLE_MS, LINK_MS, OVERLAP_MS, ROTATE_MS, SESSION_MS};
use axum::body::Body;
use http::{Request, StatusCode};
use model::{ConsentStatus, DAY_MS};
use serde_json::Value;
use std::io::Read;

const PAGES: [&str; 8] = [
    "/privacy/me",
    "/privacy/me/events",
    "/privacy/me/choices",
    "/privacy/me/tastes",
    "/privacy/me/messages",
    "/privacy/me/receipts",
    "/privacy/me/export",
    "/privacy/me/erase",
];

// ── the way in and out ────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_link_opens_once_and_looking_at_it_does_not_use_it_up() {
    let house = House::with_one_customer().await;
    let link = house.link().await;
    for _ in 0..2 {
        let page = house.get(&link).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.header("set-cookie").is_none() && page.text().contains("Open my page"));
    }
    let entered = house.post(&link, "").await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER);
    let cookie = entered.header("set-cookie").unwrap();
    for word in ["fl=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert_eq!(house.post(&link, "").await.status, StatusCode::NOT_FOUND, "used up");
    assert_eq!(house.get(&link).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_link_ends_after_ten_minutes() {
    let house = House::with_one_customer().await;
    let link = house.link().await;
    house.clock.advance_ms(LINK_MS);
    assert_eq!(house.get(&link).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.post(&link, "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_a_session_every_page_leads_to_the_front() {
    let house = House::with_one_customer().await;
    for path in PAGES {
        let answer = house.get(path).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/privacy"), "{path}");
        let guessed =
            Browser { cookie: "fl=0000000000000000000000000000000000000000000000000000".into(), csrf: String::new() };
        assert_eq!(house.get_as(&guessed, path).await.status, StatusCode::SEE_OTHER, "{path}");
    }
}

#[tokio::test]
async fn a_session_ends_when_idle_when_a_day_is_over_and_by_its_person() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    house.clock.advance_ms(IDLE_MS);
    assert_eq!(house.get_as(&browser, "/privacy/me").await.status, StatusCode::SEE_OTHER, "idle");

    let mut browser = house.sign_in().await;
    let mut lived_ms = 0;
    while lived_ms + ROTATE_MS < SESSION_MS {
        house.clock.advance_ms(ROTATE_MS);
        lived_ms += ROTATE_MS;
        let page = house.get_as(&browser, "/privacy/me/export").await;
        assert_eq!(page.status, StatusCode::OK, "after {lived_ms} ms");
        browser.cookie = renewed(&page);
    }
    house.clock.advance_ms(ROTATE_MS);
    assert_eq!(house.get_as(&browser, "/privacy/me").await.status, StatusCode::SEE_OTHER, "a day is over");

    let browser = house.sign_in().await;
    let left = house.post_as(&browser, "/privacy/leave", "").await;
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(house.get_as(&browser, "/privacy/me").await.status, StatusCode::SEE_OTHER, "signed out");
}

fn renewed(page: &Answer) -> String {
    page.header("set-cookie").expect("a new token").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_replaced_and_the_old_one_dies() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    house.clock.advance_ms(ROTATE_MS);
    let page = house.get_as(&browser, "/privacy/me/export").await;
    let fresh = Browser { cookie: renewed(&page), csrf: browser.csrf.clone() };
    assert_ne!(fresh.cookie, browser.cookie);
    assert_eq!(page.hidden("csrf"), browser.csrf, "open forms stay good");
    assert_eq!(house.get_as(&browser, "/privacy/me/export").await.status, StatusCode::OK, "requests on their way");
    house.clock.advance_ms(OVERLAP_MS);
    assert_eq!(house.get_as(&browser, "/privacy/me/export").await.status, StatusCode::SEE_OTHER);
    assert_eq!(house.get_as(&fresh, "/privacy/me/export").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_form_without_the_token_or_from_another_site_changes_nothing() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let before = house.state();
    let wrong = Browser { cookie: browser.cookie.clone(), csrf: "x".repeat(browser.csrf.len()) };
    for (path, fields) in [
        ("/privacy/me/choices", "purpose=offers&answer=no"),
        ("/privacy/me/contact", "rate=less"),
        ("/privacy/me/alone", ""),
        ("/privacy/me/tastes", "taste_shirt_size=L"),
        ("/privacy/me/erase", "when=now"),
        ("/privacy/me/export", ""),
        ("/privacy/me/not-me", "item=85123A"),
        ("/privacy/leave", ""),
    ] {
        assert_eq!(house.post_as(&wrong, path, fields).await.status, StatusCode::FORBIDDEN, "{path}");
        let foreign = Request::post(path)
            .header("cookie", &browser.cookie)
            .header("sec-fetch-site", "cross-site")
            .header("content-type", "application/x-www-form-urlencoded");
        let body = Body::from(format!("csrf={}&{fields}", browser.csrf));
        assert_eq!(house.ask(foreign.body(body).unwrap()).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(house.state(), before);
    assert_eq!(house.get_as(&browser, "/privacy/me").await.status, StatusCode::OK, "still signed in, still here");
}

// ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn everything_known_stands_on_one_page_with_source_purpose_end_and_readers() {
    let house = House::with_one_customer().await;
    house.message().await;
    let browser = house.sign_in().await;
    let text = seen(&house.get_as(&browser, "/privacy/me").await.text());
    for words in [
        ADDRESS,
        "checkout form",
        "How many orders you placed within the last 36 months",
        "Order Completed",
        "Send you offers picked from what you bought.",
        "Kept until",
        "We told you",
        "Staff who opened your page server key shop on 23 November 2026, 10:00 UTC. Their reason: to open this page for you",
    ] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    let messages = seen(&house.get_as(&browser, "/privacy/me/messages").await.text());
    assert!(
        messages.contains("A little something for you") && messages.contains("Why: You placed 1 orders"),
        "{messages}"
    );
}

#[tokio::test]
async fn an_event_opens_with_its_lines_and_nobody_elses_does() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let page = house.get_as(&browser, "/privacy/me").await.text();
    let path = page.split("href=\"/privacy/me/events/").nth(1).unwrap().split('"').next().unwrap();
    let event = seen(&house.get_as(&browser, &format!("/privacy/me/events/{path}")).await.text());
    assert!(event.contains("Cake stand") && event.contains("£12.75") && event.contains("489434"), "{event}");
    let other = house.get_as(&browser, "/privacy/me/events/evt_00000000000000000000000000").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

// ── choices ───────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_choice_holds_at_once_and_leaves_a_receipt_with_the_words_shown() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let before = seen(&house.get_as(&browser, "/privacy/me/choices").await.text());
    assert!(before.contains("You said yes on 15 August 2026, through our shop"), "{before}");
    let asked = "Corner Gifts Ltd asks for your yes. Send you offers picked from what you bought.";
    assert!(before.contains(asked), "{before}");

    let no = house.post_as(&browser, "/privacy/me/choices", "purpose=offers&answer=no").await;
    assert_eq!(no.status, StatusCode::SEE_OTHER, "{}", no.text());
    assert!(!house.may_be_written_to(), "in force before the page is shown");
    let (status, _, words) = house.answer("offers").unwrap();
    assert_eq!(status, ConsentStatus::Withdrawn);
    assert!(words.starts_with(asked) && words.ends_with("No, do not"), "{words}");
    let receipt = house.get_as(&browser, no.location()).await;
    assert!(seen(&receipt.text()).contains("You said yes, and later no"), "{}", seen(&receipt.text()));
    let file = house.get_as(&browser, &format!("{}/receipt.json", no.location())).await;
    assert!(file.header("content-disposition").unwrap().contains("receipt.json"));
    assert!(file.json()["signature"].is_string(), "{}", file.text());

    house.clock.advance_ms(1_000);
    let yes = house.post_as(&browser, "/privacy/me/choices", "purpose=offers&answer=yes&level=little").await;
    assert_eq!(yes.status, StatusCode::SEE_OTHER);
    let (status, level, words) = house.answer("offers").unwrap();
    assert_eq!((status, level.as_deref()), (ConsentStatus::Given, Some("little")));
    assert!(words.ends_with("Little: the group of what you bought. Yes, do this"), "{words}");
    assert!(house.may_be_written_to());
}

#[tokio::test]
async fn what_cannot_be_chosen_is_not_recorded() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let before = house.state();
    for fields in [
        "purpose=orders&answer=no",
        "purpose=nothing&answer=yes",
        "purpose=offers&answer=maybe",
        "purpose=offers",
        "purpose=offers&answer=yes&level=all",
        "",
    ] {
        let answer = house.post_as(&browser, "/privacy/me/choices", fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields}");
    }
    assert_eq!(house.state(), before);
}

#[tokio::test]
async fn how_often_is_chosen_and_said() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    for _ in 0..2 {
        let less = house.post_as(&browser, "/privacy/me/contact", "rate=less&from=2").await;
        assert_eq!(less.location(), "/privacy/me/choices");
    }
    let page = seen(&house.get_as(&browser, "/privacy/me/choices").await.text());
    assert!(page.contains("At most 1 message in 7 days, as you asked."), "{page}");
    house.post_as(&browser, "/privacy/me/contact", "rate=normal").await;
    let page = seen(&house.get_as(&browser, "/privacy/me/choices").await.text());
    assert!(page.contains("At most 2 messages in 7 days. That is our usual rate."), "{page}");
}

#[tokio::test]
async fn left_alone_means_nobody_reads_but_the_person_still_sees() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let done = house.post_as(&browser, "/privacy/me/alone", "").await;
    assert!(seen(&done.text()).contains("We leave you alone"));
    assert!(!house.may_be_written_to());
    assert!(seen(&house.get_as(&browser, "/privacy/me").await.text()).contains(ADDRESS));
    let taste = house.post_as(&browser, "/privacy/me/tastes", "taste_shirt_size=L").await;
    assert_eq!(taste.status, StatusCode::CONFLICT, "nothing new is kept");
}

// ── tastes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a26_a_stated_value_is_kept_as_the_persons_own_word_and_can_be_taken_back() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let fields = "taste_shirt_size=L&taste_favourite_group=candles";
    let saved = house.post_as(&browser, "/privacy/me/tastes", fields).await;
    assert_eq!(saved.status, StatusCode::OK, "{}", seen(&saved.text()));
    assert!(saved.text().contains("<option value=\"L\" selected>L</option>"));
    let copy = copy(&house);
    let size = copy.fact("shirt_size").unwrap();
    assert_eq!((size.origin, size.value.in_words().as_str(), size.told_how), ("provided", "L", "at_the_moment"));
    assert_eq!(size.purposes.iter().map(|purpose| purpose.name.as_str()).collect::<Vec<_>>(), ["offers"]);
    assert!(size.until > size.as_of, "it has an end");

    house.post_as(&browser, "/privacy/me/tastes", "taste_shirt_size=&taste_favourite_group=candles").await;
    let copy = self::copy(&house);
    assert!(copy.fact("shirt_size").is_none(), "taken back");
    assert!(copy.fact("favourite_group").is_some());
}

#[tokio::test]
async fn a26_what_is_not_on_the_list_or_not_agreed_to_is_not_kept() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let answer = house.post_as(&browser, "/privacy/me/tastes", "taste_shirt_size=enormous").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(seen(&answer.text()).contains("this is not on our list"), "{}", seen(&answer.text()));
    assert!(copy(&house).fact("shirt_size").is_none());
    let answer = house.post_as(&browser, "/privacy/me/tastes", "taste_email=other@mail.example").await;
    assert_eq!(answer.status, StatusCode::OK, "a field that is not stated is left as it is");
    assert_eq!(copy(&house).fact("email").unwrap().value.in_words(), ADDRESS);
    house.says("offers", ConsentStatus::Withdrawn).await;
    let answer = house.post_as(&browser, "/privacy/me/tastes", "taste_shirt_size=L").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(seen(&answer.text()).contains("only after a yes of yours"), "{}", seen(&answer.text()));
    assert!(copy(&house).fact("shirt_size").is_none());
}

#[tokio::test]
async fn that_is_not_me_turns_the_thing_down_and_nothing_else() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let answer = house.post_as(&browser, "/privacy/me/not-me", "fact=candidates&item=85123A").await;
    assert_eq!(answer.location(), "/privacy/me");
    assert_eq!(copy(&house).contact.turned_down, ["85123A"]);
    let answer = house.post_as(&browser, "/privacy/me/not-me", "fact=candidates&item=").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn that_is_not_me_takes_the_guess_out_of_what_is_stored() {
    let house = House::with_one_customer().await;
    house.guesses(&["85123A", "22423"]).await;
    let browser = house.sign_in().await;
    let page = seen(&house.get_as(&browser, "/privacy/me").await.text());
    assert!(page.contains("These are guesses, not facts.") && page.contains("Hanging heart candle"), "{page}");
    assert!(page.contains("Because you bought Cake stand."), "with its evidence");
    let guessed = |copy: &PersonCopy| -> Vec<String> {
        let fact = copy.facts.iter().find(|fact| fact.origin == "inferred");
        fact.iter().flat_map(|fact| fact.value.guesses()).map(|guess| guess.item.clone()).collect()
    };
    assert_eq!(guessed(&copy(&house)), ["85123A", "22423"]);
    house.post_as(&browser, "/privacy/me/not-me", "item=85123A").await;
    assert_eq!(guessed(&copy(&house)), ["22423"]);
    house.post_as(&browser, "/privacy/me/not-me", "item=22423").await;
    assert!(guessed(&copy(&house)).is_empty());
    let choices = seen(&house.get_as(&browser, "/privacy/me/choices").await.text());
    assert!(choices.contains("These never come again: Hanging heart candle and Cake stand."), "{choices}");
}

// ── the copy ──────────────────────────────────────────────────────────────────────────────────────────────────────────

fn copy(house: &House) -> PersonCopy {
    PersonCopy::read(&house.vault.snapshot(), house.person()).unwrap()
}

#[tokio::test]
async fn d09_the_export_holds_exactly_what_the_permit_shows() {
    let house = House::with_one_customer().await;
    house.message().await;
    house.guesses(&["85123A"]).await;
    let browser = house.sign_in().await;
    house.post_as(&browser, "/privacy/me/tastes", "taste_shirt_size=L").await;
    let taken = house.post_as(&browser, "/privacy/me/export", "").await;
    assert_eq!((taken.status, taken.header("content-type")), (StatusCode::OK, Some("application/zip")));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(taken.bytes.clone())).unwrap();
    let mut part = |name: &str| {
        let mut text = String::new();
        archive.by_name(name).unwrap_or_else(|_| panic!("{name}")).read_to_string(&mut text).unwrap();
        text
    };
    let data: Value = serde_json::from_str(&part("data.json")).unwrap();

    // Parity: each list of the copy against the permit itself, one by one.
    let snapshot = house.vault.snapshot();
    let portal = house.promise.artefact(promise::ArtefactKind::Page, promise::Artefact::PORTAL).unwrap();
    let permit = snapshot.permit(house.person(), portal.id).unwrap();
    let names = |list: &str, key: &str| -> Vec<String> {
        data[list].as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    };
    let facts: Vec<String> = permit.facts().iter().map(|fact| fact.reveal().fact.name.as_str().to_owned()).collect();
    assert_eq!(names("facts", "name"), facts);
    for name in ["email", "shirt_size", "orders_all", "orders_90d", "days_since_order", "spent_all", "candidates"] {
        assert!(facts.iter().any(|fact| fact == name), "{name}: {facts:?}");
    }
    for (copied, fact) in data["facts"].as_array().unwrap().iter().zip(permit.facts()) {
        let (name, fact) = (&copied["name"], fact.reveal());
        assert_eq!(copied["until"].as_str().unwrap(), fact.fact.expires_at.to_string(), "{name}: its end");
        let purposes: Vec<_> = copied["purposes"].as_array().unwrap().iter().map(|known| &known["name"]).collect();
        assert_eq!(purposes, fact.fact.purposes.iter().map(|known| known.as_str()).collect::<Vec<_>>(), "{name}");
        let read_by: Vec<_> = copied["read_by"].as_array().unwrap().iter().map(|read| &read["artefact"]).collect();
        assert_eq!(read_by, fact.read_by.iter().map(|(artefact, _)| artefact.as_str()).collect::<Vec<_>>(), "{name}");
    }
    assert!(names("uses", "artefact").contains(&"win_back".to_owned()), "the campaign has read");
    let events: Vec<String> =
        permit.all_events(1_000).unwrap().iter().map(|event| event.reveal().event.id.to_string()).collect();
    assert_eq!(names("events", "id"), events);
    let mut answers: Vec<String> = permit.ledger().unwrap().iter().map(|entry| entry.reveal().id.to_string()).collect();
    let mut told = names("answers", "id");
    answers.sort();
    told.sort();
    assert_eq!((told, answers.is_empty()), (answers, false));
    let decisions: Vec<String> =
        permit.decisions(1_000).unwrap().iter().map(|decision| decision.id.to_string()).collect();
    assert_eq!((names("messages", "decision"), decisions.len()), (decisions, 1));
    assert_eq!(data["staff_reads"].as_array().unwrap().len(), permit.staff_reads().unwrap().len());

    let index = seen(&part("index.html"));
    for value in [ADDRESS, "489434", "£12.75", "Cake stand", "You placed 1 orders with us"] {
        assert!(index.contains(value), "{value}");
    }
    for name in ["facts.csv", "events.csv", "event_lines.csv", "choices.csv", "messages.csv", "who_read.csv"] {
        assert!(part(name).lines().count() >= if name == "who_read.csv" { 1 } else { 2 }, "{name}");
    }
    for (name, n_rows) in [("facts.csv", facts.len()), ("events.csv", events.len())] {
        assert_eq!(part(name).lines().count(), n_rows + 1, "{name}: a row each under the head");
    }
    assert!(part("receipts/keys.json").contains("keys"));
}

#[tokio::test]
async fn d09_the_page_shows_values_guesses_sources_purposes_ends_and_readers() {
    let house = House::with_one_customer().await;
    house.message().await;
    house.guesses(&["85123A"]).await;
    let browser = house.sign_in().await;
    let text = seen(&house.get_as(&browser, "/privacy/me").await.text());
    let copy = copy(&house);
    for fact in copy.facts.iter().filter(|fact| fact.origin != "inferred") {
        for said in [&fact.label, &fact.value.in_words(), &fact.origin_words, &fact.from, &fact.used_for()] {
            assert!(text.contains(said.as_str()), "{}: {said} in {text}", fact.name);
        }
        let ends = fact.until.day();
        assert!(text.contains(&format!("Kept until{ends}")), "{}: until {ends} in {text}", fact.name);
    }
    for said in [ADDRESS, "£25.50", "checkout form", "These are guesses, not facts.", "Hanging heart candle"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    let (_, readers) = text.split_once("Who read your facts").unwrap();
    assert!(readers.contains("Campaign “win back”"), "{readers}");
}

// ── erase ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn d10_erased_through_the_portal_nothing_can_be_read_and_a_receipt_stays() {
    let house = House::with_one_customer().await;
    let (decision, token) = house.message().await;
    let browser = house.sign_in().await;
    let person = house.person();
    let page = seen(&house.get_as(&browser, "/privacy/me/erase").await.text());
    assert!(page.contains("What happens") && page.contains("What stays"), "said before");
    let done = house.post_as(&browser, "/privacy/me/erase", "when=now").await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    assert!(done.header("set-cookie").unwrap().contains("Max-Age=0"));

    let snapshot = house.vault.snapshot();
    assert_eq!(house.find(), None);
    assert!(house.promise.artefacts().keys().all(|artefact| snapshot.permit(person, *artefact).is_err()));
    assert_eq!(snapshot.person_of(decision), None);
    for path in PAGES {
        assert_eq!(house.get_as(&browser, path).await.status, StatusCode::SEE_OTHER, "{path}: signed out");
    }
    assert_eq!(house.get(&format!("/m/{token}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.post(&format!("/m/{token}/stop"), "").await.status, StatusCode::NOT_FOUND);

    let after = house.get(done.location()).await;
    let text = seen(&after.text());
    assert!(text.contains("You are erased") && text.contains("Not possible"), "{text}");
    let file = house.get(&format!("{}/receipt.json", done.location())).await;
    assert!(file.json()["signature"].is_string());
    for value in [ADDRESS, USER, "sam", "489434"] {
        assert!(!after.text().contains(value) && !file.text().contains(value), "{value}");
    }
    house.clock.advance_ms(DAY_MS);
    assert_eq!(house.get(done.location()).await.status, StatusCode::NOT_FOUND, "the receipt is kept for an hour");
}

#[tokio::test]
async fn d10_within_a_day_says_how_to_undo_and_an_unclear_form_erases_nobody() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    for fields in ["", "when=", "when=later"] {
        assert_eq!(house.post_as(&browser, "/privacy/me/erase", fields).await.status, StatusCode::BAD_REQUEST);
        assert!(house.find().is_some());
    }
    let done = house.post_as(&browser, "/privacy/me/erase", "when=day").await;
    assert!(seen(&house.get(done.location()).await.text()).contains("Within 24 hours"));
    assert_eq!(house.find(), None);
}

#[tokio::test]
async fn d10_the_page_an_erasure_leaves_takes_it_back_within_its_day_and_not_later() {
    let house = House::with_one_customer().await;
    let (person, browser) = (house.person(), house.sign_in().await);
    let left = house.post_as(&browser, "/privacy/me/erase", "when=day").await.location().to_owned();
    assert_eq!(house.find(), None);
    house.clock.advance_ms(DAY_MS - 1);
    let page = seen(&house.get(&left).await.text());
    assert!(page.contains("I want to come back"), "{page}");
    assert_eq!(
        house.get(&format!("{left}/undo")).await.status,
        StatusCode::METHOD_NOT_ALLOWED,
        "a look changes nothing"
    );
    let back = house.post(&format!("{left}/undo"), "").await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.text());
    assert!(seen(&back.text()).contains("You are back"));
    assert_eq!(house.find(), Some(person));
    assert_eq!(house.get(&left).await.status, StatusCode::NOT_FOUND, "used up");
    let again = house.sign_in().await;
    let mine = seen(&house.get_as(&again, "/privacy/me").await.text());
    assert!(mine.contains("the erasure was taken back from its page"), "{mine}");

    let late = house.post_as(&again, "/privacy/me/erase", "when=day").await.location().to_owned();
    house.clock.advance_ms(DAY_MS);
    assert_eq!(house.post(&format!("{late}/undo"), "").await.status, StatusCode::NOT_FOUND, "the page has closed");
    assert_eq!(house.find(), None);
    assert_eq!(house.post("/privacy/gone/none/undo", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn d10_what_was_said_as_now_has_no_way_back_on_its_page() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    let left = house.post_as(&browser, "/privacy/me/erase", "when=now").await.location().to_owned();
    assert!(!house.get(&left).await.text().contains("/undo"));
    let tried = house.post(&format!("{left}/undo"), "").await;
    assert_eq!(tried.status, StatusCode::CONFLICT);
    assert!(seen(&tried.text()).contains("We could not undo it"), "{}", tried.text());
    assert_eq!(house.find(), None);
}

#[tokio::test]
async fn a08_the_page_of_a_request_says_who_got_something_and_nothing_about_the_person() {
    let house = House::with_one_customer().await;
    let (decision, _) = house.message().await;
    house.hand_to_relay(decision).await;
    let browser = house.sign_in().await;
    let mine = seen(&house.get_as(&browser, "/privacy/me").await.text());
    assert!(mine.contains("The mail relay") && mine.contains("the mails we sent you"), "{mine}");
    let left = house.post_as(&browser, "/privacy/me/erase", "when=now").await.location().to_owned();
    house.vault.put_items(Vec::new()).unwrap().await.unwrap();
    let text = house.get(&left).await.text();
    let address = text.split_once("/privacy/requests/").unwrap().1.split_once('"').unwrap().0;
    let page = house.get(&format!("/privacy/requests/{address}")).await;
    let shown = seen(&page.text());
    assert!(shown.contains("impossible") && shown.contains("left our hands"), "{shown}");
    let file = house.get(&format!("/privacy/requests/{address}/receipt.json")).await;
    let verified = vault::receipt::verify(&file.text(), Some(&house.vault.public_keys_json())).unwrap();
    let said: serde_json::Value = serde_json::from_str(&verified.payload).unwrap();
    assert_eq!(
        (said["type"].as_str(), said["recipients"][0]["state"].as_str()),
        (Some("erase_state"), Some("impossible"))
    );
    for value in [ADDRESS, USER, "sam", "489434"] {
        assert!(!page.text().contains(value) && !verified.payload.contains(value), "{value}");
    }
    house.clock.advance_days(400);
    assert_eq!(
        house.get(&format!("/privacy/requests/{address}")).await.status,
        StatusCode::OK,
        "as long as the request is kept"
    );
    for other in ["req_0000000000000000000000000", "none", "per_0000000000000000000000000"] {
        assert_eq!(house.get(&format!("/privacy/requests/{other}")).await.status, StatusCode::NOT_FOUND, "{other}");
    }
}

// ── headers and addresses ─────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn every_page_forbids_scripts_storing_and_telling_where_one_came_from() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let browser = house.sign_in().await;
    let open = ["/privacy", "/privacy/notice", "/m/none", "/privacy/nothing", "/.well-known/gpc.json"];
    let message = format!("/m/{token}");
    for path in PAGES.iter().copied().chain(open).chain([message.as_str()]) {
        let answer = house.get_as(&browser, path).await;
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path}"));
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let sheet = house.get("/privacy/fineline.css?v=1").await;
    assert!(sheet.header("cache-control").unwrap().contains("immutable"));
}

#[tokio::test]
async fn what_caches_share_never_carries_a_cookie() {
    let house = House::with_one_customer().await;
    let browser = house.sign_in().await;
    house.clock.advance_ms(ROTATE_MS);
    for path in ["/privacy/fineline.css?v=1", "/privacy/mark.svg"] {
        let shared = house.get_as(&browser, path).await;
        assert!(shared.header("cache-control").unwrap().contains("public"), "{path}");
        assert_eq!(shared.header("set-cookie"), None, "{path}");
    }
    renewed(&house.get_as(&browser, "/privacy/me/export").await);
}

#[tokio::test]
async fn no_personal_value_stands_in_an_address() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let link = house.link().await;
    let browser = house.sign_in().await;
    let mut seen_addresses = vec![link];
    for (path, fields) in [
        ("/privacy/me/choices", "purpose=offers&answer=no"),
        ("/privacy/me/contact", "rate=less"),
        ("/privacy/me/not-me", "item=85123A"),
        ("/privacy/me/erase", "when=now"),
    ] {
        let mut pages = String::new();
        for page in PAGES {
            pages.push_str(&house.get_as(&browser, page).await.text());
        }
        pages.push_str(&house.get(&format!("/m/{token}")).await.text());
        for part in pages.split("href=\"").chain(pages.split("action=\"")).skip(1) {
            seen_addresses.push(part.split('"').next().unwrap().to_owned());
        }
        seen_addresses.push(house.post_as(&browser, path, fields).await.location().to_owned());
    }
    assert!(seen_addresses.len() > 50);
    for address in seen_addresses {
        for value in [ADDRESS, USER, "sam", "489434", "85123A", "22423", "25.50"] {
            assert!(!address.contains(value), "{address}");
        }
    }
}

#[tokio::test]
async fn global_privacy_control_is_read_and_said() {
    let house = House::with_one_customer().await;
    let ask = |value: &'static str| Request::get("/privacy").header("sec-gpc", value).body(Body::empty()).unwrap();
    assert!(seen(&house.ask(ask("1")).await.text()).contains("Your browser sends"));
    assert!(!seen(&house.ask(ask("0")).await.text()).contains("Your browser sends"));
    assert_eq!(house.get("/.well-known/gpc.json").await.json()["gpc"], true);
}
