//! What must stand in every mail, in both its parts, and what must never.

use super::*;
use crate::sender::BaseUrl;
use model::chance::Seeded;
use proptest::prelude::*;

pub(crate) fn sender() -> Sender {
    let mailbox = |text: &str| text.parse().unwrap();
    Sender {
        from: mailbox("The Shop Ltd <offers@shop.example>"),
        reply_to: Some(mailbox("privacy@shop.example")),
        company: "The Shop Ltd".to_owned(),
        postal: "1 High Street, Leeds LS1 1AA, United Kingdom".to_owned(),
        language: "en".to_owned(),
        base: BaseUrl::parse("https://shop.example").unwrap(),
    }
}

pub(crate) fn letter() -> Letter<'static> {
    let at = At::parse("2026-11-23T17:32:00Z").unwrap();
    Letter {
        message: MessageId::new(at, &Seeded::new(1)),
        at,
        to: "jo@example.com",
        address_from: "You gave it to us on 3 May 2026 (checkout form).",
        title: "Something for you",
        says: "Ten per cent off a red lamp, until Sunday.",
        code: Some("BACK10"),
        link: "https://shop.example/lamps?from=mail&code=BACK10",
        why: "You placed 4 orders, the last one 97 days ago.",
        token: "0123456789abcdefghjkmnpqrs",
    }
}

fn opened(letter: &Letter<'_>) -> OpenedMail {
    OpenedMail::read(compose(&sender(), letter).unwrap().bytes()).unwrap()
}

/// Where the links of the HTML part lead, in order.
fn targets(html: &str) -> Vec<String> {
    html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&")).collect()
}

#[test]
fn a29_each_mail_answers_where_the_address_came_from() {
    let mail = opened(&letter());
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("Where did you get my address?"), "{part}");
        assert!(part.contains("You gave it to us on 3 May 2026 (checkout form)."), "{part}");
        assert!(part.contains("https://shop.example/m/0123456789abcdefghjkmnpqrs/address"), "{part}");
    }
}

#[test]
fn d19_each_mail_leads_in_one_step_to_the_facts_behind_it() {
    let mail = opened(&letter());
    let page = "https://shop.example/m/0123456789abcdefghjkmnpqrs";
    assert!(mail.html.contains(&format!("<a href=\"{page}\">Why did I get this?</a>")), "{}", mail.html);
    let asked = mail.text.lines().skip_while(|line| !line.starts_with("Why did I get this?"));
    assert_eq!(asked.into_iter().nth(1), Some(page), "{}", mail.text);
}

#[test]
fn both_parts_carry_the_offer_the_why_and_every_link() {
    let mail = opened(&letter());
    let page = "https://shop.example/m/0123456789abcdefghjkmnpqrs";
    for part in [&mail.text, &mail.html] {
        for said in [
            "Something for you",
            "Ten per cent off a red lamp, until Sunday.",
            "BACK10",
            "You placed 4 orders, the last one 97 days ago.",
            "Why did I get this?",
            "Less",
            "Not this",
            "Stop",
            "The Shop Ltd",
            "1 High Street, Leeds LS1 1AA, United Kingdom",
        ] {
            assert!(part.contains(said), "{said} in {part}");
        }
    }
    let expected = [
        "https://shop.example/lamps?from=mail&code=BACK10".to_owned(),
        page.to_owned(),
        format!("{page}#less"),
        format!("{page}#not-this"),
        format!("{page}#stop"),
        format!("{page}/address"),
        "https://shop.example/privacy".to_owned(),
    ];
    assert_eq!(targets(&mail.html), expected);
    for target in expected {
        assert!(mail.text.lines().any(|line| line == target), "{target} on a line of its own in {}", mail.text);
    }
}

#[test]
fn b04_only_what_the_decision_says_stands_in_the_mail() {
    // Two letters that differ in one fact differ in that fact only: nothing else is read.
    let one = opened(&letter());
    let other = opened(&Letter { why: "You placed 5 orders, the last one 97 days ago.", ..letter() });
    assert_eq!(one.text.replace("4 orders", "5 orders"), other.text);
    assert_eq!(one.html.replace("4 orders", "5 orders"), other.html);
    assert_eq!(one.headers, other.headers);
}

#[test]
fn the_subject_is_the_title_alone() {
    let mail = opened(&letter());
    assert_eq!(mail.header("Subject"), Some("Something for you"));
    let head: Vec<_> = mail.headers.iter().map(|(_, value)| value.as_str()).collect();
    for fact in ["lamp", "4 orders", "BACK10", "checkout"] {
        assert!(!head.join("\n").contains(fact), "{fact} in a header");
    }
    let umlauts = opened(&Letter {
        title: "Für Sie – etwas Schönes, nicht zu groß und nicht zu klein, eben recht",
        ..letter()
    });
    assert_eq!(
        umlauts.header("Subject"),
        Some("Für Sie – etwas Schönes, nicht zu groß und nicht zu klein, eben recht")
    );
}

