//! What is kept: `[field.*]`, `[event.*]`, and what is worked out from it: `[trait.*]`.

use super::keys;
use super::purpose::{choice, name};
use super::read::{Findings, Section, Text};
use super::words::{plain, said};
use super::{Draft, Names, did_you_mean};
use crate::declaration::{Aggregate, CandidatesPlan, EventPlan, Field, Retention, Since, TraitPlan};
use crate::quiet;
use model::{Class, Context, EventName, FieldName, Kind, PurposeName, TraitName};
use std::collections::BTreeMap;

/// Longest life that may be declared, in days (10 years).
pub const KEEP_DAYS_MAX: i32 = 3_650;
/// Most properties of one event.
const PROPERTIES_MAX: usize = 100;
/// Longest allowed text, in characters.
const TEXT_CHARS_MAX: usize = 64;
/// The event behind `since = "last order"`.
const ORDER: &str = "Order Completed";

const KINDS: [(&str, Kind); 8] = [
    ("text", Kind::Text),
    ("number", Kind::Number),
    ("money", Kind::Money),
    ("flag", Kind::Flag),
    ("instant", Kind::Instant),
    ("date", Kind::Date),
    ("email", Kind::Email),
    ("id", Kind::Id),
];
const CLASSES: [(&str, Class); 3] =
    [("plain", Class::Plain), ("personal", Class::Personal), ("sensitive", Class::Sensitive)];
const CONTEXTS: [(&str, Context); 4] = [
    ("shopping", Context::Shopping),
    ("work", Context::Work),
    ("health", Context::Health),
    ("social", Context::Social),
];

