//! Who else gets data of people.
//!
//! It knows nothing about how anything gets there, nor about the mail relay, which is a setting of the program.

use super::Draft;
use super::keys;
use super::read::{Findings, Section};
use crate::declaration::RecipientPlan;
use model::RecipientName;
use std::collections::BTreeMap;

/// Longest text of a recipient, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Most sorts of data that one recipient gets.
const WHAT_MAX: usize = 20;

impl Draft<'_, '_, '_> {
    pub(super) fn recipients(&mut self) -> BTreeMap<RecipientName, RecipientPlan> {
        let sections = self.root.children("recipient", self.findings);
        let findings = &mut *self.findings;
        let plans = sections.iter().filter_map(|section| recipient(section, findings));
        plans.map(|plan| (plan.name.clone(), plan)).collect()
    }
}

fn recipient(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<RecipientPlan> {
    section.knows(&keys::RECIPIENT, findings);
    let name = RecipientName::parse(&section.name).ok().filter(|name| name.as_str() != RecipientPlan::RELAY);
    if name.is_none() {
        let title = format!("`{}` cannot be the name of a recipient", section.name);
        let label = "small letters, digits and _; `relay` is the mail relay of the settings";
        findings.error("FL007", section.span.clone(), title, label);
    }
    let who = line(section, "who", findings);
    let why = line(section, "why", findings);
    let place = line(section, "where", findings);
    let mut what = Vec::new();
    section.missing("what", findings);
    for text in section.texts("what", findings).unwrap_or_default() {
        let fits = is_line(&text.value) && what.len() < WHAT_MAX && !what.contains(&text.value);
        if fits {
            what.push(text.value);
        } else {
            let title = format!("`what` of {} cannot hold this", section.what);
            let label = format!("at most {WHAT_MAX} different lines of at most {TEXT_BYTES_MAX} bytes");
            findings.error("FL005", text.span, title, label);
        }
    }
    if section.has("what") && what.is_empty() {
        section.wrong_value("what", "expected what they get, in words that people understand", findings);
    }
    let until = section.day("until", findings);
    let erase = section.text("erase", findings);
    if erase.as_ref().is_some_and(|erase| !is_address(&erase.value)) {
        section.wrong_value("erase", "expected an address such as \"https://crm.example/erase\"", findings);
    }
    let erase = erase.map(|erase| erase.value);
    Some(RecipientPlan { name: name?, who: who?, why: why?, what, place: place?, until, erase })
}

fn line(section: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> Option<String> {
    let text = section.need_text(key, findings)?;
    if !is_line(&text.value) {
        section.wrong_value(key, format!("expected one line of at most {TEXT_BYTES_MAX} bytes"), findings);
        return None;
    }
    Some(text.value)
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

/// `https://host[:port]/path`; without TLS only on this machine. Nobody's name or password stands in it, and no query.
fn is_address(text: &str) -> bool {
    let (rest, is_plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return false,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let port = authority.split_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let in_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '~');
    let fits = !host.is_empty() && host.chars().all(named) && path.chars().all(in_path) && port != Some(false);
    fits && text.len() <= TEXT_BYTES_MAX && (!is_plain || host == "localhost" || host == "127.0.0.1")
}

#[cfg(test)]
mod tests {
    use crate::fixture::SHOP;
    use crate::{Direction, changes, parse};

    const CRM: &str = "\n[recipient.crm]\nwho = \"Helpful Desk Ltd\"\nwhy = \"answers your letters\"\nwhat = [\"your orders\"]\n\
                       where = \"Ireland\"\nuntil = 2027-12-31\nerase = \"https://crm.example/erase\"\n";

    fn shop(more: &str) -> Result<crate::Promise, crate::Report> {
        parse("shop.toml", &format!("{SHOP}{more}"))
    }

    #[test]
    fn a08_a_recipient_is_declared_with_who_why_what_where_and_until_when_and_the_notice_says_it() {
        let promise = shop(CRM).unwrap();
        let plan = &promise.recipients["crm"];
        assert_eq!((plan.who.as_str(), plan.place.as_str()), ("Helpful Desk Ltd", "Ireland"));
        let until = plan.until.unwrap();
        assert!(plan.is_in_force(until) && !plan.is_in_force(until.plus(1)), "the last day is a day");
        let notice = promise.notice_text("en").to_text();
        for said in
            ["Helpful Desk Ltd, Ireland", "your orders", "answers your letters", "Until 2027-12-31", "we tell them"]
        {
            assert!(notice.contains(said), "{said}: {notice}");
        }
        assert_ne!(promise.hash, shop("").unwrap().hash);
        assert!(shop("").unwrap().recipients.is_empty());
    }

    #[test]
    fn a08_a_recipient_that_cannot_be_read_or_would_be_the_relay_is_refused() {
        for (from, to) in [
            ("recipient.crm", "recipient.relay"),
            ("recipient.crm", "recipient.\"CRM 1\""),
            ("who = \"Helpful Desk Ltd\"\n", ""),
            ("where = \"Ireland\"\n", ""),
            ("what = [\"your orders\"]", "what = []"),
            ("what = [\"your orders\"]\n", ""),
            ("\"your orders\"", "\"a\\nb\""),
            ("2027-12-31", "\"soon\""),
            ("https://crm.example/erase", "http://crm.example/erase"),
            ("https://crm.example/erase", "https://user@crm.example/erase"),
            ("https://crm.example/erase", "https://crm.example/erase?who=me"),
            ("https://crm.example/erase", "https://crm.example:99999/"),
            ("https://crm.example/erase", "ftp://crm.example"),
            ("erase =", "delete ="),
        ] {
            assert!(shop(&CRM.replace(from, to)).is_err(), "{from} → {to}");
        }
        assert!(shop(&CRM.replace("https://crm.example/erase", "http://localhost:8080/erase")).is_ok());
    }

    #[test]
    fn a08_a_new_recipient_or_more_for_one_is_a_weaker_promise() {
        let direction = |old: &str, new: &str| {
            let changes = changes(&shop(old).unwrap(), &shop(new).unwrap());
            changes.list.iter().map(|change| change.direction).collect::<Vec<_>>()
        };
        assert_eq!(direction("", CRM), [Direction::Expanding]);
        assert_eq!(direction(CRM, ""), [Direction::Narrowing]);
        assert_eq!(direction(CRM, CRM), []);
        for (from, to, expected) in [
            ("2027-12-31", "2028-12-31", Direction::Expanding),
            ("2027-12-31", "2026-12-31", Direction::Narrowing),
            ("Ireland", "Atlantis", Direction::Expanding),
            ("[\"your orders\"]", "[\"your orders\", \"your address\"]", Direction::Expanding),
            ("erase = \"https://crm.example/erase\"\n", "", Direction::Expanding),
            ("crm.example", "desk.example", Direction::Neutral),
        ] {
            assert_eq!(direction(CRM, &CRM.replace(from, to)), [expected], "{from} → {to}");
        }
    }
}