#[test]
fn d17_one_click_unsubscribe_stands_in_the_headers() {
    let mail = opened(&letter());
    assert_eq!(
        mail.header("List-Unsubscribe"),
        Some("<https://shop.example/m/0123456789abcdefghjkmnpqrs/unsubscribe>")
    );
    assert_eq!(mail.header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
}

#[test]
fn headers_name_sender_date_and_message() {
    let letter = letter();
    let mail = opened(&letter);
    assert_eq!(mail.header("From"), Some("\"The Shop Ltd\" <offers@shop.example>"));
    assert_eq!(mail.header("To"), Some("jo@example.com"));
    assert_eq!(mail.header("Reply-To"), Some("privacy@shop.example"));
    assert_eq!(mail.header("Date"), Some("Mon, 23 Nov 2026 17:32:00 +0000"));
    assert_eq!(mail.header("Message-ID"), Some(format!("<{}@shop.example>", letter.message).as_str()));
}

#[test]
fn nothing_remote_is_fetched_and_nothing_is_counted() {
    let html = opened(&letter()).html;
    let lower = html.to_lowercase();
    for way in [
        "<img",
        "src=",
        "srcset",
        "url(",
        "@import",
        "<link",
        "<script",
        "<iframe",
        "<form",
        "background=",
        "http-equiv",
    ] {
        assert!(!lower.contains(way), "{way} in {html}");
    }
    for target in targets(&html).into_iter().skip(1) {
        assert!(target.starts_with("https://shop.example/"), "{target}");
        assert!(!target.contains('?'), "{target} carries nothing but the token");
        // What changes something is a POST on those pages; the one address that takes a bare POST stands in the header.
        assert!(!target.ends_with("/unsubscribe"), "{target}");
    }
}

#[test]
fn markup_in_texts_is_shown_and_not_obeyed() {
    let says = "<img src=x onerror=alert(1)> & \"quotes\"";
    let mail = opened(&Letter { says, code: None, ..letter() });
    assert!(!mail.html.contains("<img"));
    assert!(mail.html.contains("&#60;img src=x onerror=alert(1)&#62; &#38; &#34;quotes&#34;"), "{}", mail.html);
    assert!(mail.text.contains(says), "plain text is plain");
    assert!(!mail.text.contains("Your code") && !mail.html.contains("Your code"));
}

#[test]
fn line_breaks_cannot_add_a_header() {
    let breaks = ["\r\n", "\n", "\r", "\r\n\r\n", "\u{0}", "\u{b}", "\u{85}"];
    for (n, control) in breaks.into_iter().enumerate() {
        let text = format!("Hello{control}Bcc: all@example.com");
        let compose = |letter: Letter<'_>| compose(&sender(), &letter).map(|mail| mail.bytes().to_vec());
        assert_eq!(compose(Letter { title: &text, ..letter() }), Err(MailError::Title), "{n}");
        assert_eq!(compose(Letter { to: &text, ..letter() }), Err(MailError::Address), "{n}");
        let address = format!("jo@example.com{control}Bcc: all@example.com");
        assert_eq!(compose(Letter { to: &address, ..letter() }), Err(MailError::Address), "{n}");
        assert_eq!(compose(Letter { token: &text, ..letter() }), Err(MailError::Token), "{n}");
        let link = format!("https://shop.example/{control}Bcc: all@example.com");
        assert_eq!(compose(Letter { link: &link, ..letter() }), Err(MailError::Link), "{n}");
        // In the texts of the body a break is a break, and stays in the body.
        let mail =
            compose(Letter { says: &text, why: &text, address_from: &text, code: Some(&text), ..letter() }).unwrap();
        let opened = OpenedMail::read(&mail).unwrap();
        assert_eq!(opened.header("Bcc"), None);
        assert_eq!(opened.headers.len(), self::opened(&letter()).headers.len());
    }
}

#[test]
fn addresses_titles_and_links_are_checked() {
    for to in [
        "",
        "jo",
        "jo@",
        "@example.com",
        "jo@example.com, mo@example.com",
        "Jo <jo@example.com>",
        "jö@example.com",
        "jo @example.com",
    ] {
        assert_eq!(compose(&sender(), &Letter { to, ..letter() }).err(), Some(MailError::Address), "{to}");
    }
    for link in
        ["javascript:alert(1)", "//evil.example", "data:text/html,x", "", "https://a.example/\"x", "ftp://a.example"]
    {
        assert_eq!(compose(&sender(), &Letter { link, ..letter() }).err(), Some(MailError::Link), "{link}");
    }
    assert_eq!(targets(&opened(&Letter { link: "/lamps", ..letter() }).html)[0], "https://shop.example/lamps");
    let long = "x".repeat(TITLE_CHARS_MAX + 1);
    for title in ["", " ", &long] {
        assert_eq!(compose(&sender(), &Letter { title, ..letter() }).err(), Some(MailError::Title));
    }
    let long = "x".repeat(MAIL_BYTES_MAX);
    assert_eq!(compose(&sender(), &Letter { says: &long, ..letter() }).err(), Some(MailError::TooLarge));
}

#[test]
fn the_same_letter_makes_the_same_bytes() {
    let bytes = || compose(&sender(), &letter()).unwrap().bytes().to_vec();
    assert_eq!(bytes(), bytes());
}

#[test]
fn debug_forms_show_no_address_and_no_text() {
    let mail = compose(&sender(), &letter()).unwrap();
    let shown = format!("{:?} {:?} {:?}", letter(), mail, OpenedMail::read(mail.bytes()));
    for value in ["jo@", "lamp", "BACK10", "orders"] {
        assert!(!shown.contains(value), "{shown}");
    }
}

proptest! {
    #[test]
    fn any_text_comes_out_as_it_went_in(says in "[^\\p{C}]{1,200}", why in "[^\\p{C}]{1,200}") {
        let mail = opened(&Letter { says: &says, why: &why, ..letter() });
        prop_assert!(mail.text.contains(&says));
        prop_assert!(mail.text.contains(&why));
        prop_assert_eq!(mail.headers, opened(&letter()).headers);
    }

    #[test]
    fn any_title_without_control_characters_comes_out_as_it_went_in(title in "[a-zA-Z0-9äöüß€,.!?'–-][a-zA-Z0-9äöüß€ ,.!?'–-]{0,80}[a-z!?.]") {
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let mail = opened(&Letter { title: &title, ..letter() });
        prop_assert_eq!(mail.header("Subject"), Some(title.as_str()));
    }
}