impl Draft<'_, '_, '_> {
    pub(super) fn fields(&mut self) -> BTreeMap<FieldName, Field> {
        let sections = self.root.children("field", self.findings);
        let fields = sections.iter().filter_map(|section| self.field(section));
        fields.map(|field| (field.name.clone(), field)).collect()
    }

    fn field(&mut self, section: &Section<'_>) -> Option<Field> {
        section.knows(&keys::FIELD, self.findings);
        let name = name(section, FieldName::parse, self.findings);
        self.not_taken(section, &["trait"]);
        let retention = self.retention(section);
        let findings = &mut *self.findings;
        section.missing("type", findings);
        let kind = choice(section, "type", &KINDS, findings);
        let from = section.need_text("from", findings);
        let stated = from.as_ref().is_some_and(|from| from.value == "you");
        // The names of time zones are a list of their own.
        let is_zone = name.as_ref().is_some_and(|name| quiet::is_zone_field(name.as_str()));
        let one_of = one_of(section, kind, stated && !is_zone, findings);
        let class = choice(section, "class", &CLASSES, findings).unwrap_or(Class::Plain);
        let class = if kind == Some(Kind::Email) { class.max(Class::Personal) } else { class };
        let context = choice(section, "context", &CONTEXTS, findings).unwrap_or_default();
        Some(Field {
            name: name?,
            kind: kind?,
            one_of,
            from: from?.value,
            stated,
            retention: retention?,
            class,
            context,
        })
    }

    pub(super) fn events(&mut self) -> BTreeMap<EventName, EventPlan> {
        let sections = self.root.children("event", self.findings);
        let events = sections.iter().filter_map(|section| self.event(section));
        events.map(|event| (event.name.clone(), event)).collect()
    }

    fn event(&mut self, section: &Section<'_>) -> Option<EventPlan> {
        section.knows(&keys::EVENT, self.findings);
        let name = name(section, EventName::parse, self.findings);
        let retention = self.retention(section);
        let findings = &mut *self.findings;
        let has = properties(section, findings);
        let lines = section.flag("lines", findings).unwrap_or(false);
        let class = choice(section, "class", &CLASSES, findings).unwrap_or(Class::Plain);
        let context = choice(section, "context", &CONTEXTS, findings).unwrap_or_default();
        Some(EventPlan { name: name?, retention: retention?, has, lines, class, context })
    }

    pub(super) fn traits(&mut self, events: &BTreeMap<EventName, EventPlan>) -> BTreeMap<TraitName, TraitPlan> {
        let sections = self.root.children("trait", self.findings);
        let traits = sections.iter().filter_map(|section| self.one_trait(section, events));
        traits.map(|plan| (plan.name.clone(), plan)).collect()
    }

    fn one_trait(&mut self, section: &Section<'_>, events: &BTreeMap<EventName, EventPlan>) -> Option<TraitPlan> {
        section.knows(&keys::TRAIT, self.findings);
        let name = name(section, TraitName::parse, self.findings);
        self.not_taken(section, &["field"]);
        if section.name == CandidatesPlan::NAME {
            let title = "this name is taken by the items picked for a person".to_owned();
            self.findings.error("FL007", section.span.clone(), title, "choose another name");
        }
        let purposes = self.purposes_of(section);
        let findings = &mut *self.findings;
        let says = said(section, "says", &self.languages, findings);
        if let Some(says) = &says {
            plain(&format!("`says` of {}", section.what), says, findings);
        }
        let is = aggregate(section, events, &self.names, findings);
        if let (Some((is, text)), Some(purposes)) = (&is, &purposes) {
            covered(section, is, text, purposes, events, findings);
        }
        let (is, _) = is?;
        let says = says?;
        let kind = match is.property() {
            None => Kind::Number,
            Some(property) => *events.get(is.event())?.has.get(property)?,
        };
        Some(TraitPlan { name: name?, is, purposes: purposes?, says: says.default, says_in: says.others, kind })
    }

    /// Fields and traits share one set of names: rules and texts name both.
    fn not_taken(&mut self, section: &Section<'_>, others: &[&str]) {
        for other in others {
            if self.names.has(other, &section.name) {
                let title = format!("`{}` is a field and a trait", section.name);
                self.findings.error("FL007", section.span.clone(), title, "a rule could not tell them apart");
            }
        }
    }

    /// `for`, `keep`, `since`.
    fn retention(&mut self, section: &Section<'_>) -> Option<Retention> {
        let purposes = self.purposes_of(section);
        let keep_days = keep(section, self.findings);
        let since = self.since(section);
        let end_on = self.end_on(section);
        Some(Retention::new(purposes?, keep_days?, since?, end_on?))
    }

    /// `end_on = "Left Shop"`: the outer `None` = it cannot be read.
    fn end_on(&mut self, section: &Section<'_>) -> Option<Option<EventName>> {
        let Some(text) = section.text("end_on", self.findings) else {
            return (!section.has("end_on")).then_some(None);
        };
        if !self.names.has("event", &text.value) {
            undeclared_event(section, &text.value, text.span.clone(), &self.names, self.findings);
        } else if text.value == section.name {
            section.wrong_value("end_on", "an event does not end by itself: name another one", self.findings);
        }
        EventName::parse(&text.value).ok().map(Some)
    }

    /// `for = ["orders", "offers"]`, sorted, each declared.
    fn purposes_of(&mut self, section: &Section<'_>) -> Option<Vec<PurposeName>> {
        let texts = section.texts("for", self.findings);
        if texts.as_ref().map_or(!section.has("for"), Vec::is_empty) {
            let title = format!("{} has no purpose", section.what);
            let label = "say what it is for, such as `for = [\"orders\"]`";
            self.findings.error("FL201", section.value_span("for"), title, label);
            return None;
        }
        let mut purposes: Vec<PurposeName> =
            texts?.iter().filter_map(|text| self.purpose_named(section, text)).collect();
        purposes.sort();
        purposes.dedup();
        (!purposes.is_empty()).then_some(purposes)
    }

    /// FL101.
    pub(super) fn purpose_named(&mut self, section: &Section<'_>, text: &Text) -> Option<PurposeName> {
        if !self.names.has("purpose", &text.value) {
            let title = format!("{} is for a purpose that is not declared", section.what);
            let help = did_you_mean(&text.value, self.names.of("purpose").iter().map(String::as_str));
            let span = text.span.clone();
            self.findings.error_with_help("FL101", span, title, "no [purpose.*] has this name", help);
        }
        PurposeName::parse(&text.value).ok()
    }

    fn since(&mut self, section: &Section<'_>) -> Option<Since> {
        let Some(text) = section.text("since", self.findings) else {
            return (!section.has("since")).then_some(Since::Receipt);
        };
        match text.value.strip_prefix("last ") {
            None if text.value == "receipt" => Some(Since::Receipt),
            None if text.value == "leaving" => {
                if !self.root.has("after_leaving") {
                    let title = format!("the clock of {} starts when people leave", section.what);
                    let label = "say what counts as leaving: [after_leaving]";
                    self.findings.error("FL207", text.span, title, label);
                }
                Some(Since::Leaving)
            }
            None => {
                let title = format!("`since` of {} cannot be `{}`", section.what, text.value);
                let label = "expected \"receipt\", \"leaving\", \"last order\" or \"last \" and an event";
                self.findings.error("FL005", text.span, title, label);
                None
            }
            Some(event) => {
                let event = if event == "order" { ORDER } else { event };
                if !self.names.has("event", event) {
                    undeclared_event(section, event, text.span.clone(), &self.names, self.findings);
                }
                EventName::parse(event).ok().map(Since::Last)
            }
        }
    }
}

