//! The company, its cap, its guard and its notice.

use super::Draft;
use super::kept::days;
use super::keys;
use super::read::{Findings, Section};
use crate::declaration::{CapPlan, GuardPlan, NoticePlan};
use crate::guard;
use model::Currency;

/// The keys at the top of the file.
pub(super) struct House {
    pub(super) company: String,
    pub(super) contact: String,
    pub(super) address: String,
    pub(super) zone: String,
    pub(super) currency: Currency,
}

/// Longest text of the house, in bytes.
const HOUSE_TEXT_BYTES_MAX: usize = 200;
/// Most messages in one period of the cap.
const CAP_MAX: u32 = 100;
/// Longest notice before a change, in days.
const TELL_DAYS_MAX: i32 = 365;

impl Draft<'_, '_, '_> {
    pub(super) fn house(&mut self) -> Option<House> {
        let (root, findings) = (self.root, &mut *self.findings);
        edition(root, findings);
        let company = line(root, "company", findings);
        let contact = line(root, "contact", findings);
        if contact.as_ref().is_some_and(|contact| !is_address(contact)) {
            root.wrong_value("contact", "expected an e-mail address", findings);
        }
        let address = line(root, "address", findings);
        let zone = line(root, "zone", findings);
        if zone.as_ref().is_some_and(|zone| jiff::tz::TimeZoneDatabase::bundled().get(zone).is_err()) {
            root.wrong_value("zone", "expected an IANA time zone, such as \"Europe/London\"", findings);
        }
        let currency = line(root, "currency", findings);
        let parsed = currency.as_ref().and_then(|currency| Currency::parse(currency));
        if currency.is_some() && parsed.is_none() {
            root.wrong_value("currency", "expected three capital letters, such as \"GBP\"", findings);
        }
        self.languages = languages(root, findings);
        Some(House { company: company?, contact: contact?, address: address?, zone: zone?, currency: parsed? })
    }

    pub(super) fn cap(&mut self) -> CapPlan {
        let safe = CapPlan { at_most: 2, per_days: 7, quiet_from: 21 * 60, quiet_until: 8 * 60 };
        let children = self.root.children("cap", self.findings);
        let findings = &mut *self.findings;
        let mut cap = safe;
        for section in children {
            if section.name != "default" {
                let title = format!("there is one cap over everything, not `{}`", section.name);
                findings.error("FL504", section.span.clone(), title, "write [cap.default]");
                continue;
            }
            section.knows(&keys::CAP, findings);
            if let Some(text) = section.text("at_most", findings) {
                match at_most(&text.value) {
                    Some((at_most, per_days)) => (cap.at_most, cap.per_days) = (at_most, per_days),
                    None => findings.error(
                        "FL504",
                        text.span,
                        "this cap cannot be read".to_owned(),
                        format!("expected 1 to {CAP_MAX} per day, week or month, such as \"2 per week\""),
                    ),
                }
            }
            if let Some(text) = section.text("quiet", findings) {
                match quiet(&text.value) {
                    Some((from, until)) => (cap.quiet_from, cap.quiet_until) = (from, until),
                    None => findings.error(
                        "FL504",
                        text.span,
                        "these quiet hours cannot be read".to_owned(),
                        "expected two times of day, such as \"21:00-08:00\"",
                    ),
                }
            }
        }
        cap
    }

    pub(super) fn guard(&mut self) -> GuardPlan {
        let mut never_infer: Vec<String> = guard::NEVER_INFER.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut smallest_group = GuardPlan::SMALLEST_GROUP_MIN;
        let Some(section) = self.root.child("guard", self.findings) else {
            return GuardPlan { never_infer, smallest_group };
        };
        let findings = &mut *self.findings;
        section.knows(&keys::GUARD, findings);
        for text in section.texts("never_infer", findings).unwrap_or_default() {
            if model::FieldName::parse(&text.value).is_err() {
                let title = format!("`{}` cannot stand in the never list", text.value);
                findings.error("FL005", text.span, title, "expected a word in small letters, such as \"health\"");
            } else if !never_infer.contains(&text.value) {
                never_infer.push(text.value);
            }
        }
        if let Some(number) = section.number("smallest_group", findings) {
            match u32::try_from(number).ok().filter(|number| *number >= GuardPlan::SMALLEST_GROUP_MIN) {
                Some(number) => smallest_group = number,
                None => findings.error(
                    "FL501",
                    section.value_span("smallest_group"),
                    format!("the smallest group is {number}"),
                    format!("at least {} people, so that nobody stands out", GuardPlan::SMALLEST_GROUP_MIN),
                ),
            }
        }
        never_infer.sort();
        GuardPlan { never_infer, smallest_group }
    }

    pub(super) fn notice(&mut self) -> Option<NoticePlan> {
        let findings = &mut *self.findings;
        let Some(section) = self.root.child("notice", findings) else {
            if !self.root.has("notice") {
                let title = "the file has no [notice]".to_owned();
                findings.error("FL601", 0..1, title, "say which version this is and from which day it binds");
            }
            return None;
        };
        section.knows(&keys::NOTICE, findings);
        section.missing("version", findings);
        let version = section.number("version", findings);
        let parsed = version.and_then(|version| u32::try_from(version).ok()).filter(|version| *version >= 1);
        if version.is_some() && parsed.is_none() {
            section.wrong_value("version", "expected 1 or more", findings);
        }
        if !section.has("starts") {
            let title = "the notice has no day from which it binds".to_owned();
            findings.error("FL601", section.span.clone(), title, "`starts` is missing, such as 2026-01-15");
        }
        let starts = section.day("starts", findings);
        let mut tell_people_before_days = 30;
        if let Some(text) = section.text("tell_people_before", findings) {
            match days(&text.value).filter(|days| *days <= TELL_DAYS_MAX) {
                Some(days) => tell_people_before_days = days,
                None => {
                    section.wrong_value("tell_people_before", "expected 1 to 365 days, such as \"30 days\"", findings)
                }
            }
        }
        let removed_within_days = super::leaving::removed_within(&section, findings);
        Some(NoticePlan { version: parsed?, starts: starts?, tell_people_before_days, removed_within_days })
    }
}

