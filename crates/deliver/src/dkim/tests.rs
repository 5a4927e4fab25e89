//! The signature against a verifier of its own, written from the RFC and sharing no line with the signer.

use super::*;
use crate::mail::{Letter, compose};
use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use model::MessageId;
use model::chance::Seeded;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const DOMAIN: &str = "shop.example";

/// Keys are dear in a debug build: one pair for all tests.
static KEYS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [Algorithm::RsaSha256, Algorithm::Ed25519Sha256].map(|algorithm| Key::generate(algorithm).unwrap())
});

fn signer() -> Signer {
    let keys = [("r1", &KEYS[0]), ("e1", &KEYS[1])];
    Signer::new(DOMAIN, keys.map(|(selector, key)| Key::from_pkcs8(selector, key).unwrap()).into()).unwrap()
}

fn signed_mail() -> String {
    let at = At::parse("2026-11-23T17:32:00Z").unwrap();
    let letter = Letter { message: MessageId::new(at, &Seeded::new(1)), at, ..crate::mail::tests::letter() };
    let mail = compose(&crate::mail::tests::sender(), &letter).unwrap();
    String::from_utf8(mail.signed(&signer(), at).unwrap().bytes().to_vec()).unwrap()
}

// ── the other side ────────────────────────────────────────────────────────────────────────────────────────────────────

/// What a receiver finds in the zone: selector → key.
fn zone() -> BTreeMap<String, (String, Vec<u8>)> {
    let mut zone = BTreeMap::new();
    for record in signer().dns_records().unwrap() {
        let (name, rest) = record.split_once("._domainkey.shop.example. IN TXT ( ").unwrap();
        let text: String = rest.split('"').skip(1).step_by(2).inspect(|part| assert!(part.len() <= 255)).collect();
        let tags = tags(&text);
        assert_eq!(tags["v"], "DKIM1");
        zone.insert(name.to_owned(), (tags["k"].clone(), STANDARD.decode(&tags["p"]).unwrap()));
    }
    zone
}

fn tags(text: &str) -> BTreeMap<String, String> {
    let whole = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    text.split(';').filter_map(|tag| tag.split_once('=')).map(|(key, value)| (whole(key), whole(value))).collect()
}

/// Every white space character is looked at once, with a small machine instead of a split.
fn relax_header(raw: &str) -> String {
    let colon = raw.find(':').unwrap();
    let mut out = raw[..colon].trim().to_lowercase() + ":";
    let mut pending = false;
    for c in raw[colon + 1..].trim().chars() {
        if c.is_whitespace() {
            pending = true;
        } else {
            if pending {
                out.push(' ');
            }
            pending = false;
            out.push(c);
        }
    }
    out
}

fn relax_body(body: &str) -> String {
    let mut lines: Vec<String> = body
        .split("\r\n")
        .map(|line| {
            let mut line = line.replace('\t', " ");
            while line.contains("  ") {
                line = line.replace("  ", " ");
            }
            line.trim_end().to_owned()
        })
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// Verdict per signature: selector and whether it holds.
fn verify(mail: &str) -> Vec<(String, bool)> {
    let zone = zone();
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    let mut headers: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            *headers.last_mut().unwrap() += &format!("\r\n{line}");
        } else {
            headers.push(line.to_owned());
        }
    }
    let name_of = |header: &str| header.split(':').next().unwrap().trim().to_lowercase();
    let mut verdicts = Vec::new();
    for signature in headers.iter().filter(|header| name_of(header) == "dkim-signature") {
        let tags = tags(signature.split_once(':').unwrap().1);
        assert_eq!((tags["v"].as_str(), tags["c"].as_str(), tags["d"].as_str()), ("1", "relaxed/relaxed", DOMAIN));
        let body_holds = STANDARD.encode(digest(&SHA256, relax_body(body).as_bytes())) == tags["bh"];
        let mut left: Vec<&String> = headers.iter().collect();
        let mut input = String::new();
        for name in tags["h"].split(':') {
            if let Some(at) = left.iter().rposition(|header| name_of(header) == name.to_lowercase()) {
                input += &(relax_header(left.remove(at)) + "\r\n");
            }
        }
        let b = signature.rfind("b=").unwrap();
        input += &relax_header(&signature[..b + 2]);
        let given = STANDARD.decode(&tags["b"]).unwrap();
        let (kind, public) = &zone[&tags["s"]];
        let header_holds = match (kind.as_str(), tags["a"].as_str()) {
            ("rsa", "rsa-sha256") => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(input.as_bytes(), &given).is_ok()
            }
            ("ed25519", "ed25519-sha256") => {
                let hash = digest(&SHA256, input.as_bytes());
                UnparsedPublicKey::new(&ED25519, public).verify(hash.as_ref(), &given).is_ok()
            }
            _ => false,
        };
        verdicts.push((tags["s"].clone(), body_holds && header_holds));
    }
    verdicts
}

fn check(mail: &str, holds: bool) {
    let expected = [("r1".to_owned(), holds), ("e1".to_owned(), holds)];
    assert_eq!(verify(mail), expected, "{mail}");
}

// ── what must hold ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn both_signatures_of_a_fresh_mail_hold() {
    check(&signed_mail(), true);
}

