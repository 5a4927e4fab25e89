//! The links of a message: nothing changes by looking, one tap changes what it says, a bad token opens nothing.

use super::{ADDRESS, House, at, seen};
use axum::body::Body;
use http::{Request, StatusCode};
use model::ConsentStatus;

const PATHS: [&str; 6] = ["", "/less", "/not-this", "/stop", "/unsubscribe", "/address"];

#[tokio::test]
async fn d19_one_step_without_a_password_shows_exactly_the_facts_behind_a_message() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let page = house.get(&format!("/m/{token}")).await;
    assert_eq!(page.status, StatusCode::OK);
    let text = seen(&page.text());
    assert!(text.contains("You placed 1 orders with us, but none in the last 90 days."), "{text}");
    assert!(text.contains("How many orders you placed within the last 36 months"), "{text}");
    assert!(text.contains("How many orders you placed in the last 90 days"));
    assert!(text.contains("212 people share the facts"));
    assert!(!text.contains("How much you spent"), "a fact that was not read is not shown");
    assert!(!text.contains("25.50") && !text.contains(ADDRESS), "nothing else of this person is shown");
    assert_eq!(page.text().matches("<li class=\"fact\">").count(), 2);
}

#[tokio::test]
async fn d17_looking_changes_nothing() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let before = house.state();
    for path in PATHS {
        let path = format!("/m/{token}{path}");
        assert_eq!(house.get(&path).await.status, StatusCode::OK, "{path}");
        assert_eq!(house.head(&path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(house.state(), before);
    assert!(house.may_be_written_to());
    house.post(&format!("/m/{token}/stop"), "").await;
    assert_ne!(house.state(), before, "a tap does change it");
}

#[tokio::test]
async fn d17_one_post_to_the_letter_unsubscribes_without_cookie_or_redirect() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let path = format!("/m/{token}/unsubscribe");
    for body in ["", "List-Unsubscribe=one-click", "List-Unsubscribe=One-Click&more=1", "x=1"] {
        assert_eq!(house.post(&path, body).await.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(house.may_be_written_to(), "{body}");
    }
    let done = house.post(&path, "List-Unsubscribe=One-Click").await;
    assert_eq!(done.status, StatusCode::OK);
    assert_eq!((done.header("location"), done.header("set-cookie")), (None, None));
    assert!(!house.may_be_written_to());
    assert_eq!(house.answer("offers").unwrap().0, ConsentStatus::Withdrawn);
    let again = house.post(&path, "List-Unsubscribe=One-Click").await;
    assert_eq!(again.status, StatusCode::OK, "said twice is said once");
}

#[tokio::test]
async fn d17_a_multipart_unsubscribe_counts_as_well() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let multipart = |value: &str| {
        let body =
            format!("--b7\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\n{value}\r\n--b7--\r\n");
        Request::post(format!("/m/{token}/unsubscribe"))
            .header("content-type", "multipart/form-data; boundary=b7")
            .body(Body::from(body))
            .unwrap()
    };
    assert_eq!(house.ask(multipart("No")).await.status, StatusCode::BAD_REQUEST);
    assert!(house.may_be_written_to());
    assert_eq!(house.ask(multipart("One-Click")).await.status, StatusCode::OK);
    assert!(!house.may_be_written_to());
}

#[tokio::test]
async fn d17_the_way_out_has_no_more_steps_than_the_way_in() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let page = house.get(&format!("/m/{token}")).await.text();
    let forms: Vec<&str> = page.split("<form ").skip(1).map(|form| form.split("</form>").next().unwrap()).collect();
    let stop =
        forms.iter().find(|form| form.contains(&format!("action=\"/m/{token}/stop\""))).expect("stop is one tap");
    assert_eq!(stop.matches("<button").count(), 1);
    assert!(!stop.contains("<input"), "nothing to fill in on the way out");
    // The way in is one tap in the portal, after a sign-in; the way out is one tap without.
    let done = house.post(&format!("/m/{token}/stop"), "").await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(seen(&done.text()).contains("We noted a no to: “Send you offers picked from what you bought.”"));
    assert!(!house.may_be_written_to());
    let (status, _, words) = house.answer("offers").unwrap();
    assert_eq!(status, ConsentStatus::Withdrawn);
    assert!(words.ends_with("Stop these messages"), "the ledger holds the words on the button: {words}");
}

#[tokio::test]
async fn d17_less_not_this_and_stop_hold_from_the_message_without_a_sign_in() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let page = house.get(&format!("/m/{token}")).await.text();
    for (act, then) in [
        ("less", "2 1 Some(1) []"),
        ("not-this", "3 1 Some(1) [\"come_back\", \"85123A\"]"),
        ("stop", "4 2 Some(1) [\"come_back\", \"85123A\"]"),
    ] {
        let path = format!("/m/{token}/{act}");
        assert!(page.contains(&format!("action=\"{path}\"")), "{act} is on the page of the message");
        assert_eq!(house.post(&path, "").await.status, StatusCode::OK, "{act}");
        assert_eq!(house.state(), then, "{act}");
    }
    assert!(!house.may_be_written_to());
}