fn edition(root: &Section<'_>, findings: &mut Findings<'_>) {
    if !root.has("edition") {
        let title = "the file does not say its edition".to_owned();
        findings.error_with_help("FL003", 0..1, title, "begin with `edition = 1`", None);
    } else if root.number("edition", findings).is_some_and(|edition| edition != 1) {
        let title = "this edition is not known".to_owned();
        findings.error("FL003", root.value_span("edition"), title, "this program reads edition 1");
    }
}

/// A short text of one line that must be there.
fn line(root: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> Option<String> {
    let text = root.need_text(key, findings)?;
    if text.value.len() > HOUSE_TEXT_BYTES_MAX || text.value.chars().any(char::is_control) {
        root.wrong_value(key, format!("expected one line of at most {HOUSE_TEXT_BYTES_MAX} bytes"), findings);
        return None;
    }
    Some(text.value)
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && domain.contains('.'));
    parts.is_some_and(|(_, domain)| !domain.contains('@')) && !text.contains(char::is_whitespace)
}

fn languages(root: &Section<'_>, findings: &mut Findings<'_>) -> Vec<String> {
    let mut languages = Vec::new();
    for text in root.texts("languages", findings).unwrap_or_default() {
        let fits = (2..=12).contains(&text.value.len())
            && text.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !languages.contains(&text.value);
        if fits {
            languages.push(text.value);
        } else {
            let title = format!("`{}` is not a language, or stands here twice", text.value);
            findings.error("FL005", text.span, title, "expected a tag such as \"en\" or \"pt-BR\"");
        }
    }
    if languages.is_empty() {
        languages.push("en".to_owned());
    }
    languages
}

/// "2 per week" → (2, 7).
fn at_most(text: &str) -> Option<(u32, i32)> {
    let (count, period) = text.split_once(" per ")?;
    let count = count.trim().parse().ok().filter(|count| (1..=CAP_MAX).contains(count))?;
    let days = match period.trim() {
        "day" => 1,
        "week" => 7,
        "month" => 30,
        _ => return None,
    };
    Some((count, days))
}

/// "21:00-08:00" → minutes of day.
fn quiet(text: &str) -> Option<(u16, u16)> {
    let (from, until) = text.split_once('-')?;
    Some((minute(from.trim())?, minute(until.trim())?))
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}