/// FL102.
pub(super) fn undeclared_event(
    section: &Section<'_>,
    event: &str,
    span: std::ops::Range<usize>,
    names: &Names,
    findings: &mut Findings<'_>,
) {
    let title = format!("{} names the event `{event}`, which is not declared", section.what);
    let help = did_you_mean(event, names.of("event").iter().map(String::as_str));
    findings.error_with_help("FL102", span, title, "no [event.*] has this name", help);
}

/// FL203, FL204.
fn keep(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<i32> {
    let no_end = format!("{} has no end date", section.what);
    let label = "every field needs a length of time, such as \"90 days\"";
    if !section.has("keep") {
        findings.error("FL203", section.span.clone(), no_end, label);
        return None;
    }
    let text = section.text("keep", findings)?;
    let Some(days) = days(&text.value) else {
        findings.error("FL203", text.span, no_end, label);
        return None;
    };
    if days > KEEP_DAYS_MAX {
        let title = format!("{} is kept for more than 10 years", section.what);
        findings.error("FL204", text.span, title, format!("at most {KEEP_DAYS_MAX} days"));
        return None;
    }
    Some(days)
}

/// "90 days", "36 months", "2 years" in days: a month is a twelfth of 365 days, rounded down. `None` for anything else.
#[must_use]
pub fn days(text: &str) -> Option<i32> {
    let (count, unit) = text.trim().split_once(' ')?;
    let count: i32 = count.parse().ok().filter(|count| *count >= 1)?;
    match unit.trim() {
        "day" | "days" => Some(count),
        "week" | "weeks" => count.checked_mul(7),
        "month" | "months" => count.checked_mul(365).map(|days| days / 12),
        "year" | "years" => count.checked_mul(365),
        _ => None,
    }
}

/// FL205: what a person states is chosen from a list; free text has no type here.
fn one_of(section: &Section<'_>, kind: Option<Kind>, stated: bool, findings: &mut Findings<'_>) -> Vec<String> {
    let mut allowed = Vec::new();
    for text in section.texts("one_of", findings).unwrap_or_default() {
        let n_chars = text.value.chars().count();
        if n_chars == 0 || n_chars > TEXT_CHARS_MAX || text.value.chars().any(char::is_control) {
            let title = format!("`one_of` of {} has a text that does not fit", section.what);
            findings.error("FL005", text.span, title, format!("expected 1 to {TEXT_CHARS_MAX} characters"));
        } else {
            allowed.push(text.value);
        }
    }
    if kind.is_some_and(|kind| kind != Kind::Text) && section.has("one_of") {
        section.wrong_value("one_of", "only a text has a list of what is allowed", findings);
    }
    if kind == Some(Kind::Text) && stated && allowed.is_empty() {
        let title = format!("{} asks people for free text", section.what);
        findings.error(
            "FL205",
            section.value_span("from"),
            title,
            "list what may be chosen: `one_of = [\"red\", \"blue\"]`",
        );
    }
    allowed
}

/// `has = { total = "money" }`.
fn properties(section: &Section<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, Kind> {
    let mut has = BTreeMap::new();
    for (property, span, text) in section.text_table("has", findings) {
        if property.is_empty() || property.len() > model::name::NAME_BYTES_MAX || property.chars().any(char::is_control)
        {
            let title = format!("a property of {} cannot be called this", section.what);
            findings.error("FL007", span, title, "1 to 64 bytes without control characters");
            continue;
        }
        match KINDS.iter().find(|(word, _)| *word == text.value) {
            Some((_, kind)) => {
                has.insert(property, *kind);
            }
            None => {
                let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
                let title = format!("property `{property}` of {} cannot be `{}`", section.what, text.value);
                let help = did_you_mean(&text.value, words.iter().copied());
                let label = format!("expected one of: {}", words.join(", "));
                findings.error_with_help("FL005", text.span, title, label, help);
            }
        }
    }
    if has.len() > PROPERTIES_MAX {
        section.wrong_value("has", format!("at most {PROPERTIES_MAX} properties"), findings);
    }
    has
}

/// The `is` of a trait: grammar (FL301), event (FL102), property (FL106).
fn aggregate(
    section: &Section<'_>,
    events: &BTreeMap<EventName, EventPlan>,
    names: &Names,
    findings: &mut Findings<'_>,
) -> Option<(Aggregate, Text)> {
    let text = section.need_text("is", findings)?;
    let is = match Aggregate::parse(&text.value) {
        Ok(is) => is,
        Err(error) => {
            let title = format!("`is` of {} cannot be read", section.what);
            let len = text.value.len().saturating_sub(error.at);
            findings.error("FL301", text.part(error.at, len), title, error.message);
            return None;
        }
    };
    let place = |name: &str| text.value.find(name).map_or(text.span.clone(), |at| text.part(at, name.len()));
    let Some(event) = events.get(is.event()) else {
        if !names.has("event", is.event().as_str()) {
            undeclared_event(section, is.event().as_str(), place(is.event().as_str()), names, findings);
        }
        return None;
    };
    if let Some(property) = is.property() {
        match event.has.get(property) {
            Some(Kind::Number | Kind::Money) => {}
            Some(_) => {
                let title = format!("{} adds up `{property}`", section.what);
                findings.error("FL304", place(property), title, "only numbers and money can be added up");
                return None;
            }
            None => {
                let title = format!("{} reads `{property}`, which `{}` does not have", section.what, event.name);
                let help = did_you_mean(property, event.has.keys().map(String::as_str));
                findings.error_with_help("FL106", place(property), title, "not declared in `has`", help);
                return None;
            }
        }
    }
    if let Some(window) = is.window_days().filter(|window| *window > event.retention.keep_days) {
        let title = format!("{} looks back {window} days", section.what);
        let label = format!("`{}` is kept for {} days only", event.name, event.retention.keep_days);
        findings.error("FL206", text.span.clone(), title, label);
    }
    Some((is, text))
}

/// FL303: a trait may not be used for more than its event was collected for.
fn covered(
    section: &Section<'_>,
    is: &Aggregate,
    text: &Text,
    purposes: &[PurposeName],
    events: &BTreeMap<EventName, EventPlan>,
    findings: &mut Findings<'_>,
) {
    let Some(event) = events.get(is.event()) else { return };
    for purpose in purposes.iter().filter(|purpose| !event.retention.purposes.contains(purpose)) {
        let title = format!("{} is for `{purpose}`, but `{}` is not collected for that", section.what, event.name);
        let help = format!("take `{purpose}` out of the trait, or promise it in [event.\"{}\"] too", event.name);
        let label = format!("collected for: {}", list(&event.retention.purposes));
        findings.error_with_help("FL303", text.span.clone(), title, label, Some(help));
    }
}

pub(super) fn list(purposes: &[PurposeName]) -> String {
    purposes.iter().map(PurposeName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn lengths_of_time_are_days() {
        for (text, expected) in [
            ("1 day", Some(1)),
            ("90 days", Some(90)),
            ("2 weeks", Some(14)),
            ("36 months", Some(1_095)),
            ("1 month", Some(30)),
            ("13 months", Some(395)),
            ("2 years", Some(730)),
            ("forever", None),
            ("0 days", None),
            ("-1 days", None),
            ("1 hour", None),
            ("99999999 years", None),
            ("", None),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }
}