#[tokio::test]
async fn less_halves_the_rate_and_undo_brings_it_back() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let before = house.get(&format!("/m/{token}")).await;
    assert!(seen(&before.text()).contains("At most 1 message in 7 days instead of 2."));
    let less = house.post(&format!("/m/{token}/less"), "").await;
    assert!(seen(&less.text()).contains("At most 1 message in 7 days, as you asked."), "{}", seen(&less.text()));
    assert!(less.text().contains(&format!("action=\"/m/{token}/undo-less\"")), "the undo is on the same page");
    assert!(house.may_be_written_to(), "less is not none");
    let undone = house.post(&format!("/m/{token}/undo-less"), "").await;
    assert!(seen(&undone.text()).contains("At most 2 messages in 7 days. That is our usual rate."));
}

#[tokio::test]
async fn d17_a_tap_that_arrives_twice_halves_once() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let less = format!("/m/{token}/less");
    for _ in 0..2 {
        let page = house.post(&less, "").await.text();
        assert!(seen(&page).contains("At most 1 message in 7 days, as you asked."), "{}", seen(&page));
    }
    house.clock.advance_ms(10_000);
    assert!(seen(&house.post(&less, "").await.text()).contains("No messages at all"), "a later tap is another one");
}

#[tokio::test]
async fn a_link_takes_back_only_its_own_less_within_an_hour_and_leaves_earlier_wishes_standing() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let (less, undo) = (format!("/m/{token}/less"), format!("/m/{token}/undo-less"));
    let portal = house.promise.artefact(promise::ArtefactKind::Page, promise::Artefact::PORTAL).unwrap().id;
    let limit = || house.vault.snapshot().permit(house.person(), portal).unwrap().contact().reveal().at_most;
    assert_eq!(house.post(&undo, "").await.status, StatusCode::NOT_FOUND, "there is nothing to take back");
    house.vault.reduce(house.person(), vault::Reduction::Less).unwrap().await.unwrap();
    assert_eq!(house.post(&undo, "").await.status, StatusCode::NOT_FOUND, "that was said on the person's own page");
    assert_eq!(limit(), Some(1));

    house.post(&less, "").await;
    assert_eq!(limit(), Some(0));
    assert_eq!(house.post(&undo, "").await.status, StatusCode::OK);
    assert_eq!(limit(), Some(1), "back to what stood before, not to what others get");

    house.post(&less, "").await;
    house.clock.advance_ms(3_600_000);
    assert_eq!(house.post(&undo, "").await.status, StatusCode::NOT_FOUND, "an old message gives nothing");
    assert_eq!(limit(), Some(0));
}

#[tokio::test]
async fn not_this_turns_down_the_offer_and_its_item() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    assert_eq!(house.post(&format!("/m/{token}/not-this"), "").await.status, StatusCode::OK);
    assert!(house.state().contains("85123A") && house.state().contains("come_back"), "{}", house.state());
}

#[tokio::test]
async fn a29_the_address_page_answers_when_where_for_what_and_by_which_words() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let page = house.get(&format!("/m/{token}/address")).await;
    let text = seen(&page.text());
    for words in [
        "s•••@mail.example",
        "15 August 2026, 10:00 UTC",
        "checkout form",
        "Send you offers picked from what you bought.",
        "Corner Gifts Ltd asks for your yes.",
        "You said yes on 15 August 2026, 10:00 UTC",
    ] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    assert!(!text.contains(ADDRESS), "without a sign-in the address is masked");
}

#[tokio::test]
async fn a_bad_token_gets_the_same_kind_page_everywhere() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let mut changed = token.clone();
    changed.replace_range(0..1, if token.starts_with('a') { "b" } else { "a" });
    let first = house.get("/m/nonsense").await;
    assert_eq!(first.status, StatusCode::NOT_FOUND);
    assert!(seen(&first.text()).contains("This link has ended"));
    for bad in ["nonsense", changed.as_str(), "a", "%00", "..%2f.."] {
        for path in PATHS {
            let answer = house.get(&format!("/m/{bad}{path}")).await;
            assert_eq!((answer.status, answer.text()), (StatusCode::NOT_FOUND, first.text()), "GET {bad}{path}");
        }
        for act in ["less", "undo-less", "not-this", "stop", "dance"] {
            let answer = house.post(&format!("/m/{bad}/{act}"), "").await;
            assert_eq!((answer.status, answer.text()), (StatusCode::NOT_FOUND, first.text()), "POST {bad}/{act}");
        }
    }
    let answer = house.post(&format!("/m/{token}/dance"), "").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::NOT_FOUND, first.text()));
}

#[tokio::test]
async fn the_why_lasts_thirty_days_and_the_way_out_stays() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    house.clock.set(at("2026-12-24T10:00:00Z"));
    let page = house.get(&format!("/m/{token}")).await;
    assert_eq!(page.status, StatusCode::OK);
    let text = seen(&page.text());
    assert!(text.contains("For this one they are gone") && !text.contains("You placed"), "{text}");
    assert_eq!(house.post(&format!("/m/{token}/stop"), "").await.status, StatusCode::OK);
    assert!(!house.may_be_written_to());
}

#[tokio::test]
async fn message_links_neither_read_nor_set_cookies() {
    let house = House::with_one_customer().await;
    let (_, token) = house.message().await;
    let browser = house.sign_in().await;
    let page = house.get_as(&browser, &format!("/m/{token}")).await;
    assert!(!page.text().contains("Sign out") && page.header("set-cookie").is_none());
}