#[test]
fn d17_the_unsubscribe_headers_are_covered_and_a_second_one_breaks_the_signature() {
    let mail = signed_mail();
    let unfolded = mail.replace("\r\n  ", "");
    for name in ["List-Unsubscribe", "List-Unsubscribe-Post"] {
        assert!(unfolded.contains(&format!("\r\n{name}: ")), "{name} stands in the mail");
        assert_eq!(
            unfolded.matches(&format!(":{name}:{name}:")).count(),
            2,
            "{name} is named twice in both signatures"
        );
    }
    check(&format!("List-Unsubscribe: <https://evil.example/>\r\n{mail}"), false);
    check(&format!("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n{mail}"), false);
}

#[test]
fn whoever_changes_a_signed_mail_is_found_out() {
    let mail = signed_mail();
    let tampered = [
        mail.replacen("Something for you", "Something for me ", 1),
        mail.replacen("jo@example.com", "mo@example.com", 1),
        mail.replacen("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", "", 1),
        mail.replacen("/unsubscribe>", "/unsubscribe2>", 1),
        mail.replacen("2026 17:32:00", "2026 17:32:01", 1),
        mail.replacen("multipart/alternative", "multipart/mixed", 1),
        mail.replacen("BACK10", "BACK99", 1),
        format!("{mail}One more line.\r\n"),
        format!("Subject: another\r\n{mail}"),
        format!("From: somebody@else.example\r\n{mail}"),
        format!("To: somebody@else.example\r\n{mail}"),
        format!("Cc: somebody@else.example\r\n{mail}"),
        format!("Content-Transfer-Encoding: base64\r\n{mail}"),
        mail.replacen("\r\n\r\n", "\r\nSubject: another\r\n\r\n", 1),
        mail.replace("; t=", "; t=1"),
    ];
    for (n, tampered) in tampered.iter().enumerate() {
        assert_ne!(*tampered, mail, "tampering {n} does something");
        check(tampered, false);
    }
}

#[test]
fn what_relays_do_on_the_way_does_not_break_it() {
    let mail = signed_mail();
    check(&format!("Received: from a by b; Mon, 23 Nov 2026 17:32:01 +0000\r\n{mail}"), true);
    check(&format!("{mail}\r\n\r\n"), true);
    check(&mail.replacen("\r\nSubject: ", "\r\nSUBJECT:\t  ", 1), true);
    check(&mail.replacen("List-Unsubscribe: ", "List-Unsubscribe:\r\n ", 1), true);
    check(&mail.replacen("</html>\r\n", "</html> \t \r\n", 1), true);
}

#[test]
fn the_time_of_signing_is_the_clocks() {
    assert!(signed_mail().contains("; t=1795455120;"));
}

#[test]
fn signed_lines_stay_within_what_mail_allows() {
    let mail = signed_mail();
    assert!(mail.is_ascii());
    assert!(mail.split("\r\n").all(|line| line.len() <= 200));
    let signature = mail.split("\r\nMessage-ID").next().unwrap();
    assert!(signature.split("\r\n").all(|line| line.len() <= 90), "{signature}");
}

#[test]
fn two_headers_where_one_may_stand_are_not_signed() {
    let sign = |mail: &str| signer().sign(mail.as_bytes(), At::from_ms(0));
    assert!(sign("Subject: a\r\n\r\nbody\r\n").is_ok());
    assert_eq!(sign("Subject: a\r\nsubject : b\r\n\r\nbody\r\n"), Err(DkimError::Twice("Subject")));
}

#[test]
fn a_bare_line_break_is_not_signed() {
    for mail in [
        "Subject: a\r\n\r\nbo\ndy",
        "Subject: a\r\n\r\nbo\rdy",
        "Subject: a\n\nbody",
        "Subject: a",
        "Subject: a\r\n\r\n\r",
    ] {
        assert_eq!(signer().sign(mail.as_bytes(), At::from_ms(0)), Err(DkimError::Form), "{mail:?}");
    }
}

#[test]
fn keys_selectors_and_domains_are_checked() {
    assert_eq!(Key::from_pkcs8("r.1", &KEYS[0]).unwrap_err(), DkimError::Selector);
    assert_eq!(Key::from_pkcs8("", &KEYS[0]).unwrap_err(), DkimError::Selector);
    assert_eq!(Key::from_pkcs8("r1", b"nothing").unwrap_err(), DkimError::Key { selector: "r1".to_owned() });
    assert_eq!(Signer::new(DOMAIN, Vec::new()).unwrap_err(), DkimError::Keys);
    let key = || vec![Key::from_pkcs8("e1", &KEYS[1]).unwrap()];
    for domain in ["", "shop example", "shop.example;", "shop..example", "shop.example\r\n"] {
        assert_eq!(Signer::new(domain, key()).unwrap_err(), DkimError::Domain, "{domain:?}");
    }
    assert!(!format!("{:?}", key()).contains("PRIVATE"));
    assert_eq!(format!("{:?}", key()), "[Key(e1, Ed25519Sha256)]");
}

#[test]
fn relaxing_follows_the_examples_of_the_rfc() {
    assert_eq!(relaxed_field("A: X"), "a:X");
    assert_eq!(relaxed_field("B : Y\t\r\n\tZ  "), "b:Y Z");
    assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
    assert_eq!(relaxed_body(""), "");
    assert_eq!(relaxed_body("\r\n\r\n"), "");
    assert_eq!(relaxed_body("no end"), "no end\r\n");
}
